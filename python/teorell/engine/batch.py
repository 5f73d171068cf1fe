"""What one call of the core reads and returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.rows import Rows, offsets_of

if TYPE_CHECKING:
    from teorell.lowering import Programs

__all__ = [
    "ATOL",
    "MAX_STEPS",
    "METHOD",
    "NO_STEADY_STATE",
    "RTOL",
    "SLIDING",
    "Batch",
    "Infusions",
    "Options",
    "Outcome",
    "Raw",
    "RawGradient",
    "Samples",
    "SlopesOfGroup",
    "Summary",
    "Tangents",
    "Timeline",
]

# What a simulation takes that is not told otherwise.
RTOL, ATOL, METHOD, MAX_STEPS = 1e-6, 1e-9, "rodas5p", 1_000_000
NO_STEADY_STATE, SLIDING = 7, 8  # the core's numbers (status.hpp)


@dataclass(frozen=True)
class Timeline(Rows):
    """Everything that happens to the patients, as flat columns: the rows of a patient by time.

    offsets of shape (2,) means that all share one timeline.
    kind 0 bolus: y[target] += value; 1 infusion starts: rate[target] += value; 2 infusion ends:
    rate[target] -= value; 3 switch: switch[target] = value; 4 reset: rates 0, states 0 (target 0)
    or initial (1); 5 parameter[target] = value;
    6 a bolus that is part of a start: of the conditions that hold after it none acts.
    target: a state for a bolus, an infused state, a switch, a parameter.
    """

    time: Array  # (rows,) in the model's time unit
    kind: NDArray[np.int32]  # (rows,)
    target: NDArray[np.int32]  # (rows,)
    value: Array  # (rows,) amount, amount per time, or the value of the switch or parameter
    offsets: NDArray[np.int64]  # (patients + 1,) or (2,)
    # Where a row comes from, for its derivatives (schedule/timeline.py). source: row of the table
    # of doses, of those at steady state, of a covariate, or number of a switch.
    role: NDArray[np.int8]
    source: NDArray[np.int64]
    number: NDArray[np.int64]
    # (rows,) among the records of a patient, -1 before all; None: ties need no order
    order: Array | None = None

    @property
    def shared(self) -> bool:
        """Is there one patient's timeline, which may serve all?"""
        return len(self.offsets) == 2

    @property
    def infusions(self) -> Infusions | None:
        """The infusions that end, in the order of patients; None if there are none."""
        if not (self.kind == 2).any():
            return None
        found = []
        for kind in (1, 2):
            rows = np.flatnonzero(self.kind == kind)
            found.append(rows[np.lexsort((self.number[rows], self.source[rows]))])
        starts, ends = found
        begun, ended = (self.source[rows] * (1 << 32) + self.number[rows] for rows in found)
        starts = starts[np.isin(begun, ended)]  # a reset leaves some without an end
        owner = self.owner[ends]
        by = np.argsort(owner, kind="stable")
        return Infusions(
            start=self.time[starts[by]],
            end=self.time[ends[by]],
            offsets=offsets_of(np.bincount(owner, minlength=self.patients)),
        )


