"""A simulation as an operator that torch.compile keeps in its graph.

There are two, `teorell::simulate` and `teorell::pull_back`. An operator takes numbers and tensors:
the problem is named by its number in a register of this process. Torch derives no rules of
torch.func for an operator of this kind (measured with torch 2.13: torch.func.grad raises,
torch.func.jvp would return zeros in silence). So the Function of autograd.py serves eager mode and
every transform, this operator serves compiled code without transforms, and it refuses to run where
somebody asks for a derivative that it would lose.
"""

from __future__ import annotations

import itertools
from typing import Any, NoReturn
from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from teorell.derivatives.once import no_second_derivatives
from teorell.derivatives.tensors import read, runner_of, tensor_of
from teorell.errors import InputError
from teorell.simulation.problem import Problem

__all__ = ["inside_a_transform", "part", "pull_back", "register", "simulate"]

_numbers = itertools.count()
_problems: WeakValueDictionary[int, Problem] = WeakValueDictionary()
# problem -> places of inputs -> the problem of these alone, and its number
_parts: WeakKeyDictionary[Problem, dict[tuple[int, ...], tuple[int, Problem]]] = WeakKeyDictionary()


def register(problem: Problem) -> int:
    """The number by which the operators name the problem.

    It does so for as long as somebody holds the problem.
    """
    number = next(_numbers)
    _problems[number] = problem
    return number


def registered(number: int) -> Problem:
    """The problem of this number; InputError if this process does not hold it."""
    problem = _problems.get(number)
    if problem is None:
        raise InputError(
            f"no problem {number} in this process (a compiled graph outlived its Simulator, or "
            "came from elsewhere). Make a teorell.nn.Simulator and compile it here."
        )
    return problem


@torch.compiler.assume_constant_result
def part(number: int, places: tuple[int, ...]) -> int:
    """The number of that problem as a function of some of its inputs: the others are as given. It
    is known for as long as that problem is.
    """
    whole = registered(number)
    known = _parts.setdefault(whole, {})
    if places not in known:
        some = whole.by([whole.inputs[k] for k in places])
        known[places] = register(some), some
    return known[places][0]


@torch.compiler.assume_constant_result
def inside_a_transform() -> bool:
    """While torch.compile follows the code: does a transform of torch.func enclose this place?"""
    result: bool = torch._C._are_functorch_transforms_active()
    return result


@torch.library.custom_op("teorell::simulate", mutates_args=())
def simulate(problem: int, inputs: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The values (patients, times, outputs), float64, and the status (patients,), int32.

    problem: its number. inputs: one tensor an input of the problem, () or (patients,), all on one
    device, where the values come to lie; the status lies on the CPU.
    """
    if forward_ad._current_level >= 0:
        raise NotImplementedError(
            "no forward derivative of a compiled simulation (torch would take it for zero). Leave "
            "torch.compile out, or put torch.func.jvp and jacfwd around teorell.simulate in eager "
            "mode."
        )
    known = registered(problem)
    raw = runner_of(known, inputs).solve([read(x) for x in inputs])
    status = torch.from_numpy(raw.status)
    return (tensor_of(raw.values, inputs[0]) if inputs else torch.from_numpy(raw.values)), status


@torch.library.custom_op("teorell::pull_back", mutates_args=())
def pull_back(problem: int, inputs: list[Tensor], cotangent: Tensor) -> list[Tensor]:
    """The gradients of the inputs, each in its shape, for a cotangent of the values."""
    gradients, *_ = runner_of(registered(problem), inputs).pull_back(
        [read(x) for x in inputs], read(cotangent)
    )
    return [
        torch.tensor(each) if isinstance(each, np.ndarray) else tensor_of(each, inputs[0])
        for each in gradients
    ]


@simulate.register_fake
def _(problem: int, inputs: list[Tensor]) -> tuple[Tensor, Tensor]:
    known = registered(problem)
    patients = known.patients_of([x.shape for x in inputs])
    device = inputs[0].device if inputs else None
    values = torch.empty(known.shape(patients), dtype=torch.float64, device=device)
    return values, torch.empty(patients, dtype=torch.int32)


@pull_back.register_fake
def _(problem: int, inputs: list[Tensor], cotangent: Tensor) -> list[Tensor]:
    return [torch.empty(x.shape, dtype=torch.float64, device=x.device) for x in inputs]


def _keep(ctx: Any, inputs: tuple[int, list[Tensor]], output: tuple[Tensor, Tensor]) -> None:
    ctx.problem, tensors = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx: Any, cotangent: Tensor, _status: None) -> tuple[None, list[Tensor]]:
    return None, pull_back(ctx.problem, list(ctx.saved_tensors), cotangent)


def _second_backward(ctx: Any, cotangents: list[Tensor]) -> NoReturn:
    no_second_derivatives()


simulate.register_autograd(_backward, setup_context=_keep)
pull_back.register_autograd(_second_backward)
