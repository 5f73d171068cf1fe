"""Covariates of an event table: parameters of the model whose values its columns hold, and what
else is known of its subjects.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.cells import is_missing, number_of
from teorell.model import Model
from teorell.schedule.covariates import Stepwise
from teorell.schedule.sheet import Sheet

__all__ = ["covariate_of", "labels_of"]


def covariate_of(
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
    for outside, word, bound in (
        (values < info.lower, "below its lower", info.lower),
        (values > info.upper, "above its upper", info.upper),
    ):
        table.refuse(
            outside,
            name,
            f"parameter {name!r} is {word} bound {bound:.6g}",
            "Correct the values, or declare other bounds in the model.",
        )
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


def labels_of(
    table: Sheet, names: Iterable[str], offsets: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    """Of columns that the model does not read those that tell one thing of each subject: name ->
    (patients,), numbers where all cells are, NaN or "" where a subject has none.
    """
    found: dict[str, NDArray[Any]] = {}
    for name in (each for each in table.columns if each in set(names)):
        cells = table.columns[name].tolist()
        numbers = [number_of(cell) for cell in cells]
        numeric = None not in numbers
        told: list[Any] = []
        for start, stop in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
            own = [
                numbers[row] if numeric else str(cells[row])
                for row in range(start, stop)
                if not is_missing(cells[row])
            ]
            if any(each != own[0] for each in own):
                break
            told.append(own[0] if own else float("nan") if numeric else "")
        else:
            found[name] = np.array(told, np.float64 if numeric else np.str_)
    return found


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
