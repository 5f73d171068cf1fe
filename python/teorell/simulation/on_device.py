"""Simulations on a CUDA device: which one, what may go there, and what comes back from it."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from teorell.arrays import Array, check_bounds, is_tensor, numbers
from teorell.device.arrays import DeviceArray
from teorell.device.column_check import unfit_columns
from teorell.device.devices import Device, device_of, open_device
from teorell.device.solve import solve
from teorell.errors import InputError
from teorell.progress import reporting
from teorell.results.solution import Solution
from teorell.simulation.labels import labelled
from teorell.simulation.problem import Problem

__all__ = ["place_of", "simulate_there"]


def place_of(device: object, problem: Problem) -> Device | None:
    """The device that computes: the one that is asked for, else where the parameters lie; None for
    the CPU.

    device: "cpu", "cuda", "cuda:1", or None. InputError where parameters lie on several devices, or
    on another than is asked for, and for a device that cannot compute.
    """
    there = {each.device.name: each for each in _there(problem)}
    if device is None and not there:
        return None
    if len(there) > 1:
        first, second, *_ = there.values()
        raise InputError(
            f"{first.what} lies on {first.device.name}, {second.what} on {second.device.name} "
            "(nothing moves by itself). Bring them to one device."
        )
    tensor = next((each for each in problem.given if is_tensor(each)), None)
    wanted = None if device is None else device_of(device)
    if device is not None and wanted is None and not there:
        return None
    for one in there.values():
        if device not in (None, "cuda", one.device.name):
            raise InputError(
                f"{one.what} lies on {one.device.name}, device is {device!r} (nothing moves by "
                "itself). Leave device out, or give a NumPy array: .get() of it, or .cpu() of a "
                "tensor."
            )
    if tensor is not None:
        raise InputError(
            f"a tensor on the CPU with {'parameters on a device' if there else f'{device=}'} "
            "(nothing moves by itself, and this version has no gradients on a device). Give "
            ".cuda() of parameters, and NumPy arrays for all else."
        )
    return next(iter(there.values())).device if there else open_device(wanted or 0)


def _there(problem: Problem) -> list[DeviceArray]:
    """The parameters that lie on devices."""
    return [each for each in problem.columns.values if isinstance(each, DeviceArray)]


def simulate_there(problem: Problem, device: Device) -> Solution:
    """The solution, its values and reductions on the device, in arrays of the library that the
    parameters came from.
    """
    own = problem.own_times
    if own is not None and own.width is not None:
        raise InputError(
            f"times of shape {own.shape} on {device.name} (values are put into such places on the "
            "host). Give a list of times, one a patient."
        )
    _check_numbers(problem)
    call = problem.call(problem.given, on_device=True)
    with reporting(problem.progress, call.batch.patients) as report:
        raw = solve(call.batch, device, progress=report, **problem.options)
    call.report(raw)
    values: Any = raw.values[..., : len(problem.outputs)]
    found = problem.reductions.picked(raw.reduced, raw.reached)
    like = _there(problem)
    return labelled(
        problem,
        replace(raw, infusions=call.timeline.infusions),
        _as_given(values, like),
        (),
        {name: _as_given(each, like) for name, each in found.items()},
    )


def _check_numbers(problem: Problem) -> None:
    """InputError where a number on a device is not finite, or out of the bounds of its parameter;
    what the message says of it is then read from there.
    """
    named = [
        (name, column)
        for name, column in zip(problem.columns.names, problem.columns.values, strict=True)
        if isinstance(column, DeviceArray)
    ]
    if not named:
        return
    known = [problem.model.parameter_info(name) for name, _ in named]
    columns = [column for _, column in named]
    bad = unfit_columns(columns, [one.lower for one in known], [one.upper for one in known])
    for (name, _), column, info, wrong in zip(named, columns, known, bad, strict=True):
        if wrong:
            read: Array = numbers(column.numpy(), f"parameter {name!r}")
            check_bounds(name, read, info.lower, info.upper)


def _as_given(array: Any, like: list[DeviceArray]) -> Any:
    """The array in the library that the parameters came from, without a copy."""
    libraries = {type(each.owner).__module__.partition(".")[0] for each in like}
    if "torch" in libraries:
        return sys.modules["torch"].as_tensor(array, device=array.device.name)
    if "cupy" in libraries:
        return sys.modules["cupy"].asarray(array)
    return array
