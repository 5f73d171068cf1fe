"""Steady state: the state in which a dose that has been given for ever leaves the patient, and its derivatives.

A record at steady state starts from the state x that one dosing interval leads back to, x = flow(x): the fixed point of a
flow that the solver computes, all records at once, each a patient of its own. The infusions of earlier intervals that still
run are part of the flow. With an infusion that has run for ever, x is where it leads to in the end.
States that nothing depends on, such as an AUC or an excreted amount, have no steady state: they start at zero.

From x = flow(x, p) follow, with M the derivative of the flow by its state, dx = M dx + dp and the cotangent
mu = lambda + M' mu (the implicit function theorem); both are fixed points too, and M is never formed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from teorell.dose_table import BOLUS, BY_RATE, NOT_STEADY, DoseTable, spread
from teorell.dosing_rules import Doses
from teorell.errors import InputError
from teorell.event_derivatives import pull_back_rows, push_forward_rows
from teorell.events import Events, Steady, events, running
from teorell.expression import constant, derivative, leaves, symbol
from teorell.fixed_point import fixed_points
from teorell.model import Model
from teorell.parameters import Array
from teorell.reading import evaluate_all

if TYPE_CHECKING:
    from teorell.lowering import Programs
    from teorell.samples import Samples

    Flow = tuple[Programs, list[Array], int, Events, Samples]  # the arguments of solve.py

__all__ = ["SteadyStates", "steady_states"]

IN_THE_END = 1e9  # in the model's unit of time: an infusion has led where it leads to
COARSE = 1e-4  # the tolerance of the solver for the first approximation,
NEAR = 0.01  # which is that good
BLOCK = 2048  # records whose flows are followed at once
LINEAR = 1e-10  # how exactly derivatives solve their linear equations, of their largest component


@dataclass(frozen=True, eq=False)
class SteadyStates:
    """The states that records at steady state start from, and the flows they are fixed points of."""

    model: Model
    programs: Programs  # of the flow: from a state to a state
    columns: tuple[Array, ...]  # a parameter each, () or (records,), at the record
    rows: NDArray[np.int64]  # (records,) of the table of doses
    doses: Doses  # of the flows: for each record its states as boluses at 0, then its dose
    events: Events
    horizon: Array  # (records,) the length of the flow
    kept: NDArray[np.bool_]  # (states,) those that have a steady state
    states: Array  # (states, records) NaN where there is none
    options: Mapping[str, Any]

    @property
    def shape(self) -> tuple[int, int]:
        """Records, states."""
        return self.states.shape[1], self.states.shape[0]

    @property
    def missing(self) -> NDArray[np.int64]:
        """The rows of the table of doses without a steady state."""
        return self.rows[~self._good]

    @property
    def found(self) -> Steady:
        return Steady(self.rows, np.ascontiguousarray(self.states.T))

    def pull_back(self, cotangent: Array, bars: dict[str, Array]) -> dict[str, Array]:
        """From the cotangent of the states (records, states) to those of the parameters at the records, (records,).

        What reaches the doses of the records is added to `bars`, by the names of event_derivatives.py.
        """
        lam = np.where(self.kept[:, None] & self._good, cotangent.T, 0.0)
        with_state = self._weights_by(lambda v: np.abs(v) * self._scale, 1.0 / self._scale)
        mu = fixed_points(lambda v, w: lam[:, w] + self._back(v, w)[0], lam, with_state)[0]
        raw = self._back(mu, np.arange(len(self.rows)))[1]
        of_doses = pull_back_rows(self.doses, self.events, raw.event_value, raw.event_time)
        own = self._dose_rows
        bars["rate"] = np.zeros(len(bars["amount"]))
        ever = self.doses.for_ever[own]
        for name in ("amount", "first", "width"):
            np.add.at(bars[name], self.rows, np.where(ever, 0.0, of_doses[name][own]))
        np.add.at(bars["rate"], self.rows, np.where(ever, of_doses["amount"][own] * self.doses.width[own], 0.0))
        # `first` counts from the record's own time here; its doses come lag later.
        np.add.at(bars["time"], self.rows, np.where(ever, 0.0, -of_doses["first"][own]))
        longer = np.where(ever, 0.0, np.einsum("nr,nr->r", mu, self._slope))
        np.add.at(bars["every"], self.rows, np.where(ever, 0.0, of_doses["every"][own]) + longer)
        return {name: raw.parameters[:, k] for k, name in enumerate(self.programs.parameter_names)}

    def push_forward(self, parameters: Mapping[str, Array], fields: Mapping[str, Array]) -> Array:
        """The tangent of the states (records, states) from those of parameters at the records and of the doses."""
        n, records = self.states.shape
        own, ever = self._dose_rows, self.doses.for_ever[self._dose_rows]
        dots = {name: np.zeros(len(self.doses.amount)) for name in ("amount", "first", "width", "every", "time")}
        mine = {name: fields[name][self.rows] for name in fields}
        for name in ("amount", "width", "every"):
            dots[name][own] = np.where(ever, 0.0, mine[name])
        dots["amount"][own] += np.where(ever, mine["rate"] * self.doses.width[own], 0.0)
        dots["first"][own] = np.where(ever, 0.0, mine["first"] - mine["time"])
        columns = np.zeros((records, len(self.programs.parameter_names)))
        for name, dot in parameters.items():
            columns[:, self.programs.parameter_names.index(name)] = dot
        value, time = push_forward_rows(self.doses, self.events, dots)
        longer = self._slope * np.where(ever, 0.0, mine["every"])

        def forward(v: Array, which: NDArray[np.int64]) -> Array:
            moved = np.array(value)
            moved[self._state_rows[which]] = v.T
            result = self._forward(columns[which], moved, time, which) + longer[:, which]
            return np.where(self.kept[:, None], result, 0.0)

        with_state = self._weights_by(lambda v: np.abs(v) / self._scale, self._scale)
        found = fixed_points(forward, np.zeros((n, records)), with_state)[0]
        return np.where(self._good, found, 0.0).T

    @cached_property
    def _good(self) -> NDArray[np.bool_]:
        return np.asarray(np.isfinite(self.states).all(axis=0))

    @cached_property
    def _scale(self) -> Array:
        """(states, records) how large a state is, for the norms of derivatives."""
        size = np.abs(np.where(self._good, self.states, 0.0))
        result: Array = np.maximum(size, 1e-6 * np.max(size, axis=0) + 1e-30)
        return result

    def _weights_by(self, sizes: Callable[[Array], Array], unit: Array) -> Callable[[Array, NDArray[np.int64]], Array]:
        def weights(v: Array, which: NDArray[np.int64]) -> Array:
            whole = np.zeros((len(v), len(self.rows)))
            whole[:, which] = v
            largest = np.max(sizes(whole)[:, which], axis=0)
            return np.where(largest > 0.0, 1.0 / (LINEAR * np.where(largest > 0.0, largest, 1.0) * unit[:, which]), 1.0)

        return weights

    @cached_property
    def _slope(self) -> Array:
        """(states, records) what the states would go on with at the end of the interval."""
        values = {symbol("state", name): self.states[k] for k, name in enumerate(self.model.state_names)}
        names = zip(self.programs.parameter_names, self.columns, strict=True)
        values |= {symbol("parameter", name): column for name, column in names}
        slopes = evaluate_all(list(self.model.derivatives().values()), values)
        result = np.array(np.broadcast_arrays(*slopes, np.zeros(len(self.rows)))[:-1])
        own = self._dose_rows
        with np.errstate(invalid="ignore", divide="ignore"):
            rate = running(self.doses)[own] * self.doses.amount[own] / self.doses.width[own]
        into = self.doses.table.into[own]
        result[into, np.arange(len(own))] += np.where(running(self.doses)[own] > 0, rate, 0.0)
        return np.where(self.kept[:, None] & self._good, result, 0.0)

    @cached_property
    def _dose_rows(self) -> NDArray[np.int64]:
        """(records,) the last row of each flow."""
        return self.doses.table.offsets[1:] - 1

    @cached_property
    def _state_rows(self) -> NDArray[np.int64]:
        """(records, states) the rows of events that the state comes in with."""
        return state_rows(self.events, self.doses.table, self.states.shape[0])

    def _back(self, v: Array, which: NDArray[np.int64]) -> tuple[Array, Any]:
        from teorell.solve import pull_back

        cotangent = np.ascontiguousarray(np.where(self.kept[:, None] & self._good[which], v, 0.0).T)
        part = taken(self._at_the_state, which)
        raw = pull_back(*self._flow(part, which), cotangent, **self.options)
        rows = self._local(part, which)
        return np.where(self.kept[:, None], raw.event_value[rows].T, 0.0), raw

    def _forward(self, columns: Array, value: Array, time: Array, which: NDArray[np.int64]) -> Array:
        from teorell.solve import Tangents, push_forward

        part = taken(self._at_the_state, which)
        rows = rows_of(self.events, which)
        tangents = Tangents(columns[None], value[rows][None], time[rows][None])
        result: Array = push_forward(*self._flow(part, which), tangents, **self.options)[1][..., 0].T
        return result

    def _flow(self, part: Events, which: NDArray[np.int64]) -> Flow:
        return flow(self.programs, self.columns, part, self.horizon, which)

    def _local(self, part: Events, which: NDArray[np.int64]) -> NDArray[np.int64]:
        return within(self._state_rows, self.events, part, which)

    @cached_property
    def _at_the_state(self) -> Events:
        return with_states(self.events, self._state_rows, np.where(self._good, self.states, 0.0))


def flow(
    programs: Programs, columns: tuple[Array, ...], part: Events, horizon: Array, which: NDArray[np.int64]
) -> Flow:
    """The arguments of solve.py for some of the flows."""
    from teorell.samples import Samples

    samples = Samples(horizon[which], np.arange(len(which) + 1, dtype=np.int64))
    mine = [column[which] if column.ndim else column for column in columns]
    return programs, mine, len(which), part, samples


def steady_states(
    model: Model,
    doses: Doses,
    parameters: Callable[[NDArray[np.int64]], tuple[Array, ...]],
    options: Mapping[str, Any],
    derivatives: str | None = None,
) -> SteadyStates | None:
    """The states that precede the records at steady state; None if there are none.

    parameters(rows): one column a parameter, () or (n,), at these rows of the doses.
    """
    rows = np.flatnonzero(doses.table.steady != NOT_STEADY)
    if not rows.size:
        return None
    from teorell.lowered import programs_of
    from teorell.solve import solve

    check_autonomous(model)
    names = model.state_names
    flows, horizon = _flows(doses, rows, names)
    infused = {names[k] for k in flows.table.into[flows.table.kind != BOLUS]}
    alone = of_states(model)
    programs = programs_of(alone, names, tuple(name for name in names if name in infused), derivatives)
    numbers = {name: k for k, name in enumerate(names)}
    table = events(flows, numbers, {name: k for k, name in enumerate(programs.infused)}, ongoing=True)
    columns = parameters(rows)
    kept = lasting(model)
    inside = state_rows(table, flows.table, len(names))
    settings = dict(options, before=False)

    def advance(x: Array, which: NDArray[np.int64], **chosen: Any) -> Array:
        part = taken(table, which)
        part = with_states(part, within(inside, table, part, which), x)
        raw = solve(*flow(programs, columns, part, horizon, which), **(settings | chosen))
        return np.where(kept[:, None], raw.values.T, 0.0)

    def weights(x: Array, which: NDArray[np.int64], relative: float = settings["rtol"] / 10.0) -> Array:
        result: Array = 1.0 / (relative * (np.abs(x) + settings["atol"][:, None] / settings["rtol"]))
        return result

    values = {symbol("parameter", name): column for name, column in zip(model.parameter_names, columns, strict=True)}
    initials = evaluate_all(list(model.initials().values()), values)
    start = np.array(np.broadcast_arrays(*initials, np.zeros(len(rows)))[:-1])
    positive = np.array([not model.state_info(name).signed for name in names])
    x = np.where(kept[:, None], start, 0.0)

    def search(block: NDArray[np.int64]) -> Array:
        """The fixed points of some flows; what evaluations show of them is kept meanwhile, for so many at once."""
        first, known = x[:, block], None
        if settings["rtol"] < COARSE / 10.0:
            # Most of the way is cheap: at a loose tolerance, which also shows how the flow depends on the state.
            rough = {"rtol": COARSE, "atol": settings["atol"] * (COARSE / settings["rtol"])}
            near, _, known = fixed_points(
                lambda x, which: advance(x, block[which], **rough), first, lambda x, w: weights(x, w, NEAR), positive
            )
            first = np.where(np.isfinite(near).all(axis=0), near, first)
        return fixed_points(lambda x, which: advance(x, block[which]), first, weights, positive, known)[0]

    blocks = [np.arange(k, min(k + BLOCK, len(rows))) for k in range(0, len(rows), BLOCK)]
    found = np.concatenate([search(block) for block in blocks], axis=1)
    return SteadyStates(model, programs, columns, rows, flows, table, horizon, kept, found, settings)


def _flows(doses: Doses, rows: NDArray[np.int64], names: tuple[str, ...]) -> tuple[Doses, Array]:
    """One interval of each record: its states, as boluses at 0, and the dose lag later; and how long it is."""
    n, records = len(names), len(rows)
    each = n + 1
    ever = doses.for_ever[rows]
    into = np.tile(np.append(np.arange(n), 0), records).astype(np.int32)
    kind, steady = np.zeros((2, records * each), np.int8)
    amount, first, width, every = np.zeros((4, records * each))
    own = np.arange(records) * each + n
    table = doses.table
    into[own] = np.array([names.index(name) for name in table.states])[table.into[rows]]
    kind[own], steady[own] = np.where(ever, BY_RATE, table.kind[rows]), table.steady[rows]
    horizon = np.where(ever, IN_THE_END, table.every[rows])
    width[own] = np.where(ever, 2.0 * IN_THE_END, doses.width[rows])
    amount[own] = np.where(ever, doses.extent[rows] * 2.0 * IN_THE_END, doses.amount[rows])
    first[own] = np.where(ever, 0.0, doses.first[rows] - table.time[rows])
    every[own] = table.every[rows]
    nothing = np.zeros(records * each)
    offsets = np.arange(records + 1, dtype=np.int64) * each
    own_table = DoseTable(
        names, offsets, into, kind, steady, amount, nothing, every, nothing, np.ones(records * each, np.int64),
    )  # fmt: skip
    return Doses(own_table, amount, first, width, nothing + 1.0, nothing), horizon


def check_autonomous(model: Model) -> None:
    """InputError for a model whose equations contain the time: it repeats nothing."""
    for name, rate in model.derivatives().items():
        if any(leaf.op == "time" for leaf in leaves(rate)):
            raise InputError(
                f"doses are at steady state, and d {name}/dt of model {model.name!r} depends on time (no interval is like "
                "the one before). Give the doses one by one, or take the time out of the model."
            )


def lasting(model: Model) -> NDArray[np.bool_]:
    """(states,) False for those that no state depends on, themselves included, but such as are False too."""
    names = model.state_names
    reads = {
        name: {leaf.name for leaf in leaves(rate) if leaf.op == "state" and derivative(rate, leaf) is not constant(0.0)}
        for name, rate in model.derivatives().items()
    }
    kept = set(names)
    while True:
        needed = {read for name in kept for read in reads[name]} & kept
        if needed == kept:
            return np.array([name in kept for name in names])
        kept = needed


def of_states(model: Model) -> Model:
    """The model alone: its states start at zero and are its outputs; no output and no rule of doses."""
    result = Model(model.name, model.time_unit)
    for name in model.parameter_names:
        info = model.parameter_info(name)
        result.parameter(name, info.default, unit=info.unit, lower=info.lower, upper=info.upper)
    for name in model.state_names:
        state = model.state_info(name)
        result.state(name, 0.0, unit=state.unit, signed=state.signed, controlled=state.controlled)
    for name, rate in model.derivatives().items():
        result.rate(name, rate)
    return result


def state_rows(table: Events, flows: DoseTable, n: int) -> NDArray[np.int64]:
    """(records, states) the rows of events with the boluses of states."""
    each = n + 1
    rows = np.flatnonzero(table.source % each < n)
    return rows[np.argsort(table.source[rows], kind="stable")].reshape(flows.patients, n)


def with_states(table: Events, rows: NDArray[np.int64], x: Array) -> Events:
    """The events of flows from other states; rows (k, states), x (states, k)."""
    value = np.array(table.value)
    value[rows] = x.T
    return replace(table, value=value)


def within(rows: NDArray[np.int64], table: Events, part: Events, which: NDArray[np.int64]) -> NDArray[np.int64]:
    """(k, states) the rows of some flows where they stand in the part of the table that holds these flows alone."""
    return rows[which] - (table.offsets[which] - part.offsets[:-1])[:, None]


def rows_of(table: Events, which: NDArray[np.int64]) -> NDArray[np.int64]:
    return spread(table.offsets[which], table.offsets[which + 1] - table.offsets[which])


def taken(table: Events, which: NDArray[np.int64]) -> Events:
    """The events of some patients."""
    rows = rows_of(table, which)
    offsets = np.append(0, np.cumsum(table.offsets[which + 1] - table.offsets[which]))
    columns = ("time", "kind", "target", "value", "role", "source", "number")
    return replace(table, offsets=offsets, **{name: getattr(table, name)[rows] for name in columns})
