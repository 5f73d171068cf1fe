"""When the last dose into a state came in: what the time after a dose is counted from.

It is a parameter to the core, which changes where a dose comes in, and starts and resets at a dose
very long ago. A condition on the time after a dose changes with it: each arrival puts it back to
what it is early, and it changes some time later, unless another dose comes first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.model.declarations import LONG_AGO
from teorell.schedule.dose import NOT_STEADY
from teorell.schedule.dosing_rules import Doses
from teorell.schedule.switch_rows import SwitchTimes
from teorell.schedule.timeline_rows import (
    ARRIVAL,
    DOSE,
    EMPTYING,
    LAST,
    PARAMETER,
    START,
    SWITCH,
    WINDOW,
    Piece,
    order_of,
    pending,
)

__all__ = ["arrival_rows", "window_rows"]


def arrival_rows(doses: Doses, given: Sequence[Piece], numbers: Mapping[int, int]) -> list[Piece]:
    """The changes of the last arrival, in the order in which they count at one time.

    given: the rows of `dose_rows`. numbers: number of a state in the table of doses -> that of the
    parameter with its last arrival.
    """
    table = doses.table
    parameter = np.full(max(table.into.max(initial=-1), max(numbers, default=-1)) + 1, -1)
    parameter[list(numbers)] = list(numbers.values())
    found = [
        piece._replace(
            kind=PARAMETER,
            target=np.full(len(piece.owner), number),
            value=np.full(len(piece.owner), -LONG_AGO),
        )
        for piece in given
        for number in numbers.values()
        if piece.role == EMPTYING
    ]
    # Of a train that leads to a steady state, its last dose before the record.
    k, train = -1 - pending(doses), doses.introduces & (table.steady != NOT_STEADY)
    source = np.flatnonzero(train & (parameter[table.into] >= 0))
    last = Piece(
        owner=table.owner[source],
        time=table.time[source],
        kind=PARAMETER,
        target=parameter[table.into[source]],
        value=(doses.first + k * table.every)[source],
        role=LAST,
        source=source,
        number=k[source],
        order=order_of(doses)[source],
    )
    comings = []
    for piece in given:
        if piece.role not in (DOSE, START):
            continue
        target = parameter[table.into[piece.source]]
        coming = piece.number >= -pending(doses)[piece.source]  # others run since before the record
        chosen = np.flatnonzero((target >= 0) & doses.introduces[piece.source] & coming)
        each = piece.some(chosen)
        comings.append(
            each._replace(kind=PARAMETER, role=ARRIVAL, target=target[chosen], value=each.time)
        )
    if len(source):  # one that is added may have ended before another dose came in
        before, _ = _neighbours([*found, last, *comings], "value")
        place = sum(len(piece.owner) for piece in found)
        earlier = before[place : place + len(source)]
        last = last.some(np.flatnonzero(~(earlier > last.value)))
    return [*found, last, *comings]


def window_rows(switches: Sequence[SwitchTimes], arrivals: Sequence[Piece]) -> list[Piece]:
    """The changes of conditions on the time after a dose.

    arrivals: all rows of `arrival_rows`.
    """
    found = []
    for number, switch in enumerate(switches):
        if switch.parameter < 0:
            continue
        mine = [p.some(np.flatnonzero(p.target == switch.parameter)) for p in arrivals]
        _, following = _neighbours(mine, "time")
        for piece in mine:
            here, following = following[: len(piece.owner)], following[len(piece.owner) :]
            change = switch.after_arrival(piece.owner, piece.value)
            target = np.full(len(piece.owner), number)
            early = np.where(change > piece.time, switch.before, switch.after)
            found.append(piece._replace(kind=SWITCH, target=target, value=early))
            if piece.role == EMPTYING:
                continue
            later = np.flatnonzero((change > piece.time) & ~(change >= here) & (change < np.inf))
            ending = piece._replace(
                time=change,
                kind=SWITCH,
                target=target,
                value=np.full(len(piece.owner), switch.after),
                role=WINDOW,
                order=np.full(len(piece.owner), -1.0),
            )
            found.append(ending.some(later))
    return found


def _neighbours(pieces: Sequence[Piece], field: str) -> tuple[Array, Array]:
    """A field of the changes of the same parameter and patient before and after each of all rows.

    NaN where there is none.
    """

    def column(name: str) -> NDArray[np.generic]:
        return np.concatenate([np.zeros(0), *(getattr(piece, name) for piece in pieces)])

    owner, target, values = column("owner"), column("target"), column(field)
    by = np.lexsort((column("order"), column("time"), target, owner))
    same = (np.diff(owner[by]) == 0) & (np.diff(target[by]) == 0)
    before, after = np.full((2, len(by)), np.nan)
    before[by[1:][same]] = values[by[:-1][same]]
    after[by[:-1][same]] = values[by[1:][same]]
    return before, after
