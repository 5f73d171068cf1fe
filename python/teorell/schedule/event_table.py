"""Event tables as NONMEM reads them: one row a record.

A record is a dose, an observation, a reset or a covariate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array, check_bounds
from teorell.errors import InputError, suggestion
from teorell.model import Model
from teorell.schedule.covariates import Stepwise
from teorell.schedule.event_doses import doses_of_records
from teorell.schedule.record_times import RecordTimes
from teorell.schedule.sheet import Sheet, sheet

__all__ = ["EventTable"]

MISSING = ("", ".", "nan", "None", "<NA>")  # as text, what a cell without a value is


class EventTable:
    """A NONMEM-style table read for a model, as what simulate takes.

    `simulate(model, events.parameters, events.regimen, events.times)` simulates it.

    frame: a DataFrame, a mapping of columns, or the path of a .csv file; column names in any case.
        Read are ID, TIME, EVID, AMT, CMT, RATE, II, ADDL, SS, DV, MDV, DVID (or YTYPE), CENS,
        LIMIT, BLQ and LLOQ; what is missing takes NONMEM's default. Columns with the name of a
        parameter of the model are covariates. Empty cells and "." are missing.
    compartments: CMT -> name of a state; None: CMT k is the k-th state that the model declares, or
        its name.
    covariates: "next", NONMEM's rule: the value of a record holds over the interval that ends at
        it; "previous": from it on.

    The simulation starts at TIME 0, and returns a sample for each observation record (EVID 0), in
    the table's order. At one time, records count in their order; additional and lagged doses come
    before the records of their time.

    Attributes: ids (patients,) as in the table; regimen, a DoseTable; times, RecordTimes;
    parameters, name -> (patients,) or Stepwise. Of the observation records, (samples,) each:
    records, their rows, from 0; dv, mdv; cens, 1 where the value lies below DV, -1 where above, and
    limit, the other end; blq, whether cens is 1, and lloq; cmt, the number of the state; dvid, the
    cells, None without the column. ignored: columns that were not used.

    Raises InputError, with row and column, for anything that does not fit, before any work.
    """

    def __init__(
        self,
        frame: Any,
        model: Model,
        compartments: Mapping[Any, str] | None = None,
        covariates: str = "next",
    ) -> None:
        if covariates not in ("next", "previous"):
            raise InputError(
                f"covariates is {covariates!r} (when does a value hold?). "
                'Give "next" or "previous".'
            )
        table = sheet(frame, model.parameter_names)
        used = set(table.names.values())
        self.ignored = tuple(name for name in table.columns if name not in used)
        offsets, place = _subjects(table)
        self.ids: NDArray[Any] = table.columns[table.names["ID"]][offsets[:-1]]
        time = _times(table, place)
        evid, amount = _kinds(table)
        state = _compartments(table, model, compartments)
        self.regimen = doses_of_records(
            table,
            model,
            evid=evid,
            amount=amount,
            state=state,
            time=time,
            place=place,
            offsets=offsets,
        )
        seen = np.flatnonzero(evid == 0)
        self.records = seen
        of_patient = np.searchsorted(offsets, seen, side="right") - 1
        self.times = RecordTimes(
            time[seen], np.searchsorted(of_patient, np.arange(len(offsets))), 2 * place[seen]
        )
        self.parameters = {
            name: _covariate(table, model, name, time, place, offsets, covariates == "next")
            for name in model.parameter_names
            if name in table.names
        }
        self.dv = table.numbers("DV")[seen]
        missing = table.numbers("MDV")[seen]
        self.cens = _censored(table)[seen]
        self.blq = self.cens == 1
        self.mdv = np.where(np.isnan(missing), np.isnan(self.dv) & (self.cens == 0), missing != 0.0)
        self.limit, self.lloq = table.numbers("LIMIT")[seen], table.numbers("LLOQ")[seen]
        self.dvid = table.columns[table.names["DVID"]][seen] if "DVID" in table.names else None
        self.cmt, self.compartments = state[seen], compartments

    @property
    def patients(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        doses, samples = len(self.regimen.into), len(self.records)
        return (
            f"<EventTable: {self.patients} patients, {doses} dose records, {samples} observations>"
        )


def _subjects(table: Sheet) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where subjects begin, (patients + 1,) rows, and the place of each row within its subject.

    InputError where the rows of a subject do not lie together.
    """
    given = table.columns[table.names["ID"]]
    if given.dtype.kind in "OUS":
        codes = np.unique(np.array([str(one) for one in given]), return_inverse=True)[1]
    else:
        table.refuse(
            ~np.isfinite(table.numbers("ID")),
            "ID",
            "whose record is it?",
            "Give a number or a name.",
        )
        codes = np.unique(given, return_inverse=True)[1]
    starts = np.append(0, np.flatnonzero(np.diff(codes)) + 1)
    again = np.zeros(table.rows, np.bool_)
    order = np.argsort(codes[starts], kind="stable")
    repeated = np.flatnonzero(np.diff(codes[starts][order]) == 0)
    again[starts[order[repeated + 1]]] = True
    table.refuse(
        again, "ID", "this subject has records further up, others between", "Sort the table by ID."
    )
    offsets = np.append(starts, table.rows).astype(np.int64)
    return offsets, np.arange(table.rows) - np.repeat(starts, np.diff(offsets))


def _times(table: Sheet, place: NDArray[np.int64]) -> Array:
    """TIME of each row; InputError for what is no time, and where it goes back within a subject."""
    time = table.numbers("TIME")
    table.refuse(~np.isfinite(time), "TIME", "a record needs its time", "Give a number.")
    table.refuse(time < 0.0, "TIME", "a simulation starts at 0", "Count time from 0.")
    back = np.append(False, np.diff(time) < 0.0) & (place > 0)
    table.refuse(
        back,
        "TIME",
        "time goes back within a subject",
        "Sort the records, and let the time go on after a reset.",
    )
    return time


