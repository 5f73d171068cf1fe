"""Column programs run: as machine code or interpreted, over all patients, on all threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from teorell import _core, object_cache
from teorell.lowering.columns import ColumnProgram
from teorell.machine_code import llvm_machine, target_for
from teorell.parameters import Array
from teorell.solve import available_threads, choose_executor, instruction_sets, selected_isa
from teorell.vector_ir import Emitter, Target, module

__all__ = ["project_columns", "run_columns"]

KEPT = 64  # compiled programs a process keeps
_compiled: OrderedDict[tuple[str, str], Any] = OrderedDict()
_lock = threading.Lock()


def run_columns(
    program: ColumnProgram,
    columns: Sequence[Array],
    patients: int,
    *,
    threads: int | None = None,
    executor: str | None = None,
    isa: str | None = None,
) -> Array:
    """(outputs, patients): what the program makes of the columns, one float64 array an input, () or
    (patients,).

    Raises ImportError where executor="machine_code" is asked for and llvmlite is missing.
    """
    result = np.empty((program.layout.n_out, patients))
    arguments, _engine = _arguments(program, executor, isa)
    count = available_threads() if threads is None else threads
    _core.map(*arguments, count, list(columns), result)
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
    """The nearest points that satisfy constraints, which are the outputs of the program: values
    (free, patients), NaN where none was found; multipliers (rows, patients); steps (patients,), -1
    where none was found.

    constraints: free (n,), numbers of the inputs that may move; starts (rows + 1,) and columns
    (entries,) of the derivatives that follow the residuals; equality (rows,); tolerance and
    most_steps. scales: a column for each of the free.
    """
    rows, free = len(constraints["equality"]), len(constraints["free"])
    values, multipliers, steps = (
        np.empty((free, patients)),
        np.empty((rows, patients)),
        np.empty(patients, np.int32),
    )
    arguments, _engine = _arguments(program, executor, None)
    count = available_threads() if threads is None else threads
    _core.project(
        *arguments,
        count,
        list(columns),
        dict(constraints),
        list(scales),
        values,
        multipliers,
        steps,
    )
    return values, multipliers, steps


def _arguments(
    program: ColumnProgram, executor: str | None, isa: str | None
) -> tuple[tuple[dict[str, Any], str], Any]:
    """The program as the core takes it and the build that runs it; and what must stay alive
    meanwhile.
    """
    name, layout = selected_isa(isa), program.layout
    kind, _ = choose_executor(executor)
    code = _machine_code(program, name) if kind == "machine_code" else None
    given = {
        "code": program.code, "constants": program.constants,
        "width": 0 if code is None else code.width, "address": 0 if code is None else code.address,
        **{field: getattr(layout, field) for field in ("slots", "const", "params", "out",
        "n_params", "n_out")},
    }  # fmt: skip
    return (given, name), code


@dataclass(frozen=True)
class _Code:
    address: int
    width: int
    engine: Any  # owns the memory of the code


def _machine_code(program: ColumnProgram, isa: str) -> _Code:
    """Compiled once a process, and kept on disk."""
    key = (program.digest, isa)
    with _lock:
        if key not in _compiled:
            builds = instruction_sets()
            build = next(b for b in builds if b["name"] == isa)
            target = target_for(
                isa, build["register_width"], build["fma"], best=isa == builds[0]["name"]
            )
            _compiled[key] = _compiled_code(program, target)
            while len(_compiled) > KEPT:
                _compiled.popitem(last=False)
        _compiled.move_to_end(key)
        found: _Code = _compiled[key]
        return found


def _compiled_code(program: ColumnProgram, target: Target) -> _Code:
    import llvmlite.binding as llvm

    machine = llvm_machine(target)

    def build() -> bytes:
        parsed = llvm.parse_assembly(_text(program, target))
        parsed.verify()
        return bytes(machine.emit_object(parsed))

    code = object_cache.fetch((program.digest, repr(target), repr(llvm.llvm_version_info)), build)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return _Code(engine.get_function_address("columns"), target.width, engine)


def _text(program: ColumnProgram, target: Target) -> str:
    """The IR of the program as void columns(double* workspace)."""
    # Of one program an Emitter needs layout and constants alone.
    emitter, at = Emitter(cast(Any, program), target), program.layout
    emitter.run(program.code, stored=range(at.out, at.out + at.n_out))
    return module([emitter.define("columns", internal=False)], target)
