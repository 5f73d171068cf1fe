"""What a model is made of, and the checks of names and numbers as they are declared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import TypeVar

import numpy as np

from teorell.errors import ModelError, suggestion
from teorell.expression import Expression

__all__ = ["Dosing", "Flow", "Parameter", "Rate", "State", "check_identifier", "look_up", "number", "text"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A number that may differ between patients; lower <= value <= upper."""

    name: str
    default: float
    unit: str = ""
    lower: float = -math.inf
    upper: float = math.inf
    description: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """An unknown of the differential equations. `signed`: may be negative; `controlled`: counts in the step size."""

    name: str
    initial: Expression
    unit: str = ""
    signed: bool = False
    controlled: bool = True
    description: str = ""


@dataclass(frozen=True, slots=True)
class Flow:
    """Amount per time from one state to another; None is outside the model."""

    source: str | None
    sink: str | None
    rate: Expression

    def __str__(self) -> str:
        return f"{self.source or 'outside'} -> {self.sink or 'outside'}"


@dataclass(frozen=True, slots=True)
class Rate:
    """A term added to the derivative of one state, answerable to no other."""

    state: str
    rate: Expression


@dataclass(frozen=True, slots=True)
class Dosing:
    """How doses into a state behave; expressions of parameters, None where the regimen alone decides."""

    lag: Expression | None = None
    bioavailability: Expression | None = None
    rate: Expression | None = None
    duration: Expression | None = None


def check_identifier(name: object, kind: str) -> None:
    if not isinstance(name, str):
        raise ModelError(f"{kind} name {name!r}: it is a {type(name).__name__}. Give names as strings, one by one.")
    if not name.isidentifier():
        raise ModelError(f"{kind} name {name!r}: not an identifier. Use letters, digits and _, no digit first.")
    if name == "time":
        raise ModelError(f"{kind} name 'time': it means the time of the model. Choose another name.")


def text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise ModelError(f"{what}: {value!r} is a {type(value).__name__}. Give a string.")
    return value


def number(value: object, what: str) -> float:
    if not isinstance(value, (Real, np.bool_)):
        raise ModelError(f"{what}: {repr(value)[:60]} is a {type(value).__name__}. Give a real number.")
    if math.isnan(float(value)):
        raise ModelError(f"{what} is NaN. Give a number.")
    return float(value)


def look_up(name: str, known: Mapping[str, T], kind: str) -> T:
    if name not in known:
        raise ModelError(f"{kind} {name!r}: unknown. {suggestion(name, known)}")
    return known[name]
