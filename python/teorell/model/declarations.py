"""What a model is made of, and the checks of names and numbers as they are declared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import TypeVar

import numpy as np

from teorell.errors import ModelError, suggestion
from teorell.model.expression import Expression

__all__ = [
    "LONG_AGO",
    "Dosing",
    "Event",
    "Flow",
    "Parameter",
    "Rate",
    "State",
    "check_identifier",
    "look_up",
    "number",
    "text",
]

T = TypeVar("T")

LONG_AGO = 1e9
"""How long before time 0, in the model's unit, the last dose of a patient lies that had none."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A number that may differ between patients.

    lower <= value <= upper, both in `unit`, which is a label.
    """

    name: str
    default: float
    unit: str = ""
    lower: float = -math.inf
    upper: float = math.inf
    description: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """An unknown of the differential equations, usually an amount.

    `initial`: an expression of parameters, in `unit`. `signed`: may be negative. `controlled`: its
    error counts in the step size.
    """

    name: str
    initial: Expression
    unit: str = ""
    signed: bool = False
    controlled: bool = True
    description: str = ""


@dataclass(frozen=True, slots=True)
class Flow:
    """A movement of mass: `rate`, an amount per time, from one state to another.

    `source` and `sink` are names of states; None is outside the model.
    """

    source: str | None
    sink: str | None
    rate: Expression

    def __str__(self) -> str:
        return f"{self.source or 'outside'} -> {self.sink or 'outside'}"


@dataclass(frozen=True, slots=True)
class Rate:
    """A term, in the unit of the state per time, added to the derivative of one state.

    Unlike a flow it takes nothing from anywhere else.
    """

    state: str
    rate: Expression


@dataclass(frozen=True, slots=True)
class Dosing:
    """How doses into a state behave: expressions of parameters.

    `lag` and `duration` are times, `bioavailability` is a fraction, `rate` an amount per time; None
    where the regimen alone decides.
    """

    lag: Expression | None = None
    bioavailability: Expression | None = None
    rate: Expression | None = None
    duration: Expression | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Where the condition `when` becomes true, states take the values in `then`, by name."""

    when: Expression
    then: Mapping[str, Expression]


def check_identifier(name: object, kind: str) -> None:
    """ModelError unless `name` can name a parameter, a state, ... (`kind`)."""
    if not isinstance(name, str):
        raise ModelError(
            f"{kind} name is {name!r} (its type is {type(name).__name__}). Give strings, one by "
            "one."
        )
    if not name.isidentifier():
        raise ModelError(
            f"{kind} name is {name!r} (not an identifier). Use letters, digits and _, no digit "
            "first."
        )
    if name == "time":
        raise ModelError(
            f"{kind} name is 'time' (it means the time of the model). Choose another name."
        )


def text(value: object, what: str) -> str:
    """`value` if it is a string, else ModelError, whose message calls it `what`."""
    if not isinstance(value, str):
        raise ModelError(
            f"{what} is {value!r} (its type is {type(value).__name__}). Give a string."
        )
    return value


def number(value: object, what: str) -> float:
    """`value` as a float if it is a real number (infinity is one), else ModelError.

    what: how the message calls it.
    """
    duration = isinstance(value, np.timedelta64)  # to NumPy a whole number
    if not isinstance(value, (Real, np.bool_)) or duration:
        raise ModelError(
            f"{what} is {repr(value)[:60]} (its type is {type(value).__name__}). Give a real "
            "number."
        )
    if math.isnan(float(value)):
        raise ModelError(f"{what} is NaN (not a number). Give a real number.")
    return float(value)


def look_up(name: str, known: Mapping[str, T], kind: str) -> T:
    """`known[name]`; ModelError with the nearest known name if there is none. kind: of what."""
    if name not in known:
        raise ModelError(
            f"unknown {kind} {name!r} (the model does not declare it). {suggestion(name, known)}"
        )
    return known[name]
