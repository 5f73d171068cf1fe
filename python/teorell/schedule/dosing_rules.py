"""What of doses goes in, by the rules of the model (model.dosing), and its derivatives.

Lag, bioavailability, modelled rate and duration. Of a record with amount a at time t into a state,
bioavailability F times a goes in from t + lag on: at once, over a given or modelled duration, or at
a given or modelled rate, which then decides how long (PREDPP: bioavailability acts on the amount,
and so on the duration of an infusion whose rate is given). When each is read says introduction.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.errors import InputError
from teorell.model.declarations import Dosing
from teorell.schedule.dose import (
    BY_DURATION,
    BY_RATE,
    MODELLED_DURATION,
    MODELLED_RATE,
    NOT_STEADY,
    SHORTEST,
)
from teorell.schedule.dose_table import DoseTable
from teorell.schedule.introduction import Introduced
from teorell.schedule.rate_pieces import Pieces
from teorell.schedule.rule_values import MODELLED, Rule, ValuesAt, rules_of

__all__ = ["Doses", "doses_of", "like"]

Kind = TypeVar("Kind", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Doses:
    """A table of doses, and what of them goes in.

    Dose k of a row goes in from first + k every on, over `width` (0: at once). Where rules change
    over time, several rows may have come of one record.
    """

    table: DoseTable
    amount: Array  # (rows,) that reaches the state
    first: Array  # (rows,) when dose 0 does
    width: Array  # (rows,)
    bioavailability: Array  # (rows,)
    extent: Array  # (rows,) the duration or the rate, given or modelled
    # (rows,) whose doses come in as such: no rest of an infusion, nothing that has run for ever
    introduces: NDArray[np.bool_]
    rules: tuple[Rule, ...] = ()
    record: NDArray[np.int64] | None = None  # (rows,) the record of each; None: each is its own
    pieces: Pieces | None = None  # of infusions whose rate changes

    @property
    def records(self) -> int:
        """How many records there were."""
        return len(self.amount) if self.record is None else int(self.record.max(initial=-1)) + 1

    def to_records(self, rows: Array) -> Array:
        """The sums of rows by record, (records,) or (records, patients)."""
        if self.record is None:
            return rows
        result = np.zeros((self.records, *rows.shape[1:]))
        np.add.at(result, self.record, rows)
        return result

    def from_records(self, records: Array) -> Array:
        """What belongs to the record of each row, (rows,) or (rows, patients)."""
        return records if self.record is None else records[self.record]

    @property
    def for_ever(self) -> NDArray[np.bool_]:
        """(rows,) infusions that have run for ever and end at their time."""
        result: NDArray[np.bool_] = (self.table.steady != NOT_STEADY) & (self.table.every == 0.0)
        return result

    @property
    def rate_decides(self) -> NDArray[np.bool_]:
        """(rows,) where the width is amount over rate."""
        return np.isin(self.table.kind, (BY_RATE, MODELLED_RATE))

    # Cotangents and tangents are (rows,), or (rows, patients) where all patients share the table.

    def pull_back(
        self,
        amount: Array,
        first: Array,
        width: Array,
        every: Array,
        time: Array,
        rate: Array | float = 0.0,
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """The cotangents of the table's numbers, and of the values of rules by field.

        amount, first, width, every: the cotangents of what goes in. time: what reaches the time of
        the record other than through `first`. rate: of infusions that have run for ever.
        """
        by_rate, extent = like(self.rate_decides, amount), like(self.extent, amount)
        over = np.where(by_rate, extent, 1.0)
        amount = amount + np.where(by_rate, width / over, 0.0)
        along = np.where(by_rate, -width * like(self.width, amount) / over, width) + rate
        if self.pieces is not None:
            amount, along, first, every = self._pull_back_pieces(amount, along, first, every)
        modelled = like(np.isin(self.table.kind, (MODELLED_RATE, MODELLED_DURATION)), amount)
        numbers = {
            "amount": amount * like(self.bioavailability, amount),
            "time": time + first,
            "every": every,
            "extent": np.where(modelled, 0.0, along),
        }
        of_rules = {
            "lag": first,
            "bioavailability": amount * like(self.table.amount, amount),
            "rate": along,
            "duration": along,
        }
        return numbers, of_rules

    def push_forward(
        self, numbers: Mapping[str, Array], of_rules: Mapping[str, Array]
    ) -> dict[str, Array]:
        """The tangents of amount, first, width, every, time and rate, by these names.

        numbers: the tangents of the table's amount, time, every and extent. of_rules: those of the
        values of rules, by field.
        """
        amount = numbers["amount"]
        along = numbers["extent"] + of_rules["rate"] + of_rules["duration"]
        reaching = (
            amount * like(self.bioavailability, amount)
            + like(self.table.amount, amount) * of_rules["bioavailability"]
        )
        first = numbers["time"] + of_rules["lag"]
        if self.pieces is not None:
            reaching, first = self._push_forward_pieces(reaching, along, first, numbers["every"])
        by_rate, extent = like(self.rate_decides, amount), like(self.extent, amount)
        width = np.where(
            by_rate,
            (reaching - like(self.width, amount) * along) / np.where(by_rate, extent, 1.0),
            along,
        )
        return {
            "amount": reaching,
            "first": first,
            "width": width,
            "every": numbers["every"],
            "time": numbers["time"],
            "rate": along,
        }

    # Of a piece that another follows, the amount is rate * (until - start), and what follows has
    # so much less; a piece that another precedes starts when the rate changes, whatever the dose.

    def _pull_back_pieces(
        self, amount: Array, along: Array, first: Array, every: Array
    ) -> tuple[Array, Array, Array, Array]:
        """The cotangents of the doses' amounts, of rates, of first and every, from those of rows.

        amount: that of what a row brings in.
        """
        assert self.pieces is not None
        pieces, going = self.pieces, like(self.pieces.going, amount)
        brought = np.where(going, amount - amount[pieces.last], 0.0)
        start = np.where(like(pieces.later, amount), 0.0, -like(self.extent, amount) * brought)
        along = along + like(self.width, amount) * brought
        first = np.where(like(pieces.later, amount), 0.0, first) + start
        every = every + like(self.table.begins, amount) * start
        return np.where(going, 0.0, amount), along, first, every

    def _push_forward_pieces(
        self, amount: Array, along: Array, first: Array, every: Array
    ) -> tuple[Array, Array]:
        """The tangents of what rows bring in and of `first`, from those of the whole doses."""
        assert self.pieces is not None
        pieces, going = self.pieces, like(self.pieces.going, amount)
        first = np.where(like(pieces.later, amount), 0.0, first)
        start = first + like(self.table.begins, amount) * every
        brought = along * like(self.width, amount) - like(self.extent, amount) * start
        brought = np.where(going, brought, 0.0)
        amount = np.where(going, brought, amount)
        np.subtract.at(amount, pieces.last, brought * going)
        return amount, first


def like(rows: NDArray[Kind], cotangent: Array) -> NDArray[Kind]:
    """`rows` as (rows,) or (rows, 1), to go with a cotangent (rows,) or (rows, patients)."""
    return rows if cotangent.ndim == 1 else rows[:, None]


def doses_of(given: Introduced, rules: Mapping[str, Dosing], values_at: ValuesAt) -> Doses:
    """The doses of a table, by the rules of a model.

    Raises InputError for a negative lag, a negative bioavailability, a rate <= 0, a negative
    duration and anything that is not finite, and for a modelled rate or duration without its rule.
    """
    table = given.table
    made, values = rules_of(table, rules, given.moments(), values_at)
    kind = table.kind
    extent = np.array(table.extent)
    for field, modelled in MODELLED.items():
        extent[kind == modelled] = values[field][kind == modelled]
    by_rate = np.isin(kind, (BY_RATE, MODELLED_RATE))
    with np.errstate(over="ignore", invalid="ignore"):
        amount = table.amount * values["bioavailability"]
        first, length = table.time + values["lag"], None
        if given.pieces is not None:
            begins = table.begins * table.every
            first, amount, length = given.pieces.shared(first, begins, amount, extent)
        by_duration = np.where(np.isin(kind, (BY_DURATION, MODELLED_DURATION)), extent, 0.0)
        width = np.where(by_rate, amount / np.where(by_rate, extent, 1.0), by_duration)
        if length is not None:
            width = np.where(np.isnan(length), width, length)
        last = first + (table.begins + table.doses - 1) * table.every + width
        rate = amount / np.where(width > SHORTEST, width, 1.0)
    good = np.isfinite(last) & np.isfinite(rate)
    if not good.all():
        raise InputError(
            f"doses of patient {table.owner[np.argmin(good)]} overflow (their last time, an amount "
            "or a rate is infinite). Check amounts, rates, and the rules of doses."
        )
    introduces = (table.into >= 0) & ((table.steady == NOT_STEADY) | (table.every > 0.0))
    if given.pieces is not None:
        introduces &= ~given.pieces.later
    return Doses(
        table=table,
        amount=amount,
        first=first,
        width=width,
        bioavailability=values["bioavailability"],
        extent=extent,
        introduces=introduces,
        rules=tuple(made),
        record=given.record,
        pieces=given.pieces,
    )
