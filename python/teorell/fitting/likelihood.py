"""The likelihood of observations about predictions, with its slope and its Fisher information.

Observations are normal about the prediction f with variance v(f, sigma). With residual e = y - f a
row adds

    (e^2 / v + log v) / 2                       to the negative log likelihood
    f' f'^T / v + v' v'^T / (2 v^2)             to the expected information

One that is known to lie from a to b adds -log(Phi(z_b) - Phi(z_a)) with z = (limit - f) / sqrt(v);
below a limit of quantification that is the method M3, and one that is conditioned on lying above L
adds log(1 - Phi(z_L)), M2: Beal (2001), J. Pharmacokinet. Pharmacodyn. 28:481-504. Their
information is that of the first derivatives of z (observed), and that of the truncated normal.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.fitting.observations import Observed
from teorell.packages import needed

__all__ = ["likelihood"]

LOG_TWO_PI = 1.8378770664093453
NARROW = 1e-5  # standard deviations: a narrower interval is a density times its width

Variance = tuple[Array, Array, Array]  # v (rows,), dv/df (rows,), dv by the logarithms (rows, k)


def likelihood(
    seen: Observed,
    f: Array,
    slopes: Array,
    variance: Variance,
    owner: NDArray[np.int64],
    problems: int,
) -> tuple[Array, Array, Array]:
    """The negative log likelihood (problems,), its gradient and its Fisher information.

    f: (rows,) predictions; slopes: (rows, p) df/d phi; variance: of them, with derivatives by the
    q - p logarithms of the estimated error; owner: (rows,) the problem of each row. gradient:
    (problems, q), information: (problems, q, q). Infinite where a prediction is not a number, or
    where none has a scatter.
    """
    v, v_of_f, v_of_logs = variance
    q = slopes.shape[1] + v_of_logs.shape[1]
    f_dot = np.concatenate([slopes, np.zeros_like(v_of_logs)], 1)
    v_dot = np.concatenate([v_of_f[:, None] * slopes, v_of_logs], 1)
    with np.errstate(all="ignore"):
        value, gradient, parts = _density(seen.y, f, v, f_dot, v_dot)
        k = np.flatnonzero(seen.low < seen.high)
        if k.size:
            value[k], gradient[k], parts[k] = _interval(seen.of(k), f[k], v[k], f_dot[k], v_dot[k])
        k = np.flatnonzero(np.isfinite(seen.floor))
        if k.size:
            above = _truncation(seen.floor[k], f[k], v[k], f_dot[k], v_dot[k])
            value[k], gradient[k] = value[k] + above[0], gradient[k] + above[1]
            quantified = (seen.low[k] >= seen.high[k])[:, None, None]
            parts[k] = np.where(quantified, above[2], parts[k])
    bad = ~np.isfinite(value)
    value, gradient = np.where(bad, np.inf, value), np.where(bad[:, None], 0.0, gradient)
    parts = np.where(bad[:, None, None], 0.0, parts)
    total, slope = np.zeros(problems), np.zeros((problems, q))
    information = np.zeros((problems, q, q))
    np.add.at(total, owner, value)
    np.add.at(slope, owner, gradient)
    np.add.at(information, owner, np.einsum("rki,rkj->rij", parts, parts))
    return total, slope, information


def _density(
    y: Array, f: Array, v: Array, f_dot: Array, v_dot: Array
) -> tuple[Array, Array, Array]:
    """-log density (rows,), its gradient (rows, q), and factors of the information (rows, 2, q)."""
    e = y - f
    value = 0.5 * (e * e / v + np.log(v) + LOG_TWO_PI)
    gradient = -(e / v)[:, None] * f_dot + (0.5 / v * (1.0 - e * e / v))[:, None] * v_dot
    first, second = f_dot / np.sqrt(v)[:, None], v_dot / (np.sqrt(2.0) * v)[:, None]
    return value, gradient, np.stack([first, second], 1)


def _interval(
    seen: Observed, f: Array, v: Array, f_dot: Array, v_dot: Array
) -> tuple[Array, Array, Array]:
    """The same of rows that lie from low to high, of which one may be infinite."""
    s = np.sqrt(v)
    a, b = (seen.low - f) / s, (seen.high - f) / s
    flipped = a > 0.0  # so that no difference of numbers near 1 is formed
    under, over = np.where(flipped, -b, a), np.where(flipped, -a, b)
    log_over = _log_phi(over)
    log_p = log_over + np.log1p(-np.exp(_log_phi(under) - log_over))
    by_a, by_b = (np.exp(-0.5 * z * z - 0.5 * LOG_TWO_PI - log_p) for z in (a, b))
    a, b = np.where(np.isfinite(a), a, 0.0), np.where(np.isfinite(b), b, 0.0)
    a_dot, b_dot = (-f_dot / s[:, None] - (0.5 * z / v)[:, None] * v_dot for z in (a, b))
    gradient = -by_b[:, None] * b_dot + by_a[:, None] * a_dot
    of_a, of_b, both = by_a * (by_a - a), by_b * (by_b + b), -by_a * by_b
    hazard = np.exp(-0.5 * a * a - 0.5 * LOG_TWO_PI - _log_phi(-a))
    conditioned = np.isfinite(seen.floor) & (seen.floor == seen.low)
    of_a = of_a - np.where(conditioned, hazard * (hazard - a), 0.0)
    parts = _factors(of_b, both, of_a, b_dot, a_dot)
    middle = np.where(np.isfinite(seen.low + seen.high), 0.5 * (seen.low + seen.high), seen.y)
    flat, flat_gradient, flat_parts = _density(middle, f, v, f_dot, v_dot)
    narrow = np.isfinite(seen.low + seen.high) & (b - a < NARROW)
    return (
        np.where(narrow, flat - np.log(seen.high - seen.low), -log_p),
        np.where(narrow[:, None], flat_gradient, gradient),
        np.where(narrow[:, None, None], flat_parts, parts),
    )


def _truncation(
    floor: Array, f: Array, v: Array, f_dot: Array, v_dot: Array
) -> tuple[Array, Array, Array]:
    """What being seen only above `floor` adds to value and gradient, and the factors it leaves.

    Of a normal u above z, with hazard h, u and u^2 have the variances 1 + z h - h^2 and
    2 + z h + z^3 h - z^2 h^2, and the covariance h + z^2 h - z h^2.
    """
    s = np.sqrt(v)
    z = (floor - f) / s
    log_above = _log_phi(-z)
    h = np.exp(-0.5 * z * z - 0.5 * LOG_TWO_PI - log_above)
    z_dot = -f_dot / s[:, None] - (0.5 * z / v)[:, None] * v_dot
    of_u, of_square = 1.0 + z * h - h * h, 2.0 + z * h + z**3 * h - z * z * h * h
    both = h + z * z * h - z * h * h
    parts = _factors(of_u, both, of_square, f_dot / s[:, None], v_dot / (2.0 * v)[:, None])
    return log_above, -h[:, None] * z_dot, parts


def _factors(xx: Array, xy: Array, yy: Array, x_dot: Array, y_dot: Array) -> Array:
    """(rows, 2, q) whose squares add up to xx x'x'^T + xy (x'y'^T + y'x'^T) + yy y'y'^T."""
    first = np.sqrt(np.maximum(xx, 0.0))
    across = np.where(first > 0.0, xy / np.where(first > 0.0, first, 1.0), 0.0)
    rest = np.sqrt(np.maximum(yy - across * across, 0.0))
    return np.stack(
        [first[:, None] * x_dot + across[:, None] * y_dot, rest[:, None] * y_dot], axis=1
    )


def _log_phi(z: Array) -> Array:
    """log Phi(z)."""
    result: Array = _special().log_ndtr(z)
    return result


def _special() -> Any:
    with needed("scipy", "values below or above a limit", "scipy"):
        from scipy import special
    return special
