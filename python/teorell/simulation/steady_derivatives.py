"""States at steady state that have been found, and their derivatives both ways.

From x = flow(x, p) follow, with M the derivative of the flow by its state, the tangent
dx = (I - M)^-1 dp and the cotangent mu = (I - M')^-1 lambda (the implicit function theorem). M is
that of the steps at x. Totals that nothing changes, P x with P as in modes.hpp, move with the
initial values x0: dx = (I - M + P)^-1 (dp + P dx0); and with the weights in P (moving_totals.py).
No BLAS: its bits depend on the processor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.engine.batch import Batch, RawGradient, Timeline
from teorell.model import Model
from teorell.model.declarations import LONG_AGO
from teorell.model.evaluate import evaluate_all
from teorell.model.expression import Expression, derivative, evaluate, leaves, symbol
from teorell.schedule.dosing_rules import Doses
from teorell.schedule.switch_rows import SwitchTimes
from teorell.schedule.timeline_derivatives import (
    pull_back_rows,
    pull_back_switches,
    push_forward_rows,
    push_forward_switches,
)
from teorell.schedule.timeline_rows import Steady, running
from teorell.simulation.flows import Flows
from teorell.simulation.interval import flow, given_rows, state_rows, with_states
from teorell.simulation.moving_totals import detours
from teorell.simulation.switch_times import slopes_of

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
    switches: tuple[SwitchTimes, ...]  # of the flows
    status: NDArray[np.int32]  # (records,) 0, or why there is no steady state
    start: Array  # (states, records) the initial values of the model
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
        raw = self._back(mu, self.states)
        of_doses = pull_back_rows(
            self.doses, self.timeline, raw.event_value, raw.event_time, self.switches
        )
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
            for k, name in enumerate(self.model.parameter_names)
        }
        bars_of = pull_back_switches(self.timeline, self.switches, raw.event_time)
        for of_switch, slopes in zip(bars_of, self._switch_slopes, strict=True):
            for name, slope in slopes.items():
                found[name] += np.where(of_switch == 0.0, 0.0, of_switch * slope)
        for states, numbers in self._detours:
            back = self._back(numbers * self._on_totals(mu, transposed=True), states)
            for k, name in enumerate(self.model.parameter_names):
                found[name] += back.parameters[:, k]
        for record, projection in self.projection.items():
            bar = (projection * mu[self.kept, record][:, None]).sum(axis=0)
            for name, of_states in self._initial_slopes(record).items():
                found[name][record] += (of_states * bar).sum()
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
        value, time = push_forward_rows(self.doses, self.timeline, dots, self.switches)
        moved_by = [
            sum((slopes[n] * d for n, d in parameters.items() if n in slopes), np.zeros(()))
            for slopes in self._switch_slopes
        ]
        time = time + push_forward_switches(self.timeline, self.switches, moved_by)
        longer = self._slope * np.where(ever, 0.0, mine["every"])

        moved = np.array(value)
        moved[self._state_rows] = 0.0
        right = self._forward(columns, moved, time, self.states) + longer
        still = np.zeros(len(time))
        for states, numbers in self._detours:
            ahead = self._forward(columns, still, still, states)
            right += numbers * self._on_totals(ahead)
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
        values |= self._after_doses
        slopes = evaluate_all(list(self.model.derivatives().values()), values)
        result = np.array(np.broadcast_arrays(*slopes, np.zeros(len(self.rows)))[:-1])
        own = self._dose_rows
        with np.errstate(invalid="ignore", divide="ignore"):
            rate = running(self.doses)[own] * self.doses.amount[own] / self.doses.width[own]
        into = self.doses.table.into[own]
        result[into, np.arange(len(own))] += np.where(running(self.doses)[own] > 0, rate, 0.0)
        return np.where(self.kept[:, None] & self._good, result, 0.0)

    @cached_property
    def _switch_slopes(self) -> list[dict[str, Array]]:
        """For each condition: parameter -> d (time of change) / d parameter, () or (records,)."""
        return slopes_of(self.programs, self.columns)

    @property
    def _after_doses(self) -> dict[Expression, Array]:
        """The times after doses at the end of the interval, by symbol, (records,)."""
        own, names = self._dose_rows, self.model.state_names
        into, ever = self.doses.table.into[own], self.doses.for_ever[own]
        after = np.where(ever, LONG_AGO, self.horizon - self.doses.first[own])
        return {
            symbol("after_dose", name): np.where(into == k, after, LONG_AGO)
            for k, name in enumerate(names)
        }

    @cached_property
    def _dose_rows(self) -> NDArray[np.int64]:
        """(records,) the row of the dose of each flow."""
        return given_rows(self.doses.table)

    @cached_property
    def _state_rows(self) -> NDArray[np.int64]:
        """(records, states) the rows of events that the state comes in with."""
        return state_rows(self.timeline, self.doses.table, self.states.shape[0])

    @cached_property
    def _detours(self) -> list[tuple[Array, Array]]:
        """Where totals are kept: states (states, records) and numbers (records,), by which totals
        move with the parameters in their weights (moving_totals.py).
        """
        which, kept = np.array(sorted(self.projection), np.int64), self.kept
        if not which.size:
            return []
        x = np.ascontiguousarray(self.states[kept][:, which].T)
        left = np.eye(x.shape[1]) - self.flows.matrix(x, which)
        left += np.array([self.projection[record] for record in which.tolist()])
        signed = [self.model.state_info(name).signed for name in self.model.state_names]
        start = np.ascontiguousarray(self.start[kept][:, which].T)
        found = []
        for z, some in detours(self.flows, which, x, start, left, ~np.array(signed)[kept]):
            states, numbers = np.array(self.states), np.zeros(len(self.rows))
            states[np.ix_(kept, which)], numbers[which] = z.T, some
            found.append((states, numbers))
        return found

    def _on_totals(self, states: Array, transposed: bool = False) -> Array:
        """P times states (states, records), or P' times them; zero where nothing is kept."""
        result = np.zeros_like(states)
        for record, projection in self.projection.items():
            matrix = projection.T if transposed else projection
            result[self.kept, record] = (matrix * states[self.kept, record]).sum(axis=1)
        return result

    def _back(self, v: Array, states: Array) -> RawGradient:
        """What the core says of the cotangent v of the ends of the flows from these states.

        v, states: (states, records).
        """
        from teorell.engine.solve import pull_back

        cotangent = np.ascontiguousarray(np.where(self.kept[:, None] & self._good, v, 0.0).T)
        return pull_back(self._flows_from(states), cotangent, **self.options)

    def _forward(self, columns: Array, value: Array, time: Array, states: Array) -> Array:
        """The tangents of the ends of the flows from these states, both (states, records).

        columns: of the parameters; value, time: of all rows of the timeline.
        """
        from teorell.engine.batch import Tangents
        from teorell.engine.solve import push_forward

        tangents = Tangents(columns[None], value[None], time[None])
        batch = self._flows_from(states)
        result: Array = push_forward(batch, tangents, **self.options)[1][..., 0].T
        return result

    def _flows_from(self, states: Array) -> Batch:
        """The flows from states (states, records) as a batch of the core."""
        start = np.where(self._good, states, 0.0)
        part = with_states(self.timeline, self._state_rows, start)
        which = np.arange(len(self.rows))
        return flow(self.programs, self.columns, part, self.horizon, which)
