"""Derivatives of states at steady state, both ways.

From x = flow(x, p) follow, with M the derivative of the flow by its state, the tangent
dx = (I - M)^-1 dp and the cotangent mu = (I - M')^-1 lambda (the implicit function theorem). M is
that of the steps at x. Totals that nothing changes, P x with P as in modes.hpp, move with the
initial values x0: dx = (I - M + P)^-1 (dp + P dx0); and with the weights in P (moving_totals.py).
No BLAS: its bits depend on the processor.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from teorell.arrays import Array
from teorell.engine.batch import Batch, RawGradient
from teorell.schedule.timeline_derivatives import (
    pull_back_rows,
    pull_back_switches,
    push_forward_rows,
    push_forward_switches,
)
from teorell.simulation.fixed_points import FixedPoints
from teorell.simulation.interval import flow, with_states

__all__ = ["SteadyStates"]


class SteadyStates(FixedPoints):
    """The states that records at steady state start from, and their derivatives both ways."""

    def pull_back(self, cotangent: Array, bars: dict[str, Array]) -> dict[str, Array]:
        """The cotangents of the parameters at the records, name -> (records,).

        cotangent: of the states, (records, states). bars: what reaches the doses of the records is
        added to these, (rows of the table,) by the names of timeline_derivatives.py.
        """
        lam = np.where(self.kept[:, None] & self.good, cotangent.T, 0.0)
        mu = self.solved(lam, transposed=True)
        raw = self._back(mu, self.states)
        of_doses = pull_back_rows(
            self.doses, self.timeline, raw.event_value, raw.event_time, self.switches
        )
        own = self.dose_rows
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
        longer = np.where(ever, 0.0, (mu * self.slope).sum(axis=0))
        longer -= np.where(ever, 0.0, self.whole * of_doses["first"][own])
        np.add.at(bars["every"], self.rows, np.where(ever, 0.0, of_doses["every"][own]) + longer)
        found = {
            name: np.array(raw.parameters[:, k])
            for k, name in enumerate(self.model.parameter_names)
        }
        bars_of = pull_back_switches(self.timeline, self.switches, raw.event_time)
        for of_switch, slopes in zip(bars_of, self.switch_slopes, strict=True):
            for name, slope in slopes.items():
                found[name] += np.where(of_switch == 0.0, 0.0, of_switch * slope)
        for states, numbers in self.detours:
            back = self._back(numbers * self.on_totals(mu, transposed=True), states)
            for k, name in enumerate(self.model.parameter_names):
                found[name] += back.parameters[:, k]
        for record, projection in self.projection.items():
            bar = (projection * mu[self.kept, record][:, None]).sum(axis=0)
            for name, of_states in self.initial_slopes(record).items():
                found[name][record] += (of_states * bar).sum()
        return found

    def push_forward(self, parameters: Mapping[str, Array], fields: Mapping[str, Array]) -> Array:
        """The tangent of the states, (records, states).

        parameters: name -> the tangent at the records, () or (records,). fields: the tangents of
        all doses, by the names that Doses.push_forward gives.
        """
        records = self.states.shape[1]
        own, ever = self.dose_rows, self.doses.for_ever[self.dose_rows]
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
            for slopes in self.switch_slopes
        ]
        time = time + push_forward_switches(self.timeline, self.switches, moved_by)
        longer = self.slope * np.where(ever, 0.0, mine["every"])

        moved = np.array(value)
        moved[self.state_rows] = 0.0
        right = self._forward(columns, moved, time, self.states) + longer
        still = np.zeros(len(time))
        for states, numbers in self.detours:
            ahead = self._forward(columns, still, still, states)
            right += numbers * self.on_totals(ahead)
        right = np.where(self.kept[:, None] & self.good, right, 0.0)
        for record, projection in self.projection.items():
            for name, slopes in self.initial_slopes(record).items():
                dot = columns[record, self.programs.parameter_names.index(name)]
                right[self.kept, record] += (projection * slopes).sum(axis=1) * dot
        return self.solved(right).T

    def _back(self, v: Array, states: Array) -> RawGradient:
        """What the core says of the cotangent v of the ends of the flows from these states.

        v, states: (states, records).
        """
        from teorell.engine.solve import pull_back

        cotangent = np.ascontiguousarray(np.where(self.kept[:, None] & self.good, v, 0.0).T)
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
        start = np.where(self.good, states, 0.0)
        part = with_states(self.timeline, self.state_rows, start)
        which = np.arange(len(self.rows))
        return flow(self.programs, self.columns, part, self.horizon, which)
