"""Derivatives of a call of the core, in terms of the numbers that it was made from.

A parameter acts through the programs, through the times of switches and through the rules of doses;
a number of a regimen through rows of the timeline, and where it is at steady state also through the
states that precede it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from teorell.arrays import Array
from teorell.engine.batch import RawGradient, Tangents
from teorell.rows import spread
from teorell.schedule.covariates import Moments, rows_at
from teorell.schedule.dose import BY_DURATION, BY_RATE
from teorell.schedule.dose_columns import DoseColumns
from teorell.schedule.dosing_rules import like
from teorell.schedule.timeline_derivatives import (
    change_rows,
    check_defined,
    pull_back_rows,
    pull_back_switches,
    push_forward_rows,
    push_forward_switches,
    undefined,
)
from teorell.schedule.timeline_rows import STATE
from teorell.simulation.core_call import CoreCall
from teorell.simulation.inputs import Input
from teorell.simulation.switch_times import slopes_of

__all__ = ["CallDerivatives"]


@dataclass(frozen=True, eq=False)
class CallDerivatives:
    """The derivatives of one call of the core by the inputs of the problem, both ways."""

    call: CoreCall

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
                value[self._state_rows].reshape(self.call.steady.shape), bars
            )
            for name, bar in of_records.items():
                self._to_parameter(name, self._steady_records, bar, found, steps)
        numbers, of_rules = self.call.doses.pull_back(**bars)
        none = like(undefined(self.call.doses), value)
        for mine, name in ((numbers, "extent"), (of_rules, "rate"), (of_rules, "duration")):
            mine[name] = np.where(none, np.nan, mine[name])
        for rule in self.call.doses.rules:
            for name, slope in rule.slopes.items():
                bar = np.where(slope == 0.0, 0.0, slope * of_rules[rule.field][rule.rows])
                self._to_parameter(name, rule.at, bar, found, steps)
        bars_of = pull_back_switches(self.call.timeline, self.call.switches, time)
        for switch_bar, slopes in zip(bars_of, self._slopes, strict=True):
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
            mine, place = self._column_records(entry)
            result[place] = records[mine]
            return result
        return self._of_line(records, entry.line)

    def _column_records(self, entry: Input) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The records that read an entry of columns of doses, and the place of each in these."""
        doses, table = self.call.doses, self.call.doses.table
        assert table.given is not None
        kinds = {"duration": BY_DURATION, "rate": BY_RATE}
        reads = (table.given >= 0) & (table.kind == kinds.get(entry.name, table.kind))
        if entry.line >= 0:  # that dose of each patient
            reads &= self._number_of_patient[table.given] == entry.line
        place = np.full(doses.records, -1)
        place[np.arange(len(reads)) if doses.record is None else doses.record] = np.where(
            reads, table.given, -1
        )
        mine = np.flatnonzero(place >= 0)
        return mine, place[mine]

    @cached_property
    def _number_of_patient(self) -> NDArray[np.int64]:
        """(rows of the columns of doses,) which of its patient's doses each is; -1: no dose."""
        columns = self.call.regimen
        assert isinstance(columns, DoseColumns)
        rows, *_ = columns.checked
        counts = np.bincount(columns.owner[rows], minlength=columns.patients)
        result = np.full(columns.rows, -1)
        result[rows] = spread(np.zeros_like(counts), counts)
        return result

    def _of_line(self, rows: Array, line: int) -> Array:
        """(patients,) of what stands in the records of one line."""
        return rows[self._line_rows(line)].reshape(-1)

    def _line_rows(self, line: int) -> slice:
        """The records that a line of the regimen became: one, or one a patient.

        The record of an equilibrium comes before all lines.
        """
        of_patient = self.call.doses.records // self.call.doses.table.patients
        return slice(line + self.call.equilibrium, None, of_patient)

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

    @cached_property
    def _state_rows(self) -> NDArray[np.int64]:
        """The rows of events with the states at steady state, record after record."""
        rows = np.flatnonzero(self.call.timeline.role == STATE)
        return rows[np.lexsort((self.call.timeline.number[rows], self.call.timeline.source[rows]))]

    def push_forward(
        self, inputs: Sequence[Input], directions: Sequence[Sequence[ArrayLike | None]]
    ) -> Tangents:
        """The tangents of what the core reads, for each direction.

        directions: of each input its tangent, None for 0: () or (patients,) of a number, () or
        (rows,), one a value, of a parameter that changes over time. InputError by the duration or
        rate of an infusion that is only a bolus: there is no derivative.
        """
        parameters, values, times = [], [], []
        for direction in directions:
            dots = {
                entry: np.asarray(dot)
                for entry, dot in zip(inputs, direction, strict=True)
                if dot is not None
            }
            of_parameters = {
                entry.name: dot for entry, dot in dots.items() if entry.kind == "parameter"
            }
            for name in of_parameters.keys() & self.call.columns.steps.keys():
                of_parameters[name] = np.broadcast_to(
                    of_parameters[name], self.call.columns.steps[name].values.shape
                )
            parameters.append(self._columns(of_parameters))
            value, time = self._rows(dots, of_parameters)
            values.append(value)
            times.append(time)
        shape = np.broadcast_shapes(*(rows.shape for rows in (*values, *times)))
        moving = (
            _stacked(rows, shape) if any(each.any() for each in rows) else None
            for rows in (values, times)
        )
        return Tangents(
            _stacked(parameters, np.broadcast_shapes(*(each.shape for each in parameters))), *moving
        )

    def _columns(self, dots: Mapping[str, Array]) -> Array:
        """(patients or 1, parameters): the tangents of parameters at the start.

        dots: name -> tangent, of some parameters; others have 0.
        """
        first = {
            n: d[self.call.columns.steps[n].offsets[:-1]] if n in self.call.columns.steps else d
            for n, d in dots.items()
        }
        n = len(self.call.batch.columns)
        result = np.zeros((max([dot.size for dot in first.values()], default=1), n))
        for name, dot in first.items():
            result[:, self.call.columns.names.index(name)] = dot
        return result

    def _rows(
        self, dots: Mapping[Input, Array], of_parameters: Mapping[str, Array]
    ) -> tuple[Array, Array]:
        """The tangents of the values and times of the timeline's rows.

        They are (patients or 1, rows) of a shared table, else (rows,).
        """
        call, shared = self.call, self.call.timeline.shared
        numbers, of_rules = self._of_doses(dots, of_parameters)
        fields = call.doses.push_forward(numbers, of_rules)
        check_defined(call.doses, fields["rate"])
        value, time = push_forward_rows(call.doses, call.timeline, fields, call.switches)
        moving = of_parameters or any(field.any() for field in fields.values())
        if call.steady is not None and moving:
            at_records = {
                name: self._at_moments(name, dot, self._steady_records)
                for name, dot in of_parameters.items()
            }
            value[self._state_rows] = call.steady.push_forward(at_records, fields).reshape(-1)
        for name, dot in of_parameters.items():
            if name in call.columns.steps:
                changes = change_rows(call.timeline, call.columns.names.index(name))
                of_changes = dot[call.timeline.source[changes]]
                value[changes] = of_changes if value.ndim == 1 else of_changes[:, None]
        time = self._with_switches(time, of_parameters)
        if not shared:
            return value, time
        value, time = (each if each.ndim == 2 else each[:, None] for each in (value, time))
        return value.T, time.T

    def _of_doses(
        self, dots: Mapping[Input, Array], of_parameters: Mapping[str, Array]
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """The tangents of the dose table's numbers, and of the values of rules by field.

        They are (rows,), or (rows, patients) where all share the table and their tangents differ.
        """
        doses = self.call.doses
        of_lines = {entry: dot for entry, dot in dots.items() if entry.kind == "dose"}
        # the values of a parameter that changes over time are no patients
        of_patients = [d for n, d in of_parameters.items() if n not in self.call.columns.steps]
        sizes = [dot.size for dot in (*of_lines.values(), *of_patients)]
        most = max(sizes, default=1) if self.call.timeline.shared else 1
        trail = (most,) if most > 1 else ()
        names, shape = ("amount", "time", "every", "extent"), (len(doses.amount), *trail)
        numbers = {name: np.zeros((doses.records, *trail)) for name in names}
        for entry, dot in of_lines.items():
            name = "extent" if entry.name in ("duration", "rate") else entry.name
            if isinstance(self.call.regimen, DoseColumns):
                mine, place = self._column_records(entry)
                by = place if entry.line < 0 else self.call.regimen.owner[place]
                numbers[name][mine] = dot[by] if dot.ndim else dot
            else:
                numbers[name][self._line_rows(entry.line)] = dot
        numbers = {name: doses.from_records(dot) for name, dot in numbers.items()}
        of_rules = {
            name: np.zeros(shape) for name in ("lag", "bioavailability", "rate", "duration")
        }
        for rule in doses.rules:
            for name, slope in rule.slopes.items():
                if name in of_parameters:
                    dot = slope * self._at_moments(name, of_parameters[name], rule.at)
                    of_rules[rule.field][rule.rows] += (
                        dot if len(shape) == 1 or dot.ndim == 2 else dot[..., None]
                    )
        return numbers, of_rules

    def _with_switches(self, time: Array, of_parameters: Mapping[str, Array]) -> Array:
        """The tangents of the times of rows, with those of the switches added."""
        with np.errstate(invalid="ignore"):
            moved = [
                sum(
                    (slopes[name] * dot for name, dot in of_parameters.items() if name in slopes),
                    np.zeros(()),
                )
                for slopes in self._slopes
            ]
        if not any(dot.any() for dot in moved):
            return time
        by_switches = push_forward_switches(self.call.timeline, self.call.switches, moved)
        if by_switches.ndim > time.ndim:
            time = time[:, None]
        elif by_switches.ndim < time.ndim:
            by_switches = by_switches[:, None]
        return time + by_switches

    def _at_moments(self, name: str, dot: Array, at: Moments) -> Array:
        """The tangent of a parameter's values at some moments, from its tangent `dot`.

        () or (n,), or (1, patients) where all share the table.
        """
        if name in self.call.columns.steps:
            return dot[rows_at(self.call.columns.steps[name], at)]
        if dot.ndim == 0:
            return dot
        return dot[None, :] if self.call.timeline.shared and dot.size > 1 else dot[at.owner]

    @cached_property
    def _steady_records(self) -> Moments:
        """(records,) those at steady state, as moments at which parameters are read."""
        assert self.call.steady is not None
        return self.call.doses.table.moments().of(self.call.steady.rows)

    @cached_property
    def _slopes(self) -> list[dict[str, Array]]:
        """For each switch: parameter -> d threshold / d parameter, () or (patients,)."""
        return slopes_of(self.call.batch.programs, self.call.batch.columns)


def _rows_first(rows: Array) -> Array:
    """(rows,) or (rows, patients), of cotangents (rows,) or (patients, rows)."""
    return rows.T if rows.ndim == 2 else rows


def _stacked(directions: Sequence[Array], shape: tuple[int, ...]) -> Array:
    """The directions, each broadcast to the shape, one after the other."""
    return np.stack([np.broadcast_to(each, shape) for each in directions])
