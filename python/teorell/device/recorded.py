"""Launches of kernels that record each patient's steps: patients whose record did not fit run again
with more room, until all have fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.device.devices import Device
from teorell.device.launch import Records, fits_at_once, run
from teorell.device.memory import Memory
from teorell.engine.batch import Batch, Options
from teorell.errors import count
from teorell.progress import Progress

__all__ = ["run_recorded"]

FIRST_ROOM = 256  # accepted steps of a patient
FEWEST_STATES = 32  # kept of a patient before others wait for memory
PASSINGS = 8  # of surfaces, for which there is room at first
MOST = 1 << 26  # of anything that is recorded of one patient


def run_recorded(
    device: Device,
    function: Any,
    arguments: Sequence[NDArray[np.uint8]],
    batch: Batch,
    options: Options,
    slots_of: Callable[[Mapping[str, int]], int],
    stream: int,
    progress: Progress | None = None,
    team: int | None = None,
) -> None:
    """Launches a kernel of derivatives on all patients of a batch, one at least; returns when the
    last is done.

    slots_of: float64 numbers of one thread, where there is so much room for the record of its
    patient. team: as `launch.run` takes it, and what it raises; MemoryError also where one
    patient's record has no room.
    """
    driver, room = device.driver, _first_room(batch, options)
    chosen: NDArray[np.int64] | None = None
    while True:
        patients = batch.patients if chosen is None else len(chosen)
        here = _with_states(device, function, patients, room, slots_of, team)
        with Memory(device) as memory:  # of this round alone
            marks = np.zeros(batch.patients, np.uint8)
            sent: list[NDArray[Any]] = [marks] if chosen is None else [marks, chosen]
            unfit, *who = memory.send(sent, stream, "marks of the patients")
            left = run(
                device,
                function,
                arguments,
                patients,
                slots_of(here),
                memory,
                stream,
                progress and partial(_told, progress, batch.patients - patients, batch.patients),
                Records(here, unfit, *who),
                team,
            )
            if not left:
                return
            driver.read(marks, unfit, stream)
        chosen = np.flatnonzero(marks)
        room = _more(room, options, device, left)


def _told(progress: Progress, before: int, patients: int, done: int, _: int) -> None:
    progress(before + done, patients)


def _first_room(batch: Batch, options: Options) -> dict[str, int]:
    steps = min(FIRST_ROOM, options.max_steps)
    events = int(np.diff(batch.timeline.offsets).max())
    room = {"steps": steps, "states": 0, "stretches": events + 1 + PASSINGS}
    # An integral reads one piece of a step, or several where its output is not linear.
    reductions = len(batch.summary or ())
    return room | {
        "marks": reductions and reductions + PASSINGS,
        "pieces": reductions and steps,
    }


def _more(room: Mapping[str, int], options: Options, device: Device, left: int) -> dict[str, int]:
    """Twice as much. Of what too little was is not told."""
    more = {name: 2 * number for name, number in room.items()}
    if max(more.values()) > MOST:
        raise MemoryError(
            f"{device.name} has no room for the steps of {count(left, 'patient')} (derivatives go "
            "along all of them). Take a larger rtol, or leave these patients out."
        )
    return more | {"steps": min(more["steps"], options.max_steps)}


def _with_states(
    device: Device,
    function: Any,
    patients: int,
    room: Mapping[str, int],
    slots_of: Callable[[Mapping[str, int]], int],
    team: int | None,
) -> dict[str, int]:
    """With room for the states of all steps, or of fewer, so that no thread waits for memory. Those
    that are not kept are computed again, once, from the start of their stretch, which then ends
    where states are full.
    """
    steps = room["steps"]
    states, least = steps, max(FEWEST_STATES, isqrt(steps))
    while True:
        stretches = room["stretches"] + (steps - 1) // states
        here = {**room, "states": states, "stretches": stretches}
        if states // 2 < least or fits_at_once(device, function, patients, slots_of(here), team):
            return here
        states //= 2
