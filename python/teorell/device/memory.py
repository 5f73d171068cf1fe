"""Memory of a device: what a scope has taken it gives back, whatever happens in it."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.device.devices import Device
from teorell.device.driver import NO_MEMORY, DriverError

__all__ = ["Allocation", "Memory"]

ALIGNED = 256  # bytes: where each array begins that goes over with others


class Allocation:
    """Bytes on a device that are freed when nobody refers to them any more."""

    def __init__(self, device: Device, address: int, size: int) -> None:
        self.device, self.address, self.size = device, address, size
        self._free = weakref.finalize(self, _free, device, address)

    def free(self) -> None:
        """Now; once is enough."""
        self._free()


def _free(device: Device, address: int) -> None:
    # a driver that is going down with the process refuses
    with suppress(DriverError), device.driver.current(device.number):
        device.driver.free(address)


class Memory:
    """A scope: `with Memory(device) as memory`. What is taken in it is free after it, but for what
    was asked to be kept. Where the scope ends by an error that is free too: nobody has got it, and
    the error may live long, with all that its frames refer to.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self._taken: list[Allocation] = []
        self._kept: weakref.WeakSet[Allocation] = weakref.WeakSet()

    def __enter__(self) -> Memory:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for each in (*self._taken, *(self._kept if error is not None else ())):
            each.free()
        self._taken.clear()

    def take(self, size: int, what: str) -> Allocation:
        """So many bytes, their content undefined. what: how messages name it.

        MemoryError where the device has too little left.
        """
        driver = self.device.driver
        try:
            with driver.current(self.device.number):
                address = driver.allocate(max(size, 1))
        except DriverError as error:
            if error.code != NO_MEMORY:
                raise
            with driver.current(self.device.number):
                left = driver.free_memory()
            raise MemoryError(
                f"{self.device.name} has no memory for the {what} ({size / 1e6:.1f} MB; "
                f"{left / 1e6:.1f} MB are left). Simulate fewer patients at a time, ask for fewer "
                "times or outputs, or free what other libraries keep: torch.cuda.empty_cache(), "
                "cupy.get_default_memory_pool().free_all_blocks()."
            ) from None
        taken = Allocation(self.device, address, size)
        self._taken.append(taken)
        return taken

    def keep(self, taken: Allocation) -> Allocation:
        """Out of the scope: it lives as long as somebody refers to it."""
        self._taken.remove(taken)
        self._kept.add(taken)
        return taken

    def send(self, arrays: Sequence[NDArray[Any]], stream: int, what: str) -> list[int]:
        """The arrays on the device, contiguous, in one piece: the address of each."""
        places = np.cumsum([0, *(-(-each.nbytes // ALIGNED) * ALIGNED for each in arrays)])
        together = np.zeros(int(places[-1]), np.uint8)
        for each, place in zip(arrays, places, strict=False):
            own = np.ascontiguousarray(each).reshape(-1).view(np.uint8)
            together[place : place + own.size] = own
        taken = self.take(together.size, what)
        with self.device.driver.current(self.device.number):
            if together.size:
                self.device.driver.write(taken.address, together, stream)
        return [taken.address + int(place) for place in places[:-1]]
