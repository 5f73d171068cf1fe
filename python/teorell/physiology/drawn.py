"""Columns that were drawn for a drug, known by the array itself: whatever holds it, a dict that was
merged too, the model of another drug refuses it. A copy, and what is computed of it, is a new one.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from teorell.errors import InputError

__all__ = ["WHOLE_BODY", "check_drawn", "remember"]

WHOLE_BODY = "whole body, "  # the name of a whole-body model, before that of its drug
_known: dict[int, tuple[weakref.ref[Any], str]] = {}  # id of an array -> it, and its drug


def remember(columns: Mapping[str, Any], drug: str) -> None:
    """These arrays were drawn for a drug, "" for none."""
    arrays = [column for column in columns.values() if isinstance(column, np.ndarray)]
    for column in arrays if drug else ():
        _known[id(column)] = (weakref.ref(column, _forgetting(id(column))), drug)


def _forgetting(key: int) -> Callable[[Any], None]:
    """What is called once an array is gone, whose id another may then have."""

    def forget(_: Any) -> None:
        _known.pop(key, None)

    return forget


def check_drawn(columns: Mapping[Any, Any], model: str) -> None:
    """InputError if some were drawn for another drug than that of a whole-body model, by its name.

    Slices of such an array count, as they lie in it.
    """
    if not model.startswith(WHOLE_BODY) or not _known:
        return
    drugs = {name: _drug_of(column) for name, column in columns.items()}
    others = [name for name, drug in drugs.items() if drug and model != WHOLE_BODY + drug]
    if others:
        raise InputError(
            f"these people were drawn for {drugs[others[0]]} and the model is {model!r} (their "
            f"{', '.join(map(str, others))} are another drug's). Draw them with drug= that of the "
            "model, or give other columns of these names."
        )


def _drug_of(column: Any) -> str:
    """The drug that an array was drawn for, "" where it is not known."""
    for each in (column, getattr(column, "base", None)):
        array, drug = _known.get(id(each), (None, ""))
        if array is not None and array() is each:
            return drug
    return ""
