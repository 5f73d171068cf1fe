"""Derivatives of simulations on a CUDA device, for parameters that are no torch tensors: the doors
of differentiate.py go through here where a device computes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from teorell.arrays import Array, agree, is_on_device, numbers
from teorell.derivatives.losses import (
    check_spreads,
    finite,
    fitting,
    number_of,
    parts_of,
    shaped,
    spread_weights,
)
from teorell.device.arrays import DeviceArray, device_array, device_column
from teorell.device.column_check import unfit_columns
from teorell.device.devices import Device
from teorell.device.placed import brought, spread, stacked
from teorell.errors import InputError
from teorell.results.gradient import Gradient
from teorell.results.solution import Solution
from teorell.simulation.labels import gradient_of
from teorell.simulation.on_device import as_given, solution_there
from teorell.simulation.problem import Problem
from teorell.simulation.there import There

__all__ = ["jacobian_there", "jvp_there", "tangent_there", "value_and_grad_there"]


def value_and_grad_there(
    loss: Any, problem: Problem, device: Device, by_patient: bool
) -> tuple[float, Gradient]:
    """value_and_grad of a problem on a device; its inputs are all that is differentiated by.

    loss: weights, on the host or there; the same by name of reductions; a function, which gets
    arrays of the device. InputError for a loss by patient.
    """
    if by_patient:
        raise InputError(
            f"by_patient=True on {device.name} (a loss is called once there, for all patients). "
            "Leave by_patient out, and return one number."
        )
    there, arrays = There(problem, device), problem.given
    patients = problem.patients_of([array.shape for array in arrays])
    shape = problem.shape(patients)
    if callable(loss) and not isinstance(loss, Mapping):
        value, slope, bars = _called(loss, there, shape, patients)
        gradients, raw, told = there.pull_back(arrays, slope, bars, weighed=True)
    else:
        slope = bars = None
        if isinstance(loss, Mapping):
            bars = _by_name(loss, problem, patients, device)
        else:
            slope = _weights(loss, shape, device)
        gradients, raw, told = there.pull_back(arrays, slope, bars, stored=True, weighed=True)
        assert told is not None
        value = told.total
    assert told is not None
    if told.unfit:
        _check_finite(problem, raw.status == 0, slope, bars)
    gradient = gradient_of(problem, gradients, raw)
    return value, replace(
        gradient,
        parameters={k: as_given(each, problem) for k, each in gradient.parameters.items()},
        initial={k: as_given(each, problem) for k, each in gradient.initial.items()},
    )


def jacobian_there(problem: Problem, device: Device) -> tuple[Solution, Any, dict[str, Any]]:
    """The solution, the derivatives of its values and those of its reductions by name."""
    raw, derivatives, reduced = There(problem, device).jacobian(problem.given)
    by_name = problem.reductions.labelled(reduced)
    moved = {name: as_given(each, problem) for name, each in by_name.items()}
    return solution_there(problem, raw), as_given(derivatives, problem), moved


def jvp_there(problem: Problem, device: Device, tangents: Sequence[Any]) -> tuple[Solution, Any]:
    """The solution, and the derivative of its values in one direction."""
    raw, derivative, _ = There(problem, device).push_forward(problem.given, tangents)
    return solution_there(problem, raw), as_given(derivative, problem)


def tangent_there(given: Any, what: str, device: Device) -> DeviceArray:
    """A tangent () or (patients,) that lies on the device; InputError where it is not finite."""
    column = _here(device_column(given, what), what, device)
    if unfit_columns([column], [-np.inf], [np.inf]).any():
        numbers(column.numpy(), what)  # raises
    return column


def _by_name(
    given: Mapping[str, Any], problem: Problem, patients: int, device: Device
) -> Array | DeviceArray:
    """Weights of reductions by name, (patients, reductions)."""
    of_host = {name: each for name, each in given.items() if not is_on_device(each)}
    columns: list[Any] = list(spread_weights(of_host, problem.reductions, patients).T)
    for name in given.keys() - of_host.keys():
        what = f"the weight of {name!r}"
        column = _here(device_column(given[name], what), what, device)
        if column.ndim:
            agree([("the simulation", patients), (what, column.size)])
        columns[number_of(problem.reductions, name)] = spread(column, (patients,))
    return _side_by_side(columns, device)


def _weights(given: Any, shape: tuple[int, ...], device: Device) -> Array | DeviceArray:
    """Weights of the values, of this shape."""
    if not is_on_device(given):
        return fitting(given, shape)
    array = _here(given, "the array of weights", device)
    check_spreads(array.shape, shape)
    return spread(array, shape)


def _called(
    loss: Callable[..., Any], there: There, shape: tuple[int, ...], patients: int
) -> tuple[float, Any, Any]:
    """What a function of the user's says of the values: (value, slope, slopes of reductions)."""
    problem, solution = there.problem, there.solve(there.problem.given)
    values, reductions = as_given(solution.values, problem), problem.reductions
    if not reductions:
        number, given = parts_of(loss(values), "value", "slope")
        return _number(number, there.device), _slope(given, shape, "slope", there.device), None
    by_name = reductions.labelled(solution.reduced)
    shown = {name: as_given(each, problem) for name, each in by_name.items()}
    number, given, slopes = parts_of(loss(values, shown), "value", "slope", "slopes")
    if not isinstance(slopes, Mapping):
        raise InputError(
            f"the slopes of the reductions are a {type(slopes).__name__} (each has a name). Return "
            "a mapping of names to arrays, one number a patient."
        )
    columns: list[Any] = [np.zeros(patients) for _ in range(len(reductions))]
    for name, each in slopes.items():
        column = _slope(each, (patients,), f"slope by {name!r}", there.device)
        columns[number_of(reductions, name)] = np.zeros(patients) if column is None else column
    return (
        _number(number, there.device),
        _slope(given, shape, "slope", there.device),
        _side_by_side(columns, there.device),
    )


