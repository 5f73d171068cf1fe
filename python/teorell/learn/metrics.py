"""How good predictions are: errors, coverage, calibration, and intervals of these.

Predictions and observations are arrays of the same shape, all finite.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.errors import InputError

__all__ = [
    "bootstrap", "calibration", "coverage", "fold_errors", "gmfe", "paired_ratio", "resampled",
    "rmse", "within_fold",
]  # fmt: skip


def rmse(predicted: Any, observed: Any) -> float:
    """The root of the mean squared error, in the unit of both; of logarithms, the log-RMSE."""
    predicted, observed = _pair(predicted, observed)
    return float(np.sqrt(np.mean((predicted - observed) ** 2)))


def fold_errors(predicted: Any, observed: Any) -> Array:
    """|log10(predicted / observed)| of each: 0.3010 is a factor of two, either way."""
    predicted, observed = _pair(predicted, observed)
    if not ((predicted > 0).all() and (observed > 0).all()):
        raise InputError("a fold error of a number <= 0 (it has no logarithm). Leave it out.")
    found: Array = np.abs(np.log10(predicted) - np.log10(observed))
    return found


def gmfe(predicted: Any, observed: Any) -> float:
    """The geometric mean fold error, 10 ** mean |log10(predicted / observed)|; 1 is perfect."""
    return float(10 ** fold_errors(predicted, observed).mean())


def within_fold(predicted: Any, observed: Any, fold: float = 2.0) -> float:
    """The share of predictions within `fold` of what was observed, bounds included."""
    return float((fold_errors(predicted, observed) <= np.log10(fold) * (1 + 1e-12)).mean())


def paired_ratio(predicted: Any, other: Any, observed: Any) -> float:
    """The GMFE of predictions over that of others of the same observations: below 1 is better."""
    return gmfe(predicted, observed) / gmfe(other, observed)


def coverage(lower: Any, upper: Any, observed: Any) -> float:
    """The share of observations inside their intervals, bounds included."""
    lower, observed = _pair(lower, observed)
    upper, observed = _pair(upper, observed)
    if (lower > upper).any():
        raise InputError("a lower bound is above its upper one (no interval). Exchange them.")
    return float(((lower <= observed) & (observed <= upper)).mean())


def calibration(quantiles: Any, levels: Any, observed: Any) -> Array:
    """The share of observations at or below each predicted quantile; calibrated, it is the level.

    quantiles: (observations, levels); levels: (levels,) between 0 and 1. Returns (levels,).
    """
    quantiles, observed = np.asarray(quantiles, float), np.asarray(observed, float)
    shape = (observed.size, np.size(levels))
    if quantiles.shape != shape:
        raise InputError(f"quantiles are {quantiles.shape} (they must be {shape}). Give those.")
    _pair(quantiles, np.broadcast_to(observed[:, None], shape))
    found: Array = (observed[:, None] <= quantiles).mean(axis=0)
    return found


def bootstrap(
    statistic: Callable[[NDArray[np.int64]], float],
    rows: int,
    *,
    groups: Any = None,
    draws: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """The percentile interval of a statistic of rows drawn with replacement.

    statistic: takes the numbers of rows; groups: (rows,), what is drawn as a whole, subjects or
    species; None draws rows.
    """
    rng = np.random.default_rng(seed)
    names = np.arange(rows) if groups is None else np.asarray(groups)
    members = [np.flatnonzero(names == each) for each in np.unique(names)]
    found = [
        statistic(np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))]))
        for _ in range(draws)
    ]
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def resampled(columns: Any, groups: Any, *, draws: int = 500, seed: int = 0) -> Array:
    """Sums of columns over rows, as they are and with groups drawn with replacement.

    columns: (rows, k), all finite; groups: (rows,), what is drawn as a whole. Returns
    (1 + draws, k); its first row is of the rows as they are. A statistic of sums, such as
    sqrt(a / b), has its interval from the same statistic of each row: `bootstrap`, many at once.
    """
    columns, groups = np.asarray(columns, dtype=float), np.asarray(groups)
    if columns.ndim != 2 or groups.shape != columns.shape[:1] or not groups.size:
        raise InputError(
            f"columns are {columns.shape}, groups {groups.shape} (a group for each row is "
            "needed). Give (rows, k) and (rows,)."
        )
    if not np.isfinite(columns).all():
        raise InputError("a value is not finite (its sum is none). Leave it out.")
    names, place = np.unique(groups, return_inverse=True)
    sums = np.zeros((len(names), columns.shape[1]))
    np.add.at(sums, place, columns)
    drawn = np.random.default_rng(seed).multinomial(
        len(names), np.full(len(names), 1 / len(names)), size=draws
    )
    found: Array = np.concatenate([np.ones((1, len(names))), drawn]) @ sums
    return found


def _pair(predicted: Any, observed: Any) -> tuple[Array, Array]:
    """Both as arrays of one shape. InputError for none at all, and for what is not finite."""
    a, b = np.asarray(predicted, dtype=float), np.asarray(observed, dtype=float)
    if a.shape != b.shape:
        raise InputError(f"shapes {a.shape} and {b.shape} (they must agree). Give one for each.")
    if not a.size:
        raise InputError("no observations (an error needs at least one). Give some.")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise InputError("a value is not finite (its error is none). Leave it out.")
    return a, b
