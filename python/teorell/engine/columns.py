"""Column programs run: as machine code or interpreted, over all patients, on all threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from teorell import _core
from teorell.arrays import Array
from teorell.engine.compile import MachineCode, compiled, target_for
from teorell.engine.executors import choose_executor, selected_isa, threads_of
from teorell.engine.vector_ir import Emitter, Target, module
from teorell.lowering.columns import ColumnProgram
from teorell.memo import Memo

__all__ = ["column_slots", "project_columns", "run_columns"]

_kept: Memo[MachineCode] = Memo(64)  # compiled programs a process keeps


def run_columns(
    program: ColumnProgram,
    columns: Sequence[Array],
    patients: int,
    *,
    threads: int | None = None,
    executor: str | None = None,
    isa: str | None = None,
) -> Array:
    """(outputs, patients): what the program makes of the columns.

    columns: one float64 array an input, () or (patients,).
    Raises ImportError where executor="machine_code" is asked for and llvmlite is missing.
    """
    result = np.empty((program.layout.n_out, patients))
    code, build = _code(program, executor, isa), selected_isa(isa)
    _core.map(
        _given(program, code),
        isa=build,
        threads=threads_of(threads),
        columns=[np.asarray(each) for each in columns],
        outputs=result,
    )
    return result


def project_columns(
    program: ColumnProgram,
    columns: Sequence[Array],
    constraints: Mapping[str, Any],
    scales: Sequence[Array],
    patients: int,
    *,
    threads: int | None = None,
    executor: str | None = None,
) -> tuple[Array, Array, NDArray[np.int32]]:
    """The nearest points that satisfy constraints, which are the outputs of the program.

    Returns values (free, patients), NaN where none was found; multipliers (rows, patients); steps
    (patients,), -1 where none was found.

    constraints: free (n,), numbers of the inputs that may move; starts (rows + 1,) and columns
    (entries,) of the derivatives that follow the residuals; equality (rows,); tolerance and
    most_steps. scales: a column for each of the free.
    """
    rows, free = len(constraints["equality"]), len(constraints["free"])
    values, multipliers = np.empty((free, patients)), np.empty((rows, patients))
    steps = np.empty(patients, np.int32)
    code = _code(program, executor, None)
    _core.project(
        _given(program, code),
        isa=selected_isa(None),
        threads=threads_of(threads),
        columns=[np.asarray(each) for each in columns],
        constraints=dict(constraints),
        scales=[np.asarray(each) for each in scales],
        values=values,
        multipliers=multipliers,
        steps=steps,
    )
    return values, multipliers, steps


def column_slots(program: ColumnProgram, constraints: Mapping[str, Any] | None = None) -> int:
    """float64 numbers that a device thread works on; constraints: of a projection onto these."""
    of_these = None if constraints is None else dict(constraints)
    return _core.device_column_slots(_given(program, None), of_these)


def _code(program: ColumnProgram, executor: str | None, isa: str | None) -> MachineCode | None:
    """The program compiled, to be kept alive while it runs; None where it is interpreted."""
    kind, _ = choose_executor(executor)
    return _machine_code(program, selected_isa(isa)) if kind == "machine_code" else None


def _given(program: ColumnProgram, code: MachineCode | None) -> dict[str, Any]:
    """The program as the core takes it."""
    fields = ("slots", "const", "params", "out", "n_params", "n_out")
    return {
        "code": program.code,
        "constants": program.constants,
        "width": 0 if code is None else code.width,
        "address": 0 if code is None else code.addresses[0],
        **{field: getattr(program.layout, field) for field in fields},
    }


def _machine_code(program: ColumnProgram, isa: str) -> MachineCode:
    """Compiled once a process, and kept on disk."""

    def make() -> MachineCode:
        target = target_for(isa)
        return compiled(lambda: _text(program, target), (program.digest,), ("columns",), target)

    return _kept.get((program.digest, isa), make)


def _text(program: ColumnProgram, target: Target) -> str:
    """The IR of the program as void columns(double* workspace)."""
    # Of one program an Emitter needs layout and constants alone.
    emitter, at = Emitter(cast(Any, program), target, origin=0), program.layout
    emitter.run(program.code, stored=range(at.out, at.out + at.n_out))
    return module([emitter.define("columns", internal=False)], target)
