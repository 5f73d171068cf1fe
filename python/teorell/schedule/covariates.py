"""A parameter that changes over time in steps: a covariate of a patient, such as the body weight of
a growing child.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from teorell.arrays import Array, is_tensor, numbers, real_numbers
from teorell.errors import InputError, count
from teorell.rows import Rows, check_rows, falls
from teorell.schedule.ties import tied_together

__all__ = ["Moments", "Stepwise", "checked_steps", "rows_at", "stepwise"]


@dataclass(frozen=True, eq=False)
class Stepwise(Rows):
    """Values that hold one after the other; give one in place of a number among the parameters.
    Make one with `teorell.stepwise`.

    offsets of shape (2,) serve all patients. The first row of a patient holds from the start of the
    simulation, whatever its time; each later one from its time on.
    """

    values: Array  # (rows,) in the unit of the parameter
    times: Array  # (rows,) ascending within a patient
    offsets: NDArray[np.int64]  # (patients + 1,) or (2,)
    # (rows,) place among the records of an event table; after those of lower order
    order: Array | None = None

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

    def __repr__(self) -> str:
        whose = "" if len(self.offsets) == 2 else f" of {count(self.patients, 'patient')}"
        return f"<Stepwise: {count(len(self.values), 'value')}{whose}>"


class Moments(NamedTuple):
    """When parameters are read: (n,) the patient and the time, and the place among the records.

    Where steps and moments have an order, it decides at equal times; else steps have been taken.
    """

    owner: NDArray[np.int64]
    time: Array
    order: Array | None

    def of(self, which: NDArray[np.int64] | NDArray[np.bool_]) -> Moments:
        """Some of them, in the order given."""
        order = None if self.order is None else self.order[which]
        return Moments(self.owner[which], self.time[which], order)


def rows_at(steps: Stepwise, at: Moments) -> NDArray[np.int64]:
    """(n,) the row that holds at each moment; times that only rounding tells apart are equal."""
    mine = at.owner if steps.patients > 1 else np.zeros_like(at.owner)
    if steps.order is None or at.order is None:
        ranks = np.repeat([-1.0, 0.0], [len(steps.values), len(mine)])
    else:
        ranks = np.concatenate([steps.order, at.order])
    starts = np.array(steps.times)
    starts[steps.offsets[:-1]] = -np.inf
    whose, when = np.concatenate([steps.owner, mine]), np.concatenate([starts, at.time])
    by_time = np.lexsort((when, whose))
    together = np.empty(len(by_time), np.int64)
    together[by_time] = tied_together(whose[by_time], when[by_time])
    sequence = np.lexsort((ranks, together))
    latest = np.maximum.accumulate(np.where(sequence < len(starts), sequence, -1))
    found = np.empty(len(sequence), np.int64)
    found[sequence] = latest
    return found[len(starts) :]


def stepwise(times: ArrayLike, values: Any) -> Stepwise:
    """values[..., j] from times[j] on, and the first of them before that too.

    times: (k,) ascending, in the model's time unit, the same for all patients. values: (k,) for all
    patients, or (patients, k), in the unit of the parameter. Raises InputError for other shapes,
    unsorted times, and numbers that are not finite.
    """
    at = numbers(times, "the times of a stepwise parameter")
    if is_tensor(values):
        raise InputError(
            "the values of a stepwise parameter are a torch tensor (they have no derivative by "
            "torch in this version). Give .detach().numpy() of it."
        )
    what = "the values of a stepwise parameter"
    given = real_numbers(values, what)
    if at.ndim != 1 or not at.size or given.ndim not in (1, 2) or given.shape[-1] != at.size:
        raise InputError(
            f"a stepwise parameter has times of shape {at.shape} and values of shape {given.shape} "
            "(each value needs its time). Give times (k,), and values (k,) or (patients, k)."
        )
    if (np.diff(at) <= 0.0).any():
        raise InputError(
            "the times of a stepwise parameter do not ascend (which value holds?). Sort them, each "
            "once."
        )
    rows = numbers(given.reshape(-1), what)
    patients = given.shape[0] if given.ndim == 2 else 1
    offsets = np.arange(patients + 1, dtype=np.int64) * at.size
    return Stepwise(np.array(rows), np.tile(at, patients), offsets)


def checked_steps(steps: Stepwise, what: str) -> Stepwise:
    """Steps that somebody may have made, as the core reads them. InputError where they do not fit.

    what: how messages name the parameter.
    """
    check_rows(steps, f"the steps of {what}", least=1)
    at, offsets = numbers(steps.times, f"the times of {what}"), np.asarray(steps.offsets, np.int64)
    if falls(at, offsets).any():
        raise InputError(
            f"the times of {what} go back within a patient (which value holds?). Sort them."
        )
    return replace(steps, values=numbers(steps.values, what), times=at, offsets=offsets)
