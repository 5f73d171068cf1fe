"""Simulations on several devices: each takes some patients at a time, and what comes of them goes
to the host.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from teorell.device.devices import Device
from teorell.device.driver import LEGACY_STREAM
from teorell.device.solve import solve
from teorell.device.staging import Staging
from teorell.engine.batch import Batch, Outcome, Raw
from teorell.progress import Progress

__all__ = ["solve_over"]

LEAST = 1 << 18  # patients at a time: fewer do not fill a large device
MOST = 2e9  # bytes of values at a time
ON_DEVICE = ("values", "reduced", "reached")
TURNS = 4  # that each device takes, so that none waits long for a slower one
LOOK = 0.1  # s from one look at the progress to the next


class _Stopped(Exception):
    """Somebody else has raised: this device need not go on."""


def solve_over(
    batch: Batch, devices: Sequence[Device], *, progress: Progress | None = None, **options: Any
) -> Raw:
    """Solves every patient on one of the devices: the bits of `solve`, all on the host.

    batch: its columns lie on the host. Each device works on its legacy stream, in a thread of this
    process. Raises what `solve` raises, once all threads are done.
    """
    raw, size = _room(batch), _patients_at_a_time(batch, len(devices))
    waiting: SimpleQueue[tuple[int, int]] = SimpleQueue()
    for first in range(0, batch.patients, size):
        waiting.put((first, min(first + size, batch.patients)))
    done, stopped = [0] * len(devices), threading.Event()
    failures: list[BaseException] = []

    def look(k: int, before: int) -> Progress:
        def told(now: int, _: int) -> None:
            done[k] = before + now
            if stopped.is_set():
                raise _Stopped

        return told

    def work(k: int) -> None:
        try:
            with Staging(devices[k]) as staging, suppress(Empty):
                while True:
                    first, end = waiting.get_nowait()
                    part, told = batch.part(first, end), look(k, done[k])
                    found = solve(part, devices[k], progress=told, **options)
                    _bring(batch, raw, found, first, end, staging)
        except _Stopped:
            pass
        except BaseException as error:
            failures.append(error)
            stopped.set()

    with ThreadPoolExecutor(len(devices)) as pool:
        running = {pool.submit(work, k) for k in range(len(devices))}
        try:
            while running:  # reports are made here, where Ctrl-C is seen
                _, running = wait(running, LOOK)
                if progress is not None and not failures:
                    progress(sum(done), batch.patients)
        except BaseException:
            stopped.set()
            raise
    if failures:
        del failures[1:]
        raise failures.pop()  # nobody keeps it: its frames have arrays of the device
    return raw


def _patients_at_a_time(batch: Batch, devices: int) -> int:
    """Few enough that all devices have work to the end, and that their values have room."""
    n, rows = batch.patients, int(np.prod(batch.rows_shape, dtype=np.int64))
    fair = max(-(-n // (TURNS * devices)), LEAST)
    of_one = 8 * max(rows * batch.programs.layout.n_out // max(n, 1), 1)
    return max(1, min(fair, -(-n // devices), int(MOST // of_one)))


def _room(batch: Batch) -> Raw:
    n, numbers = batch.patients, (batch.patients, len(batch.summary or ()))
    return Raw(
        values=np.empty((*batch.rows_shape, batch.programs.layout.n_out)),
        reduced=np.empty(numbers),
        reached=np.empty(numbers),
        status=np.empty(n, np.int32),
        failure_time=np.empty(n),
        steps=np.empty(n, np.int64),
        rejected=np.empty(n, np.int64),
        condition=np.empty(n, np.int32),
    )


def _bring(batch: Batch, raw: Raw, found: Raw, first: int, end: int, staging: Staging) -> None:
    """What was found of some patients, in its place among all; their memory is given back."""
    own, of_these = batch.own_times, slice(first, end)
    rows = of_these if own is None else slice(*own.offsets[[first, end]].tolist())
    there: dict[str, Any] = {name: getattr(found, name) for name in ON_DEVICE}
    try:
        for name, array in there.items():
            place = getattr(raw, name)[rows if name == "values" else of_these]
            staging.bring(place, array.address, LEGACY_STREAM)
    finally:
        for array in there.values():
            array.owner.free()
    for name in Outcome.__dataclass_fields__:
        getattr(raw, name)[first:end] = getattr(found, name)
