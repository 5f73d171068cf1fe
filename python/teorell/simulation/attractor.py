"""The fixed point x = flow(x) that a long train of doses leads to, of many flows at once.

The train x, flow(x), flow(flow(x)), ... follows dx/dN = flow(x) - x by the number of doses. It is
followed from the initial state by implicit Euler steps of h doses, (1/h + I - M) dx = flow(x) - x
(pseudo-transient continuation: Kelley & Keyes, SIAM J. Numer. Anal. 35, 1998, 508), h as long as
what the step leaves over, seen through the same matrix, is small beside the step (the natural
monotonicity test: Deuflhard, Newton Methods for Nonlinear Problems, 2004, 3.3). An infinite h is
Newton's step, which is tried first. M is the derivative of the flow.

A coarse solver leads near the point. There Newton's steps go on with the solver that was asked for,
and the step (I - M)^-1 (flow(x) - x) is the error of the state: a point is accepted by it, never by
the residual alone, and only where it attracts and no state is negative.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.engine.executors import NO_STEADY_STATE
from teorell.simulation.flows import Flows
from teorell.simulation.neutral import (
    TIGHT,
    attracts,
    inverses,
    neutral_modes,
    solved,
    suspicious,
)

__all__ = ["Attractors"]

PLAIN = 2  # doses that are followed one by one first
FEW = 8  # of more states, M is known first along the last moves alone: it has few slow modes,
DIRECTIONS = 6  # and these show them
COARSE, OF_MATRIX = 1e-3, 1e-2  # tolerances of the solver: for the way, and for M;
FINER = 1e-5  # for both, where these do not lead there
SEARCHED = -1  # the status of what is not found yet
NEAR = 1e-2  # relative error at which the way ends
WAY, ENDING = 50, 20  # flows along the way, and at its end, at most
FAR = 1e8  # times the state after the first doses: nothing leads there
AIM, ACCEPTED = 0.1, 10.0  # error of a point, in rtol
DRIFT = 1e-5  # part of a state by which a total that should stay may seem to move


@dataclass(eq=False)
class Attractors:
    """The search of some flows; arrays are (k, m) for k flows of m states."""

    flows: Flows
    which: NDArray[np.int64]  # (k,) of the flows
    start: Array  # (k, m) the initial states
    positive: NDArray[np.bool_]  # (m,) states that cannot be negative
    rhythmic: NDArray[np.bool_]  # (k,) where states may oscillate by themselves
    x: Array = field(init=False)
    left: Array = field(init=False)  # (k, m, m) I - M + P
    inverse: Array = field(init=False)  # (k, m, m) of that, and what steps have shown since
    projection: Array = field(init=False)  # (k, m, m) on what keeps its value
    status: NDArray[np.int32] = field(init=False)  # (k,) 0 where a point was found, or is near
    in_part: NDArray[np.bool_] = field(init=False)  # (k,) M is known along some directions alone,
    modes: Array = field(init=False)  # (k, d, d) as it acts on these
    far: Array = field(init=False)  # (k,) a state this large leads nowhere

    def __post_init__(self) -> None:
        k, m = self.start.shape
        self.x = np.array(self.start)
        self.left, self.inverse, self.projection = np.zeros((3, k, m, m))
        self.in_part, self.modes = np.zeros(k, np.bool_), np.zeros((k, DIRECTIONS, DIRECTIONS))
        self.status, self.far = np.zeros(k, np.int32), np.zeros(k)

    def find(self) -> tuple[Array, NDArray[np.int32]]:
        """The points (k, m), NaN where there is none, and the status of each, (k,)."""
        if not self.x.shape[1]:
            return self.x, self.status
        self._begin()
        for coarse, of_matrix in ((COARSE, OF_MATRIX), (FINER, FINER)):
            going = np.flatnonzero(self.status == SEARCHED)
            self._follow(going, max(coarse, self.flows.rtol), of_matrix)
            self._end(going)
        self.status[self.status == SEARCHED] = NO_STEADY_STATE
        found = np.flatnonzero(self.status == 0)
        doubtful = found[self._suspicious(found)]
        good = attracts(
            self.flows, self.x[doubtful], self.projection[doubtful], self.which[doubtful]
        )
        self.status[doubtful[~good]] = NO_STEADY_STATE
        return np.where((self.status == 0)[:, None], self.x, np.nan), self.status

    def _begin(self) -> None:
        """Follow the first doses one by one; a patient whom the solver fails says so."""
        many = self.x.shape[1] > FEW
        coarse = OF_MATRIX if many else COARSE
        moves = []
        for _ in range(DIRECTIONS if many else PLAIN):
            active = np.flatnonzero(self.status == 0)
            value, self.status[active] = self.flows.advance(
                self.x[active], self.which[active], max(coarse, self.flows.rtol)
            )
            moves.append(np.zeros_like(self.x))
            moves[-1][active] = self._clipped(value) - self.x[active]
            self.x[active] = self._clipped(value)
        active = np.flatnonzero(self.status == 0)
        self.status[active] = SEARCHED
        self.far = FAR * np.max(np.abs(self.x) + self.flows.least, axis=1)
        if many:
            self._matrices_along(active, np.stack(moves, axis=2)[active])
            active = active[self.rhythmic[active] | self._suspicious(active)]
        self._new_matrices(active, OF_MATRIX)
        self._keep_neutral(active)

    def _follow(self, going: NDArray[np.int64], coarse: float, of_matrix: float) -> None:
        """Follow the train with a coarse solver until the point is near.

        coarse, of_matrix: tolerances of the solver. What is not near in the end is at SEARCHED.
        """
        values, stale = np.full_like(self.x, np.nan), np.zeros(len(self.x), np.bool_)
        stale[going] = of_matrix != OF_MATRIX
        values[going], _ = self.flows.advance(self.x[going], self.which[going], coarse)
        h = np.full(len(self.x), np.inf)
        for _ in range(WAY):
            if not going.size:
                return
            self._new_matrices(going[stale[going]], of_matrix)
            x, residual = self.x[going], self._residual(values, going)
            step, h[going] = self._step(x, values[going], residual, h[going], going)
            plain = h[going] == 0.0
            new = self._inside(x + step, x, values[going])
            new = np.where(plain[:, None], self._clipped(values[going]), new)
            step = new - x
            value, status = self.flows.advance(new, self.which[going], coarse)
            with np.errstate(invalid="ignore", over="ignore"):
                over = self._kept_out(value - new, going)
                over -= step / np.where(plain, np.inf, h[going])[:, None]
                left_over = self._size(self._solved(over, h[going], going), new)
                # below NEAR a coarse solver's jumps are all that is left
                ratio = left_over / np.maximum(self._size(step, new), 4.0 * NEAR)
            good = (status == 0) & ((ratio <= 0.5) | plain)
            newton = np.isinf(h[going])
            near = good & newton & (left_over <= NEAR)
            stale[going] = good & ~(newton & (ratio <= 0.25))
            kept = np.flatnonzero(good & newton & ~stale[going])
            self._learn(going[kept], step[kept], residual[kept],
                        self._kept_out(value - new, going)[kept], new[kept])  # fmt: skip
            h[going] = np.where(good, _longer(h[going], ratio), _shorter(h[going]))
            self.x[going[good]], values[going[good]] = new[good], value[good]
            self.status[going[near]] = 0
            lost = plain & (status != 0)
            lost |= ~(np.abs(self.x[going]).max(axis=1) <= self.far[going])
            self.status[going[lost]] = NO_STEADY_STATE
            going = going[~near & ~lost]

    def _end(self, which: NDArray[np.int64]) -> None:
        """Newton's steps at the tolerance that was asked for, until the error is small.

        Those of `which` that are near; where they do not get there they are at SEARCHED again.
        """
        rtol = self.flows.rtol
        going = which[self.status[which] == 0]
        ended = going
        k = len(self.x)
        before, best = np.full((2, k), np.inf)
        last_x, last_residual = np.array(self.x), np.zeros_like(self.x)
        best_x, fresh, slow = np.array(self.x), np.zeros(k, np.bool_), np.zeros(k, np.int64)
        for _ in range(ENDING):
            if not going.size:
                break
            x = self.x[going]
            value, status = self.flows.advance(x, self.which[going], rtol)
            residual = self._kept_out(value - x, going)
            known = np.flatnonzero(np.isfinite(before[going]))
            self._learn(going[known], (x - last_x[going])[known], last_residual[going][known],
                        residual[known], x[known])  # fmt: skip
            last_x[going], last_residual[going] = x, residual
            step = _product(self.inverse[going], residual)
            with np.errstate(invalid="ignore"):
                size = self._size(step, x) / rtol
            size = np.where((status == 0) & np.isfinite(size), size, np.inf)
            # what is left after a step is to it as it is to the one before
            left = np.where(size <= 1.0, size * np.minimum(1.0, size / before[going]), size)
            worse = ~(size < 0.3 * before[going])
            better = size < best[going]
            best[going[better]] = size[better]
            new = self._inside(x + step, x, value)
            # the step is the error of x: of an accepted point what is left is less
            best_x[going[better]] = np.where((left <= AIM)[:, None], new, x)[better]
            done = (left <= AIM) | (worse & fresh[going] & (slow[going] > 2))
            slow[going] += worse & fresh[going]
            before[going] = size
            again = going[worse & ~done & ~fresh[going]]
            fresh[again] = True
            self.x[going] = np.where(np.isfinite(new), new, x)
            going = going[~done & (status == 0)]
            again = np.intersect1d(again, going)
            part = self.in_part[again]
            fresh[again[part]] = False
            self._new_matrices(again[part], COARSE)
            self._new_matrices(again[~part], FINER)
            before[again] = np.inf
        self.x[ended] = best_x[ended]
        accepted = (best <= ACCEPTED) & self._allowed(best_x)
        self.status[ended[~accepted[ended]]] = SEARCHED

    def _new_matrices(self, which: NDArray[np.int64], rtol: float) -> None:
        """Compute I - M + P at x, by a solver of this tolerance."""
        if which.size:
            matrix = self.flows.matrix(
                self.x[which], self.which[which], max(rtol, self.flows.rtol)
            )
            self.left[which] = np.eye(matrix.shape[1]) - matrix + self.projection[which]
            self.inverse[which] = inverses(self.left[which])
            self.in_part[which] = False

    def _matrices_along(self, which: NDArray[np.int64], moves: Array) -> None:
        """Compute I - M at x where M is known along some moves (k, m, d), and zero beside them."""
        if not which.size:
            return
        size = np.abs(self.x[which]) + self.flows.least
        latest_first = moves[:, :, ::-1] / size[:, :, None]
        length = np.sqrt((latest_first**2).sum(axis=1, keepdims=True))
        basis, _ = np.linalg.qr(latest_first / np.where(length > 0.0, length, 1.0))
        along = self.flows.along(
            self.x[which], self.which[which], max(OF_MATRIX, self.flows.rtol),
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

    def _suspicious(self, which: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(k,) May some of the modes that are known not die out?"""
        result = np.zeros(len(which), np.bool_)
        part = self.in_part[which]
        some = which[part]
        if some.size:
            unit = np.ones(self.modes.shape[:2])[some]
            result[part] = suspicious(self.modes[some], unit, self.rhythmic[some])
        some = which[~part]
        if some.size:
            size = np.abs(self.x[some]) + np.abs(self.start[some]) + self.flows.least
            matrix = np.eye(size.shape[1]) - self.left[some]
            result[~part] = suspicious(matrix, size, self.rhythmic[some])
        return result

    def _learn(
        self, which: NDArray[np.int64], step: Array, before: Array, after: Array, x: Array
    ) -> None:
        """Correct the inverse of I - M by what a step has done to the residual (k, m).

        Broyden's update (Math. Comp. 19, 1965, 577), each state in its size.
        """
        weighted = step / (np.abs(x) + self.flows.least) ** 2
        expected = _product(self.inverse[which], before - after)
        along = (weighted * expected).sum(axis=1)
        with np.errstate(invalid="ignore"):
            sound = along > 0.1 * (weighted * step).sum(axis=1)
        sound &= np.isfinite(expected).all(axis=1) & np.isfinite(step).all(axis=1)
        which, over = which[sound], (step - expected)[sound] / along[sound, None]
        row = np.matmul(weighted[sound, None, :], self.inverse[which])
        self.inverse[which] += over[:, :, None] * row

    def _keep_neutral(self, which: NDArray[np.int64]) -> None:
        """Find the totals that nothing changes; where doses move one there is no steady state."""
        which = which[self._suspicious(which)]
        if not which.size:
            return
        size = np.abs(self.x[which]) + np.abs(self.start[which]) + self.flows.least
        tight = min(TIGHT, self.flows.rtol)
        x, flows = self.x[which], self.which[which]
        projection = neutral_modes(self.flows.matrix(x, flows, tight), size)
        self.projection[which] = projection
        self.left[which] += projection
        self.inverse[which] = inverses(self.left[which])
        some = np.flatnonzero(projection.any(axis=(1, 2)))
        if not some.size:
            return
        value, _ = self.flows.advance(x[some], flows[some], tight)
        moved = _product(projection[some], value - x[some]) / size[some]
        drifts = ~(np.abs(moved).max(axis=1) <= DRIFT)
        self.status[which[some[drifts]]] = NO_STEADY_STATE
        # what the first doses, coarsely solved, have moved goes back
        self.x[which[some]] += _product(projection[some], self.start[which[some]] - x[some])

    def _step(
        self, x: Array, value: Array, residual: Array, h: Array, going: NDArray[np.int64]
    ) -> tuple[Array, Array]:
        """The steps, and their lengths h, that leave no state negative.

        h is 0 where none does: the next dose alone is followed.
        """
        h, step = np.array(h), np.zeros_like(x)
        todo = np.flatnonzero(h > 0.0)
        while todo.size:
            step[todo] = self._solved(residual[todo], h[todo], going[todo])
            new = self._inside(x[todo] + step[todo], x[todo], value[todo])
            bad = ~(np.isfinite(step[todo]).all(axis=1) & self._allowed(new))
            todo = todo[bad]
            h[todo] = _shorter(h[todo])
            todo = todo[h[todo] > 0.0]
        return step, h

    def _solved(self, right: Array, h: Array, which: NDArray[np.int64]) -> Array:
        """(1/h + I - M + P)^-1 right; as good as it is known where h is infinite, or 0."""
        result = _product(self.inverse[which], right)
        some = np.flatnonzero(np.isfinite(h) & (h > 0.0))
        if some.size:
            one = np.eye(right.shape[1])
            system = self.left[which[some]] + one / h[some, None, None]
            result[some] = solved(system, right[some])
        return result

    def _inside(self, new: Array, x: Array, value: Array) -> Array:
        """With what is negative by little as the flow has it: fast modes die out by themselves."""
        with np.errstate(invalid="ignore"):
            little = (new < 0.0) & self.positive & (new > -1e-2 * (np.abs(x) + self.flows.least))
        return np.where(little, np.maximum(value, 0.0), new)

    def _clipped(self, x: Array) -> Array:
        """States as a coarse solver leaves them, without what it leaves below zero."""
        return np.where(self.positive, np.maximum(x, 0.0), x)

    def _allowed(self, x: Array) -> NDArray[np.bool_]:
        """(k,) Is no state negative that cannot be?"""
        return ~((x < 0.0) & self.positive).any(axis=1)

    def _size(self, step: Array, x: Array) -> Array:
        """(k,) how large steps are, of the state, in its worst component."""
        return np.asarray(np.max(np.abs(step) / (np.abs(x) + self.flows.least), axis=1))

    def _residual(self, values: Array, which: NDArray[np.int64]) -> Array:
        return self._kept_out(values[which] - self.x[which], which)

    def _kept_out(self, residual: Array, which: NDArray[np.int64]) -> Array:
        """The residual without what moves totals that stay, but by the errors of the solver."""
        return residual - _product(self.projection[which], residual)


def _product(matrices: Array, x: Array) -> Array:
    """(k, m) matrices (k, m, m) times x (k, m)."""
    result: Array = np.matmul(matrices, x[..., None])[..., 0]
    return result


def _longer(h: Array, ratio: Array) -> Array:
    """The next h after a step of which this part was left over."""
    grown = np.where(ratio < 0.02, np.inf, np.where(ratio < 0.1, 30.0, 4.0) * h)
    return np.where(h == 0.0, 4.0, np.where(ratio <= 0.25, grown, h))


def _shorter(h: Array) -> Array:
    """h after a step that was too long; 0 once it is not longer than a dose."""
    return np.where(np.isinf(h), 256.0, np.where(h > 2.0, h / 8.0, 0.0))
