"""Steady state: the state in which a dose that has been given for ever leaves the patient.

A record at steady state starts from the state that one dosing interval leads back to: the fixed
point x = flow(x) of a flow that the solver computes, all records at once, each a patient of its
own. The infusions of earlier intervals that still run are part of the flow. With an infusion
that has run for ever, x is where it leads to in the end. States that nothing depends on, such as an
AUC or an excreted amount, have no steady state: they start at zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.engine.batch import Timeline
from teorell.model import Model
from teorell.model.evaluate import evaluate_all
from teorell.model.expression import symbol
from teorell.schedule.dose import BOLUS, NOT_STEADY
from teorell.schedule.dosing_rules import Doses
from teorell.schedule.timeline import timeline_of
from teorell.simulation.fixed_point import fixed_points
from teorell.simulation.interval import (
    check_autonomous,
    flow,
    flows_of,
    lasting,
    of_states,
    state_rows,
    with_states,
    within,
)
from teorell.simulation.steady_derivatives import SteadyStates

if TYPE_CHECKING:
    from teorell.lowering import Programs

__all__ = ["SteadyStates", "steady_states"]

COARSE = 1e-4  # the tolerance of the solver for the first approximation,
NEAR = 0.01  # which is that good
BLOCK = 2048  # records whose flows are followed at once


def steady_states(
    model: Model,
    doses: Doses,
    parameters: Callable[[NDArray[np.int64]], tuple[Array, ...]],
    options: Mapping[str, Any],
    derivatives: str | None = None,
) -> SteadyStates | None:
    """The states that precede the records at steady state; None if there are none.

    parameters(rows): one column a parameter, () or (n,), at these rows of the doses. options: of
    the solver. derivatives: as for `lower`.
    """
    rows = np.flatnonzero(doses.table.steady != NOT_STEADY)
    if not rows.size:
        return None
    from teorell.lowering.recent import programs_of

    check_autonomous(model)
    names = model.state_names
    flows, horizon = flows_of(doses, rows, names)
    into = {names[k] for k in flows.table.into[flows.table.kind != BOLUS]}
    infused = tuple(name for name in names if name in into)
    programs = programs_of(of_states(model), names, infused, derivatives)
    timeline = timeline_of(
        flows,
        states={name: k for k, name in enumerate(names)},
        infused={name: k for k, name in enumerate(programs.infused)},
        ongoing=True,
    )
    search = _Search(
        programs=programs,
        columns=parameters(rows),
        timeline=timeline,
        inside=state_rows(timeline, flows.table, len(names)),
        horizon=horizon,
        kept=lasting(model),
        positive=np.array([not model.state_info(name).signed for name in names]),
        settings=dict(options, before=False),
    )
    start = _initial_states(model, search.columns, len(rows))
    x = np.where(search.kept[:, None], start, 0.0)
    blocks = [np.arange(k, min(k + BLOCK, len(rows))) for k in range(0, len(rows), BLOCK)]
    return SteadyStates(
        model=model,
        programs=programs,
        columns=search.columns,
        rows=rows,
        doses=flows,
        timeline=timeline,
        horizon=horizon,
        kept=search.kept,
        states=np.concatenate([search.of(block, x[:, block]) for block in blocks], axis=1),
        options=search.settings,
    )


def _initial_states(model: Model, columns: tuple[Array, ...], records: int) -> Array:
    """(states, records) the initial values of the model, by the parameters of each record."""
    named = zip(model.parameter_names, columns, strict=True)
    values = {symbol("parameter", name): column for name, column in named}
    initials = evaluate_all(list(model.initials().values()), values)
    return np.array(np.broadcast_arrays(*initials, np.zeros(records))[:-1])


@dataclass(frozen=True, eq=False)
class _Search:
    """The flows of dosing intervals, a record each, whose fixed points are searched."""

    programs: Programs  # from a state to a state
    columns: tuple[Array, ...]  # a parameter each, () or (records,)
    timeline: Timeline  # of all flows
    inside: NDArray[np.int64]  # (records, states) the rows of it with which states come in
    horizon: Array  # (records,) the length of each flow
    kept: NDArray[np.bool_]  # (states,) those that have a steady state
    positive: NDArray[np.bool_]  # (states,) those that cannot be below zero
    settings: Mapping[str, Any]  # of the solver

    def of(self, block: NDArray[np.int64], start: Array) -> Array:
        """(states, k) the fixed points of k flows, searched from `start`; NaN where there is none.

        What evaluations show of the flows is kept meanwhile, for these alone.
        """
        known = None
        if self.settings["rtol"] < COARSE / 10.0:
            # Most of the way is cheap: at a loose tolerance, which also shows how the flow
            # depends on the state.
            loose = self.settings["atol"] * (COARSE / self.settings["rtol"])
            near, _, known = fixed_points(
                lambda x, which: self.advance(x, block[which], rtol=COARSE, atol=loose),
                start,
                lambda x, which: self.weights(x, NEAR),
                self.positive,
            )
            start = np.where(np.isfinite(near).all(axis=0), near, start)
        exact = self.settings["rtol"] / 10.0
        return fixed_points(
            lambda x, which: self.advance(x, block[which]),
            start,
            lambda x, which: self.weights(x, exact),
            self.positive,
            known,
        )[0]

    def advance(self, x: Array, which: NDArray[np.int64], **chosen: Any) -> Array:
        """(states, k) where the flows `which` (k,) lead from x.

        chosen: settings of the solver in place of those of the search.
        """
        from teorell.engine.solve import solve

        part = self.timeline.of(which)
        part = with_states(part, within(self.inside, self.timeline, part, which), x)
        batch = flow(self.programs, self.columns, part, self.horizon, which)
        raw = solve(batch, **{**self.settings, **chosen})
        return np.where(self.kept[:, None], raw.values.T, 0.0)

    def weights(self, x: Array, relative: float) -> Array:
        """(states, k) one over the error that a state may have, relative to its size."""
        least = self.settings["atol"][:, None] / self.settings["rtol"]
        result: Array = 1.0 / (relative * (np.abs(x) + least))
        return result
