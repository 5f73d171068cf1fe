"""What a simulation was given, and its call of the core with other numbers in some places.

Which of the numbers may vary are the `inputs`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from teorell.arrays import Array, agree, check_bounds, is_on_device, numbers
from teorell.errors import InputError
from teorell.model import Model
from teorell.progress import Progress
from teorell.schedule.dose import Dose
from teorell.schedule.dose_columns import DoseColumns
from teorell.schedule.dose_table import DoseTable
from teorell.schedule.given_doses import Given, check_regimen
from teorell.schedule.record_times import RecordTimes
from teorell.schedule.regimen import Regimen
from teorell.simulation.core_call import CoreCall, core_call
from teorell.simulation.inputs import Input, given_fields, inputs_of, lines_of
from teorell.simulation.parameters import ParameterColumns
from teorell.simulation.reductions import NONE, Reductions

__all__ = ["ProblemInputs", "patient_count"]

_Same = TypeVar("_Same", bound="ProblemInputs")


@dataclass(frozen=True, eq=False)
class ProblemInputs:
    """What `simulate` was given, checked; of torch tensors only type and shape.

    Arrays that methods take are float64, () or (patients,), or () or (rows,) of a column of doses,
    of any stride, one an input; the number of patients follows from them. Each is checked as
    `simulate` does, unless it is the one in `given`: InputError says what does not fit.
    """

    model: Model
    columns: ParameterColumns
    regimen: Given
    times: Array | RecordTimes  # (times,) for all patients, or of each its own
    outputs: tuple[str, ...]
    options: Mapping[str, Any]  # of teorell.solve.solve
    progress: bool | Progress | None
    inputs: tuple[Input, ...]
    equilibrium: bool = False  # patients begin where they come to rest without doses
    reductions: Reductions = NONE
    content: str = ""  # of the model as it was then: a model changed since is another

    @cached_property
    def given(self) -> tuple[Array, ...]:
        """The values of the inputs as the user gave them, NumPy or tensors."""
        return tuple(self._value(entry) for entry in self.inputs)

    @property
    def own_times(self) -> RecordTimes | None:
        """The sample times, where each patient has its own."""
        return self.times if isinstance(self.times, RecordTimes) else None

    def shape(self, patients: int) -> tuple[int, ...]:
        """Of the values: (patients, times, outputs), or (samples, outputs) where each patient has
        a list of times of its own.
        """
        if isinstance(self.times, RecordTimes):
            return *self.times.shape, len(self.outputs)
        return patients, self.times.size, len(self.outputs)

    @property
    def own_rows(self) -> RecordTimes | None:
        """The sample times, where each patient has its own and values are rows, not an array."""
        own = self.own_times
        return own if own is not None and own.width is None else None

    def by(self: _Same, inputs: Sequence[Input]) -> _Same:
        """The same as a function of other inputs; the rest is as the user gave it."""
        return replace(self, inputs=tuple(inputs))

    def repeat(self: _Same, times: int) -> _Same:
        """The same for `times` copies of the patients, one after the other; arrays of that length
        come with the inputs, those of other numbers are repeated.
        """
        if self.columns.steps:
            raise NotImplementedError(
                "torch.vmap over simulations in which a parameter changes over time (its values "
                "are not mapped). Write a loop over the runs."
            )
        regimen, at, reductions = self.regimen, self.times, self.reductions.repeated(times)
        if isinstance(regimen, DoseColumns):
            regimen = regimen.repeated(times)
        elif isinstance(regimen, DoseTable):
            regimen = regimen.repeated(times) if regimen.patients > 1 else regimen
        elif not isinstance(regimen, Regimen | None):
            regimen = list(regimen) * times
        elif regimen is not None:
            lines = [self._repeated(k, line, times) for k, line in enumerate(regimen.lines)]
            if any(new is not line for new, line in zip(lines, regimen.lines, strict=True)):
                regimen = Regimen(tuple(lines))
        at = at.repeated(times) if isinstance(at, RecordTimes) else at
        columns = self.columns
        if columns.people is not None:
            columns = replace(columns, people=columns.people.repeated(times))
        fixed = [Input("parameter", name) not in self.inputs for name in columns.names]
        values = tuple(
            np.tile(value, times) if own and value.ndim else value
            for own, value in zip(fixed, columns.values, strict=True)
        )
        columns = replace(columns, values=values)
        return replace(self, columns=columns, regimen=regimen, times=at, reductions=reductions)

    def _repeated(self, number: int, line: Dose, times: int) -> Dose:
        fields = {
            name: np.tile(each, times)
            for name in given_fields(line)
            if Input("dose", name, number) not in self.inputs and (each := getattr(line, name)).ndim
        }
        return line.filled(fields) if fields else line

    def patients_of(self, shapes: Sequence[tuple[int, ...]]) -> int:
        """The number of patients that follows from the shapes of the inputs' arrays, which may be
        symbolic; no check.
        """
        if isinstance(self.times, RecordTimes):
            return self.times.patients
        if self.columns.people is not None:
            return len(self.columns.people)
        if isinstance(self.regimen, DoseColumns):
            return self.regimen.patients
        if isinstance(self.regimen, DoseTable) and self.regimen.patients > 1:
            return self.regimen.patients
        if not isinstance(self.regimen, Regimen | DoseTable | None):
            return len(self.regimen)
        steps = self.columns.steps
        every = inputs_of(self.columns, self.regimen)
        fixed = [
            self._value(entry).shape
            for entry in every
            if entry not in self.inputs and not self._changes(entry)
        ]
        named = zip(self.inputs, shapes, strict=False)
        free = [shape for entry, shape in named if not self._changes(entry)] if steps else shapes
        own = [(each.patients,) for each in steps.values() if each.patients > 1]
        own += [(size,) for _, size in self.reductions.sizes()]
        return next((shape[0] for shape in (*free, *fixed, *own) if len(shape)), 1)

    def lengths(self, patients: int) -> list[int]:
        """How many values each input has where it is an array: one a patient, or one a dose."""
        rows = self.regimen.rows if isinstance(self.regimen, DoseColumns) else patients
        return [rows if entry.kind == "dose" else patients for entry in self.inputs]

    def _check_on_host(self) -> None:
        """InputError where a parameter lies on a device, for what the CPU alone can do."""
        for name, value in zip(self.columns.names, self.columns.values, strict=True):
            if is_on_device(value):
                raise InputError(
                    f"parameter {name!r} lies on a device (what is asked for runs on the CPU "
                    "alone). Give a NumPy array: .get() of it, or .cpu() of a tensor."
                )

    def _changes(self, entry: Input) -> bool:
        """Is the input a parameter that changes over time? A number of a dose may have its name."""
        return entry.kind == "parameter" and entry.name in self.columns.steps

    def _value(self, entry: Input) -> Array:
        if self._changes(entry):
            return self.columns.steps[entry.name].values
        if entry.kind == "parameter":
            given: Array = self.columns.values[self.columns.names.index(entry.name)]
            return given
        if isinstance(self.regimen, DoseColumns):
            column: Array = self.regimen.numbers[entry.name]
            return column
        value: Array = getattr(lines_of(self.regimen)[entry.line], entry.name)
        return value

    def call(
        self, arrays: Sequence[Any], derivatives: str | None = None, *, on_device: bool = False
    ) -> CoreCall:
        """What the core is called with where the arrays are in the places of the inputs.

        Those that are not as given are checked. on_device: some may lie on a device, where others
        check them.
        """
        if not on_device:
            self._check_on_host()
        if self.model.content() != self.content:
            raise InputError(
                f"model {self.model.name!r} has changed since this was set up (its derivatives "
                "would be those of another model). Simulate again, or make a new Simulator."
            )
        values, steps = list(self.columns.values), dict(self.columns.steps)
        fields: dict[int, dict[str, Array]] = {}
        for entry, array, known in zip(self.inputs, arrays, self.given, strict=True):
            if array is known:
                continue
            if entry.kind == "dose":
                fields.setdefault(entry.line, {})[entry.name] = array
                continue
            column = array
            if not is_on_device(array):
                column = numbers(array, f"parameter {entry.name!r}")
                info = self.model.parameter_info(entry.name)
                check_bounds(entry.name, column, info.lower, info.upper)
            if entry.name in steps:
                steps[entry.name] = replace(steps[entry.name], values=column)
                column = steps[entry.name].first
            values[self.columns.names.index(entry.name)] = column
        columns, regimen = replace(self.columns, values=tuple(values), steps=steps), self.regimen
        if fields and isinstance(regimen, DoseColumns):
            regimen = regimen.filled(fields[-1])
        elif fields:
            lines = enumerate(lines_of(self.regimen))
            regimen = Regimen(
                tuple(line.filled(fields[k]) if k in fields else line for k, line in lines)
            )
        patients = patient_count(columns, regimen, self.times, self.model, self.reductions)
        lowered = tuple(dict.fromkeys((*self.outputs, *self.reductions.outputs)))
        return core_call(
            model=self.model,
            columns=columns,
            regimen=regimen,
            times=self.times,
            outputs=lowered,
            patients=patients,
            options=self.options,
            derivatives=derivatives,
            equilibrium=self.equilibrium,
            summary=self.reductions.summary(lowered),
            located=self.reductions.located,
        )


def patient_count(
    columns: ParameterColumns,
    regimen: Given,
    times: Array | RecordTimes,
    model: Model,
    reductions: Reductions,
) -> int:
    """The number of patients that all arrays agree on.

    InputError if they do not, or states of the regimen are unknown.
    """
    sizes = check_regimen(regimen, model.state_names)
    own = []
    if isinstance(times, RecordTimes):
        own = [(f"the {'list' if times.width is None else 'array'} of times", times.patients)]
    return agree([*columns.sizes(), *sizes, *own, *reductions.sizes()]) or 1
