"""Many small maximum likelihood problems at once: damped Fisher scoring.

The damping is that of Levenberg and Marquardt (Marquardt (1963), J. Soc. Ind. Appl. Math. 11:431);
the expected information takes the place of J'J. Each problem has its own damping and stops by
itself; all that still run are evaluated together. Bounds are kept by clipping: what is at a bound
and would leave it stays. Logarithms are measured in factors, other coordinates in what the
information says of each alone, 1 / sqrt(I_kk), so that no parameter has to have a size near 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array

__all__ = ["Found", "minimise"]

MOST = 100  # evaluations
CLOSE = 1e-7  # changes of all coordinates, in their units, at which a problem is done
FACTOR, WIDTHS = 2.0, 100.0  # the longest step: a factor of 7; of other coordinates in their units
GIVE_UP = 1e12  # damping
SETTLED = 1e-5  # what Newton's step would gain at most, of a problem that has come to an end

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
    logarithmic: NDArray[np.bool_] | None = None,
    sizes: int = 0,
) -> Found:
    """Local minima from `start` (problems, q) within low and high (q,).

    held: (problems, q) what stays as it is. logarithmic: (q,) which coordinates are logarithms;
    None: all. sizes: how many of the last are sizes of the residual error.
    """
    logs = np.ones(start.shape[1], np.bool_) if logarithmic is None else logarithmic
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
            logs=logs,
            sizes=sizes,
        )
        tried = np.clip(x[running] + step, low, high)
        there, slope, bend = evaluate(running, tried)
        evaluations[running] += 1
        better = there <= value[running]
        moves = np.abs(tried - x[running]) / _units(x[running], information[running], logs)[0]
        change = moves.max(axis=1, initial=0.0)
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
    if running.size:  # the objective may be flat there: to 0.5 % of standard errors is near enough
        stays = _stays(x, gradient, low, high, held)[running]
        converged[running] = _gain(gradient[running], information[running], stays) <= SETTLED
    return Found(x, value, information, gradient, converged, evaluations)


def _gain(gradient: Array, information: Array, stays: NDArray[np.bool_]) -> Array:
    """(k,) by how much the objective falls in Newton's step, to second order; NaN where unknown."""
    size = np.sqrt(np.maximum(np.einsum("kii->ki", information), 0.0))
    unit = np.where((size > 0.0) & ~stays, 1.0 / np.where(size > 0.0, size, 1.0), 0.0)
    slope, bend = gradient * unit, information * (unit[:, :, None] * unit[:, None, :])
    known = np.isfinite(slope).all(axis=1) & np.isfinite(bend).all(axis=(1, 2))
    slope, bend = slope[known], bend[known]
    gain = np.full(len(gradient), np.nan)
    inverse = np.linalg.pinv(bend, hermitian=True)
    gain[known] = 0.5 * np.einsum("ki,kij,kj->k", slope, inverse, slope)
    return gain


def _stays(
    x: Array, gradient: Array, low: Array, high: Array, held: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """(k, q) what is held, or at a bound that it would leave."""
    return held | ((x <= low) & (gradient > 0.0)) | ((x >= high) & (gradient < 0.0))


def _step(
    x: Array,
    gradient: Array,
    information: Array,
    damping: Array,
    low: Array,
    high: Array,
    held: NDArray[np.bool_],
    logs: NDArray[np.bool_],
    sizes: int,
) -> Array:
    """The damped step of each problem, (k, q); what is held, or at a bound, does not move."""
    free = ~_stays(x, gradient, low, high, held)
    unit, longest = _units(x, information, logs)
    # In units in which the information of each is as large as that of logarithms, so that the
    # floor below means the same for each.
    size = np.max(np.einsum("kii->ki", information), axis=1, initial=0.0, where=logs)[:, None]
    alike = unit * np.where(size > 0.0, np.sqrt(np.abs(size)), 1.0)
    scaled = np.where(logs | ~np.isfinite(unit), 1.0, alike)
    matrix = information * (scaled[:, :, None] * scaled[:, None, :])
    matrix *= free[:, :, None] & free[:, None, :]
    diagonal = np.einsum("kii->ki", matrix)
    largest = diagonal.max(axis=1, initial=0.0)[:, None]
    # The floor keeps directions that the data say nothing of from running away.
    least, floor = (np.tile(part * largest, diagonal.shape[1]) for part in (1e-8, 1e-14))
    # The residual error is known about as well whatever its size, while the information of
    # parameters grows without end as it falls.
    of = slice(diagonal.shape[1] - sizes, None)
    least[:, of] = 0.0
    floor[:, of] = np.minimum(floor[:, of], 1e-6 * diagonal[:, of])
    diagonal += damping[:, None] * np.maximum(diagonal, least) + np.where(free, floor, 1.0) + 1e-300
    slope = np.where(free, gradient * scaled, 0.0)
    step: Array = np.linalg.solve(matrix, -slope[..., None])[..., 0] * scaled
    return np.clip(step, -longest, longest)


def _units(x: Array, information: Array, logs: NDArray[np.bool_]) -> tuple[Array, Array]:
    """The unit of each coordinate, and the longest step, (k, q) each."""
    with np.errstate(divide="ignore"):
        alone = 1.0 / np.sqrt(np.maximum(np.einsum("kii->ki", information), 0.0))
    unit = np.where(logs, 1.0, alone)
    longest = np.maximum(FACTOR, np.maximum(10.0 * np.abs(x), WIDTHS * unit))
    return unit, np.where(logs, FACTOR, longest)
