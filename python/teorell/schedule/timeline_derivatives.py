"""Derivatives of the timeline by what it was made of, both ways.

Dose k of a record comes at first + k every. A bolus has the value amount; an infusion ends `width`
later, and both its rows have the value amount / width. One that was running at the record of a
steady state starts at the time of that record. An infusion too short to be more than a bolus is a
bolus of its amount: it has no derivative by its width. A switch's time is its threshold, unless
that is negative (time 0) or infinite (never), where nothing depends on it.

Cotangents and tangents of rows have the shape (rows,), or (rows, patients) where all patients share
the table. Every sum is in the order of the rows of one patient: its bits do not depend on the
others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from teorell.arrays import Array
from teorell.engine.batch import Timeline
from teorell.errors import InputError, count
from teorell.schedule.dose import BOLUS
from teorell.schedule.dosing_rules import Doses, like
from teorell.schedule.switch_rows import SwitchTimes
from teorell.schedule.timeline_rows import (
    ARRIVAL,
    CHANGE,
    DOSE,
    EMPTYING,
    END,
    LAST,
    PARAMETER,
    START,
    STATE,
    SWITCHING,
    WINDOW,
    infusion,
    pending,
)

__all__ = [
    "change_rows", "check_defined", "pull_back_rows", "pull_back_switches", "push_forward_rows",
    "push_forward_switches", "undefined",
]  # fmt: skip

FIELDS = ("amount", "first", "width", "every", "time")


@dataclass(frozen=True)
class _Geometry:
    """How the rows of a timeline that are of doses were made.

    (n,) each, n the rows with a role from DOSE to END.
    """

    rows: NDArray[np.int64]  # of the events
    source: NDArray[np.int64]
    k: NDArray[np.int64]
    width: Array  # as rounded, 1 for a bolus
    value: Array  # amount over width; unused for a bolus
    is_bolus: NDArray[np.bool_]
    is_end: NDArray[np.bool_]
    clipped: NDArray[np.bool_]  # running at the time of its record


def _geometry(doses: Doses, timeline: Timeline) -> _Geometry:
    """How the rows of a timeline were made of doses."""
    rows = np.flatnonzero(timeline.role <= END)
    source, k, role = timeline.source[rows], timeline.number[rows], timeline.role[rows]
    time = np.asarray(doses.first[source] + k * doses.table.every[source])
    end, value, short = infusion(time, doses.amount[source], doses.width[source])
    width = np.where(short, 1.0, end - time)
    return _Geometry(
        rows=rows,
        source=source,
        k=k,
        width=width,
        value=value,
        is_bolus=role == DOSE,
        is_end=role == END,
        clipped=(k < -pending(doses)[source]) & (role == START),
    )


@dataclass(frozen=True)
class _Arrivals:
    """How rows move with the arrival of a dose, first + k every, (n,) each."""

    rows: NDArray[np.int64]
    source: NDArray[np.int64]
    k: NDArray[np.int64]
    slope: Array  # d time / d arrival
    is_arrival: NDArray[np.bool_]  # the value is
    at_record: NDArray[np.bool_]  # the time is that of the record


def _arrivals(timeline: Timeline, switches: Sequence[SwitchTimes]) -> _Arrivals:
    """The rows that say when doses came in, and those of conditions on the time after them."""
    rows = np.flatnonzero((timeline.role >= ARRIVAL) & (timeline.role <= WINDOW))
    role = timeline.role[rows]
    slopes = np.array([*(switch.slope for switch in switches), 1.0, 0.0])
    of_time = np.where(role == LAST, len(switches) + 1, len(switches))
    return _Arrivals(
        rows=rows,
        source=timeline.source[rows],
        k=timeline.number[rows],
        slope=slopes[np.where(role == WINDOW, timeline.target[rows], of_time)],
        is_arrival=timeline.kind[rows] == PARAMETER,
        at_record=role == LAST,
    )


def undefined(doses: Doses) -> NDArray[np.bool_]:
    """(rows,) Is an infusion of the record a bolus to the solver?

    Then nothing depends on its width.
    """
    table, begins = doses.table, doses.table.begins
    numbers = (begins, begins + np.maximum(table.doses, 1) - 1)  # of the first and last dose
    times = [doses.first + number * table.every for number in numbers]
    short = [infusion(np.asarray(time), doses.amount, doses.width)[2] for time in times]
    result: NDArray[np.bool_] = (
        (short[0] | short[1]) & (table.kind != BOLUS) & (table.into >= 0) & ~doses.for_ever
    )
    if doses.pieces is not None:  # a short last piece is what the others leave, by their rates
        result &= ~(doses.pieces.going | doses.pieces.later)
    return result


def pull_back_rows(
    doses: Doses,
    timeline: Timeline,
    value: Array,
    time: Array,
    switches: Sequence[SwitchTimes] = (),
) -> dict[str, Array]:
    """The cotangents of doses from those of value and time of all rows of the timeline.

    They are (rows of the table,) or (rows of the table, patients), by the names FIELDS.
    """
    g = _geometry(doses, timeline)
    trail = value.shape[1:]
    bars = {name: np.zeros((len(doses.amount), *trail)) for name in FIELDS}
    bolus, end, clipped = (like(each, value) for each in (g.is_bolus, g.is_end, g.clipped))
    value_bar, time_bar = value[g.rows], time[g.rows]
    per_width = value_bar / like(g.width, value)
    along = np.where(bolus, 0.0, -per_width * like(g.value, value)) + np.where(end, time_bar, 0.0)
    moved = np.where(clipped, 0.0, time_bar)
    np.add.at(bars["amount"], g.source, np.where(bolus, value_bar, per_width))
    np.add.at(bars["width"], g.source, along)
    np.add.at(bars["first"], g.source, moved)
    np.add.at(bars["every"], g.source, like(g.k, value) * moved)
    np.add.at(bars["time"], g.source, np.where(clipped, time_bar, 0.0))
    others = np.flatnonzero((timeline.role == STATE) | (timeline.role == EMPTYING))
    np.add.at(bars["time"], timeline.source[others], time[others])
    a = _arrivals(timeline, switches)
    moved = np.where(like(a.is_arrival, value), value[a.rows], 0.0)
    moved += like(a.slope, value) * time[a.rows]
    np.add.at(bars["first"], a.source, moved)
    np.add.at(bars["every"], a.source, like(a.k, value) * moved)
    np.add.at(bars["time"], a.source, np.where(like(a.at_record, value), time[a.rows], 0.0))
    return bars


def push_forward_rows(
    doses: Doses,
    timeline: Timeline,
    dots: Mapping[str, Array],
    switches: Sequence[SwitchTimes] = (),
) -> tuple[Array, Array]:
    """The tangents of value and time of all rows of the timeline from those of doses.

    dots: the tangents of doses, by the names FIELDS.
    """
    g = _geometry(doses, timeline)
    amount = dots["amount"]
    value, time = np.zeros((2, len(timeline.time), *amount.shape[1:]))
    bolus, end, clipped = (like(each, amount) for each in (g.is_bolus, g.is_end, g.clipped))
    of = {name: dots[name][g.source] for name in FIELDS}  # of the record of each row
    infused = (of["amount"] - like(g.value, amount) * of["width"]) / like(g.width, amount)
    value[g.rows] = np.where(bolus, of["amount"], infused)
    moved = of["first"] + like(g.k, amount) * of["every"] + np.where(end, of["width"], 0.0)
    time[g.rows] = np.where(clipped, of["time"], moved)
    others = np.flatnonzero((timeline.role == STATE) | (timeline.role == EMPTYING))
    time[others] = dots["time"][timeline.source[others]]
    a = _arrivals(timeline, switches)
    moved = dots["first"][a.source] + like(a.k, amount) * dots["every"][a.source]
    value[a.rows] = np.where(like(a.is_arrival, amount), moved, 0.0)
    at_record, moved = like(a.at_record, amount), like(a.slope, amount) * moved
    time[a.rows] = np.where(at_record, dots["time"][a.source], moved)
    return value, time


def check_defined(doses: Doses, extent: Array) -> None:
    """InputError where a tangent goes along a duration or rate that has no derivative.

    extent: the tangents of durations or rates, (rows,) or (rows, patients).
    """
    bad = undefined(doses) & (extent != 0.0 if extent.ndim == 1 else (extent != 0.0).any(axis=1))
    if bad.any():
        table, row = doses.table, int(np.argmax(bad))
        raise InputError(
            "no derivative by the duration or rate of an infusion into "
            f"{table.states[table.into[row]]!r} (it is so short that it is a bolus, for "
            f"{count(int(bad.sum()), 'record')}, the first is of patient {table.owner[row]}). Give "
            "a longer infusion, or a bolus."
        )


def pull_back_switches(
    timeline: Timeline, switches: Sequence[SwitchTimes], time: Array
) -> list[Array]:
    """The cotangents of thresholds, each (patients,), from those of the times of all rows."""
    found = [
        np.where(_moves(s), time[_rows_of(timeline, k)].reshape(-1), 0.0)
        for k, s in enumerate(switches)
    ]
    for number, bar in enumerate(found):
        rows = _windows_of(timeline, number)
        if time.ndim == 1:
            np.add.at(bar, timeline.owner[rows], time[rows])
        else:
            for row in rows:
                bar += time[row]
    return found


def push_forward_switches(
    timeline: Timeline, switches: Sequence[SwitchTimes], tangents: Sequence[ArrayLike]
) -> Array:
    """The tangents of the times of all rows from those of the switches' thresholds.

    tangents: each () or (patients,). Rows that are no switch have 0.
    """
    dots = [
        np.where(_moves(switch), dot, 0.0) for switch, dot in zip(switches, tangents, strict=True)
    ]
    shared = timeline.shared
    most = max([dot.size for dot in dots], default=1)
    result = np.zeros((len(timeline.time), most) if shared and most > 1 else len(timeline.time))
    for number, dot in enumerate(dots):
        result[_rows_of(timeline, number)] = dot
        rows = _windows_of(timeline, number)
        every = np.broadcast_to(tangents[number], result.shape[1:] or (timeline.patients,))
        result[rows] = every if result.ndim == 2 else every[timeline.owner[rows]]
    return result


def change_rows(timeline: Timeline, parameter: int) -> NDArray[np.int64]:
    """The rows that change one parameter."""
    return np.flatnonzero((timeline.role == CHANGE) & (timeline.number == parameter))


def _moves(switch: SwitchTimes) -> NDArray[np.bool_]:
    """Is the threshold the time of the event? At 0 the derivative is that towards later times."""
    result: NDArray[np.bool_] = (switch.threshold >= 0.0) & (switch.threshold < np.inf)
    return result


def _windows_of(timeline: Timeline, switch: int) -> NDArray[np.int64]:
    """The rows where a condition on the time after a dose changes some time after it."""
    return np.flatnonzero((timeline.role == WINDOW) & (timeline.target == switch))


def _rows_of(timeline: Timeline, switch: int) -> NDArray[np.int64]:
    """The rows of one switch: one a patient, so that they lie in the order of the patients."""
    return np.flatnonzero((timeline.role == SWITCHING) & (timeline.source == switch))
