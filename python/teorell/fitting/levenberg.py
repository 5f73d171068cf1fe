"""Many small maximum likelihood problems at once: damped Fisher scoring.

The damping is that of Levenberg and Marquardt (Marquardt (1963), J. Soc. Ind. Appl. Math. 11:431);
the expected information takes the place of J'J. Each problem has its own damping and stops by
itself; all that still run are evaluated together. Bounds are kept by clipping: what is at a bound
and would leave it stays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array

__all__ = ["Found", "minimise"]

MOST = 100  # evaluations
CLOSE = 1e-7  # changes of all parameters, on the scale of the search, at which a problem is done
GIVE_UP = 1e12  # damping

# Of problems and points (k, q): value (k,), gradient (k, q), information (k, q, q).
Evaluate = Callable[[NDArray[np.int64], Array], tuple[Array, Array, Array]]


@dataclass(frozen=True, eq=False)
class Found:
    """Where the problems ended."""

    points: Array  # (problems, q)
    value: Array  # (problems,) infinite where no point could be evaluated
    information: Array  # (problems, q, q)
    gradient: Array  # (problems, q)
    converged: NDArray[np.bool_]
    evaluations: NDArray[np.int64]


def minimise(
    evaluate: Evaluate,
    start: Array,
    low: Array,
    high: Array,
    held: NDArray[np.bool_] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Found:
    """Local minima from `start` (problems, q) within low and high (q,).

    held: (problems, q) what stays as it is.
    """
    problems = len(start)
    held = np.zeros(start.shape, np.bool_) if held is None else held
    everyone = np.arange(problems)
    x = np.clip(start, low, high)
    value, gradient, information = (np.array(each) for each in evaluate(everyone, x))
    damping, converged = np.full(problems, 1e-3), np.zeros(problems, np.bool_)
    evaluations = np.ones(problems, np.int64)
    running = everyone[np.isfinite(value)]
    for _ in range(MOST):
        if not running.size:
            break
        step = _step(
            x=x[running],
            gradient=gradient[running],
            information=information[running],
            damping=damping[running],
            low=low,
            high=high,
            held=held[running],
        )
        tried = np.clip(x[running] + step, low, high)
        there, slope, bend = evaluate(running, tried)
        evaluations[running] += 1
        better = there <= value[running]
        change = np.abs(tried - x[running]).max(axis=1, initial=0.0)
        moved = running[better]
        x[moved], value[moved] = tried[better], there[better]
        gradient[moved], information[moved] = slope[better], bend[better]
        damping[running] = np.where(
            better, np.maximum(damping[running] * 0.1, 1e-12), damping[running] * 8.0
        )
        done = change <= CLOSE
        converged[running[done]] = True
        running = running[~done & (damping[running] < GIVE_UP)]
        if progress is not None:
            progress(problems - running.size, problems)
    return Found(x, value, information, gradient, converged, evaluations)


def _step(
    x: Array,
    gradient: Array,
    information: Array,
    damping: Array,
    low: Array,
    high: Array,
    held: NDArray[np.bool_],
) -> Array:
    """The damped step of each problem, (k, q); what is held, or at a bound, does not move."""
    stays = held | ((x <= low) & (gradient > 0.0)) | ((x >= high) & (gradient < 0.0))
    free = ~stays
    matrix = information * (free[:, :, None] & free[:, None, :])
    diagonal = np.einsum("kii->ki", matrix)
    largest = diagonal.max(axis=1, initial=0.0)[:, None]
    # The floor keeps directions that the data say nothing of from running away.
    diagonal += (
        damping[:, None] * np.maximum(diagonal, 1e-8 * largest)
        + np.where(free, 1e-14 * largest, 1.0)
        + 1e-300
    )
    step = np.linalg.solve(matrix, -np.where(free, gradient, 0.0)[..., None])[..., 0]
    return np.clip(step, -2.0, 2.0)  # no more than a factor of 7 at once on the log scale
