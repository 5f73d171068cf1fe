"""Which CUDA devices compute a store, and a thread for each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from queue import SimpleQueue
from typing import Any

from teorell.errors import InputError
from teorell.storage.chunks import Task

__all__ = ["devices_of", "workers_of"]


def devices_of(device: object, executor: Any) -> list[str]:
    """The names of the devices that compute, none for the CPU; without an executor each has been
    found to be one that can.
    """
    if device in (None, "cpu"):
        return []
    from teorell.device.devices import device_of, open_device, several_of

    several = several_of(device)
    if executor is not None and several is not None:
        raise InputError(
            f"device is {device!r} with an executor (a worker has one device). Give 'cuda', and "
            "each worker a CUDA_VISIBLE_DEVICES of its own."
        )
    names = [f"cuda:{device_of(device)}"] if several is None else several
    if executor is None:
        for name in names:
            open_device(int(name.partition(":")[2]))
    return names


def workers_of(executor: Any, devices: Sequence[str]) -> AbstractContextManager[Any]:
    """What chunks are submitted to: the executor, else a thread a device; None is this thread."""
    return OnDevices(devices) if devices and executor is None else nullcontext(executor)


class OnDevices:
    """An executor that has one thread for each of some devices: a context manager."""

    def __init__(self, devices: Sequence[str]) -> None:
        self._max_workers = len(devices)
        self._pool = ThreadPoolExecutor(len(devices))
        self._idle: SimpleQueue[str] = SimpleQueue()
        for name in devices:
            self._idle.put(name)

    def __enter__(self) -> OnDevices:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def submit(self, function: Callable[..., Any], task: Task, *given: Any) -> Future[Any]:
        """The function of a task, and of what else is given, on a device that is idle then."""
        return self._pool.submit(self._run, function, task, *given)

    def _run(self, function: Callable[..., Any], task: Task, *given: Any) -> Any:
        name = self._idle.get()
        try:
            return function(replace(task, options={**task.options, "device": [name]}), *given)
        finally:
            self._idle.put(name)
