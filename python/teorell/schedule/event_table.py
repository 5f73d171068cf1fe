"""Event tables as NONMEM reads them: one row a record.

A record is a dose, an observation, a reset or a covariate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.cells import FAILED, key_of, number_of
from teorell.errors import InputError
from teorell.model import Model
from teorell.schedule.event_compartments import compartments_of
from teorell.schedule.event_covariates import covariate_of, labels_of
from teorell.schedule.event_doses import doses_of_records
from teorell.schedule.event_kinds import kinds_of, unused_columns, warn_of_unused
from teorell.schedule.event_observations import observations_of
from teorell.schedule.record_times import RecordTimes
from teorell.schedule.sheet import Sheet, sheet

__all__ = ["EventTable"]


# columns of results: what is called so is not kept
TAKEN = ("patient", "time", "id", "status", "failure_time", "steps", "rejected", "condition")


class EventTable:
    """A NONMEM-style table read for a model, as what simulate takes.

    `simulate(model, events.parameters, events.regimen, events.times)` simulates it.

    frame: a DataFrame, a mapping of columns, or the path of a .csv file; column names in any case.
        Read are ID, TIME, EVID, AMT, CMT, RATE, II, ADDL, SS, DV, DVID (or YTYPE), MDV, BLQ or
        CENS, LIMIT and LLOQ; what is missing takes NONMEM's default. Columns with the name of a
        parameter of the model are covariates. Cells that are empty, ".", NA or NaN are missing.
    compartments: CMT -> name of a state; None: CMT k is the k-th state that the model declares, or
        its name.
    covariates: "next", NONMEM's rule: the value of a record holds over the interval that ends at
        it; "previous": from it on.

    The simulation starts at TIME 0, and returns a sample for each observation record (EVID 0), in
    the table's order. At one time, records count in their order; additional and lagged doses come
    before the records of their time.

    Attributes: ids (patients,) as in the table; regimen, a DoseTable; times, RecordTimes;
    parameters, name -> (patients,) or Stepwise. Of the observation records, (samples,) each:
    records, their rows, from 0; dv, mdv, lloq; cens, 1 where the value lies below a limit (LLOQ, or
    else DV), -1 where it lies above DV, 0 where it was measured; limit, the other end of the
    interval, or NaN; blq, where cens is 1; dvid as in the table, None without the column; cmt, the
    number of a state, the first where cmt_given is False: the row names none.
    columns: what is read, name -> as the table calls it. ignored: columns that were not used; those
    that tell one thing of each subject stay with results, as covariates do.

    Raises InputError, with row and column, for anything that does not fit, before any work. Warns
    (teorell.InputWarning) of what is not used: columns, and values on records that have no use for
    them.
    """

    def __init__(
        self,
        frame: Any,
        model: Model,
        compartments: Mapping[Any, str] | None = None,
        covariates: str = "next",
    ) -> None:
        if not isinstance(model, Model):
            raise TypeError(
                f"the model of an event table is a {type(model).__name__} (it tells compartments "
                "and covariates). Write teorell.EventTable(frame, model)."
            )
        if covariates not in ("next", "previous"):
            raise InputError(
                f"covariates is {covariates!r} (when does a value hold?). "
                'Give "next" or "previous".'
            )
        table = sheet(frame, model.parameter_names)
        self.columns = dict(table.names)
        self.ignored = unused_columns(table)
        offsets, place = _subjects(table)
        self.ids: NDArray[Any] = table.columns[table.names["ID"]][offsets[:-1]]
        time = _times(table, place)
        evid, amount = kinds_of(table)
        state, named = compartments_of(table, model, compartments)
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
        self.parameters = Subjects(
            self.ids,
            {
                name: covariate_of(table, model, name, time, place, offsets, covariates == "next")
                for name in model.parameter_names
                if name in table.names
            },
            {name: model.parameter_info(name).unit for name in model.parameter_names},
            labels_of(table, set(self.ignored).difference(TAKEN, model.output_names), offsets),
        )
        found = observations_of(table, seen)
        self.dv, self.mdv, self.lloq, self.dvid = found.dv, found.mdv, found.lloq, found.dvid
        self.cens, self.limit, self.blq = found.cens, found.limit, found.cens == 1
        self.cmt, self.cmt_given = state[seen], named[seen]
        self.compartments = compartments
        warn_of_unused(table, self.ignored, evid)

    @property
    def patients(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        doses, samples = len(self.regimen.into), len(self.records)
        return (
            f"<EventTable: {self.patients} patients, {doses} dose records, {samples} observations>"
        )


class Subjects(dict[str, Any]):
    """The covariates of an event table, name -> (patients,) or Stepwise, whose subjects it names:
    ids, the covariates that do not change, and what else is told of each stay with results.
    """

    def __init__(
        self,
        ids: NDArray[Any],
        columns: Mapping[str, Any],
        units: Mapping[str, str],
        more: Mapping[str, NDArray[Any]] | None = None,
    ):
        super().__init__(columns)
        self.ids, self._units, self._more = ids, dict(units), dict(more or {})

    def labels(self) -> dict[str, NDArray[Any]]:
        """Covariates that do not change over time, and what else is known, (patients,) each."""
        fixed = {name: each for name, each in self.items() if isinstance(each, np.ndarray)}
        told = {name: np.broadcast_to(each, self.ids.shape) for name, each in fixed.items()}
        return told | self._more

    def unit(self, name: str) -> str:
        """The unit of a covariate, "" where the model declares none."""
        return self._units.get(name, "")

    def __reduce__(self) -> tuple[Any, ...]:
        return Subjects, (self.ids, dict(self), self._units, self._more)


def _subjects(table: Sheet) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where subjects begin, (patients + 1,) rows, and the place of each row within its subject.

    InputError where the rows of a subject do not lie together.
    """
    given = table.columns[table.names["ID"]]
    remedy = "Give a number or a name."
    table.refuse(~table.given("ID"), "ID", "whose record is it?", remedy)
    if given.dtype.kind in "OU":
        neither = [
            one.lower() in FAILED if isinstance(one, str) else number_of(one) is None
            for one in given
        ]
        table.refuse(np.array(neither, np.bool_), "ID", "neither number nor name", remedy)
        codes = np.unique(np.array([key_of(one) for one in given]), return_inverse=True)[1]
    else:
        table.numbers("ID")  # refuses what is none
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
