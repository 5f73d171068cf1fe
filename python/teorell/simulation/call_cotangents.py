"""The cotangents of what a call of the core was made from, by those of what the core reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from teorell.arrays import Array
from teorell.engine.batch import RawGradient
from teorell.schedule.covariates import Moments, rows_at
from teorell.schedule.dose_columns import DoseColumns
from teorell.schedule.dosing_rules import like
from teorell.schedule.timeline_derivatives import (
    change_rows,
    pull_back_rows,
    pull_back_switches,
    undefined,
)
from teorell.simulation.call_places import CallPlaces
from teorell.simulation.inputs import Input

__all__ = ["CallCotangents"]


class CallCotangents(CallPlaces):
    """Back from one call of the core to the inputs of the problem."""

    def pull_back(self, raw: RawGradient, inputs: Sequence[Input]) -> list[Array]:
        """The cotangents of inputs from those of what the core reads.

        Each is (patients,); of a parameter that changes over time (rows,), one a value. NaN by the
        duration or rate of an infusion that is only a bolus: there is no derivative.
        """
        value, time = _rows_first(raw.event_value), _rows_first(raw.event_time)
        bars = pull_back_rows(self.call.doses, self.call.timeline, value, time, self.call.switches)
        found = {
            # views: what they are of takes as much memory as all of them
            name: raw.parameters[:, k]
            for k, name in enumerate(self.call.columns.names)
        }
        steps = {name: np.zeros(len(s.values)) for name, s in self.call.columns.steps.items()}
        if self.call.steady is not None:
            of_records = self.call.steady.pull_back(
                value[self.state_rows].reshape(self.call.steady.shape), bars
            )
            for name, bar in of_records.items():
                self._to_parameter(name, self.steady_records, bar, found, steps)
        numbers, of_rules = self.call.doses.pull_back(**bars)
        none = like(undefined(self.call.doses), value)
        for mine, name in ((numbers, "extent"), (of_rules, "rate"), (of_rules, "duration")):
            mine[name] = np.where(none, np.nan, mine[name])
        for rule in self.call.doses.rules:
            for name, slope in rule.slopes.items():
                bar = np.where(slope == 0.0, 0.0, slope * of_rules[rule.field][rule.rows])
                self._to_parameter(name, rule.at, bar, found, steps)
        bars_of = pull_back_switches(self.call.timeline, self.call.switches, time)
        for switch_bar, slopes in zip(bars_of, self.switch_slopes, strict=True):
            for name, slope in slopes.items():
                # A threshold of -inf, where the switch does not move, has an infinite slope.
                with np.errstate(invalid="ignore"):
                    found[name] = found[name] + np.where(switch_bar == 0.0, 0.0, switch_bar * slope)
        for name, bar in steps.items():
            self._to_steps(name, found[name], value, bar)
        return [self._of_input(entry, found, steps, numbers) for entry in inputs]

    def _of_input(
        self,
        entry: Input,
        found: Mapping[str, Array],
        steps: Mapping[str, Array],
        numbers: Mapping[str, Array],
    ) -> Array:
        """The cotangent of one input, from those of parameters, their steps and doses."""
        if entry.kind == "parameter":
            return steps[entry.name] if entry.name in steps else found[entry.name]
        name = "extent" if entry.name in ("duration", "rate") else entry.name
        records = self.call.doses.to_records(numbers[name])
        if isinstance(self.call.regimen, DoseColumns):
            result = np.zeros(self.call.regimen.rows)
            mine, place = self.column_records(entry)
            result[place] = records[mine]
            return result
        return self._of_line(records, entry.line)

    def _of_line(self, rows: Array, line: int) -> Array:
        """(patients,) of what stands in the records of one line."""
        return rows[self.line_rows(line)].reshape(-1)

    def _to_parameter(
        self,
        name: str,
        at: Moments,
        bar: Array,
        found: dict[str, Array],
        steps: dict[str, Array],
    ) -> None:
        """Add the cotangent `bar` of a parameter's values at some moments, where it belongs.

        bar: (n,), or (n, patients) where all share the table. It goes to `found` of a parameter
        that does not change, else to its `steps`.
        """
        if name in steps:
            np.add.at(steps[name], rows_at(self.call.columns.steps[name], at), bar)
        elif bar.ndim == 2:
            for one in bar:
                found[name] += one
        else:
            np.add.at(found[name], at.owner, bar)

    def _to_steps(self, name: str, at_start: Array, value: Array, bar: Array) -> None:
        """Add to `bar`, of a parameter's steps, the cotangents of first values and of changes.

        at_start: (patients,) those of its first values. value: those of the rows of the timeline.
        """
        steps = self.call.columns.steps[name]
        rows = change_rows(self.call.timeline, self.call.columns.names.index(name))
        first = np.broadcast_to(steps.offsets[:-1], at_start.shape)
        np.add.at(bar, first, at_start)
        per_row = value[rows] if value.ndim == 1 else value[rows].sum(axis=1)
        np.add.at(bar, self.call.timeline.source[rows], per_row)


def _rows_first(rows: Array) -> Array:
    """(rows,) or (rows, patients), of cotangents (rows,) or (patients, rows)."""
    return rows.T if rows.ndim == 2 else rows
