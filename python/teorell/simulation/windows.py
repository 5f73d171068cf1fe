"""The window of time that a reduction looks at, and its threshold, checked."""

from __future__ import annotations

from typing import Any

import numpy as np

from teorell.arrays import Array, agree, numbers
from teorell.errors import InputError
from teorell.schedule.record_times import RecordTimes

__all__ = ["window_of"]


def window_of(
    key: str, start: Any, end: Any, threshold: Any, times: Array | RecordTimes
) -> tuple[Array, Array, Array]:
    """Start, end and threshold of a reduction, each () or (patients,).

    key: how messages call it. start, end, threshold: as the user gave them, numbers or (patients,);
    an end of None is the last of the sample times. InputError where they do not fit together.
    """
    first = numbers(start, f"the start of {key!r}")
    last = _last_samples(key, times) if end is None else numbers(end, f"the end of {key!r}")
    if threshold is None:
        raise InputError(f"{key!r} has no threshold (above what?). Give threshold=.")
    level = numbers(threshold, f"the threshold of {key!r}")
    named = (("start", first), ("end", last))
    agree([(f"the {word} of {key!r}", array.size) for word, array in named if array.ndim])
    if (first < 0.0).any():
        raise InputError(
            f"{key!r} starts at {first.min():.6g} (a simulation starts at 0). Give a start of 0 or "
            "more."
        )
    empty = np.flatnonzero(~(first < last))
    if empty.size:
        both = np.broadcast_arrays(first, last)
        since, until = (float(array.reshape(-1)[empty[0]]) for array in both)
        who = f"; the first such patient is {empty[0]}" if first.ndim or last.ndim else ""
        raise InputError(
            f"{key!r} goes from {since:.6g} to {until:.6g} (a window has a length{who}). Give an "
            "end after the start."
        )
    return first, last, level


def _last_samples(key: str, times: Array | RecordTimes) -> Array:
    """The last sample time, () or (patients,); InputError where there is none."""
    if isinstance(times, RecordTimes):
        if (np.diff(times.offsets) == 0).any():
            raise InputError(f"{key!r} has no end (a patient has no sample times). Give end=.")
        last: Array = times.times[times.offsets[1:] - 1]
        return last
    if not times.size:
        raise InputError(f"{key!r} has no end (there are no sample times). Give end=.")
    return np.asarray(times[-1])
