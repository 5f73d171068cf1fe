"""Sums that are exactly rounded, of numbers that come in parts, whatever the order."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from teorell.arrays import Array

__all__ = ["ExactTotal", "total"]

BLOCK = 1024  # numbers that are Python's at a time
TERMS = 64  # and that stay so


class ExactTotal:
    """A sum in the making; its memory does not grow with the numbers."""

    def __init__(self) -> None:
        self._terms: list[float] = []  # their exact sum is that of all numbers
        self._rounded = 0.0  # what NumPy makes of the sum

    def add(self, values: Array) -> None:
        """Add (n,) numbers, of any stride."""
        for first in range(0, len(values), BLOCK):
            block = values[first : first + BLOCK]
            self._rounded += float(np.sum(block))
            self._terms += block.tolist()
            if len(self._terms) > TERMS and math.isfinite(self._rounded):
                self._shorten()

    def _shorten(self) -> None:
        """The same exact sum in a few terms: each is the rounded sum of what the others leave."""
        found: list[float] = []
        while part := math.fsum([*self._terms, *[-each for each in found]]):
            found.append(part)
        self._terms = found

    @property
    def value(self) -> float:
        """The sum, exactly rounded; of infinite values what NumPy makes of them."""
        try:
            return math.fsum(self._terms)
        except (OverflowError, ValueError):
            return self._rounded


def total(values: Array) -> float:
    """The sum of (n,) numbers, exactly rounded: it does not depend on the order.

    Of infinite values it is what NumPy makes of them.
    """
    result = ExactTotal()
    result.add(values)
    return result.value
