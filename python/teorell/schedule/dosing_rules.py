"""What the model says of doses (model.dosing), and its derivatives.

Lag, bioavailability, modelled rate and duration. Of a record with amount a at time t into a state,
bioavailability F times a goes in from t + lag on: at once, over a given or modelled duration, or at
a given or modelled rate, which then decides how long (PREDPP: bioavailability acts on the amount,
and so on the duration of an infusion whose rate is given). The rules take the values that
parameters have at the record, for all its doses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.errors import InputError, count
from teorell.model.declarations import Dosing
from teorell.model.expression import Expression, derivative, evaluate, leaves
from teorell.schedule.dose import (
    BY_DURATION,
    BY_RATE,
    MODELLED_DURATION,
    MODELLED_RATE,
    NOT_STEADY,
    SHORTEST,
)
from teorell.schedule.dose_table import DoseTable

__all__ = ["Doses", "Rule", "doses_of", "like"]

Kind = TypeVar("Kind", bound=np.generic)

FIELDS = ("lag", "bioavailability", "rate", "duration")
MODELLED = {"rate": MODELLED_RATE, "duration": MODELLED_DURATION}


@dataclass(frozen=True, eq=False)
class Rule:
    """One expression of model.dosing, and the values of the parameters in it.

    It is for the rows of doses into its state.
    """

    field: str
    rows: NDArray[np.int64]  # (n,) of the table
    expression: Expression
    values: Mapping[Expression, Array]  # symbol -> () or (n,)

    @cached_property
    def slopes(self) -> dict[str, Array]:
        """d value / d parameter, () or (n,), for the parameters in it."""
        inside = {leaf for leaf in leaves(self.expression) if leaf.op == "parameter"}
        return {
            leaf.name: np.asarray(evaluate(derivative(self.expression, leaf), self.values))
            for leaf in inside
        }


@dataclass(frozen=True, eq=False)
class Doses:
    """A table of doses, and what of them goes in.

    Dose k of a row goes in from first + k every on, over `width` (0: at once).
    """

    table: DoseTable
    amount: Array  # (rows,) that reaches the state
    first: Array  # (rows,) when dose 0 does
    width: Array  # (rows,)
    bioavailability: Array  # (rows,)
    extent: Array  # (rows,) the duration or the rate, given or modelled
    rules: tuple[Rule, ...] = ()

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
        by_rate, extent = like(self.rate_decides, amount), like(self.extent, amount)
        width = np.where(
            by_rate,
            (reaching - like(self.width, amount) * along) / np.where(by_rate, extent, 1.0),
            along,
        )
        return {
            "amount": reaching,
            "first": numbers["time"] + of_rules["lag"],
            "width": width,
            "every": numbers["every"],
            "time": numbers["time"],
            "rate": along,
        }


def like(rows: NDArray[Kind], cotangent: Array) -> NDArray[Kind]:
    """`rows` as (rows,) or (rows, 1), to go with a cotangent (rows,) or (rows, patients)."""
    return rows if cotangent.ndim == 1 else rows[:, None]


def doses_of(
    table: DoseTable,
    rules: Mapping[str, Dosing],
    values_at: Callable[[Expression, NDArray[np.int64]], Mapping[Expression, Array]],
) -> Doses:
    """The doses of a table, by the rules of a model.

    values_at(expression, rows): symbol -> its value at each of these rows of the table. Raises
    InputError for a negative lag, a negative bioavailability, a rate <= 0, a negative duration and
    anything that is not finite, and for a modelled rate or duration without its rule.
    """
    made, values = _rules_of(table, rules, values_at)
    kind = table.kind
    extent = np.array(table.extent)
    for field, modelled in MODELLED.items():
        extent[kind == modelled] = values[field][kind == modelled]
    by_rate = np.isin(kind, (BY_RATE, MODELLED_RATE))
    with np.errstate(over="ignore", invalid="ignore"):
        amount = table.amount * values["bioavailability"]
        by_duration = np.where(np.isin(kind, (BY_DURATION, MODELLED_DURATION)), extent, 0.0)
        width = np.where(by_rate, amount / np.where(by_rate, extent, 1.0), by_duration)
        first = table.time + values["lag"]
        last = first + (table.doses - 1) * table.every + width
        rate = amount / np.where(width > SHORTEST, width, 1.0)
    good = np.isfinite(last) & np.isfinite(rate)
    if not good.all():
        raise InputError(
            f"doses of patient {table.owner[np.argmin(good)]} overflow (their last time, an amount "
            "or a rate is infinite). Check amounts, rates, and the rules of doses."
        )
    return Doses(
        table=table,
        amount=amount,
        first=first,
        width=width,
        bioavailability=values["bioavailability"],
        extent=extent,
        rules=tuple(made),
    )


def _rules_of(
    table: DoseTable,
    rules: Mapping[str, Dosing],
    values_at: Callable[[Expression, NDArray[np.int64]], Mapping[Expression, Array]],
) -> tuple[list[Rule], dict[str, Array]]:
    """The rules that the doses of a table need, and field -> its value at each row.

    Where there is no rule the lag, rate and duration are 0 and the bioavailability is 1.
    """
    made = []
    values = {
        field: np.full(len(table.into), 1.0 if field == "bioavailability" else 0.0)
        for field in FIELDS
    }
    for number, name in enumerate(table.states):
        here = np.flatnonzero(table.into == number)
        if not here.size:
            continue
        rule = rules.get(name, Dosing())
        for field in FIELDS:
            chosen, expression = here, getattr(rule, field)
            if field in MODELLED:
                chosen = here[table.kind[here] == MODELLED[field]]
                if chosen.size and expression is None:
                    raise InputError(
                        f"a dose into {name!r} takes its {field} from the model (which has no such "
                        f"rule). Declare it with model.dosing({name}, {field}=...)."
                    )
            if expression is None or not chosen.size:
                continue
            one = Rule(field, chosen, expression, values_at(expression, chosen))
            values[field][chosen] = _checked(table, one, name)
            made.append(one)
    return made, values


def _checked(table: DoseTable, rule: Rule, state: str) -> Array:
    """The values of a rule, (n,); InputError where they make no sense."""
    values: Array = np.broadcast_to(
        np.asarray(evaluate(rule.expression, rule.values), np.float64), rule.rows.shape
    )
    with np.errstate(invalid="ignore"):
        good = np.isfinite(values) & (values > 0.0 if rule.field == "rate" else values >= 0.0)
    if not good.all():
        bad = int(np.argmin(good))
        least = "above zero" if rule.field == "rate" else "zero or more"
        raise InputError(
            f"{rule.field} of doses into {state!r} is {values[bad]:.6g} for "
            f"{count(int((~good).sum()), 'dose')} (it must be {least}; the first is of patient "
            f"{table.owner[rule.rows[bad]]}). Check the parameters in it."
        )
    return values
