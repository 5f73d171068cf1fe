"""Launches of a kernel until every patient is done: how many threads, how long each launch is.

A launch is bounded, and what its threads had in hand stays in memory for the next: a driver that
watches over a display, and Ctrl-C, wait for one launch at most.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.device.devices import Device
from teorell.device.driver import DriverError
from teorell.device.memory import Memory
from teorell.engine.views import fields_of, view
from teorell.progress import Progress

__all__ = ["run"]

WARP = 32  # threads whose slots lie side by side (device.hpp)
THREADS = 128  # of a block
FIRST_STEPS, MOST_STEPS = 64, 1 << 24  # of each thread in a launch
AIM = 0.1  # s that a launch should take
SPARED = 0.1  # of the free memory, for others


def run(
    device: Device,
    function: Any,
    arguments: Sequence[NDArray[np.uint8]],
    patients: int,
    slots: int,
    memory: Memory,
    stream: int,
    progress: Progress | None = None,
    team: int | None = None,
) -> None:
    """Launches a kernel of cuda/kernel.cuh on all patients; returns when the last is done.

    arguments: its views but for Launch. slots: float64 numbers of one thread. team: the
    blocks are warps that work on one patient at a time, with so many bytes of shared memory; slots
    are then those of a warp. MemoryError where not even one warp has room; KeyboardInterrupt and
    what `progress` raises after the launch that is going on.
    """
    driver = device.driver
    with driver.current(device.number):
        blocks, threads = _grid(device, function, patients, slots, team)
        at_work = blocks * (threads if team is None else 1)
        work = memory.take(8 * slots * at_work, "workspaces of the threads")
        driver.zero(work.address, work.size, stream)
        shared = {"next": 0, "finished": 0, "unfit": 0, "cancel": 0}
        (counters,) = memory.send(
            [view("Counters", patients=patients, **shared)], stream, "counters"
        )
        room = view("Room", steps=0, states=0, stretches=0, marks=0, pieces=0)
        steps, found = FIRST_STEPS, view("Counters", patients=patients, **shared)
        try:
            while True:
                launch = view(
                    "Launch", memory=work.address, slots=slots, counters=counters, chosen=0,
                    steps=steps, room=room, unfit=0,
                )  # fmt: skip
                begun = time.perf_counter()
                driver.launch(function, blocks, threads, stream, [*arguments, launch], team or 0)
                driver.read(found, counters, stream)
                done = fields_of("Counters", found)["finished"]
                if progress is not None:
                    progress(done, patients)
                if done >= patients:
                    return
                steps = _steps(steps, time.perf_counter() - begun)
        except BaseException:
            with suppress(DriverError):  # memory is freed after this, which a launch may use
                driver.wait(stream)
            raise


def _steps(steps: int, took: float) -> int:
    """For the next launch, after one that took so long: at most twice as many, at least half."""
    wanted = steps * AIM / max(took, 1e-9)
    return int(min(max(wanted, steps / 2, FIRST_STEPS), steps * 2, MOST_STEPS))


def _grid(
    device: Device, function: Any, patients: int, slots: int, team: int | None
) -> tuple[int, int]:
    """Blocks and their threads: what the device runs at a time, has memory for, and can use."""
    driver = device.driver
    room = int((1.0 - SPARED) * driver.free_memory())
    many = team is None and patients > WARP and room >= 8 * slots * THREADS
    threads = THREADS if many else WARP
    in_a_block = threads if team is None else 1  # patients
    at_once = driver.blocks_at_once(function, threads, team or 0)
    at_once *= driver.multiprocessors(device.number)
    fitting = room // (8 * slots * in_a_block)
    return max(1, min(at_once, fitting, -(-patients // in_a_block))), threads
