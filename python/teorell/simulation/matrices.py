"""What is known of the matrices M of intervals, by which a state's error follows from the residual.

M is the derivative of a flow by the state; what is kept is I - M + P, with P on totals that nothing
changes (neutral.py), and its inverse. Of a model with many states M is known first along a few
directions alone, those of the last moves: it has few slow modes, and these show them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.simulation.flows import Flows
from teorell.simulation.neutral import TIGHT, inverses, neutral_modes, solved, suspicious

__all__ = ["COARSEST", "DIRECTIONS", "Matrices", "product"]

COARSEST = 1e-2  # the tolerance of the solver for M, where not told otherwise
DIRECTIONS = 6  # along which a large M is known first
DRIFT = 1e-5  # part of a state by which a total that should stay may seem to move


@dataclass(eq=False)
class Matrices:
    """The matrices of some flows of m states; x is (n, m) for n of them, `which`."""

    flows: Flows
    numbers: NDArray[np.int64]  # (k,) of the flows
    start: Array  # (k, m) the initial states
    rhythmic: NDArray[np.bool_]  # (k,) where states may oscillate by themselves
    left: Array = field(init=False)  # (k, m, m) I - M + P
    inverse: Array = field(init=False)  # (k, m, m) of that, and what steps have shown since
    projection: Array = field(init=False)  # (k, m, m) on what keeps its value
    in_part: NDArray[np.bool_] = field(init=False)  # (k,) M is known along some directions alone,
    modes: Array = field(init=False)  # (k, d, d) as it acts on these
    examined: NDArray[np.bool_] = field(init=False)  # (k,) by keep_neutral

    def __post_init__(self) -> None:
        k, m = self.start.shape
        self.left, self.inverse, self.projection = np.zeros((3, k, m, m))
        self.examined = np.zeros(k, np.bool_)
        self.in_part, self.modes = np.zeros(k, np.bool_), np.zeros((k, DIRECTIONS, DIRECTIONS))

    def at(self, x: Array, which: NDArray[np.int64], rtol: float) -> None:
        """Compute I - M + P at x, by a solver of this tolerance."""
        if which.size:
            matrix = self.flows.matrix(x, self.numbers[which], max(rtol, self.flows.rtol))
            self.left[which] = np.eye(matrix.shape[1]) - matrix + self.projection[which]
            self.inverse[which] = inverses(self.left[which])
            self.in_part[which] = False

    def along(self, x: Array, which: NDArray[np.int64], moves: Array) -> None:
        """Compute I - M at x where M is known along some moves (k, m, d), and zero beside them."""
        if not which.size:
            return
        size = np.abs(x) + self.flows.least
        latest_first = moves[:, :, ::-1] / size[:, :, None]
        length = np.sqrt((latest_first**2).sum(axis=1, keepdims=True))
        basis, _ = np.linalg.qr(latest_first / np.where(length > 0.0, length, 1.0))
        along = self.flows.along(
            x, self.numbers[which], max(COARSEST, self.flows.rtol),
            basis * size[:, :, None],
        )  # fmt: skip
        transposed = np.ascontiguousarray(np.swapaxes(basis, 1, 2))
        scaled = along / size[:, :, None]
        self.modes[which] = np.matmul(transposed, scaled)  # M as it acts on the basis
        one, few = np.eye(basis.shape[1]), np.eye(basis.shape[2])
        ratio = size[:, :, None] / size[:, None, :]
        self.left[which] = one - np.matmul(scaled, transposed) * ratio
        # (I - Y Q')^-1 = I + Y (I - Q' Y)^-1 Q'
        inside = np.matmul(scaled, inverses(few - self.modes[which]))
        self.inverse[which] = one + np.matmul(inside, transposed) * ratio
        self.in_part[which] = True

    def suspicious(self, x: Array, which: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(k,) May some of the modes that are known not die out?"""
        result = np.zeros(len(which), np.bool_)
        part = self.in_part[which]
        some = which[part]
        if some.size:
            unit = np.ones(self.modes.shape[:2])[some]
            result[part] = suspicious(self.modes[some], unit, self.rhythmic[some])
        some = which[~part]
        if some.size:
            size = np.abs(x[~part]) + np.abs(self.start[some]) + self.flows.least
            matrix = np.eye(size.shape[1]) - self.left[some]
            result[~part] = suspicious(matrix, size, self.rhythmic[some])
        return result

    def keep_neutral(self, x: Array, which: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Find the totals that nothing changes, near x; (n,) False where doses move one.

        There is no steady state then.
        """
        stays = np.ones(len(which), np.bool_)
        self.examined[which] = True
        some = np.flatnonzero(self.suspicious(x, which))
        if not some.size:
            return stays
        x, which, tight = x[some], which[some], min(TIGHT, self.flows.rtol)
        size = np.abs(x) + np.abs(self.start[which]) + self.flows.least
        projection = neutral_modes(self.flows.matrix(x, self.numbers[which], tight), size)
        self.projection[which] = projection
        self.left[which] += projection
        self.inverse[which] = inverses(self.left[which])
        value, _ = self.flows.advance(x, self.numbers[which], tight)
        moved = np.abs(product(projection, value - x) / size).max(axis=1)
        stays[some] = (moved <= DRIFT) | ~projection.any(axis=(1, 2))
        return stays

    def learn(
        self, which: NDArray[np.int64], step: Array, before: Array, after: Array, x: Array
    ) -> None:
        """Correct the inverse of I - M by what a step has done to the residual (k, m).

        Broyden's update (Math. Comp. 19, 1965, 577), each state in its size.
        """
        weighted = step / (np.abs(x) + self.flows.least) ** 2
        expected = product(self.inverse[which], before - after)
        along = (weighted * expected).sum(axis=1)
        with np.errstate(invalid="ignore"):
            sound = along > 0.1 * (weighted * step).sum(axis=1)
        sound &= np.isfinite(expected).all(axis=1) & np.isfinite(step).all(axis=1)
        which, over = which[sound], (step - expected)[sound] / along[sound, None]
        row = np.matmul(weighted[sound, None, :], self.inverse[which])
        self.inverse[which] += over[:, :, None] * row

    def solved(self, right: Array, h: Array, which: NDArray[np.int64]) -> Array:
        """(1/h + I - M + P)^-1 right; as good as it is known where h is infinite, or 0."""
        result = product(self.inverse[which], right)
        some = np.flatnonzero(np.isfinite(h) & (h > 0.0))
        if some.size:
            one = np.eye(right.shape[1])
            system = self.left[which[some]] + one / h[some, None, None]
            result[some] = solved(system, right[some])
        return result

    def kept_out(self, residual: Array, which: NDArray[np.int64]) -> Array:
        """The residual without what moves totals that stay, but by the errors of the solver."""
        return residual - product(self.projection[which], residual)


def product(matrices: Array, x: Array) -> Array:
    """(k, m) matrices (k, m, m) times x (k, m)."""
    result: Array = np.matmul(matrices, x[..., None])[..., 0]
    return result
