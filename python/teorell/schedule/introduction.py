"""When each dose of a record is introduced, and when its rules are read.

As NONMEM's help has it (bioavail, absorpt, ratepar, duration, dose): dose k of a record goes in at
its time plus lag plus k intervals, with the lag that holds at the record. Bioavailability and
modelled duration are those in effect when the dose goes in, and stay. A modelled rate is that of
every moment of the infusion. Doses that lead to a steady state take the rules of its record.

Additional and lagged doses come before the records of their time. Where no parameter in a rule
changes over time, all doses of a record share the values at the record, and the table stays as it
is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.model.declarations import Dosing
from teorell.model.expression import Expression, leaves
from teorell.rows import offsets_of, spread
from teorell.schedule.covariates import Moments, Stepwise, rows_at
from teorell.schedule.dose import MODELLED_DURATION, MODELLED_RATE, NOT_STEADY
from teorell.schedule.dose_table import DoseTable
from teorell.schedule.rate_pieces import Pieces, cut, rates_over_time
from teorell.schedule.rule_values import ValuesAt, rules_of

__all__ = ["Introduced", "introduced", "recorded"]


@dataclass(frozen=True, eq=False)
class Introduced:
    """A table of doses in which every row has one value of each rule."""

    table: DoseTable
    acting: Moments  # (rows,) when bioavailability and duration are read
    flowing: Moments  # (rows,) when the rate is
    record: NDArray[np.int64] | None = None  # (rows,) the record of each; None: each is its own
    pieces: Pieces | None = None  # of infusions whose rate changes

    def moments(self) -> dict[str, Moments]:
        """Field of model.dosing -> (rows,) when it is read."""
        return {
            "lag": self.table.moments(),
            "bioavailability": self.acting,
            "rate": self.flowing,
            "duration": self.acting,
        }


def recorded(table: DoseTable) -> Introduced:
    """The table as it is: every rule is read at the record."""
    at = table.moments()
    return Introduced(table, at, at)


def introduced(
    table: DoseTable,
    rules: Mapping[str, Dosing],
    steps: Mapping[str, Stepwise],
    values_at: ValuesAt,
) -> Introduced:
    """The rows of a table of records, split where the rules of their doses differ.

    steps: the parameters that change over time. InputError where a lag or a bioavailability makes
    no sense.
    """
    changing = _changing(table, rules, steps)
    one_by_one = changing & (table.kind == MODELLED_RATE)
    if not changing.any():
        return recorded(table)
    lag = rules_of(table, rules, {"lag": table.moments()}, values_at)[1]["lag"]
    late = table.time + lag > table.time
    split = changing & ((table.doses > 1) | late | one_by_one)
    if not split.any():
        return recorded(table)
    read = [
        steps[name]
        for name in sorted(
            {n for rule in rules.values() for n in _names(rule.bioavailability, rule.duration)}
            & steps.keys()
        )
    ]
    given = _by_value(table, lag, late, split, one_by_one, read)
    if not one_by_one.any():
        return given
    return _by_rate(given, rules, steps, values_at, lag)


def _changing(
    table: DoseTable, rules: Mapping[str, Dosing], steps: Mapping[str, Stepwise]
) -> NDArray[np.bool_]:
    """(rows,) Does a rule that decides what goes in read a parameter that changes over time?"""
    result = np.zeros(len(table.into), np.bool_)
    for number, name in enumerate(table.states):
        rule = rules.get(name)
        if rule is None:
            continue
        here = table.into == number
        for expression, kinds in (
            (rule.bioavailability, here),
            (rule.duration, here & (table.kind == MODELLED_DURATION)),
            (rule.rate, here & (table.kind == MODELLED_RATE)),
        ):
            if _names(expression) & steps.keys():
                result |= kinds
    # an infusion that has run for ever takes no bioavailability, and introduces nothing
    result &= (table.steady == NOT_STEADY) | (table.every > 0.0)
    return result


def _names(*expressions: Expression | None) -> set[str]:
    return {leaf.name for one in expressions if one is not None for leaf in leaves(one)}


def _by_value(
    table: DoseTable,
    lag: Array,
    late: NDArray[np.bool_],
    split: NDArray[np.bool_],
    one_by_one: NDArray[np.bool_],
    read: list[Stepwise],
) -> Introduced:
    """The table with rows for doses of the records to `split` that share the values of rules.

    one_by_one: records each of whose doses has a row. read: the steps of the parameters in
    bioavailabilities and durations.
    """
    rows = np.flatnonzero(split)
    counts = table.doses[rows]
    entry, k = np.repeat(rows, counts), spread(np.zeros_like(counts), counts)
    order = None
    if table.order is not None:
        order = np.where((k > 0) | late[entry], -1.0, table.order[entry])
    time = (table.time + lag)[entry] + k * table.every[entry]
    given = Moments(table.owner[entry], time, order)
    begins = (k == 0) | one_by_one[entry]
    for each in read:
        begins[1:] |= np.diff(rows_at(each, given)) != 0
    begin = np.flatnonzero(begins)
    doses = np.diff(np.append(begin, len(entry)))

    # What is not split, and what leads to a steady state, is read at the record.
    base = np.flatnonzero(~split | (table.steady != NOT_STEADY))
    record = np.concatenate([base, entry[begin]])
    is_base = np.arange(len(record)) < len(base)
    number = np.concatenate([np.zeros(len(base), np.int64), k[begin]])
    by = np.lexsort((number, ~is_base, record))
    record, is_base = record[by], is_base[by]
    of_base, at = np.where(split[base], 0, table.doses[base]), table.moments().of(base)
    acting = Moments(
        np.concatenate([at.owner, given.owner[begin]])[by],
        np.concatenate([at.time, given.time[begin]])[by],
        None if order is None or at.order is None
        else np.concatenate([at.order, order[begin]])[by],
    )  # fmt: skip
    found = _with_rows(table, record)
    found = replace(
        found,
        steady=np.where(is_base, found.steady, NOT_STEADY).astype(np.int8),
        doses=np.concatenate([of_base, doses])[by],
        skip=number[by],
    )
    return Introduced(found, acting, acting, record)


def _with_rows(table: DoseTable, rows: NDArray[np.int64]) -> DoseTable:
    """Rows of the table, ascending, some of them several times."""
    counts = np.bincount(table.owner[rows], minlength=table.patients)
    return table.select(rows, offsets_of(counts))


def _by_rate(
    given: Introduced,
    rules: Mapping[str, Dosing],
    steps: Mapping[str, Stepwise],
    values_at: ValuesAt,
    lag: Array,
) -> Introduced:
    """With rows for the pieces of infusions whose modelled rate changes while they run."""
    table, acting = given.table, given.acting
    assert given.record is not None
    inside = {"bioavailability": acting}
    amount = table.amount * rules_of(table, rules, inside, values_at)[1]["bioavailability"]
    start = (table.time + lag[given.record]) + table.begins * table.every
    rows, begin, until = [np.arange(len(start))], [np.full(len(start), np.nan)], []
    until.append(begin[0])
    flows = np.zeros(len(start), np.bool_)
    for number, name in enumerate(table.states):
        rate = rules[name].rate if name in rules else None
        if rate is None or not _names(rate) & steps.keys():
            continue
        mine = (table.into == number) & (table.kind == MODELLED_RATE)
        mine &= (table.steady == NOT_STEADY) & (table.doses > 0)
        here = np.flatnonzero(mine)
        if not here.size:
            continue
        rates = rates_over_time(rate, steps, table.patients, values_at)
        pieces = cut(table.owner[here], start[here], amount[here], rates)
        flows |= mine
        rows.append(here[pieces.infusion])
        begin.append(pieces.start)
        until.append(pieces.until)
    rows[0], begin[0], until[0] = (each[0][~flows] for each in (rows, begin, until))
    row, begins, ends = (np.concatenate(each) for each in (rows, begin, until))
    by = np.lexsort((np.where(np.isnan(begins), -np.inf, begins), row))
    row, begins, ends = row[by], begins[by], ends[by]
    later = ~np.isnan(begins)
    last = np.append(np.flatnonzero(np.diff(row)), len(row) - 1)
    found = _with_rows(table, row)
    found = replace(
        found,
        every=np.where(later, 0.0, found.every),
        skip=np.where(later, 0, found.begins),
    )
    flowing = acting.of(row)
    order = flowing.order
    flowing = Moments(
        flowing.owner,
        np.where(later, begins, np.where(flows[row], start[row], flowing.time)),
        # what a rate becomes at the start of an infusion holds from there on
        None if order is None else np.where(flows[row], np.inf, order),
    )
    pieces_of = Pieces(begins, ends, last[np.searchsorted(last, np.arange(len(row)))])
    return Introduced(found, acting.of(row), flowing, given.record[row], pieces_of)
