"""What a cell of a table says: a number, nothing, or something that is no number."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import is_tensor
from teorell.errors import InputError

__all__ = [
    "FAILED",
    "column_of",
    "is_missing",
    "key_of",
    "missing_in",
    "number_of",
    "reason",
    "shown",
]

MISSING = frozenset({"", ".", "na", "n/a", "nan", "none", "null", "<na>", "#n/a"})
FAILED = frozenset({"#ref!", "#value!", "#name?", "#null!", "#div/0!", "#num!"})  # spreadsheets'
MISSING_TYPES = frozenset({"NAType", "NaTType", "MaskedConstant"})  # of pandas and NumPy
LONGEST = 60  # characters of a cell in a message
_NAN = float("nan")


def is_missing(cell: Any) -> bool:
    """Has the cell no value? Empty, ".", NA, NaN, None, NULL, #N/A in any case, or masked."""
    if isinstance(cell, str):
        return cell.strip().lower() in MISSING
    if cell is None or type(cell).__name__ in MISSING_TYPES:
        return True
    if isinstance(cell, np.datetime64 | np.timedelta64):
        return bool(np.isnat(cell))
    return isinstance(cell, float | np.floating | Decimal) and bool(cell != cell)


def missing_in(column: NDArray[Any]) -> NDArray[np.bool_]:
    """(rows,) which cells of a column have no value."""
    if column.dtype.kind in "biu":
        return np.zeros(len(column), np.bool_)
    if column.dtype.kind == "f":
        return np.array(column != column)
    return np.array([is_missing(cell) for cell in column], np.bool_)


def number_of(cell: Any) -> float | None:
    """The number that a cell holds, NaN if it is missing, None if it holds anything else.

    Booleans, dates, durations, lists and complex numbers are something else.
    """
    if is_missing(cell):
        return _NAN
    if isinstance(cell, bool | np.bool_ | np.timedelta64):
        return None
    if not isinstance(cell, str | Real | Decimal):
        return None
    try:
        number = float(cell)
    except (ValueError, OverflowError):
        return None
    return None if number != number or (isinstance(cell, str) and "_" in cell) else number


def reason(cell: Any) -> str:
    """Why a cell is no number, for a message."""
    if isinstance(cell, bool | np.bool_):
        return "a boolean, not a number"
    text = shown(cell).strip()
    if text.lower() in FAILED:
        return "what a spreadsheet shows of a formula that failed"
    if isinstance(cell, np.timedelta64 | timedelta):
        return "not a number; durations have no unit of time here"
    if "-" in text[1:] or ":" in text or "/" in text:
        return "not a number; dates and clock times are not read"
    if "," in text:
        return "not a number; decimals have a point, thousands no comma"
    return "not a number"


def shown(cell: Any) -> str:
    """A cell as a message tells it, the start of what is long."""
    try:
        text = str(cell)
    except ValueError:  # Python writes no number of more than 4300 digits
        text = f"{type(cell).__name__} of thousands of digits"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def key_of(cell: Any) -> str:
    """What tells a subject's cell from others: outer blanks do not, nor 1 from 1.0 and "1"."""
    whole = not isinstance(cell, str) and isinstance(cell, Real) and cell == cell // 1
    return str(int(cell)) if whole else str(cell).strip()


def column_of(values: Any, name: str) -> NDArray[Any]:
    """A column as an array (rows,): masked cells are missing, text is str.

    InputError for several values a row, TypeError for tensors that ask for a derivative.
    """
    if is_tensor(values) and values.requires_grad:
        raise TypeError(
            f"column {name} of the event table is a tensor that requires grad (a table has "
            "numbers, no derivative comes back). Give .detach() of it."
        )
    if isinstance(values, np.ma.MaskedArray):
        kind, hidden = values.dtype.kind, np.ma.getmaskarray(values)
        values = np.ma.getdata(values).astype(np.float64 if kind in "iuf" else object)
        values[hidden] = None
    try:
        cells = np.asarray(values)
    except ValueError:
        cells = np.empty(len(values), object)
        cells[:] = values
    if cells.ndim > 1 and cells.size != len(cells):
        raise InputError(
            f"column {name} of the event table has shape {cells.shape} (a cell holds one value). "
            "Give one a row."
        )
    cells = cells.reshape(-1)
    return np.char.decode(cells, "utf-8") if cells.dtype.kind == "S" else cells
