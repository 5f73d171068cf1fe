"""Column programs on a device: the calls of engine/columns.py, with results that stay there, and
what constraints tell of their patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.device.arrays import DeviceArray
from teorell.device.devices import Device
from teorell.device.kernel_cache import kernels_of
from teorell.device.launch import run
from teorell.device.memory import Memory
from teorell.device.over import MOST_BLOCKS, THREADS, whole_numbers
from teorell.device.placed import made
from teorell.device.send import places_of
from teorell.device.solve import working
from teorell.engine.columns import column_slots
from teorell.engine.views import column_program_view, view
from teorell.lowering.columns import ColumnProgram

__all__ = ["DESCRIBE", "JUDGE", "MAP", "PROJECT", "TEXT", "Nearest", "Sides", "judge_columns",
           "project_columns", "run_columns"]  # fmt: skip

TEXT = '#include "constraints.cuh"\n'
MAP = "teorell::map_patients<teorell::ColumnInterpreter>"
PROJECT = "teorell::project_patients<teorell::ColumnInterpreter>"
JUDGE, DESCRIBE = "teorell::judge_patients", "teorell::describe_projection"
WHAT = "numbers of the constraints"


@dataclass(frozen=True, eq=False)
class Sides:
    """The sides of constraints, those of one side by side: what the kernels read of them."""

    constraint: NDArray[np.int32]  # (sides,) the number of each one's constraint
    equality: NDArray[np.uint8]  # (sides,)

    @property
    def constraints(self) -> int:
        return int(self.constraint[-1]) + 1


@dataclass(frozen=True, eq=False)
class Nearest:
    """What a projection found, of each patient."""

    values: DeviceArray  # (free, patients), NaN where nothing was found
    distance: Array  # (patients,) in scales, on the host as what follows
    steps: NDArray[np.int32]  # (patients,) -1 where nothing was found
    holds: NDArray[np.bool_]  # (constraints, patients) where they are
    multipliers: DeviceArray  # (sides, patients)


def run_columns(
    program: ColumnProgram,
    columns: Sequence[Any],
    patients: int,
    device: Device,
    of_call: Sequence[Any] | None = None,
) -> DeviceArray:
    """(outputs, patients): what the program makes of columns that lie there, or are sent.

    columns: one an input, () or (patients,), float64. of_call: these and others, where they are but
    a part of a call, whose stream it is.
    """
    with working(device, columns if of_call is None else of_call) as (memory, stream):
        found = made(memory, (program.layout.n_out, patients), "what is told of the patients")
        sent = _sent(program, columns, [], memory, stream, patients, found.address)
        _run(device, MAP, sent.views, patients, column_slots(program), memory, stream)
    return found


def judge_columns(
    program: ColumnProgram,
    columns: Sequence[Any],
    sides: Sides,
    reads: Sequence[Sequence[int]],
    tolerances: Array,
    patients: int,
    device: Device,
) -> tuple[DeviceArray, NDArray[np.bool_]]:
    """(constraints, patients): residuals, there; whether they violate, on the host.

    The outputs of the program are the residuals of the sides. reads: the inputs that each side
    reads, of which NaN makes its residual one. tolerances: (constraints,).
    """
    starts = np.cumsum([0, *map(len, reads)]).astype(np.int32)
    every = np.array([each for side in reads for each in side], np.int32)
    given: list[NDArray[Any]] = [sides.constraint, sides.equality, starts, every, tolerances]
    flags = np.empty((sides.constraints, patients), np.uint8)
    with working(device, columns) as (memory, stream):
        found = made(memory, flags.shape, "residuals")
        place = memory.take(flags.nbytes, "violations").address
        sent = _sent(program, columns, given, memory, stream, patients, found.address)
        told = whole_numbers(len(sides.constraint), *sent.more, place)
        _run(device, JUDGE, [*sent.views, *told], patients, column_slots(program), memory, stream)
        device.driver.read(flags, place, stream)
    return found, flags.astype(bool)


def project_columns(
    program: ColumnProgram,
    columns: Sequence[Any],
    constraints: Mapping[str, Any],
    scales: Sequence[Any],
    sides: Sides,
    patients: int,
    device: Device,
) -> Nearest:
    """The nearest points that satisfy the sides of constraints, the outputs of the program.

    constraints, scales: as in engine/columns.py; they lie there, or are sent.
    """
    free = constraints["free"]
    rows, driver = len(sides.equality), device.driver
    distance, steps = np.empty(patients), np.empty(patients, np.int32)
    holds = np.empty((sides.constraints, patients), np.uint8)
    own = [np.asarray(constraints[name]) for name in ("free", "equality", "starts", "columns")]
    on_host = [np.asarray(each) for each in scales if not isinstance(each, DeviceArray)]
    with working(device, [*columns, *scales]) as (memory, stream):
        values = made(memory, (len(free), patients), "the nearest points")
        multipliers = made(memory, (rows, patients), "multipliers")
        sent = _sent(
            program, columns, [*own, sides.constraint, *on_host], memory, stream, patients, 0
        )
        there = iter(sent.more)
        at_free, at_equality, at_starts, at_columns, at_constraint = islice(there, 5)
        metric, metric_strides, x0, x0_strides = memory.send(
            [*places_of(scales, there), sent.places[free], sent.strides[free]], stream, WHAT
        )
        at_steps, at_distance, at_holds = (
            memory.take(each.nbytes, "outcome of the patients").address
            for each in (steps, distance, holds)
        )
        of_constraints = view(
            "Constraints", n_free=len(free), n_rows=rows, free_inputs=at_free,
            equality=at_equality, row_starts=at_starts, columns=at_columns,
            tolerance=float(constraints["tolerance"]),
            most_steps=int(constraints["most_steps"]),
            most_attempts=int(constraints["most_attempts"]),
        )  # fmt: skip
        projected = view(
            "Projected", scales=metric, scale_strides=metric_strides, values=values.address,
            multipliers=multipliers.address, steps=at_steps,
        )  # fmt: skip
        _run(
            device, PROJECT, [*sent.views, of_constraints, projected], patients,
            column_slots(program, constraints), memory, stream,
        )  # fmt: skip
        driver.launch(
            _function(device, DESCRIBE), min(-(-patients // THREADS), MOST_BLOCKS), THREADS, stream,
            whole_numbers(
                patients, len(free), x0, x0_strides, metric, metric_strides, values.address,
                at_distance, rows, at_constraint, at_equality, multipliers.address, at_holds,
            ),
        )  # fmt: skip
        for array, place in ((distance, at_distance), (steps, at_steps), (holds, at_holds)):
            driver.read(array, place, stream)
    return Nearest(values, distance, steps, holds.astype(bool), multipliers)


class _Sent(NamedTuple):
    """A program and its columns on a device."""

    views: list[NDArray[np.uint8]]  # ColumnProgram, Columns
    places: NDArray[np.uint64]  # (inputs,) where the columns begin
    strides: NDArray[np.int64]  # (inputs,)
    more: list[int]  # where other arrays lie that went with them


def _sent(
    program: ColumnProgram,
    columns: Sequence[Any],
    more: Sequence[NDArray[Any]],
    memory: Memory,
    stream: int,
    patients: int,
    outputs: int,
) -> _Sent:
    """The program, its columns and `more` on the device. outputs: the address of its results."""
    on_host = [np.asarray(each) for each in columns if not isinstance(each, DeviceArray)]
    there = iter(memory.send([program.code, program.constants, *on_host, *more], stream, WHAT))
    code, constants = islice(there, 2)
    places, strides = places_of(columns, there)
    starts, steps = memory.send([places, strides], stream, WHAT)
    of_columns = view("Columns", patients=patients, inputs=starts, strides=steps, outputs=outputs)
    views = [column_program_view(program, code, constants), of_columns]
    return _Sent(views, places, strides, list(there))


def _function(device: Device, kernel: str) -> Any:
    compiled = kernels_of(TEXT, [kernel], device.architecture)
    return device.driver.function(compiled.code, compiled.names[kernel])


def _run(
    device: Device,
    kernel: str,
    arguments: Sequence[NDArray[np.uint8]],
    patients: int,
    slots: int,
    memory: Memory,
    stream: int,
) -> None:
    run(device, _function(device, kernel), arguments, patients, slots, memory, stream)
