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
from teorell.engine.batch import NO_STEADY_STATE
from teorell.simulation.flows import Flows
from teorell.simulation.matrices import COARSEST, DIRECTIONS, Matrices, product
from teorell.simulation.neutral import attracts

__all__ = ["FEW", "Attractors"]

PLAIN = 2  # doses that are followed one by one first
FEW = 8  # of more states M is known first along the last moves alone
COARSE, FINER = 1e-3, 1e-5  # tolerances of the solver for the way, tried in turn
SEARCHED = -1  # the status of what is not found yet
NEAR = 1e-2  # relative error at which the way ends
WAY, ENDING = 80, 20  # flows along the way, and at its end, at most
FAR = 1e8  # times the state after the first doses: nothing leads there
AIM, ACCEPTED = 0.1, 10.0  # error of a point, in rtol


@dataclass(eq=False)
class Attractors:
    """The search of some flows; arrays are (k, m) for k flows of m states."""

    flows: Flows
    which: NDArray[np.int64]  # (k,) of the flows
    start: Array  # (k, m) the initial states
    positive: NDArray[np.bool_]  # (m,) states that cannot be negative
    rhythmic: NDArray[np.bool_]  # (k,) where states may oscillate by themselves
    totals: bool  # may something keep its value? All of M is needed then
    x: Array = field(init=False)
    matrices: Matrices = field(init=False)
    status: NDArray[np.int32] = field(init=False)  # (k,) 0 where a point was found, or is near
    far: Array = field(init=False)  # (k,) a state this large leads nowhere

    def __post_init__(self) -> None:
        k = len(self.start)
        self.x = np.array(self.start)
        self.matrices = Matrices(self.flows, self.which, self.start, self.rhythmic)
        self.status, self.far = np.zeros(k, np.int32), np.zeros(k)

    def find(self) -> tuple[Array, NDArray[np.int32]]:
        """The points (k, m), NaN where there is none, and the status of each, (k,)."""
        if not self.x.shape[1]:
            return self.x, self.status
        self._begin()
        for coarse, of_matrix in ((COARSE, COARSEST), (FINER, FINER)):
            going = np.flatnonzero(self.status == SEARCHED)
            self._follow(going, max(coarse, self.flows.rtol), of_matrix)
            self._end(going)
        self.status[self.status == SEARCHED] = NO_STEADY_STATE
        found = np.flatnonzero(self.status == 0)
        doubtful = found[self.matrices.suspicious(self.x[found], found)]
        good = attracts(
            self.flows, self.x[doubtful], self.matrices.projection[doubtful], self.which[doubtful]
        )
        self.status[doubtful[~good]] = NO_STEADY_STATE
        return np.where((self.status == 0)[:, None], self.x, np.nan), self.status

    def _begin(self) -> None:
        """Follow the first doses one by one; a patient whom the solver fails says so."""
        many = self.x.shape[1] > FEW and not self.totals
        coarse = COARSEST if many else COARSE
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
            self.matrices.along(self.x[active], active, np.stack(moves, axis=2)[active])
            doubtful = self.matrices.suspicious(self.x[active], active)
            active = active[self.rhythmic[active] | doubtful]
        self._compute(active, COARSEST)
        # what the first doses, coarsely solved, have moved of such totals goes back
        back = self.start[active] - self.x[active]
        self.x[active] += product(self.matrices.projection[active], back)

    def _compute(self, which: NDArray[np.int64], rtol: float) -> None:
        """Compute the matrices at x, and when first all of M is known find what keeps its value."""
        self.matrices.at(self.x[which], which, rtol)
        new = which[~self.matrices.examined[which]]
        stays = self.matrices.keep_neutral(self.x[new], new)
        self.status[new[~stays]] = NO_STEADY_STATE

    def _follow(self, going: NDArray[np.int64], coarse: float, of_matrix: float) -> None:
        """Follow the train with a coarse solver until the point is near.

        coarse, of_matrix: tolerances of the solver. What is not near in the end is at SEARCHED.
        """
        values, stale = np.full_like(self.x, np.nan), np.zeros(len(self.x), np.bool_)
        stale[going] = of_matrix != COARSEST
        values[going], _ = self.flows.advance(self.x[going], self.which[going], coarse)
        h, last = np.full(len(self.x), np.inf), np.zeros(len(self.x))
        for _ in range(WAY):
            if not going.size:
                return
            self._compute(going[stale[going]], of_matrix)
            going = going[self.status[going] == SEARCHED]
            x, residual = (
                self.x[going],
                self.matrices.kept_out(values[going] - self.x[going], going),
            )
            step, h[going] = self._step(x, values[going], residual, h[going], going, last[going])
            plain = h[going] == 0.0
            new = self._inside(x + step, x, values[going])
            new = np.where(plain[:, None], self._clipped(values[going]), new)
            step = new - x
            value, status = self.flows.advance(new, self.which[going], coarse)
            with np.errstate(invalid="ignore", over="ignore"):
                over = self.matrices.kept_out(value - new, going)
                over -= step / np.where(plain, np.inf, h[going])[:, None]
                left_over = self._size(self.matrices.solved(over, h[going], going), new)
                # below NEAR a coarse solver's jumps are all that is left
                ratio = left_over / np.maximum(self._size(step, new), 4.0 * NEAR)
            good = (status == 0) & ((ratio <= 0.5) | plain)
            newton = np.isinf(h[going])
            near = good & newton & (left_over <= NEAR)
            stale[going] = good & ~(newton & (ratio <= 0.25))
            kept = np.flatnonzero(good & newton & ~stale[going])
            self.matrices.learn(
                going[kept],
                step[kept],
                residual[kept],
                self.matrices.kept_out(value - new, going)[kept],
                new[kept],
            )
            h_now = h[going]
            last[going] = np.where(good & np.isfinite(h_now), h_now, last[going])
            h[going] = np.where(good, _longer(h_now, ratio), _shorter(h_now, last[going]))
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
            residual = self.matrices.kept_out(value - x, going)
            known = np.flatnonzero(np.isfinite(before[going]))
            self.matrices.learn(
                going[known],
                (x - last_x[going])[known],
                last_residual[going[known]],
                residual[known],
                x[known],
            )
            last_x[going], last_residual[going] = x, residual
            step = product(self.matrices.inverse[going], residual)
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
            part = self.matrices.in_part[again]
            fresh[again[part]] = False
            for some, tolerance in ((again[part], COARSE), (again[~part], FINER)):
                self._compute(some, tolerance)
            going = going[self.status[going] == 0]
            before[again] = np.inf
        self.x[ended] = best_x[ended]
        accepted = (best <= ACCEPTED) & self._allowed(best_x)
        lost = (self.status[ended] == 0) & ~accepted[ended]
        self.status[ended[lost]] = SEARCHED

    def _step(
        self,
        x: Array,
        value: Array,
        residual: Array,
        h: Array,
        going: NDArray[np.int64],
        last: Array,
    ) -> tuple[Array, Array]:
        """The steps, and their lengths h, that leave no state negative.

        h is 0 where none does: the next dose alone is followed. last: of the steps before.
        """
        h, step = np.array(h), np.zeros_like(x)
        todo = np.flatnonzero(h > 0.0)
        while todo.size:
            step[todo] = self.matrices.solved(residual[todo], h[todo], going[todo])
            new = self._inside(x[todo] + step[todo], x[todo], value[todo])
            bad = ~(np.isfinite(step[todo]).all(axis=1) & self._allowed(new))
            todo = todo[bad]
            h[todo] = _shorter(h[todo], last[todo])
            todo = todo[h[todo] > 0.0]
        return step, h

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
        return np.asarray(~((x < 0.0) & self.positive).any(axis=1))

    def _size(self, step: Array, x: Array) -> Array:
        """(k,) how large steps are, of the state, in its worst component."""
        return np.asarray(np.max(np.abs(step) / (np.abs(x) + self.flows.least), axis=1))


def _longer(h: Array, ratio: Array) -> Array:
    """The next h after a step of which this part was left over."""
    grown = np.where(ratio < 0.02, np.inf, np.where(ratio < 0.1, 30.0, 4.0) * h)
    return np.where(h == 0.0, 4.0, np.where(ratio <= 0.25, grown, h))


def _shorter(h: Array, last: Array) -> Array:
    """h after one that was too long, last the one before it; 0 once it is no longer than a dose."""
    return np.where(np.isinf(h), np.maximum(256.0, 16.0 * last), np.where(h > 2.0, h / 8.0, 0.0))
