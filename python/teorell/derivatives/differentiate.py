"""Derivatives of simulations, with NumPy alone.

They are gradients of a loss, and sensitivities of the values. A gradient costs a few simulations,
however many parameters there are; `jacobian` costs more with each parameter, and is for a few.
Derivatives are those of the solution that was computed, with its steps held fixed; at a dose
exactly on a sample they are one-sided, those of the side that the sample sees.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from teorell.arrays import Array, check_flag, copied, is_on_device, is_tensor, numbers
from teorell.derivatives.losses import (
    Loss,
    finite,
    shaped,
    slope_of,
    told,
    weighted,
    weighted_reductions,
)
from teorell.derivatives.wrt import Key, elements_of, entry_of, keys_of
from teorell.errors import InputError, count
from teorell.exact_total import ExactTotal
from teorell.model import Model
from teorell.results.gradient import Gradient
from teorell.results.solution import Solution
from teorell.schedule.given_doses import Given
from teorell.simulation.given import problem_of
from teorell.simulation.labels import gradient_of, labelled
from teorell.simulation.problem import Problem

if TYPE_CHECKING:
    from typing import Self

    from teorell.device.devices import Device
    from teorell.engine.batch import RawGradient

__all__ = ["Jacobian", "jacobian", "jvp", "value_and_grad"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Jacobian(Solution):
    """A Solution with the derivatives of its values."""

    # (patients, times, outputs, wrt), d output / d number; NaN where the value is NaN
    derivatives: Array
    wrt: tuple[Key, ...]  # parameters, or (line of the regimen, field)
    # name -> (patients, wrt), d reduction / d number; NaN where the reduction is NaN
    of_reductions: Mapping[str, Array] = field(default_factory=dict)

    def cpu(self) -> Self:
        """The same with all arrays as NumPy; those on a device are copied."""
        return replace(
            super().cpu(),
            derivatives=copied(self.derivatives),
            of_reductions={name: copied(each) for name, each in self.of_reductions.items()},
        )

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}; derivatives by {', '.join(map(str, self.wrt))}>"


def value_and_grad(
    loss: ArrayLike | Mapping[str, ArrayLike] | Callable[..., tuple[Any, ...]],
    model: Model,
    parameters: object = None,
    regimen: Given = None,
    times: ArrayLike | None = None,
    outputs: Sequence[str] | str | None = None,
    *,
    by_patient: bool = False,
    wrt: Sequence[str] | None = None,
    device: str | None = None,
    **options: Any,
) -> tuple[float, Gradient]:
    """A loss of the simulated values, and its gradient by parameters, doses and initial states.

    loss: one of - weights, an array that broadcasts to (patients, times, outputs): the loss is
        sum(weights * values); - a function values -> (value, slope): a number, and d value / d
        values in the shape of the values. The values of a patient that failed are NaN from then on,
        and its slope is ignored; - with by_patient=True, a function (values, patients) -> (value,
        slope) of some patients, whose numbers are given: value (k,), one a patient, and slope (k,
        times, outputs); the loss is the sum over all patients. It is called for a few patients at a
        time, from several threads but never from two at once, and no values are stored. With
        reductions=[...] it may also be - weights, a mapping of names to numbers or (patients,): the
        loss is the sum of weight * reduction; - a function of (values, reduced), or with
        by_patient=True of (values, reduced, patients), which returns (value, slope, slopes).
        reduced: name -> (patients,) or (k,); slopes: d value / d each of them by name, one that is
        not named has none; slope is that of the values, None for none.
    wrt: names of the parameters wanted; None is all that the model has.
    device, model, parameters, regimen, times, outputs and options (rtol, method, threads, ...): as
        for teorell.simulate, but for torch tensors. On a device a function gets values and
        reductions there, and is not called by patient; weights and slopes may lie there or on the
        host. Gradients that are (patients,) lie there, and those of numbers there; `Gradient.cpu()`
        brings them here. They are the same bits; with weights the value is their exact sum.

    With weights or by_patient=True patients that failed are left out of the value. Nothing depends
    on the threads.
    Raises InputError and TypeError as teorell.simulate does, and for a loss that does not fit.
    """
    check_flag(by_patient, "by_patient")
    problem = _numpy_problem(model, parameters, regimen, times, outputs, options)
    names = model.parameter_names if wrt is None else elements_of(model, keys_of(wrt))
    doses = [entry for entry in problem.inputs if entry.kind == "dose"]
    problem = problem.by([*(entry_of(problem, name) for name in names), *doses])
    place = _place_of(device, problem)
    if place is not None:
        from teorell.derivatives.there import value_and_grad_there

        return value_and_grad_there(loss, problem, place, by_patient)
    patients = problem.patients_of([array.shape for array in problem.given])
    shape, own = problem.shape(patients), problem.own_rows
    if isinstance(loss, Mapping):
        value, (gradients, raw) = _sum_over_patients(
            problem, patients, weighted_reductions(loss, problem.reductions, patients)
        )
    elif not callable(loss):
        value, (gradients, raw) = _sum_over_patients(
            problem, patients, weighted(loss, shape, problem.own_times)
        )
    elif by_patient:
        value, (gradients, raw) = _sum_over_patients(
            problem, patients, told(loss, problem.reductions)
        )
    else:
        solution = problem.solve(problem.given)
        of_row = np.arange(patients) if own is None else own.patient
        good = solution.status == 0
        number, slope, bars = told(loss, problem.reductions)(solution.values, solution.reduced)
        value = float(shaped(number, (), "value"))
        rows = good[of_row].reshape(-1, *[1] * (len(shape) - 1))
        slope = problem.counted(np.where(rows, slope_of(slope, shape), 0.0))
        if bars is not None:
            bars = finite(np.where(good[:, None], bars, 0.0), np.arange(patients))
        gradients, raw = problem.pull_back(problem.given, finite(slope, of_row), bars)
    return value, gradient_of(problem, gradients, raw)


def jacobian(
    model: Model,
    parameters: object = None,
    regimen: Given = None,
    times: ArrayLike | None = None,
    outputs: Sequence[str] | str | None = None,
    *,
    wrt: Sequence[Key] | Key,
    device: str | None = None,
    **options: Any,
) -> Jacobian:
    """The solution and its forward sensitivities: derivatives of all values by a few numbers.

    wrt: names of parameters, and (line, field) for a number of the regimen, such as (0, "amount");
        of doses as columns (k, field), of dose k of each patient, in the order of its rows.
        A number that differs by patient is each patient's own; a parameter that changes over time
        moves in all its values alike. Other arguments are as for teorell.simulate, but for torch
        tensors; on a device the derivatives lie there, as the values do.

    Raises InputError and TypeError as teorell.simulate does, and for the duration or rate of an
    infusion so short that it is a bolus.
    """
    problem = _numpy_problem(model, parameters, regimen, times, outputs, options)
    keys = elements_of(model, keys_of(wrt))
    problem = problem.by([entry_of(problem, key) for key in keys])
    place = _place_of(device, problem)
    if place is not None:
        from teorell.derivatives.there import jacobian_there

        solution, derivatives, by_name = jacobian_there(problem, place)
    else:
        raw, derivatives, reduced = problem.jacobian(problem.given)
        solution, by_name = labelled(problem, raw), problem.reductions.labelled(reduced)
    named = {each.name: getattr(solution, each.name) for each in fields(Solution)}
    return Jacobian(**named, derivatives=derivatives, wrt=keys, of_reductions=by_name)


def jvp(
    model: Model,
    parameters: object,
    regimen: Given,
    times: ArrayLike,
    tangents: Mapping[Key, ArrayLike],
    outputs: Sequence[str] | str | None = None,
    *,
    device: str | None = None,
    **options: Any,
) -> tuple[Solution, Array]:
    """The solution, and the derivative of its values (patients, times, outputs) in one direction.

    tangents: by how much each number changes, a number or (patients,), by the names that `jacobian`
        takes; where the number lies on a device, it may too. All others stay. Of a parameter that
        changes over time a number, or one for each of its values.
    Other arguments and errors are those of `jacobian`, which has the derivatives of reductions too.
    """
    if options.get("reductions"):
        raise InputError(
            "reductions in jvp (it returns the derivative of the values). Use teorell.jacobian."
        )
    problem = _numpy_problem(model, parameters, regimen, times, outputs, options)
    if not isinstance(tangents, Mapping):
        raise TypeError(
            f"tangents are a {type(tangents).__name__} (each number has its own). Give a mapping "
            "of names to numbers."
        )
    keys = keys_of(tuple(tangents))
    problem = problem.by([entry_of(problem, key) for key in keys])
    patients = problem.patients_of([array.shape for array in problem.given])
    place, dots = _place_of(device, problem), []
    for key in keys:
        dot = _tangent(tangents[key], f"the tangent of {key!r}", place)
        steps = problem.columns.steps.get(key) if isinstance(key, str) else None
        if dot.ndim and dot.size != (patients if steps is None else steps.values.size):
            expected = (
                count(patients, "patient")
                if steps is None
                else f"{count(steps.values.size, 'value')} of it"
            )
            raise InputError(
                f"the tangent of {key!r} has {count(dot.size, 'value')} (there "
                f"{'is' if expected[:2] == '1 ' else 'are'} {expected}). Give one number, or one "
                "for each."
            )
        dots.append(dot)
    if place is not None:
        from teorell.derivatives.there import jvp_there

        return jvp_there(problem, place, dots)
    raw, derivative, _ = problem.push_forward(problem.given, dots)
    return labelled(problem, raw), derivative


def _numpy_problem(
    model: Model,
    parameters: object,
    regimen: Given,
    times: object,
    outputs: Sequence[str] | str | None,
    options: Any,
) -> Problem:
    """The problem of a simulation; TypeError where its numbers are torch tensors."""
    problem = problem_of(model, parameters, regimen, times, outputs, **options)
    if any(is_tensor(value) for value in problem.given):
        raise TypeError(
            "parameters or regimen hold torch tensors (this function is NumPy's alone). "
            "Differentiate teorell.simulate with torch, or give .detach().numpy() of them."
        )
    return problem


def _tangent(given: Any, what: str, place: Device | None) -> Any:
    """A tangent () or (patients,), on the host or where a device computes."""
    if place is None or not is_on_device(given):
        return numbers(given, what)
    from teorell.derivatives.there import tangent_there

    return tangent_there(given, what, place)


def _place_of(device: str | None, problem: Problem) -> Device | None:
    """The device that computes; None for the CPU."""
    if device is None and not any(map(is_on_device, problem.columns.values)):
        return None
    from teorell.simulation.on_device import place_of

    return place_of(device, problem)


def _sum_over_patients(
    problem: Problem, patients: int, loss: Loss
) -> tuple[float, tuple[list[Array], RawGradient]]:
    """The value of a loss by patient, and the gradients of the inputs with the core's answer.

    One pass over the patients; those that failed count for nothing.
    """
    whole, own = ExactTotal(), problem.own_rows

    def slopes(values: Array, reduced: Array, of: NDArray[np.int64]) -> tuple[Array, Array | None]:
        value, slope, bars = loss(values, reduced, of)
        whole.add(shaped(value, of.shape, "value"))
        of_row = of if own is None else own.patient[own.rows_of(of)]
        of_reductions = None if bars is None else finite(bars, of)
        counted = problem.counted(slope_of(slope, values.shape), of)
        return finite(counted, of_row), of_reductions

    found = problem.pull_back(problem.given, slopes=slopes)
    return whole.value, found
