"""Simulations on a device: the call of engine/solve.py, with values that stay there."""

from __future__ import annotations

from typing import Any

from teorell.device.arrays import DeviceArray
from teorell.device.devices import Device
from teorell.device.driver import LEGACY_STREAM
from teorell.device.executor import kernel_for
from teorell.device.launch import run
from teorell.device.memory import Memory
from teorell.device.send import send
from teorell.engine.batch import Batch, Options, Raw
from teorell.engine.views import solve_slots
from teorell.progress import Progress

__all__ = ["solve", "work_stream"]


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
    stream, kernel = work_stream(batch), kernel_for("solve_patients", batch, chosen, device)
    driver = device.driver
    with driver.current(device.number), Memory(device) as memory:
        others = {each.stream for each in _there(batch) if each.stream is not None}
        for other in others - {stream}:
            driver.order(other, stream)
        sent = send(batch, chosen, memory, stream)
        driver.write(sent.outcome["condition"][0], sent.outcome["condition"][1], stream)
        if batch.patients:
            run(
                device,
                driver.function(kernel.compiled.code, kernel.name),
                [sent.programs, sent.batch],
                batch.patients,
                solve_slots(batch.programs, len(batch.summary or ())),
                memory,
                stream,
                progress,
            )
        for place, array in sent.outcome.values():
            driver.read(array, place, stream)
        went: dict[str, Any] = {name: array for name, (_, array) in sent.outcome.items()}
    went |= {"values": sent.values, "reduced": sent.reduced, "reached": sent.reached}
    raw = Raw(**went)
    kernel.ran(raw)
    return raw


def work_stream(batch: Batch) -> int:
    """The caller's stream, as the columns tell it; the legacy one where none does."""
    return next((each.stream for each in _there(batch) if each.stream is not None), LEGACY_STREAM)


def _there(batch: Batch) -> list[DeviceArray]:
    """The columns that lie on a device."""
    return [each for each in batch.columns if isinstance(each, DeviceArray)]
