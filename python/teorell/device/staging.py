"""Results brought to the host: through memory that copies may go to by themselves, a piece at a
time, while the piece before it is put in its place.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.device.devices import Device
from teorell.device.driver import NO_MEMORY, DriverError

__all__ = ["Staging"]

PIECE = 1 << 22  # bytes; there are two pieces


class Staging:
    """A scope: `with Staging(device) as staging`. MemoryError where the host has too little."""

    def __init__(self, device: Device) -> None:
        self.device = device

    def __enter__(self) -> Staging:
        driver = self.device.driver
        try:
            with driver.current(self.device.number):
                self._locked = driver.lock(2 * PIECE)
        except DriverError as error:
            if error.code != NO_MEMORY:
                raise
            raise MemoryError(
                f"the host has no memory that {self.device.name} can copy results to "
                f"({2 * PIECE / 1e6:.1f} MB that stay in place). Free some."
            ) from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self.device.driver.current(self.device.number):
            self.device.driver.unlock(self._locked)

    def bring(self, array: NDArray[Any], address: int, stream: int) -> None:
        """Bytes from the device into a contiguous array, there when the call returns."""
        driver, content = self.device.driver, array.reshape(-1).view(np.uint8)
        pieces = [content[at : at + PIECE] for at in range(0, content.size, PIECE)]
        halves = self._locked[:PIECE], self._locked[PIECE:]
        with driver.current(self.device.number):
            for k in range(len(pieces) + 1):
                if k < len(pieces):
                    half = halves[k % 2][: pieces[k].size]
                    driver.read_later(half, address + k * PIECE, stream)
                if k > 0:  # while that goes on
                    pieces[k - 1][:] = halves[(k - 1) % 2][: pieces[k - 1].size]
                driver.wait(stream)
