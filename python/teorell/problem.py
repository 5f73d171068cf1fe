"""A simulation as a function of numbers: solved, and differentiated, for any values of them.

`problem_of` checks once everything that the user gave. Which of the numbers may vary are the
`inputs`; a `Run` (run.py) is the problem with values in their places.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from teorell.dose_table import RESET, DoseTable
from teorell.errors import InputError
from teorell.model import Model
from teorell.options import chosen_outputs, sample_times, solver_options
from teorell.parameters import Array, Columns, agree, check_bounds, numbers, parameter_columns
from teorell.progress import Progress, reporting
from teorell.record_times import RecordTimes
from teorell.reductions import NONE, Reductions, reductions_of
from teorell.regimen import Dose, Given, Regimen, check_regimen
from teorell.run import Input, Run, lines_of, run_of

if TYPE_CHECKING:
    from teorell.solve import Raw, RawGradient

    Loss: TypeAlias = Callable[[Array, Array, NDArray[np.int64]], tuple[Array, Array | None]]

STARTS = ("initial", "equilibrium")

__all__ = ["Input", "Problem", "given_fields", "inputs_of", "problem_of", "total"]


@dataclass(frozen=True, eq=False)
class Problem:
    """What `simulate` was given, checked; of torch tensors only type and shape.

    Arrays that methods take are float64, () or (patients,), of any stride, one an input; the number
    of patients follows from them. Each is checked as `simulate` does, unless it is the one in
    `given`: InputError says what does not fit.
    """

    model: Model
    columns: Columns
    regimen: Given
    times: Array | RecordTimes  # (times,) for all patients, or of each its own
    outputs: tuple[str, ...]
    options: Mapping[str, Any]  # of teorell.solve.solve
    progress: bool | Progress | None
    inputs: tuple[Input, ...]
    equilibrium: bool = False  # patients begin where they come to rest without doses
    reductions: Reductions = NONE

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
        times of its own.
        """
        if isinstance(self.times, RecordTimes):
            return self.times.times.size, len(self.outputs)
        return patients, self.times.size, len(self.outputs)

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
        if isinstance(regimen, DoseTable):
            regimen = regimen.repeated(times) if regimen.patients > 1 else regimen
        elif not isinstance(regimen, Regimen | None):
            regimen = list(regimen) * times
        at = at.repeated(times) if isinstance(at, RecordTimes) else at
        return replace(self, regimen=regimen, times=at, reductions=reductions)

    def patients_of(self, shapes: Sequence[tuple[int, ...]]) -> int:
        """The number of patients that follows from the shapes of the inputs' arrays, which may be
        symbolic; no check.
        """
        if isinstance(self.times, RecordTimes):
            return self.times.patients
        if isinstance(self.regimen, DoseTable) and self.regimen.patients > 1:
            return self.regimen.patients
        if not isinstance(self.regimen, Regimen | DoseTable | None):
            return len(self.regimen)
        steps = self.columns.steps
        every = inputs_of(self.columns, self.regimen)
        fixed = [
            self._value(entry).shape
            for entry in every
            if entry not in self.inputs and entry.name not in steps
        ]
        named = zip(self.inputs, shapes, strict=False)
        free = [shape for entry, shape in named if entry.name not in steps] if steps else shapes
        own = [(each.patients,) for each in steps.values() if each.patients > 1]
        own += [(size,) for _, size in self.reductions.sizes()]
        return next((shape[0] for shape in (*free, *fixed, *own) if len(shape)), 1)

    def solve(self, arrays: Sequence[Array]) -> Raw:
        """The values (patients, times, outputs), and how each patient went."""
        run = self._run(arrays)
        from teorell.solve import solve

        with reporting(self.progress, run.patients) as report:
            raw = solve(*run.arguments, run.summary, progress=report, **self.options)
        run.report(raw)
        return self._of_outputs(raw)

    def _of_outputs(self, raw: Raw) -> Raw:
        """Without the outputs that only reductions read, and with the times that they are asked
        for.
        """
        values = raw.values[..., : len(self.outputs)]
        return replace(raw, values=values, reduced=self.reductions.read(raw.reduced, raw.reached))

    def pull_back(
        self, arrays: Sequence[Array], cotangent: Array | Loss, reduced: Array | None = None
    ) -> tuple[list[Array], RawGradient]:
        """d scalar / d each input, in the shape of its array, from d scalar / d values; and what
        the core says.

        cotangent: (patients, times, outputs). reduced: (patients, reductions), that of the
        reductions; None is 0. Or a function (values, reduced, patients) -> (slope, reduced slope or
        None), called for a few patients at a time. A number that patients share has the sum over
        them, exactly rounded, whatever their order. A patient that failed contributes zero. By the
        duration or rate of an infusion so short that it is a bolus there is no derivative: NaN.
        """
        run = self._run(arrays, "vjp")
        from teorell.solve import pull_back

        n, extra = len(self.outputs), run.programs.layout.n_out - len(self.outputs)

        def with_extra(slope: Array) -> Array:
            return np.pad(slope, [(0, 0)] * (slope.ndim - 1) + [(0, extra)]) if extra else slope

        def of_group(
            values: Array, found: Array, reached: Array, of: NDArray[np.int64]
        ) -> tuple[Array, Array | None]:
            assert callable(cotangent)
            slope, bars = cotangent(values[..., :n], self.reductions.read(found, reached), of)
            if bars is not None:
                self.reductions.check_differentiable(bars)
            return with_extra(slope), bars

        given = of_group if callable(cotangent) else with_extra(cotangent)
        if reduced is not None:
            self.reductions.check_differentiable(reduced)
        with reporting(self.progress, run.patients) as report:
            raw = pull_back(
                *run.arguments, given, run.summary, reduced, progress=report, **self.options
            )
        run.report(raw)
        bars = zip(run.pull_back(raw, self.inputs), arrays, strict=True)
        return [bar if array.ndim else np.asarray(total(bar)) for bar, array in bars], raw

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
        run = self._run(arrays, "jvp")
        from teorell.solve import push_forward

        tangents = run.push_forward(self.inputs, directions)
        with reporting(self.progress, run.patients) as report:
            raw, derivatives, reduced = push_forward(
                *run.arguments, tangents, run.summary, progress=report, **self.options
            )
        run.report(raw)
        return self._of_outputs(raw), derivatives[..., : len(self.outputs), :], reduced

    def _value(self, entry: Input) -> Array:
        if entry.name in self.columns.steps:
            return self.columns.steps[entry.name].values
        if entry.kind == "parameter":
            return self.columns.values[self.columns.names.index(entry.name)]
        value: Array = getattr(lines_of(self.regimen)[entry.line], entry.name)
        return value

    def _run(self, arrays: Sequence[Array], derivatives: str | None = None) -> Run:
        """The run with the arrays in the places of the inputs; those that are not as given are
        checked.
        """
        values, steps = list(self.columns.values), dict(self.columns.steps)
        fields: dict[int, dict[str, Array]] = {}
        for entry, array, known in zip(self.inputs, arrays, self.given, strict=True):
            if array is known:
                continue
            if entry.kind == "dose":
                fields.setdefault(entry.line, {})[entry.name] = array
                continue
            column = numbers(array, f"parameter {entry.name!r}")
            check_bounds(self.model, entry.name, column)
            if entry.name in steps:
                steps[entry.name] = replace(steps[entry.name], values=column)
                column = steps[entry.name].first
            values[self.columns.names.index(entry.name)] = column
        columns, regimen = replace(self.columns, values=tuple(values), steps=steps), self.regimen
        if fields:
            lines = enumerate(lines_of(self.regimen))
            regimen = Regimen(
                tuple(line.filled(fields[k]) if k in fields else line for k, line in lines)
            )
        patients = _patients(columns, regimen, self.times, self.model, self.reductions)
        lowered = tuple(dict.fromkeys((*self.outputs, *self.reductions.outputs)))
        return run_of(
            self.model, columns, regimen, self.times, lowered, patients, self.options, derivatives,
            self.equilibrium, self.reductions.summary(lowered),
        )  # fmt: skip


