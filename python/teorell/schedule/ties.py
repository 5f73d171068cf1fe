"""Which times are one to the solver: those that differ by rounding alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array

__all__ = ["TIED", "tied_together"]

TIED = 8 * np.finfo(np.float64).eps  # times within 8 ulp are one event to the solver (events.hpp)


def tied_together(owner: NDArray[np.int64], time: Array) -> NDArray[np.int64]:
    """(rows,) a number for each group of sorted rows of one patient whose times are one to the
    solver.
    """
    if not len(owner):
        return np.zeros(0, np.int64)
    with np.errstate(invalid="ignore"):  # -inf, before all times, is one with itself
        apart = (np.diff(owner) != 0) | (np.diff(time) > TIED * time[1:])
    return np.concatenate([[0], np.cumsum(apart)])
