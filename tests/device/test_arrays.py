"""Arrays of other libraries on a device: used where they lie, or refused in one sentence; and what
other libraries are handed.
"""

from __future__ import annotations

import gc
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fake_driver import FakeDriver
from teorell.arrays import is_on_device
from teorell.device import arrays, devices, dlpack
from teorell.device.arrays import DeviceArray, device_column
from teorell.device.devices import Device
from teorell.device.memory import Memory
from teorell.errors import InputError


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    fake = FakeDriver([("A", (9, 0), 2), ("B", (9, 0), 2)])
    monkeypatch.setattr(devices, "load_driver", lambda: fake)
    monkeypatch.setattr(devices, "compiler_missing", lambda: None)
    monkeypatch.setattr(devices, "compiler_version", lambda: (13, 0))
    monkeypatch.setattr(devices, "architectures", lambda: frozenset({"sm_90"}))
    return fake


class Interface:
    """What CuPy or Numba hand over."""

    def __init__(self, array: Any, **changed: Any) -> None:
        self.told = {
            "shape": array.shape,
            "typestr": array.dtype.str,
            "data": (array.ctypes.data, False),
            "strides": array.strides,
            "version": 3,
            "stream": None,
        } | changed

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return self.told


class Capsule:
    """What JAX hands over."""

    def __init__(self, array: Any, kind: int = dlpack.CUDA, device: int = 0) -> None:
        self.array, self.place, self.asked = array, (kind, device), []

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.place

    def __dlpack__(self, *, stream: int | None = None) -> Any:
        self.asked.append(stream)
        if self.array.dtype != np.float64:
            return self.array.__dlpack__()
        return dlpack.pack(
            self.array.ctypes.data, self.array.shape, self.array.strides, self.place[1], self.array
        )


