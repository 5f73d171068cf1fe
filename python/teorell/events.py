"""From regimens and switches to the flat, sorted table of events that the solver reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from teorell.parameters import Array

if TYPE_CHECKING:
    from teorell.regimen import Dose

__all__ = [
    "BOLUS", "INFUSION_END", "INFUSION_START", "SWITCH", "Events", "SwitchTimes", "infusion", "one_a_patient",
    "one_for_all",
]  # fmt: skip

BOLUS, INFUSION_START, INFUSION_END, SWITCH = 0, 1, 2, 3
RANK = np.array([3, 1, 0, 2])  # order of the kinds at equal times: ends, starts, switches, boluses
SHORTEST = 1e-100  # an infusion as short as this is a bolus at any time: its rate could overflow
CHUNK = 65_536  # patients whose rows are sorted at once: bounds the scratch memory

Row = tuple[int, int, Array, Array]  # kind, target, time, value; the last two of shape () or (patients,)


@dataclass(frozen=True)
class Events:
    """Everything that happens to the patients, as flat columns.

    Patient i owns rows offsets[i]:offsets[i + 1], sorted by time; offsets of shape (2,) means that all share one table.
    kind 0 bolus: y[target] += value; 1 infusion starts: rate[target] += value; 2 infusion ends: rate[target] -= value;
    3 switch: switch[target] = value. target: a state for a bolus, an infused state, a switch.
    """

    time: Array  # (rows,) in the model's time unit
    kind: NDArray[np.int32]  # (rows,)
    target: NDArray[np.int32]  # (rows,)
    value: Array  # (rows,) amount, amount per time, or the switch's value
    offsets: NDArray[np.int64]  # (patients + 1,) or (2,)
    origin: NDArray[np.int32] | None = None  # (rows,) the row's number in `_rows`; None for a list of regimens


@dataclass(frozen=True)
class SwitchTimes:
    """When a condition on time changes: the switch is `before` up to `threshold`, `after` from there on."""

    threshold: Array  # () or (patients,)
    before: float
    after: float


def one_for_all(
    lines: Sequence[Dose],
    states: Mapping[str, int],
    infused: Mapping[str, int],
    patients: int,
    switches: Sequence[SwitchTimes] = (),
) -> Events:
    """The events of one regimen for all patients; one shared table if no number differs between patients.

    All patients have the same rows. A row that does not concern a patient (the bolus of an infusion that is too short
    for other patients alone) is there with value 0 at the time of another, and changes nothing.
    """
    arrays = [value for line in lines for _, value in line.arrays()] + [switch.threshold for switch in switches]
    count = patients if any(value.ndim for value in arrays) else 1
    boluses_too = [line.may_be_short() for line in lines]
    found = list(_rows(lines, boluses_too, states, infused, switches, slice(0, min(count, CHUNK))))
    kind, target = (np.array([row[k] for row in found], np.int32) for k in (0, 1))  # the same for all patients
    shape = (count, len(found))
    time, value, origin = np.empty(shape), np.empty(shape), np.empty(shape, np.int32)
    for start in range(0, count, CHUNK):
        part = slice(start, min(start + CHUNK, count))
        if start:
            found = list(_rows(lines, boluses_too, states, infused, switches, part))
        one_order = all(row[2].ndim == 0 for row in found)
        when = np.array([float(row[2]) if one_order else 0.0 for row in found])
        order = np.lexsort((RANK[kind], when)).tolist()
        origin[part] = order
        for column, number in enumerate(order):
            time[part, column], value[part, column] = found[number][2:]
        if (np.diff(time[part], axis=1) < 0.0).any():
            by_time = np.argsort(time[part], axis=1, kind="stable")
            for each in (time, value, origin):
                each[part] = np.take_along_axis(each[part], by_time, axis=1)
    offsets = np.arange(count + 1, dtype=np.int64) * len(found)
    rows = origin.reshape(-1)
    return Events(time.reshape(-1), kind[rows], target[rows], value.reshape(-1), offsets, rows)


def _rows(
    lines: Sequence[Dose],
    boluses_too: Sequence[bool],
    states: Mapping[str, int],
    infused: Mapping[str, int],
    switches: Sequence[SwitchTimes],
    part: slice,
) -> Iterator[Row]:
    """The rows of the patients in `part`, unsorted; boluses_too[line]: may infusions of this line be boluses?"""

    def cut(value: Array) -> Array:
        return value[part] if value.ndim else value

    for line, bolus_too in zip(lines, boluses_too, strict=True):
        first, amount, every = cut(line.time), cut(line.amount), cut(line.every)
        for k in range(line.doses):
            time = np.asarray(first + k * every)
            if line.duration is None:
                yield BOLUS, states[line.into], time, amount
                continue
            end, rate, short = infusion(time, amount, cut(line.duration))
            yield INFUSION_START, infused[line.into], time, rate
            yield INFUSION_END, infused[line.into], end, rate
            if bolus_too:
                yield BOLUS, states[line.into], time, np.where(short, amount, 0.0)
    for number, switch in enumerate(switches):
        yield SWITCH, number, *_switch(cut(switch.threshold), switch)


def infusion(time: Array, amount: Array, duration: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
    """End, rate and 'is really a bolus' of infusions; shapes () or (n,). A bolus has rate 0 and ends where it starts.

    The rate is amount over the time between the two events as rounded, so that exactly the amount goes in. Events
    within 8 ulp are one event to the solver: so short an infusion (16, to be safe) would be lost, and is a bolus.
    """
    end = np.asarray(time + duration)
    width = end - time
    short = np.asarray(width <= np.maximum(16 * np.spacing(end), SHORTEST))
    rate = np.where(short, 0.0, amount / np.where(short, 1.0, width))
    return np.where(short, time, end), rate, short


def _switch(threshold: Array, switch: SwitchTimes) -> tuple[Array, Array]:
    """Time and value of a switch event: time 0 if the threshold is earlier; if it never comes, `before` at time 0."""
    never = threshold == np.inf
    return np.where(never, 0.0, np.maximum(threshold, 0.0)), np.where(never, switch.before, switch.after)


def one_a_patient(
    regimens: Sequence[Sequence[Dose]],
    states: Mapping[str, int],
    infused: Mapping[str, int],
    switches: Sequence[SwitchTimes] = (),
) -> Events:
    """The events of a list of regimens, each the lines (numbers only) of one patient; the same object may repeat."""
    pieces = []
    for start in range(0, len(regimens), CHUNK):
        part = slice(start, start + CHUNK)
        cut = [SwitchTimes(s.threshold[part] if s.threshold.ndim else s.threshold, s.before, s.after) for s in switches]
        pieces.append(_one_a_patient(regimens[part], states, infused, cut))
    time, kind, target, value, counts = (np.concatenate(column) for column in zip(*pieces, strict=True))
    offsets = np.zeros(len(regimens) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    return Events(time, kind, target, value, offsets)


def _one_a_patient(
    regimens: Sequence[Sequence[Dose]],
    states: Mapping[str, int],
    infused: Mapping[str, int],
    switches: Sequence[SwitchTimes],
) -> tuple[Array, NDArray[np.int32], NDArray[np.int32], Array, NDArray[np.int64]]:
    """Time, kind, target, value (rows,) of some patients, and the number of rows of each (patients,)."""
    number: dict[int, int] = {}
    distinct: list[Sequence[Dose]] = []
    which = np.empty(len(regimens), np.int64)
    for row, lines in enumerate(regimens):
        key = number.setdefault(id(lines), len(distinct))
        if key == len(distinct):
            distinct.append(lines)
        which[row] = key
    table = np.array(
        [
            (states[line.into], infused.get(line.into, -1), line.amount, line.time,
             np.nan if line.duration is None else line.duration, line.every, line.doses)
            for lines in distinct for line in lines
        ], np.float64,
    ).reshape(-1, 7)  # fmt: skip
    lengths = np.array([len(lines) for lines in distinct], np.int64)
    entry = _spread((np.cumsum(lengths) - lengths)[which], lengths[which])  # the lines of each patient, in its order
    patient = np.repeat(np.arange(len(regimens)), lengths[which])
    repeats = table[entry, 6].astype(np.int64)
    k = _spread(np.zeros_like(repeats), repeats)
    patient, entry = np.repeat(patient, repeats), np.repeat(entry, repeats)
    state, infusible, amount, first, duration, every = (table[entry, column] for column in range(6))
    time = first + k * every
    end, rate, short = infusion(time, amount, np.where(np.isnan(duration), 0.0, duration))  # a bolus is short
    long = ~short
    pieces = [
        (patient[short], np.full(int(short.sum()), BOLUS), state[short], time[short], amount[short]),
        (patient[long], np.full(int(long.sum()), INFUSION_START), infusible[long], time[long], rate[long]),
        (patient[long], np.full(int(long.sum()), INFUSION_END), infusible[long], end[long], rate[long]),
    ]
    everyone = np.arange(len(regimens))
    for target, switch in enumerate(switches):
        when, value = (np.broadcast_to(each, everyone.shape) for each in _switch(switch.threshold, switch))
        pieces.append((everyone, np.full(everyone.size, SWITCH), np.full(everyone.size, target), when, value))
    owners, kinds, targets, times, values = (np.concatenate(column) for column in zip(*pieces, strict=True))
    order = np.lexsort((RANK[kinds], times, owners))
    counts = np.bincount(owners, minlength=len(regimens)).astype(np.int64)
    return times[order], kinds[order].astype(np.int32), targets[order].astype(np.int32), values[order], counts


def _spread(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """start, start + 1, ... (length of them) for each pair, one after the other: shape (sum of lengths,)."""
    before: NDArray[np.int64] = np.cumsum(lengths) - lengths
    return np.arange(lengths.sum(), dtype=np.int64) + np.repeat(starts - before, lengths)
