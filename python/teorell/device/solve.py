"""Simulations on a device: the call of engine/solve.py, with values that stay there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from teorell.device.arrays import DeviceArray
from teorell.device.devices import Device
from teorell.device.driver import LEGACY_STREAM
from teorell.device.executor import kernel_for
from teorell.device.launch import run
from teorell.device.memory import Memory
from teorell.device.send import send
from teorell.device.teams import slots_of, words_of
from teorell.engine.batch import Batch, Options, Raw
from teorell.engine.views import solve_slots
from teorell.errors import InputError
from teorell.progress import Progress

__all__ = ["check_executor", "solve", "work_stream", "working"]


def solve(batch: Batch, device: Device, *, progress: Progress | None = None, **options: Any) -> Raw:
    """Solves every patient on a device. Inputs are taken as valid.

    batch: its columns lie on the host, or are DeviceArrays of this device. options: those of
    `Options`; threads and isa are of the CPU and play no part.
    Returns values, reduced and reached as DeviceArrays, the outcome of each patient as NumPy.
    Raises MemoryError, with nothing taken; ImportError without NVRTC; RuntimeError where it refuses
    the kernels of a model that executor="machine_code" asks for; KeyboardInterrupt; whatever
    `progress` raises.
    """
    chosen = Options(**options)
    kernel = kernel_for("solve_patients", batch, chosen, device)
    with working(device, batch.columns) as (memory, stream):
        sent = send(batch, chosen, memory, stream)
        if batch.patients:
            run(
                device,
                device.driver.function(kernel.compiled.code, kernel.name),
                [sent.programs, sent.batch, *words_of(kernel.team, memory, stream)],
                batch.patients,
                slots_of(kernel.team, solve_slots(batch.programs, len(batch.summary or ()))),
                memory,
                stream,
                progress,
                team=kernel.shared,
            )
        raw = Raw(**sent.found(device.driver, stream))
    kernel.ran(raw)
    return raw


def check_executor(device: Device, executor: str | None) -> None:
    """InputError for an executor that a device has not."""
    if executor == "machine_code":
        raise InputError(
            f"executor='machine_code' on {device.name} (machine code is the CPU's; a device "
            "interprets programs). Leave executor out."
        )


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
