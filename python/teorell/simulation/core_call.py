"""Everything the core is called with for one choice of numbers, and what it was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from teorell.arrays import Array
from teorell.engine.batch import Batch, Raw, Samples, Summary, Timeline
from teorell.model import Model
from teorell.model.expression import Expression, leaves
from teorell.schedule.covariates import Moments, rows_at
from teorell.schedule.dose import BOLUS, NOT_STEADY, RESET
from teorell.schedule.dose_table import DoseTable, from_equilibrium, without_late
from teorell.schedule.dosing_rules import Doses, doses_of
from teorell.schedule.given_doses import Given, dose_table
from teorell.schedule.introduction import introduced
from teorell.schedule.record_times import RecordTimes
from teorell.schedule.switch_rows import SwitchTimes
from teorell.schedule.timeline import samples_of, timeline_of
from teorell.simulation.parameters import ParameterColumns
from teorell.simulation.steady_state import SteadyStates, steady_states
from teorell.simulation.switch_times import arrival_columns, arrival_numbers, switch_times

__all__ = ["CoreCall", "core_call"]


@dataclass(frozen=True, eq=False)
class CoreCall:
    """What the core solves, and what its timeline was made from."""

    batch: Batch
    columns: ParameterColumns
    doses: Doses
    switches: tuple[SwitchTimes, ...]
    steady: SteadyStates | None
    equilibrium: bool
    regimen: Given

    @property
    def timeline(self) -> Timeline:
        return self.batch.timeline

    def report(self, raw: Raw) -> None:
        """Says of patients without a steady state that this is what failed them."""
        if self.steady is None or not self.steady.status.any():
            return
        table, (rows, why) = self.doses.table, self.steady.missing
        # the first of a patient counts, and what comes later plays no part
        told = np.flatnonzero(table.time[rows] <= self._ends[table.owner[rows]])[::-1]
        rows, why = rows[told], why[told]
        raw.status[table.owner[rows]] = why
        raw.failure_time[table.owner[rows]] = table.time[rows]

    @property
    def _ends(self) -> Array:
        """(patients,) when the last sample is taken, or the last window of reductions ends."""
        return _ends_of(self.batch.times, self.batch.summary, self.batch.patients)


def _ends_of(times: Array | Samples | RecordTimes, summary: Summary | None, patients: int) -> Array:
    """(patients,) when all that is asked of each is over; before any time where nothing is."""
    if isinstance(times, np.ndarray):
        result = np.full(patients, times[-1] if times.size else -np.inf)
    else:
        last, some = times.offsets[1:] - 1, times.counts > 0
        result = np.full(patients, -np.inf)
        result[some] = times.times[last[some]]
    return result if summary is None else np.maximum(result, summary.windows[..., 1].max(axis=0))


def core_call(
    *,
    model: Model,
    columns: ParameterColumns,
    regimen: Given,
    times: Array | RecordTimes,
    outputs: tuple[str, ...],
    patients: int,
    options: Mapping[str, Any],
    derivatives: str | None,
    equilibrium: bool,
    summary: Summary | None,
    located: tuple[str, ...] = (),
) -> CoreCall:
    """Lower the model, find its switches, make the timeline.

    derivatives: None, "vjp" or "jvp", as for lowering.recent.programs_of. equilibrium: patients
    begin where they come to rest without doses. located: outputs whose jumps are ends of steps.
    Raises InputError where the threshold of a switch is not a number, and where rules of doses do
    not hold.
    """
    # not at the top: `import teorell` needs neither lowering nor the extension
    from teorell.lowering.recent import programs_of

    table = dose_table(regimen, model.state_names, patients)
    if equilibrium:
        table = from_equilibrium(table)
    infusions = table.into[(table.kind != BOLUS) & (table.kind != RESET)]
    infused = {table.states[k] for k in np.unique(infusions)}
    programs = programs_of(
        model,
        outputs,
        tuple(name for name in model.state_names if name in infused),
        derivatives,
        tuple(columns.steps),
        located,
    )
    everything = (*columns.values, *arrival_columns(programs))
    switches = switch_times(programs, everything, model.name)
    table = _own_rows(table, model, columns, switches, patients)
    ends = _ends_of(times, summary, patients)
    table = without_late(table, ends if table.patients == patients else np.max(ends, keepdims=True))
    read = _Read(columns)
    given = introduced(table, model.dosing_rules, columns.steps, read.of)
    doses = doses_of(given, model.dosing_rules, read.of)
    records = given.table.moments()
    steady = steady_states(
        model, doses, lambda rows: read.everything(records.of(rows)), options, derivatives
    )
    timeline = timeline_of(
        doses,
        states={name: number for number, name in enumerate(model.state_names)},
        infused={name: number for number, name in enumerate(programs.infused)},
        switches=switches,
        covariates={columns.names.index(name): steps for name, steps in columns.steps.items()},
        steady=None if steady is None else steady.found,
        between=isinstance(times, RecordTimes) and times.order is not None,
        arrivals=arrival_numbers(programs),
        acting=bool(model.events),
    )
    at = samples_of(times, timeline) if isinstance(times, RecordTimes) else times
    batch = Batch(programs, everything, patients, timeline, at, summary)
    return CoreCall(batch, columns, doses, switches, steady, equilibrium, regimen)


@dataclass(frozen=True)
class _Read:
    """The values that parameters have at moments."""

    columns: ParameterColumns

    def of(self, expression: Expression, at: Moments) -> dict[Expression, Array]:
        """symbol -> () or (n,), for the parameters in an expression."""
        return {
            leaf: self.one(leaf.name, at) for leaf in leaves(expression) if leaf.op == "parameter"
        }

    def everything(self, at: Moments) -> tuple[Array, ...]:
        """One column a parameter, () or (n,)."""
        return tuple(self.one(name, at) for name in self.columns.names)

    def one(self, name: str, at: Moments) -> Array:
        if name in self.columns.steps:
            steps = self.columns.steps[name]
            return steps.values[rows_at(steps, at)]
        column: Array = self.columns.values[self.columns.names.index(name)]
        return column[at.owner] if column.ndim else column


def _own_rows(
    table: DoseTable,
    model: Model,
    columns: ParameterColumns,
    switches: Sequence[SwitchTimes],
    patients: int,
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
