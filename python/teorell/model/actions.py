"""What an event may do: a value that a state takes, or an infusion into it.

An infusion is a level, its rate, and a state that counts down the time that is left of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from teorell.errors import ModelError
from teorell.model.expression import Expression, Operand, as_expression, symbol, where

__all__ = ["Infusion", "as_actions", "flowing"]


@dataclass(frozen=True, eq=False)
class Infusion:
    """An action of an event: `amount` flows into its state at a constant rate, for `duration`.

    model.event(when=c < trough, then={central: tl.Infusion(dose, 2.0)}). amount, in the unit of the
    state, and duration > 0, in the model's time unit: numbers or expressions, read when the event
    acts. Where one runs still, what is left of it is given along with the new one.
    """

    amount: Operand
    duration: Operand


def as_actions(then: Any) -> Mapping[Any, Any]:
    """Actions as {state: expression or Infusion}, also from a regimen of single doses at time 0."""
    if isinstance(then, Mapping):
        return then
    lines = getattr(then, "lines", None)
    if not isinstance(lines, tuple):
        raise ModelError(
            f"what an event does is a {type(then).__name__} (it says which states change). Give "
            "then={state: expression}, or a regimen."
        )
    into = [line.into for line in lines]
    twice = next((state for state in into if into.count(state) > 1), None)
    if twice is not None:
        raise ModelError(
            f"an event gives two doses into {twice!r} (it changes a state once). Declare an event "
            "for each, with the same condition."
        )
    return {line.into: _dose(line) for line in lines}


def _dose(line: Any) -> Any:
    """One line of a regimen as an action."""
    numbers = dict(line.arrays())
    plain = all(isinstance(each, np.ndarray) and each.ndim == 0 for each in numbers.values())
    if not plain or line.doses != 1 or line.steady or numbers["time"] != 0.0 or not line.into:
        raise ModelError(
            f"{line!r} as the action of an event (it is one dose, at the time of the event, the "
            "same for all). Give its amount as a parameter, as in then={state: tl.Infusion(dose, "
            "2.0)}."
        )
    rate, duration = numbers.get("rate"), numbers.get("duration")
    amount = float(numbers["amount"])
    if not line.is_infusion:
        return symbol("state", line.into) + amount
    if rate is None and duration is None:
        raise ModelError(
            f"{line!r} as the action of an event (how long it runs is not known there). Give "
            "duration= or rate=."
        )
    long = amount / float(rate) if duration is None else float(duration)  # type: ignore[arg-type]
    return Infusion(amount, long) if long > 0.0 else symbol("state", line.into) + amount


def flowing(model: Any, name: str, dose: Infusion) -> dict[str, Expression]:
    """The actions on its rate and the time left that start an infusion into state `name`.

    Declares both in the model, and the event that ends it.
    """
    number = 1
    while f"{name}_infusion{number}" in model.state_names:
        number += 1
    rate = model.level(f"{name}_infusion{number}", description=f"rate of an infusion into {name}")
    left = model.level(f"{name}_left{number}", description=f"time that is left of it, {name}")
    model.flow(None, name, rate)
    model.flow(left, None, where(left > 0.0, 1.0, 0.0))
    model.event(when=left <= 0.0, then={rate: 0.0, left: 0.0})
    duration = as_expression(dose.duration)
    return {rate.name: (dose.amount + rate * left) / duration, left.name: duration}
