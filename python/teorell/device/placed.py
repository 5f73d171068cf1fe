"""Arrays on a device made of others there, or of numbers from the host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.device.arrays import DeviceArray
from teorell.device.devices import Device
from teorell.device.dlpack import contiguous
from teorell.device.driver import LEGACY_STREAM
from teorell.device.memory import Allocation, Memory
from teorell.device.over import go_over

__all__ = ["brought", "made", "place", "sent", "spread", "stacked", "strides_of", "zeros"]


def made(memory: Memory, shape: tuple[int, ...], what: str, *, kept: bool = True) -> DeviceArray:
    """A new array, its content undefined. kept: it outlives the scope."""
    size = 8 * int(np.prod(shape, dtype=np.int64))
    taken: Allocation = memory.take(size, f"{what} {shape}")
    owner = memory.keep(taken) if kept else taken
    return DeviceArray(
        memory.device, taken.address, shape, contiguous(shape, 8), owner, f"the array of {what}"
    )


def zeros(
    memory: Memory, shape: tuple[int, ...], what: str, stream: int, *, kept: bool = True
) -> DeviceArray:
    """The same, of zeros."""
    array = made(memory, shape, what, kept=kept)
    if array.size:
        memory.device.driver.zero(array.address, array.nbytes, stream)
    return array


def sent(
    memory: Memory, array: NDArray[Any], what: str, stream: int, *, kept: bool = False
) -> DeviceArray:
    """An array of the host on the device, as float64. Numbers that are repeated go over once."""
    once = np.asarray(array, np.float64)
    once = once[tuple(slice(None, 1 if step == 0 else None) for step in once.strides)]
    there = made(memory, once.shape, what, kept=kept)
    if once.size:
        memory.device.driver.write(there.address, np.ascontiguousarray(once), stream)
    strides = tuple(
        0 if length != full else step
        for length, full, step in zip(once.shape, array.shape, there.strides, strict=True)
    )
    return DeviceArray(memory.device, there.address, array.shape, strides, there.owner, there.what)


def brought(array: NDArray[np.float64], device: Device) -> DeviceArray:
    """An array of the host on a device, for good."""
    with device.driver.current(device.number), Memory(device) as memory:
        there = sent(memory, array, "numbers", LEGACY_STREAM, kept=True)
        device.driver.wait(LEGACY_STREAM)
    return there


def place(source: DeviceArray, target: DeviceArray, stream: int) -> None:
    """Every number of one array into another of its shape, of three dimensions at most."""
    assert source.shape == target.shape
    ones = (1,) * (3 - source.ndim)
    placing = [(*ones, *source.shape), strides_of(source), strides_of(target)]
    if source.size:
        at = np.array(placing, np.int64).reshape(-1).view(np.uint8)
        given: list[Any] = [source.address, target.address, at]
        go_over(source.device, "placed.cuh", "place_numbers", source.size, given, stream)


def stacked(columns: Sequence[DeviceArray]) -> DeviceArray:
    """(n, columns) of columns (n,) of one device, one at least."""
    device = columns[0].device
    with device.driver.current(device.number), Memory(device) as memory:
        together = made(memory, (*columns[0].shape, len(columns)), "columns")
        for k, column in enumerate(columns):
            place(column, together[..., k], LEGACY_STREAM)
        device.driver.wait(LEGACY_STREAM)
    return together


def spread(array: DeviceArray, shape: tuple[int, ...]) -> DeviceArray:
    """The array as one of this shape, its numbers repeated where it has one, without a copy."""
    before = len(shape) - array.ndim
    steps = zip(array.shape, array.strides, shape[before:], strict=True)
    strides = tuple(0 if length != full else step for length, step, full in steps)
    return replace(array, shape=shape, strides=(0,) * before + strides)


def strides_of(array: DeviceArray) -> tuple[int, ...]:
    """Of three dimensions, in numbers; before those that it has 0."""
    return (0,) * (3 - array.ndim) + tuple(step // 8 for step in array.strides)
