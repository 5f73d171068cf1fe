"""Doses of each patient as columns: one value a dose, of all patients at once.

What a list of regimens says, without an object for each. Columns are (rows,), beside one that says
whose each row is, or arrays (patients, doses) whose rows end in NaN where a patient has fewer. The
numbers may be torch tensors: nobody has read these, and `filled` makes the columns that can be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array, is_tensor
from teorell.errors import InputError, count
from teorell.rows import offsets_of
from teorell.schedule.dose import BOLUS, BY_DURATION, BY_RATE, NOT_STEADY
from teorell.schedule.dose_table import DoseTable, table_of_columns

__all__ = ["DoseColumns"]


@dataclass(frozen=True, eq=False)
class DoseColumns:
    """Doses of patients, one value a dose; made by `Regimen.columns`. Immutable."""

    patients: int
    shape: tuple[int, ...]  # of the columns as they were given: (rows,) or (patients, doses)
    owner: NDArray[np.int64]  # (rows,) the patient of each
    names: tuple[str, ...]  # of states, "" where none was named
    into: NDArray[np.int64]  # (rows,) number in `names`
    # amount, time, duration, rate, every -> () or (rows,), NumPy or tensors; the last three where
    # they were given
    numbers: Mapping[str, Any]
    doses: NDArray[np.int64]  # (rows,) how often each is given
    steady: int = NOT_STEADY
    modelled: int = BOLUS  # MODELLED_RATE or MODELLED_DURATION where the model says it

    @property
    def rows(self) -> int:
        """How many values a column has."""
        return len(self.owner)

    def __repr__(self) -> str:
        into = ", ".join(repr(name) for name in self.names if name)
        padded = "" if len(self.shape) == 1 else f" in rows of {self.shape[1]}"
        return (
            f"<doses of {count(self.patients, 'patient')} as columns: {count(self.rows, 'value')}"
            f"{padded} of {', '.join(self.numbers)}, into {into}>"
        )

    def has_tensors(self) -> bool:
        return any(map(is_tensor, self.numbers.values()))

    def filled(self, fields: Mapping[str, Array]) -> DoseColumns:
        """The same with other numbers, () or (rows,), checked when they are read."""
        return replace(self, numbers={**self.numbers, **fields})

    def as_given(self, column: Array) -> Array:
        """(rows,) in the shape that the columns had."""
        return column.reshape(self.shape) if column.ndim else column

    def repeated(self, times: int) -> DoseColumns:
        """The patients that many times, one after the other; the numbers are to be `filled`."""
        first = np.repeat(np.arange(times) * self.patients, self.rows)
        rows = np.tile(np.arange(self.rows), times)
        blank = replace(self, numbers=dict.fromkeys(self.numbers, np.zeros(())))
        return blank._of(rows, first, self.patients * times)

    def part(self, start: int, stop: int) -> DoseColumns:
        """The patients start to stop - 1."""
        rows = np.flatnonzero((self.owner >= start) & (self.owner < stop))
        return self._of(rows, np.full(len(rows), -start), stop - start)

    def _of(self, rows: NDArray[np.int64], move: NDArray[np.int64], patients: int) -> DoseColumns:
        """Some rows, of patients whose numbers are `move` higher."""
        shape = (len(rows),) if len(self.shape) == 1 else (patients, self.shape[1])
        return replace(
            self,
            patients=patients,
            shape=shape,
            owner=self.owner[rows] + move,
            into=self.into[rows],
            numbers={k: v[rows] if v.ndim else v for k, v in self.numbers.items()},
            doses=self.doses[rows],
        )

    def table(self, states: tuple[str, ...]) -> DoseTable:
        """The records, patient after patient, in the order of the rows.

        InputError where the numbers do not fit; states are known to.
        """
        rows, kind, extent = self.checked
        place = np.array([states.index(name) if name else -1 for name in self.names], np.int64)
        every = self.column("every")[rows] if "every" in self.numbers else np.zeros(len(rows))
        codes = np.stack(
            [place[self.into[rows]], kind, np.full(len(rows), self.steady), self.doses[rows]]
        )
        values = np.stack([self.column("amount")[rows], self.column("time")[rows], every, extent])
        offsets = offsets_of(np.bincount(self.owner[rows], minlength=self.patients))
        return replace(table_of_columns(states, offsets, codes, values), given=rows)

    def column(self, name: str) -> Array:
        """(rows,) one of the numbers."""
        return np.broadcast_to(self.numbers[name], (self.rows,))

    @cached_property
    def checked(self) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
        """The rows that are doses, patient after patient, and kind and extent of each.

        InputError where a number makes no sense.
        """
        rows = np.flatnonzero(self._there())
        if (np.diff(self.owner[rows]) < 0).any():
            rows = rows[np.argsort(self.owner[rows], kind="stable")]
        for name in self.numbers:
            values = self.column(name)[rows]
            self._refuse(rows, ~np.isfinite(values), name, values, "it must be a finite number")
            self._refuse(rows, values < 0.0, name, values, "it must be zero or more")
        nowhere = np.array([not name for name in self.names], bool)[self.into[rows]]
        if nowhere.any():
            raise InputError(
                f"{self._who(rows[np.argmax(nowhere)])} has no state (a dose goes into one). Give "
                "its name."
            )
        kind, extent = self._kinds(rows)
        self._check_repeats(rows, kind)
        return rows, kind, extent

    def _there(self) -> NDArray[np.bool_]:
        """(rows,) which places hold a dose: in an array, those without NaN in amount and time."""
        if len(self.shape) == 1:
            return np.ones(self.rows, bool)
        which = [self.numbers[name] for name in ("amount", "time") if self.numbers[name].ndim]
        missing = np.isnan(np.stack(which)) if which else np.zeros((1, self.rows), bool)
        torn = missing.any(axis=0) & ~missing.all(axis=0)
        if torn.any():
            raise InputError(
                f"{self._who(np.argmax(torn))} has an amount or a time, not both (places without a "
                "dose have NaN in both). Give both, or neither."
            )
        there: NDArray[np.bool_] = ~missing[0]
        return there

    def _kinds(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], Array]:
        """How each amount goes in, and its duration or rate; a bolus has neither."""
        kind, extent = np.full(len(rows), self.modelled), np.zeros(len(rows))
        for name, code in (("duration", BY_DURATION), ("rate", BY_RATE)):
            if name not in self.numbers:
                continue
            values = self.column(name)[rows]
            has = values > 0.0
            both = has & (kind != BOLUS)
            if both.any():
                raise InputError(
                    f"{self._who(rows[np.argmax(both)])} has both duration and rate (with the "
                    "amount, one determines the other). Give 0 for the other."
                )
            kind[has], extent[has] = code, values[has]
        return kind, extent

    def _check_repeats(self, rows: NDArray[np.int64], kind: NDArray[np.int64]) -> None:
        """InputError for repeated doses without an interval, and for what is no steady state."""
        every = self.column("every")[rows] if "every" in self.numbers else np.zeros(len(rows))
        bad = (self.doses[rows] > 1) & (every == 0.0)
        if bad.any():
            raise InputError(
                f"{self._who(rows[np.argmax(bad)])} is given {self.doses[rows][np.argmax(bad)]} "
                "times without an interval (the times are unknown). Give every= too."
            )
        if self.steady == NOT_STEADY:
            return
        nothing, by_rate = self.column("amount")[rows] == 0.0, kind == BY_RATE
        bad = (every == 0.0) & ~(nothing & by_rate)
        if bad.any():
            raise InputError(
                f"{self._who(rows[np.argmax(bad)])} is at steady state without an interval (how "
                "often was it given?). Give every=; or amount 0 and a rate, an infusion that has "
                "run for ever."
            )
        bad = (every > 0.0) & nothing & by_rate
        if bad.any():
            raise InputError(
                f"{self._who(rows[np.argmax(bad)])} is an infusion at steady state of amount 0 "
                "with a rate and an interval (it gives nothing). Give an amount, or an interval of "
                "0 for one that has run for ever."
            )

    def _refuse(
        self, rows: NDArray[np.int64], bad: NDArray[np.bool_], name: str, values: Array, why: str
    ) -> None:
        if bad.any():
            k = int(np.argmax(bad))
            raise InputError(
                f"the {name} of {self._who(rows[k])} is {values[k]:.6g} ({why}). Correct it."
            )

    def _who(self, row: Any) -> str:
        """How messages name a row."""
        if len(self.shape) == 1:
            return f"row {row} of the doses (patient {self.owner[row]})"
        return f"dose {row % self.shape[1]} of patient {self.owner[row]}"
