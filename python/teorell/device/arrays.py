"""Arrays on a device: read where they lie, made, and handed to other libraries without a copy.

Both protocols are spoken, the CUDA Array Interface (version 3: numba.readthedocs.io, "CUDA Array
Interface") and DLPack; torch tensors are asked directly.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import is_tensor
from teorell.device import dlpack
from teorell.device.devices import Device, open_device
from teorell.device.driver import LEGACY_STREAM
from teorell.errors import InputError

__all__ = ["DeviceArray", "device_array", "device_column"]


@dataclass(frozen=True, eq=False)
class DeviceArray:
    """float64 numbers on a CUDA device, a view of memory that `owner` keeps.

    CuPy, torch, Numba and JAX take it without a copy: cupy.asarray, torch.as_tensor,
    numba.cuda.as_cuda_array, jax.dlpack.from_dlpack. `numpy()` copies it to the host.
    """

    device: Device
    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # bytes
    owner: object
    what: str = "the array"  # how messages name it
    stream: int | None = None  # on which work that fills it may still be going on

    dtype = np.dtype(np.float64)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        return 8 * self.size

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("one number has no length (its shape is ()). Give an array.")
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<DeviceArray {self.shape} on {self.device.name}>"

    def __getitem__(self, index: Any) -> DeviceArray:
        """A view, by numbers, slices, None and `...`; IndexError where there is no such place,
        InputError for an index that is an array.
        """
        parts = index if isinstance(index, tuple) else (index,)
        if not all(
            isinstance(each, int | np.integer | slice | type(None) | type(...)) for each in parts
        ):
            raise self._refused("an index that is no number or slice needs the host")
        # NumPy finds the place in an array of this shape, of which it reads nothing.
        whole = np.lib.stride_tricks.as_strided(np.zeros(1), self.shape, self.strides)
        part = whole[parts if any(each is ... for each in parts) else (*parts, ...)]
        address = self.address + part.ctypes.data - whole.ctypes.data if part.size else self.address
        return DeviceArray(
            self.device, address, part.shape, part.strides, self.owner, self.what, self.stream
        )

    def numpy(self) -> NDArray[np.float64]:
        """A copy on the host."""
        if self.size == 0:
            return np.empty(self.shape)
        reach = [(n - 1) * step for n, step in zip(self.shape, self.strides, strict=True)]
        before = -sum(each for each in reach if each < 0)
        span = np.empty((before + sum(each for each in reach if each > 0)) // 8 + 1)
        driver = self.device.driver
        with driver.current(self.device.number):
            driver.read(span, self.address - before, self.stream or LEGACY_STREAM)
        return np.lib.stride_tricks.as_strided(span[before // 8 :], self.shape, self.strides).copy()

    def get(self) -> NDArray[np.float64]:
        """`numpy()`, as CuPy names it."""
        return self.numpy()

    def __array__(self, *_: Any, **__: Any) -> NDArray[Any]:
        raise self._refused("NumPy needs it on the host")

    def _refused(self, reason: str) -> InputError:
        return InputError(
            f"{self.what} lies on {self.device.name} ({reason}, and nothing moves by itself). Give "
            "a NumPy array: .numpy() or .get() of it, .cpu() of a tensor or a solution."
        )

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "typestr": "<f8",
            "data": (self.address if self.size else 0, False),
            "strides": self.strides,
            "version": 3,
            "stream": self.stream,
        }

    def __dlpack_device__(self) -> tuple[int, int]:
        return dlpack.CUDA, self.device.number

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """A capsule. stream: where the taker works; BufferError for another device, or a copy."""
        if copy or (dl_device is not None and tuple(dl_device) != self.__dlpack_device__()):
            raise BufferError(f"{self.what} is handed over where it lies, on {self.device.name}")
        if stream == 0:
            raise ValueError("stream 0 is ambiguous (DLPack). Give 1, 2, or a stream's handle.")
        if self.stream is not None and stream not in (None, -1, self.stream):
            with self.device.driver.current(self.device.number):
                self.device.driver.order(self.stream, stream or LEGACY_STREAM)
        return dlpack.pack(self.address, self.shape, self.strides, self.device.number, self)


def device_column(value: Any, what: str) -> DeviceArray:
    """A number () or one a patient (patients,) on a device, read where it lies.

    InputError as `device_array`, and for another shape.
    """
    found = device_array(value, what)
    if found.ndim > 1:
        raise InputError(
            f"{what} has shape {found.shape} (it should be one number, or one number a patient). "
            "Give shape () or (patients,)."
        )
    if found.ndim and found.shape[0] == 0:
        raise InputError(f"{what} has no patients (its length is 0). Give at least one.")
    return found


def device_array(value: Any, what: str) -> DeviceArray:
    """Numbers on a device, read where they lie.

    what: how messages name it, "parameter 'cl'". InputError for what cannot be used as it is:
    another type than float64, steps that are no whole numbers, memory of no CUDA device, a device
    that cannot compute.
    """
    if is_tensor(value):
        found = _of_tensor(value, what)
    elif hasattr(type(value), "__cuda_array_interface__"):
        found = _of_interface(value, what)
    else:
        found = _of_capsule(value, what)
    if found.address == 0 and found.size:
        raise InputError(f"{what} has no memory (its address is 0). Give an array that has some.")
    if found.address % 8 or any(step % 8 for step in found.strides):
        raise InputError(
            f"{what} does not step by whole float64 numbers (its address is {found.address:#x}, "
            f"its strides are {found.strides} bytes). Give a contiguous copy."
        )
    return found


def _check_type(kind: str, what: str) -> None:
    """InputError for any other type than float64 of this machine's byte order.

    kind: a type as NumPy writes it, "<f8", or a name.
    """
    if kind in ("f8", "<f8", "=f8"):
        return
    names = {"f2": "float16", "f4": "float32", ">f8": "float64 of the other byte order"}
    name = names.get(kind, names.get(kind.lstrip("<=>|"), kind.lstrip("<=|")))
    raise InputError(
        f"{what} is an array of {name} on a device (only float64 is used where it lies). Give "
        ".astype('float64') of it, or .double() of a tensor."
    )


def _of_tensor(value: Any, what: str) -> DeviceArray:
    if value.requires_grad:
        raise InputError(
            f"{what} is a tensor on {value.device} that requires a gradient (none comes back from "
            "here). Give .detach() of it."
        )
    kind = str(value.dtype).removeprefix("torch.")
    _check_type("f8" if kind == "float64" else kind, what)
    if str(value.layout) != "torch.strided":
        raise InputError(f"{what} is a {value.layout} tensor (it is not dense). Give .to_dense().")
    device = open_device(value.device.index)
    current = sys.modules["torch"].cuda.current_stream(value.device).cuda_stream
    return DeviceArray(
        device,
        int(value.data_ptr()),
        tuple(value.shape),
        tuple(8 * int(step) for step in value.stride()),
        value,
        what,
        int(current) or LEGACY_STREAM,
    )


def _of_interface(value: Any, what: str) -> DeviceArray:
    told = value.__cuda_array_interface__
    _check_type(str(told["typestr"]), what)
    if told.get("mask") is not None:
        raise InputError(
            f"{what} has a mask (a patient without a value cannot run). Fill or drop them first."
        )
    stream = told.get("stream")
    if stream == 0:
        raise InputError(
            f"{what} names stream 0 (which is ambiguous). Give None, 1, 2, or a stream's handle."
        )
    address = int(told["data"][0])
    shape = tuple(int(each) for each in told["shape"])
    strides = told.get("strides")
    return DeviceArray(
        open_device(_number_of(address, what) if address and 0 not in shape else 0),
        address,
        shape,
        dlpack.contiguous(shape, 8) if strides is None else tuple(int(each) for each in strides),
        value,
        what,
        None if stream is None else int(stream),
    )


def _number_of(address: int, what: str) -> int:
    """Of the device that memory belongs to."""
    number = open_device(0).driver.device_of(address)
    if number is None:
        raise InputError(
            f"{what} does not lie on a CUDA device (its memory at {address:#x} is of none). Give "
            "an array of one, or a NumPy array."
        )
    return number


def _of_capsule(value: Any, what: str) -> DeviceArray:
    kind, number = (int(each) for each in value.__dlpack_device__())
    if kind not in (dlpack.CUDA, dlpack.CUDA_MANAGED):
        raise InputError(
            f"{what} lies on {dlpack.KINDS.get(kind, f'a device of kind {kind}')} (simulations run "
            "on the CPU or a CUDA device, and move nothing by themselves). Give a NumPy array."
        )
    device = open_device(number)
    # What the producer still does to it comes before what the legacy stream does from now on.
    packed = dlpack.unpack(value.__dlpack__(stream=LEGACY_STREAM))
    _check_type(packed.kind, what)
    return DeviceArray(
        device, packed.address, packed.shape, packed.strides, packed.owner, what, LEGACY_STREAM
    )
