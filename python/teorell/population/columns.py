"""Columns of people, checked: finite numbers, ids that tell them apart, which of them are meant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from teorell.arrays import is_whole, unmasked
from teorell.cells import is_missing, missing_in
from teorell.errors import InputError, count

__all__ = ["Column", "added", "check_ids", "chosen_people"]

Column = NDArray[Any]


def added(given: Mapping[str, ArrayLike], people: int, text: bool) -> dict[str, Column]:
    """Columns of so many people, of one number or (people,) each; text: text may be given."""
    found: dict[str, Column] = {}
    for name, value in given.items():
        unmasked(value, repr(name))
        column = np.asarray(value)
        if not text or column.dtype.kind in "fiub":
            column = _finite(name, column)
        elif column.dtype.kind == "O":
            texts = column.astype(str)
            blank = [not isinstance(each, str) and is_missing(each) for each in column.reshape(-1)]
            column = np.where(np.reshape(blank, column.shape), "", texts)
        found[name] = np.full(people, column) if column.ndim == 0 else column
    return found


def chosen_people(key: Any, people: int) -> Any:
    """What takes the people that are meant from a column: of a slice, a mask, places, one place.

    InputError for a mask of another length, TypeError for what chooses nobody.
    """
    if is_whole(key):
        return [range(people)[key]]
    if isinstance(key, list | np.ndarray):
        unmasked(key, "what chooses people")
        places = np.asarray(key) if len(key) else np.zeros(0, np.intp)
        if places.dtype == bool and places.shape != (people,):
            raise InputError(
                f"a mask of shape {places.shape} for {count(people, 'person')} (one each is "
                "needed). Give (n,)."
            )
        if places.dtype.kind in "biu" and places.ndim == 1:
            return places
    if isinstance(key, slice):
        return key
    raise TypeError(
        f"people by a {type(key).__name__} (which are meant?). Give a name, a slice, a mask, or "
        "places."
    )


def _finite(name: str, column: Column) -> Column:
    """Finite float64 numbers, () or (n,); InputError with the first place of what is none."""
    if column.dtype.kind not in "fiub" or column.ndim > 1:
        raise InputError(f"{name!r} has no numbers, one a person (they are needed). Give (n,).")
    numbers = column.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(np.atleast_1d(numbers)))
    if bad.size:
        raise InputError(
            f"{name!r} is {np.atleast_1d(numbers)[bad[0]]} for person {bad[0]} (a finite number is "
            "needed). Give one."
        )
    return numbers


def check_ids(ids: Column, people: int) -> None:
    """InputError for ids that are not one a person, or name two."""
    if not people:
        raise InputError("a population without people (one at least is needed). Give some.")
    if ids.shape != (people,):
        raise InputError(
            f"ids of shape {ids.shape} for {count(people, 'person')} (one each is needed). Give "
            "(n,)."
        )
    names = ids.tolist()
    missing = np.flatnonzero(missing_in(ids))
    if missing.size:
        raise InputError(
            f"person {missing[0]}, counted from 0, has no id (results would not tell who it is). "
            "Give each one, or none."
        )
    if len(set(names)) < people:
        first: dict[Any, int] = {}
        for place, each in enumerate(names):
            if each in first:
                raise InputError(
                    f"id {each!r} names persons {first[each]} and {place}, counted from 0 (results "
                    "would not tell them apart). Give each an id of its own."
                )
            first[each] = place
