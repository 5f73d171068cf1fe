"""The flows of dosing intervals: their fixed points, and their matrices there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.engine.batch import Tangents, Timeline
from teorell.simulation.interval import flow, with_states, within

if TYPE_CHECKING:
    from teorell.engine.steady import Attractors
    from teorell.lowering import Programs

__all__ = ["Flows"]


@dataclass(frozen=True, eq=False)
class Flows:
    """The flows of one dosing interval, a record each, as functions of the states that are kept.

    States are (k, kept) for k of the records, in the model's units.
    """

    programs: Programs  # from a state to a state
    tangent_programs: Callable[[], Programs]  # the same with their tangents
    columns: tuple[Array, ...]  # a parameter each, () or (records,)
    timeline: Timeline  # of all flows
    inside: NDArray[np.int64]  # (records, states) the rows of it with which states come in
    horizon: Array  # (records,) the length of each flow
    kept: NDArray[np.bool_]  # (states,) those that have a steady state
    settings: Mapping[str, Any]  # of the solver

    @property
    def rtol(self) -> float:
        """The relative tolerance that was asked for."""
        return float(self.settings["rtol"])

    @property
    def least(self) -> Array:
        """(kept,) below this size an error counts as absolute."""
        result: Array = self.settings["atol"][self.kept] / self.rtol
        return result

    def attractors(
        self,
        which: slice,
        start: Array,
        positive: NDArray[np.bool_],
        rhythmic: NDArray[np.bool_],
        totals: bool,
    ) -> Attractors:
        """The fixed points that a long train of doses leads to, of consecutive records.

        start: (k, kept) the initial states. positive: (kept,) states that cannot be negative.
        rhythmic: (k,) where states may oscillate by themselves. totals: may something keep its
        value?
        """
        from teorell.engine.steady import Search, find_steady_states

        part = self.timeline.part(which.start, which.stop)
        search = Search(
            inside=self.inside[which] - self.timeline.offsets[which.start],
            kept=np.flatnonzero(self.kept).astype(np.int32),
            start=start,
            least=self.least,
            positive=positive.astype(np.uint8),
            rhythmic=rhythmic.astype(np.uint8),
            totals=totals,
        )
        numbers = np.arange(which.start, which.stop)
        batch = flow(self.programs, self.columns, part, self.horizon, numbers)
        return find_steady_states(batch, self.tangent_programs(), search, **self.settings)

    def advance(self, x: Array, which: NDArray[np.int64]) -> tuple[Array, NDArray[np.int32]]:
        """Where the flows `which` lead from x, (k, kept), and how that went, (k,) of status."""
        from teorell.engine.solve import solve

        part = self._from(x, which)
        raw = solve(flow(self.programs, self.columns, part, self.horizon, which), **self.settings)
        return np.ascontiguousarray(raw.values[:, self.kept]), raw.status

    def matrix(self, x: Array, which: NDArray[np.int64]) -> Array:
        """(k, kept, kept) the derivative of the flows by the state, at x (k, kept).

        That of the steps which the solver takes; NaN where it fails.
        """
        from teorell.engine.solve import push_forward

        part = self._from(x, which)
        rows = within(self.inside, self.timeline, part, which)
        moved = np.zeros((x.shape[1], len(part.time)))
        for direction, inside in zip(moved, rows[:, self.kept].T, strict=True):
            direction[inside] = 1.0
        batch = flow(self.tangent_programs(), self.columns, part, self.horizon, which)
        found = push_forward(batch, Tangents(event_value=moved), **self.settings)[1]
        return np.ascontiguousarray(found[:, self.kept])

    def _from(self, x: Array, which: NDArray[np.int64]) -> Timeline:
        """The timeline of these flows alone, from x."""
        whole = np.zeros((len(self.kept), len(which)))
        whole[self.kept] = x.T
        part = self.timeline.of(which)
        return with_states(part, within(self.inside, self.timeline, part, which), whole)
