"""The compartments of an event table: the state that a cell of CMT means."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.cells import is_missing, number_of
from teorell.errors import InputError, suggestion
from teorell.model import Model
from teorell.schedule.sheet import Sheet

__all__ = ["compartments_of"]


def compartments_of(
    table: Sheet, model: Model, given: Mapping[Any, str] | None
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The number of the state of each row, and whether its cell names one.

    Without CMT, where the cell is missing and where it is 0 it is the first, and not named.
    given: the argument `compartments` of EventTable.
    """
    if "CMT" not in table.names:
        return np.zeros(table.rows, np.int64), np.zeros(table.rows, np.bool_)
    cells = table.columns[table.names["CMT"]]
    _, rows, which = np.unique(cells.astype(str), return_index=True, return_inverse=True)
    states = [_state(table, model.state_names, given, cells[row], int(row)) for row in rows]
    numbers = np.array([0 if state is None else state for state in states], np.int64)
    return numbers[which], np.array([state is not None for state in states], np.bool_)[which]


def _state(
    table: Sheet, names: tuple[str, ...], given: Mapping[Any, str] | None, cell: Any, row: int
) -> int | None:
    """The number of the state that a cell of CMT means, None if it means none.

    InputError where the model has no such state.
    """
    text, number = isinstance(cell, str), number_of(cell)
    if given is None and text and cell.strip() in names:
        return names.index(cell.strip())
    for key in (cell.strip() if text else cell, number):
        if given is None or key is None or not isinstance(key, Hashable) or key not in given:
            continue
        if given[key] not in names:
            raise InputError(
                f"compartments names {given[key]!r} (it is no state). "
                f"{suggestion(str(given[key]), names)}"
            )
        return names.index(given[key])
    if is_missing(cell):
        return None
    if given is None and number is not None and number in range(len(names) + 1):
        return int(number) - 1 if number else None
    known = (
        ", ".join(map(str, given))
        if given is not None
        else f"1 to {len(names)}, or {', '.join(names[:6])}"
    )
    raise InputError(
        f"{table.where(row, 'CMT')} is {cell} (the model has no such compartment). Give {known}."
    )
