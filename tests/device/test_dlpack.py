"""Capsules: what NumPy and torch write is read, what is written here they read, and memory lives
as long as somebody needs it.
"""

from __future__ import annotations

import ctypes
import gc
import weakref

import numpy as np
import pytest
from teorell.device import dlpack


class Owner:
    """Of memory that a capsule lends."""


def test_what_numpy_writes_is_read() -> None:
    for array in (
        np.arange(12.0).reshape(3, 4),
        np.arange(12.0).reshape(3, 4)[::-1, ::2],
        np.arange(3, dtype=np.int32),
        np.array(2.5),
        np.zeros((0, 3)),
    ):
        packed = dlpack.unpack(array.__dlpack__())
        assert (packed.shape, packed.kind) == (array.shape, array.dtype.str[1:])
        assert (packed.device_type, packed.device) == (dlpack.CPU, 0)
        if array.size:
            assert (packed.address, packed.strides) == (array.ctypes.data, array.strides)


def test_a_capsule_keeps_its_array_and_lets_it_go() -> None:
    array = np.arange(5.0)
    gone = weakref.ref(array)
    packed = dlpack.unpack(array.__dlpack__())
    del array
    gc.collect()
    there = (ctypes.c_double * 5).from_address(packed.address)
    assert list(there) == [0.0, 1.0, 2.0, 3.0, 4.0]
    del packed
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [("float16", "f2"), ("bfloat16", "bfloat16"), ("uint8", "u1"), ("complex64", "?")],
)
def test_types_of_torch(dtype: str, kind: str) -> None:
    torch = pytest.importorskip("torch", reason="NOT RUN: needs torch")
    packed = dlpack.unpack(torch.zeros(3, dtype=getattr(torch, dtype)).__dlpack__())
    assert packed.kind == kind


def test_what_is_no_capsule_or_taken_is_refused() -> None:
    with pytest.raises(ValueError, match="no capsule"):
        dlpack.unpack(object())
    torch = pytest.importorskip("torch", reason="NOT RUN: needs torch")
    capsule = np.arange(3.0).__dlpack__()
    torch.from_dlpack(capsule)
    with pytest.raises(ValueError, match="still unused"):
        dlpack.unpack(capsule)


def test_what_is_written_is_read_and_the_owner_lives_as_long() -> None:
    memory, owner = np.arange(24.0).reshape(2, 3, 4), Owner()
    gone = weakref.ref(owner)
    view = memory[:, ::-1, 1]
    capsule = dlpack.pack(view.ctypes.data, view.shape, view.strides, 3, owner)
    del owner
    packed = dlpack.unpack(capsule)
    del capsule
    gc.collect()
    assert packed[:6] == (view.ctypes.data, (2, 3), view.strides, "f8", dlpack.CUDA, 3)
    assert gone() is not None
    del packed
    gc.collect()
    assert gone() is None
    assert not dlpack._lent


def test_a_taker_deletes() -> None:
    """As CuPy and torch do: the capsule is renamed, and its content deleted when it has served."""
    owner = Owner()
    gone = weakref.ref(owner)
    capsule = dlpack.pack(64, (), (), 0, owner)
    del owner
    api = ctypes.pythonapi
    api.PyCapsule_SetName.argtypes = (ctypes.py_object, ctypes.c_char_p)
    place = dlpack._pointer(capsule, b"dltensor")
    used = b"used_dltensor"
    api.PyCapsule_SetName(capsule, used)
    del capsule
    gc.collect()
    assert gone() is not None
    managed = ctypes.cast(place, ctypes.POINTER(dlpack._Managed)).contents
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(managed.deleter)(place)
    gc.collect()
    assert gone() is None
