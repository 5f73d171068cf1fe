"""DLPack (dmlc/dlpack, dlpack.h of version 0.8): the structure in a capsule that array libraries
hand each other, read and written.
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

__all__ = ["CPU", "CUDA", "CUDA_MANAGED", "KINDS", "Packed", "pack", "unpack"]

CPU, CUDA, CUDA_MANAGED = 1, 2, 13
KINDS = {1: "the CPU", 3: "pinned memory", 7: "Vulkan", 8: "Metal", 10: "ROCm", 14: "oneAPI"}
INTEGER, UNSIGNED, FLOAT, BFLOAT = 0, 1, 2, 4
LETTERS = {INTEGER: "i", UNSIGNED: "u", FLOAT: "f"}
NAME = b"dltensor"  # once taken it is called used_dltensor


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class _Managed(ctypes.Structure):
    _fields_ = (
        ("tensor", _Tensor),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
    )


class Packed(NamedTuple):
    """What a capsule says of an array."""

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # bytes
    kind: str  # "f8", "i4", "bfloat16"; "?" for what is none of these
    device_type: int
    device: int
    owner: object  # keeps the memory alive


_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
_valid = ctypes.pythonapi.PyCapsule_IsValid
_valid.restype, _valid.argtypes = ctypes.c_int, (ctypes.py_object, ctypes.c_char_p)
# The same of a capsule that is just going, to which nobody may refer any more.
_pointer_in = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
_valid_in = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_IsValid", ctypes.pythonapi)
)
_new = ctypes.pythonapi.PyCapsule_New
_new.restype = ctypes.py_object
_new.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)


def unpack(capsule: Any) -> Packed:
    """What a capsule says; the capsule stays as it is, and whole as long as `owner` lives.

    ValueError for what is no capsule with a tensor that nobody has taken yet.
    """
    if not _valid(capsule, NAME):
        raise ValueError("no capsule named dltensor that is still unused")
    managed = ctypes.cast(_pointer(capsule, NAME), ctypes.POINTER(_Managed)).contents
    tensor = managed.tensor
    shape = tuple(tensor.shape[k] for k in range(tensor.ndim))
    size = tensor.bits * tensor.lanes // 8
    if tensor.strides:
        strides = tuple(tensor.strides[k] * size for k in range(tensor.ndim))
    else:
        strides = contiguous(shape, size)
    letter = LETTERS.get(tensor.code) if tensor.lanes == 1 else None
    kind = f"{letter}{size}" if letter else "?"
    if tensor.code == BFLOAT and tensor.lanes == 1:
        kind = f"bfloat{tensor.bits}"
    return Packed(
        (tensor.data or 0) + tensor.byte_offset,
        shape,
        strides,
        kind,
        tensor.device_type,
        tensor.device_id,
        capsule,
    )


def contiguous(shape: tuple[int, ...], size: int) -> tuple[int, ...]:
    """Strides in bytes of elements of that size, the last ones beside each other."""
    strides = [size]
    for length in shape[:0:-1]:
        strides.insert(0, strides[0] * length)
    return tuple(strides[: len(shape)])


# What capsules that are still in use refer to, by their address.
_lent: dict[int, tuple[Any, ...]] = {}


def _delete(managed: int) -> None:
    """Called by whoever took the tensor, once it needs it no more."""
    _lent.pop(managed, None)


def _drop(capsule: int) -> None:
    """Called as a capsule goes: of one that was taken, its taker deletes."""
    if _valid_in(capsule, NAME):
        _delete(_pointer_in(capsule, NAME) or 0)


_deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(_delete)
_destructor = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(_drop)


def pack(
    address: int, shape: tuple[int, ...], strides: tuple[int, ...], device: int, owner: object
) -> Any:
    """A capsule of float64 on a CUDA device; strides in bytes. It keeps `owner` alive."""
    lengths = (ctypes.c_int64 * max(len(shape), 1))(*shape)
    steps = (ctypes.c_int64 * max(len(shape), 1))(*(each // 8 for each in strides))
    managed = _Managed()
    managed.tensor = _Tensor(address, CUDA, device, len(shape), FLOAT, 64, 1, lengths, steps, 0)
    managed.deleter = ctypes.cast(_deleter, ctypes.c_void_p)
    place = ctypes.addressof(managed)
    _lent[place] = (managed, lengths, steps, owner)
    return _new(place, NAME, ctypes.cast(_destructor, ctypes.c_void_p))
