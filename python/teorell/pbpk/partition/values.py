"""Arithmetic that works alike on numbers, NumPy arrays and expressions of a model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from teorell.model.expression import Expression
from teorell.model.expression import where as choose

__all__ = ["Value", "exponential", "maximum", "minimum", "ordered", "square_root", "where"]

Value = Any  # float, NDArray[np.float64] or Expression


def maximum(a: Value, b: Value) -> Value:
    """The larger one, element by element."""
    return np.maximum(a, b)


def minimum(a: Value, b: Value) -> Value:
    """The smaller one, element by element."""
    return np.minimum(a, b)


def exponential(x: Value) -> Value:
    """e to the power x."""
    return np.exp(x)


def square_root(x: Value) -> Value:
    """The square root of x >= 0."""
    return np.sqrt(x)


def where(condition: Value, a: Value, b: Value) -> Value:
    """`a` where the condition holds, else `b`; both are computed."""
    if any(isinstance(each, Expression) for each in (condition, a, b)):
        return choose(condition, a, b)
    return np.where(np.asarray(condition), np.asarray(a), np.asarray(b))[()]


def ordered(values: Iterable[Value]) -> list[Value]:
    """Values in rising order, element by element, by exchanges of neighbours."""
    kept = list(values)
    for end in range(len(kept) - 1, 0, -1):
        for k in range(end):
            kept[k], kept[k + 1] = minimum(kept[k], kept[k + 1]), maximum(kept[k], kept[k + 1])
    return kept
