"""Launches of a kernel until every patient is done: how many threads, how long each launch is.

A launch is bounded, and what its threads had in hand stays in memory for the next: a driver that
watches over a display, and Ctrl-C, wait for one launch at most.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.device.devices import Device
from teorell.device.driver import DriverError
from teorell.device.memory import Memory
from teorell.engine.views import fields_of, view
from teorell.progress import Progress

__all__ = ["NO_ROOM", "Records", "fits_at_once", "run"]

WARP = 32  # threads whose slots lie side by side (device.hpp)
THREADS = 128  # of a block
FIRST_STEPS, MOST_STEPS = 64, 1 << 24  # of each thread in a launch
AIM = 0.1  # s that a launch should take
SPARED = 0.1  # of the free memory, for others

NO_ROOM = {"steps": 0, "states": 0, "stretches": 0, "marks": 0, "pieces": 0}


@dataclass(frozen=True)
class Records:
    """What is recorded of each patient while its derivatives are computed (Room in device.hpp)."""

    room: Mapping[str, int]
    unfit: int  # address of [patients of the batch] bytes: 1 where the record did not fit
    chosen: int = 0  # address of [patients] whole numbers, who they are; 0: all of the batch


def run(
    device: Device,
    function: Any,
    arguments: Sequence[NDArray[np.uint8]],
    patients: int,
    slots: int,
    memory: Memory,
    stream: int,
    progress: Progress | None = None,
    records: Records | None = None,
    team: int | None = None,
) -> int:
    """Launches a kernel of cuda/kernel.cuh on all patients; returns when the last is done.

    arguments: its views but for Launch. slots: float64 numbers of one thread. team: each
    block is a warp that works on one patient at a time, with so many bytes of shared memory; slots
    are then those of a block. Returns how many patients are without a result, as their records did
    not fit. MemoryError where not even one warp has room; KeyboardInterrupt and what `progress`
    raises after the launch that is going on.
    """
    driver = device.driver
    with driver.current(device.number):
        blocks, threads = _grid(device, function, patients, slots, team)
        what = "workspaces of the threads" if records is None else "steps of the patients"
        work = memory.take(8 * slots * blocks * _of_a_block(threads, team), what)
        driver.zero(work.address, work.size, stream)
        shared = {"next": 0, "finished": 0, "unfit": 0, "cancel": 0}
        (counters,) = memory.send(
            [view("Counters", patients=patients, **shared)], stream, "counters"
        )
        room = view("Room", **(NO_ROOM if records is None else records.room))
        chosen, marked = (0, 0) if records is None else (records.chosen, records.unfit)
        steps, found = FIRST_STEPS, view("Counters", patients=patients, **shared)
        try:
            while True:
                launch = view(
                    "Launch", memory=work.address, slots=slots, counters=counters, chosen=chosen,
                    steps=steps, room=room, unfit=marked,
                )  # fmt: skip
                begun = time.perf_counter()
                driver.launch(function, blocks, threads, stream, [*arguments, launch], team or 0)
                driver.read(found, counters, stream)
                told = fields_of("Counters", found)
                if progress is not None:
                    progress(told["finished"], patients)
                if told["finished"] + told["unfit"] >= patients:
                    return told["unfit"]
                steps = _steps(steps, time.perf_counter() - begun)
        except BaseException:
            with suppress(DriverError):  # memory is freed after this, which a launch may use
                driver.wait(stream)
            raise


def _steps(steps: int, took: float) -> int:
    """For the next launch, after one that took so long: at most twice as many, at least half."""
    wanted = steps * AIM / max(took, 1e-9)
    return int(min(max(wanted, steps / 2, FIRST_STEPS), steps * 2, MOST_STEPS))


def fits_at_once(
    device: Device, function: Any, patients: int, slots: int, team: int | None = None
) -> bool:
    """Is there memory for as many patients as the device works on at a time, or as there are?"""
    threads = THREADS if team is None else WARP
    blocks = _useful_blocks(device, function, patients, threads, team)
    wanted = 8 * slots * blocks * _of_a_block(threads, team)
    return wanted <= (1.0 - SPARED) * device.driver.free_memory()


def _grid(
    device: Device, function: Any, patients: int, slots: int, team: int | None
) -> tuple[int, int]:
    """Blocks and their threads: what the device runs at a time, has memory for, and can use."""
    room = int((1.0 - SPARED) * device.driver.free_memory())
    many = team is None and patients > WARP and room >= 8 * slots * THREADS
    threads = THREADS if many else WARP
    fitting = room // (8 * slots * _of_a_block(threads, team))
    return max(1, min(fitting, _useful_blocks(device, function, patients, threads, team))), threads


def _useful_blocks(
    device: Device, function: Any, patients: int, threads: int, team: int | None
) -> int:
    """Those that the device runs at a time, or that find a patient."""
    driver = device.driver
    at_once = driver.blocks_at_once(function, threads, team or 0)
    at_once *= driver.multiprocessors(device.number)
    return min(at_once, -(-patients // _of_a_block(threads, team)))


def _of_a_block(threads: int, team: int | None) -> int:
    """Patients that a block works on at a time."""
    return threads if team is None else 1
