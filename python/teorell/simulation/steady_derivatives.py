"""States at steady state that have been found, and their derivatives both ways.

From x = flow(x, p) follow, with M the derivative of the flow by its state, the tangent
dx = (I - M)^-1 dp and the cotangent mu = (I - M')^-1 lambda (the implicit function theorem). M is
that of the steps at x. Totals that nothing changes, P x with P as in modes.hpp, move with the
initial values x0: dx = (I - M + P)^-1 (dp + P dx0). No BLAS: its bits depend on the processor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.engine.batch import Batch, Timeline
from teorell.model import Model
from teorell.model.evaluate import evaluate_all
from teorell.model.expression import derivative, evaluate, leaves, symbol
from teorell.schedule.dosing_rules import Doses
from teorell.schedule.timeline_derivatives import pull_back_rows, push_forward_rows
from teorell.schedule.timeline_rows import Steady, running
from teorell.simulation.flows import Flows
from teorell.simulation.interval import flow, given_rows, state_rows, with_states, within

if TYPE_CHECKING:
    from teorell.lowering import Programs

__all__ = ["SteadyStates"]

ENTRIES = 4_000_000  # of matrices that are formed at once, at most


@dataclass(frozen=True, eq=False)
class SteadyStates:
    """The states that records at steady state start from: fixed points of flows."""

    model: Model
    programs: Programs  # of the flow: from a state to a state
    flows: Flows
    rows: NDArray[np.int64]  # (records,) of the table of doses
    whole: NDArray[np.int64]  # (records,) whole intervals in the lag
    doses: Doses  # of the flows: for each record its states as boluses at 0, then its dose
    status: NDArray[np.int32]  # (records,) 0, or why there is no steady state
    states: Array  # (states, records) NaN where there is none
    projection: Mapping[int, Array]  # record -> (kept, kept) P, where there is something to keep

    @property
    def columns(self) -> tuple[Array, ...]:
        """A parameter each, () or (records,), at the record."""
        return self.flows.columns

    @property
    def timeline(self) -> Timeline:
        return self.flows.timeline

    @property
    def horizon(self) -> Array:
        """(records,) the length of the flow."""
        return self.flows.horizon

    @property
    def kept(self) -> NDArray[np.bool_]:
        """(states,) Those that have a steady state."""
        return self.flows.kept

    @property
    def options(self) -> Mapping[str, Any]:
        """Of the solver."""
        return self.flows.settings

    @property
    def shape(self) -> tuple[int, int]:
        """The number of records, and that of states."""
        return self.states.shape[1], self.states.shape[0]

    @property
    def missing(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """The rows of the table of doses without a steady state, and why."""
        return self.rows[~self._good], self.status[~self._good]

    @property
    def found(self) -> Steady:
        """The states as rows of the timeline take them."""
        return Steady(self.rows, np.ascontiguousarray(self.states.T))

    def pull_back(self, cotangent: Array, bars: dict[str, Array]) -> dict[str, Array]:
        """The cotangents of the parameters at the records, name -> (records,).

        cotangent: of the states, (records, states). bars: what reaches the doses of the records is
        added to these, (rows of the table,) by the names of timeline_derivatives.py.
        """
        lam = np.where(self.kept[:, None] & self._good, cotangent.T, 0.0)
        mu = self._solved(lam, transposed=True)
        raw = self._back(mu, np.arange(len(self.rows)))[1]
        of_doses = pull_back_rows(self.doses, self.timeline, raw.event_value, raw.event_time)
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
        longer = np.where(ever, 0.0, (mu * self._slope).sum(axis=0))
        longer -= np.where(ever, 0.0, self.whole * of_doses["first"][own])
        np.add.at(bars["every"], self.rows, np.where(ever, 0.0, of_doses["every"][own]) + longer)
        found = {
            name: np.array(raw.parameters[:, k])
            for k, name in enumerate(self.programs.parameter_names)
        }
        for record, projection in self.projection.items():
            bar = (projection * mu[self.kept, record][:, None]).sum(axis=0)
            for name, slopes in self._initial_slopes(record).items():
                found[name][record] += (slopes * bar).sum()
        return found

    def push_forward(self, parameters: Mapping[str, Array], fields: Mapping[str, Array]) -> Array:
        """The tangent of the states, (records, states).

        parameters: name -> the tangent at the records, () or (records,). fields: the tangents of
        all doses, by the names that Doses.push_forward gives.
        """
        records = self.states.shape[1]
        own, ever = self._dose_rows, self.doses.for_ever[self._dose_rows]
        dots = {
            name: np.zeros(len(self.doses.amount))
            for name in ("amount", "first", "width", "every", "time")
        }
        mine = {name: fields[name][self.rows] for name in fields}
        for name in ("amount", "width", "every"):
            dots[name][own] = np.where(ever, 0.0, mine[name])
        dots["amount"][own] += np.where(ever, mine["rate"] * self.doses.width[own], 0.0)
        moved = mine["first"] - mine["time"] - self.whole * mine["every"]
        dots["first"][own] = np.where(ever, 0.0, moved)
        columns = np.zeros((records, len(self.programs.parameter_names)))
        for name, dot in parameters.items():
            columns[:, self.programs.parameter_names.index(name)] = dot
        value, time = push_forward_rows(self.doses, self.timeline, dots)
        longer = self._slope * np.where(ever, 0.0, mine["every"])

        moved = np.array(value)
        moved[self._state_rows] = 0.0
        right = self._forward(columns, moved, time, np.arange(records)) + longer
        right = np.where(self.kept[:, None] & self._good, right, 0.0)
        for record, projection in self.projection.items():
            for name, slopes in self._initial_slopes(record).items():
                dot = columns[record, self.programs.parameter_names.index(name)]
                right[self.kept, record] += (projection * slopes).sum(axis=1) * dot
        return self._solved(right).T

    def _solved(self, right: Array, transposed: bool = False) -> Array:
        """(I - M + P)^-1 right, or with the transposed matrix, (states, records)."""
        from teorell.engine.dense import solved

        result = np.zeros_like(right)
        numbers, kept = np.flatnonzero(self._good), int(self.kept.sum())
        block = max(1, ENTRIES // max(1, kept * kept))
        for first in range(0, numbers.size if kept else 0, block):
            which = numbers[first : first + block]
            x = np.ascontiguousarray(self.states[self.kept][:, which].T)
            matrices = np.eye(kept) - self.flows.matrix(x, which)
            for k, record in enumerate(which.tolist()):
                if record in self.projection:
                    matrices[k] += self.projection[record]
            if transposed:
                matrices = np.ascontiguousarray(np.swapaxes(matrices, 1, 2))
            found = solved(matrices, np.ascontiguousarray(right[self.kept][:, which].T))
            result[np.ix_(self.kept, which)] = found.T
        return result

    def _initial_slopes(self, record: int) -> dict[str, Array]:
        """Parameter -> the derivatives of the initial values by it at a record, (kept,).

        For parameters that initial values depend on.
        """
        names = self.programs.parameter_names
        values = {
            symbol("parameter", name): column[record] if column.ndim else column
            for name, column in zip(names, self.columns, strict=True)
        }
        initials = np.array(list(self.model.initials().values()), object)[self.kept]
        read = {leaf for one in initials for leaf in leaves(one) if leaf.op == "parameter"}
        return {
            leaf.name: np.array([float(evaluate(derivative(e, leaf), values)) for e in initials])
            for leaf in read
        }

    @cached_property
    def _good(self) -> NDArray[np.bool_]:
        """(records,) Was a steady state found?"""
        return np.asarray(np.isfinite(self.states).all(axis=0))

    @cached_property
    def _slope(self) -> Array:
        """(states, records) the slopes with which states would go on at the end of the interval."""
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
        """(records,) the row of the dose of each flow."""
        return given_rows(self.doses.table)

    @cached_property
    def _state_rows(self) -> NDArray[np.int64]:
        """(records, states) the rows of events that the state comes in with."""
        return state_rows(self.timeline, self.doses.table, self.states.shape[0])

    def _back(self, v: Array, which: NDArray[np.int64]) -> tuple[Array, Any]:
        """The cotangent v of the end of some flows taken to their start, and the core's answer."""
        from teorell.engine.solve import pull_back

        cotangent = np.ascontiguousarray(np.where(self.kept[:, None] & self._good[which], v, 0.0).T)
        part = self._at_the_state.of(which)
        raw = pull_back(self._flow(part, which), cotangent, **self.options)
        rows = self._local(part, which)
        return np.where(self.kept[:, None], raw.event_value[rows].T, 0.0), raw

    def _forward(
        self, columns: Array, value: Array, time: Array, which: NDArray[np.int64]
    ) -> Array:
        """The tangent of the end of some flows, (states, k).

        columns: of the parameters; value, time: of all rows of the timeline.
        """
        from teorell.engine.batch import Tangents
        from teorell.engine.solve import push_forward

        part = self._at_the_state.of(which)
        rows = self.timeline.rows_of(which)
        tangents = Tangents(columns[None], value[rows][None], time[rows][None])
        result: Array = push_forward(self._flow(part, which), tangents, **self.options)[1][..., 0].T
        return result

    def _flow(self, part: Timeline, which: NDArray[np.int64]) -> Batch:
        """Some flows as a batch of the core; part: their timeline."""
        return flow(self.programs, self.columns, part, self.horizon, which)

    def _local(self, part: Timeline, which: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows in `part`, the timeline of some flows, with which states come in."""
        return within(self._state_rows, self.timeline, part, which)

    @cached_property
    def _at_the_state(self) -> Timeline:
        """The timeline whose flows start from the steady states."""
        return with_states(self.timeline, self._state_rows, np.where(self._good, self.states, 0.0))
