"""Everything the core is called with for one choice of numbers, and what its derivatives are in
terms of these.

A parameter acts through the programs, through the times of switches and through the rules of doses;
a number of a regimen through rows of the table of events, and where it is at steady state also
through the states that precede it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from teorell.covariates import rows_at
from teorell.dose_table import BOLUS, NOT_STEADY, RESET, DoseTable, from_equilibrium
from teorell.dosing_rules import Doses, doses_of, like
from teorell.errors import InputError, count
from teorell.event_derivatives import (
    change_rows,
    check_defined,
    pull_back_rows,
    pull_back_switches,
    push_forward_rows,
    push_forward_switches,
    undefined,
)
from teorell.events import STATE, Events, SwitchTimes, events, samples_of
from teorell.expression import Expression, derivative, evaluate, leaves, symbol
from teorell.model import Model
from teorell.parameters import Array, Columns
from teorell.record_times import RecordTimes
from teorell.regimen import Dose, Given, Regimen, dose_table
from teorell.steady_state import SteadyStates, steady_states

if TYPE_CHECKING:
    from teorell.lowering import Programs
    from teorell.samples import Samples, Summary
    from teorell.solve import Raw, RawGradient, Tangents

__all__ = ["Input", "Run", "lines_of", "run_of"]


class Input(NamedTuple):
    """A number that may vary: a parameter, or a field of a line of the regimen that all patients
    share.
    """

    kind: str  # "parameter" or "dose"
    name: str  # of the parameter, or of the field: amount, time, every, duration or rate
    line: int = -1  # of the regimen; -1 for a parameter


def lines_of(regimen: Given) -> tuple[Dose, ...]:
    """The lines of a regimen for all patients; none of a list or a table, whose doses are no
    inputs.
    """
    return regimen.lines if isinstance(regimen, Regimen) else ()


@dataclass(frozen=True, eq=False)
class Run:
    """The arguments of the core, and what the events were made from."""

    programs: Programs
    columns: Columns
    patients: int
    events: Events
    times: Array | Samples  # (times,), or of each patient its own
    doses: Doses
    switches: tuple[SwitchTimes, ...]
    steady: SteadyStates | None
    equilibrium: bool = False
    summary: Summary | None = None

    @property
    def arguments(self) -> tuple[Programs, tuple[Array, ...], int, Events, Array | Samples]:
        """Those of the functions of solve.py, in their order."""
        return self.programs, self.columns.values, self.patients, self.events, self.times

    def report(self, raw: Raw | RawGradient) -> None:
        """Says of patients without a steady state that this is what failed them."""
        if self.steady is None or not self.steady.missing.size:
            return
        from teorell.solve import NO_STEADY_STATE

        table, rows = self.doses.table, self.steady.missing[::-1]
        # what comes later plays no part
        rows = rows[table.time[rows] <= self._ends[table.owner[rows]]]
        raw.status[table.owner[rows]] = NO_STEADY_STATE
        raw.failure_time[table.owner[rows]] = table.time[rows]

    @property
    def _ends(self) -> Array:
        """(patients,) when the last sample is taken, or the last window of reductions ends."""
        windows = -np.inf if self.summary is None else self.summary.windows[..., 1].max(axis=0)
        return np.maximum(self._last_samples, windows)

    @property
    def _last_samples(self) -> Array:
        """(patients,) the time of the last sample of each; before any time where there is none."""
        if isinstance(self.times, np.ndarray):
            return np.full(self.patients, self.times[-1] if self.times.size else -np.inf)
        last, some = self.times.offsets[1:] - 1, np.diff(self.times.offsets) > 0
        result = np.full(self.patients, -np.inf)
        result[some] = self.times.times[last[some]]
        return result

    def pull_back(self, raw: RawGradient, inputs: Sequence[Input]) -> list[Array]:
        """From the cotangents of what the core reads to those of inputs, each (patients,); of a
        parameter that changes over time (rows,), one a value.

        NaN by the duration or rate of an infusion that is only a bolus: there is no derivative.
        """
        value, time = _rows_first(raw.event_value), _rows_first(raw.event_time)
        bars = pull_back_rows(self.doses, self.events, value, time)
        found = {name: np.array(raw.parameters[:, k]) for k, name in enumerate(self.columns.names)}
        steps = {name: np.zeros(len(s.values)) for name, s in self.columns.steps.items()}
        if self.steady is not None:
            of_records = self.steady.pull_back(
                value[self._state_rows].reshape(self.steady.shape), bars
            )
            for name, bar in of_records.items():
                self._to_parameter(name, self.steady.rows, bar, found, steps)
        numbers, of_rules = self.doses.pull_back(**bars)
        none = like(undefined(self.doses), value)
        for mine, name in ((numbers, "extent"), (of_rules, "rate"), (of_rules, "duration")):
            mine[name] = np.where(none, np.nan, mine[name])
        for rule in self.doses.rules:
            for name, slope in rule.slopes.items():
                bar = np.where(slope == 0.0, 0.0, slope * of_rules[rule.field][rule.rows])
                self._to_parameter(name, rule.rows, bar, found, steps)
        for switch_bar, slopes in zip(
            pull_back_switches(self.events, self.switches, time), self._slopes, strict=True
        ):
            for name, slope in slopes.items():
                # A threshold of -inf, where the switch does not move, has an infinite slope.
                with np.errstate(invalid="ignore"):
                    found[name] = found[name] + np.where(switch_bar == 0.0, 0.0, switch_bar * slope)
        for name, bar in steps.items():
            self._to_steps(name, found[name], value, bar)
        return [self._of_input(entry, found, steps, numbers) for entry in inputs]

    def _of_input(
        self,
        entry: Input,
        found: Mapping[str, Array],
        steps: Mapping[str, Array],
        numbers: Mapping[str, Array],
    ) -> Array:
        if entry.kind == "parameter":
            return steps[entry.name] if entry.name in steps else found[entry.name]
        name = "extent" if entry.name in ("duration", "rate") else entry.name
        return self._of_line(numbers[name], entry.line)

    def _of_line(self, rows: Array, line: int) -> Array:
        """(patients,) of what stands in the rows of one line."""
        return rows[self._line_rows(line)].reshape(-1)

    def _line_rows(self, line: int) -> slice:
        """The rows of a line: one, or one a patient; the record of an equilibrium comes before all
        lines.
        """
        of_patient = len(self.doses.amount) // self.doses.table.patients
        return slice(line + self.equilibrium, None, of_patient)

    def _to_parameter(
        self,
        name: str,
        rows: NDArray[np.int64],
        bar: Array,
        found: dict[str, Array],
        steps: dict[str, Array],
    ) -> None:
        """Adds cotangents of the values that a parameter has at rows of the doses, (n,) or (n,
        patients).
        """
        if name in steps:
            np.add.at(steps[name], self._step_rows(name, rows), bar)
        elif bar.ndim == 2:
            for one in bar:
                found[name] += one
        else:
            np.add.at(found[name], self.doses.table.owner[rows], bar)

    def _to_steps(self, name: str, at_start: Array, value: Array, bar: Array) -> None:
        """Adds those of the first values and of the changes of a parameter."""
        steps = self.columns.steps[name]
        rows = change_rows(self.events, self.columns.names.index(name))
        first = np.broadcast_to(steps.offsets[:-1], at_start.shape)
        np.add.at(bar, first, at_start)
        per_row = value[rows] if value.ndim == 1 else value[rows].sum(axis=1)
        np.add.at(bar, self.events.source[rows], per_row)

    def _step_rows(self, name: str, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        table = self.doses.table
        order = None if table.order is None else table.order[rows]
        return rows_at(self.columns.steps[name], table.owner[rows], table.time[rows], order)

    @cached_property
    def _state_rows(self) -> NDArray[np.int64]:
        """The rows of events with the states at steady state, record after record."""
        rows = np.flatnonzero(self.events.role == STATE)
        return rows[np.lexsort((self.events.number[rows], self.events.source[rows]))]

    def push_forward(
        self, inputs: Sequence[Input], directions: Sequence[Sequence[ArrayLike | None]]
    ) -> Tangents:
        """The tangents of what the core reads, for each direction from those of the inputs; None is
        0.

        Those of a number are () or (patients,); of a parameter that changes over time () or
        (rows,), one a value.
        Raises InputError where there is no derivative, as above.
        """
        from teorell.solve import Tangents

        parameters, values, times = [], [], []
        for direction in directions:
            dots = {
                entry: np.asarray(dot)
                for entry, dot in zip(inputs, direction, strict=True)
                if dot is not None
            }
            of_parameters = {
                entry.name: dot for entry, dot in dots.items() if entry.kind == "parameter"
            }
            for name in of_parameters.keys() & self.columns.steps.keys():
                of_parameters[name] = np.broadcast_to(
                    of_parameters[name], self.columns.steps[name].values.shape
                )
            parameters.append(self._columns(of_parameters))
            value, time = self._rows(dots, of_parameters)
            values.append(value)
            times.append(time)
        shape = np.broadcast_shapes(*(rows.shape for rows in (*values, *times)))
        moving = (
            _stacked(rows, shape) if any(each.any() for each in rows) else None
            for rows in (values, times)
        )
        return Tangents(
            _stacked(parameters, np.broadcast_shapes(*(each.shape for each in parameters))), *moving
        )

    def _columns(self, dots: Mapping[str, Array]) -> Array:
        """(patients or 1, parameters) from tangents of some parameters, those at the start of what
        changes over time.
        """
        first = {
            n: d[self.columns.steps[n].offsets[:-1]] if n in self.columns.steps else d
            for n, d in dots.items()
        }
        result = np.zeros(
            (max([dot.size for dot in first.values()], default=1), len(self.columns.names))
        )
        for name, dot in first.items():
            result[:, self.columns.names.index(name)] = dot
        return result

    def _rows(
        self, dots: Mapping[Input, Array], of_parameters: Mapping[str, Array]
    ) -> tuple[Array, Array]:
        """Tangents of the values and times of the events: (patients or 1, rows) of a shared table,
        else (rows,).
        """
        doses = self.doses
        of_doses = {entry: dot for entry, dot in dots.items() if entry.kind == "dose"}
        shared = len(self.events.offsets) == 2
        most = (
            max([dot.size for dot in (*of_doses.values(), *of_parameters.values())], default=1)
            if shared
            else 1
        )
        shape = (len(doses.amount), most) if shared and most > 1 else (len(doses.amount),)
        numbers = {name: np.zeros(shape) for name in ("amount", "time", "every", "extent")}
        for entry, dot in of_doses.items():
            name = "extent" if entry.name in ("duration", "rate") else entry.name
            numbers[name][self._line_rows(entry.line)] = dot
        of_rules = {
            name: np.zeros(shape) for name in ("lag", "bioavailability", "rate", "duration")
        }
        for rule in doses.rules:
            for name, slope in rule.slopes.items():
                if name in of_parameters:
                    dot = slope * self._at_rows(name, of_parameters[name], rule.rows)
                    of_rules[rule.field][rule.rows] += (
                        dot if len(shape) == 1 or dot.ndim == 2 else dot[..., None]
                    )
        fields = doses.push_forward(numbers, of_rules)
        check_defined(doses, fields["rate"])
        value, time = push_forward_rows(doses, self.events, fields)
        if self.steady is not None and (any(f.any() for f in fields.values()) or of_parameters):
            at_records = {
                n: self._at_rows(n, d, self.steady.rows) for n, d in of_parameters.items()
            }
            value[self._state_rows] = self.steady.push_forward(at_records, fields).reshape(-1)
        for name, dot in of_parameters.items():
            if name in self.columns.steps:
                rows_of = change_rows(self.events, self.columns.names.index(name))
                value[rows_of] = dot[self.events.source[rows_of]]
        with np.errstate(invalid="ignore"):
            moved = [
                sum(
                    (slopes[name] * dot for name, dot in of_parameters.items() if name in slopes),
                    np.zeros(()),
                )
                for slopes in self._slopes
            ]
        if any(dot.any() for dot in moved):
            by_switches = push_forward_switches(self.events, self.switches, moved)
            if by_switches.ndim > time.ndim:
                time = time[:, None]
            elif by_switches.ndim < time.ndim:
                by_switches = by_switches[:, None]
            time = time + by_switches
        if not shared:
            return value, time
        value, time = (each if each.ndim == 2 else each[:, None] for each in (value, time))
        return value.T, time.T

    def _at_rows(self, name: str, dot: Array, rows: NDArray[np.int64]) -> Array:
        """The tangent of a parameter at rows of the doses: (), (n,), or (1, patients) where all
        share the table.
        """
        if name in self.columns.steps:
            return dot[self._step_rows(name, rows)]
        if dot.ndim == 0:
            return dot
        return (
            dot[None, :]
            if len(self.events.offsets) == 2 and dot.size > 1
            else dot[self.doses.table.owner[rows]]
        )

    @cached_property
    def _slopes(self) -> list[dict[str, Array]]:
        """For each switch, d threshold / d parameter, () or (patients,), for
        the parameters in it.
        """
        columns = zip(self.columns.names, self.columns.values, strict=True)
        values = {symbol("parameter", name): column for name, column in columns}
        found = []
        for switch in self.programs.switches:
            inside = {leaf for leaf in leaves(switch.threshold) if leaf.op == "parameter"}
            slopes = {
                leaf.name: evaluate(derivative(switch.threshold, leaf), values) for leaf in inside
            }
            found.append(
                {name: np.asarray(slope, dtype=np.float64) for name, slope in slopes.items()}
            )
        return found


def _rows_first(rows: Array) -> Array:
    """(rows,) or (rows, patients), of cotangents (rows,) or (patients, rows)."""
    return rows.T if rows.ndim == 2 else rows


def _stacked(directions: Sequence[Array], shape: tuple[int, ...]) -> Array:
    """The directions, each broadcast to the shape, one after the other."""
    return np.stack([np.broadcast_to(each, shape) for each in directions])


def run_of(
    model: Model, columns: Columns, regimen: Given, times: Array | RecordTimes, outputs: tuple[str,
    ...], patients: int, options: Mapping[str, Any], derivatives: str | None = None,
    equilibrium: bool = False, summary: Summary | None = None,
) -> Run:  # fmt: skip
    """Lower the model, find its switches, make the events. derivatives: None, "vjp" or "jvp", as
    for lowered.programs_of.

    equilibrium: patients begin where they come to rest without doses.
    Raises InputError where the threshold of a switch is not a number, and where rules of doses do
    not hold.
    """
    # not at the top: `import teorell` needs neither lowering nor the extension
    from teorell.lowered import programs_of

    table = dose_table(regimen, model.state_names, patients)
    if equilibrium:
        table = from_equilibrium(table)
    infused = {
        table.states[k]
        for k in np.unique(table.into[(table.kind != BOLUS) & (table.kind != RESET)])
    }
    programs = programs_of(
        model, outputs, tuple(name for name in model.state_names if name in infused), derivatives
    )
    switches = _switches(model, programs, columns)
    table = _own_rows(table, model, columns, switches, patients)
    at_rows = _ValuesAt(columns, table)
    doses = doses_of(table, model.dosing_rules, at_rows.of)
    steady = steady_states(model, doses, at_rows.everything, options, derivatives)
    rows = events(
        doses,
        {name: number for number, name in enumerate(model.state_names)},
        {name: number for number, name in enumerate(programs.infused)},
        switches,
        {columns.names.index(name): steps for name, steps in columns.steps.items()},
        None if steady is None else steady.found,
    )
    at = samples_of(times, rows) if isinstance(times, RecordTimes) else times
    return Run(programs, columns, patients, rows, at, doses, switches, steady, equilibrium, summary)


@dataclass(frozen=True)
class _ValuesAt:
    """The values that parameters have at rows of the doses."""

    columns: Columns
    table: DoseTable

    def of(self, expression: Expression, rows: NDArray[np.int64]) -> dict[Expression, Array]:
        """symbol -> () or (n,), for the parameters in an expression."""
        return {
            leaf: self.one(leaf.name, rows) for leaf in leaves(expression) if leaf.op == "parameter"
        }

    def everything(self, rows: NDArray[np.int64]) -> tuple[Array, ...]:
        """One column a parameter, () or (n,)."""
        return tuple(self.one(name, rows) for name in self.columns.names)

    def one(self, name: str, rows: NDArray[np.int64]) -> Array:
        owner = self.table.owner[rows]
        if name in self.columns.steps:
            steps = self.columns.steps[name]
            order = None if self.table.order is None else self.table.order[rows]
            return steps.values[rows_at(steps, owner, self.table.time[rows], order)]
        column = self.columns.values[self.columns.names.index(name)]
        return column[owner] if column.ndim else column


def _own_rows(
    table: DoseTable, model: Model, columns: Columns, switches: Sequence[SwitchTimes], patients: int
) -> DoseTable:
    """With rows for each patient where what becomes of a dose, or any other event, depends on the
    patient's parameters.
    """
    if table.patients == patients:
        return table
    if any(switch.threshold.ndim for switch in switches) or any(
        s.patients > 1 for s in columns.steps.values()
    ):
        return table.repeated(patients)
    into = {table.states[k] for k in np.unique(table.into[table.into >= 0])}
    rules = [rule for name, rule in model.dosing_rules.items() if name in into]
    exprs = [
        e
        for rule in rules
        for e in (rule.lag, rule.bioavailability, rule.rate, rule.duration)
        if e is not None
    ]
    read = {leaf.name for e in exprs for leaf in leaves(e)}
    by_patient = any(
        columns.values[columns.names.index(name)].ndim or name in columns.steps for name in read
    )
    return table.repeated(patients) if by_patient or (table.steady != NOT_STEADY).any() else table


def _switches(model: Model, programs: Programs, columns: Columns) -> tuple[SwitchTimes, ...]:
    """When the model's conditions on time change, for each patient."""
    values = {
        symbol("parameter", name): column
        for name, column in zip(columns.names, columns.values, strict=True)
    }
    found = []
    for switch in programs.switches:
        threshold: Array = np.asarray(evaluate(switch.threshold, values), dtype=np.float64)
        undefined_at = np.flatnonzero(np.isnan(threshold))
        if undefined_at.size:
            raise InputError(
                f"a condition on time in model {model.name!r} changes at {switch.threshold!r} (not "
                f"a number for {count(undefined_at.size, 'patient')}, the first is patient "
                f"{undefined_at[0]}). Check the parameters in it."
            )
        changing = [leaf.name for leaf in leaves(switch.threshold) if leaf.name in columns.steps]
        if changing:
            raise InputError(
                f"parameter {changing[0]!r} changes over time, and a condition on time depends on "
                "it (when would it change?). Give it one value a patient."
            )
        found.append(SwitchTimes(threshold, switch.before, switch.after))
    return tuple(found)
