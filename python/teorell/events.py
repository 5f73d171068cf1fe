"""From doses, covariates and switches to the flat, sorted table of events that the solver reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from teorell.covariates import Stepwise
from teorell.dose_table import NOT_STEADY, REPLACE, SHORTEST, spread
from teorell.dose_table import RESET as RESET_RECORD
from teorell.dosing_rules import Doses
from teorell.parameters import Array
from teorell.record_times import RecordTimes

if TYPE_CHECKING:
    from teorell.samples import Samples

__all__ = [
    "BOLUS", "INFUSION_END", "INFUSION_START", "PARAMETER", "RESET", "SWITCH", "Events", "Steady",
    "SwitchTimes", "events", "infusion", "samples_of",
]  # fmt: skip

BOLUS, INFUSION_START, INFUSION_END, SWITCH, RESET, PARAMETER = range(6)
# order at equal times: resets, ends, starts, switches, covariates, boluses
RANK = np.array([5, 2, 1, 3, 0, 4])
CHUNK = 65_536  # patients whose rows are sorted at once: bounds the scratch memory
TIED = 8 * np.finfo(np.float64).eps  # times within 8 ulp are one event to the solver (events.hpp)

# What a row comes from: dose `number` of a record, the start or end of that infusion, state
# `number` at steady state, ...
DOSE, START, END, STATE, EMPTYING, CHANGE, SWITCHING = range(7)
Rows = tuple[
    NDArray[np.int64],
    Array,
    int,
    NDArray[np.int64],
    Array,
    int,
    NDArray[np.int64],
    NDArray[np.int64],
    Array,
]


@dataclass(frozen=True)
class Events:
    """Everything that happens to the patients, as flat columns.

    Patient i owns rows offsets[i]:offsets[i + 1], sorted by time; offsets of shape (2,) means that
    all share one table.
    kind 0 bolus: y[target] += value; 1 infusion starts: rate[target] += value; 2 infusion ends:
    rate[target] -= value;
    3 switch: switch[target] = value; 4 reset: rates 0, states 0 (target 0) or initial (1); 5
    parameter[target] = value.
    target: a state for a bolus, an infused state, a switch, a parameter.
    """

    time: Array  # (rows,) in the model's time unit
    kind: NDArray[np.int32]  # (rows,)
    target: NDArray[np.int32]  # (rows,)
    value: Array  # (rows,) amount, amount per time, or the value of the switch or parameter
    offsets: NDArray[np.int64]  # (patients + 1,) or (2,)
    # Where a row comes from, for its derivatives: see above. source: row of the table of doses, of
    # those at steady state, of a covariate, or number of a switch.
    role: NDArray[np.int8]
    source: NDArray[np.int64]
    number: NDArray[np.int64]
    # (rows,) among the records of a patient, -1 before all; None: ties need no order
    order: Array | None = None

    @property
    def owner(self) -> NDArray[np.int64]:
        """(rows,) the patient of each row."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


@dataclass(frozen=True)
class SwitchTimes:
    """When a condition on time changes: the switch is `before` up to `threshold`, `after` from
    there on.
    """

    threshold: Array  # () or (patients,)
    before: float
    after: float


@dataclass(frozen=True, eq=False)
class Steady:
    """The states that records at steady state start from."""

    rows: NDArray[np.int64]  # (n,) of the table of doses
    states: Array  # (n, states); zero for a state that has none

    def part(self, first: int, last: int) -> Steady:
        chosen = (self.rows >= first) & (self.rows < last)
        return Steady(self.rows[chosen] - first, self.states[chosen])


