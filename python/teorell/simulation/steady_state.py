"""Steady state: the state in which a dose that has been given for ever leaves the patient.

A record at steady state starts from the state that one dosing interval leads back to: the fixed
point x = flow(x) of a flow that the solver computes, all records at once, each a patient of its
own. The infusions of earlier intervals that still run are part of the flow. With an infusion
that has run for ever, x is where it leads to in the end. States that nothing depends on, such as an
AUC or an excreted amount, have no steady state: they start at zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.engine.batch import NO_STEADY_STATE
from teorell.errors import InputError
from teorell.model import Model
from teorell.model.evaluate import evaluate_all
from teorell.model.expression import symbol
from teorell.schedule.dose import BOLUS, NOT_STEADY
from teorell.schedule.dosing_rules import Doses
from teorell.schedule.timeline import timeline_of
from teorell.schedule.timeline_rows import pending
from teorell.simulation.flows import Flows
from teorell.simulation.interval import (
    IN_THE_END,
    check_autonomous,
    flows_of,
    given_rows,
    keeps_totals,
    lasting,
    of_states,
    oscillates,
    state_rows,
)
from teorell.simulation.rest import rests
from teorell.simulation.steady_derivatives import SteadyStates
from teorell.simulation.switch_times import arrival_columns, arrival_numbers, switch_times

__all__ = ["SteadyStates", "steady_states"]

BLOCK = 2048  # records whose flows are followed at once,
RETURNS = 100.0  # times the tolerance: how near to itself a state with events comes back
ENTRIES = 4_000_000  # and entries of their matrices, at most


def steady_states(
    model: Model,
    doses: Doses,
    parameters: Callable[[NDArray[np.int64]], tuple[Array, ...]],
    options: Mapping[str, Any],
    derivatives: str | None = None,
) -> SteadyStates | None:
    """The states that precede the records at steady state; None if there are none.

    parameters(rows): one column a parameter, () or (n,), at these rows of the doses. options: of
    the solver. derivatives: as for `lower`.
    """
    rows = np.flatnonzero(doses.table.steady != NOT_STEADY)
    if not rows.size:
        return None
    from teorell.lowering.recent import programs_of

    check_autonomous(model)
    names = model.state_names
    flows, horizon = flows_of(doses, rows, names)
    if horizon.max() >= IN_THE_END and options["max_step"] < math.inf:
        raise InputError(
            f"max_step is {options['max_step']:g} and a steady state is that of a constant input "
            f"(which the solver follows for {IN_THE_END:g} time units). Leave max_step out."
        )
    into = {names[k] for k in flows.table.into[flows.table.kind != BOLUS]}
    infused = tuple(name for name in names if name in into)
    programs = programs_of(of_states(model), names, infused, derivatives)
    given, kept = parameters(rows), lasting(model)
    columns = (*given, *arrival_columns(programs))
    switches = switch_times(programs, columns, model.name)
    timeline = timeline_of(
        flows,
        states={name: k for k, name in enumerate(names)},
        infused={name: k for k, name in enumerate(programs.infused)},
        switches=switches,
        ongoing=True,
        arrivals=arrival_numbers(programs),
        acting=bool(model.events),
    )
    flows_of_states = Flows(
        programs=programs,
        tangent_programs=lambda: programs_of(of_states(model), names, infused, "jvp"),
        columns=columns,
        timeline=timeline,
        inside=state_rows(timeline, flows.table, len(names)),
        horizon=horizon,
        kept=kept,
        settings=dict(options, before=True),
    )
    start = _initial_states(model, given, len(rows))
    states, status, projection = _found(model, flows, flows_of_states, start)
    return SteadyStates(
        model=model,
        programs=programs,
        flows=flows_of_states,
        rows=rows,
        whole=pending(doses)[rows],
        doses=flows,
        switches=switches,
        status=status,
        start=start,
        states=states,
        projection=projection,
    )


def _found(
    model: Model, doses: Doses, flows: Flows, start: Array
) -> tuple[Array, NDArray[np.int32], dict[int, Array]]:
    """The states (states, records), NaN where there are none, the status of each record, and the
    projections on what keeps its value, by record.
    """
    kept = flows.kept
    records, some = start.shape[1], int(kept.sum())
    names = np.array(model.state_names)
    positive = np.array([not model.state_info(name).signed for name in names[kept]], np.bool_)
    own = given_rows(doses.table)
    into, ever = doses.table.into[own], doses.for_ever[own]
    rhythmic = np.zeros(records, np.bool_)
    for state in np.unique(into):
        rhythmic[into == state] = oscillates(model, names[state])
    states = np.where(kept[:, None], np.nan, np.zeros((1, records)))
    status = np.zeros(records, np.int32)
    projection: dict[int, Array] = {}
    if not some:
        return states, status, projection
    totals = keeps_totals(model, kept)
    begin = np.ascontiguousarray(start[kept].T)
    block = max(1, min(BLOCK, ENTRIES // (some * some)))
    for first in range(0, records, block):
        which = slice(first, min(first + block, records))
        found = flows.attractors(which, begin[which], positive, rhythmic[which], totals)
        states[kept, which], status[which] = found.states.T, found.status
        numbers = np.arange(records)[which]
        if model.events:
            _check_return(flows, numbers, states, status)
        _check_rest(model, flows, numbers[ever[which]], states, status)
        neutral = np.flatnonzero((found.keeps != 0) & (status[which] == 0))
        projection |= {first + k: np.array(found.projection[k]) for k in neutral.tolist()}
    return states, status, projection


def _check_return(
    flows: Flows, which: NDArray[np.int64], states: Array, status: NDArray[np.int32]
) -> None:
    """Take back the points of flows `which` that do not lead to themselves.

    What an event does to a state may be what the search takes for a total that is kept.
    """
    which = which[status[which] == 0]
    if not which.size:
        return
    x = np.ascontiguousarray(states[np.ix_(flows.kept, which)].T)
    reached, how = flows.advance(x, which)
    with np.errstate(invalid="ignore"):
        near = np.abs(reached - x) <= RETURNS * flows.rtol * (np.abs(x) + flows.least)
    moved = which[~near.all(axis=1) | (how != 0)]
    status[moved] = NO_STEADY_STATE
    states[np.ix_(flows.kept, moved)] = np.nan


def _check_rest(
    model: Model,
    flows: Flows,
    which: NDArray[np.int64],
    states: Array,
    status: NDArray[np.int32],
) -> None:
    """Take back the points of records `which`, where all has settled, that do not attract."""
    which = which[status[which] == 0]
    if not which.size:
        return
    given = flows.columns[: len(model.parameter_names)]
    columns = tuple(column[which] if column.ndim else column for column in given)
    moved = which[~rests(model, columns, states[:, which], flows.kept)]
    status[moved] = NO_STEADY_STATE
    states[np.ix_(flows.kept, moved)] = np.nan


def _initial_states(model: Model, columns: tuple[Array, ...], records: int) -> Array:
    """(states, records) the initial values of the model, by the parameters of each record."""
    named = zip(model.parameter_names, columns, strict=True)
    values = {symbol("parameter", name): column for name, column in named}
    initials = evaluate_all(list(model.initials().values()), values)
    return np.array(np.broadcast_arrays(*initials, np.zeros(records))[:-1])
