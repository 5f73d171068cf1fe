"""Derivatives of simulations, with NumPy alone: gradients of a loss, and sensitivities of the values.

A gradient costs a few simulations, however many parameters there are; `jacobian` costs more with each parameter, and is for
a few. Derivatives are those of the solution that was computed, with its steps held fixed; at a dose exactly on a sample
they are one-sided, those of the side that the sample sees.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from teorell.errors import InputError, count, suggestion
from teorell.failures import raise_failures
from teorell.model import Model
from teorell.parameters import Array, is_tensor, numbers
from teorell.problem import Input, Problem, given_fields, problem_of, total
from teorell.regimen import Given, Regimen
from teorell.run import lines_of
from teorell.simulate import labelled
from teorell.solution import Solution

if TYPE_CHECKING:
    from teorell.solve import RawGradient

__all__ = ["DoseGradient", "Gradient", "Jacobian", "jacobian", "jvp", "value_and_grad"]

Key: TypeAlias = str | tuple[int, str]  # a parameter, or a field of a line of the regimen: (0, "amount")


@dataclass(frozen=True, eq=False)
class DoseGradient:
    """d loss / d the numbers of a line of the regimen, each in the shape in which it was given: () or (patients,).

    None is a number that the line does not have. By the duration or rate of an infusion so short that it is a bolus there
    is no derivative: NaN.
    """

    into: str
    amount: Array
    time: Array
    every: Array | None = None
    duration: Array | None = None
    rate: Array | None = None


@dataclass(frozen=True, eq=False)
class Gradient:
    """d loss / d everything that went in, per unit of each number, and how each patient's simulation went.

    A patient that failed contributes zero. A number that patients share has the sum over them.
    """

    parameters: Mapping[str, Array]  # name -> in the shape in which it was given; () if it took its default
    initial: Mapping[str, Array]  # state -> (patients,), by the state at time 0 before any dose
    status: NDArray[np.int32]  # (patients,) 0 is success; the sentences are in teorell.solve.STATUS
    failure_time: Array  # (patients,) NaN where there was no failure
    steps: NDArray[np.int64]  # (patients,) accepted steps
    rejected: NDArray[np.int64]  # (patients,) rejected steps
    model: str = ""  # its name
    time_unit: str = ""
    given: Mapping[str, Array] = field(default_factory=dict)  # the parameters themselves
    of_doses: tuple[DoseGradient, ...] | None = ()  # None for a list of regimens

    @property
    def doses(self) -> tuple[DoseGradient, ...]:
        """One record a line of the regimen. InputError for a list of regimens: their doses have no derivatives here."""
        if self.of_doses is None:
            raise InputError(
                "no gradient by the doses of a list of regimens (this version has it for one regimen). Give one Regimen "
                "for all patients, whose numbers are (patients,) arrays."
            )
        return self.of_doses

    @property
    def success(self) -> NDArray[np.bool_]:
        """(patients,) True where the simulation reached its end."""
        result: NDArray[np.bool_] = self.status == 0
        return result

    def raise_for_status(self) -> None:
        """Raise SimulationError if any patient failed: who, why, what to do, and what is unusual about them."""
        raise_failures("gradient", self.status, self.failure_time, self.steps, self.time_unit, self.given)

    def __repr__(self) -> str:
        failed = int((self.status != 0).sum())
        lines = "" if self.of_doses is None else f", {count(len(self.of_doses), 'line')} of doses"
        return (
            f"<Gradient of {self.model!r}: {count(self.status.size, 'patient')}, {count(len(self.parameters), 'parameter')}"
            f"{lines}; {f'{failed} failed' if failed else 'all succeeded'}>"
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Jacobian(Solution):
    """A Solution with the derivatives of its values."""

    derivatives: Array  # (patients, times, outputs, wrt), d output / d number; NaN where the value is
    wrt: tuple[Key, ...]  # parameters, or (line of the regimen, field)

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}; derivatives by {', '.join(map(str, self.wrt))}>"


def value_and_grad(
    loss: ArrayLike | Callable[..., tuple[Any, ArrayLike]],
    model: Model,
    parameters: object = None,
    regimen: Given = None,
    times: ArrayLike | None = None,
    outputs: Sequence[str] | str | None = None,
    *,
    by_patient: bool = False,
    wrt: Sequence[str] | None = None,
    **options: Any,
) -> tuple[float, Gradient]:
    """A loss of the simulated values, and its gradient by parameters, doses and initial states.

    loss: one of
        - weights, an array that broadcasts to (patients, times, outputs): the loss is sum(weights * values);
        - a function values -> (value, slope): a number, and d value / d values in the shape of the values. The values of
          a patient that failed are NaN from then on, and its slope is ignored;
        - with by_patient=True, a function (values, patients) -> (value, slope) of some patients, whose numbers are given:
          value (k,), one a patient, and slope (k, times, outputs); the loss is the sum over all patients. It is called
          for a few patients at a time, from several threads but never from two at once, and no values are stored.
    wrt: names of the parameters wanted; None is all that the model has.
    model, parameters, regimen, times, outputs and options (rtol, method, threads, ...): as for teorell.simulate, in NumPy.

    With weights or by_patient=True patients that failed are left out of the value. Nothing depends on the threads.
    Raises InputError and TypeError as teorell.simulate does, and for a loss that does not fit.
    """
    problem = _numpy_problem(model, parameters, regimen, times, outputs, options)
    names = model.parameter_names if wrt is None else tuple(_keys(wrt))
    doses = [entry for entry in problem.inputs if entry.kind == "dose"]
    problem = problem.by([*(_entry(problem, name) for name in names), *doses])
    patients = problem.patients_of([array.shape for array in problem.given])
    shape = (patients, *problem.grid)
    if not callable(loss):
        value, (gradients, raw) = _sum_over_patients(problem, patients, _weighted(loss, shape))
    elif by_patient:
        value, (gradients, raw) = _sum_over_patients(problem, patients, loss)
    else:
        solution = problem.solve(problem.given)
        good = solution.status == 0
        number, slope = _pair(loss(solution.values))
        value = float(_shaped(number, (), "value"))
        slope = np.where(good[:, None, None], _shaped(slope, shape, "slope"), 0.0)
        gradients, raw = problem.pull_back(problem.given, _finite(slope, np.arange(patients)))
    return value, _gradient(problem, gradients, raw)


def jacobian(
    model: Model,
    parameters: object = None,
    regimen: Given = None,
    times: ArrayLike | None = None,
    outputs: Sequence[str] | str | None = None,
    *,
    wrt: Sequence[Key] | Key,
    **options: Any,
) -> Jacobian:
    """The solution and its forward sensitivities: derivatives of all values by a few numbers.

    wrt: names of parameters, and (line, field) for a number of the regimen, such as (0, "amount"). A number that differs
        by patient is each patient's own. Other arguments are as for teorell.simulate, in NumPy.

    Raises InputError and TypeError as teorell.simulate does, and for the duration or rate of an infusion so short that it
    is a bolus.
    """
    problem = _numpy_problem(model, parameters, regimen, times, outputs, options)
    keys = _keys(wrt)
    problem = problem.by([_entry(problem, key) for key in keys])
    raw, derivatives = problem.jacobian(problem.given)
    solution = labelled(problem, raw)
    named = {each.name: getattr(solution, each.name) for each in fields(Solution)}
    return Jacobian(**named, derivatives=derivatives, wrt=keys)


def jvp(
    model: Model,
    parameters: object,
    regimen: Given,
    times: ArrayLike,
    tangents: Mapping[Key, ArrayLike],
    outputs: Sequence[str] | str | None = None,
    **options: Any,
) -> tuple[Solution, Array]:
    """The solution, and the derivative of its values (patients, times, outputs) in one direction.

    tangents: by how much each number changes, a number or (patients,), by the names that `jacobian` takes; all others stay.
    Other arguments and errors are those of `jacobian`.
    """
    problem = _numpy_problem(model, parameters, regimen, times, outputs, options)
    keys = _keys(tuple(tangents))
    problem = problem.by([_entry(problem, key) for key in keys])
    patients = problem.patients_of([array.shape for array in problem.given])
    dots = []
    for key in keys:
        dot = numbers(tangents[key], f"the tangent of {key!r}")
        if dot.ndim and dot.size != patients:
            raise InputError(
                f"the tangent of {key!r} has {count(dot.size, 'value')} (there {'is' if patients == 1 else 'are'} "
                f"{count(patients, 'patient')}). Give one number, or one a patient."
            )
        dots.append(dot)
    raw, derivative = problem.push_forward(problem.given, dots)
    return labelled(problem, raw), derivative


def _numpy_problem(
    model: Model, parameters: object, regimen: Given, times: object, outputs: Sequence[str] | str | None, options: Any
) -> Problem:
    problem = problem_of(model, parameters, regimen, times, outputs, **options)
    if any(is_tensor(value) for value in problem.given):
        raise TypeError(
            "parameters or regimen hold torch tensors (this function is NumPy's alone). Differentiate teorell.simulate with "
            "torch, or give .detach().numpy() of them."
        )
    return problem


def _keys(wrt: Sequence[Key] | Key) -> tuple[Key, ...]:
    """One or several numbers to differentiate by, none of them twice."""
    one = isinstance(wrt, str) or (isinstance(wrt, tuple) and len(wrt) == 2 and isinstance(wrt[0], int))
    keys: tuple[Any, ...] = (wrt,) if one else tuple(wrt)
    if not keys:
        raise InputError("there is nothing to differentiate by (the list is empty). Name at least one parameter.")
    if len(set(keys)) < len(keys):
        raise InputError(f"{', '.join(map(str, keys))} name one twice (a label must be unique). Leave the second out.")
    return keys


def _entry(problem: Problem, key: Key) -> Input:
    """The input that a key names."""
    if isinstance(key, str):
        known = problem.model.parameter_names
        if key not in known:
            raise InputError(
                f"unknown parameter {key!r} (model {problem.model.name!r} does not declare it). {suggestion(key, known)}"
            )
        return Input("parameter", key)
    if not isinstance(key, tuple) or len(key) != 2:
        raise InputError(
            f"{key!r} is no number to differentiate by (a name is). Give 'cl', or (0, 'amount') for a dose."
        )
    if not isinstance(problem.regimen, Regimen | None):
        raise InputError(
            f"no derivative by {key!r} (the doses of a list of regimens have none in this version). Give one Regimen "
            "for all patients, whose numbers are (patients,) arrays."
        )
    lines = lines_of(problem.regimen)
    line, name = key
    if not isinstance(line, int) or not 0 <= line < len(lines):
        raise InputError(
            f"unknown line {line!r} of the regimen (it has {len(lines)}, counted from 0). Give (0, 'amount')."
        )
    if name not in given_fields(lines[line]):
        known = tuple(given_fields(lines[line]))
        raise InputError(f"unknown field {name!r} of {lines[line]!r} (it has others). {suggestion(str(name), known)}")
    return Input("dose", name, line)


# --- losses


def _weighted(weights: ArrayLike, shape: tuple[int, ...]) -> Callable[[Array, NDArray[np.int64]], tuple[Array, Array]]:
    """sum(weights * values) as a loss by patient."""
    array = _real(weights, "weights")
    try:
        spread = np.broadcast_to(array, shape)
    except ValueError:
        raise InputError(
            f"weights have shape {array.shape} (they weight the values, of shape {shape}: patients, times, outputs). "
            "Give an array that broadcasts to it."
        ) from None
    if not np.isfinite(array).all():
        raise InputError("weights are not finite (each value counts with its weight). Give 0 where one does not count.")

    def loss(values: Array, patients: NDArray[np.int64]) -> tuple[Array, Array]:
        slope = spread[patients]
        return (slope * values).reshape(len(values), -1).sum(axis=1), slope

    return loss


def _sum_over_patients(
    problem: Problem, patients: int, loss: Callable[..., tuple[Any, ArrayLike]]
) -> tuple[float, tuple[list[Array], RawGradient]]:
    """The value of a loss by patient and its gradients, in one pass; patients that failed count for nothing."""
    parts = np.zeros(patients)

    def slopes(values: Array, of: NDArray[np.int64]) -> Array:
        value, slope = _pair(loss(values, of))
        parts[of] = _shaped(value, of.shape, "value")
        return _finite(_shaped(slope, values.shape, "slope"), of)

    found = problem.pull_back(problem.given, slopes)
    return total(parts), found


def _pair(result: Any) -> tuple[Any, Any]:
    if not isinstance(result, tuple) or len(result) != 2:
        raise InputError(
            f"the loss returned a {type(result).__name__} (a value and its slope are needed). Return (value, slope)."
        )
    return result


def _real(given: Any, what: str) -> Array:
    """`given` as float64 of any shape."""
    array = np.asarray(given)
    if array.dtype.kind not in "iuf":
        raise InputError(f"{what} has type {array.dtype} (real numbers are needed). Give float64.")
    return array.astype(np.float64, copy=False)


def _shaped(given: Any, shape: tuple[int, ...], what: str) -> Array:
    array = _real(given, f"the {what} of the loss")
    if array.shape != shape:
        raise InputError(
            f"the {what} of the loss has shape {array.shape} (it must be {shape}"
            f"{', one number' if shape == () else ', one a patient' if len(shape) == 1 else ', that of the values'}). "
            "See teorell.value_and_grad for what a loss returns."
        )
    return array


def _finite(slope: Array, patients: NDArray[np.int64]) -> Array:
    """The slope (k, times, outputs) of the patients (k,); InputError where it is not finite."""
    bad = np.flatnonzero(~np.isfinite(slope).all(axis=(1, 2)))
    if bad.size:
        raise InputError(
            f"the slope of the loss is not finite (for {count(bad.size, 'patient')}, the first is patient "
            f"{patients[bad[0]]}). Correct the loss, for example where it divides by values of 0."
        )
    return slope


def _gradient(problem: Problem, gradients: Sequence[Array], raw: RawGradient) -> Gradient:
    """What the core returned, with names and shapes."""
    model, columns = problem.model, problem.columns
    by_input = dict(zip(problem.inputs, gradients, strict=True))
    doses = None
    if isinstance(problem.regimen, Regimen | None):
        doses = tuple(
            DoseGradient(line.into, **{name: by_input[Input("dose", name, number)] for name in given_fields(line)})
            for number, line in enumerate(lines_of(problem.regimen))
        )
    return Gradient(
        {entry.name: each for entry, each in by_input.items() if entry.kind == "parameter"},
        {name: raw.initial[:, k] for k, name in enumerate(model.state_names)},
        raw.status, raw.failure_time, raw.steps, raw.rejected, model.name, model.time_unit,
        {name: column for name, column in zip(columns.names, columns.values, strict=True) if name in columns.given},
        doses,
    )  # fmt: skip
