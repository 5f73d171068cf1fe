"""Samples of each patient's own, as the core takes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Samples"]


@dataclass(frozen=True, eq=False)
class Samples:
    """Patient i has rows offsets[i]:offsets[i + 1], sorted by time, then by `events`."""

    times: NDArray[np.float64]  # (rows,)
    offsets: NDArray[np.int64]  # (patients + 1,)
    events: NDArray[np.int64] | None = None  # (rows,) how many of the patient's events come before it, at its time

    def rows(self, first: int, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The rows of some of the patients first, first + 1, ..., counted from the first row of patient `first`."""
        counts = np.diff(self.offsets[first : first + len(chosen) + 1])
        return np.flatnonzero(np.repeat(chosen, counts))
