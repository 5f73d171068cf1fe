"""Sums on a device that are exactly rounded, whatever the order (cuda/exact_total.cuh)."""

from __future__ import annotations

from math import inf, nan
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from teorell.device.arrays import DeviceArray
from teorell.device.driver import LEGACY_STREAM
from teorell.device.memory import Memory
from teorell.device.over import go_over

__all__ = ["Weighed", "total_there", "weigh"]

WORDS, PLACES = 68, 72  # of the sum, and of all that is counted


class Weighed(NamedTuple):
    """What became of values and their weights."""

    total: float  # the sum of weight times value, and of weight times reduction
    unfit: int  # patients of whom a weight is not finite


def total_there(column: DeviceArray) -> float:
    """The sum of (n,) numbers; of infinite ones what NumPy makes of them. A few words come back."""
    stream = LEGACY_STREAM if column.stream is None else column.stream
    with column.device.driver.current(column.device.number), Memory(column.device) as memory:
        words = np.zeros(PLACES, np.int64)
        (place,) = memory.send([words], stream, "sums")
        given: list[Any] = [column.address, column.strides[0] // 8, column.size, place]
        go_over(column.device, "exact_total.cuh", "total_of_column", column.size, given, stream)
        column.device.driver.read(words, place, stream)
    return _rounded(words)


def weigh(
    batch: NDArray[np.uint8],
    gradient: NDArray[np.uint8],
    patients: int,
    outputs: tuple[int, int],
    memory: Memory,
    stream: int,
) -> Weighed:
    """Values and reductions with their weights, of the patients who did not fail.

    batch, gradient: the views of a call that is over; its cotangents are the weights.
    outputs: how many have weights, of how many.
    """
    words = np.zeros(PLACES, np.int64)
    (place,) = memory.send([words], stream, "sums")
    given: list[Any] = [batch, gradient, *outputs, place]
    go_over(memory.device, "exact_total.cuh", "total_of_patients", patients, given, stream)
    memory.device.driver.read(words, place, stream)
    return Weighed(_rounded(words), int(words[-1]))


def _rounded(words: NDArray[np.int64]) -> float:
    not_numbers, infinite, minus_infinite = (bool(each) for each in words[WORDS : WORDS + 3])
    if not_numbers or (infinite and minus_infinite):
        return nan
    if infinite or minus_infinite:
        return inf if infinite else -inf
    whole = sum(int(word) << (32 * k) for k, word in enumerate(words[:WORDS]))
    try:
        return whole / (1 << 1074)  # whole numbers are divided with one rounding
    except OverflowError:
        return inf if whole > 0 else -inf
