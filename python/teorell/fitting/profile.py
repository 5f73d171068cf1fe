"""Profile likelihoods: how much worse the best fit becomes when one parameter is held elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from teorell.arrays import Array

__all__ = ["Profile", "grid_of", "interval"]

CHI_SQUARE = 3.841458820694124  # 95 % point with one degree of freedom


@dataclass(frozen=True, eq=False)
class Profile:
    """The profile likelihood of one parameter in each problem."""

    name: str
    values: Array  # (problems, points)
    rise: Array  # (problems, points) of the objective above its minimum
    low: Array  # (problems,) of the 95 % interval; infinite where it does not end within the points
    high: Array


def grid_of(best: Array, sd: Array, points: int, width: float, low: float, high: float) -> Array:
    """(problems, points) where to hold a parameter: about `best`, up to `width` deviations `sd`.

    best, sd: (problems,). Where a bound, low or high, is nearer, the points of that side lie closer
    together.
    """
    offsets = np.linspace(-width, width, points)
    below, above = np.maximum(best - low, 0.0), np.maximum(high - best, 0.0)
    left = np.where(sd * width > below, below / width, sd)
    right = np.where(sd * width > above, above / width, sd)
    steps = np.where(offsets < 0.0, left[:, None], right[:, None])
    return np.clip(best[:, None] + steps * offsets, low, high)


def interval(points: Array, rise: Array) -> tuple[Array, Array]:
    """The lower and upper ends, (problems,) each, of the 95 % intervals.

    They are where the rise (problems, points) reaches CHI_SQUARE on both sides of its minimum, by
    the root of the rise, which is straight where the likelihood is that of a normal. points
    (problems, points) ascend.
    """
    low, high = np.full(len(points), -np.inf), np.full(len(points), np.inf)
    root = np.sqrt(np.maximum(rise, 0.0))
    target = np.sqrt(CHI_SQUARE)
    for k in range(len(points)):
        best = int(np.argmin(rise[k]))
        for ends, order in ((low, range(best, 0, -1)), (high, range(best, points.shape[1] - 1))):
            step = -1 if ends is low else 1
            for i in order:
                a, b = root[k, i], root[k, i + step]
                if a <= target < b:
                    ends[k] = points[k, i] + (target - a) / (b - a) * (
                        points[k, i + step] - points[k, i]
                    )
                    break
    return low, high