def _side_by_side(columns: Sequence[Any], device: Device) -> Array | DeviceArray:
    """(patients, columns), on the host if all lie there."""
    if not any(isinstance(each, DeviceArray) for each in columns):
        return np.stack(columns, axis=-1)
    moved = [each if isinstance(each, DeviceArray) else brought(each, device) for each in columns]
    return stacked(moved)


def _number(given: Any, device: Device) -> float:
    if is_on_device(given):
        given = _here(given, "the value of the loss", device).numpy()
    return float(shaped(given, (), "value"))


def _slope(
    given: Any, shape: tuple[int, ...], what: str, device: Device
) -> Array | DeviceArray | None:
    """A slope of this shape, on the device or the host; None is 0."""
    if given is None:
        return None
    if not is_on_device(given):
        return shaped(given, shape, what)
    array = _here(given, f"the {what} of the loss", device)
    if array.shape != shape:
        return shaped(np.broadcast_to(0.0, array.shape), shape, what)
    return array


def _here(given: Any, what: str, device: Device) -> DeviceArray:
    """The array where it lies; InputError on another device."""
    array = given if isinstance(given, DeviceArray) else device_array(given, what)
    if array.device.number != device.number:
        raise InputError(
            f"{what} lies on {array.device.name}, the simulation on {device.name} (nothing moves "
            "by itself). Bring it there."
        )
    return array


def _check_finite(problem: Problem, good: Any, slope: Any, bars: Any) -> None:
    """Raises InputError for a slope that is not finite, of a patient who did not fail."""
    own = problem.own_rows
    of_row = np.arange(len(good)) if own is None else own.patient
    for each, of in ((slope, of_row), (bars, np.arange(len(good)))):
        if each is None:
            continue
        here = each.numpy() if isinstance(each, DeviceArray) else each
        finite(here[good[of]], of[good[of]])
