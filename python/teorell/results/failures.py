"""Patients that failed: who, why, what to do, and what is unusual about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.errors import count
from teorell.patients import Patients

__all__ = ["SHOWN", "SimulationError", "failure", "raise_failures", "unusual_parameters"]

SHOWN = 5  # patients named in an error
UNUSUAL = 2.5  # robust standard deviations from the median from which a parameter is worth naming


class SimulationError(RuntimeError):
    """Patients failed: the message names some of them and the reasons.

    `patients` holds the numbers of all of them, `ids` who they are: the same numbers, where no
    population or event table told it.
    """

    def __init__(
        self, message: str, patients: NDArray[np.int64], ids: NDArray[Any] | None = None
    ) -> None:
        super().__init__(message)
        self.patients = patients
        self.ids: NDArray[Any] = patients if ids is None else ids

    def __reduce__(self) -> tuple[type[SimulationError], tuple[Any, ...]]:
        return type(self), (str(self), self.patients, self.ids)


class Went(Protocol):
    """How the simulation of each patient went, (patients,) each, and what belongs to it."""

    @property
    def status(self) -> NDArray[np.int32]: ...
    @property
    def failure_time(self) -> Array: ...
    @property
    def steps(self) -> NDArray[np.int64]: ...
    @property
    def condition(self) -> NDArray[np.int32] | None: ...
    @property
    def conditions(self) -> tuple[str, ...]: ...
    @property
    def time_unit(self) -> str: ...
    @property
    def people(self) -> Patients | None: ...


def raise_failures(result: str, went: Went, parameters: Mapping[str, Array]) -> None:
    """Raise SimulationError if any patient failed.

    result: what to call the thing that has the status. went: how each patient's simulation went.
    parameters: those that the user gave, each () or (patients,), among which to look for unusual
    values.
    """
    failed = np.flatnonzero(went.status)
    if failed.size:
        unusual = unusual_parameters(failed[:SHOWN], parameters)
        listed = f"numpy.flatnonzero({result}.status) lists them"
        rows = (went.status[failed], went.failure_time[failed], went.steps[failed])
        at = [] if went.condition is None else went.condition[failed[:SHOWN]].tolist()
        where = [went.conditions[k] if 0 <= k < len(went.conditions) else "" for k in at]
        ids = None if went.people is None else went.people.ids[failed]
        raise failure(went.status.size, failed, *rows, went.time_unit, unusual, listed, where, ids)


def failure(
    patients: int,
    failed: NDArray[np.int64],
    status: NDArray[np.int32],
    failure_time: Array,
    steps: NDArray[np.int64],
    time_unit: str,
    unusual: Sequence[Sequence[str]],
    listed: str,
    where: Sequence[str] = (),
    ids: NDArray[Any] | None = None,
) -> SimulationError:
    """The error that says who failed of so many patients, and why.

    failed: their numbers, and for each its status, failure_time and steps. unusual: for each of the
    first `SHOWN` what `unusual_parameters` says. listed: where to find them all. where: for each of
    them the condition at which it failed, "" where it was none. ids: who they are, where told.
    """
    from teorell.engine.executors import STATUS

    lines = [f"{failed.size} of {count(patients, 'patient')} failed."]
    codes, counts = np.unique(status, return_counts=True)
    for code, many in zip(codes.tolist(), counts.tolist(), strict=True):
        lines.append(
            f"Status {code}, {count(many, 'patient')}: {STATUS.get(code, 'unknown status')}."
        )
    named = [""] * len(unusual)
    if ids is not None:
        named = [f", id {each!r}" for each in ids[: len(unusual)].tolist()]
    for row, strange in enumerate(unusual):
        when = f"at {failure_time[row]:.6g} {time_unit}".rstrip()
        lines.append(
            f"  patient {failed[row]}{named[row]}: status {status[row]} {when} after "
            f"{count(int(steps[row]), 'step')}"
            + (f"; condition {where[row]}" if row < len(where) and where[row] else "")
            + (f"; unusual: {', '.join(strange)}" if strange else "")
        )
    if failed.size > SHOWN:
        lines.append(f"  and {failed.size - SHOWN} more: {listed}.")
    return SimulationError("\n".join(lines), failed.astype(np.int64), ids)


def unusual_parameters(
    patients: NDArray[np.intp], parameters: Mapping[str, Array]
) -> list[list[str]]:
    """For each of `patients` the parameters farthest from the population, as words.

    At most three, farthest first.

    Distance: from the median in robust standard deviations (1.4826 median absolute deviations), of
    the logarithm if all values are positive. If more than half of the patients share one value, the
    mean absolute deviation serves.
    """
    unusual: list[list[tuple[float, str]]] = [[] for _ in patients]
    for name, column in parameters.items():
        if getattr(column, "ndim", 0) == 0:  # one number, or steps over time
            continue
        if column.dtype.kind not in "fiub":  # text of a covariate
            continue
        scaled = np.log(column) if column.min() > 0 else column
        distance = np.abs(scaled - np.median(scaled))
        # either factor makes it the standard deviation where values are normal
        spread = 1.4826 * np.median(distance) or 1.2533 * np.mean(distance)
        if spread == 0.0:
            continue
        for row, patient in enumerate(patients):
            if distance[patient] > UNUSUAL * spread:
                words = f"{name} = {column[patient]:.4g} (median {np.median(column):.4g})"
                unusual[row].append((float(distance[patient] / spread), words))
    return [[words for _, words in sorted(row, reverse=True)[:3]] for row in unusual]
