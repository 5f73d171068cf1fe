"""Numbers of torch tensors, read where they lie, on the CPU or a CUDA device, and results given
back as tensors there, without copies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from teorell.arrays import is_on_device
from teorell.errors import InputError

if TYPE_CHECKING:
    from teorell.arrays import Array
    from teorell.simulation.problem import Problem
    from teorell.simulation.there import There

__all__ = [
    "lies_there", "numpy_of", "on_one_device", "places_of", "read", "runner_of", "tensor_of",
    "tensors_of",
]  # fmt: skip

PROXY = torch._C._TorchDispatchModeKey.PROXY  # make_fx runs in this mode


def numpy_of(tensor: Tensor) -> Array:
    """A view of the tensor's numbers, float64, any strides.

    TypeError where torch only pretends to compute.
    """
    found: Array = _of(tensor, lambda: tensor.numpy(force=True))
    return found


def read(tensor: Tensor, what: str = "a tensor") -> Any:
    """The same; of a CUDA device a DeviceArray, of torch's current stream.

    what: how messages name it. InputError for a device that cannot compute.
    """
    if not is_on_device(tensor):
        return numpy_of(tensor)
    from teorell.device.arrays import device_array

    return _of(tensor, lambda: device_array(tensor.detach(), what))


def _of(tensor: Tensor, numbers: Any) -> Any:
    traced = (
        torch._C._get_tracing_state() is not None or torch._C._get_dispatch_mode(PROXY) is not None
    )
    reason = "torch is tracing" if traced else ""
    try:
        result = numbers()
    except RuntimeError as error:  # a fake tensor, or the vmap that torch had before torch.func
        reason = reason or str(error).partition("\n")[0]
    if reason:
        raise TypeError(
            f"a tensor has no numbers to simulate with ({reason}). Call teorell outside of "
            "make_fx, jit.trace and linearize, map with torch.func.vmap, and compile "
            "teorell.nn.Simulator."
        )
    return result


def lies_there(tensor: Tensor) -> bool:
    """Does it lie on a CUDA device? torch.compile follows this."""
    there: bool = tensor.device.type == "cuda"
    return there


def tensor_of(array: Any, like: Tensor) -> Tensor:
    """Results as a tensor: NumPy on the CPU, a DeviceArray where it lies; like: of its device."""
    if not is_on_device(array):
        return torch.as_tensor(array)
    if not array.size:  # which has no address that could tell the device
        return like.new_empty(array.shape, dtype=torch.float64)
    found: Tensor = torch.as_tensor(array, device=array.device.name)
    return found


def tensors_of(problem: Problem, given: Sequence[Any]) -> tuple[Problem, list[Tensor]]:
    """A problem as a function of tensors, and these, float64: all its inputs, or where some lie on
    a device those that do. The others stay the numbers that they are.

    given: numbers and tensors, one an input.
    """
    there = [is_on_device(each) for each in given]
    if any(there):
        chosen = [k for k, one in enumerate(there) if one]
        problem = problem.by([problem.inputs[k] for k in chosen])
        given = [given[k] for k in chosen]
    like: Any = next((each for each in given if isinstance(each, Tensor)), None)
    tensors = [
        each
        if isinstance(each, Tensor)
        else tensor_of(each, like)
        if is_on_device(each)
        else torch.tensor(each)
        for each in given
    ]
    return problem, [each.to(torch.float64) for each in tensors]


def runner_of(problem: Problem, tensors: Sequence[Tensor]) -> Problem | There:
    """What solves a problem of these inputs: the CPU, or the device where they lie."""
    number = next((x.device.index or 0 for x in tensors if is_on_device(x)), None)
    if number is None:
        return problem
    from teorell.device.devices import open_device
    from teorell.simulation.there import There

    return There(problem, open_device(number))


def places_of(names: Sequence[str], given: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Which inputs of a problem are tensors: all, or those that are given where any lies on a
    device; the others are numbers of the host then.

    names: of parameters, "" for a number of a dose.
    """
    there = any(lies_there(each) for each in given.values())
    return tuple(k for k, name in enumerate(names) if not there or name in given)


def on_one_device(given: Mapping[str, Any]) -> dict[str, Tensor]:
    """Parameters as tensors; numbers go where the tensors lie. InputError for several devices."""
    lying = [(name, x.device) for name, x in given.items() if isinstance(x, Tensor)]
    device = lying[0][1] if lying else None
    for name, where in lying:
        if where != device:
            (first, there), (second, other) = sorted(
                ((name, where), lying[0]), key=lambda each: each[1].type == "cpu"
            )
            raise InputError(
                f"parameter {first!r} lies on device {there}, {second!r} on {other} (nothing moves "
                "by itself). Bring them together: .to(device) of the module, or of a tensor."
            )
    return {
        name: value
        if isinstance(value, Tensor)
        else torch.tensor(value, dtype=torch.float64, device=device)
        for name, value in given.items()
    }
