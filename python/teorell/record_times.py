"""Sample times of each patient's own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from teorell.dose_table import spread
from teorell.errors import InputError
from teorell.parameters import Array, numbers

__all__ = ["RecordTimes", "ragged_times"]


@dataclass(frozen=True, eq=False)
class RecordTimes:
    """Sample times, patient after patient: patient i has rows offsets[i]:offsets[i + 1], ascending;
    it may have none.
    """

    times: Array  # (samples,) in the model's time unit
    offsets: NDArray[np.int64]  # (patients + 1,)
    # (samples,) place among the patient's records; None: samples= decides ties
    order: NDArray[np.int64] | None = None

    @property
    def patients(self) -> int:
        return len(self.offsets) - 1

    @property
    def patient(self) -> NDArray[np.int64]:
        """(samples,) the patient of each sample."""
        return np.repeat(np.arange(self.patients), np.diff(self.offsets))

    def rows(self, patients: NDArray[np.int64]) -> NDArray[np.int64]:
        """The samples of some patients, in their order."""
        return spread(self.offsets[patients], np.diff(self.offsets)[patients])

    def among(self, patients: NDArray[np.int64]) -> NDArray[np.int64]:
        """For each of `rows(patients)`, which of these patients it belongs to, counted from 0."""
        return np.repeat(np.arange(len(patients)), np.diff(self.offsets)[patients])

    def repeated(self, times: int) -> RecordTimes:
        """The patients that many times one after the other."""
        counts = np.tile(np.diff(self.offsets), times)
        order = None if self.order is None else np.tile(self.order, times)
        return RecordTimes(np.tile(self.times, times), np.append(0, np.cumsum(counts)), order)

    def part(self, start: int, stop: int) -> RecordTimes:
        """The patients start to stop - 1."""
        first, last = self.offsets[start], self.offsets[stop]
        order = None if self.order is None else self.order[first:last]
        return RecordTimes(self.times[first:last], self.offsets[start : stop + 1] - first, order)


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
    offsets = np.zeros(len(each) + 1, np.int64)
    np.cumsum([len(at) for at in each], out=offsets[1:])
    return RecordTimes(np.concatenate([np.zeros(0), *each]), offsets)
