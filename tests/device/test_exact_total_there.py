"""Sums on a device, exactly rounded: compared with sums of fractions."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from arrays_there import Interface
from device_case import driver
from fake_driver import FakeDriver
from teorell.device.arrays import device_column
from teorell.device.exact_total import total_there

__all__ = ["driver"]  # a fixture


@pytest.mark.parametrize(
    "numbers",
    [
        np.random.default_rng(1).normal(size=3000) * 10.0 ** np.arange(-300, 300, 0.2),
        [1e308, 1e308, -1e308, -1e308, 1.0, 5e-324, -1.0],
        np.full(2000, 5e-324),
        [-0.0],
        [-3.0, 2.0**-1074, -(2.0**1023)],
        np.full(5000, -0.1),
    ],
    ids=["all sizes", "huge ones that cancel", "smallest", "zero", "negative", "one thread's many"],
)
def test_sums_are_exactly_rounded(driver: FakeDriver, numbers: Any) -> None:
    column = device_column(Interface(driver, numbers, stride=-2), "numbers")
    assert total_there(column) == float(sum(map(Fraction, np.asarray(numbers).tolist())))


def test_sums_of_what_is_not_finite(driver: FakeDriver) -> None:
    def summed(*numbers: float) -> float:
        return total_there(device_column(Interface(driver, numbers), "numbers"))

    assert summed(1.0, math.inf) == math.inf
    assert summed(-math.inf, 1.0) == -math.inf
    assert math.isnan(summed(math.inf, -math.inf))
    assert math.isnan(summed(1.0, math.nan))
    assert summed(1e308, 1e308) == math.inf
