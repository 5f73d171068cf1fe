"""The flows of dosing intervals, and their matrices: where a state leads to, and how that moves."""

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

    def advance(
        self, x: Array, which: NDArray[np.int64], rtol: float
    ) -> tuple[Array, NDArray[np.int32]]:
        """Where the flows `which` lead from x, (k, kept), and how that went, (k,) of status."""
        from teorell.engine.solve import solve

        part = self._from(x, which)
        batch = flow(self.programs, self.columns, part, self.horizon, which)
        raw = solve(batch, **self._at(rtol))
        return np.ascontiguousarray(raw.values[:, self.kept]), raw.status

    def matrix(self, x: Array, which: NDArray[np.int64], rtol: float) -> Array:
        """(k, kept, kept) the derivative of the flows by the state, at x.

        That of the steps which the solver takes at this tolerance; NaN where it fails.
        """
        kept = x.shape[1]
        return self.along(x, which, rtol, np.broadcast_to(np.eye(kept), (len(x), kept, kept)))

    def along(self, x: Array, which: NDArray[np.int64], rtol: float, directions: Array) -> Array:
        """(k, kept, d) the derivatives of the flows along directions (k, kept, d), as `matrix`."""
        from teorell.engine.solve import push_forward

        part = self._from(x, which)
        rows = within(self.inside, self.timeline, part, which)[:, self.kept]
        moved = np.zeros((directions.shape[2], len(part.time)))
        moved[:, rows] = np.moveaxis(directions, 2, 0)
        batch = flow(self.tangent_programs(), self.columns, part, self.horizon, which)
        found = push_forward(batch, Tangents(event_value=moved), **self._at(rtol))[1]
        return np.ascontiguousarray(found[:, self.kept])

    def _from(self, x: Array, which: NDArray[np.int64]) -> Timeline:
        """The timeline of these flows alone, from x."""
        whole = np.zeros((len(self.kept), len(which)))
        whole[self.kept] = x.T
        part = self.timeline.of(which)
        return with_states(part, within(self.inside, self.timeline, part, which), whole)

    def _at(self, rtol: float) -> dict[str, Any]:
        """The settings of the solver at another tolerance."""
        scale = rtol / self.rtol
        return {**self.settings, "rtol": rtol, "atol": self.settings["atol"] * scale}