class Tensor:
    """As a tensor of torch looks."""

    requires_grad, layout, dtype = False, "torch.strided", "torch.float64"

    def __init__(self, array: Any, device: int = 0, **changed: Any) -> None:
        self.array, self.shape = array, array.shape
        self.device = type("device", (), {"type": "cuda", "index": device, "__str__": name})()
        self.__dict__.update(changed)

    def data_ptr(self) -> int:
        return int(self.array.ctypes.data)

    def stride(self) -> tuple[int, ...]:
        return tuple(step // 8 for step in self.array.strides)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        raise AssertionError("a tensor that requires a gradient raises here")


def name(device: Any) -> str:
    return f"{device.type}:{device.index}"


Tensor.__module__ = "torch"


@pytest.fixture
def torch_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = SimpleNamespace(current_stream=lambda _: SimpleNamespace(cuda_stream=77))
    monkeypatch.setattr(
        arrays, "sys", SimpleNamespace(modules={"torch": SimpleNamespace(cuda=cuda)})
    )


def filled(driver: FakeDriver, *shape: int, device: int = 0) -> Any:
    array = driver.array_of(shape, device)
    array[...] = np.arange(array.size).reshape(shape)
    return array


@pytest.mark.parametrize("make", [Interface, Capsule, Tensor])
@pytest.mark.parametrize("part", [np.s_[:], np.s_[::2], np.s_[::-1], np.s_[3]])
@pytest.mark.usefixtures("torch_stream")
def test_columns_are_used_where_they_lie(driver: FakeDriver, make: Any, part: Any) -> None:
    array = filled(driver, 6)
    view = array[part] if isinstance(part, slice) else array[part : part + 1].reshape(())
    column = device_column(make(view), "parameter 'k'")
    assert (column.address, column.shape, column.strides) == (
        view.ctypes.data,
        view.shape,
        view.strides,
    )
    assert column.device.number == 0
    assert not driver.named("read")
    np.testing.assert_array_equal(column.numpy(), view)


@pytest.mark.usefixtures("torch_stream")
def test_they_lie_on_the_device_that_they_say(driver: FakeDriver) -> None:
    array = filled(driver, 4, device=1)
    for given in (Interface(array), Capsule(array, device=1), Tensor(array, 1)):
        assert device_column(given, "x").device.number == 1


@pytest.mark.usefixtures("torch_stream")
def test_streams(driver: FakeDriver) -> None:
    array = filled(driver, 4)
    for stream in (None, 1, 2, 94_000):
        assert device_column(Interface(array, stream=stream), "x").stream == stream
    with pytest.raises(InputError, match=r"names stream 0 \(which is ambiguous"):
        device_column(Interface(array, stream=0), "x")
    capsule = Capsule(array)
    assert device_column(capsule, "x").stream == 1
    assert capsule.asked == [1]  # the producer's work comes before that of the legacy stream
    assert device_column(Tensor(array), "x").stream == 77


def test_without_strides_it_is_contiguous_and_read_only_is_read(driver: FakeDriver) -> None:
    array = filled(driver, 4)
    told = {"strides": None, "data": (array.ctypes.data, True), "version": 2}
    column = device_column(Interface(array, **told), "x")
    np.testing.assert_array_equal(column.numpy(), array)


def swapped(driver: FakeDriver) -> Any:
    return filled(driver, 4).view(np.dtype(np.float64).newbyteorder())


@pytest.mark.parametrize(
    ("give", "said"),
    [
        (lambda d: Interface(filled(d, 4).view(np.float32)), "an array of float32 on a device"),
        (lambda d: Interface(filled(d, 4).view(np.float16)), "an array of float16 on a device"),
        (lambda d: Interface(filled(d, 4).view(np.int64)), "an array of i8 on a device"),
        (lambda d: Interface(filled(d, 4).view(bool)), "an array of b1 on a device"),
        (lambda d: Interface(filled(d, 4).view(complex)), "an array of c16 on a device"),
        (lambda d: Interface(swapped(d)), "float64 of the other byte order"),
        (lambda d: Capsule(filled(d, 4).view(np.float32)), "an array of float32 on a device"),
        (lambda d: Tensor(filled(d, 4), dtype="torch.bfloat16"), "an array of bfloat16"),
        (lambda d: Tensor(filled(d, 4), dtype="torch.float16"), "an array of float16"),
        (lambda d: Tensor(filled(d, 4), dtype="torch.int64"), "an array of int64"),
        (lambda d: Tensor(filled(d, 4), layout="torch.sparse_coo"), "is a torch.sparse_coo tensor"),
        (lambda d: Tensor(filled(d, 4), requires_grad=True), "that requires a gradient"),
        (lambda d: Interface(filled(d, 2, 2)), r"has shape (2, 2)"),
        (lambda d: Interface(filled(d, 0)), "has no patients"),
        (lambda d: Interface(filled(d, 4), data=(0, False)), "has no memory"),
        (lambda d: Interface(filled(d, 4), strides=(12,)), "does not step by whole float64"),
        (lambda d: Interface(filled(d, 4)[1:], data=(filled(d, 4).ctypes.data + 4, False)),
         "does not step by whole float64"),
        (lambda d: Interface(filled(d, 4), mask=object()), "has a mask"),
        (lambda _: Interface(np.arange(4.0)), "does not lie on a CUDA device"),
        (lambda d: Capsule(filled(d, 4), kind=8), "lies on Metal"),
        (lambda d: Capsule(filled(d, 4), kind=10), "lies on ROCm"),
        (lambda d: Capsule(filled(d, 4), kind=99), "a device of kind 99"),
        (lambda d: Capsule(filled(d, 4), device=7), "there is no device 'cuda:7'"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("torch_stream")
def test_what_cannot_be_used_is_refused(driver: FakeDriver, give: Any, said: str) -> None:
    with pytest.raises(InputError) as caught:
        device_column(give(driver), "parameter 'k'")
    assert said in str(caught.value)
    assert not driver.stack


def test_without_a_driver_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "driver_missing", lambda: "there is none")
    for given in (Interface(np.arange(3.0)), Capsule(np.arange(3.0))):
        with pytest.raises(InputError, match=r"cannot be used \(there is none"):
            device_column(given, "parameter 'k'")


def test_what_lies_on_a_device(driver: FakeDriver) -> None:
    array = filled(driver, 3)
    for given in (Interface(array), Capsule(array), Capsule(array, kind=8), Tensor(array)):
        assert is_on_device(given)
    cpu = SimpleNamespace(type="cpu")
    for given in (1, 2.5, [1.0], array, "x", None, Tensor(array, device=0).__class__):
        assert not is_on_device(given)
    assert not is_on_device(Tensor(array).__class__.__new__(Tensor).__class__)
    tensor = Tensor(array)
    tensor.device = cpu
    assert not is_on_device(tensor)
    assert not is_on_device(Capsule(array, kind=dlpack.CPU))


@pytest.fixture
def ours(driver: FakeDriver) -> DeviceArray:
    device = Device(driver, 1, "sm_90")
    with Memory(device) as memory:
        kept = memory.keep(memory.take(24 * 8, "values"))
        with driver.current(1):
            driver.write(kept.address, np.arange(24.0), 1)
    shape = (2, 3, 4)
    return DeviceArray(device, kept.address, shape, dlpack.contiguous(shape, 8), kept, "values")


@pytest.mark.parametrize(
    "index",
    [
        0, -1, np.int64(1), ..., np.s_[1:], np.s_[..., 2], np.s_[:, ::-1], np.s_[0, 1, 2],
        np.s_[:, None, 1], np.s_[2:], np.s_[::-1, ..., ::3], (), np.s_[..., :2],
    ],
)  # fmt: skip
def test_views(ours: DeviceArray, index: Any) -> None:
    there = np.arange(24.0).reshape(2, 3, 4)[index]
    view = ours[index]
    assert view.shape == np.shape(there)
    assert view.size == np.size(there)
    np.testing.assert_array_equal(view.numpy(), there)


def test_other_indices(ours: DeviceArray) -> None:
    for index in (2, np.s_[0, 3], np.s_[0, 0, 0, 0]):
        with pytest.raises(IndexError):
            ours[index]
    for index in ([0, 1], np.array([True, False]), "cp"):
        with pytest.raises(InputError, match="an index that is no number or slice"):
            ours[index]


def test_numpy_must_be_asked_for(ours: DeviceArray) -> None:
    for use in (np.asarray, np.exp, lambda array: np.zeros((2, 3, 4)) + array):
        with pytest.raises(InputError, match=r"values lies on cuda:1 \(NumPy needs it on the host"):
            use(ours)
    assert ours.get().sum() == 276.0
    with pytest.raises(TypeError, match="one number has no length"):
        len(ours[0, 0, 0])
    assert len(ours) == 2


def test_others_take_it_without_a_copy(driver: FakeDriver, ours: DeviceArray) -> None:
    for view in (ours, ours[:, ::2], ours[0, 0, 0], ours[2:]):
        told = view.__cuda_array_interface__
        assert (told["shape"], told["strides"]) == (view.shape, view.strides)
        assert told["data"] == (view.address if view.size else 0, False)
        packed = dlpack.unpack(view.__dlpack__(stream=1))
        assert packed[:6] == (view.address, view.shape, view.strides, "f8", dlpack.CUDA, 1)
        assert view.__dlpack_device__() == (dlpack.CUDA, 1)
    with pytest.raises(BufferError):
        ours.__dlpack__(copy=True)
    with pytest.raises(BufferError):
        ours.__dlpack__(dl_device=(dlpack.CPU, 0))
    with pytest.raises(ValueError, match="stream 0 is ambiguous"):
        ours.__dlpack__(stream=0)
    assert not driver.named("read")


def test_memory_lives_as_long_as_a_view(driver: FakeDriver, ours: DeviceArray) -> None:
    column = device_column(ours[0, 0], "x")
    assert column.owner is not ours
    packed = dlpack.unpack(ours[0].__dlpack__())
    del ours
    gc.collect()
    assert len(driver.memory) == 1
    np.testing.assert_array_equal(column.numpy(), np.arange(4.0))
    assert packed.shape == (3, 4)


def test_a_taker_waits_for_work_that_is_going_on(driver: FakeDriver, ours: DeviceArray) -> None:
    busy = DeviceArray(ours.device, ours.address, (24,), (8,), ours.owner, stream=5)
    assert busy.__cuda_array_interface__["stream"] == 5
    for stream in (5, -1):
        busy.__dlpack__(stream=stream)
    assert not driver.named("order")
    busy.__dlpack__(stream=9)
    assert driver.named("order") == [("order", 5, 9)]
