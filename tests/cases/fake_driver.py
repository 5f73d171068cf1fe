"""A CUDA driver that is none: it records calls, keeps device memory in the host's, and fails when
it is told to. Kernels are functions of Python or C that get what a launch hands over.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from teorell.device.driver import NO_MEMORY, DriverError

GUARD = 64  # bytes beside an allocation that nothing may touch
FRESH, TORN = 0xCD, 0xA5  # what new memory and guards hold

Kernel = Callable[[int, int, int], None]
"""(blocks, threads, address of the addresses of the arguments)"""


class FakeDriver:
    """Devices are (name, capability, multiprocessors)."""

    def __init__(
        self,
        devices: Sequence[tuple[str, tuple[int, int], int]] = (("Fake 90", (9, 0), 2),),
        version: int = 13020,
        room: int = 1 << 30,
        kernels: dict[str, Kernel] | None = None,
    ) -> None:
        self.devices, self.supported, self.room = list(devices), version, room
        self.kernels = kernels or {}
        self.calls: list[tuple[Any, ...]] = []
        self.failing: dict[str, str] = {}  # call -> the driver's code that it fails with
        self.memory: dict[int, tuple[NDArray[np.uint8], int, int]] = {}  # array, size, device
        self.foreign: dict[int, tuple[int, int]] = {}  # address -> size, device of others' memory
        self.here = threading.local()
        self.locked: dict[int, NDArray[np.uint8]] = {}  # memory of the host that stays in place
        self.streams: set[int] = set()
        self.shared: list[int] = []  # bytes of shared memory that launches asked for
        self.polls = 0  # questions after which a stream is done
        self.on_launch: Callable[[], None] = lambda: None

    @property
    def later(self) -> list[tuple[NDArray[np.uint8], int]]:
        """Copies that this thread has begun."""
        if not hasattr(self.here, "later"):
            self.here.later = []
        later: list[tuple[NDArray[np.uint8], int]] = self.here.later
        return later

    @property
    def stack(self) -> list[int]:
        """The devices that are current in this thread."""
        if not hasattr(self.here, "stack"):
            self.here.stack = []
        stack: list[int] = self.here.stack
        return stack

    def _record(self, name: str, *told: Any) -> None:
        self.calls.append((name, *told))
        if name in self.failing:
            raise DriverError(name, self.failing[name])

    def named(self, name: str) -> list[tuple[Any, ...]]:
        """The calls of one name."""
        return [call for call in self.calls if call[0] == name]

    @property
    def used(self) -> int:
        return sum(size for _, size, _ in list(self.memory.values()))

    def array_of(self, shape: tuple[int, ...], device: int = 0) -> NDArray[np.float64]:
        """Memory of somebody else's on a device, as NumPy sees it."""
        made = np.empty(shape)
        self.foreign[made.ctypes.data] = (max(made.nbytes, 1), device)
        self._keep = [*getattr(self, "_keep", []), made]
        return made

    def version(self) -> int:
        return self.supported

    def device_count(self) -> int:
        self._record("device_count")
        return len(self.devices)

    def device_name(self, device: int) -> str:
        return self.devices[device][0]

    def capability(self, device: int) -> tuple[int, int]:
        return self.devices[device][1]

    def multiprocessors(self, device: int) -> int:
        return self.devices[device][2]

    def shared_memory(self, device: int) -> int:
        return 228 * 1024

    @contextmanager
    def current(self, device: int) -> Iterator[None]:
        self._record("current", device)
        self.stack.append(device)
        try:
            yield
        finally:
            assert self.stack.pop() == device

    def free_memory(self) -> int:
        return self.room - self.used

    def allocate(self, size: int) -> int:
        assert self.stack, "no device is current"
        assert size > 0, "the driver refuses to allocate nothing"
        self._record("allocate", size)
        if size > self.free_memory():
            raise DriverError("cuMemAlloc", NO_MEMORY)
        array = np.full(size + 2 * GUARD + 256, TORN, np.uint8)
        start = array.ctypes.data + GUARD
        start += -start % 256
        offset = start - array.ctypes.data
        array[offset : offset + size] = FRESH
        self.memory[start] = (array, size, self.stack[-1])
        return start

    def free(self, address: int) -> None:
        assert self.stack, "no device is current"
        array, size, device = self.memory.pop(address)  # twice is a KeyError
        assert device == self.stack[-1]
        offset = address - array.ctypes.data
        torn = np.delete(array, np.s_[offset : offset + size])
        assert (torn == TORN).all(), "something wrote beside its memory"
        array[:] = 0xFE
        self._record("free", address)

    def _bytes(self, address: int, size: int) -> NDArray[np.uint8]:
        for start, (array, length, _) in list(self.memory.items()):
            if start <= address and address + size <= start + length:
                offset = address - array.ctypes.data
                return array[offset : offset + size]
        import ctypes

        for start, (length, _) in self.foreign.items():
            if start <= address and address + size <= start + length:
                return np.frombuffer((ctypes.c_uint8 * size).from_address(address), np.uint8)
        raise AssertionError("these bytes are not on the device")

    def write(self, address: int, array: NDArray[Any], stream: int) -> None:
        self._record("write", address, array.nbytes, stream)
        assert array.flags.c_contiguous
        self._bytes(address, array.nbytes)[:] = np.frombuffer(array.tobytes(), np.uint8)

    def read(self, array: NDArray[Any], address: int, stream: int) -> None:
        self._record("read", address, array.nbytes, stream)
        assert array.flags.c_contiguous
        array.reshape(-1).view(np.uint8)[:] = self._bytes(address, array.nbytes)

    def lock(self, size: int) -> NDArray[np.uint8]:
        assert self.stack, "no device is current"
        self._record("lock", size)
        array = np.full(size, FRESH, np.uint8)
        self.locked[array.ctypes.data] = array
        return array

    def unlock(self, locked: NDArray[np.uint8]) -> None:
        self._record("unlock")
        self.locked.pop(locked.ctypes.data)[:] = 0xFE

    def read_later(self, locked: NDArray[np.uint8], address: int, stream: int) -> None:
        self._record("read_later", address, locked.nbytes, stream)
        start = locked.ctypes.data
        inside = [
            k for k, a in self.locked.items() if k <= start <= start + locked.size <= k + a.size
        ]
        assert inside, "a copy goes on by itself to memory that may move"
        locked[:] = FRESH  # what is read before the stream is done is none of the device's
        self.later.append((locked, address))

    def zero(self, address: int, size: int, stream: int) -> None:
        self._record("zero", address, size, stream)
        self._bytes(address, size)[:] = 0

    def device_of(self, address: int) -> int | None:
        for start, (_, size, device) in list(self.memory.items()):
            if start <= address < start + size:
                return device
        for start, (size, device) in self.foreign.items():
            if start <= address < start + size:
                return device
        return None

    def function(self, code: bytes, name: str) -> Any:
        self._record("function", name)
        return name

    def blocks_at_once(self, function: Any, threads: int, shared: int = 0) -> int:
        return 2

    def launch(
        self,
        function: Any,
        blocks: int,
        threads: int,
        stream: int,
        arguments: Sequence[NDArray[np.uint8]],
        shared: int = 0,
    ) -> None:
        self._record("launch", function, blocks, threads, stream)
        self.shared.append(shared)
        assert self.stack, "no device is current"
        places = np.array([each.ctypes.data for each in arguments], np.uint64)
        self.on_launch()
        if function in self.kernels:
            self.kernels[function](blocks, threads, places.ctypes.data)

    def wait(self, stream: int) -> None:
        self._record("wait", stream)
        while self.later:
            locked, address = self.later.pop()
            locked[:] = self._bytes(address, locked.nbytes)

    def is_done(self, stream: int) -> bool:
        self._record("is_done", stream)
        self.polls -= 1
        return self.polls < 0

    def order(self, earlier: int, later: int) -> None:
        self._record("order", earlier, later)

    def new_stream(self) -> int:
        self._record("new_stream")
        self.streams.add(4096 + len(self.calls))
        return max(self.streams)

    def end_stream(self, stream: int) -> None:
        self._record("end_stream", stream)
        self.streams.remove(stream)
