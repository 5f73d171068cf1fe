"""What a cell of an event table says: a number, nothing, or something that is no number."""

from __future__ import annotations

from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import is_tensor
from teorell.errors import InputError

__all__ = ["column_of", "is_missing", "number_of", "reason"]

MISSING = frozenset({"", ".", "na", "n/a", "nan", "none", "null", "<na>"})
MISSING_TYPES = frozenset({"NAType", "NaTType", "MaskedConstant"})  # of pandas and NumPy
_NAN = float("nan")


def is_missing(cell: Any) -> bool:
    """Has the cell no value? Empty, ".", NA, NaN, None, NULL in any case, or masked."""
    if isinstance(cell, str):
        return cell.strip().lower() in MISSING
    if cell is None or type(cell).__name__ in MISSING_TYPES:
        return True
    if isinstance(cell, np.datetime64 | np.timedelta64):
        return bool(np.isnat(cell))
    return isinstance(cell, float | np.floating) and bool(np.isnan(cell))


def number_of(cell: Any) -> float | None:
    """The number that a cell holds, NaN if it is missing, None if it holds anything else.

    Booleans, dates, lists and complex numbers are something else.
    """
    if is_missing(cell):
        return _NAN
    if isinstance(cell, bool | np.bool_) or not isinstance(cell, str | Real | Decimal):
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
    text = str(cell).strip()
    if "-" in text[1:] or ":" in text or "/" in text:
        return "not a number; dates and clock times are not read"
    if "," in text:
        return "not a number; decimals have a point, thousands no comma"
    return "not a number"


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
