"""Which device computes, and in which library its results come back."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from teorell.device.arrays import DeviceArray
from teorell.device.devices import Device, device_of, open_device, several_of
from teorell.errors import InputError

__all__ = ["Lying", "as_given", "place_of"]


class Lying(NamedTuple):
    """What lies on a device, by the name that messages give it."""

    what: str
    device: Device


def place_of(there: Sequence[DeviceArray | Lying], device: object) -> Device | None:
    """The device that is asked for, else where arrays lie; None for the CPU.

    device: "cpu", "cuda", "cuda:1", or None. InputError where arrays lie on several devices, or on
    another than is asked for, and for a device that cannot compute.
    """
    if several_of(device) is not None:
        raise InputError(
            f"device is {device!r} (several devices only simulate: teorell.simulate, simulate_to). "
            "Give the name of one."
        )
    wanted = None if device is None else device_of(device)
    if not there:
        return None if wanted is None else open_device(wanted)
    by_name = {each.device.name: each for each in there}
    first, *others = by_name.values()
    if others:
        raise InputError(
            f"{first.what} lies on {first.device.name}, {others[0].what} on "
            f"{others[0].device.name} (nothing moves by itself). Bring them to one device."
        )
    if device not in (None, "cuda", first.device.name):
        raise InputError(
            f"{first.what} lies on {first.device.name}, device is {device!r} (nothing moves by "
            "itself). Leave device out, or give a NumPy array: .get() of it, or .cpu() of a tensor."
        )
    return first.device


def as_given(array: DeviceArray, like: Sequence[DeviceArray]) -> Any:
    """The array in the library that others came from, without a copy."""
    libraries = {type(each.owner).__module__.partition(".")[0] for each in like}
    if "torch" in libraries:
        return sys.modules["torch"].as_tensor(array, device=array.device.name)
    if "cupy" in libraries:
        return sys.modules["cupy"].asarray(array)
    return array