def _kinds(table: Sheet) -> tuple[NDArray[np.int64], Array]:
    """EVID and AMT of each row; InputError where they contradict each other."""
    amount = table.numbers("AMT", 0.0)
    table.refuse(
        ~np.isfinite(amount) | (amount < 0.0), "AMT", "an amount is zero or more", "Correct it."
    )
    given = table.numbers("EVID")
    dose = (amount > 0.0) | (
        (table.numbers("RATE", 0.0) != 0.0) & (table.numbers("SS", 0.0) != 0.0)
    )
    evid = np.where(np.isnan(given), dose, given)
    table.refuse(~np.isin(evid, (0, 1, 2, 3, 4)), "EVID", "it is 0, 1, 2, 3 or 4", "Correct it.")
    forbidden = np.isin(evid, (0, 2, 3)) & (amount > 0.0)
    table.refuse(
        forbidden, "AMT", "the record is no dose, by its EVID", "Give EVID 1 or 4, or AMT 0."
    )
    return evid.astype(np.int64), amount


def _censored(table: Sheet) -> NDArray[np.int64]:
    """1 for rows whose value lies below a limit (CENS 1, or BLQ), -1 above (CENS -1), else 0.

    InputError for other numbers, and where CENS and BLQ contradict each other.
    """
    cens, flag = table.numbers("CENS"), table.numbers("BLQ")
    known = np.isnan(cens) | np.isin(cens, (-1, 0, 1))
    table.refuse(~known, "CENS", "it is -1, 0 or 1", "Correct it.")
    table.refuse(~(np.isnan(flag) | np.isin(flag, (0, 1))), "BLQ", "it is 0 or 1", "Correct it.")
    other = ~np.isnan(cens) & ~np.isnan(flag) & ((cens == 1) != (flag == 1))
    table.refuse(other, "BLQ", "CENS says otherwise", "Leave out one of the columns.")
    return np.where(np.isnan(cens), np.nan_to_num(flag), cens).astype(np.int64)


def _compartments(table: Sheet, model: Model, given: Mapping[Any, str] | None) -> NDArray[np.int64]:
    """The number of the state of each row; the first where there is no CMT.

    given: the argument `compartments` of EventTable.
    """
    names = model.state_names
    if "CMT" not in table.names:
        return np.zeros(table.rows, np.int64)
    cells = table.columns[table.names["CMT"]]
    _, rows, which = np.unique(cells.astype(str), return_index=True, return_inverse=True)
    states = [_state(table, names, given, cells[row], int(row)) for row in rows]
    return np.array(states, np.int64)[which]


def _state(
    table: Sheet, names: tuple[str, ...], given: Mapping[Any, str] | None, cell: Any, row: int
) -> int:
    """The number of the state that a cell of CMT means; InputError if there is none."""
    if str(cell).strip() in MISSING:
        return 0
    if given is not None and cell in given:
        if given[cell] not in names:
            raise InputError(
                f"compartments names {given[cell]!r} (it is no state). "
                f"{suggestion(str(given[cell]), names)}"
            )
        return names.index(given[cell])
    if given is None and isinstance(cell, str) and cell.strip() in names:
        return names.index(cell.strip())
    try:
        number = float(cell)
    except ValueError:
        number = -1.0
    if given is not None or number != int(number) or not (0 <= number <= len(names)):
        known = (
            ", ".join(map(str, given))
            if given is not None
            else f"1 to {len(names)}, or {', '.join(names[:6])}"
        )
        raise InputError(
            f"{table.where(row, 'CMT')} is {cell} (the model has no such compartment). Give "
            f"{known}."
        )
    return max(int(number) - 1, 0)


def _covariate(
    table: Sheet,
    model: Model,
    name: str,
    time: Array,
    place: NDArray[np.int64],
    offsets: NDArray[np.int64],
    ahead: bool,
) -> Array | Stepwise:
    """The values of a parameter: (patients,) if each subject has one, else its steps.

    ahead: a value holds over the interval that ends at its record, NONMEM's rule.
    """
    values, rows = _carried(table, name, offsets), np.arange(table.rows)
    info = model.parameter_info(name)
    check_bounds(name, values, info.lower, info.upper)
    first = place == 0
    changes = ~first & (np.append(values[:1], values[:-1]) != values)
    if not changes.any():
        return values[offsets[:-1]]
    kept = np.flatnonzero(first | changes)
    # NONMEM: what a record says holds since the record before it.
    since = np.where(first, rows, rows - 1) if ahead else rows
    order = np.where(ahead, 2.0 * (place - 1) + 1.5, 2.0 * place - 0.5)
    return Stepwise(
        values[kept],
        time[since][kept],
        np.searchsorted(kept, offsets).astype(np.int64),
        order[kept],
    )


def _carried(table: Sheet, name: str, offsets: NDArray[np.int64]) -> Array:
    """The cells of a column, (rows,), the missing ones filled.

    They take the value of the record before, at the start of a subject that of the one after.
    InputError for a subject without any.
    """
    values = table.numbers(name)
    known = ~np.isnan(values)
    if known.all():
        return values
    owner = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    rows = np.arange(table.rows)
    before = np.maximum.accumulate(np.where(known, rows, -1))
    after = np.minimum.accumulate(np.where(known, rows, table.rows)[::-1])[::-1]
    usable = (before >= 0) & (owner[before] == owner)
    source = np.where(usable, before, np.minimum(after, table.rows - 1))
    lost = (owner[source] != owner) | ~known[source]
    table.refuse(lost, name, "the subject has no value of this covariate", "Give one at least.")
    return values[source]
