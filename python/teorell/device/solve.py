"""Simulations on a device: the call of engine/solve.py, with values that stay there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from teorell.device.arrays import DeviceArray
from teorell.device.devices import Device
from teorell.device.driver import LEGACY_STREAM
from teorell.device.kernel_cache import kernels_of
from teorell.device.launch import run
from teorell.device.memory import Memory
from teorell.device.send import send
from teorell.device.teams import run_teams, teams_for
from teorell.engine.batch import Batch, Options, Raw
from teorell.engine.executors import METHODS
from teorell.engine.views import solve_slots
from teorell.errors import InputError
from teorell.progress import Progress

__all__ = ["TEXT", "kernel_of", "options_there", "solve", "work_stream", "working"]

TEXT = '#include "kernel.cuh"\n'


def kernel_of(method: str, kernel: str = "solve_patients") -> str:
    """A kernel of cuda/kernel.cuh by a method, as C++ names it."""
    number = METHODS.index(method)
    return f"teorell::{kernel}<teorell::Interpreted<teorell::MethodAt<{number}>>>"


def solve(batch: Batch, device: Device, *, progress: Progress | None = None, **options: Any) -> Raw:
    """Solves every patient on a device. Inputs are taken as valid.

    batch: its columns lie on the host, or are DeviceArrays of this device. options: those of
    `Options`; threads and isa are of the CPU and play no part.
    Returns values, reduced and reached as DeviceArrays, the outcome of each patient as NumPy.
    Raises InputError for an executor that a device has not; MemoryError, with nothing taken;
    ImportError without NVRTC; KeyboardInterrupt; whatever `progress` raises.
    """
    chosen = options_there(device, options)
    team = teams_for(batch, chosen, device)
    kernel = kernel_of(chosen.method)
    compiled = kernels_of(TEXT, [kernel], device.architecture)
    driver = device.driver
    with working(device, batch.columns) as (memory, stream):
        sent = send(batch, chosen, memory, stream)
        if team is not None and batch.patients:
            run_teams(team, device, sent, batch.patients, memory, stream, progress)
        elif batch.patients:
            run(
                device,
                driver.function(compiled.code, compiled.names[kernel]),
                [sent.programs, sent.batch],
                batch.patients,
                solve_slots(batch.programs, len(batch.summary or ())),
                memory,
                stream,
                progress,
            )
        return Raw(
            **sent.went(driver, stream),
            values=sent.values,
            reduced=sent.reduced,
            reached=sent.reached,
        )


def options_there(device: Device, options: dict[str, Any]) -> Options:
    """The options of a call; InputError for an executor that a device has not."""
    chosen = Options(**options)
    if chosen.executor == "machine_code":
        raise InputError(
            f"executor='machine_code' on {device.name} (machine code is the CPU's; a device "
            "interprets programs). Leave executor out."
        )
    return chosen


@contextmanager
def working(device: Device, read: Iterable[Any]) -> Iterator[tuple[Memory, int]]:
    """The device is current; memory that is given back after it, and the stream of the work, once
    what still fills the arrays that it reads has its place before.

    read: arrays, of which those on the host are left.
    """
    there = [each for each in read if isinstance(each, DeviceArray)]
    stream = work_stream(there)
    with device.driver.current(device.number), Memory(device) as memory:
        for other in {each.stream for each in there if each.stream is not None} - {stream}:
            device.driver.order(other, stream)
        yield memory, stream


def work_stream(read: Iterable[Any]) -> int:
    """The caller's stream, as arrays on a device tell it; the legacy one where none does."""
    there = (each for each in read if isinstance(each, DeviceArray))
    return next((each.stream for each in there if each.stream is not None), LEGACY_STREAM)
