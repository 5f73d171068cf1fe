"""The few calls of the CUDA driver that are used, and nothing that decides.

`Driver` says what they do; `CudaDriver` makes them through cuda-bindings. Addresses and streams are
plain numbers. A call that the driver refuses raises DriverError, whose `code` is the driver's.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEGACY_STREAM", "NO_MEMORY", "CudaDriver", "Driver", "DriverError"]

NO_MEMORY = "CUDA_ERROR_OUT_OF_MEMORY"
LEGACY_STREAM = 1  # CU_STREAM_LEGACY: waits for all other work of the process, and they for it


class DriverError(RuntimeError):
    """What the driver says of a call."""

    def __init__(self, call: str, code: str) -> None:
        super().__init__(f"{call}: {code}")
        self.code = code


class Driver(Protocol):
    """What is asked of a driver; device: the number of one, from 0."""

    def version(self) -> int:
        """13020 for CUDA 13.2, the latest that it runs."""

    def device_count(self) -> int: ...

    def device_name(self, device: int) -> str: ...

    def capability(self, device: int) -> tuple[int, int]:
        """(9, 0) for sm_90."""

    def multiprocessors(self, device: int) -> int: ...

    def shared_memory(self, device: int) -> int:
        """Bytes of a multiprocessor, which the blocks that it runs at a time share."""

    def current(self, device: int) -> Any:
        """A context manager: within, calls are for this device; after it, for that of before."""

    def free_memory(self) -> int:
        """Bytes that the current device has left."""

    def allocate(self, size: int) -> int:
        """The address of that many bytes, at least one. DriverError NO_MEMORY."""

    def free(self, address: int) -> None: ...

    def write(self, address: int, array: NDArray[Any], stream: int) -> None:
        """Bytes of a contiguous array to the device; it may change after the call."""

    def read(self, array: NDArray[Any], address: int, stream: int) -> None:
        """Bytes from the device into a contiguous array, there when the call returns."""

    def lock(self, size: int) -> NDArray[np.uint8]:
        """Memory of the host that stays where it is, so that copies go on by themselves.

        DriverError NO_MEMORY.
        """

    def unlock(self, locked: NDArray[np.uint8]) -> None:
        """Gives it back."""

    def read_later(self, locked: NDArray[np.uint8], address: int, stream: int) -> None:
        """Begins to read bytes into such memory: they are there once the stream is done."""

    def zero(self, address: int, size: int, stream: int) -> None: ...

    def device_of(self, address: int) -> int | None:
        """The device whose memory it is; None for memory that is of none."""

    def function(self, code: bytes, name: str) -> Any:
        """A kernel of the code, loaded for the current device."""

    def blocks_at_once(self, function: Any, threads: int, shared: int = 0) -> int:
        """How many blocks of so many threads a multiprocessor runs at a time; shared: bytes of
        shared memory of each.
        """

    def launch(
        self,
        function: Any,
        blocks: int,
        threads: int,
        stream: int,
        arguments: Sequence[NDArray[np.uint8]],
        shared: int = 0,
    ) -> None:
        """Starts a kernel; arguments: the bytes of each parameter; shared: bytes of each block."""

    def wait(self, stream: int) -> None:
        """Until all work of the stream is done. DriverError where a kernel went wrong."""

    def is_done(self, stream: int) -> bool:
        """The same, asked without waiting."""

    def order(self, earlier: int, later: int) -> None:
        """What comes on one stream from now on waits for what is on the other now."""

    def new_stream(self) -> int:
        """A stream that does not wait for the legacy one."""

    def end_stream(self, stream: int) -> None: ...


class CudaDriver:
    """NVIDIA's driver. ImportError without cuda-bindings, DriverError without a driver."""

    def __init__(self) -> None:
        from cuda.bindings import driver

        self._cuda = driver
        self._contexts: dict[int, Any] = {}
        self._modules: dict[tuple[int, bytes], Any] = {}
        try:
            self._call("cuInit", 0)
        except DriverError:
            raise
        except RuntimeError:  # cuda-pathfinder's: there is no such library
            raise DriverError("libcuda", "not found") from None

    def _call(self, name: str, *arguments: Any) -> Any:
        status, *results = getattr(self._cuda, name)(*arguments)
        if status != self._cuda.CUresult.CUDA_SUCCESS:
            raise DriverError(name, getattr(status, "name", str(status)))
        return results[0] if len(results) == 1 else tuple(results)

    def version(self) -> int:
        return int(self._call("cuDriverGetVersion"))

    def device_count(self) -> int:
        return int(self._call("cuDeviceGetCount"))

    def device_name(self, device: int) -> str:
        name: bytes = self._call("cuDeviceGetName", 256, self._call("cuDeviceGet", device))
        return name.partition(b"\0")[0].decode()

    def _attribute(self, name: str, device: int) -> int:
        attribute = getattr(self._cuda.CUdevice_attribute, f"CU_DEVICE_ATTRIBUTE_{name}")
        return int(self._call("cuDeviceGetAttribute", attribute, self._call("cuDeviceGet", device)))

    def capability(self, device: int) -> tuple[int, int]:
        return (
            self._attribute("COMPUTE_CAPABILITY_MAJOR", device),
            self._attribute("COMPUTE_CAPABILITY_MINOR", device),
        )

    def multiprocessors(self, device: int) -> int:
        return self._attribute("MULTIPROCESSOR_COUNT", device)

    def shared_memory(self, device: int) -> int:
        return self._attribute("MAX_SHARED_MEMORY_PER_MULTIPROCESSOR", device)

    @contextmanager
    def current(self, device: int) -> Iterator[None]:
        # The primary context, which CuPy and torch use too; it is kept as long as the process.
        if device not in self._contexts:
            self._contexts[device] = self._call(
                "cuDevicePrimaryCtxRetain", self._call("cuDeviceGet", device)
            )
        self._call("cuCtxPushCurrent", self._contexts[device])
        try:
            yield
        finally:
            self._call("cuCtxPopCurrent")

    def free_memory(self) -> int:
        return int(self._call("cuMemGetInfo")[0])

    def allocate(self, size: int) -> int:
        return int(self._call("cuMemAlloc", size))

    def free(self, address: int) -> None:
        self._call("cuMemFree", address)

    def write(self, address: int, array: NDArray[Any], stream: int) -> None:
        self._call("cuMemcpyHtoDAsync", address, array.ctypes.data, array.nbytes, stream)

    def read(self, array: NDArray[Any], address: int, stream: int) -> None:
        self._call("cuMemcpyDtoHAsync", array.ctypes.data, address, array.nbytes, stream)
        self.wait(stream)

    def lock(self, size: int) -> NDArray[np.uint8]:
        place = int(self._call("cuMemHostAlloc", size, 0))
        locked: NDArray[np.uint8] = np.ctypeslib.as_array(
            (ctypes.c_uint8 * size).from_address(place)
        )
        return locked

    def unlock(self, locked: NDArray[np.uint8]) -> None:
        self._call("cuMemFreeHost", locked.ctypes.data)

    def read_later(self, locked: NDArray[np.uint8], address: int, stream: int) -> None:
        self._call("cuMemcpyDtoHAsync", locked.ctypes.data, address, locked.nbytes, stream)

    def zero(self, address: int, size: int, stream: int) -> None:
        self._call("cuMemsetD8Async", address, 0, size, stream)

    def device_of(self, address: int) -> int | None:
        attribute = self._cuda.CUpointer_attribute
        try:
            kind = self._call(
                "cuPointerGetAttribute", attribute.CU_POINTER_ATTRIBUTE_MEMORY_TYPE, address
            )
            if int(kind) != int(self._cuda.CUmemorytype.CU_MEMORYTYPE_DEVICE):
                return None
            ordinal = attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
            return int(self._call("cuPointerGetAttribute", ordinal, address))
        except DriverError:  # not memory that the driver knows
            return None

    def function(self, code: bytes, name: str) -> Any:
        # Loaded code lives in a context, and is kept as long as that.
        place = (int(self._call("cuCtxGetDevice")), code)
        if place not in self._modules:
            self._modules[place] = self._call("cuModuleLoadData", code)
        return self._call("cuModuleGetFunction", self._modules[place], name.encode())

    def blocks_at_once(self, function: Any, threads: int, shared: int = 0) -> int:
        name = "cuOccupancyMaxActiveBlocksPerMultiprocessor"
        return int(self._call(name, function, threads, shared))

    def launch(
        self,
        function: Any,
        blocks: int,
        threads: int,
        stream: int,
        arguments: Sequence[NDArray[np.uint8]],
        shared: int = 0,
    ) -> None:
        places = np.array([each.ctypes.data for each in arguments], np.uint64)
        self._call(
            "cuLaunchKernel", function, blocks, 1, 1, threads, 1, 1, shared, stream,
            places.ctypes.data, 0,
        )  # fmt: skip

    def wait(self, stream: int) -> None:
        self._call("cuStreamSynchronize", stream)

    def is_done(self, stream: int) -> bool:
        try:
            self._call("cuStreamQuery", stream)
        except DriverError as error:
            if error.code == "CUDA_ERROR_NOT_READY":
                return False
            raise
        return True

    def order(self, earlier: int, later: int) -> None:
        flag = self._cuda.CUevent_flags.CU_EVENT_DISABLE_TIMING
        event = self._call("cuEventCreate", flag)
        try:
            self._call("cuEventRecord", event, earlier)
            self._call("cuStreamWaitEvent", later, event, 0)
        finally:
            self._call("cuEventDestroy", event)  # once it has been recorded

    def new_stream(self) -> int:
        flag = self._cuda.CUstream_flags.CU_STREAM_NON_BLOCKING
        return int(self._call("cuStreamCreate", flag))

    def end_stream(self, stream: int) -> None:
        self._call("cuStreamDestroy", stream)
