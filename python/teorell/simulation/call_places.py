"""Where the numbers that a call of the core was made from stand in what it reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.rows import spread
from teorell.schedule.covariates import Moments
from teorell.schedule.dose import BY_DURATION, BY_RATE
from teorell.schedule.dose_columns import DoseColumns
from teorell.schedule.timeline_rows import STATE
from teorell.simulation.core_call import CoreCall
from teorell.simulation.inputs import Input
from teorell.simulation.switch_times import slopes_of

__all__ = ["CallPlaces"]


@dataclass(frozen=True, eq=False)
class CallPlaces:
    """The records and rows of one call of the core that its inputs became.

    A parameter acts through the programs, through the times of switches and through the rules of
    doses; a number of a regimen through rows of the timeline, and where it is at steady state also
    through the states that precede it.
    """

    call: CoreCall

    def column_records(self, entry: Input) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The records that read an entry of columns of doses, and the place of each in these."""
        doses, table = self.call.doses, self.call.doses.table
        assert table.given is not None
        kinds = {"duration": BY_DURATION, "rate": BY_RATE}
        reads = (table.given >= 0) & (table.kind == kinds.get(entry.name, table.kind))
        if entry.line >= 0:  # that dose of each patient
            reads &= self._number_of_patient[table.given] == entry.line
        place = np.full(doses.records, -1)
        place[np.arange(len(reads)) if doses.record is None else doses.record] = np.where(
            reads, table.given, -1
        )
        mine = np.flatnonzero(place >= 0)
        return mine, place[mine]

    @cached_property
    def _number_of_patient(self) -> NDArray[np.int64]:
        """(rows of the columns of doses,) which of its patient's doses each is; -1: no dose."""
        columns = self.call.regimen
        assert isinstance(columns, DoseColumns)
        rows, *_ = columns.checked
        counts = np.bincount(columns.owner[rows], minlength=columns.patients)
        result = np.full(columns.rows, -1)
        result[rows] = spread(np.zeros_like(counts), counts)
        return result

    def line_rows(self, line: int) -> slice:
        """The records that a line of the regimen became: one, or one a patient.

        The record of an equilibrium comes before all lines.
        """
        of_patient = self.call.doses.records // self.call.doses.table.patients
        return slice(line + self.call.equilibrium, None, of_patient)

    @cached_property
    def state_rows(self) -> NDArray[np.int64]:
        """The rows of events with the states at steady state, record after record."""
        rows = np.flatnonzero(self.call.timeline.role == STATE)
        return rows[np.lexsort((self.call.timeline.number[rows], self.call.timeline.source[rows]))]

    @cached_property
    def steady_records(self) -> Moments:
        """(records,) those at steady state, as moments at which parameters are read."""
        assert self.call.steady is not None
        return self.call.doses.table.moments().of(self.call.steady.rows)

    @cached_property
    def switch_slopes(self) -> list[dict[str, Array]]:
        """For each switch: parameter -> d threshold / d parameter, () or (patients,)."""
        return slopes_of(self.call.batch.programs, self.call.batch.columns)
