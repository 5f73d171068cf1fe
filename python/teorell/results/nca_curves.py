"""The numbers of a non-compartmental analysis: areas and terminal slopes of curves.

Definitions follow Gabrielsson and Weiner, Pharmacokinetic and Pharmacodynamic Data Analysis, 5th
ed. (2016), ch. 2.8 (also Gabrielsson and Weiner, Methods Mol. Biol. 929 (2012) 377-389): the area
by the linear trapezoid while the curve rises or is level and by the logarithmic one while it falls
('linear-up log-down'), the terminal slope by log-linear regression on the last points, as many (3
or more, all after the maximum) as give the best adjusted R2; if several are within 1e-4 of the
best, the most points.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.results.nca_checks import coarse

__all__ = ["analysed"]

TIE = 1e-4  # adjusted R2 closer than this to the best one counts as equal


def analysed(t: Array, c: Array) -> tuple[tuple[Array, ...], NDArray[np.bool_]]:
    """The columns of `NCA` for curves c of shape (times, patients), and which are `coarse`."""
    positive = c > 0.0
    top = np.argmax(c, axis=0)
    cmax = np.max(c, axis=0)
    broken = ~np.isfinite(c).all(axis=0)
    last = len(t) - 1 - np.argmax(positive[::-1], axis=0)  # meaningless where nothing is positive
    nothing = ~positive.any(axis=0)
    c_last = np.take_along_axis(c, last[None], axis=0)[0]
    auc = _area(t, c, last)
    lambda_z, r2, points = _terminal(t, c, positive, top, last)
    tail = c_last / lambda_z
    tmax, auc_inf = t[top], auc + tail
    half_life, extrapolated = np.log(2.0) / lambda_z, tail / auc_inf
    far_apart = coarse(t, c, top, auc, _area_of_half(t, c, last)) & ~broken
    results = (cmax, tmax, auc, auc_inf, half_life, lambda_z, extrapolated, r2, points)
    for result in results:
        result[broken] = np.nan
    tmax[nothing] = np.nan
    auc[nothing & ~broken] = 0.0
    auc[np.where(nothing, t[-1], t[last]) <= t[0]] = np.nan  # one sample has no area
    return results, far_apart


def _area_of_half(t: Array, c: Array, last: NDArray[np.intp]) -> Array:
    """(patients,) the area of every second sample, the first and the last positive one too."""
    place = np.arange(len(t))
    kept = (place[:, None] % 2 == 0) | (place[:, None] == last)
    area, at, value = np.zeros(c.shape[1]), np.full(c.shape[1], t[0]), np.array(c[0])
    for k in range(1, len(t)):
        used = kept[k] & (k <= last)
        area += np.where(used, (t[k] - at) * _mean(value, c[k]), 0.0)
        at, value = np.where(used, t[k], at), np.where(used, c[k], value)
    return area


def _area(t: Array, c: Array, last: NDArray[np.intp]) -> Array:
    """(patients,) the area under c (times, patients) up to sample `last` (patients,).

    Linear up, log down.
    """
    area = np.zeros(c.shape[1])
    for k in range(len(t) - 1):
        area += np.where(k < last, (t[k + 1] - t[k]) * _mean(c[k], c[k + 1]), 0.0)
    return area


def _mean(first: Array, second: Array) -> Array:
    """The mean between two samples: linear up, logarithmic down."""
    falls = (second < first) & (second > 0.0)
    drop = first - second
    # log1p of the relative drop: no cancellation where the curve is nearly level
    mean: Array = np.where(
        falls, drop / np.log1p(drop / np.where(falls, second, 1.0)), 0.5 * (first + second)
    )
    return mean


def _terminal(
    t: Array, c: Array, positive: NDArray[np.bool_], top: NDArray[np.intp], last: NDArray[np.intp]
) -> tuple[Array, Array, Array]:
    """lambda_z, adjusted R2 and number of points of the best terminal regression, (patients,) each.

    NaN where there is none. c, positive: (times, patients); top, last: sample of the maximum, of
    the last positive concentration, (patients,). Sums run from the last sample backwards, about the
    last point, where the logarithm and the time are 0.
    """
    patients = c.shape[1]
    log_last = np.log(np.take_along_axis(c, last[None], axis=0)[0])
    n, sx, sy, sxx, sxy, syy = np.zeros((6, patients))
    slope, points = np.full((2, patients), np.nan)
    # the best R2 so far, and that of the chosen number of points
    top_r2, best = np.full((2, patients), -np.inf)
    for k in range(len(t) - 1, 0, -1):
        used = positive[k] & (k > top) & (k <= last)
        if not used.any():
            continue
        x = np.where(used, t[k] - t[last], 0.0)
        y = np.where(used, np.log(np.where(used, c[k], 1.0)) - log_last, 0.0)
        n += used
        sx += x
        sy += y
        sxx += x * x
        sxy += x * y
        syy += y * y
        vx, vy, cov = sxx - sx * sx / n, syy - sy * sy / n, sxy - sx * sy / n
        r2 = 1.0 - (1.0 - cov * cov / (vx * vy)) * (n - 1.0) / (n - 2.0)
        better = used & (n >= 3) & (vx > 0.0) & (cov < 0.0) & (r2 >= top_r2 - TIE)
        slope = np.where(better, cov / vx, slope)
        points = np.where(better, n, points)
        best = np.where(better, r2, best)
        top_r2 = np.where(better, np.maximum(top_r2, r2), top_r2)
    return -slope, np.where(np.isnan(points), np.nan, best), points
