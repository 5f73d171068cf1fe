"""The one caller of the compiled core: programs, parameter columns and events in, raw arrays out."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from teorell import _core

if TYPE_CHECKING:
    from teorell.events import Events
    from teorell.lowering import Programs

__all__ = ["METHODS", "STATUS", "Raw", "available_threads", "choose_executor", "instruction_sets", "solve", "tableau"]

STATUS: dict[int, str] = dict(enumerate(_core.status_sentences()))
METHODS: tuple[str, ...] = tuple(_core.methods())

available_threads: Callable[[], int] = _core.available_threads
tableau: Callable[[str], dict[str, Any]] = _core.tableau


def instruction_sets() -> list[dict[str, Any]]:
    """The builds of the core that this processor can run, best first: name, register_width, interpreter_width, fma."""
    return _core.instruction_sets()


@dataclass(frozen=True)
class Raw:
    """What the core returns."""

    values: NDArray[np.float64]  # (patients, times, outputs), NaN after a failure
    status: NDArray[np.int32]  # (patients,) keys of STATUS
    failure_time: NDArray[np.float64]  # (patients,) NaN where status is 0
    steps: NDArray[np.int64]  # (patients,) accepted steps
    rejected: NDArray[np.int64]  # (patients,) rejected steps


def llvmlite_missing() -> str | None:
    """Why machine code cannot be made here, or None."""
    try:
        import llvmlite
    except ImportError as error:
        return f"llvmlite cannot be imported ({error})"
    version = tuple(int(part) for part in llvmlite.__version__.split(".")[:2])
    return None if version >= (0, 46) else f"llvmlite {llvmlite.__version__} is older than 0.46"


def choose_executor(executor: str | None = None) -> tuple[str, str]:
    """The executor that serves a request, and why: 'machine_code' where llvmlite is there, else 'interpreter'."""
    missing = llvmlite_missing()
    if executor == "interpreter":
        return executor, "as asked"
    if executor == "machine_code" and missing:
        raise ImportError(
            f"executor='machine_code' is not available ({missing}). Install llvmlite 0.46 or newer, or leave executor out."
        )
    return ("interpreter", missing) if missing else ("machine_code", "llvmlite is there")


KEPT = 64  # compiled models a process keeps; a run that uses one keeps it alive by itself
_compiled: OrderedDict[tuple[str, str, str], Any] = OrderedDict()
_lock = threading.Lock()


def machine_code(programs: Programs, method: str, isa: str) -> Any:
    """Compiled code of the programs for one build, made once a process."""
    from teorell import machine_code as compiler

    key = (programs.digest, method, isa)
    with _lock:
        if key not in _compiled:
            builds = instruction_sets()
            build = next(b for b in builds if b["name"] == isa)
            target = compiler.target_for(isa, build["register_width"], build["fma"], best=isa == builds[0]["name"])
            _compiled[key] = compiler.compile_programs(programs, tableau(method), target)
            while len(_compiled) > KEPT:
                _compiled.popitem(last=False)
        _compiled.move_to_end(key)
        return _compiled[key]


def core_model(programs: Programs) -> Any:
    layout = programs.layout
    fields = [getattr(layout, name) if name != "n_rates" else len(programs.infused) for name in _core.layout_fields]
    names = ("prepare", "initial", "rhs", "df_dt", "jacobian_lu", "solve", "outputs")
    return _core.Model(
        layout=np.array(fields, dtype=np.int32),
        constants=np.ascontiguousarray(programs.constants, dtype=np.float64),
        programs={name: np.ascontiguousarray(getattr(programs, name), dtype=np.int32) for name in names},
        ft_rows=np.ascontiguousarray(programs.ft_rows, dtype=np.int32),
        output_states=np.ascontiguousarray(programs.output_states, dtype=np.int32),
        controlled=np.ascontiguousarray(programs.controlled, dtype=np.uint8),
        is_signed=np.ascontiguousarray(programs.signed, dtype=np.uint8),
        switch_before=np.array([s.before for s in programs.switches], dtype=np.float64),
    )


def selected_isa(isa: str | None) -> str:
    """The build to run: as asked, else $TEORELL_ISA, else the best. Raises ValueError where it cannot run here."""
    known = [str(build["name"]) for build in instruction_sets()]
    name = isa or os.environ.get("TEORELL_ISA") or known[0]
    if name not in known:
        raise ValueError(
            f"unknown instruction set {name!r} (this processor and build offer {', '.join(known)}). "
            "Choose one of these, in the argument isa or in $TEORELL_ISA."
        )
    return name


def solve(
    programs: Programs,
    columns: Sequence[NDArray[np.float64]],
    patients: int,
    events: Events,
    times: NDArray[np.float64],
    *,
    rtol: float,
    atol: NDArray[np.float64],
    method: str = "rodas5p",
    max_steps: int = 1_000_000,
    threads: int | None = None,
    before: bool = False,
    progress: Callable[[int, int], None] | None = None,
    executor: str | None = None,
    isa: str | None = None,
) -> Raw:
    """Solves every patient. Inputs are taken as valid: simulate checks them.

    columns: one float64 array a parameter, shape () or (patients,), any stride; times: (samples,) non-decreasing.
    Raises ValueError for an unknown method or instruction set; KeyboardInterrupt on Ctrl-C; whatever `progress` raises.
    """
    name = selected_isa(isa)
    kind, _ = choose_executor(executor)
    code = machine_code(programs, method, name) if kind == "machine_code" else None
    outputs = programs.layout.n_out
    raw = Raw(
        values=np.empty((patients, len(times), outputs)),
        status=np.empty(patients, dtype=np.int32),
        failure_time=np.empty(patients),
        steps=np.empty(patients, dtype=np.int64),
        rejected=np.empty(patients, dtype=np.int64),
    )
    _core.solve(
        core_model(programs),
        name,
        method,
        None if code is None else code.addresses(),
        available_threads() if threads is None else threads,
        list(columns),
        patients,
        events.time,
        events.kind,
        events.target,
        events.value,
        events.offsets,
        times,
        rtol,
        atol,
        float(max_steps),
        before,
        raw.values,
        raw.status,
        raw.failure_time,
        raw.steps,
        raw.rejected,
        progress,
    )
    return raw
