"""Sample times: one grid for all patients, or of each patient its own.

A patient's own come as rows that follow each other, or as an array with a row a patient, padded
with NaN. Samples are rows in both: of an array, `width` says how many places a patient has.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from teorell.arrays import Array, numbers
from teorell.errors import InputError
from teorell.rows import Rows, check_rows, falls, offsets_of

__all__ = ["RecordTimes", "padded_times", "ragged_times", "sample_times"]


@dataclass(frozen=True, eq=False)
class RecordTimes(Rows):
    """Sample times, patient after patient, ascending for each; a patient may have none."""

    times: Array  # (samples,) in the model's time unit
    offsets: NDArray[np.int64]  # (patients + 1,)
    # (samples,) place among the patient's records; None: samples= decides ties
    order: NDArray[np.int64] | None = None
    # places of a patient where times were given as an array; its first ones are the samples
    width: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the values but for outputs: (samples,), or (patients, width)."""
        return (self.times.size,) if self.width is None else (self.patients, self.width)

    @property
    def array(self) -> Array:
        """The times in this shape, NaN in the places without a sample."""
        return self.in_places(self.times)

    def taken(self, patients: NDArray[np.int64] | slice = slice(None)) -> NDArray[np.bool_]:
        """(k, width) which places of these patients have a sample."""
        assert self.width is not None
        result: NDArray[np.bool_] = np.arange(self.width) < self.counts[patients][:, None]
        return result

    def in_places(self, rows: Array, patients: NDArray[np.int64] | slice = slice(None)) -> Array:
        """Rows (samples, ...) of these patients, as an array (k, width, ...) if times came as one.

        Places without a sample have NaN.
        """
        if self.width is None:
            return rows
        taken = self.taken(patients)
        if taken.all():
            return rows.reshape(*taken.shape, *rows.shape[1:])
        result = np.full((*taken.shape, *rows.shape[1:]), np.nan)
        result[taken] = rows
        return result

    def rows_in(self, places: Array, patients: NDArray[np.int64] | slice = slice(None)) -> Array:
        """The rows (samples, ...) of what `in_places` returns; what stands elsewhere is left."""
        return places if self.width is None else places[self.taken(patients)]

    @property
    def patient(self) -> NDArray[np.int64]:
        """(samples,) the patient of each sample."""
        return self.owner

    def among(self, patients: NDArray[np.int64]) -> NDArray[np.int64]:
        """For each of `rows_of(patients)`, which of these patients it belongs to, from 0."""
        return np.repeat(np.arange(len(patients)), self.counts[patients])


def ragged_times(times: Iterable[ArrayLike]) -> RecordTimes:
    """Sample times from one sequence a patient, each ascending, finite and >= 0.

    InputError for anything else.
    """
    each: list[Any] = [
        numbers(one, f"times of patient {patient}") for patient, one in enumerate(times)
    ]
    for patient, at in enumerate(each):
        if at.ndim != 1:
            raise InputError(
                f"times of patient {patient} are one number (a sequence is needed). Give a list of "
                "it."
            )
        if at.size and (at[0] < 0.0 or (np.diff(at) < 0.0).any()):
            raise InputError(
                f"times of patient {patient} are negative or unsorted (time starts at 0). Sort "
                "them."
            )
    offsets = offsets_of(np.array([len(at) for at in each], np.int64))
    return RecordTimes(np.concatenate([np.zeros(0), *each]), offsets)


