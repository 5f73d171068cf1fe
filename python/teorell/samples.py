"""Samples of each patient's own, and what sums up a curve, as the core takes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Samples", "Summary"]


@dataclass(frozen=True, eq=False)
class Samples:
    """Patient i has rows offsets[i]:offsets[i + 1], sorted by time, then by `events`."""

    times: NDArray[np.float64]  # (rows,)
    offsets: NDArray[np.int64]  # (patients + 1,)
    # (rows,) how many of the patient's events come before it, at its time
    events: NDArray[np.int64] | None = None

    def rows(self, first: int, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The rows of some of the patients first, first + 1, ..., counted from the first row of
        patient `first`.
        """
        counts = np.diff(self.offsets[first : first + len(chosen) + 1])
        return np.flatnonzero(np.repeat(chosen, counts))


@dataclass(frozen=True, eq=False)
class Summary:
    """Reductions: each of one output, in a window of each patient's own or of all."""

    kinds: NDArray[np.int32]  # (reductions,) ReductionKind of batch.hpp
    outputs: NDArray[np.int32]  # (reductions,) numbers of outputs, as the programs have them
    # (reductions,) 1: the output is linear in the states, its coefficients constant
    linear: NDArray[np.uint8]
    windows: NDArray[np.float64]  # (reductions, patients or 1, 3): start, end, threshold

    def __len__(self) -> int:
        return len(self.kinds)
