"""Infusions whose modelled rate changes while they run: in pieces, each of one rate.

A piece goes on until the rate changes, and the last of a dose until its amount has gone in. With
A the amount of a dose from s on, and rates R_0, R_1, ... that change at c_1, c_2, ..., piece j < m
brings in R_j (c_(j+1) - c_j), with c_0 = s, and piece m the rest of A, at R_m. The rule is that of
PREDPP (rate parameters 'act continuously').
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.model.expression import Expression, evaluate, leaves
from teorell.rows import offsets_of
from teorell.schedule.covariates import Moments, Stepwise, rows_at
from teorell.schedule.rule_values import ValuesAt
from teorell.schedule.ties import tied_together

__all__ = ["Cut", "Pieces", "cut", "rates_over_time"]


class Cut(NamedTuple):
    """The pieces of some infusions, (n,) each, in the order of infusions and of time."""

    infusion: NDArray[np.int64]
    start: Array  # when a piece begins that is not the first; NaN for the first
    until: Array  # when the rate changes; NaN for the last


@dataclass(frozen=True, eq=False)
class Pieces:
    """Which rows of a table of doses are pieces of infusions, (rows,) each."""

    start: Array  # when a piece begins that is not the first of its dose; NaN for other rows
    until: Array  # when the rate changes; NaN for the last piece, and for what is no piece
    last: NDArray[np.int64]  # the row of the last piece of the dose; its own for other rows

    @property
    def going(self) -> NDArray[np.bool_]:
        """(rows,) Does another piece of the same dose follow?"""
        return ~np.isnan(self.until)

    @property
    def later(self) -> NDArray[np.bool_]:
        """(rows,) Does a piece of the same dose precede?"""
        return ~np.isnan(self.start)

    def shared(
        self, first: Array, begins: Array, amount: Array, rate: Array
    ) -> tuple[Array, Array, Array]:
        """(rows,) first, amount and length of each row; the length is NaN where none follows.

        first: when dose 0 of the row goes in; begins: how much later it begins; amount: of the
        whole dose.
        """
        first = np.where(self.later, self.start, first)
        length = self.until - (first + begins)
        going = np.flatnonzero(self.going)
        brought = rate[going] * length[going]
        amount = np.array(amount)
        amount[going] = brought
        np.subtract.at(amount, self.last[going], brought)
        return first, amount, length


def rates_over_time(
    expression: Expression, steps: Mapping[str, Stepwise], patients: int, values_at: ValuesAt
) -> Stepwise:
    """The values of a rule of all patients, whenever one of the parameters in it changes."""
    owner = [np.arange(patients)]
    time = [np.full(patients, -np.inf)]
    for name in sorted({leaf.name for leaf in leaves(expression)} & steps.keys()):
        one = steps[name]
        if one.patients == 1:
            each = one.times[one.changes]
            owner.append(np.repeat(np.arange(patients), len(each)))
            time.append(np.tile(each, patients))
        else:
            owner.append(one.owner[one.changes])
            time.append(one.times[one.changes])
    whose, when = np.concatenate(owner), np.concatenate(time)
    by = np.lexsort((when, whose))
    whose, when = whose[by], when[by]
    first = np.unique(tied_together(whose, when), return_index=True)[1]
    whose, when = whose[first], when[first]
    # after all changes of that time
    at = Moments(whose, when, np.full(len(when), np.inf))
    values = np.asarray(evaluate(expression, values_at(expression, at)), np.float64)
    counts = np.bincount(whose, minlength=patients)
    return Stepwise(np.array(np.broadcast_to(values, when.shape)), when, offsets_of(counts))


def cut(owner: NDArray[np.int64], start: Array, amount: Array, rates: Stepwise) -> Cut:
    """The pieces of infusions, (n,) each, at the rates of their patients.

    A rate that is no number above zero ends the dose at that piece, whose value is refused later.
    """
    row = rows_at(rates, Moments(owner, start, None))
    end_row = rates.offsets[1:][owner]
    which, time, rest = np.arange(len(owner)), np.array(start), np.array(amount)
    later = np.zeros(len(owner), np.bool_)
    found: list[tuple[NDArray[np.int64], Array, Array]] = []
    while which.size:
        rate, following = rates.values[row], row + 1
        more = following < end_row[which]
        change = np.where(more, rates.times[np.where(more, following, 0)], np.inf)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            end = time + rest / rate
            brought = rate * (change - time)
        near = 16.0 * np.spacing(time)  # as close as this is at once (timeline_rows.infusion)
        at_once = more & (change - time <= near)
        done = ~at_once & ~(more & (rate > 0.0) & (end > change + near))
        going = ~at_once & ~done
        for those, until in ((done, np.full(len(which), np.nan)), (going, change)):
            begins = np.where(later[those], time[those], np.nan)
            found.append((which[those], begins, until[those]))
        rest, time = np.where(going, rest - brought, rest), np.where(going, change, time)
        later = later | going
        on = ~done
        which, row, time, rest, later = which[on], following[on], time[on], rest[on], later[on]
    infusion, begins, until = (np.concatenate(each) for each in zip(*found, strict=True))
    by = np.lexsort((np.where(np.isnan(begins), -np.inf, begins), infusion))
    return Cut(infusion[by], begins[by], until[by])
