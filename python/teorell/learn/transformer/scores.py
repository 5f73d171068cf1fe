"""How far forecasts of log concentrations are off, patient by patient and by hours ahead."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.learn.transformer.network import LEVELS
from teorell.learn.transformer.studies import Studies

__all__ = ["AHEAD", "ahead", "crps", "quantile_scores", "within"]

AHEAD = (0.0, 6.0, 24.0, 72.0, np.inf)
"""h after the last sample: bounds of four horizons."""


def ahead(given: Studies) -> NDArray[np.int64]:
    """Which horizon of AHEAD each query is in, (patients, queries); -1: not after a sample.

    A query at a bound is in the horizon that ends there.
    """
    times = np.where(np.isfinite(given.sample), given.sample_time, -np.inf)
    last = times.max(axis=1, initial=-np.inf)
    after = np.where(np.isfinite(last)[:, None], given.query_time - last[:, None], -1.0)
    found: NDArray[np.int64] = np.searchsorted(AHEAD, after, side="left") - 1
    return found


def within(quantiles: Array, truth: Array, low: int) -> Array:
    """1 where the truth lies between the quantiles `low` and its mirror, else 0."""
    inside = (quantiles[..., low] <= truth) & (truth <= quantiles[..., -1 - low])
    return inside.astype(np.float64)


def quantile_scores(quantiles: Array, truth: Array) -> Array:
    """The continuous ranked probability score by its quantile form, over LEVELS alone; of truth.

    Twice the integral of the quantile loss over levels (Gneiting 2007, J Am Stat Assoc 102:359), by
    the trapezoid rule from 0.05 to 0.95; the tails beyond are left out of every score alike.
    """
    levels = np.array(LEVELS)
    apart = truth[..., None] - quantiles
    loss = np.maximum(levels * apart, (levels - 1) * apart)
    found: Array = np.sum((loss[..., 1:] + loss[..., :-1]) * np.diff(levels), axis=-1)
    return found


def crps(quantiles: Array, truth: Array) -> float:
    """The mean of `quantile_scores`."""
    return float(quantile_scores(quantiles, truth).mean())