def events(
    doses: Doses,
    states: Mapping[str, int],
    infused: Mapping[str, int],
    switches: Sequence[SwitchTimes] = (),
    covariates: Mapping[int, Stepwise] | None = None,
    steady: Steady | None = None,
    ongoing: bool = False,
) -> Events:
    """The events of the patients of a table of doses, or of one schedule that all share.

    states, infused: name of a state -> its number as the target of a bolus, of an infusion.
    covariates: by the number of the parameter. Where a switch or a covariate differs between
    patients, each has rows of its own in the table of doses.
    ongoing: records at steady state begin with what earlier intervals left running, and nothing
    else.
    """
    changing = covariates or {}
    count = doses.table.patients
    to_states = np.array([states[name] for name in doses.table.states], np.int64)
    to_infused = np.array([infused.get(name, -1) for name in doses.table.states], np.int64)
    pieces = []
    for start in range(0, count, CHUNK):
        stop = min(start + CHUNK, count)
        first, last = doses.table.offsets[[start, stop]].tolist()
        part = _part(doses, start, stop)
        rows = list(_dose_rows(part, to_states, to_infused, ongoing))
        if steady is not None:
            rows += _steady_rows(part, steady.part(first, last))
        cut = [
            replace(s, threshold=s.threshold[start:stop]) if s.threshold.ndim else s
            for s in switches
        ]
        rows += _switch_rows(cut, stop - start)
        for target, steps in changing.items():
            rows += _change_rows(target, steps, start, stop)
        pieces.append(_sorted(rows, stop - start, part.table.order is not None, first))
    columns = [np.concatenate(column) for column in zip(*pieces, strict=True)]
    time, kind, target_of, value, role, source, number, order, counts = columns
    offsets = np.zeros(count + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    return Events(
        time, kind, target_of, value, offsets, role, source, number, order if order.size else None
    )


def infusion(time: Array, amount: Array, duration: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
    """End, rate and 'is really a bolus' of infusions; shapes () or (n,). A bolus has rate 0 and
    ends where it starts.

    The rate is amount over the time between the two events as rounded, so that exactly the amount
    goes in. Events
    within 8 ulp are one event to the solver: so short an infusion (16, to be safe) would be lost,
    and is a bolus.
    """
    end = np.asarray(time + duration)
    width = end - time
    short = np.asarray(width <= np.maximum(16 * np.spacing(end), SHORTEST))
    rate = np.where(short, 0.0, amount / np.where(short, 1.0, width))
    return np.where(short, time, end), rate, short


def _part(doses: Doses, start: int, stop: int) -> Doses:
    """The patients start to stop - 1, without the rules."""
    rows = slice(*doses.table.offsets[[start, stop]].tolist())
    columns = (doses.amount, doses.first, doses.width, doses.bioavailability, doses.extent)
    amount, first, width, bioavailability, extent = (column[rows] for column in columns)
    return Doses(doses.table.part(start, stop), amount, first, width, bioavailability, extent)


def _dose_rows(
    doses: Doses, to_states: NDArray[np.int64], to_infused: NDArray[np.int64], ongoing: bool
) -> list[Rows]:
    """Doses, the starts and ends of infusions, and resets."""
    table = doses.table
    owner = table.owner
    resets = table.kind == RESET_RECORD
    order = np.zeros(len(owner)) if table.order is None else table.order.astype(np.float64)
    late = doses.first > table.time
    before = running(doses)
    counts = np.where(resets, 0, table.doses + before)
    if not ongoing:
        counts = np.where(doses.for_ever, 0, counts)
    entry, k = np.repeat(np.arange(len(owner)), counts), spread(-before, counts)
    at = np.asarray(doses.first[entry] + k * table.every[entry])
    end, rate, short = infusion(at, doses.amount[entry], doses.width[entry])
    start = np.where(k < 0, table.time[entry], at)
    emptied = _emptied(doses)[entry]
    implied = np.where((k > 0) | ((k == 0) & late[entry]), -1.0, order[entry])
    given = start < emptied
    boluses = np.flatnonzero(short & given & (k >= 0))
    starts = np.flatnonzero(~short & given & ((k >= 0) | (end > start)))
    ends = starts[end[starts] < emptied[starts]]
    into = table.into
    rows: list[Rows] = []
    if boluses.size:
        e, at, rank = entry[boluses], start[boluses], implied[boluses]
        rows.append(
            (owner[e], at, BOLUS, to_states[into[e]], doses.amount[e], DOSE, e, k[boluses], rank)
        )
    for which, kind, role, when in (
        (starts, INFUSION_START, START, start),
        (ends, INFUSION_END, END, end),
    ):
        if which.size:
            e = entry[which]
            rank = implied[which] if kind == INFUSION_START else np.full(len(which), -1.0)
            rows.append(
                (
                    owner[e],
                    when[which],
                    kind,
                    to_infused[into[e]],
                    rate[which],
                    role,
                    e,
                    k[which],
                    rank,
                )
            )
    for initial, chosen in ((1, resets), (0, (table.steady == REPLACE) & (not ongoing))):
        e = np.flatnonzero(chosen)
        if e.size:
            target = np.full(len(e), initial)
            rows.append(
                (
                    owner[e],
                    table.time[e],
                    RESET,
                    target,
                    np.zeros(len(e)),
                    EMPTYING,
                    e,
                    target,
                    order[e],
                )
            )
    return rows


def running(doses: Doses) -> NDArray[np.int64]:
    """(rows,) infusions of earlier intervals that still run at the time of a record at steady
    state.
    """
    table = doses.table
    periodic = (table.steady != NOT_STEADY) & (table.every > 0.0) & (doses.width > 0.0)
    every = np.where(periodic, table.every, 1.0)
    intervals = np.ceil((doses.first - table.time + doses.width) / every).astype(np.int64) - 1
    return np.where(periodic, np.maximum(intervals, 0), 0)


def _emptied(doses: Doses) -> Array:
    """(rows,) when a later record of the patient empties it, and what this one still had to give is
    dropped; or never.
    """
    table = doses.table
    never = np.full(len(table.into), np.inf)
    empties = (table.kind == RESET_RECORD) | (table.steady == REPLACE)
    if not empties.any() or table.order is None:
        return never
    owner = table.owner
    sequence = np.lexsort((table.order, owner))
    places = np.where(empties[sequence], np.arange(len(sequence)), len(sequence))
    following = np.append(np.minimum.accumulate(places[::-1])[::-1][1:], len(sequence))
    row = np.append(sequence, -1)[following]
    mine = (row >= 0) & (owner[row] == owner[sequence])
    never[sequence] = np.where(mine, table.time[row], np.inf)
    return never


def _steady_rows(doses: Doses, steady: Steady) -> list[Rows]:
    """The states at steady state, each a bolus into its state."""
    table = doses.table
    e, n = steady.rows, steady.states.shape[1]
    if not e.size:
        return []
    source, state = np.repeat(e, n), np.tile(np.arange(n), len(e))
    order = np.zeros(len(source)) if table.order is None else table.order[source].astype(np.float64)
    owner, time, value = table.owner[source], table.time[source], steady.states.reshape(-1)
    return [(owner, time, BOLUS, state, value, STATE, source, state, order)]


def _switch_rows(switches: Sequence[SwitchTimes], count: int) -> list[Rows]:
    """One row a patient and switch: at time 0 if the threshold is earlier; if it never comes,
    `before` at time 0.
    """
    everyone = np.arange(count)
    rows: list[Rows] = []
    for number, switch in enumerate(switches):
        threshold = np.broadcast_to(switch.threshold, everyone.shape)
        never = threshold == np.inf
        time = np.where(never, 0.0, np.maximum(threshold, 0.0))
        value = np.where(never, switch.before, switch.after)
        target = np.full(count, number)
        rows.append(
            (everyone, time, SWITCH, target, value, SWITCHING, target, target, np.full(count, -1.0))
        )
    return rows


def _change_rows(target: int, steps: Stepwise, start: int, stop: int) -> list[Rows]:
    """The changes of one parameter, of the patients start to stop - 1."""
    part = steps if steps.patients == 1 else steps.part(start, stop)
    rows, owner = part.changes, part.owner[part.changes]
    if steps.patients == 1 and stop - start > 1:
        owner, rows = np.repeat(np.arange(stop - start), len(rows)), np.tile(rows, stop - start)
    source = rows + (steps.offsets[start] if steps.patients > 1 else 0)
    order = np.full(len(rows), -1.0) if part.order is None else part.order[rows]
    number = np.full(len(rows), target)
    return [
        (
            owner,
            part.times[rows],
            PARAMETER,
            number,
            part.values[rows],
            CHANGE,
            source,
            number,
            order,
        )
    ]


def _sorted(
    rows: Sequence[Rows], patients: int, ordered: bool, first: int
) -> tuple[NDArray[Any], ...]:
    """The columns of Events by patient, time, order and kind; `first` is the row of the table that
    part begins with.
    """

    def column(k: int, dtype: type) -> NDArray[Any]:
        parts = [np.full(len(row[0]), row[k]) if np.ndim(row[k]) == 0 else row[k] for row in rows]
        return np.concatenate([np.zeros(0, dtype), *parts]).astype(dtype)

    owner, time, kind, target = (
        column(0, np.int64),
        column(1, np.float64),
        column(2, np.int32),
        column(3, np.int32),
    )
    value, role, source = column(4, np.float64), column(5, np.int8), column(6, np.int64)
    number, order = column(7, np.int64), column(8, np.float64)
    of_table = role <= EMPTYING
    source[of_table] += first
    rank = RANK[kind]
    if ordered:
        by = np.lexsort((time, owner))
        tied = tied_together(owner[by], time[by])
        cluster = np.empty(len(by), np.int64)
        cluster[by] = tied
        by = np.lexsort((rank, order, cluster))
    else:
        by = np.lexsort((rank, time, owner))
    counts = np.bincount(owner, minlength=patients)
    columns = (time, kind, target, value, role, source, number)
    kept = order[by] if ordered else np.zeros(0)
    return (*(each[by] for each in columns), kept, counts)


def samples_of(at: RecordTimes, table: Events) -> Samples:
    """Sample times for the core: where records have an order, each with the number of events that
    come before it.
    """
    from teorell.samples import Samples

    if at.order is None or table.order is None:
        return Samples(at.times, at.offsets, None)
    rows = len(table.time)
    times, which = np.unique(np.concatenate([table.time, at.times]), return_inverse=True)
    place = tied_together(np.zeros(len(times), np.int64), times)[which]
    # ascending for events, and for samples
    key = place + len(times) * np.concatenate([table.owner, at.patient])
    first = np.searchsorted(key[:rows], key[rows:])
    last = np.searchsorted(key[:rows], key[rows:], side="right")
    before = np.array(first)
    for event in range(int(np.max(last - first, initial=0))):  # of the same time, in their order
        tied = first + event
        before += (tied < last) & (table.order[np.minimum(tied, rows - 1)] <= at.order)
    return Samples(at.times, at.offsets, before - table.offsets[at.patient])


def tied_together(owner: NDArray[np.int64], time: Array) -> NDArray[np.int64]:
    """(rows,) a number for each group of sorted rows of one patient whose times are one to the
    solver.
    """
    if not len(owner):
        return np.zeros(0, np.int64)
    apart = (np.diff(owner) != 0) | (np.diff(time) > TIED * time[1:])
    return np.concatenate([[0], np.cumsum(apart)])
