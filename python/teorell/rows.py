"""Rows of patients in flat columns, one patient after the other: patient i has rows
offsets[i]:offsets[i + 1].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from teorell.errors import InputError

__all__ = ["Rows", "check_rows", "falls", "offsets_of", "spread"]

R = TypeVar("R", bound="Rows")


class Rows:
    """Base of dataclasses whose array fields, but `offsets`, are columns: one value a row.

    offsets: (patients + 1,); of shape (2,) the rows may be those of one patient, or shared by all.
    """

    if TYPE_CHECKING:

        @property
        def offsets(self) -> NDArray[np.int64]: ...

    @property
    def patients(self) -> int:
        """How many patients have rows of their own; 1 may stand for all."""
        return len(self.offsets) - 1

    @property
    def counts(self) -> NDArray[np.int64]:
        """(patients,) how many rows each has."""
        return np.diff(self.offsets)

    @property
    def owner(self) -> NDArray[np.int64]:
        """(rows,) the patient of each row."""
        return np.repeat(np.arange(self.patients), self.counts)

    def rows_of(self, patients: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of some patients, one patient after the other, in the order given."""
        return spread(self.offsets[patients], self.counts[patients])

    def part(self: R, start: int, stop: int) -> R:
        """The patients start to stop - 1; columns are views."""
        first, last = self.offsets[start], self.offsets[stop]
        return self.select(slice(int(first), int(last)), self.offsets[start : stop + 1] - first)

    def of(self: R, patients: NDArray[np.int64]) -> R:
        """Some patients, in the order given."""
        return self.select(self.rows_of(patients), offsets_of(self.counts[patients]))

    def repeated(self: R, times: int) -> R:
        """The patients that many times, one after the other."""
        rows = np.tile(np.arange(int(self.offsets[-1])), times)
        return self.select(rows, offsets_of(np.tile(self.counts, times)))

    def select(self: R, rows: slice | NDArray[np.int64], offsets: NDArray[np.int64]) -> R:
        """Some rows, in the order given, and the offsets of the patients they then belong to."""
        changed: dict[str, Any] = {name: column[rows] for name, column in self._columns().items()}
        return replace(self, offsets=offsets, **changed)  # type: ignore[type-var]

    def _columns(self) -> Mapping[str, NDArray[Any]]:
        record: Any = self
        values = {
            field.name: getattr(self, field.name)
            for field in fields(record)
            if field.name != "offsets"
        }
        return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}


def check_rows(rows: Rows, what: str, least: int = 0) -> None:
    """InputError unless the columns of rows that somebody made are as long as their offsets say.

    what: how messages name them. least: how many rows a patient has at least.
    """
    record: Any = rows
    offsets = np.asarray(record.offsets)
    sizes = {
        field.name: np.shape(getattr(record, field.name))
        for field in fields(record)
        if isinstance(getattr(record, field.name), np.ndarray | list) and field.name != "offsets"
    }
    n = next(iter(sizes.values()), (0,))
    good = offsets.ndim == 1 and offsets.dtype.kind in "iu" and offsets.size >= 2
    good = good and len(n) == 1 and offsets[0] == 0 and offsets[-1] == n[0]
    if not good or bool((np.diff(offsets.astype(np.int64)) < least).any()):
        raise InputError(
            f"the offsets of {what} are {np.array2string(offsets, threshold=8)} (patient i has the "
            f"rows offsets[i] to offsets[i + 1] - 1, of {n[0] if n else 0}). Correct them."
        )
    for name, shape in sizes.items():
        if shape != n:
            raise InputError(
                f"{name} of {what} has shape {shape} (there are {n[0]} rows). Give one a row."
            )


def falls(column: NDArray[Any], offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(rows,) where a column goes down within a patient."""
    found = np.zeros(len(column), np.bool_)
    found[1:] = np.diff(column) < 0
    starts = offsets[:-1]
    found[starts[starts < len(column)]] = False
    return found


def offsets_of(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """(patients + 1,) from the number of rows of each patient."""
    return np.append(0, np.cumsum(counts))


def spread(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """start, start + 1, ...

    (length of them) for each pair, one after the other: shape (sum of lengths,).
    """
    before: NDArray[np.int64] = np.cumsum(lengths) - lengths
    return np.arange(lengths.sum(), dtype=np.int64) + np.repeat(starts - before, lengths)
