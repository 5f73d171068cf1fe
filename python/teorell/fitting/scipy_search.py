"""Maximum likelihood problems by an optimiser of SciPy, with the exact gradient.

One after the other, for those who want it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.errors import InputError
from teorell.fitting.levenberg import Evaluate, Found
from teorell.packages import needed

__all__ = ["METHODS", "check", "search"]

METHODS = ("L-BFGS-B", "SLSQP")  # those that take bounds and a gradient


def search(
    method: str,
    evaluate: Evaluate,
    start: Array,
    low: Array,
    high: Array,
    logarithmic: NDArray[np.bool_],
    progress: Callable[[int, int], None] | None = None,
) -> Found:
    """Local minima of problems from `start` (problems, q) within low and high (q,), by SciPy.

    method: one of METHODS, for scipy.optimize.minimize. logarithmic: (q,) which coordinates are
    logarithms; others SciPy sees in units of what the information at the start says of each alone.
    ImportError without SciPy.
    """
    with needed("scipy", f"optimizer={method!r}", "scipy"):
        from scipy.optimize import minimize
    problems = len(start)
    points, converged = np.clip(start, low, high), np.zeros(problems, np.bool_)
    evaluations = np.zeros(problems, np.int64)
    with np.errstate(all="ignore"):
        _, _, information = evaluate(np.arange(problems), points)
        alone = 1.0 / np.sqrt(np.einsum("kii->ki", information))
    units = np.where(logarithmic | ~np.isfinite(alone), 1.0, alone)
    for k in range(problems):
        which, origin = np.array([k]), np.where(logarithmic, 0.0, points[k])

        def point(x: Array, unit: Array = units[k], origin: Array = origin) -> Array:
            return np.clip(origin + unit * x, low, high)

        def objective(
            x: Array, which: NDArray[np.int64] = which, unit: Array = units[k], at: Any = point
        ) -> tuple[float, Array]:
            value, gradient, _ = evaluate(which, at(x)[None])
            return (float(value[0]) if np.isfinite(value[0]) else 1e300), gradient[0] * unit

        with np.errstate(over="ignore"):
            bounds = list(zip((low - origin) / units[k], (high - origin) / units[k], strict=True))
        found = minimize(
            objective, (points[k] - origin) / units[k], jac=True, method=method, bounds=bounds,
            options={"maxiter": 500},
        )  # fmt: skip
        points[k] = point(found.x)
        converged[k], evaluations[k] = found.success, found.nfev
        if progress is not None:
            progress(k + 1, problems)
    value, gradient, information = evaluate(np.arange(problems), points)
    return Found(points, value, information, gradient, converged, evaluations)


def check(method: str) -> None:
    """InputError for a method that SciPy does not have, or that takes no bounds."""
    if method not in METHODS:
        raise InputError(
            f"unknown optimizer {method!r} (it has to take bounds). Choose from "
            f"{', '.join(METHODS)}."
        )
