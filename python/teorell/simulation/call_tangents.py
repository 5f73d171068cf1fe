"""The tangents of what a call of the core reads, by those of what the call was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from teorell.arrays import Array
from teorell.engine.batch import Tangents
from teorell.schedule.covariates import Moments, rows_at
from teorell.schedule.dose_columns import DoseColumns
from teorell.schedule.timeline_derivatives import (
    change_rows,
    check_defined,
    push_forward_rows,
    push_forward_switches,
)
from teorell.simulation.call_places import CallPlaces
from teorell.simulation.inputs import Input

__all__ = ["CallTangents"]


class CallTangents(CallPlaces):
    """Forward from the inputs of the problem to one call of the core."""

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
                name: self._at_moments(name, dot, self.steady_records)
                for name, dot in of_parameters.items()
            }
            value[self.state_rows] = call.steady.push_forward(at_records, fields).reshape(-1)
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
                mine, place = self.column_records(entry)
                by = place if entry.line < 0 else self.call.regimen.owner[place]
                numbers[name][mine] = dot[by] if dot.ndim else dot
            else:
                numbers[name][self.line_rows(entry.line)] = dot
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
                for slopes in self.switch_slopes
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


def _stacked(directions: Sequence[Array], shape: tuple[int, ...]) -> Array:
    """The directions, each broadcast to the shape, one after the other."""
    return np.stack([np.broadcast_to(each, shape) for each in directions])
