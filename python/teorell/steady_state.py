"""Steady state: the state in which a dose that has been given for ever leaves the patient, and its
derivatives.

A record at steady state starts from the state x that one dosing interval leads back to, x =
flow(x): the fixed point of a flow that the solver computes, all records at once, each a patient of
its own. The infusions of earlier intervals that still run are part of the flow. With an infusion
that has run for ever, x is where it leads to in the end. States that nothing depends on, such as an
AUC or an excreted amount, have no steady state: they start at zero.

From x = flow(x, p) follow, with M the derivative of the flow by its state, dx = M dx + dp and the
cotangent mu = lambda + M' mu (the implicit function theorem); both are fixed points too, and M is
never formed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from teorell.dose_table import BOLUS, NOT_STEADY
from teorell.dosing_rules import Doses
from teorell.event_derivatives import pull_back_rows, push_forward_rows
from teorell.events import Events, Steady, events, running
from teorell.expression import symbol
from teorell.fixed_point import fixed_points
from teorell.flows import (
    check_autonomous,
    flow,
    flows_of,
    lasting,
    of_states,
    rows_of,
    state_rows,
    taken,
    with_states,
    within,
)  # fmt: skip
from teorell.model import Model
from teorell.parameters import Array
from teorell.reading import evaluate_all

if TYPE_CHECKING:
    from teorell.flows import Flow
    from teorell.lowering import Programs

__all__ = ["SteadyStates", "steady_states"]

COARSE = 1e-4  # the tolerance of the solver for the first approximation,
NEAR = 0.01  # which is that good
BLOCK = 2048  # records whose flows are followed at once
LINEAR = 1e-10  # how exactly derivatives solve their linear equations, of their largest component


@dataclass(frozen=True, eq=False)
class SteadyStates:
    """The states that records at steady state start from, and the flows they
    are fixed points of.
    """

    model: Model
    programs: Programs  # of the flow: from a state to a state
    columns: tuple[Array, ...]  # a parameter each, () or (records,), at the record
    rows: NDArray[np.int64]  # (records,) of the table of doses
    doses: Doses  # of the flows: for each record its states as boluses at 0, then its dose
    events: Events
    horizon: Array  # (records,) the length of the flow
    kept: NDArray[np.bool_]  # (states,) those that have a steady state
    states: Array  # (states, records) NaN where there is none
    options: Mapping[str, Any]

    @property
    def shape(self) -> tuple[int, int]:
        """Records, states."""
        return self.states.shape[1], self.states.shape[0]

    @property
    def missing(self) -> NDArray[np.int64]:
        """The rows of the table of doses without a steady state."""
        return self.rows[~self._good]

    @property
    def found(self) -> Steady:
        return Steady(self.rows, np.ascontiguousarray(self.states.T))

    def pull_back(self, cotangent: Array, bars: dict[str, Array]) -> dict[str, Array]:
        """From the cotangent of the states (records, states) to those of the parameters at the
        records, (records,).

        What reaches the doses of the records is added to `bars`, by the names of
        event_derivatives.py.
        """
        lam = np.where(self.kept[:, None] & self._good, cotangent.T, 0.0)
        with_state = self._weights_by(lambda v: np.abs(v) * self._scale, 1.0 / self._scale)
        mu = fixed_points(lambda v, w: lam[:, w] + self._back(v, w)[0], lam, with_state)[0]
        raw = self._back(mu, np.arange(len(self.rows)))[1]
        of_doses = pull_back_rows(self.doses, self.events, raw.event_value, raw.event_time)
        own = self._dose_rows
        bars["rate"] = np.zeros(len(bars["amount"]))
        ever = self.doses.for_ever[own]
        for name in ("amount", "first", "width"):
            np.add.at(bars[name], self.rows, np.where(ever, 0.0, of_doses[name][own]))
        np.add.at(
            bars["rate"],
            self.rows,
            np.where(ever, of_doses["amount"][own] * self.doses.width[own], 0.0),
        )
        # `first` counts from the record's own time here; its doses come lag later.
        np.add.at(bars["time"], self.rows, np.where(ever, 0.0, -of_doses["first"][own]))
        longer = np.where(ever, 0.0, np.einsum("nr,nr->r", mu, self._slope))
        np.add.at(bars["every"], self.rows, np.where(ever, 0.0, of_doses["every"][own]) + longer)
        return {name: raw.parameters[:, k] for k, name in enumerate(self.programs.parameter_names)}

    def push_forward(self, parameters: Mapping[str, Array], fields: Mapping[str, Array]) -> Array:
        """The tangent of the states (records, states) from those of parameters at the records and
        of the doses.
        """
        n, records = self.states.shape
        own, ever = self._dose_rows, self.doses.for_ever[self._dose_rows]
        dots = {
            name: np.zeros(len(self.doses.amount))
            for name in ("amount", "first", "width", "every", "time")
        }
        mine = {name: fields[name][self.rows] for name in fields}
        for name in ("amount", "width", "every"):
            dots[name][own] = np.where(ever, 0.0, mine[name])
        dots["amount"][own] += np.where(ever, mine["rate"] * self.doses.width[own], 0.0)
        dots["first"][own] = np.where(ever, 0.0, mine["first"] - mine["time"])
        columns = np.zeros((records, len(self.programs.parameter_names)))
        for name, dot in parameters.items():
            columns[:, self.programs.parameter_names.index(name)] = dot
        value, time = push_forward_rows(self.doses, self.events, dots)
        longer = self._slope * np.where(ever, 0.0, mine["every"])

        def forward(v: Array, which: NDArray[np.int64]) -> Array:
            moved = np.array(value)
            moved[self._state_rows[which]] = v.T
            result = self._forward(columns[which], moved, time, which) + longer[:, which]
            return np.where(self.kept[:, None], result, 0.0)

        with_state = self._weights_by(lambda v: np.abs(v) / self._scale, self._scale)
        found = fixed_points(forward, np.zeros((n, records)), with_state)[0]
        return np.where(self._good, found, 0.0).T

    @cached_property
    def _good(self) -> NDArray[np.bool_]:
        return np.asarray(np.isfinite(self.states).all(axis=0))

    @cached_property
    def _scale(self) -> Array:
        """(states, records) how large a state is, for the norms of derivatives."""
        size = np.abs(np.where(self._good, self.states, 0.0))
        result: Array = np.maximum(size, 1e-6 * np.max(size, axis=0) + 1e-30)
        return result

    def _weights_by(
        self, sizes: Callable[[Array], Array], unit: Array
    ) -> Callable[[Array, NDArray[np.int64]], Array]:
        def weights(v: Array, which: NDArray[np.int64]) -> Array:
            whole = np.zeros((len(v), len(self.rows)))
            whole[:, which] = v
            largest = np.max(sizes(whole)[:, which], axis=0)
            return np.where(
                largest > 0.0,
                1.0 / (LINEAR * np.where(largest > 0.0, largest, 1.0) * unit[:, which]),
                1.0,
            )

        return weights

    @cached_property
    def _slope(self) -> Array:
        """(states, records) what the states would go on with at the end of the interval."""
        values = {
            symbol("state", name): self.states[k] for k, name in enumerate(self.model.state_names)
        }
        names = zip(self.programs.parameter_names, self.columns, strict=True)
        values |= {symbol("parameter", name): column for name, column in names}
        slopes = evaluate_all(list(self.model.derivatives().values()), values)
        result = np.array(np.broadcast_arrays(*slopes, np.zeros(len(self.rows)))[:-1])
        own = self._dose_rows
        with np.errstate(invalid="ignore", divide="ignore"):
            rate = running(self.doses)[own] * self.doses.amount[own] / self.doses.width[own]
        into = self.doses.table.into[own]
        result[into, np.arange(len(own))] += np.where(running(self.doses)[own] > 0, rate, 0.0)
        return np.where(self.kept[:, None] & self._good, result, 0.0)

    @cached_property
    def _dose_rows(self) -> NDArray[np.int64]:
        """(records,) the last row of each flow."""
        return self.doses.table.offsets[1:] - 1

    @cached_property
    def _state_rows(self) -> NDArray[np.int64]:
        """(records, states) the rows of events that the state comes in with."""
        return state_rows(self.events, self.doses.table, self.states.shape[0])

    def _back(self, v: Array, which: NDArray[np.int64]) -> tuple[Array, Any]:
        from teorell.solve import pull_back

        cotangent = np.ascontiguousarray(np.where(self.kept[:, None] & self._good[which], v, 0.0).T)
        part = taken(self._at_the_state, which)
        raw = pull_back(*self._flow(part, which), cotangent, **self.options)
        rows = self._local(part, which)
        return np.where(self.kept[:, None], raw.event_value[rows].T, 0.0), raw

    def _forward(
        self, columns: Array, value: Array, time: Array, which: NDArray[np.int64]
    ) -> Array:
        from teorell.solve import Tangents, push_forward

        part = taken(self._at_the_state, which)
        rows = rows_of(self.events, which)
        tangents = Tangents(columns[None], value[rows][None], time[rows][None])
        result: Array = push_forward(*self._flow(part, which), tangents, **self.options)[1][
            ..., 0
        ].T
        return result

    def _flow(self, part: Events, which: NDArray[np.int64]) -> Flow:
        return flow(self.programs, self.columns, part, self.horizon, which)

    def _local(self, part: Events, which: NDArray[np.int64]) -> NDArray[np.int64]:
        return within(self._state_rows, self.events, part, which)

    @cached_property
    def _at_the_state(self) -> Events:
        return with_states(self.events, self._state_rows, np.where(self._good, self.states, 0.0))


def steady_states(
    model: Model,
    doses: Doses,
    parameters: Callable[[NDArray[np.int64]], tuple[Array, ...]],
    options: Mapping[str, Any],
    derivatives: str | None = None,
) -> SteadyStates | None:
    """The states that precede the records at steady state; None if there are none.

    parameters(rows): one column a parameter, () or (n,), at these rows of the doses.
    """
    rows = np.flatnonzero(doses.table.steady != NOT_STEADY)
    if not rows.size:
        return None
    from teorell.lowered import programs_of
    from teorell.solve import solve

    check_autonomous(model)
    names = model.state_names
    flows, horizon = flows_of(doses, rows, names)
    infused = {names[k] for k in flows.table.into[flows.table.kind != BOLUS]}
    alone = of_states(model)
    programs = programs_of(
        alone, names, tuple(name for name in names if name in infused), derivatives
    )
    numbers = {name: k for k, name in enumerate(names)}
    table = events(
        flows, numbers, {name: k for k, name in enumerate(programs.infused)}, ongoing=True
    )
    columns = parameters(rows)
    kept = lasting(model)
    inside = state_rows(table, flows.table, len(names))
    settings = dict(options, before=False)

    def advance(x: Array, which: NDArray[np.int64], **chosen: Any) -> Array:
        part = taken(table, which)
        part = with_states(part, within(inside, table, part, which), x)
        raw = solve(*flow(programs, columns, part, horizon, which), **(settings | chosen))
        return np.where(kept[:, None], raw.values.T, 0.0)

    def weights(
        x: Array, which: NDArray[np.int64], relative: float = settings["rtol"] / 10.0
    ) -> Array:
        result: Array = 1.0 / (
            relative * (np.abs(x) + settings["atol"][:, None] / settings["rtol"])
        )
        return result

    values = {
        symbol("parameter", name): column
        for name, column in zip(model.parameter_names, columns, strict=True)
    }
    initials = evaluate_all(list(model.initials().values()), values)
    start = np.array(np.broadcast_arrays(*initials, np.zeros(len(rows)))[:-1])
    positive = np.array([not model.state_info(name).signed for name in names])
    x = np.where(kept[:, None], start, 0.0)

    def search(block: NDArray[np.int64]) -> Array:
        """The fixed points of some flows; what evaluations show of them is kept meanwhile, for so
        many at once.
        """
        first, known = x[:, block], None
        if settings["rtol"] < COARSE / 10.0:
            # Most of the way is cheap: at a loose tolerance, which also shows how the flow depends
            # on the state.
            rough = {"rtol": COARSE, "atol": settings["atol"] * (COARSE / settings["rtol"])}
            near, _, known = fixed_points(
                lambda x, which: advance(x, block[which], **rough),
                first,
                lambda x, w: weights(x, w, NEAR),
                positive,
            )
            first = np.where(np.isfinite(near).all(axis=0), near, first)
        return fixed_points(
            lambda x, which: advance(x, block[which]), first, weights, positive, known
        )[0]

    blocks = [np.arange(k, min(k + BLOCK, len(rows))) for k in range(0, len(rows), BLOCK)]
    found = np.concatenate([search(block) for block in blocks], axis=1)
    return SteadyStates(
        model, programs, columns, rows, flows, table, horizon, kept, found, settings
    )
