"""The flow of one dosing interval: from a state, through one dose, to the state an interval later.

Many at once: each flow is a patient to the core. Its state comes in as boluses at time 0, its dose
a lag later; where the dose has run for ever, the flow leads to the end of all change.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.engine.batch import Batch, Samples, Timeline
from teorell.errors import InputError
from teorell.memo import Memo
from teorell.model import Model
from teorell.model.evaluate import evaluate_all
from teorell.model.expression import constant, derivative, leaves, symbol
from teorell.schedule.dose import BY_RATE
from teorell.schedule.dose_table import DoseTable
from teorell.schedule.dosing_rules import Doses
from teorell.schedule.timeline_rows import STATE, pending

if TYPE_CHECKING:
    from teorell.lowering import Programs

__all__ = [
    "IN_THE_END",
    "check_autonomous",
    "flow",
    "flows_of",
    "given_rows",
    "keeps_totals",
    "lasting",
    "of_states",
    "oscillates",
    "state_rows",
    "with_states",
    "within",
]

BESIDE = 2  # rows of a flow beside its states: the dose, and its end
_alone: Memo[Model] = Memo(16)
_totals: Memo[bool] = Memo(16)
IN_THE_END = 1e9  # in the model's unit of time: an infusion has led where it leads to


def flow(
    programs: Programs,
    columns: tuple[Array, ...],
    part: Timeline,
    horizon: Array,
    which: NDArray[np.int64],
) -> Batch:
    """What the core solves for some of the flows; part: the timeline of these alone."""
    samples = Samples(horizon[which], np.arange(len(which) + 1, dtype=np.int64))
    mine = tuple(column[which] if column.ndim else column for column in columns)
    return Batch(programs, mine, len(which), part, samples)


def flows_of(doses: Doses, rows: NDArray[np.int64], names: tuple[str, ...]) -> tuple[Doses, Array]:
    """One interval of each record: its states, as boluses at 0, the dose lag later, and nothing at
    the end, where a step ends as it does at the next dose; and how long it is.
    """
    n, records = len(names), len(rows)
    each = n + BESIDE
    ever = doses.for_ever[rows]
    into = np.tile(np.append(np.arange(n), [0, 0]), records).astype(np.int32)
    kind, steady = np.zeros((2, records * each), np.int8)
    amount, first, width, every = np.zeros((4, records * each))
    own = np.arange(records) * each + n
    table = doses.table
    into[own] = np.array([names.index(name) for name in table.states])[table.into[rows]]
    kind[own], steady[own] = np.where(ever, BY_RATE, table.kind[rows]), table.steady[rows]
    horizon = np.where(ever, IN_THE_END, table.every[rows])
    width[own] = np.where(ever, 2.0 * IN_THE_END, doses.width[rows])
    amount[own] = np.where(ever, doses.extent[rows] * 2.0 * IN_THE_END, doses.amount[rows])
    # of a long lag what is left after whole intervals: the doses before come in as often
    late = doses.first[rows] - table.time[rows]
    first[own] = np.where(ever, 0.0, np.maximum(late - pending(doses)[rows] * table.every[rows], 0))
    first[own + 1] = horizon
    every[own] = table.every[rows]
    nothing = np.zeros(records * each)
    own_table = DoseTable(
        states=names,
        offsets=np.arange(records + 1, dtype=np.int64) * each,
        into=into,
        kind=kind,
        steady=steady,
        amount=amount,
        time=nothing,
        every=every,
        extent=nothing,
        doses=np.ones(records * each, np.int64),
    )
    introduces = np.zeros(records * each, np.bool_)
    introduces[own] = ~ever
    found = Doses(own_table, amount, first, width, nothing + 1.0, nothing, introduces)
    return found, horizon


def check_autonomous(model: Model) -> None:
    """InputError for a model whose equations contain the time: it repeats nothing."""
    for event in model.events:
        if any(leaf.op == "time" for e in (event.when, *event.then.values()) for leaf in leaves(e)):
            raise InputError(
                f"doses are at steady state, and an event of model {model.name!r} depends on time "
                f"({event.when!r}: no interval is like the one before). Give the doses one by one, "
                "or let a state count the time."
            )
    for name, rate in model.derivatives().items():
        if any(leaf.op == "time" for leaf in leaves(rate)):
            raise InputError(
                f"doses are at steady state, and d {name}/dt of model {model.name!r} depends on "
                "time (no interval is like the one before). Give the doses one by one, or take the "
                "time out of the model."
            )


def lasting(model: Model) -> NDArray[np.bool_]:
    """(states,) False for those that no state depends on, themselves included, but such as are
    False too.
    """
    names = model.state_names
    reads = _reads(model)
    kept = set(names)
    while True:
        needed = {read for name in kept for read in reads[name]} & kept
        if needed == kept:
            return np.array([name in kept for name in names])
        kept = needed


def oscillates(model: Model, dosed: str) -> bool:
    """May some states oscillate for ever by themselves? Those that the dosed state does not act on,
    and that depend on one another.
    """
    reads = _reads(model)
    upstream = {name: _reached({name}, reads) for name in reads}
    return any(
        name in upstream[other] and other in upstream[name] and dosed not in upstream[name]
        for name in reads
        for other in reads[name]
        if other != name
    )


def keeps_totals(model: Model, kept: NDArray[np.bool_]) -> bool:
    """May a sum of kept states, each times a number, be what nothing changes?

    By the rates at random points, for random parameters: there is one where they leave a direction
    out. Remembered by what the model says.
    """
    return _totals.get((model.content(), *kept.tolist()), lambda: _keeps_totals(model, kept))


def _keeps_totals(model: Model, kept: NDArray[np.bool_]) -> bool:
    from teorell.engine.dense import least_singular_value

    rng, points, names = np.random.default_rng(0), 2 * int(kept.sum()) + 2, model.parameter_names
    values = {symbol("state", name): rng.uniform(0.5, 2.0, points) for name in model.state_names}
    values |= {symbol("parameter", name): np.array(rng.uniform(0.5, 2.0)) for name in names}
    after = rng.uniform(0.5, 2.0, points)
    values |= {symbol("after_dose", name): after for name in model.state_names}
    rates = [rate for rate, keep in zip(model.derivatives().values(), kept, strict=True) if keep]
    with np.errstate(all="ignore"):
        found = np.array(np.broadcast_arrays(*evaluate_all(rates, values), np.zeros(points))[:-1])
    size = np.abs(found).max(axis=1, keepdims=True)
    if not np.isfinite(found).all() or not (size > 0.0).all():
        return True
    return least_singular_value(found / size) < 1e-9


def _reached(names: set[str], reads: dict[str, set[str]]) -> set[str]:
    """These states, and all that they depend on."""
    found = set(names)
    while True:
        more = {read for name in found for read in reads[name]} - found
        if not more:
            return found
        found |= more


def _reads(model: Model) -> dict[str, set[str]]:
    """State -> the states that its rate depends on, or what events make of it."""
    reads = {
        name: {
            leaf.name
            for leaf in leaves(rate)
            if leaf.op == "state" and derivative(rate, leaf) is not constant(0.0)
        }
        for name, rate in model.derivatives().items()
    }
    for event in model.events:
        for name, value in event.then.items():
            own = derivative(value, symbol("state", name)) is not constant(1.0)
            states = {
                leaf.name for e in (event.when, value) for leaf in leaves(e) if leaf.op == "state"
            }
            # what counts up goes on for ever, and need not be known
            watched = any(leaf is symbol("state", name) for leaf in leaves(event.when))
            reads[name] |= states if own or watched else states - {name}
    return reads


def of_states(model: Model) -> Model:
    """The model alone: its states start at zero and are its outputs; no output and no rule of
    doses. Remembered by what the model says.
    """
    return _alone.get(model.content(), lambda: _of_states(model))


def _of_states(model: Model) -> Model:
    result = Model(model.name, model.time_unit)
    for name in model.parameter_names:
        info = model.parameter_info(name)
        result.parameter(name, info.default, unit=info.unit, lower=info.lower, upper=info.upper)
    for name in model.state_names:
        state = model.state_info(name)
        result.state(name, 0.0, unit=state.unit, signed=state.signed, controlled=state.controlled)
    for name, rate in model.derivatives().items():
        result.rate(name, rate)
    for event in model.events:
        result.event(event.when, event.then)
    return result


def given_rows(flows: DoseTable) -> NDArray[np.int64]:
    """(records,) the row of the dose of each flow."""
    return flows.offsets[1:] - BESIDE


def state_rows(table: Timeline, flows: DoseTable, n: int) -> NDArray[np.int64]:
    """(records, states) the rows of events with the boluses of states."""
    each = n + BESIDE
    rows = np.flatnonzero((table.role == STATE) & (table.source % each < n))
    return rows[np.argsort(table.source[rows], kind="stable")].reshape(flows.patients, n)


def with_states(table: Timeline, rows: NDArray[np.int64], x: Array) -> Timeline:
    """The events of flows from other states; rows (k, states), x (states, k)."""
    value = np.array(table.value)
    value[rows] = x.T
    return replace(table, value=value)


def within(
    rows: NDArray[np.int64], table: Timeline, part: Timeline, which: NDArray[np.int64]
) -> NDArray[np.int64]:
    """(k, states) the rows of some flows where they stand in the part of the table that holds these
    flows alone.
    """
    return rows[which] - (table.offsets[which] - part.offsets[:-1])[:, None]
