"""Doses as columns: one row a dose record, of every patient or of one schedule that all share.

What the user writes (a Regimen, a list of them, an EventTable) becomes a DoseTable; timeline.py
makes of it what the core reads. A record keeps the numbers as they were given; what
bioavailability, lag and the rules of model.dosing make of them is in dosing_rules.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.rows import Rows, offsets_of, spread
from teorell.schedule.covariates import Moments
from teorell.schedule.dose import BOLUS, REPLACE, RESET, Dose

__all__ = [
    "DoseTable",
    "from_equilibrium",
    "in_time",
    "table_of_columns",
    "table_of_lines",
    "table_of_regimens",
    "without_late",
]

MAX_COUNT = 2.0**62  # of doses, as a number that int64 holds


@dataclass(frozen=True, eq=False)
class DoseTable(Rows):
    """Dose records of patients; offsets of shape (2,) may serve all.

    Dose k of a record, k from 0 (or from `skip`), is given at time + k * every. At steady state the
    same dose was given at every earlier interval too; with every = 0, an infusion of the rate has
    run for ever and ends at `time`.
    """

    states: tuple[str, ...]  # what `into` counts
    offsets: NDArray[np.int64]  # (patients + 1,) or (2,)
    into: NDArray[np.int32]  # (rows,) number in `states`; -1 for a reset
    kind: NDArray[np.int8]  # (rows,) BOLUS ... RESET
    steady: NDArray[np.int8]  # (rows,) NOT_STEADY, REPLACE, ADD
    amount: Array  # (rows,) in the unit of the state
    time: Array  # (rows,)
    every: Array  # (rows,) 0 where there is one dose
    extent: Array  # (rows,) duration or rate as the kind says, else 0
    doses: NDArray[np.int64]  # (rows,)
    # (rows,) place among the patient's records; None: ties need no order
    order: NDArray[np.int64] | None = None
    # (rows,) the first of the doses that the row gives; None: dose 0 of each
    skip: NDArray[np.int64] | None = None
    # (rows,) the place of each in the columns that it was given in; -1: in none
    given: NDArray[np.int64] | None = None

    @property
    def begins(self) -> NDArray[np.int64]:
        """(rows,) the number of the first dose that each row gives."""
        return np.zeros(len(self.into), np.int64) if self.skip is None else self.skip

    def moments(self) -> Moments:
        """(rows,) the records, as moments at which parameters are read."""
        order = None if self.order is None else self.order.astype(np.float64)
        return Moments(self.owner, self.time, order)


def without_late(table: DoseTable, ends: Array) -> DoseTable:
    """The table without doses that come when all is over, but a few: a step goes up to the first.

    ends: (patients of the table,) when each is over; -inf for one of whom nothing is asked.
    """
    if not (table.doses > 1).any():
        return table
    every = np.where(table.doses > 1, table.every, 1.0)
    with np.errstate(over="ignore"):
        intervals = np.floor((ends[table.owner] - table.time) / every * (1.0 + 1e-12))
    needed = np.clip(intervals + 3.0, 2.0, MAX_COUNT).astype(np.int64)
    return replace(table, doses=np.minimum(table.doses, needed))


def table_of_lines(lines: Sequence[Dose], states: tuple[str, ...], patients: int) -> DoseTable:
    """The lines of one regimen, in which every line is a row of each patient; one schedule if no
    number differs.
    """
    several = any(value.ndim for line in lines for _, value in line.arrays())
    shape = (patients if several else 1, len(lines))
    columns = np.zeros((4, *shape))
    for k, line in enumerate(lines):
        for column, value in zip(columns, _numbers(line), strict=True):
            column[:, k] = value
    codes = np.array([_codes(line, states) for line in lines], np.int64).reshape(-1, 4)
    offsets = np.arange(shape[0] + 1, dtype=np.int64) * len(lines)
    return table_of_columns(states, offsets, np.tile(codes.T, shape[0]), columns.reshape(4, -1))


def table_of_regimens(regimens: Sequence[Sequence[Dose]], states: tuple[str, ...]) -> DoseTable:
    """A list of regimens, each the lines (numbers only) of one patient; an object may repeat."""
    number: dict[int, int] = {}
    distinct: list[Sequence[Dose]] = []
    which = np.empty(len(regimens), np.int64)
    for row, lines in enumerate(regimens):
        key = number.setdefault(id(lines), len(distinct))
        if key == len(distinct):
            distinct.append(lines)
        which[row] = key
    every_line = [line for lines in distinct for line in lines]
    lengths = np.array([len(lines) for lines in distinct], np.int64)
    numbers = np.array([_numbers(line) for line in every_line], np.float64).reshape(-1, 4)
    codes = np.array([_codes(line, states) for line in every_line], np.int64).reshape(-1, 4)
    counts = lengths[which]
    entry = spread((np.cumsum(lengths) - lengths)[which], counts)
    return table_of_columns(states, offsets_of(counts), codes[entry].T, numbers[entry].T)


def from_equilibrium(table: DoseTable) -> DoseTable:
    """The table with a record before all others of each patient: nothing was given for ever, and
    all has settled.
    """
    counts = np.diff(table.offsets)
    offsets = table.offsets + np.arange(len(table.offsets))
    rows = spread(offsets[:-1] + 1, counts)
    order = in_time(table) if table.order is None else table.order

    def column(given: Array | NDArray[Any], first: float) -> Any:
        result = np.full(offsets[-1], first, given.dtype)
        result[rows] = given
        return result

    return DoseTable(
        states=table.states,
        offsets=offsets,
        into=column(table.into, 0),
        kind=column(table.kind, BOLUS),
        steady=column(table.steady, REPLACE),
        amount=column(table.amount, 0.0),
        time=column(table.time, 0.0),
        every=column(table.every, 0.0),
        extent=column(table.extent, 0.0),
        doses=column(table.doses, 1),
        order=column(order, -1),
        given=None if table.given is None else column(table.given, -1),
    )


def _numbers(line: Dose) -> tuple[Array, Array, Array, Array]:
    """Amount, time, every, extent."""
    extent = line.rate if line.rate is not None else line.duration
    return line.amount, line.time, line.every, np.zeros(()) if extent is None else extent


def _codes(line: Dose, states: tuple[str, ...]) -> tuple[int, int, int, int]:
    """Into, kind, steady, doses."""
    return -1 if line.kind == RESET else states.index(line.into), line.kind, line.steady, line.doses


def table_of_columns(
    states: tuple[str, ...], offsets: NDArray[np.int64], codes: NDArray[np.int64], numbers: Array
) -> DoseTable:
    """From `_codes` (4, rows) and `_numbers` (4, rows) of all rows.

    With the order in which records count where that matters: by time, then as they were written.
    """
    into, kind, steady, doses = codes
    amount, time, every, extent = np.ascontiguousarray(numbers)
    table = DoseTable(
        states=states,
        offsets=offsets,
        into=into.astype(np.int32),
        kind=kind.astype(np.int8),
        steady=steady.astype(np.int8),
        amount=amount,
        time=time,
        every=every,
        extent=extent,
        doses=np.ascontiguousarray(doses),
    )
    if not (table.steady.any() or (table.kind == RESET).any()):
        return table
    return replace(table, order=in_time(table))


def in_time(table: DoseTable) -> NDArray[np.int64]:
    """(rows,) the place of each among its patient's records, by time and then as they stand."""
    by_time = np.lexsort((table.time, table.owner))
    order = np.empty(len(by_time), np.int64)
    order[by_time] = np.arange(len(by_time)) - np.repeat(table.offsets[:-1], np.diff(table.offsets))
    return order