def padded_times(times: NDArray[Any]) -> RecordTimes:
    """Sample times from an array (patients, times): each row ascending, >= 0, then NaN.

    InputError for anything else.
    """
    missing = np.isnan(times) if times.dtype.kind == "f" else np.zeros(times.shape, np.bool_)
    if not times.shape[1]:
        raise InputError(
            f"times have shape {times.shape} (nothing would be returned). Give at least one time."
        )
    if isinstance(times, np.ma.MaskedArray):
        raise InputError(
            "times are a masked array (places without a sample are NaN here). Give "
            "times.filled(numpy.nan)."
        )
    inside = np.flatnonzero((missing[:, :-1] & ~missing[:, 1:]).any(axis=1))
    if inside.size:
        raise InputError(
            f"times of patient {inside[0]} have NaN before a time (NaN fills the row of a patient "
            "with fewer samples, after them). Sort each row: numpy.sort(times, axis=1)."
        )
    at = np.array(numbers(times[~missing], "times"))
    offsets = offsets_of((~missing).sum(axis=1))
    negative = at < 0.0
    back = falls(at, offsets) | negative
    if back.any():
        patient = int(np.searchsorted(offsets, np.argmax(back), side="right")) - 1
        raise InputError(
            f"times of patient {patient} are negative or unsorted (time starts at 0). Sort each "
            "row: numpy.sort(times, axis=1)."
        )
    return RecordTimes(at, offsets, width=times.shape[1])


def sample_times(times: object) -> Array | RecordTimes:
    """Times as float64 of shape (times,), or of each patient its own, checked: finite, >= 0,
    ascending.
    """
    if isinstance(times, RecordTimes):
        return _checked(times)
    if times is None:
        raise InputError(
            "times are missing (a solution is sampled at times). Give them, such as "
            "numpy.linspace(0, 24, 97)."
        )
    if (
        isinstance(times, list | tuple)
        and len(times)
        and all(_dimensions(each) == 1 for each in times)
    ):
        return ragged_times(times)
    dimensions = _dimensions(times)
    if dimensions == 2 and isinstance(times, np.ndarray):
        return padded_times(times)
    if dimensions != 1:
        raise InputError(
            f"times have {'no' if dimensions == 0 else dimensions} dimensions (all patients share "
            "one sequence of times, or each has its own). Give numpy.linspace(0, 24, 97), a list "
            "of such, one a patient, or an array (patients, times)."
        )
    at = np.array(numbers(times, "times"))  # a copy: the solution keeps it
    if not at.size:
        raise InputError("times are empty (nothing would be returned). Give at least one time.")
    if at.min() < 0.0:
        raise InputError(
            f"times begin at {at.min():.6g} (a simulation starts at 0). Give times of 0 or more."
        )
    falls = np.flatnonzero(np.diff(at) < 0.0)
    if falls.size:
        k = int(falls[0])
        raise InputError(
            f"times are unsorted (times[{k + 1}] = {at[k + 1]:.6g} after {at[k]:.6g}). Sort them."
        )
    return at


def _checked(times: RecordTimes) -> RecordTimes:
    """Times that somebody made, as the core reads them. InputError where they do not fit."""
    check_rows(times, "the times")
    at, offsets = numbers(times.times, "times"), np.asarray(times.offsets, np.int64)
    if at.size and at.min() < 0.0:
        raise InputError(
            f"times begin at {at.min():.6g} (a simulation starts at 0). Give times of 0 or more."
        )
    back = falls(at, offsets)
    order = None if times.order is None else np.asarray(times.order)
    if order is not None and order.dtype.kind not in "iu":
        raise InputError(
            f"the order of the times has type {order.dtype} (it counts records). Give integers."
        )
    if order is not None:
        order = order.astype(np.int64)
        tied = np.append(False, np.diff(at) == 0.0)
        back |= falls(order, offsets) & tied
    if back.any():
        row = int(np.argmax(back))
        patient = int(np.searchsorted(offsets, row, side="right")) - 1
        raise InputError(
            f"times of patient {patient} are unsorted (row {row} of {at.size} goes back). Sort "
            "them, those of one time by their order."
        )
    width = times.width
    if width is not None and (width < 1 or times.counts.max() > width):
        raise InputError(
            f"the width of the times is {width!r} (a patient has {times.counts.max()} of them). "
            "Give the number of columns of the array, or None."
        )
    return RecordTimes(at, offsets, order, width)


def _dimensions(value: object) -> int:
    """2 for a ragged list."""
    try:
        return np.ndim(value)  # type: ignore[arg-type]
    except ValueError:
        return 2
