"""The columns of a NONMEM-style event table as arrays, each checked.

What is wrong is named by row and column.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.cells import column_of, is_missing, missing_in, number_of, reason, shown
from teorell.errors import InputError
from teorell.schedule.table_file import read_table

__all__ = ["STANDARD", "Sheet", "sheet"]

STANDARD = (
    "ID", "TIME", "EVID", "AMT", "CMT", "RATE", "II", "ADDL", "SS", "DV", "DVID", "MDV", "BLQ",
    "CENS", "LIMIT", "LLOQ",
)  # fmt: skip
ALIASES = {"YTYPE": "DVID"}  # Monolix's name


@dataclass(frozen=True, eq=False)
class Sheet:
    """Columns by their names as given, `(rows,)` each, and how a message names a row."""

    columns: Mapping[str, NDArray[Any]]
    labels: Sequence[Any]
    names: Mapping[str, str]  # standard name -> as given

    @property
    def rows(self) -> int:
        return len(self.labels)

    def where(self, row: int, column: str) -> str:
        """'row 3 (index 2), column AMT' for messages; row counts from 0."""
        given = self.names.get(column, column)
        return f"row {row + 1} (index {self.labels[row]}), column {given}"

    def refuse(self, bad: NDArray[np.bool_], column: str, why: str, remedy: str) -> None:
        """InputError for the first row of `bad` (rows,), if there is one.

        The message names row, column and value, and says why and what to do.
        """
        if not bad.any():
            return
        row = int(np.argmax(bad))
        given = self.names.get(column, column)
        value = self.columns[given][row] if given in self.columns else None
        value = "missing" if is_missing(value) else shown(value)
        more = f", and {int(bad.sum()) - 1} more" if bad.sum() > 1 else ""
        raise InputError(f"{self.where(row, column)} is {value} ({why}{more}). {remedy}")

    def numbers(self, column: str, default: float | None = None, flag: bool = False) -> Array:
        """(rows,) float64, finite; missing cells are NaN, or `default`.

        flag: booleans are taken, as 1 and 0. InputError for cells that are no numbers.
        """
        given = self.names.get(column, column)
        if given not in self.columns:
            return np.full(self.rows, np.nan if default is None else default)
        cells = self.columns[given]
        if cells.dtype.kind in ("biuf" if flag else "iuf"):
            result = cells.astype(np.float64)
        else:
            found = [number_of(int(cell) if flag and _is_boolean(cell) else cell) for cell in cells]
            other = np.array([number is None for number in found], np.bool_)
            if other.any():
                why = reason(cells[int(np.argmax(other))])
                self.refuse(other, column, why, "Give a number, or leave the cell empty.")
            result = np.array(found, np.float64)
        self.refuse(np.isinf(result), column, "it must be finite", "Give a number.")
        return result if default is None else np.where(np.isnan(result), default, result)

    def given(self, column: str) -> NDArray[np.bool_]:
        """(rows,) which cells of a column hold a value; none where there is no such column."""
        name = self.names.get(column, column)
        if name not in self.columns:
            return np.zeros(self.rows, np.bool_)
        return ~missing_in(self.columns[name])


def _is_boolean(cell: Any) -> bool:
    return isinstance(cell, bool | np.bool_)


def sheet(frame: Any, covariates: Iterable[str]) -> Sheet:
    """The columns of a table, named in any case, with their meaning.

    frame: a DataFrame, a mapping of columns, or the path of a .csv file. covariates: the names of
    parameters; a column of one of these, in any case if that is unambiguous, is taken for it.
    InputError where ID or TIME is missing, where two columns mean the same, and for columns of
    different lengths.
    """
    if isinstance(frame, str | PathLike):
        frame = read_table(frame)
    if not isinstance(frame, Mapping) and not hasattr(frame, "columns"):
        raise TypeError(
            f"the event table is a {type(frame).__name__} (rows and columns are needed). Give a "
            "DataFrame, a mapping of columns, or the path of a .csv file."
        )
    keys = list(frame) if isinstance(frame, Mapping) else list(frame.columns)
    if len({str(key).strip() for key in keys}) < len(keys):
        raise InputError(
            "the event table has two columns of one name (which is meant?). Rename one."
        )
    columns = {str(key): column_of(frame[key], str(key)) for key in keys}
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise InputError(
            f"the event table has columns of {sorted(lengths)} rows (a row is a record). Give as "
            "many in each."
        )
    rows = lengths.pop() if lengths else 0
    labels = (
        list(frame.index)
        if hasattr(frame, "index") and not isinstance(frame, Mapping)
        else list(range(rows))
    )
    names = _named(columns, STANDARD, upper=True) | _named(columns, covariates, upper=False)
    for column in columns:
        first, _, number = column.rpartition(".")
        if number.isdigit() and first in names.values():
            raise InputError(
                f"the event table has columns {first} and {column} (pandas calls a second column "
                "of one name so). Rename one, or leave it out."
            )
    for needed in ("ID", "TIME"):
        if needed not in names:
            raise InputError(
                f"the event table has no column {needed} (every record needs it). Add it."
            )
    if not rows:
        raise InputError(
            "the event table has no rows (there is nobody in it). Give at least one record."
        )
    return Sheet(columns, labels, names)


def _named(columns: Mapping[str, Any], wanted: Iterable[str], upper: bool) -> dict[str, str]:
    """Wanted name -> the column that has it, as it is called there.

    upper: the wanted are NONMEM's; else they are parameters of the model.
    """
    folded: dict[str, list[str]] = {}
    for name in columns:
        key = name.strip().upper()
        folded.setdefault(ALIASES.get(key, key) if upper else key, []).append(name)
    named = {}
    for name in wanted:
        if not upper and name.upper() in STANDARD:
            continue  # the column of this name has its meaning already
        if not upper and name in columns:
            named[name] = name
            continue
        same = folded.get(name.upper(), [])
        if len(same) > 1:
            raise InputError(
                f"columns {' and '.join(same)} of the event table both mean {name} (which is "
                "meant?). Rename one."
            )
        if same:
            named[name] = same[0]
    return named
