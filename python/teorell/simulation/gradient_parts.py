"""The gradient of many patients, some at a time.

What lies between what goes in and what comes out, such as the cotangents of each patient's doses,
is then there for some patients alone: memory does not grow with it. Where doses are each patient's
own, they are what goes in, and all patients are one part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from teorell.arrays import Array
from teorell.exact_total import ExactTotal, total
from teorell.simulation.call_cotangents import CallCotangents
from teorell.simulation.core_call import CoreCall
from teorell.simulation.inputs import Input

if TYPE_CHECKING:
    from teorell.engine.batch import RawGradient

__all__ = ["pull_back_in_parts"]

AT_A_TIME = 8192  # patients: many for the threads, their cotangents of doses some MB


def pull_back_in_parts(
    call: CoreCall,
    inputs: Sequence[Input],
    arrays: Sequence[Array],
    run: Callable[[CoreCall, int], RawGradient],
    whole: bool,
) -> tuple[list[Array], RawGradient]:
    """The cotangent of each input, in the shape of its array, and what the core says of all.

    run: pulls back some patients, told their call and how many come before them. whole: the core
    has to see all of them in one call.
    """
    if not divisible(call):
        raw = run(call, 0)
        call.report(raw)
        bars = zip(CallCotangents(call).pull_back(raw, inputs), arrays, strict=True)
        return [bar if array.ndim else np.asarray(total(bar)) for bar, array in bars], raw
    n = call.batch.patients
    everything = run(call, 0) if whole else None
    found: RawGradient | None = everything
    sums = [ExactTotal() for _ in inputs]  # of what patients share
    for first, end in _parts(n):
        part = _part(call, first, end)
        mine = run(part, first) if everything is None else _rows(everything, first, end)
        if found is None:
            found = _empty(mine, n)
        if found is not everything:
            _fill(found, mine, first)
        for k, bar in enumerate(CallCotangents(part).pull_back(mine, inputs)):
            if not arrays[k].ndim:
                sums[k].add(bar)
    assert found is not None
    names = call.columns.names
    result = [
        # views: what they are of takes as much memory as all of them
        found.parameters[:, names.index(entry.name)] if array.ndim else np.asarray(one.value)
        for entry, array, one in zip(inputs, arrays, sums, strict=True)
    ]
    return result, found


def divisible(call: CoreCall) -> bool:
    """Are there many patients who share all but their parameters?"""
    batch = call.batch
    return (
        batch.patients > AT_A_TIME
        and batch.shared_timeline
        and isinstance(batch.times, np.ndarray)
        and not batch.summary
        and not call.switches
        and not call.columns.steps
        and not call.doses.rules
        and call.steady is None
    )


def _parts(patients: int) -> Iterator[tuple[int, int]]:
    """The first patient of each part, and the one after its last."""
    for first in range(0, patients, AT_A_TIME):
        yield first, min(first + AT_A_TIME, patients)


def _part(call: CoreCall, first: int, end: int) -> CoreCall:
    columns = tuple(each[first:end] if each.ndim else each for each in call.batch.columns)
    return replace(call, batch=replace(call.batch, columns=columns, patients=end - first))


_OF_PATIENTS = (
    "status", "failure_time", "steps", "rejected", "condition", "reduced", "reached", "parameters",
    "initial",
)  # fmt: skip
_OF_ROWS = ("event_value", "event_time")


def _rows(raw: RawGradient, first: int, end: int) -> RawGradient:
    """What the core says of some patients."""
    return replace(
        raw, **{name: getattr(raw, name)[first:end] for name in (*_OF_PATIENTS, *_OF_ROWS)}
    )


def _empty(like: RawGradient, patients: int) -> RawGradient:
    """Room for what the core says of all patients; nothing of rows."""
    room: dict[str, Any] = {
        name: np.empty((patients, *getattr(like, name).shape[1:]), getattr(like, name).dtype)
        for name in _OF_PATIENTS
    }
    nothing = np.zeros((0, 0))
    return replace(like, **room, event_value=nothing, event_time=nothing)


def _fill(found: RawGradient, part: RawGradient, first: int) -> None:
    for name in _OF_PATIENTS:
        rows = getattr(part, name)
        getattr(found, name)[first : first + len(rows)] = rows
