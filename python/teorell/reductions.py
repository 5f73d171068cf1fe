"""Numbers that sum up a curve, found while it is solved: no curve is stored, and no step is
changed.

Each concerns one output in a window of time. An extremum is that of the solution's dense output,
also inside steps; an area is its integral. What happens at the start of a window lies in it, what
happens at its end does not: the largest value up to the next dose is not that after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from teorell.errors import InputError, suggestion
from teorell.expression import Expression, derivative, leaves
from teorell.model import Model
from teorell.parameters import Array, agree, numbers
from teorell.record_times import RecordTimes
from teorell.samples import Summary

__all__ = ["AUC", "Cmax", "Cmin", "Reduction", "Reductions", "TimeAbove", "Tmax", "reductions_of"]

MAXIMUM, MINIMUM, TIME_ABOVE, AREA = range(4)  # batch.hpp, ReductionKind


@dataclass(frozen=True, eq=False)
class Reduction:
    """One number a patient, from `start` to `end`, in the model's time unit: each a number or
    (patients,).

    output: its name; "" where the model has one output, or the simulation is asked for one. end:
    None is the last sample
    time. name: its key in Solution.reductions; "" is made of what it is and the output, such as
    "cmax_cp".
    """

    output: str = ""
    start: Any = 0.0
    end: Any = None
    name: str = ""
    kind: ClassVar[int] = -1
    word: ClassVar[str] = ""

    def unit(self, output: str, time: str) -> str:
        """Its unit, from those of the output and of time."""
        return output


@dataclass(frozen=True, eq=False)
class Cmax(Reduction):
    """The largest value, in the unit of the output."""

    kind: ClassVar[int] = MAXIMUM
    word: ClassVar[str] = "cmax"


@dataclass(frozen=True, eq=False)
class Cmin(Reduction):
    """The smallest value, in the unit of the output."""

    kind: ClassVar[int] = MINIMUM
    word: ClassVar[str] = "cmin"


@dataclass(frozen=True, eq=False)
class Tmax(Reduction):
    """When the largest value is reached, the first time. It has no derivative here."""

    kind: ClassVar[int] = MAXIMUM
    word: ClassVar[str] = "tmax"

    def unit(self, output: str, time: str) -> str:
        return time


@dataclass(frozen=True, eq=False)
class AUC(Reduction):
    """The area under the curve, in the unit of the output times that of time."""

    kind: ClassVar[int] = AREA
    word: ClassVar[str] = "auc"

    def unit(self, output: str, time: str) -> str:
        return f"{output} {time}" if output and time else ""


@dataclass(frozen=True, eq=False)
class TimeAbove(Reduction):
    """For how long the value is above `threshold`, a number or (patients,) in the unit of the
    output.
    """

    threshold: Any = None
    kind: ClassVar[int] = TIME_ABOVE
    word: ClassVar[str] = "time_above"

    def unit(self, output: str, time: str) -> str:
        return time


@dataclass(frozen=True, eq=False)
class Reductions:
    """Those of a simulation, checked."""

    keys: tuple[str, ...]
    asked: tuple[Reduction, ...]
    outputs: tuple[str, ...]  # of each
    # of each start, end and threshold, () or (patients,)
    bounds: tuple[tuple[Array, Array, Array], ...]
    # of each: is the output linear in the states, with constant coefficients?
    linear: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.keys)

    def summary(self, outputs: Sequence[str]) -> Summary | None:
        """As the core takes them. outputs: names of those of the programs."""
        if not self.keys:
            return None
        kinds = np.array([one.kind for one in self.asked], np.int32)
        numbers_of = np.array([outputs.index(name) for name in self.outputs], np.int32)
        return Summary(kinds, numbers_of, np.array(self.linear, np.uint8), self.windows)

    @cached_property
    def windows(self) -> Array:
        """(reductions, patients or 1, 3): start, end, threshold."""
        most = max((array.size for each in self.bounds for array in each), default=1)
        result = np.empty((len(self), most, 3))
        for k, each in enumerate(self.bounds):
            for place, array in enumerate(each):
                result[k, :, place] = array
        return result

    def sizes(self) -> list[tuple[str, int]]:
        """What each array says about the number of patients, for `agree`."""
        named = zip(self.keys, self.bounds, strict=True)
        words = ("start", "end", "threshold")
        return [
            (f"the {word} of {key!r}", array.size)
            for key, each in named
            for word, array in zip(words, each, strict=True)
            if array.ndim
        ]

    def repeated(self, times: int) -> Reductions:
        """The patients that many times one after the other."""

        def tiled(array: Array) -> Array:
            return np.tile(array, times) if array.ndim else array

        return replace(
            self, bounds=tuple((tiled(a), tiled(b), tiled(c)) for a, b, c in self.bounds)
        )

    def read(self, values: Array, times: Array) -> Array:
        """(patients, reductions) from the values and times that the core found."""
        of_time = [k for k, one in enumerate(self.asked) if isinstance(one, Tmax)]
        if of_time:
            values = values.copy()
            values[:, of_time] = times[:, of_time]
        return values

    def labelled(self, values: Any) -> dict[str, Any]:
        """name -> (patients,), views of (patients, reductions), NumPy or a tensor."""
        return {key: values[:, k] for k, key in enumerate(self.keys)}

    def content(self) -> list[list[Any]]:
        """Everything that decides what they are, as plain JSON."""
        each = zip(self.keys, self.asked, self.outputs, self.bounds, strict=True)
        return [
            [key, one.word, output, *(a.tolist() for a in bounds)]
            for key, one, output, bounds in each
        ]

    def units(self, model: Model) -> dict[str, str]:
        each = zip(self.keys, self.asked, self.outputs, strict=True)
        return {
            key: one.unit(model.output_unit(output), model.time_unit) for key, one, output in each
        }

    def check_differentiable(self, cotangent: Array | None = None) -> None:
        """InputError if a derivative of a Tmax is asked for: one of its column in (patients,
        reductions); None is all.
        """
        for k, one in enumerate(self.asked):
            if isinstance(one, Tmax) and (cotangent is None or np.any(cotangent[:, k] != 0.0)):
                raise InputError(
                    f"no derivative of {self.keys[k]!r} (the time of a maximum has none where it "
                    "jumps from one peak to another). Leave it out, or use Cmax."
                )


NONE = Reductions((), (), (), (), ())


def reductions_of(
    model: Model, given: object, outputs: Sequence[str] | str | None, times: Array | RecordTimes
) -> Reductions:
    """The reductions that a simulation is asked for, checked.

    outputs: what the user gave; times: the sample times, checked. Raises InputError for what does
    not fit, TypeError for what is no reduction.
    """
    if given is None:
        return NONE
    if isinstance(given, Mapping | str) or not isinstance(given, Sequence):
        raise TypeError(
            f"reductions is a {type(given).__name__} (each has what it asks for). Give a list, "
            "such as [teorell.Cmax('cp')]."
        )
    keys: list[str] = []
    names: list[str] = []
    bounds: list[tuple[Array, Array, Array]] = []
    for one in given:
        if not isinstance(one, Reduction) or one.kind < 0:
            raise TypeError(
                f"a reduction is a {type(one).__name__} (what is wanted?). Give teorell.Cmax, "
                "Cmin, Tmax, AUC or TimeAbove."
            )
        output = _output(model, one, outputs)
        key = one.name or f"{one.word}_{output}"
        if key in keys:
            raise InputError(
                f"two reductions are called {key!r} (which is which?). Give one of them a name=."
            )
        keys.append(key)
        names.append(output)
        bounds.append(_bounds(one, key, times))
    known = {name: _is_linear(model.outputs()[name]) for name in dict.fromkeys(names)}
    return Reductions(
        tuple(keys), tuple(given), tuple(names), tuple(bounds), tuple(known[name] for name in names)
    )


def _is_linear(output: Expression) -> bool:
    """In the states, with coefficients that do not change."""
    states = [leaf for leaf in leaves(output) if leaf.op == "state"]
    parts = [derivative(output, state) for state in states]
    changing = {"state", "time"}
    return not any(
        leaf.op in changing for part in parts for leaf in leaves(part)
    ) and "time" not in {leaf.op for leaf in leaves(output)}


def _output(model: Model, one: Reduction, outputs: Sequence[str] | str | None) -> str:
    chosen = (
        model.output_names
        if outputs is None
        else (outputs,)
        if isinstance(outputs, str)
        else tuple(outputs)
    )
    if not one.output and len(chosen) != 1:
        raise InputError(
            f"a reduction {one.word} names no output (there are {len(chosen)}). Name one of "
            f"{', '.join(chosen)}."
        )
    output = one.output or chosen[0]
    if output not in model.output_names:
        raise InputError(
            f"unknown output {output!r} of a reduction (model {model.name!r} does not declare it). "
            f"{suggestion(str(output), model.output_names)}"
        )
    return output


def _bounds(one: Reduction, key: str, times: Array | RecordTimes) -> tuple[Array, Array, Array]:
    """Start, end and threshold."""
    start = numbers(one.start, f"the start of {key!r}")
    end = _last_samples(key, times) if one.end is None else numbers(one.end, f"the end of {key!r}")
    level = one.threshold if isinstance(one, TimeAbove) else 0.0
    if level is None:
        raise InputError(f"{key!r} has no threshold (above what?). Give threshold=.")
    threshold = numbers(level, f"the threshold of {key!r}")
    agree(
        [
            (f"the {word} of {key!r}", a.size)
            for word, a in (("start", start), ("end", end))
            if a.ndim
        ]
    )
    if (start < 0.0).any():
        raise InputError(
            f"{key!r} starts at {start.min():.6g} (a simulation starts at 0). Give a start of 0 or "
            "more."
        )
    wrong = np.flatnonzero(~(start < end))
    if wrong.size:
        first = wrong[0]
        at, until = (float(np.broadcast_to(a, np.broadcast_shapes(start.shape,
        end.shape)).reshape(-1)[first])
                     for a in (start, end))  # fmt: skip
        raise InputError(
            f"{key!r} goes from {at:.6g} to {until:.6g} (a window has a length"
            f"{f'; the first such patient is {first}' if start.ndim or end.ndim else ''}). Give an "
            "end after the start."
        )
    return start, end, threshold


def _last_samples(key: str, times: Array | RecordTimes) -> Array:
    """The last sample time, () or (patients,)."""
    if isinstance(times, RecordTimes):
        if (np.diff(times.offsets) == 0).any():
            raise InputError(f"{key!r} has no end (a patient has no sample times). Give end=.")
        last: Array = times.times[times.offsets[1:] - 1]
        return last
    if not times.size:
        raise InputError(f"{key!r} has no end (there are no sample times). Give end=.")
    return np.asarray(times[-1])
