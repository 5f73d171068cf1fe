"""The calls of the core for simulations: a batch in, values or derivatives out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell import _core
from teorell.arrays import Array
from teorell.engine.batch import (
    Batch,
    Options,
    Raw,
    RawGradient,
    SlopesOfGroup,
    Tangents,
)
from teorell.engine.core_arguments import core_arguments, core_model
from teorell.engine.executors import selected_isa
from teorell.engine.kept_steps import KeptSteps
from teorell.progress import Progress

__all__ = ["pull_back", "push_forward", "solve"]

# bytes of a thread for the states of accepted steps; what does not fit is computed again
RECORDED = 32 * 2**20


def solve(batch: Batch, *, progress: Progress | None = None, keep: int = 0, **options: Any) -> Raw:
    """Solves every patient. Inputs are taken as valid: teorell.simulate checks them.

    keep: bytes that the accepted steps may take, which `pull_back` then need not take again; of
        patients that do not fit nothing is kept.
    options: those of `Options`.
    Raises ValueError for an unknown method or instruction set; KeyboardInterrupt on Ctrl-C;
    whatever `progress` raises.
    """
    raw, chosen = (
        _empty(batch, (*batch.rows_shape, batch.programs.layout.n_out)),
        Options(**options),
    )
    if not keep:
        _call(batch, chosen, raw, progress)
        return raw
    kept = KeptSteps(selected_isa(chosen.isa), batch.patients, keep)
    _call(batch, chosen, raw, progress, kept=kept.core)
    return replace(raw, kept=kept)


def pull_back(
    batch: Batch,
    cotangent: Array | None = None,
    reduced: Array | None = None,
    *,
    slopes: SlopesOfGroup | None = None,
    progress: Progress | None = None,
    recorded_steps: int | None = None,
    solved: Raw | None = None,
    **options: Any,
) -> RawGradient:
    """The discrete adjoint: from the cotangent of the values to those of all that goes in.

    batch: its programs lowered with derivatives="vjp".
    cotangent: (patients, times, outputs) or (rows, outputs), of the values, float64, any strides.
    reduced: (patients, reductions), of the reductions; None where there is none.
    slopes: in place of both, a function that is called for a few patients at a time, none of whom
        failed.
    recorded_steps: states kept of each patient, for tests.
    solved: what `solve` returned of the same batch and options, its steps kept.
    """
    layout, timeline, n = batch.programs.layout, batch.timeline, batch.patients
    rows = (n, len(timeline.time)) if batch.shared_timeline else (len(timeline.time),)
    raw = _empty(batch, (0, 0, 0))
    kept = None if solved is None else solved.kept
    if solved is not None and kept is not None:
        raw = Raw(values=raw.values, **{name: each.copy() for name, each in solved.solved.items()})
    if slopes is not None and batch.summary:
        reduced = np.zeros((n, len(batch.summary)))
    bars: dict[str, Any] = {
        "parameters": np.zeros((n, len(batch.programs.parameter_names))),
        "initial": np.zeros((n, layout.n)),
        "event_value": np.zeros(rows),
        "event_time": np.zeros(rows),
    }
    fitting = max(16, min(4096, RECORDED // (8 * layout.n * 64)))
    gradient: dict[str, Any] = {
        **bars,
        "cotangent": cotangent,
        "reduced": None if reduced is None else np.ascontiguousarray(reduced, np.float64),
        "recorded_steps": fitting if recorded_steps is None else recorded_steps,
    }
    if slopes is not None:
        gradient["loss"] = _of_group(batch, slopes, raw, gradient["reduced"])
    _call(
        batch,
        Options(**options),
        raw,
        progress,
        gradient=gradient,
        kept=None if kept is None else kept.core,
    )
    return RawGradient(**vars(raw), **bars)


def push_forward(
    batch: Batch, tangents: Tangents, *, progress: Progress | None = None, **options: Any
) -> tuple[Raw, Array, Array]:
    """Forward sensitivities: the solution, and its derivatives in each direction.

    batch: its programs lowered with derivatives="jvp".
    Returns also the derivatives of the values, (patients, times, outputs, directions) or
    (rows, outputs, directions), and of the reductions, (patients, reductions, directions). A
    derivative after a failure is NaN, as the value is. Raises ValueError without a direction.
    """
    arrays = {
        name: None if array is None else np.ascontiguousarray(array, np.float64)
        for name, array in vars(tangents).items()
    }
    for name in ("event_value", "event_time"):  # of one patient both shapes mean the same
        rows = arrays[name]
        if rows is not None and rows.ndim == 2 and batch.patients == 1:
            arrays[name] = rows[:, None]
    directions = next((len(array) for array in arrays.values() if array is not None), 0)
    if directions == 0:
        raise ValueError(
            "the tangents have no direction (all are None or empty). Give one at least."
        )
    raw = _empty(batch, (*batch.rows_shape, batch.programs.layout.n_out))
    derivatives = np.full((*raw.values.shape, directions), np.nan)
    reduced = np.zeros((*raw.reduced.shape, directions))
    _call(
        batch,
        Options(**options),
        raw,
        progress,
        tangents={**arrays, "values": derivatives, "reduced": reduced},
    )
    reduced[np.isnan(raw.reduced)] = np.nan
    return raw, derivatives, reduced


def _of_group(
    batch: Batch, slopes: SlopesOfGroup, raw: Raw, bars: Array | None
) -> Callable[..., Any]:
    """The function that the core calls: (values, status, first) -> slopes of a few patients.

    bars: (patients, reductions), where the slopes of the reductions go.
    """
    own = batch.own_times

    def of_group(values: Array, status: NDArray[np.int32], first: int) -> Array:
        good = np.flatnonzero(status == 0)
        rows = good if own is None else own.rows_among(first, status == 0)
        result = np.zeros_like(values)
        if good.size:
            who = first + good
            chosen = values if rows.size == len(values) else values[rows]
            result[rows], of_reductions = slopes(chosen, raw.reduced[who], raw.reached[who], who)
            if of_reductions is not None:
                assert bars is not None
                bars[who] = of_reductions
        return result

    return of_group


def _empty(batch: Batch, shape: tuple[int, ...]) -> Raw:
    """The arrays that the core fills; values of this shape."""
    n, reductions = batch.patients, len(batch.summary or ())
    return Raw(
        values=np.empty(shape),
        status=np.empty(n, np.int32),
        failure_time=np.empty(n),
        steps=np.empty(n, np.int64),
        rejected=np.empty(n, np.int64),
        condition=np.full(n, -1, np.int32),
        reduced=np.empty((n, reductions)),
        reached=np.empty((n, reductions)),
    )


def _call(
    batch: Batch,
    options: Options,
    raw: Raw,
    progress: Progress | None,
    *,
    gradient: dict[str, Any] | None = None,
    tangents: dict[str, Any] | None = None,
    kept: Any = None,
) -> None:
    """The one call of the core for simulations; fills `raw`, and what the two records hold."""
    own, summary = batch.own_times, batch.summary
    reductions = None
    if summary:
        reductions = {**vars(summary), "values": raw.reduced, "times": raw.reached}
    _core.solve(
        core_model(batch.programs),
        **core_arguments(batch, options),
        sample_offsets=None if own is None else own.offsets,
        sample_events=None if own is None else own.events,
        before=options.before and (own is None or own.events is None),
        values=raw.values,
        **raw.went,
        reductions=reductions,
        progress=progress,
        gradient=gradient,
        tangents=tangents,
        kept=kept,
    )
