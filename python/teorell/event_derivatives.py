"""Derivatives of the table of events by the numbers of a regimen and by the thresholds of switches, both ways.

Dose k of a line comes at time + k every. A bolus has the value amount; an infusion ends duration later, and both its
rows have the value amount / duration. Where the user gave a rate, that is the value, and duration = amount / rate. An
infusion too short to be more than a bolus is a bolus of its amount: it has no derivative by duration or rate here.
A switch's time is its threshold, unless that is negative (time 0) or infinite (never), where nothing depends on it.

Every sum is elementwise over patients and in a fixed order: a patient's bits do not depend on the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from teorell.errors import InputError, count
from teorell.events import SWITCH, Events, SwitchTimes, infusion
from teorell.parameters import Array

if TYPE_CHECKING:
    from teorell.regimen import Dose

__all__ = ["pull_back_doses", "pull_back_switches", "push_forward_doses", "push_forward_switches", "undefined"]


def undefined(line: Dose, field: str) -> NDArray[np.bool_]:
    """() or (patients,): has the table no derivative by this field, as an infusion of the line is a bolus to the solver?"""
    none: NDArray[np.bool_] = np.zeros((), np.bool_)
    if line.duration is None or field not in ("duration", "rate"):
        return none
    for k in range(line.doses if line.may_be_short() else 0):
        none = none | infusion(np.asarray(line.time + k * line.every), line.amount, line.duration)[2]
    return none


def _check_defined(line: Dose, field: str, dot: Array) -> None:
    """Raise InputError where a tangent, () or (patients,), of the field is not 0 and the derivative `undefined`."""
    where = np.atleast_1d(undefined(line, field) & (dot != 0.0))
    if where.any():
        raise InputError(
            f"no derivative by the {field} of an infusion into {line.into!r} (it is so short that it is a bolus, for "
            f"{count(int(where.sum()), 'patient')}, the first is patient {int(np.argmax(where))}). "
            "Give a longer infusion, or a bolus."
        )


def pull_back_doses(lines: Sequence[Dose], events: Events, value_bar: Array, time_bar: Array) -> list[dict[str, Array]]:
    """From cotangents of the rows of `one_for_all`, for each line those of its fields, each (patients,).

    value_bar, time_bar: (patients, rows), in the order of the table, shared by all patients or not. The fields are
    amount, time, every, and duration or rate, whichever the user gave; NaN where the derivative is not defined.
    """
    values, times = iter(_unsorted(events, value_bar)), iter(_unsorted(events, time_bar))
    found = []
    for line in lines:
        amount, time, every, duration, rate = np.zeros((5, len(value_bar)))
        for k in range(line.doses):
            moved = next(times)
            if line.duration is None:
                amount += next(values)
            else:
                width, value, short = _infusion(line, k)
                value_both, end = next(values) + next(values), next(times)
                moved = moved + end
                value_both, end = np.where(short, 0.0, value_both), np.where(short, 0.0, end)
                if line.rate is None:
                    amount += value_both / width
                    duration += end - value_both * value / width
                else:
                    amount += end / line.rate
                    rate += value_both - end * line.duration / line.rate
                if line.may_be_short():
                    moved = moved + next(times)
                    amount += np.where(short, next(values), 0.0)
            time += moved
            every += k * moved
        bars = {"amount": amount, "time": time, "every": every}
        if line.duration is not None:
            field, bar = ("duration", duration) if line.rate is None else ("rate", rate)
            bars[field] = np.where(undefined(line, field), np.nan, bar)
        found.append(bars)
    return found


def push_forward_doses(
    lines: Sequence[Dose], events: Events, tangents: Sequence[Mapping[str, ArrayLike]]
) -> tuple[Array, Array]:
    """Tangents of value and time of the rows of `one_for_all` from those of the lines' fields.

    tangents: for each line, of some fields (0 for the others), each () or (patients,).
    Returns (patients or 1, rows) of a table that all share, otherwise (all rows,).
    Raises InputError where a tangent is not 0 and the derivative not defined.
    """
    value_dots: list[ArrayLike] = []
    time_dots: list[ArrayLike] = []
    for line, dots in zip(lines, tangents, strict=True):
        for field, dot in dots.items():
            _check_defined(line, field, np.asarray(dot))
        amount, time, every, duration, rate = (
            np.asarray(dots.get(field, 0.0), dtype=np.float64)
            for field in ("amount", "time", "every", "duration", "rate")
        )
        for k in range(line.doses):
            moved = time + k * every
            if line.duration is None:
                value_dots.append(amount)
                time_dots.append(moved)
                continue
            width, value, short = _infusion(line, k)
            if line.rate is None:
                longer, value_dot = duration, (amount - value * duration) / width
            else:
                longer, value_dot = (amount - line.duration * rate) / line.rate, rate
            value_dots += [np.where(short, 0.0, value_dot)] * 2
            time_dots += [moved, np.where(short, moved, moved + longer)]
            if line.may_be_short():
                value_dots.append(np.where(short, amount, 0.0))
                time_dots.append(moved)
    return _sorted(events, value_dots), _sorted(events, time_dots)


def pull_back_switches(events: Events, switches: Sequence[SwitchTimes], time_bar: Array) -> list[Array]:
    """From cotangents of the times of all rows, those of the thresholds, each (patients,).

    time_bar: (patients, rows) of a table that all share, otherwise (all rows,).
    """
    found = []
    for number, switch in enumerate(switches):
        here = _rows_of(events, number)
        bar = time_bar.reshape(-1, here.size)[:, here][:, 0] if events.offsets.size == 2 else time_bar.reshape(-1)[here]
        found.append(np.where(_moves(switch), bar, 0.0))
    return found


def push_forward_switches(events: Events, switches: Sequence[SwitchTimes], tangents: Sequence[ArrayLike]) -> Array:
    """Tangents of the times of all rows from those of the thresholds, each () or (patients,); other rows have 0.

    Returns (patients or 1, rows) of a table that all share, otherwise (all rows,).
    """
    dots = [np.where(_moves(switch), dot, 0.0) for switch, dot in zip(switches, tangents, strict=True)]
    shared = events.offsets.size == 2
    result = np.zeros((max([dot.size for dot in dots], default=1) if shared else 1, events.time.size))
    for number, dot in enumerate(dots):
        result[:, _rows_of(events, number)] = dot[..., None] if shared else dot
    return result if shared else result[0]


def _infusion(line: Dose, k: int) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Width (1 for a bolus), value and 'is really a bolus' of dose k of a line, each () or (patients,)."""
    assert line.duration is not None
    time = np.asarray(line.time + k * line.every)
    end, value, short = infusion(time, line.amount, line.duration)
    return np.where(short, 1.0, end - time), value, short


