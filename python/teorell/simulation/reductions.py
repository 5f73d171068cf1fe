"""Numbers that sum up a curve, found while it is solved.

No curve is stored, and no step is changed (but for integrals of an output that jumps, where a step
ends). Each concerns one output in a window of time. An extremum is that of the solution's dense
output, also inside steps; an area is its integral. What happens at the start of a window lies in
it, what happens at its end does not: the largest value up to the next dose is not that after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from teorell.arrays import Array
from teorell.engine.batch import Summary
from teorell.errors import InputError, suggestion
from teorell.model import Model
from teorell.model.expression import Expression, derivative, leaves, topological
from teorell.model.timing import changes_with
from teorell.schedule.record_times import RecordTimes
from teorell.simulation.windows import window_of

__all__ = ["AUC", "Cmax", "Cmin", "Reduction", "Reductions", "TimeAbove", "Tmax", "reductions_of"]

MAXIMUM, MINIMUM, TIME_ABOVE, AREA = range(4)  # batch.hpp, ReductionKind


@dataclass(frozen=True, eq=False)
class Reduction:
    """One number a patient, of one output from time `start` to time `end`.

    output: its name; "" where the model has one output, or the simulation is asked for one. start,
    end: a number or (patients,) each, in the model's time unit; an end of None is the last sample
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
        """The unit of the number, from the units of the output and of time."""
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
    """For how long the value is above `threshold`.

    threshold: a number or (patients,), in the unit of the output.
    """

    threshold: Any = None
    kind: ClassVar[int] = TIME_ABOVE
    word: ClassVar[str] = "time_above"

    def unit(self, output: str, time: str) -> str:
        return time


@dataclass(frozen=True, eq=False)
class Reductions:
    """The reductions that a simulation is asked for, checked."""

    keys: tuple[str, ...]
    asked: tuple[Reduction, ...]
    outputs: tuple[str, ...]  # the output that each is of
    # start, end and threshold of each, () or (patients,)
    bounds: tuple[tuple[Array, Array, Array], ...]
    # is the output of each linear in the states, with constant coefficients?
    linear: tuple[bool, ...]
    # does the output of each jump where a condition changes?
    jumps: tuple[bool, ...] = ()

    def __len__(self) -> int:
        return len(self.keys)

    def summary(self, outputs: Sequence[str]) -> Summary | None:
        """The reductions as the core takes them, None without any.

        outputs: the names of the programs' outputs.
        """
        if not self.keys:
            return None
        kinds = np.array([one.kind for one in self.asked], np.int32)
        numbers_of = np.array([outputs.index(name) for name in self.outputs], np.int32)
        return Summary(kinds, numbers_of, np.array(self.linear, np.uint8), self.windows)

    @cached_property
    def windows(self) -> Array:
        """(reductions, patients or 1, 3): start, end and threshold of each."""
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
        """The same reductions for the patients `times` times, one after the other."""

        def tiled(array: Array) -> Array:
            return np.tile(array, times) if array.ndim else array

        return replace(
            self, bounds=tuple((tiled(a), tiled(b), tiled(c)) for a, b, c in self.bounds)
        )

    def read(self, values: Array, times: Array) -> Array:
        """(patients, reductions) from the values and times that the core found."""
        if self.of_time:
            values = values.copy()
            values[:, self.of_time] = times[:, self.of_time]
        return values

    @property
    def of_time(self) -> list[int]:
        """The columns that are times, of maxima."""
        return [k for k, one in enumerate(self.asked) if isinstance(one, Tmax)]

    def labelled(self, values: Any) -> dict[str, Any]:
        """name -> (patients,), views of (patients, reductions), NumPy or a tensor."""
        return {key: values[:, k] for k, key in enumerate(self.keys)}

    def content(self) -> list[list[Any]]:
        """Everything that decides what the reductions are, as plain JSON."""
        each = zip(self.keys, self.asked, self.outputs, self.bounds, strict=True)
        return [
            [key, one.word, output, *(a.tolist() for a in bounds)]
            for key, one, output, bounds in each
        ]

    def units(self, model: Model) -> dict[str, str]:
        """name of a reduction -> its unit."""
        each = zip(self.keys, self.asked, self.outputs, strict=True)
        return {
            key: one.unit(model.output_unit(output), model.time_unit) for key, one, output in each
        }

    @property
    def located(self) -> tuple[str, ...]:
        """The outputs that jump and are integrated: a step ends where they do."""
        each = zip(self.asked, self.outputs, self.jumps, strict=True)
        return tuple(
            dict.fromkeys(
                name for one, name, jumps in each if jumps and isinstance(one, AUC | TimeAbove)
            )
        )

    def check_differentiable(self, cotangent: Array | None = None) -> None:
        """InputError if a derivative of a Tmax is asked for.

        cotangent: (patients, reductions), where a column of zeros asks for none; None asks for all.
        """
        for k in self.of_time:
            if cotangent is None or np.any(cotangent[:, k] != 0.0):
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
        level = one.threshold if isinstance(one, TimeAbove) else 0.0
        bounds.append(window_of(key, one.start, one.end, level, times))
    known = {name: _is_linear(model.outputs()[name]) for name in dict.fromkeys(names)}
    return Reductions(
        keys=tuple(keys),
        asked=tuple(given),
        outputs=tuple(names),
        bounds=tuple(bounds),
        linear=tuple(known[name] for name in names),
        jumps=tuple(_jumps(model.outputs()[name]) for name in names),
    )


def _is_linear(output: Expression) -> bool:
    """Whether an output is linear in the states, with coefficients that do not change."""
    if any(leaf.op in ("time", "after_dose") for leaf in leaves(output)):
        return False
    if _jumps(output):
        return False
    states = [leaf for leaf in leaves(output) if leaf.op == "state"]
    slopes = [derivative(output, state) for state in states]
    return not any(leaf.op in ("state", "time") for slope in slopes for leaf in leaves(slope))


def _jumps(output: Expression) -> bool:
    """Does an output compare states, or the time?"""
    return any(
        node.op in ("lt", "le") and changes_with(node, "state", "time", "after_dose")
        for node in topological([output])
    )


def _output(model: Model, one: Reduction, outputs: Sequence[str] | str | None) -> str:
    """The name of the output that a reduction is of; InputError where none is meant."""
    if outputs is None:
        chosen = model.output_names
    else:
        chosen = (outputs,) if isinstance(outputs, str) else tuple(outputs)
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
