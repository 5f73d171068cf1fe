"""The values of model.dosing's expressions at the moments at which doses take them, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.errors import InputError, count
from teorell.model.declarations import Dosing
from teorell.model.expression import Expression, derivative, evaluate, leaves
from teorell.schedule.covariates import Moments
from teorell.schedule.dose import MODELLED_DURATION, MODELLED_RATE
from teorell.schedule.dose_table import DoseTable

__all__ = ["MODELLED", "Rule", "ValuesAt", "rules_of"]

MODELLED = {"rate": MODELLED_RATE, "duration": MODELLED_DURATION}

ValuesAt: TypeAlias = Callable[[Expression, Moments], Mapping[Expression, Array]]
"""(expression, moments) -> symbol -> () or (n,), the parameters in it at each of the moments."""


@dataclass(frozen=True, eq=False)
class Rule:
    """One expression of model.dosing, and the values of the parameters in it.

    It is for the rows of doses into its state.
    """

    field: str
    rows: NDArray[np.int64]  # (n,) of the table
    at: Moments  # (n,) when each is read
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


def rules_of(
    table: DoseTable,
    rules: Mapping[str, Dosing],
    moments: Mapping[str, Moments],
    values_at: ValuesAt,
) -> tuple[list[Rule], dict[str, Array]]:
    """The rules that the doses of a table need, and field -> its value at each row.

    moments: field -> (rows,) when it is read; fields that are not in it are left out. Where there
    is no rule the lag, rate and duration are 0 and the bioavailability is 1. InputError where a
    value makes no sense, and for a modelled rate or duration without its rule.
    """
    made = []
    values = {
        field: np.full(len(table.into), 1.0 if field == "bioavailability" else 0.0)
        for field in moments
    }
    for number, name in enumerate(table.states):
        here = np.flatnonzero(table.into == number)
        if not here.size:
            continue
        rule = rules.get(name, Dosing())
        for field, at in moments.items():
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
            when = at.of(chosen)
            one = Rule(field, chosen, when, expression, values_at(expression, when))
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
