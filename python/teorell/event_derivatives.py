"""Derivatives of the table of events by what it was made of, both ways.

Dose k of a record comes at first + k every. A bolus has the value amount; an infusion ends `width`
later, and both its rows have the value amount / width. One that was running at the record of a
steady state starts at the time of that record. An infusion too short to be more than a bolus is a
bolus of its amount: it has no derivative by its width. A switch's time is its threshold, unless
that is negative (time 0) or infinite (never), where nothing depends on it.

Cotangents and tangents of rows have the shape (rows,), or (rows, patients) where all patients share
the table. Every sum is
in the order of the rows of one patient: its bits do not depend on the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from teorell.dose_table import BOLUS
from teorell.dosing_rules import Doses, like
from teorell.errors import InputError, count
from teorell.events import (
    CHANGE,
    DOSE,
    EMPTYING,
    END,
    START,
    STATE,
    SWITCHING,
    Events,
    SwitchTimes,
    infusion,
)
from teorell.parameters import Array

__all__ = [
    "change_rows", "check_defined", "pull_back_rows", "pull_back_switches", "push_forward_rows",
    "push_forward_switches", "undefined",
]  # fmt: skip

FIELDS = ("amount", "first", "width", "every", "time")


@dataclass(frozen=True)
class _Geometry:
    """What dose rows of the table are made of: (n,) each, n the rows with a
    role from DOSE to END.
    """

    rows: NDArray[np.int64]  # of the events
    source: NDArray[np.int64]
    k: NDArray[np.int64]
    width: Array  # as rounded, 1 for a bolus
    value: Array  # amount over width; unused for a bolus
    is_bolus: NDArray[np.bool_]
    is_end: NDArray[np.bool_]
    clipped: NDArray[np.bool_]  # running at the time of its record


def _geometry(doses: Doses, events: Events) -> _Geometry:
    rows = np.flatnonzero(events.role <= END)
    source, k, role = events.source[rows], events.number[rows], events.role[rows]
    time = np.asarray(doses.first[source] + k * doses.table.every[source])
    end, value, short = infusion(time, doses.amount[source], doses.width[source])
    width = np.where(short, 1.0, end - time)
    return _Geometry(
        rows, source, k, width, value, role == DOSE, role == END, (k < 0) & (role == START)
    )


def undefined(doses: Doses) -> NDArray[np.bool_]:
    """(rows,) is an infusion of the record a bolus to the solver, so that nothing depends on its
    width?
    """
    table = doses.table
    last = doses.first + (table.doses - 1) * table.every
    short = [
        infusion(np.asarray(time), doses.amount, doses.width)[2] for time in (doses.first, last)
    ]
    result: NDArray[np.bool_] = (
        (short[0] | short[1]) & (table.kind != BOLUS) & (table.into >= 0) & ~doses.for_ever
    )
    return result


def pull_back_rows(doses: Doses, events: Events, value: Array, time: Array) -> dict[str, Array]:
    """From cotangents of value and time of the rows, those of amount, first, width, every and time
    of the doses.
    """
    g = _geometry(doses, events)
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
    others = np.flatnonzero((events.role == STATE) | (events.role == EMPTYING))
    np.add.at(bars["time"], events.source[others], time[others])
    return bars


def push_forward_rows(
    doses: Doses, events: Events, dots: Mapping[str, Array]
) -> tuple[Array, Array]:
    """Tangents of value and time of all rows from those of amount, first, width, every and time of
    the doses.
    """
    g = _geometry(doses, events)
    amount = dots["amount"]
    value, time = np.zeros((2, len(events.time), *amount.shape[1:]))
    bolus, end, clipped = (like(each, amount) for each in (g.is_bolus, g.is_end, g.clipped))
    at = {name: dots[name][g.source] for name in FIELDS}
    infused = (at["amount"] - like(g.value, amount) * at["width"]) / like(g.width, amount)
    value[g.rows] = np.where(bolus, at["amount"], infused)
    moved = at["first"] + like(g.k, amount) * at["every"] + np.where(end, at["width"], 0.0)
    time[g.rows] = np.where(clipped, at["time"], moved)
    others = np.flatnonzero((events.role == STATE) | (events.role == EMPTYING))
    time[others] = dots["time"][events.source[others]]
    return value, time


def check_defined(doses: Doses, extent: Array) -> None:
    """Raise InputError where a tangent of a duration or rate is not 0 and there is no derivative by
    it.
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


def pull_back_switches(events: Events, switches: Sequence[SwitchTimes], time: Array) -> list[Array]:
    """From cotangents of the times of all rows, those of the thresholds, each (patients,)."""
    return [
        np.where(_moves(s), time[_rows_of(events, k)].reshape(-1), 0.0)
        for k, s in enumerate(switches)
    ]


def push_forward_switches(
    events: Events, switches: Sequence[SwitchTimes], tangents: Sequence[ArrayLike]
) -> Array:
    """Tangents of the times of all rows from those of the thresholds, each () or (patients,); other
    rows have 0.
    """
    dots = [
        np.where(_moves(switch), dot, 0.0) for switch, dot in zip(switches, tangents, strict=True)
    ]
    shared = len(events.offsets) == 2
    most = max([dot.size for dot in dots], default=1)
    result = np.zeros((len(events.time), most) if shared and most > 1 else len(events.time))
    for number, dot in enumerate(dots):
        result[_rows_of(events, number)] = dot
    return result


def change_rows(events: Events, parameter: int) -> NDArray[np.int64]:
    """The rows that change one parameter."""
    return np.flatnonzero((events.role == CHANGE) & (events.number == parameter))


def _moves(switch: SwitchTimes) -> NDArray[np.bool_]:
    """Is the threshold the time of the event? At 0 the derivative is that towards later times."""
    result: NDArray[np.bool_] = (switch.threshold >= 0.0) & (switch.threshold < np.inf)
    return result


def _rows_of(events: Events, switch: int) -> NDArray[np.int64]:
    """The rows of one switch: one a patient, so that they lie in the order of the patients."""
    return np.flatnonzero((events.role == SWITCHING) & (events.source == switch))
