"""Simulations on a CUDA device: which one, and what comes back from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from teorell.arrays import is_on_device, is_tensor
from teorell.device import place
from teorell.device.arrays import DeviceArray
from teorell.device.devices import Device, open_device
from teorell.device.place import Lying
from teorell.errors import InputError
from teorell.results.solution import Solution
from teorell.simulation.labels import labelled
from teorell.simulation.problem import Problem
from teorell.simulation.there import There

if TYPE_CHECKING:
    from teorell.engine.batch import Raw

__all__ = ["as_given", "place_of", "simulate_there", "solution_there"]


def place_of(device: object, problem: Problem) -> Device | None:
    """The device that computes: the one that is asked for, else where the parameters lie; None for
    the CPU.

    device: "cpu", "cuda", "cuda:1", or None. InputError where parameters lie on several devices, or
    on another than is asked for, and for a device that cannot compute.
    """
    there = list(_there(problem))
    found = place.place_of(there, device)
    if found is not None and any(is_tensor(x) and not is_on_device(x) for x in problem.given):
        raise InputError(
            f"a tensor on the CPU with {'parameters on a device' if there else f'{device=}'} "
            "(nothing moves by itself). Give .cuda() of parameters, which has a derivative too, "
            "and NumPy arrays for all else."
        )
    return found


def _there(problem: Problem) -> Iterator[DeviceArray | Lying]:
    """The parameters that lie on devices."""
    for name, value in zip(problem.columns.names, problem.columns.values, strict=True):
        if isinstance(value, DeviceArray):
            yield value
        elif is_on_device(value):  # a tensor, which is not read yet
            yield Lying(f"parameter {name!r}", open_device(value.device.index or 0))


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
    return place.as_given(array, there) if isinstance(array, DeviceArray) else array
