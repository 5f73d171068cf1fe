"""Simulations on a CUDA device: which one, and what comes back from it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from teorell.arrays import is_on_device, is_tensor
from teorell.device.arrays import DeviceArray
from teorell.device.devices import Device, device_of, open_device
from teorell.errors import InputError
from teorell.results.solution import Solution
from teorell.simulation.labels import labelled
from teorell.simulation.problem import Problem
from teorell.simulation.there import There

if TYPE_CHECKING:
    from teorell.engine.batch import Raw

__all__ = ["as_given", "place_of", "simulate_there", "solution_there"]


def place_of(device: str | None, problem: Problem) -> Device | None:
    """The device that computes: the one that is asked for, else where the parameters lie; None for
    the CPU.

    device: "cpu", "cuda", "cuda:1", or None. InputError where parameters lie on several devices, or
    on another than is asked for, and for a device that cannot compute.
    """
    there = _there(problem)
    if device is None and not there:
        return None
    what, number = next(iter(there.items()), ("", 0))
    for other, its in there.items():
        if its != number:
            raise InputError(
                f"{what} lies on cuda:{number}, {other} on cuda:{its} "
                "(nothing moves by itself). Bring them to one device."
            )
    wanted = None if device is None else device_of(device)
    if device is not None and wanted is None and not there:
        return None
    if there and device not in (None, "cuda", f"cuda:{number}"):
        raise InputError(
            f"{what} lies on cuda:{number}, device is {device!r} (nothing moves by "
            "itself). Leave device out, or give a NumPy array: .get() of it, or .cpu() of a "
            "tensor."
        )
    if any(is_tensor(each) and not is_on_device(each) for each in problem.given):
        raise InputError(
            f"a tensor on the CPU with {'parameters on a device' if there else f'{device=}'} "
            "(nothing moves by itself). Give .cuda() of parameters, which has a derivative too, "
            "and NumPy arrays for all else."
        )
    return open_device(number if there else wanted or 0)


def _there(problem: Problem) -> dict[str, int]:
    """The parameters that lie on devices, as messages name them, and the number of each device."""
    found = {}
    for name, value in zip(problem.columns.names, problem.columns.values, strict=True):
        if isinstance(value, DeviceArray):
            found[value.what] = value.device.number
        elif is_on_device(value):  # a tensor
            found[f"parameter {name!r}"] = int(value.device.index or 0)
    return found


def simulate_there(problem: Problem, device: Device) -> Solution:
    """The solution, its values and reductions on the device, in arrays of the library that the
    parameters came from.
    """
    return solution_there(problem, There(problem, device).solve(problem.given))


def solution_there(problem: Problem, raw: Raw) -> Solution:
    """The same of what was found there."""
    found = problem.reductions.labelled(raw.reduced)
    return labelled(
        problem,
        raw,
        as_given(raw.values, problem),
        (),
        {name: as_given(each, problem) for name, each in found.items()},
    )


def as_given(array: Any, problem: Problem) -> Any:
    """The array in the library that the parameters came from, without a copy; what lies on the host
    as it is.
    """
    there = [each for each in problem.columns.values if isinstance(each, DeviceArray)]
    libraries = {type(each.owner).__module__.partition(".")[0] for each in there}
    if "cupy" in libraries and isinstance(array, DeviceArray):
        return sys.modules["cupy"].asarray(array)
    return array
