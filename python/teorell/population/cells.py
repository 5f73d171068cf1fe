"""Cells of tables of people: numbers within reason, and errors that name the row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.cells import missing_in
from teorell.errors import InputError
from teorell.physiology.growth import OLDEST
from teorell.physiology.vocabulary import unit

__all__ = ["checked", "refuse"]

Column = NDArray[Any]
# what is read of a person, from ... to, in the units of the vocabulary
LIMITS = {
    "age": (0.0, OLDEST), "female": (0.0, 1.0), "height": (0.2, 2.8), "body_weight": (0.2, 700.0),
    "haematocrit": (0.05, 0.8), "gfr": (0.0, 400.0),
}  # fmt: skip


def checked(name: str, column: Column, place: str) -> Column:
    """Finite numbers within reason, (rows,) float64, in the unit of the vocabulary. InputError,
    with the place and the first row, for others.
    """
    refuse(place, missing_in(column), f"{name} is missing", lambda row: "a number is needed")
    if column.dtype.kind not in "fiub":
        texts = [str(each) for each in column]
        bad = np.array([_number(each) is None for each in texts])
        refuse(place, bad, f"{name} is no number", lambda row: repr(texts[row]))
        numbers = np.array([float(each) for each in texts])
    else:
        numbers = column.astype(np.float64)
    truths = column.dtype.kind == "b" and name != "female"
    refuse(place, np.full(len(numbers), truths), f"{name} is no number", lambda row: column[row])
    low, high = LIMITS.get(name, (0.0, np.inf))
    bad = ~(np.isfinite(numbers) & (numbers >= low) & (numbers <= high))
    of = unit(name)
    span = f"{low:g} to {high:g}" if high < np.inf else f"{low:g} or more"
    span += f" {of}" if of != "1" else ""
    refuse(place, bad, f"{name} out of reason ({span})", lambda row: f"{numbers[row]:g}")
    return numbers


def refuse(place: str, bad: Any, what: str, told: Any) -> None:
    """InputError that names the first row where `bad` is true: what is wrong there, and what is
    told(row).
    """
    rows = np.flatnonzero(bad)
    if rows.size:
        more = f", and {rows.size - 1} more row{'s'[: rows.size > 2]}" if rows.size > 1 else ""
        raise InputError(
            f"{place}, row {rows[0]}, counted from 0: {what} ({told(rows[0])}{more}). Correct it."
        )


def _number(text: str) -> float | None:
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None