def _moves(switch: SwitchTimes) -> NDArray[np.bool_]:
    """Is the threshold the time of the event? At 0 the derivative is that towards later times."""
    result: NDArray[np.bool_] = (switch.threshold >= 0.0) & (switch.threshold < np.inf)
    return result


def _rows_of(events: Events, switch: int) -> NDArray[np.bool_]:
    """(all rows,) True for those of one switch: one a patient, so that they lie in the order of the patients."""
    result: NDArray[np.bool_] = (events.kind == SWITCH) & (events.target == switch)
    return result


def _origin(events: Events) -> NDArray[np.int32]:
    """(patients or 1, rows) the number of each row before the table was sorted."""
    assert events.origin is not None, "the table of a list of regimens"
    tables = events.offsets.size - 1
    return events.origin.reshape(tables, events.time.size // tables)


def _unsorted(events: Events, rows: Array) -> Iterator[Array]:
    """The columns, (patients,) each, of an array (patients, rows) in the order before the table was sorted."""
    result = np.empty(rows.shape[::-1])
    np.put_along_axis(result, np.broadcast_to(_origin(events), rows.shape).T, rows.T, axis=0)
    return iter(result)


def _sorted(events: Events, columns: Sequence[ArrayLike]) -> Array:
    """Sorted rows, as push_forward_doses returns them, from the first columns before sorting; the others are 0."""
    origin = _origin(events)
    result = np.zeros((max([len(origin)] + [np.size(column) for column in columns]), origin.shape[1]))
    for number, column in enumerate(columns):
        result[:, number] = column
    rows = np.take_along_axis(result, np.broadcast_to(origin, result.shape), axis=1)
    return rows if events.offsets.size == 2 else rows.reshape(-1)
