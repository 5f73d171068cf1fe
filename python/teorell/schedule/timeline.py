"""From doses, covariates and switches to the flat, sorted timeline that the core reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.engine.batch import Samples, Timeline
from teorell.rows import offsets_of
from teorell.schedule.arrival_rows import arrival_rows, window_rows
from teorell.schedule.covariates import Stepwise
from teorell.schedule.dosing_rules import Doses
from teorell.schedule.record_times import RecordTimes
from teorell.schedule.switch_rows import SwitchTimes, switch_rows
from teorell.schedule.ties import tied_together
from teorell.schedule.timeline_rows import (
    GIVEN,
    RESET,
    STATE,
    WINDOW,
    Piece,
    Steady,
    change_rows,
    dose_rows,
    steady_rows,
)

__all__ = ["samples_of", "timeline_of"]

# order of kinds at equal times: resets and what is given at a start, ends, starts, switches,
# covariates, boluses
RANK = np.array([5, 2, 1, 3, 0, 4, 0])
CHUNK = 65_536  # patients whose rows are sorted at once: bounds the scratch memory


def timeline_of(
    doses: Doses,
    states: Mapping[str, int],
    infused: Mapping[str, int],
    switches: Sequence[SwitchTimes] = (),
    covariates: Mapping[int, Stepwise] | None = None,
    steady: Steady | None = None,
    ongoing: bool = False,
    between: bool = False,
    arrivals: Mapping[str, int] | None = None,
    acting: bool = False,
) -> Timeline:
    """The timeline of the patients of a table of doses, or of one schedule that all share.

    states, infused: name of a state -> its number as the target of a bolus, of an infusion.
    covariates: by the number of the parameter. Where a switch or a covariate differs between
    patients, each has rows of its own in the table of doses.
    ongoing: records at steady state begin with what earlier intervals left running, and nothing
    else.
    between: samples lie between events of one time: one that a reset undoes at once is seen there.
    arrivals: state -> the number of the parameter with the time of its last dose.
    acting: the model has events. What holds in a steady state has held before, and none of them
    acts.
    """
    into = {name: number for number, name in enumerate(doses.table.states)}
    of_states = {into[name]: number for name, number in (arrivals or {}).items() if name in into}
    patients = doses.table.patients
    to_states = np.array([states[name] for name in doses.table.states], np.int64)
    to_infused = np.array([infused.get(name, -1) for name in doses.table.states], np.int64)
    parts = []
    for start in range(0, patients, CHUNK):
        stop = min(start + CHUNK, patients)
        first, last = doses.table.offsets[[start, stop]].tolist()
        part = _part(doses, start, stop)
        pieces = dose_rows(part, to_states, to_infused, ongoing, between)
        if steady is not None:
            pieces += steady_rows(part, steady.part(first, last))
        cut = [switch.part(start, stop) for switch in switches]
        pieces += switch_rows(cut, stop - start)
        if of_states:
            changes = arrival_rows(part, pieces, of_states)
            pieces += changes + window_rows(cut, changes)
        for parameter, steps in (covariates or {}).items():
            pieces += change_rows(parameter, steps, start, stop)
        parts.append(_sorted(pieces, stop - start, part.table.order is not None, first))
    columns: dict[str, Any] = {
        name: np.concatenate([part[name] for part in parts]) for name in parts[0]
    }
    offsets = offsets_of(columns.pop("counts"))
    if acting:
        columns["kind"][columns["role"] == STATE] = GIVEN
    if not columns["order"].size:
        columns["order"] = None
    return Timeline(**columns, offsets=offsets)


def _part(doses: Doses, start: int, stop: int) -> Doses:
    """The patients start to stop - 1, without the rules."""
    rows = slice(*doses.table.offsets[[start, stop]].tolist())
    columns = (doses.amount, doses.first, doses.width, doses.bioavailability, doses.extent)
    amount, first, width, bioavailability, extent = (column[rows] for column in columns)
    return Doses(
        table=doses.table.part(start, stop),
        amount=amount,
        first=first,
        width=width,
        bioavailability=bioavailability,
        extent=extent,
        introduces=doses.introduces[rows],
    )


def _sorted(
    pieces: Sequence[Piece], patients: int, ordered: bool, first: int
) -> dict[str, NDArray[Any]]:
    """The columns of a Timeline by patient, time, order and kind, and the counts of rows.

    first: the row of the table that the part begins with.
    """

    def column(name: str, dtype: type) -> NDArray[Any]:
        parts = [np.broadcast_to(getattr(piece, name), piece.time.shape) for piece in pieces]
        return np.concatenate([np.zeros(0, dtype), *parts]).astype(dtype)

    columns = {
        "time": column("time", np.float64),
        "kind": column("kind", np.int32),
        "target": column("target", np.int32),
        "value": column("value", np.float64),
        "role": column("role", np.int8),
        "source": column("source", np.int64),
        "number": column("number", np.int64),
    }
    owner, order, time = column("owner", np.int64), column("order", np.float64), columns["time"]
    columns["source"][columns["role"] <= WINDOW] += first  # these are rows of the table of doses
    # States at steady state are those before the doses of their time: where these come later, it is
    # the states that go on.
    rank = np.where(columns["role"] == STATE, RANK[RESET], RANK[columns["kind"]])
    if ordered:
        by = np.lexsort((time, owner))
        cluster = np.empty(len(by), np.int64)
        cluster[by] = tied_together(owner[by], time[by])
        by = np.lexsort((rank, order, cluster))
    else:
        by = np.lexsort((rank, time, owner))
    found = {name: each[by] for name, each in columns.items()}
    found["order"] = order[by] if ordered else np.zeros(0)
    return found | {"counts": np.bincount(owner, minlength=patients)}


def samples_of(at: RecordTimes, timeline: Timeline) -> Samples:
    """Sample times for the core: where records have an order, each with the number of events that
    come before it.
    """
    if at.order is None or timeline.order is None:
        return Samples(at.times, at.offsets, None)
    rows = len(timeline.time)
    times, which = np.unique(np.concatenate([timeline.time, at.times]), return_inverse=True)
    place = tied_together(np.zeros(len(times), np.int64), times)[which]
    # ascending for events, and for samples
    key = place + len(times) * np.concatenate([timeline.owner, at.patient])
    first = np.searchsorted(key[:rows], key[rows:])
    last = np.searchsorted(key[:rows], key[rows:], side="right")
    before = np.array(first)
    for event in range(int(np.max(last - first, initial=0))):  # of the same time, in their order
        tied = first + event
        before += (tied < last) & (timeline.order[np.minimum(tied, rows - 1)] <= at.order)
    return Samples(at.times, at.offsets, before - timeline.offsets[at.patient])
