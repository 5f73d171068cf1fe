"""Doses as columns: one row a dose record, of every patient or of one schedule that all share.

What the user writes (a Regimen, a list of them, an EventTable) becomes a DoseTable; events.py makes
of it what the solver reads. A record keeps the numbers as they were given; what bioavailability,
lag and the rules of model.dosing make of them is in dosing_rules.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from teorell.parameters import Array

if TYPE_CHECKING:
    from teorell.regimen import Dose

__all__ = [
    "ADD", "BOLUS", "BY_DURATION", "BY_RATE", "MODELLED_DURATION", "MODELLED_RATE", "NOT_STEADY",
    "REPLACE", "RESET", "SHORTEST", "DoseTable", "from_equilibrium", "in_time", "spread",
    "table_of_lines", "table_of_regimens",
]  # fmt: skip

# How a record's amount goes in, and the record that gives nothing but empties the patient (EVID 3
# of NONMEM).
BOLUS, BY_DURATION, BY_RATE, MODELLED_RATE, MODELLED_DURATION, RESET = range(6)
# At steady state or not (SS 0, 1, 2 of NONMEM): what was there before is replaced by it, or it is
# added.
NOT_STEADY, REPLACE, ADD = range(3)
SHORTEST = 1e-100  # an infusion as short as this is a bolus at any time: its rate could overflow


@dataclass(frozen=True, eq=False)
class DoseTable:
    """Dose records of patients. Patient i has rows offsets[i]:offsets[i + 1]; offsets of shape (2,)
    may serve all.

    Dose k of a record, k from 0, is given at time + k * every. At steady state the same dose was
    given at every earlier interval too; with every = 0, an infusion of the rate has run for ever
    and ends at `time`.
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

    @property
    def patients(self) -> int:
        """How many patients have rows of their own; 1 may stand for all."""
        return len(self.offsets) - 1

    @property
    def owner(self) -> NDArray[np.int64]:
        """(rows,) the patient of each row."""
        return np.repeat(np.arange(self.patients), np.diff(self.offsets))

    def part(self, start: int, stop: int) -> DoseTable:
        """The patients start to stop - 1."""
        first, last = self.offsets[start], self.offsets[stop]
        return self.rows(slice(int(first), int(last)), self.offsets[start : stop + 1] - first)

    def rows(self, chosen: slice | NDArray[np.int64], offsets: NDArray[np.int64]) -> DoseTable:
        """Some rows, in the order given, and the patients they then belong to."""
        order = None if self.order is None else self.order[chosen]
        return DoseTable(
            self.states, offsets, self.into[chosen], self.kind[chosen], self.steady[chosen],
            self.amount[chosen], self.time[chosen], self.every[chosen], self.extent[chosen],
            self.doses[chosen], order,
        )  # fmt: skip

    def repeated(self, times: int) -> DoseTable:
        """The patients, and so their rows, that many times one after the other."""
        rows, counts = len(self.into), np.tile(np.diff(self.offsets), times)
        return self.rows(np.tile(np.arange(rows), times), np.append(0, np.cumsum(counts)))


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
    into, kind, steady, doses = (np.tile(column, shape[0]) for column in codes.T)
    offsets = np.arange(shape[0] + 1, dtype=np.int64) * len(lines)
    amount, time, every, extent = (column.reshape(-1) for column in columns)
    return _ordered(DoseTable(
        states, offsets, into.astype(np.int32), kind.astype(np.int8), steady.astype(np.int8),
        amount, time, every, extent, doses,
    ))  # fmt: skip


def table_of_regimens(regimens: Sequence[Sequence[Dose]], states: tuple[str, ...]) -> DoseTable:
    """A list of regimens, each the lines (numbers only) of one patient; the
    same object may repeat.
    """
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
    offsets = np.zeros(len(regimens) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    entry = spread((np.cumsum(lengths) - lengths)[which], counts)
    into, kind, steady, doses = codes[entry].T
    amount, time, every, extent = np.ascontiguousarray(numbers[entry].T)
    return _ordered(DoseTable(
        states, offsets, into.astype(np.int32), kind.astype(np.int8), steady.astype(np.int8),
        amount, time, every, extent, doses,
    ))  # fmt: skip


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
        table.states, offsets, column(table.into, 0), column(table.kind, BOLUS),
        column(table.steady, REPLACE), column(table.amount, 0.0), column(table.time, 0.0),
        column(table.every, 0.0), column(table.extent, 0.0), column(table.doses, 1), column(order,
        -1),
    )  # fmt: skip


def spread(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """start, start + 1, ...

    (length of them) for each pair, one after the other: shape (sum of lengths,).
    """
    before: NDArray[np.int64] = np.cumsum(lengths) - lengths
    return np.arange(lengths.sum(), dtype=np.int64) + np.repeat(starts - before, lengths)


def _numbers(line: Dose) -> tuple[Array, Array, Array, Array]:
    """Amount, time, every, extent."""
    extent = line.rate if line.rate is not None else line.duration
    return line.amount, line.time, line.every, np.zeros(()) if extent is None else extent


def _codes(line: Dose, states: tuple[str, ...]) -> tuple[int, int, int, int]:
    """Into, kind, steady, doses."""
    return -1 if line.kind == RESET else states.index(line.into), line.kind, line.steady, line.doses


def _ordered(table: DoseTable) -> DoseTable:
    """With the order in which records count where that matters: by time, then
    as they were written.
    """
    if not (table.steady.any() or (table.kind == RESET).any()):
        return table
    return replace(table, order=in_time(table))


def in_time(table: DoseTable) -> NDArray[np.int64]:
    """(rows,) the place of each among the records of its patient, by time and
    then as they stand.
    """
    by_time = np.lexsort((table.time, table.owner))
    order = np.empty(len(by_time), np.int64)
    order[by_time] = np.arange(len(by_time)) - np.repeat(table.offsets[:-1], np.diff(table.offsets))
    return order
