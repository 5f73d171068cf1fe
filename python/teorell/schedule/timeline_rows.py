"""What becomes rows of the timeline: doses, resets, steady states, changes of parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.errors import InputError
from teorell.rows import spread
from teorell.schedule.covariates import Stepwise
from teorell.schedule.dose import MAX_DOSES, NOT_STEADY, REPLACE, SHORTEST
from teorell.schedule.dose import RESET as RESET_RECORD
from teorell.schedule.dosing_rules import Doses
from teorell.schedule.ties import TIED

__all__ = [
    "Piece",
    "Steady",
    "change_rows",
    "dose_rows",
    "infusion",
    "order_of",
    "pending",
    "running",
    "steady_rows",
]


# Kinds of rows, as the core numbers them (EventKind of events.hpp).
BOLUS, INFUSION_START, INFUSION_END, SWITCH, RESET, PARAMETER, GIVEN = range(7)
# Roles, what a row comes from: dose `number` of a record, the start or end of that infusion, state
# `number` at steady state, what empties a patient; that dose `number` comes in, came in before a
# record at steady state, came in some time ago (arrival_rows.py); a change of a parameter, a
# switch.
DOSE, START, END, STATE, EMPTYING, ARRIVAL, LAST, WINDOW, CHANGE, SWITCHING = range(10)


class Piece(NamedTuple):
    """Some rows of a timeline, (n,) each, in any order; the names are those of `Timeline`."""

    owner: NDArray[np.int64]  # the patient
    time: Array
    kind: int
    target: NDArray[np.int64]
    value: Array
    role: int
    source: NDArray[np.int64]
    number: NDArray[np.int64]
    order: Array  # among the records of the patient; -1 before all

    def some(self, rows: NDArray[np.int64]) -> Piece:
        """Some of the rows, in the order given."""
        return self._replace(
            owner=self.owner[rows],
            time=self.time[rows],
            target=self.target[rows],
            value=self.value[rows],
            source=self.source[rows],
            number=self.number[rows],
            order=self.order[rows],
        )


@dataclass(frozen=True, eq=False)
class Steady:
    """The states that records at steady state start from."""

    rows: NDArray[np.int64]  # (n,) of the table of doses
    states: Array  # (n, states); zero for a state that has none

    def part(self, first: int, last: int) -> Steady:
        chosen = (self.rows >= first) & (self.rows < last)
        return Steady(self.rows[chosen] - first, self.states[chosen])


def dose_rows(
    doses: Doses,
    to_states: NDArray[np.int64],
    to_infused: NDArray[np.int64],
    ongoing: bool,
    between: bool,
) -> list[Piece]:
    """Doses, the starts and ends of infusions, and what empties patients.

    ongoing, between: as for timeline_of.
    """
    return _given(doses, to_states, to_infused, ongoing, between) + _emptying(doses, ongoing)


def _given(
    doses: Doses,
    to_states: NDArray[np.int64],
    to_infused: NDArray[np.int64],
    ongoing: bool,
    between: bool,
) -> list[Piece]:
    """Every dose of every record: a bolus, or the start and the end of an infusion."""
    table, order = doses.table, order_of(doses)
    owner, into = table.owner, table.into
    before = np.maximum(running(doses), pending(doses))
    _check_before(doses, before)
    counts = np.where(table.kind == RESET_RECORD, 0, table.doses + before)
    if not ongoing:
        counts = np.where(doses.for_ever, 0, counts)
    entry, k = np.repeat(np.arange(len(owner)), counts), spread(table.begins - before, counts)
    at = np.asarray(doses.first[entry] + k * table.every[entry])
    end, rate, short = infusion(at, doses.amount[entry], doses.width[entry])
    coming = k >= -pending(doses)[entry]  # those before it started before the record
    own_time = table.time[entry]
    start = np.where(coming, np.where(k < 0, np.maximum(at, own_time), at), own_time)
    emptied = _emptied(doses)[entry]
    late = (doses.first > table.time)[entry]
    after = np.where(k < 0, start > own_time + TIED * own_time, (k > 0) | late)
    implied = np.where(after, -1.0, order[entry])
    # What comes at the time of what empties, and is written or implied before it, comes before it.
    given = start <= emptied * (1.0 + TIED) if between else start < emptied
    boluses = np.flatnonzero(short & given & coming)
    starts = np.flatnonzero(~short & given & (coming | (end > start)))
    ends = starts[end[starts] < emptied[starts]]

    def piece(
        which: NDArray[np.int64], kind: int, role: int, when: Array, value: Array, order: Array
    ) -> Piece:
        source = entry[which]
        target = (to_states if kind == BOLUS else to_infused)[into[source]]
        return Piece(
            owner=owner[source],
            time=when[which],
            kind=kind,
            target=target,
            value=value[which],
            role=role,
            source=source,
            number=k[which],
            order=order[which],
        )

    amount = doses.amount[entry]
    found = [
        piece(starts, INFUSION_START, START, start, rate, implied),
        piece(ends, INFUSION_END, END, end, rate, np.full(len(entry), -1.0)),
    ]
    if ongoing:  # of an interval, what is not its dose is the state that it starts from
        states = ~doses.introduces[entry[boluses]]
        found.append(piece(boluses[states], BOLUS, STATE, start, amount, implied))
        boluses = boluses[~states]
    return [piece(boluses, BOLUS, DOSE, start, amount, implied), *found]


def _check_before(doses: Doses, before: NDArray[np.int64]) -> None:
    """InputError where a record at steady state has too many earlier doses still to write down."""
    if before.max(initial=0) > MAX_DOSES:
        row = int(np.argmax(before))
        raise InputError(
            f"a dose at steady state finds {before[row]} doses on their way (patient "
            f"{doses.table.owner[row]}: its lag and duration are that many intervals). Give a "
            "longer interval, or a shorter lag or duration."
        )


def _emptying(doses: Doses, ongoing: bool) -> list[Piece]:
    """Resets, and records at steady state that replace what was there before."""
    table, order = doses.table, order_of(doses)
    steady = (table.steady == REPLACE) & (not ongoing)
    found = []
    for to_initial, chosen in ((1, table.kind == RESET_RECORD), (0, steady)):
        source = np.flatnonzero(chosen)
        target = np.full(len(source), to_initial)
        found.append(
            Piece(
                owner=table.owner[source],
                time=table.time[source],
                kind=RESET,
                target=target,
                value=np.zeros(len(source)),
                role=EMPTYING,
                source=source,
                number=target,
                order=order[source],
            )
        )
    return found


def order_of(doses: Doses) -> Array:
    """(rows,) the place of each record among those of its patient; 0 where ties need none."""
    order = doses.table.order
    return np.zeros(len(doses.table.into)) if order is None else order.astype(np.float64)


def infusion(time: Array, amount: Array, duration: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
    """End, rate and 'is really a bolus' of infusions; shapes () or (n,).

    A bolus has rate 0 and ends where it starts. The rate is amount over the time between the two
    events as rounded, so that exactly the amount goes in. Events within 8 ulp are one event to the
    solver: so short an infusion (16, to be safe) would be lost, and is a bolus.
    """
    end = np.asarray(time + duration)
    width = end - time
    short = np.asarray(width <= np.maximum(16 * np.spacing(end), SHORTEST))
    rate = np.where(short, 0.0, amount / np.where(short, 1.0, width))
    return np.where(short, time, end), rate, short


def running(doses: Doses) -> NDArray[np.int64]:
    """(rows,) infusions of earlier intervals that still run at the time of a record at steady
    state.
    """
    table = doses.table
    periodic = (table.steady != NOT_STEADY) & (table.every > 0.0) & (doses.width > 0.0)
    every = np.where(periodic, table.every, 1.0)
    intervals = np.ceil((doses.first - table.time + doses.width) / every).astype(np.int64) - 1
    return np.where(periodic, np.maximum(intervals, 0), 0)


def pending(doses: Doses) -> NDArray[np.int64]:
    """(rows,) doses given before a record at steady state that come in at its time or later.

    They are those of a lag as long as the interval or longer.
    """
    table = doses.table
    periodic = (table.steady != NOT_STEADY) & (table.every > 0.0)
    every = np.where(periodic, table.every, 1.0)
    return np.where(periodic, np.floor((doses.first - table.time) / every), 0.0).astype(np.int64)


def _emptied(doses: Doses) -> Array:
    """(rows,) when a later record of the patient empties it, and what this one still had to give is
    dropped; or never.
    """
    table = doses.table
    never = np.full(len(table.into), np.inf)
    empties = (table.kind == RESET_RECORD) | (table.steady == REPLACE)
    if not empties.any() or table.order is None:
        return never
    owner = table.owner
    sequence = np.lexsort((table.order, owner))
    places = np.where(empties[sequence], np.arange(len(sequence)), len(sequence))
    following = np.append(np.minimum.accumulate(places[::-1])[::-1][1:], len(sequence))
    row = np.append(sequence, -1)[following]
    mine = (row >= 0) & (owner[row] == owner[sequence])
    never[sequence] = np.where(mine, table.time[row], np.inf)
    return never


def steady_rows(doses: Doses, steady: Steady) -> list[Piece]:
    """The states at steady state, each a bolus into its state."""
    table, n = doses.table, steady.states.shape[1]
    source, state = np.repeat(steady.rows, n), np.tile(np.arange(n), len(steady.rows))
    return [
        Piece(
            owner=table.owner[source],
            time=table.time[source],
            kind=BOLUS,
            target=state,
            value=steady.states.reshape(-1),
            role=STATE,
            source=source,
            number=state,
            order=order_of(doses)[source],
        )
    ]


def change_rows(parameter: int, steps: Stepwise, start: int, stop: int) -> list[Piece]:
    """The changes of one parameter, by its number, of the patients start to stop - 1."""
    part = steps if steps.patients == 1 else steps.part(start, stop)
    rows, owner = part.changes, part.owner[part.changes]
    if steps.patients == 1 and stop - start > 1:
        owner, rows = np.repeat(np.arange(stop - start), len(rows)), np.tile(rows, stop - start)
    target = np.full(len(rows), parameter)
    return [
        Piece(
            owner=owner,
            time=part.times[rows],
            kind=PARAMETER,
            target=target,
            value=part.values[rows],
            role=CHANGE,
            source=rows + (steps.offsets[start] if steps.patients > 1 else 0),
            number=target,
            order=np.full(len(rows), -1.0) if part.order is None else part.order[rows],
        )
    ]
