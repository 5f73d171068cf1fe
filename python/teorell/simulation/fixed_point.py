"""Fixed points x = g(x) of many maps at once, for maps that are almost linear with few slow modes.

Anderson's method (J. ACM 12, 1965, 547; Walker & Ni, SIAM J. Numer. Anal. 49, 2011, 1715): the next
point is the combination of the points so far whose residual is least. Of a linear map it finds what
GMRES finds: as many evaluations as there are modes that have not died out by themselves, where
repeating needs as many as the slowest takes to die out, and no matrix. Directions in which g leaves
everything as it is (a total that nothing changes) keep their value from the start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array

__all__ = ["fixed_points"]

MOST = 100  # evaluations of a map
REMEMBERED = 6  # differences between points
DEPENDENT = 1e-7  # a difference that is this close to a combination of later ones tells nothing new


@dataclass
class Differences:
    """What evaluations have shown of maps, for pairs of points, latest first.

    By how much values and residuals differ.
    """

    values: list[Array]  # (n, problems) each; zero tells nothing
    residuals: list[Array]
    shape: tuple[int, ...] = (0, 0)  # n, problems, for `keep`

    def of(self, which: NDArray[np.int64] | NDArray[np.bool_]) -> Differences:
        """What is known of some of the problems."""
        return Differences(
            [each[:, which] for each in self.values], [each[:, which] for each in self.residuals]
        )

    def without(self, which: NDArray[np.bool_]) -> Differences:
        """The same differences, but nothing is known of the problems `which`."""
        values, residuals = (
            [np.where(which, 0.0, each) for each in kept] for kept in (self.values, self.residuals)
        )
        return Differences(values, residuals)

    def add(self, value: Array, residual: Array) -> None:
        """Put in front by how much the last two points differ."""
        self.values = [value, *self.values][:REMEMBERED]
        self.residuals = [residual, *self.residuals][:REMEMBERED]

    def keep(self, which: NDArray[np.int64], part: Differences) -> None:
        """What `part` knows of the problems `which` takes the place of what was known."""
        for mine, theirs in ((self.values, part.values), (self.residuals, part.residuals)):
            mine += [
                np.zeros_like(theirs[0], shape=self.shape) for _ in range(len(theirs) - len(mine))
            ]
            for k, each in enumerate(mine):
                each[:, which] = theirs[k] if k < len(theirs) else 0.0


def fixed_points(
    g: Callable[[Array, NDArray[np.int64]], Array],
    start: Array,
    weights: Callable[[Array, NDArray[np.int64]], Array],
    positive: NDArray[np.bool_] | None = None,
    known: Differences | None = None,
) -> tuple[Array, NDArray[np.int64], Differences]:
    """The fixed points of many maps at once, searched from `start` (n, problems).

    g(x, which): the values (n, k) of the maps `which` (k,) at x (n, k). weights(x, which): (n, k),
    so that a point is exact enough once its error is at most 1 in every weighted component.
    positive: (n,) components that a solution cannot have below zero. known: differences of similar
    maps. What is computed for one problem does not depend on the others.

    Returns the points (n, problems), NaN where none was found, how often each map was evaluated,
    (problems,), and what that has shown.
    """
    problems = start.shape[1]
    points, evaluations = np.full_like(start, np.nan), np.zeros(problems, np.int64)
    which = np.arange(problems)
    shown = Differences([], [], start.shape)
    now = Differences([], []) if known is None else known.of(which)
    x, last_value, last_f = np.array(start), start, np.full_like(start, np.nan)
    least, moved_before = np.full(problems, np.inf), np.zeros(problems)
    for _ in range(MOST):
        if not which.size:
            break
        value = g(x, which)
        evaluations[which] += 1
        w, f = weights(value, which), value - x
        size = _largest(w * f)
        # Far off, differences mislead: they are forgotten.
        worse = size > 4.0 * least
        least = np.where(worse, size, np.minimum(least, size))
        first = np.isnan(last_f).all(axis=0)
        now.add(np.where(first, 0.0, value - last_value), np.where(first, 0.0, f - last_f))
        if worse.any():
            now = now.without(worse)
        proposed = _least_residual(value, f, now, w)
        if positive is not None:
            below = (proposed < 0.0)[positive].any(axis=0)
            proposed = np.where(below, value, proposed)
        moved = _largest(w * (proposed - x))
        # The error after a move is about the part of it that the move before left over.
        shrinking = moved < moved_before
        left = np.where(shrinking, moved * (moved / np.where(shrinking, moved_before, 1.0)), moved)
        lost = ~np.isfinite(moved)
        done = (left <= 1.0) | lost
        last_value, last_f, moved_before = value, f, moved
        if not done.any():
            x = proposed
            continue
        points[:, which[done]] = np.where(lost, np.nan, proposed)[:, done]
        shown.keep(which[done], now.of(done))
        going = ~done
        which, x, least, moved_before = which[going], proposed[:, going], least[going], moved[going]
        last_value, last_f, now = value[:, going], f[:, going], now.of(going)
    return points, evaluations, shown


def _least_residual(value: Array, f: Array, known: Differences, w: Array) -> Array:
    """The combination of points whose weighted residual is least.

    It is value - sum c_j dvalue_j, where c makes w (f - sum c_j dresidual_j) least, by Gram and
    Schmidt, the latest difference first.
    """
    basis: list[Array] = []
    # of the triangular factor: what each direction has of those before it
    above: list[list[Array]] = []
    scales: list[Array] = []
    along_f: list[Array] = []
    left = w * f
    for move, residual in zip(known.values, known.residuals, strict=True):
        direction, moved = w * residual, w * move
        # Where points differ and residuals do not, the map keeps what differs: no combination
        # can tell where it goes.
        length = np.maximum(_dot(direction, direction), _dot(moved, moved))
        column = []
        for unit in basis:
            along = _dot(unit, direction)
            direction -= along * unit
            column.append(along)
        rest = _dot(direction, direction)
        new = rest > DEPENDENT**2 * length
        scale = np.where(new, 1.0 / np.sqrt(np.where(new, rest, 1.0)), 0.0)
        direction *= scale
        basis.append(direction)
        above.append(column)
        scales.append(scale)
        along_f.append(_dot(direction, left))
        left -= along_f[-1] * direction
    result = np.array(value)
    for j in range(len(basis) - 1, -1, -1):
        c = along_f[j] * scales[j]
        result -= c * known.values[j]
        for i in range(j):
            along_f[i] = along_f[i] - above[j][i] * c
    return result


def _dot(a: Array, b: Array) -> Array:
    """Sums over the first axis, in its order whatever the number of problems.

    NumPy adds row to row unless there is one problem.
    """
    product = a * b
    if product.shape[1] > 1:
        rows: Array = np.add.reduce(product, axis=0)
        return rows
    total: Array = product[0]
    for row in product[1:]:
        total = total + row
    return total


def _largest(values: Array) -> Array:
    """(problems,) the largest size in each column of values (n, problems)."""
    largest: Array = np.max(np.abs(values), axis=0)
    return largest
