"""Simulations over several CUDA devices, whose results come to the host."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from teorell.arrays import is_on_device, is_tensor
from teorell.device.devices import open_device
from teorell.device.several import solve_over
from teorell.errors import InputError
from teorell.results.solution import Solution
from teorell.simulation.labels import labelled
from teorell.simulation.problem import Problem

__all__ = ["simulate_over"]


def simulate_over(problem: Problem, devices: Sequence[str]) -> Solution:
    """The solution, as the CPU returns it; devices: their names.

    InputError for numbers on a device and for tensors, and for a device that cannot compute.
    """
    for name, value in zip(problem.columns.names, problem.columns.values, strict=True):
        if is_on_device(value):
            raise InputError(
                f"parameter {name!r} lies on a device, and device is {list(devices)} (patients are "
                "dealt to these from the host, and nothing moves by itself). Give a NumPy array, "
                "or leave device out."
            )
    if any(map(is_tensor, problem.given)):
        raise InputError(
            f"a tensor with device {list(devices)} (results come to the host, without "
            "derivatives). Give NumPy arrays, or one device."
        )
    opened = [open_device(int(name.partition(":")[2])) for name in devices]
    return labelled(problem, problem.solve(problem.given, by=partial(solve_over, devices=opened)))