def problem_of(
    model: Model,
    parameters: object = None,
    regimen: Given = None,
    times: object = None,
    outputs: Sequence[str] | str | None = None,
    *,
    progress: bool | Progress | None = None,
    start: str = "initial",
    reductions: object = None,
    **options: Any,
) -> Problem:
    """The problem that `simulate` is asked to solve; its inputs are all numbers that the user gave
    (`inputs_of`).

    Arguments, options and errors are those of teorell.simulate. Parameters and the numbers of a
    regimen may be torch
    tensors: their values are not looked at, and `given` has them as they are.
    """
    if not isinstance(model, Model):
        raise TypeError(
            f"model is a {type(model).__name__} (equations are needed). Give a teorell.Model."
        )
    if not model.state_names:
        raise InputError(
            f"model {model.name!r} has no states (there is nothing to solve). Declare them with "
            "model.states."
        )
    columns = parameter_columns(model, parameters)
    at = np.zeros(0) if times is None and reductions else sample_times(times)
    reduced = reductions_of(model, reductions, outputs, at)
    _patients(columns, regimen, at, model, reduced)
    chosen = () if times is None and outputs is None else chosen_outputs(model, outputs)
    checked = solver_options(model, progress=progress, **options)
    if start not in STARTS:
        raise InputError(
            f"unknown start {start!r} (where do patients begin?). Choose from {', '.join(STARTS)}."
        )
    inputs = tuple(inputs_of(columns, regimen))
    return Problem(
        model,
        columns,
        regimen,
        at,
        chosen,
        checked,
        progress,
        inputs,
        start == "equilibrium",
        reduced,
    )


def inputs_of(columns: Columns, regimen: Given) -> Iterator[Input]:
    """All numbers that the user gave, those of a list of regimens excepted."""
    for name in columns.names:
        if name in columns.given:
            yield Input("parameter", name)
    for number, line in enumerate(lines_of(regimen)):
        for name in given_fields(line):
            yield Input("dose", name, number)


def given_fields(line: Dose) -> Iterator[str]:
    """The fields of a line that are numbers of the user's: amount, time, every if repeated, and
    duration or rate.
    """
    if line.kind == RESET:
        yield "time"
        return
    yield from ("amount", "time")
    if line.has_interval:
        yield "every"
    for name in ("duration", "rate"):
        if getattr(line, name) is not None:
            yield name


def _patients(
    columns: Columns,
    regimen: Given,
    times: Array | RecordTimes,
    model: Model,
    reductions: Reductions,
) -> int:
    """The number of patients that all arrays agree on.

    InputError if they do not, or states of the regimen are unknown.
    """
    sizes = check_regimen(regimen, model.state_names)
    own = [("the list of times", times.patients)] if isinstance(times, RecordTimes) else []
    return agree([*columns.sizes(), *sizes, *own, *reductions.sizes()]) or 1


def total(values: Array) -> float:
    """The sum, exactly rounded, so that it does not depend on the order; of infinite values what
    NumPy makes of them.
    """
    try:
        return math.fsum(values.tolist())
    except (OverflowError, ValueError):
        return float(np.sum(values))
