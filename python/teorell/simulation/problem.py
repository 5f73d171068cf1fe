"""A simulation as a function of numbers: solved, and differentiated, for any values of them.

Which of the numbers may vary are the `inputs`; a CoreCall is the problem with values in their
places. Problems are made by given.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array, agree, check_bounds, numbers
from teorell.errors import InputError
from teorell.model import Model
from teorell.progress import Progress, reporting
from teorell.schedule.dose_columns import DoseColumns
from teorell.schedule.dose_table import DoseTable
from teorell.schedule.record_times import RecordTimes
from teorell.schedule.regimen import Given, Regimen, check_regimen
from teorell.simulation.call_derivatives import CallDerivatives
from teorell.simulation.core_call import CoreCall, core_call
from teorell.simulation.gradient_parts import pull_back_in_parts
from teorell.simulation.inputs import Input, inputs_of, lines_of
from teorell.simulation.parameters import ParameterColumns
from teorell.simulation.reductions import NONE, Reductions

if TYPE_CHECKING:
    from teorell.engine.batch import Raw, RawGradient

__all__ = ["Problem", "SlopesOfOutputs", "patient_count"]

SlopesOfOutputs: TypeAlias = Callable[[Array, Array, NDArray[np.int64]], tuple[Array, Array | None]]
"""(values, reductions, patients) -> slopes of the values, and of the reductions or None, of a few
patients: values (k, times, outputs) or (rows, outputs), reductions (k, reductions).
"""


@dataclass(frozen=True, eq=False)
class Problem:
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

    def counted(self, slope: Array, patients: NDArray[np.int64] | None = None) -> Array:
        """A slope of the values of some patients, None for all, with 0 in places without a sample,
        whatever stands there.
        """
        own = self.own_times
        if own is None or own.width is None:
            return slope
        taken = own.taken(slice(None) if patients is None else patients)
        return np.where(taken[..., None], slope, 0.0)

    def by(self, inputs: Sequence[Input]) -> Problem:
        """The same as a function of other inputs; the rest is as the user gave it."""
        return replace(self, inputs=tuple(inputs))

    def repeat(self, times: int) -> Problem:
        """The same for `times` copies of the patients, one after the other; arrays of that length
        come with the inputs.
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
        at = at.repeated(times) if isinstance(at, RecordTimes) else at
        columns = self.columns
        if columns.people is not None:
            columns = replace(columns, people=columns.people.repeated(times))
        return replace(self, columns=columns, regimen=regimen, times=at, reductions=reductions)

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

    def solve(self, arrays: Sequence[Array], keep: int = 0) -> Raw:
        """The values (patients, times, outputs), and how each patient went.

        keep: bytes that the accepted steps may take, so that pull_back need not solve again.
        """
        call = self._call(arrays)
        from teorell.engine.solve import solve

        with reporting(self.progress, call.batch.patients) as report:
            raw = solve(call.batch, progress=report, keep=keep, **self.options)
        core = replace(raw, status=raw.status.copy(), failure_time=raw.failure_time.copy())
        call.report(raw)
        of_outputs = self._of_outputs(raw)
        return replace(of_outputs, infusions=call.timeline.infusions, kept=core if keep else None)

    def _of_outputs(self, raw: Raw) -> Raw:
        """Without the outputs that only reductions read, and with the times that they are asked
        for.
        """
        values = self._in_places(raw.values[..., : len(self.outputs)])
        return replace(raw, values=values, reduced=self.reductions.read(raw.reduced, raw.reached))

    def _in_places(self, rows: Array) -> Array:
        own = self.own_times
        return rows if own is None else own.in_places(rows)

    def pull_back(
        self,
        arrays: Sequence[Array],
        cotangent: Array | None = None,
        reduced: Array | None = None,
        *,
        slopes: SlopesOfOutputs | None = None,
        kept: Raw | None = None,
    ) -> tuple[list[Array], RawGradient]:
        """d scalar / d each input, in the shape of its array, and what the core says.

        cotangent: (patients, times, outputs), d scalar / d values. reduced: (patients, reductions),
        that of the reductions; None is 0. Or in place of both `slopes`, a function that is called
        for a few patients at a time. kept: that of what `solve` returned for the same arrays. A
        number that patients share has the sum over them, exactly
        rounded, whatever their order. A patient that failed contributes zero. By the duration or
        rate of an infusion so short that it is a bolus there is no derivative: NaN.
        """
        call = self._call(arrays, "vjp")
        from teorell.engine.solve import pull_back

        n, own = len(self.outputs), self.own_times
        extra = call.batch.programs.layout.n_out - n

        def with_extra(slope: Array) -> Array:
            return np.pad(slope, [(0, 0)] * (slope.ndim - 1) + [(0, extra)]) if extra else slope

        def of_group(
            before: int, values: Array, found: Array, reached: Array, among: NDArray[np.int64]
        ) -> tuple[Array, Array | None]:
            assert slopes is not None
            of = before + among
            shown = values[..., :n] if own is None else own.in_places(values[..., :n], of)
            slope, bars = slopes(shown, self.reductions.read(found, reached), of)
            slope = slope if own is None else own.rows_in(slope, of)
            if bars is not None:
                self.reductions.check_differentiable(bars)
            return with_extra(slope), bars

        if reduced is not None:
            self.reductions.check_differentiable(reduced)
        if cotangent is not None and own is not None:
            cotangent = own.rows_in(cotangent)

        patients = call.batch.patients
        with reporting(self.progress, patients) as report:

            def run(part: CoreCall, before: int) -> RawGradient:
                mine = None if cotangent is None else with_extra(cotangent)
                if part is not call and mine is not None:
                    mine = mine[before : before + part.batch.patients]
                return pull_back(
                    part.batch,
                    mine,
                    reduced,
                    slopes=None if slopes is None else partial(of_group, before),
                    solved=kept,
                    progress=report and (lambda done, _: report(before + done, patients)),
                    **self.options,
                )

            return pull_back_in_parts(call, self.inputs, arrays, run, whole=kept is not None)

    def push_forward(
        self, arrays: Sequence[Array], tangents: Sequence[Array | None]
    ) -> tuple[Raw, Array, Array]:
        """The solution, and the derivatives of its values (patients, times, outputs) and of its
        reductions (patients, reductions) in one direction.

        tangents: one an input, () or (patients,); None is zero. A derivative after a failure is
        NaN, as the value is. InputError also where the direction changes the duration or rate of an
        infusion so short that it is a bolus.
        """
        raw, derivatives, reduced = self._push_forward(arrays, [tangents])
        return raw, derivatives[..., 0], reduced[..., 0]

    def jacobian(self, arrays: Sequence[Array]) -> tuple[Raw, Array, Array]:
        """The solution, and the derivatives by each input of its values, (patients, times, outputs,
        inputs), and of its reductions, (patients, reductions, inputs).

        By an array that is (patients,) the derivative of a patient is that by its own element.
        Otherwise as push_forward.
        """
        n, one = len(self.inputs), np.ones(())
        return self._push_forward(
            arrays, [[one if i == k else None for i in range(n)] for k in range(n)]
        )

    def _push_forward(
        self, arrays: Sequence[Array], directions: Sequence[Sequence[Array | None]]
    ) -> tuple[Raw, Array, Array]:
        self.reductions.check_differentiable()
        call = self._call(arrays, "jvp")
        from teorell.engine.solve import push_forward

        tangents = CallDerivatives(call).push_forward(self.inputs, directions)
        with reporting(self.progress, call.batch.patients) as report:
            raw, derivatives, reduced = push_forward(
                call.batch, tangents, progress=report, **self.options
            )
        call.report(raw)
        of_values = self._in_places(derivatives[..., : len(self.outputs), :])
        return self._of_outputs(raw), of_values, reduced

    def _changes(self, entry: Input) -> bool:
        """Is the input a parameter that changes over time? A number of a dose may have its name."""
        return entry.kind == "parameter" and entry.name in self.columns.steps

    def _value(self, entry: Input) -> Array:
        if self._changes(entry):
            return self.columns.steps[entry.name].values
        if entry.kind == "parameter":
            return self.columns.values[self.columns.names.index(entry.name)]
        if isinstance(self.regimen, DoseColumns):
            column: Array = self.regimen.numbers[entry.name]
            return column
        value: Array = getattr(lines_of(self.regimen)[entry.line], entry.name)
        return value

    def _call(self, arrays: Sequence[Array], derivatives: str | None = None) -> CoreCall:
        """What the core is called with where the arrays are in the places of the inputs.

        Those that are not as given are checked.
        """
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
