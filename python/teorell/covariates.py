"""A parameter that changes over time in steps: a covariate of a patient, such as the body weight of
a growing child.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from teorell.errors import count

__all__ = ["Stepwise", "rows_at"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Stepwise:
    """Values that hold one after the other; give one in place of a number among the parameters.
    Make one with `teorell.stepwise`.

    Patient i has rows offsets[i]:offsets[i + 1]; offsets of shape (2,) serve all patients. The
    first row of a patient holds from the start of the simulation, whatever its time; each later one
    from its time on.
    """

    values: Array  # (rows,) in the unit of the parameter
    times: Array  # (rows,) ascending within a patient
    offsets: NDArray[np.int64]  # (patients + 1,) or (2,)
    # (rows,) place among the records of an event table; after those of lower order
    order: Array | None = None

    @property
    def patients(self) -> int:
        """How many patients have rows of their own; 1 may stand for all."""
        return len(self.offsets) - 1

    @property
    def first(self) -> Array:
        """(patients,) the values at the start; () if all patients share them."""
        result = self.values[self.offsets[:-1]]
        return result if self.patients > 1 else result[0]

    @property
    def changes(self) -> NDArray[np.int64]:
        """The rows that are changes: all but the first of each patient."""
        later = np.ones(len(self.values), np.bool_)
        later[self.offsets[:-1]] = False
        return np.flatnonzero(later)

    @property
    def owner(self) -> NDArray[np.int64]:
        """(rows,) the patient of each row."""
        return np.repeat(np.arange(self.patients), np.diff(self.offsets))

    def part(self, start: int, stop: int) -> Stepwise:
        """The patients start to stop - 1."""
        first, last = self.offsets[start], self.offsets[stop]
        order = None if self.order is None else self.order[first:last]
        return Stepwise(
            self.values[first:last],
            self.times[first:last],
            self.offsets[start : stop + 1] - first,
            order,
        )

    def __repr__(self) -> str:
        whose = "" if len(self.offsets) == 2 else f" of {count(self.patients, 'patient')}"
        return f"<Stepwise: {count(len(self.values), 'value')}{whose}>"


def rows_at(
    steps: Stepwise, owner: NDArray[np.int64], time: Array, order: NDArray[np.int64] | None
) -> NDArray[np.int64]:
    """(n,) the row that holds at a time of a patient; where both have an order, it decides at equal
    times.
    """
    mine = owner if steps.patients > 1 else np.zeros_like(owner)
    if steps.order is None or order is None:
        ranks = np.repeat([-1.0, 0.0], [len(steps.values), len(owner)])
    else:
        ranks = np.concatenate([steps.order, order])
    starts = np.array(steps.times)
    starts[steps.offsets[:-1]] = -np.inf
    whose = np.concatenate([steps.owner, mine])
    sequence = np.lexsort((ranks, np.concatenate([starts, time]), whose))
    latest = np.maximum.accumulate(np.where(sequence < len(starts), sequence, -1))
    found = np.empty(len(sequence), np.int64)
    found[sequence] = latest
    return found[len(starts) :]