@dataclass(frozen=True, eq=False)
class Infusions(Rows):
    """When infusions run; offsets of shape (2,) means that all patients share them."""

    start: Array  # (rows,)
    end: Array  # (rows,)
    offsets: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Samples(Rows):
    """Sample times of each patient's own, sorted by time, then by `events`."""

    times: Array  # (rows,)
    offsets: NDArray[np.int64]  # (patients + 1,)
    # (rows,) how many of the patient's events come before it, at its time
    events: NDArray[np.int64] | None = None

    def rows_among(self, first: int, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The rows of those of the patients first, first + 1, ... that are chosen (k,).

        They count from the first row of patient `first`.
        """
        counts = np.diff(self.offsets[first : first + len(chosen) + 1])
        return np.flatnonzero(np.repeat(chosen, counts))


@dataclass(frozen=True, eq=False)
class Summary:
    """Reductions: each of one output, in a window of each patient's own or of all."""

    kinds: NDArray[np.int32]  # (reductions,) ReductionKind of reductions.hpp
    outputs: NDArray[np.int32]  # (reductions,) numbers of outputs, as the programs have them
    # (reductions,) 1: the output is linear in the states, its coefficients constant
    linear: NDArray[np.uint8]
    windows: Array  # (reductions, patients or 1, 3): start, end, threshold

    def __len__(self) -> int:
        return len(self.kinds)


@dataclass(frozen=True, eq=False)
class Batch:
    """Programs and what they are run on: all that decides the numbers that come
    back, but Options.
    """

    programs: Programs
    # a parameter each, () or (patients,), any stride: NumPy, for a device also DeviceArray
    columns: tuple[Any, ...]
    patients: int
    timeline: Timeline
    times: Array | Samples  # (times,) non-decreasing, or of each patient its own
    summary: Summary | None = None

    @property
    def own_times(self) -> Samples | None:
        """The samples, where each patient has its own."""
        return self.times if isinstance(self.times, Samples) else None

    @property
    def rows_shape(self) -> tuple[int, ...]:
        """The shape of the values but for outputs: (patients, times), or (rows,)."""
        if isinstance(self.times, Samples):
            return (len(self.times.times),)
        return self.patients, len(self.times)

    def part(self, start: int, stop: int) -> Batch:
        """The patients start to stop - 1; columns are views."""
        timeline, times, summary = self.timeline, self.times, self.summary
        if summary is not None and summary.windows.shape[1] > 1:
            summary = replace(summary, windows=summary.windows[:, start:stop])
        return replace(
            self,
            columns=tuple(each[start:stop] if each.ndim else each for each in self.columns),
            patients=stop - start,
            timeline=timeline if self.shared_timeline else timeline.part(start, stop),
            times=times.part(start, stop) if isinstance(times, Samples) else times,
            summary=summary,
        )

    @property
    def shared_timeline(self) -> bool:
        """Does one timeline serve several patients?"""
        return self.timeline.shared and self.patients != 1


@dataclass(frozen=True)
class Options:
    """How to solve: tolerances, atol (states,); the side of a sample at an event; what runs it."""

    rtol: float
    atol: Array
    method: str = METHOD
    max_steps: int = MAX_STEPS
    max_step: float = inf  # no step is longer
    threads: int | None = None
    before: bool = False
    executor: str | None = None
    isa: str | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How each patient's simulation went."""

    status: NDArray[np.int32]  # (patients,) 0 is success; the sentences are in teorell.STATUS
    failure_time: Array  # (patients,) NaN where there was no failure
    steps: NDArray[np.int64]  # (patients,) accepted steps
    rejected: NDArray[np.int64]  # (patients,) rejected steps
    # (patients,) the number of the condition at which a patient failed with status 8, else -1
    condition: NDArray[np.int32] | None = None

    @property
    def success(self) -> NDArray[np.bool_]:
        """(patients,) True where the simulation reached its end."""
        result: NDArray[np.bool_] = self.status == 0
        return result

    @property
    def went(self) -> dict[str, Any]:
        """The fields of this class by name: for a record that has them too."""
        return {name: getattr(self, name) for name in Outcome.__dataclass_fields__}


@dataclass(frozen=True, kw_only=True)
class Raw(Outcome):
    """What the core returns of a simulation."""

    values: Array  # (patients, times, outputs), or (rows, outputs); NaN after a failure
    # (patients, reductions), NaN where a failure has cut its window short
    reduced: Array
    reached: Array  # (patients, reductions) when an extremum is reached first, else NaN
    infusions: Infusions | None = None  # when they ran
    kept: Any = None  # the accepted steps in the core, for the gradient of the same batch

    @property
    def solved(self) -> dict[str, Any]:
        """The fields but for values and kept steps, by name."""
        return {**self.went, "reduced": self.reduced, "reached": self.reached}


@dataclass(frozen=True, kw_only=True)
class RawGradient(Raw):
    """Cotangents of everything that goes in, by one scalar; zero for a patient that failed.

    Its values are empty: no curve is stored.
    """

    parameters: Array  # (patients, parameters)
    initial: Array  # (patients, states), at time 0 before any event
    event_value: Array  # (patients, rows) where all patients share one timeline, else (rows,)
    event_time: Array  # the same


@dataclass(frozen=True)
class Tangents:
    """Directions: the tangents of what goes in; None where nothing changes."""

    parameters: Array | None = None  # (directions, patients or 1, parameters)
    # (directions, patients or 1, rows), or (directions, rows) if timelines differ
    event_value: Array | None = None
    event_time: Array | None = None  # the same


SlopesOfGroup: TypeAlias = Callable[
    [Array, Array, Array, NDArray[np.int64]], tuple[Array, Array | None]
]
"""(values, reduced, reached, patients) -> slopes of the values, and of the reductions or None.

Of k patients, whose numbers `patients` (k,) are: values (k, times, outputs) or (rows, outputs),
reduced and reached (k, reductions) as in Raw.
"""
