"""Arrays that lie on a fake device: of a library that speaks the CUDA Array Interface, and tensors
of torch, which a torch for the CPU alone keeps in the host's memory.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from fake_driver import FakeDriver
from teorell.arrays import is_on_device, is_tensor
from teorell.device import arrays
from teorell.device.arrays import DeviceArray
from teorell.device.devices import open_device
from teorell.device.driver import LEGACY_STREAM

__all__ = ["Interface", "tensors_lie_there"]


class Interface:
    """An array of a library that speaks the CUDA Array Interface."""

    def __init__(self, driver: FakeDriver, numbers: Any, device: int = 0, stride: int = 1) -> None:
        numbers = np.asarray(numbers, np.float64)
        first = numbers.shape[:1]
        shape = (first[0] * abs(stride), *numbers.shape[1:]) if first else ()
        self.array = driver.array_of(shape, device)
        if numbers.ndim:
            self.array = self.array[::stride]
        self.array[...] = numbers
        self.stream: int | None = None

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.array.shape, "typestr": "<f8", "data": (self.array.ctypes.data, False),
            "strides": self.array.strides, "version": 3, "stream": self.stream,
        }  # fmt: skip


def tensors_lie_there(monkeypatch: pytest.MonkeyPatch, driver: FakeDriver) -> None:
    """From now on every tensor counts as one on the first device of the driver."""
    torch = pytest.importorskip("torch", reason="NOT RUN: needs torch")

    def of_tensor(value: Any, what: str) -> DeviceArray:
        arrays._check_type(str(value.dtype).removeprefix("torch.").replace("float64", "f8"), what)
        driver.foreign[value.data_ptr()] = (max(8 * value.untyped_storage().nbytes(), 1), 0)
        steps = tuple(8 * each for each in value.stride())
        shape = tuple(value.shape)
        return DeviceArray(
            open_device(0), value.data_ptr(), shape, steps, value, what, LEGACY_STREAM
        )

    def as_tensor(array: Any, device: str) -> Any:
        assert device == "cuda:0"
        return torch.tensor(array.numpy() if isinstance(array, DeviceArray) else array)

    for name, module in list(sys.modules.items()):
        if name.startswith("teorell.") and hasattr(module, "is_on_device"):
            monkeypatch.setattr(
                module, "is_on_device", lambda value: is_tensor(value) or is_on_device(value)
            )
    monkeypatch.setattr(arrays, "_of_tensor", of_tensor)
    monkeypatch.setattr(torch, "as_tensor", as_tensor)
