"""Steady states that have been found, x = flow(x, p), and what they move with.

M is the derivative of the flow by its state, that of the steps at x. No BLAS: its bits depend on
the processor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.engine.batch import Timeline
from teorell.model import Model
from teorell.model.declarations import LONG_AGO
from teorell.model.evaluate import evaluate_all
from teorell.model.expression import Expression, derivative, evaluate, leaves, symbol
from teorell.schedule.dosing_rules import Doses
from teorell.schedule.switch_rows import SwitchTimes
from teorell.schedule.timeline_rows import Steady, running
from teorell.simulation.flows import Flows
from teorell.simulation.interval import given_rows, state_rows
from teorell.simulation.moving_totals import detours
from teorell.simulation.switch_times import slopes_of

if TYPE_CHECKING:
    from teorell.lowering import Programs

__all__ = ["FixedPoints"]

ENTRIES = 4_000_000  # of matrices that are formed at once, at most


@dataclass(frozen=True, eq=False)
class FixedPoints:
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
        return self.rows[~self.good], self.status[~self.good]

    @property
    def found(self) -> Steady:
        """The states as rows of the timeline take them."""
        return Steady(self.rows, np.ascontiguousarray(self.states.T))

    def solved(self, right: Array, transposed: bool = False) -> Array:
        """(I - M + P)^-1 right, or with the transposed matrix, (states, records)."""
        from teorell.engine.dense import solved

        result = np.zeros_like(right)
        numbers, kept = np.flatnonzero(self.good), int(self.kept.sum())
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

    def initial_slopes(self, record: int) -> dict[str, Array]:
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
    def good(self) -> NDArray[np.bool_]:
        """(records,) Was a steady state found?"""
        return np.asarray(np.isfinite(self.states).all(axis=0))

    @cached_property
    def slope(self) -> Array:
        """(states, records) the slopes with which states would go on at the end of the interval."""
        values = {
            symbol("state", name): self.states[k] for k, name in enumerate(self.model.state_names)
        }
        names = zip(self.programs.parameter_names, self.columns, strict=True)
        values |= {symbol("parameter", name): column for name, column in names}
        values |= self._after_doses
        slopes = evaluate_all(list(self.model.derivatives().values()), values)
        result = np.array(np.broadcast_arrays(*slopes, np.zeros(len(self.rows)))[:-1])
        own = self.dose_rows
        with np.errstate(invalid="ignore", divide="ignore"):
            rate = running(self.doses)[own] * self.doses.amount[own] / self.doses.width[own]
        into = self.doses.table.into[own]
        result[into, np.arange(len(own))] += np.where(running(self.doses)[own] > 0, rate, 0.0)
        return np.where(self.kept[:, None] & self.good, result, 0.0)

    @cached_property
    def switch_slopes(self) -> list[dict[str, Array]]:
        """For each condition: parameter -> d (time of change) / d parameter, () or (records,)."""
        return slopes_of(self.programs, self.columns)

    @property
    def _after_doses(self) -> dict[Expression, Array]:
        """The times after doses at the end of the interval, by symbol, (records,)."""
        own, names = self.dose_rows, self.model.state_names
        into, ever = self.doses.table.into[own], self.doses.for_ever[own]
        after = np.where(ever, LONG_AGO, self.horizon - self.doses.first[own])
        return {
            symbol("after_dose", name): np.where(into == k, after, LONG_AGO)
            for k, name in enumerate(names)
        }

    @cached_property
    def dose_rows(self) -> NDArray[np.int64]:
        """(records,) the row of the dose of each flow."""
        return given_rows(self.doses.table)

    @cached_property
    def state_rows(self) -> NDArray[np.int64]:
        """(records, states) the rows of events that the state comes in with."""
        return state_rows(self.timeline, self.doses.table, self.states.shape[0])

    @cached_property
    def detours(self) -> list[tuple[Array, Array]]:
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

    def on_totals(self, states: Array, transposed: bool = False) -> Array:
        """P times states (states, records), or P' times them; zero where nothing is kept."""
        result = np.zeros_like(states)
        for record, projection in self.projection.items():
            matrix = projection.T if transposed else projection
            result[self.kept, record] = (matrix * states[self.kept, record]).sum(axis=1)
        return result
