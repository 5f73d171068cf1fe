"""The one caller of the compiled core: programs, parameter columns and events
in, raw arrays out.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from teorell import _core
from teorell.lowering.program import PROGRAMS
from teorell.samples import Samples, Summary

if TYPE_CHECKING:
    from teorell.events import Events
    from teorell.lowering import Programs

__all__ = [
    "METHODS",
    "STATUS",
    "Options",
    "Raw",
    "RawGradient",
    "Tangents",
    "available_threads",
    "choose_executor",
    "instruction_sets",
    "pull_back",
    "push_forward",
    "solve",
    "tableau",
]  # fmt: skip

Array: TypeAlias = NDArray[np.float64]

STATUS: dict[int, str] = dict(enumerate(_core.status_sentences()))
NO_STEADY_STATE = next(
    (code for code, sentence in STATUS.items() if sentence.startswith("no steady state")), 7
)
METHODS: tuple[str, ...] = tuple(_core.methods())

available_threads: Callable[[], int] = _core.available_threads
tableau: Callable[[str], dict[str, Any]] = _core.tableau


def instruction_sets() -> list[dict[str, Any]]:
    """The builds of the core that this processor can run, best first: name, register_width,
    interpreter_width, fma.
    """
    return _core.instruction_sets()


@dataclass(frozen=True)
class Raw:
    """What the core returns."""

    values: NDArray[np.float64]  # (patients, times, outputs), NaN after a failure
    status: NDArray[np.int32]  # (patients,) keys of STATUS
    failure_time: NDArray[np.float64]  # (patients,) NaN where status is 0
    steps: NDArray[np.int64]  # (patients,) accepted steps
    rejected: NDArray[np.int64]  # (patients,) rejected steps
    # (patients, reductions), NaN where a failure has cut its window short
    reduced: NDArray[np.float64]
    # (patients, reductions) when an extremum is reached first, else NaN
    reached: NDArray[np.float64]


def llvmlite_missing() -> str | None:
    """Why machine code cannot be made here, or None."""
    try:
        import llvmlite
    except ImportError as error:
        return f"llvmlite cannot be imported ({error})"
    version = tuple(int(part) for part in llvmlite.__version__.split(".")[:2])
    return None if version >= (0, 46) else f"llvmlite {llvmlite.__version__} is older than 0.46"


def choose_executor(executor: str | None = None) -> tuple[str, str]:
    """The executor that serves a request, and why: 'machine_code' where llvmlite is there, else
    'interpreter'.
    """
    missing = llvmlite_missing()
    if executor == "interpreter":
        return executor, "as asked"
    if executor == "machine_code" and missing:
        raise ImportError(
            f"executor='machine_code' is not available ({missing}). Install llvmlite 0.46 or "
            "newer, or leave executor out."
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
            target = compiler.target_for(
                isa, build["register_width"], build["fma"], best=isa == builds[0]["name"]
            )
            _compiled[key] = compiler.compile_programs(programs, tableau(method), target)
            while len(_compiled) > KEPT:
                _compiled.popitem(last=False)
        _compiled.move_to_end(key)
        return _compiled[key]


def core_model(programs: Programs) -> Any:
    layout = programs.layout
    counts = {
        "n_rates": len(programs.infused), "n_entries": len(programs.entries),
        "n_outcoef": len(programs.output_coefs),
    }  # fmt: skip
    fields = [
        counts[name] if name in counts else getattr(layout, name) for name in _core.layout_fields
    ]
    return _core.Model(
        layout=np.array(fields, dtype=np.int32),
        constants=np.ascontiguousarray(programs.constants, dtype=np.float64),
        programs={
            name: np.ascontiguousarray(getattr(programs, name), dtype=np.int32) for name in PROGRAMS
        },
        ft_rows=np.ascontiguousarray(programs.ft_rows, dtype=np.int32),
        output_states=np.ascontiguousarray(programs.output_states, dtype=np.int32),
        controlled=np.ascontiguousarray(programs.controlled, dtype=np.uint8),
        is_signed=np.ascontiguousarray(programs.signed, dtype=np.uint8),
        switch_before=np.array([s.before for s in programs.switches], dtype=np.float64),
        entries=np.ascontiguousarray(programs.entries.reshape(-1), dtype=np.int32),
        output_coefs=np.ascontiguousarray(programs.output_coefs, dtype=np.int32),
        sampled_states=np.ascontiguousarray(programs.sampled_states, dtype=np.int32),
    )


def selected_isa(isa: str | None) -> str:
    """The build to run: as asked, else $TEORELL_ISA, else the best.

    Raises ValueError where it cannot run here.
    """
    known = [str(build["name"]) for build in instruction_sets()]
    name = isa or os.environ.get("TEORELL_ISA") or known[0]
    if name not in known:
        raise ValueError(
            f"unknown instruction set {name!r} (this processor and build offer "
            f"{', '.join(known)}). Choose one of these, in the argument isa or in $TEORELL_ISA."
        )
    return name


def solve(
    programs: Programs,
    columns: Sequence[Array],
    patients: int,
    events: Events,
    times: Array | Samples,
    reductions: Summary | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Raw:
    """Solves every patient. Inputs are taken as valid: simulate checks them.

    columns: one float64 array a parameter, shape () or (patients,), any stride; times: (samples,)
    non-decreasing, or the
    Samples of each patient: then values are (rows, outputs), and so are cotangents.
    options: those of `Options`.
    Raises ValueError for an unknown method or instruction set; KeyboardInterrupt on Ctrl-C;
    whatever `progress` raises.
    """
    values = np.empty((*_rows_of(times, patients), programs.layout.n_out))
    return _run(
        programs, columns, patients, events, times, reductions, Options(**options), values, progress
    )


@dataclass(frozen=True)
class Options:
    """How to solve: tolerances, atol (states,); the side of a sample at an event; what runs it."""

    rtol: float
    atol: Array
    method: str = "rodas5p"
    max_steps: int = 1_000_000
    threads: int | None = None
    before: bool = False
    executor: str | None = None
    isa: str | None = None


@dataclass(frozen=True)
class RawGradient:
    """Cotangents of everything that goes in, one scalar's derivatives; zero for a patient that
    failed.
    """

    parameters: Array  # (patients, parameters)
    initial: Array  # (patients, states), at time 0 before any event
    event_value: Array  # (patients, rows) where all patients share one table, else (rows,)
    event_time: Array  # the same
    status: NDArray[np.int32]  # (patients,) and the next as in Raw
    failure_time: Array
    steps: NDArray[np.int64]
    rejected: NDArray[np.int64]
    reduced: Array
    reached: Array


# From values (k, times, outputs), reductions (k, reductions) as the core has them, values and
# times, and the numbers of the
# patients: slopes of the values, and of the reductions, None where there are none.
Loss: TypeAlias = Callable[[Array, Array, Array, NDArray[np.int64]], tuple[Array, Array | None]]
# bytes of a thread for the states of accepted steps; what does not fit is computed again
RECORDED = 32 * 2**20


def pull_back(
    programs: Programs,
    columns: Sequence[Array],
    patients: int,
    events: Events,
    times: Array | Samples,
    cotangent: Array | Loss,
    reductions: Summary | None = None,
    reduced: Array | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
    recorded_steps: int | None = None,
    **options: Any,
) -> RawGradient:
    """The discrete adjoint: from the cotangent of the values to those of parameters, initial states
    and events.

    programs: lowered with derivatives="vjp". cotangent: (patients, times, outputs) float64, any
    strides; or a function that is called for a few patients at a time, none of whom failed (see
    Loss). reduced: (patients, reductions), the cotangent of the reductions, None where there is
    none or a function gives it. recorded_steps: states kept of each patient, for tests.
    """
    shared = len(events.offsets) == 2 and patients != 1
    rows = (patients, len(events.time)) if shared else (len(events.time),)
    fitting = RECORDED // (8 * programs.layout.n * 64)
    if reductions and reduced is None and callable(cotangent):
        reduced = np.zeros((patients, len(reductions)))
    given: dict[str, Any] = {
        "parameters": np.zeros((patients, len(programs.parameter_names))),
        "initial": np.zeros((patients, programs.layout.n)),
        "event_value": np.zeros(rows),
        "event_time": np.zeros(rows),
        "cotangent": None if callable(cotangent) else cotangent,
        "reduced": None if reduced is None else np.ascontiguousarray(reduced, np.float64),
        "recorded_steps": max(16, min(4096, fitting)) if recorded_steps is None else recorded_steps,
    }
    found = _empty_reduced(reductions, patients)
    if callable(cotangent):
        loss = cotangent

        def of_group(values: Array, status: NDArray[np.int32], first: int) -> Array:
            good = np.flatnonzero(status == 0)
            rows = good if isinstance(times, np.ndarray) else times.rows(first, status == 0)
            slopes = np.zeros_like(values)
            if good.size:
                who = first + good
                chosen = values if rows.size == len(values) else values[rows]
                slopes[rows], bars = loss(chosen, found[0][who], found[1][who], who)
                if bars is not None:
                    given["reduced"][who] = bars
            return slopes

        given["loss"] = of_group
    raw = _run(
        programs, columns, patients, events, times, reductions, Options(**options), np.empty((0, 0,
        0)), progress, given, found=found,
    )  # fmt: skip
    bars = {name: given[name] for name in ("parameters", "initial", "event_value", "event_time")}
    same = ("status", "failure_time", "steps", "rejected", "reduced", "reached")
    return RawGradient(**bars, **{name: getattr(raw, name) for name in same})


@dataclass(frozen=True)
class Tangents:
    """Directions: the tangents of what goes in; None where nothing changes."""

    parameters: Array | None = None  # (directions, patients or 1, parameters)
    # (directions, patients or 1, rows), or (directions, rows) if tables differ
    event_value: Array | None = None
    event_time: Array | None = None  # the same


def push_forward(
    programs: Programs,
    columns: Sequence[Array],
    patients: int,
    events: Events,
    times: Array | Samples,
    tangents: Tangents,
    reductions: Summary | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> tuple[Raw, Array, Array]:
    """Forward sensitivities: the values, and their derivatives (patients, times, outputs,
    directions), and those of the reductions (patients, reductions, directions).

    programs: lowered with derivatives="jvp". A derivative after a failure is NaN, as the value is.
    Raises ValueError where there is no direction.
    """
    given = {name: getattr(tangents, name) for name in ("parameters", "event_value", "event_time")}
    arrays = {
        name: None if a is None else np.ascontiguousarray(a, np.float64)
        for name, a in given.items()
    }
    directions = next((len(array) for array in arrays.values() if array is not None), 0)
    if directions == 0:
        raise ValueError(
            "the tangents have no direction (all are None or empty). Give one at least."
        )
    values = np.empty((*_rows_of(times, patients), programs.layout.n_out))
    derivatives = np.full((*values.shape, directions), np.nan)
    reduced = np.zeros((patients, len(reductions or ()), directions))
    raw = _run(
        programs, columns, patients, events, times, reductions, Options(**options), values,
        progress, None, {**arrays, "values": derivatives, "reduced": reduced},
    )  # fmt: skip
    reduced[np.isnan(raw.reduced)] = np.nan
    return raw, derivatives, reduced


def _rows_of(times: Array | Samples, patients: int) -> tuple[int, ...]:
    """The shape of the values but for outputs: (patients, times), or (rows,)."""
    return (patients, len(times)) if isinstance(times, np.ndarray) else (len(times.times),)


def _empty_reduced(reductions: Summary | None, patients: int) -> tuple[Array, Array]:
    shape = (patients, len(reductions or ()))
    return np.empty(shape), np.empty(shape)


def _run(
    programs: Programs,
    columns: Sequence[Array],
    patients: int,
    events: Events,
    times: Array | Samples,
    reductions: Summary | None,
    options: Options,
    values: Array,
    progress: Callable[[int, int], None] | None,
    gradient: dict[str, Any] | None = None,
    tangents: dict[str, Any] | None = None,
    found: tuple[Array, Array] | None = None,
) -> Raw:
    """The one call of the core. found: where reductions go; None makes these arrays."""
    reduced, reached = found or _empty_reduced(reductions, patients)
    name = selected_isa(options.isa)
    own = None if isinstance(times, np.ndarray) else times
    kind, _ = choose_executor(options.executor)
    code = machine_code(programs, options.method, name) if kind == "machine_code" else None
    raw = Raw(
        values=values,
        status=np.empty(patients, dtype=np.int32),
        failure_time=np.empty(patients),
        steps=np.empty(patients, dtype=np.int64),
        rejected=np.empty(patients, dtype=np.int64),
        reduced=reduced,
        reached=reached,
    )
    summary = None
    if reductions:
        summary = {
            "kinds": reductions.kinds, "outputs": reductions.outputs, "windows": reductions.windows,
            "values": reduced, "times": reached, "linear": reductions.linear,
        }  # fmt: skip
    _core.solve(
        core_model(programs),
        name,
        options.method,
        None if code is None else code.addresses,
        available_threads() if options.threads is None else options.threads,
        list(columns),
        patients,
        events.time,
        events.kind,
        events.target,
        events.value,
        events.offsets,
        times if isinstance(times, np.ndarray) else times.times,
        None if own is None else own.offsets,
        None if own is None else own.events,
        options.rtol,
        options.atol,
        float(options.max_steps),
        options.before and (own is None or own.events is None),
        raw.values,
        raw.status,
        raw.failure_time,
        raw.steps,
        raw.rejected,
        summary,
        progress,
        gradient,
        tangents,
    )
    return raw
