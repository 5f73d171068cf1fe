"""Everything the core is called with for one choice of numbers, and what its derivatives are in terms of these.

A parameter acts through the programs and through the times of switches, a dose through rows of the table of events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from teorell.errors import InputError, count
from teorell.event_derivatives import pull_back_doses, pull_back_switches, push_forward_doses, push_forward_switches
from teorell.events import Events
from teorell.expression import derivative, evaluate, leaves, symbol
from teorell.model import Model
from teorell.parameters import Array, Columns
from teorell.regimen import Dose, Given, Regimen, SwitchTimes, events, infused_states

if TYPE_CHECKING:
    from teorell.lowering import Programs
    from teorell.solve import RawGradient, Tangents

__all__ = ["Input", "Run", "lines_of", "run_of"]


class Input(NamedTuple):
    """A number that may vary: a parameter, or a field of a line of the regimen that all patients share."""

    kind: str  # "parameter" or "dose"
    name: str  # of the parameter, or of the field: amount, time, every, duration or rate
    line: int = -1  # of the regimen; -1 for a parameter


def lines_of(regimen: Given) -> tuple[Dose, ...]:
    """The lines of a regimen for all patients; none of a list, whose doses are no inputs."""
    return regimen.lines if isinstance(regimen, Regimen) else ()


@dataclass(frozen=True, eq=False)
class Run:
    """The arguments of the core, and the regimen and the switches from which the events were made."""

    programs: Programs
    columns: Columns
    patients: int
    events: Events
    times: Array  # (times,)
    lines: tuple[Dose, ...]
    switches: tuple[SwitchTimes, ...]

    @property
    def arguments(self) -> tuple[Programs, tuple[Array, ...], int, Events, Array]:
        """Those of the functions of solve.py, in their order."""
        return self.programs, self.columns.values, self.patients, self.events, self.times

    def pull_back(self, raw: RawGradient, inputs: Sequence[Input]) -> list[Array]:
        """From the cotangents of what the core reads to those of inputs, each (patients,).

        NaN by the duration or rate of an infusion that is only a bolus: there is no derivative.
        """
        switch_bars = pull_back_switches(self.events, self.switches, raw.event_time)
        dose_bars: list[dict[str, Array]] = []
        if any(entry.kind == "dose" for entry in inputs):
            shape = self.patients, raw.event_time.size // self.patients
            dose_bars = pull_back_doses(
                self.lines, self.events, raw.event_value.reshape(shape), raw.event_time.reshape(shape)
            )
        found = []
        for entry in inputs:
            if entry.kind == "dose":
                found.append(dose_bars[entry.line][entry.name])
                continue
            bar = raw.parameters[:, self.columns.names.index(entry.name)]
            for switch_bar, slopes in zip(switch_bars, self._slopes, strict=True):
                if entry.name in slopes:
                    # A threshold of -inf, where the switch does not move, has an infinite slope.
                    with np.errstate(invalid="ignore"):
                        bar = bar + np.where(switch_bar == 0.0, 0.0, switch_bar * slopes[entry.name])
            found.append(bar)
        return found

    def push_forward(self, inputs: Sequence[Input], directions: Sequence[Sequence[ArrayLike | None]]) -> Tangents:
        """The tangents of what the core reads, for each direction from those of the inputs, () or (patients,); None is 0.

        Raises InputError where there is no derivative, as above.
        """
        from teorell.solve import Tangents

        parameters, values, times = [], [], []
        for direction in directions:
            dots = {entry: np.asarray(dot) for entry, dot in zip(inputs, direction, strict=True) if dot is not None}
            of_parameters = {entry.name: dot for entry, dot in dots.items() if entry.kind == "parameter"}
            parameters.append(self._columns(of_parameters))
            value, time = self._doses({entry: dot for entry, dot in dots.items() if entry.kind == "dose"})
            with np.errstate(invalid="ignore"):
                moved = [
                    sum((slopes[name] * dot for name, dot in of_parameters.items() if name in slopes), np.zeros(()))
                    for slopes in self._slopes
                ]
            if any(dot.any() for dot in moved):
                time = time + push_forward_switches(self.events, self.switches, moved)
            values.append(value)
            times.append(time)
        shape = np.broadcast_shapes(*(rows.shape for rows in (*values, *times)))
        moving = (_stacked(rows, shape) if any(each.any() for each in rows) else None for rows in (values, times))
        return Tangents(_stacked(parameters, np.broadcast_shapes(*(each.shape for each in parameters))), *moving)

    def _columns(self, dots: Mapping[str, Array]) -> Array:
        """(patients or 1, parameters) from tangents of some parameters."""
        result = np.zeros((max([dot.size for dot in dots.values()], default=1), len(self.columns.names)))
        for name, dot in dots.items():
            result[:, self.columns.names.index(name)] = dot
        return result

    def _doses(self, dots: Mapping[Input, Array]) -> tuple[Array, Array]:
        """Tangents of the values and times of rows; one zero for all of them if no dose changes."""
        if not dots:
            return np.zeros(()), np.zeros(())
        fields: list[dict[str, Array]] = [{} for _ in self.lines]
        for entry, dot in dots.items():
            fields[entry.line][entry.name] = dot
        return push_forward_doses(self.lines, self.events, fields)

    @cached_property
    def _slopes(self) -> list[dict[str, Array]]:
        """For each switch, d threshold / d parameter, () or (patients,), for the parameters in it."""
        columns = zip(self.columns.names, self.columns.values, strict=True)
        values = {symbol("parameter", name): column for name, column in columns}
        found = []
        for switch in self.programs.switches:
            inside = {leaf for leaf in leaves(switch.threshold) if leaf.op == "parameter"}
            slopes = {leaf.name: evaluate(derivative(switch.threshold, leaf), values) for leaf in inside}
            found.append({name: np.asarray(slope, dtype=np.float64) for name, slope in slopes.items()})
        return found


def _stacked(directions: Sequence[Array], shape: tuple[int, ...]) -> Array:
    """The directions, each broadcast to the shape, one after the other."""
    return np.stack([np.broadcast_to(each, shape) for each in directions])


def run_of(
    model: Model, columns: Columns, regimen: Given, times: Array, outputs: tuple[str, ...], patients: int,
    derivatives: str | None = None,
) -> Run:  # fmt: skip
    """Lower the model, find its switches, make the events. derivatives: None, "vjp" or "jvp", as for lowered.programs_of.

    Raises InputError where the threshold of a switch is not a number.
    """
    from teorell.lowered import programs_of  # not at the top: `import teorell` needs neither lowering nor the extension

    infused = infused_states(regimen)
    programs = programs_of(model, outputs, tuple(name for name in model.state_names if name in infused), derivatives)
    switches = _switches(model, programs, columns)
    table = events(
        regimen,
        {name: number for number, name in enumerate(model.state_names)},
        {name: number for number, name in enumerate(programs.infused)},
        patients,
        switches,
    )
    return Run(programs, columns, patients, table, times, lines_of(regimen), switches)


def _switches(model: Model, programs: Programs, columns: Columns) -> tuple[SwitchTimes, ...]:
    """When the model's conditions on time change, for each patient."""
    values = {symbol("parameter", name): column for name, column in zip(columns.names, columns.values, strict=True)}
    found = []
    for switch in programs.switches:
        threshold: Array = np.asarray(evaluate(switch.threshold, values), dtype=np.float64)
        undefined = np.flatnonzero(np.isnan(threshold))
        if undefined.size:
            raise InputError(
                f"a condition on time in model {model.name!r} changes at {switch.threshold!r} (not a number for "
                f"{count(undefined.size, 'patient')}, the first is patient {undefined[0]}). Check the parameters in it."
            )
        found.append(SwitchTimes(threshold, switch.before, switch.after))
    return tuple(found)
