"""A batch on a device: what lies on the host is sent, what comes back has its place, and the views
say where.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.device.arrays import DeviceArray
from teorell.device.driver import Driver
from teorell.device.memory import Memory
from teorell.device.placed import made
from teorell.engine.batch import Batch, Options, Samples
from teorell.engine.views import programs_arrays, programs_view, view

__all__ = ["Sent", "made", "places_of", "send"]


@dataclass(frozen=True)
class Sent:
    """The views of a batch on a device, and what its kernel fills."""

    programs: NDArray[np.uint8]
    batch: NDArray[np.uint8]
    values: DeviceArray  # (patients, times, outputs) or (rows, outputs)
    reduced: DeviceArray  # (patients, reductions)
    reached: DeviceArray  # the same
    outcome: dict[str, tuple[int, NDArray[Any]]]  # name -> where it is, and its array on the host

    def found(self, driver: Driver, stream: int) -> dict[str, Any]:
        """The fields of Raw by name, once all is done: the outcome of each patient is brought to
        the host.
        """
        for place, array in self.outcome.values():
            driver.read(array, place, stream)
        went = {name: array for name, (_, array) in self.outcome.items()}
        return {**went, "values": self.values, "reduced": self.reduced, "reached": self.reached}


def send(
    batch: Batch, options: Options, memory: Memory, stream: int, *, stored: bool = True
) -> Sent:
    """Sends a batch. What is made for the caller is kept out of the scope of `memory`.

    stored: are the values wanted?
    MemoryError where the device has no room for it.
    """
    programs, timeline, own, n = batch.programs, batch.timeline, batch.own_times, batch.patients
    times = batch.times.times if isinstance(batch.times, Samples) else batch.times
    code = programs_arrays(programs)
    columns = [each for each in batch.columns if not isinstance(each, DeviceArray)]
    given: dict[str, NDArray[Any]] = {
        "event_times": timeline.time,
        "event_kinds": timeline.kind,
        "event_targets": timeline.target,
        "event_values": timeline.value,
        "event_offsets": timeline.offsets,
        "times": times,
        "atol": np.asarray(options.atol, np.float64),
    }
    if own is not None:
        given["sample_offsets"] = own.offsets
        if own.events is not None:
            given["sample_events"] = own.events
    summary = {} if batch.summary is None else vars(batch.summary)
    there = memory.send(
        [*code, *columns, *given.values(), *summary.values()], stream, "numbers of the simulation"
    )
    of_code, rest = there[: len(code)], iter(there[len(code) :])
    places, strides = places_of(batch.columns, rest)
    at = dict(zip(given, rest, strict=False))
    of_summary = dict(zip(summary, rest, strict=False))
    starts, steps = memory.send([places, strides], stream, "places of parameters")
    shape = (*batch.rows_shape, programs.layout.n_out)
    values = made(memory, shape if stored else (0, 0, 0), "values")
    reduced, reached = (made(memory, (n, len(batch.summary or ())), "reductions") for _ in range(2))
    outcome = _outcome(n, memory)
    condition, nobody = outcome["condition"]
    memory.device.driver.write(condition, nobody, stream)
    reductions = view(
        "Reductions",
        count=len(batch.summary or ()),
        patients=1 if batch.summary is None else batch.summary.windows.shape[1],
        values=reduced.address,
        times=reached.address,
        **{name: of_summary.get(name, 0) for name in ("kinds", "outputs", "linear", "windows")},
    )
    return Sent(
        programs_view(programs, of_code),
        view(
            "Batch",
            patients=n,
            columns=starts,
            column_strides=steps,
            event_offset_stride=0 if batch.shared_timeline else 1,
            n_times=len(times),
            rtol=float(options.rtol),
            max_steps=float(options.max_steps),
            max_step=float(options.max_step),
            before=options.before and (own is None or own.events is None),
            values=values.address if values.size else 0,
            values_first=0,
            sample_offsets=at.pop("sample_offsets", 0),
            sample_events=at.pop("sample_events", 0),
            reductions=reductions,
            **{name: place for name, (place, _) in outcome.items()},
            **at,
        ),
        values,
        reduced,
        reached,
        outcome,
    )


def places_of(
    columns: Sequence[Any], sent: Iterator[int]
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Where columns begin, and float64 numbers from one patient to the next, 0: one for all.

    sent: the addresses of those that lay on the host, in their order, contiguous.
    """
    places, strides = [], []
    for each in columns:
        there = isinstance(each, DeviceArray)
        places.append(each.address if there else next(sent))
        strides.append(0 if each.ndim == 0 else each.strides[0] // 8 if there else 1)
    return np.array(places, np.uint64), np.array(strides, np.int64)


def _outcome(patients: int, memory: Memory) -> dict[str, tuple[int, NDArray[Any]]]:
    arrays: dict[str, NDArray[Any]] = {
        "status": np.empty(patients, np.int32),
        "failure_time": np.empty(patients),
        "steps": np.empty(patients, np.int64),
        "rejected": np.empty(patients, np.int64),
        "condition": np.full(patients, -1, np.int32),
    }
    return {
        name: (memory.take(array.nbytes, "outcome of the patients").address, array)
        for name, array in arrays.items()
    }
