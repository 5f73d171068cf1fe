"""The core's plain views as bytes: what a kernel is handed by value. Their layouts are told by the
extension that is loaded, so that they are those of the headers.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from teorell import _core
from teorell.engine.core_arguments import core_model

if TYPE_CHECKING:
    from teorell.lowering import Programs
    from teorell.lowering.columns import ColumnProgram

__all__ = [
    "column_program_view", "fields_of", "gradient_slots", "programs_arrays", "programs_view",
    "solve_slots", "tangent_slots", "view",
]  # fmt: skip


def view(name: str, **fields: float | int | bool | NDArray[Any]) -> NDArray[np.uint8]:
    """The bytes of a view: all its fields by name; pointers are addresses, views within it bytes,
    numbers in a row an array.

    ValueError where the fields are not those that the extension knows.
    """
    size, places = _core.struct_layouts[name]
    if fields.keys() != places.keys():
        raise ValueError(f"{name} has other fields: {sorted(fields.keys() ^ places.keys())}")
    result = np.zeros(size, np.uint8)
    for field, value in fields.items():
        offset, length = places[field]
        result[offset : offset + length] = _bytes_of(value, length)
    return result


def fields_of(name: str, content: NDArray[np.uint8]) -> dict[str, int]:
    """The whole numbers of a view by name, from its bytes."""
    return {
        field: int.from_bytes(content[offset : offset + length].tobytes(), "little")
        for field, (offset, length) in _core.struct_layouts[name][1].items()
    }


def _bytes_of(value: float | int | bool | NDArray[Any], length: int) -> NDArray[np.uint8]:
    if isinstance(value, np.ndarray):
        packed = value.tobytes()
    elif isinstance(value, float):
        packed = struct.pack("<d", value)
    else:
        packed = int(value).to_bytes(length, "little", signed=value < 0)
    return np.frombuffer(packed, np.uint8)


def programs_arrays(programs: Programs) -> list[NDArray[Any]]:
    """What the view of a model's programs points to, in the order of `programs_view`."""
    return [array for _, array in _core.programs_image(core_model(programs))[1]]


def programs_view(programs: Programs, addresses: list[int]) -> NDArray[np.uint8]:
    """The view of a model's programs, whose arrays lie at these addresses."""
    image, arrays = _core.programs_image(core_model(programs))
    result = np.frombuffer(image, np.uint8).copy()
    for (offset, _), address in zip(arrays, addresses, strict=True):
        result[offset : offset + 8] = _bytes_of(address, 8)
    return result


def solve_slots(programs: Programs, reductions: int) -> int:
    """float64 numbers that a thread of the solve works on."""
    return _core.device_slots(core_model(programs), reductions=reductions, room=None, directions=0)


def gradient_slots(programs: Programs, reductions: int, room: Mapping[str, int]) -> int:
    """The same of the adjoint; room: of the record of one patient (Room in device.hpp)."""
    return _core.device_slots(
        core_model(programs), reductions=reductions, room=dict(room), directions=0
    )


def tangent_slots(
    programs: Programs, reductions: int, room: Mapping[str, int], directions: int
) -> int:
    """The same of tangents in so many directions, one at least."""
    return _core.device_slots(
        core_model(programs), reductions=reductions, room=dict(room), directions=directions
    )


def column_program_view(program: ColumnProgram, code: int, constants: int) -> NDArray[np.uint8]:
    """The view of a column program that is interpreted, whose arrays lie at these addresses."""
    at = program.layout
    return view(
        "ColumnProgram",
        code=code,
        machine=0,
        width=0,
        slots=at.slots,
        constants=at.const,
        inputs=at.params,
        outputs=at.out,
        n_constants=len(program.constants),
        n_inputs=at.n_params,
        n_outputs=at.n_out,
        constant_values=constants,
    )
