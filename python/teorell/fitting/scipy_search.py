"""Maximum likelihood problems by an optimiser of SciPy, with the exact gradient.

One after the other, for those who want it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.errors import InputError
from teorell.fitting.levenberg import Evaluate, Found

__all__ = ["METHODS", "check", "search"]

METHODS = ("L-BFGS-B", "SLSQP")  # those that take bounds and a gradient


def search(method: str, evaluate: Evaluate, start: Array, low: Array, high: Array) -> Found:
    """Local minima of problems from `start` (problems, q) within low and high (q,), by SciPy.

    method: one of METHODS, for scipy.optimize.minimize. ImportError without SciPy.
    """
    try:
        from scipy.optimize import minimize
    except ImportError as error:
        raise ImportError(
            f"no optimizer={method!r} (scipy is not installed). Run pip install scipy."
        ) from error
    problems = len(start)
    points, converged = np.clip(start, low, high), np.zeros(problems, np.bool_)
    evaluations = np.zeros(problems, np.int64)
    bounds = list(zip(low, high, strict=True))

    for k in range(problems):
        which = np.array([k])

        def objective(x: Array, which: NDArray[np.int64] = which) -> tuple[float, Array]:
            value, gradient, _ = evaluate(which, np.clip(x, low, high)[None])
            return (float(value[0]) if np.isfinite(value[0]) else 1e300), gradient[0]

        found = minimize(
            objective, points[k], jac=True, method=method, bounds=bounds, options={"maxiter": 500}
        )
        points[k] = np.clip(found.x, low, high)
        converged[k], evaluations[k] = found.success, found.nfev
    value, gradient, information = evaluate(np.arange(problems), points)
    return Found(points, value, information, gradient, converged, evaluations)


def check(method: str) -> None:
    """InputError for a method that SciPy does not have, or that takes no bounds."""
    if method not in METHODS:
        raise InputError(
            f"unknown optimizer {method!r} (it has to take bounds). Choose from "
            f"{', '.join(METHODS)}."
        )
