"""The numbers to differentiate by, as users name them: which inputs of a problem these are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np

from teorell.errors import InputError, suggestion
from teorell.model import Model
from teorell.schedule.dose_columns import DoseColumns
from teorell.schedule.regimen import Regimen
from teorell.simulation.inputs import Input, given_fields, lines_of
from teorell.simulation.problem import Problem

__all__ = ["Key", "elements_of", "entry_of", "keys_of"]

# a parameter, or a field of a line of the regimen: (0, "amount")
Key: TypeAlias = str | tuple[int, str]


def keys_of(wrt: Sequence[Key] | Key) -> tuple[Key, ...]:
    """One or several numbers to differentiate by, none of them twice."""
    one = isinstance(wrt, str) or (
        isinstance(wrt, tuple) and len(wrt) == 2 and isinstance(wrt[0], int)
    )
    if not one and not isinstance(wrt, Iterable):
        raise TypeError(
            f"wrt is {wrt!r} (by what is to be differentiated?). Give names of parameters, or "
            "(line, field) of doses."
        )
    keys: tuple[Any, ...] = (wrt,) if one else tuple(wrt)
    if not keys:
        raise InputError(
            "there is nothing to differentiate by (the list is empty). Name at least one parameter."
        )
    if len(set(keys)) < len(keys):
        raise InputError(
            f"{', '.join(map(str, keys))} name one twice (a label must be unique). Leave the "
            "second out."
        )
    return keys


def elements_of(model: Model, keys: Sequence[Key]) -> tuple[Key, ...]:
    """The keys, with the elements of a vector parameter in its place."""
    vectors = model.parameter_vectors
    found: list[Key] = []
    for key in keys:
        found.extend(vectors.get(key, (key,)) if isinstance(key, str) else (key,))
    return tuple(found)


def entry_of(problem: Problem, key: Key) -> Input:
    """The input that a key names."""
    if isinstance(key, str):
        known = problem.model.parameter_names
        if key not in known:
            raise InputError(
                f"unknown parameter {key!r} (model {problem.model.name!r} does not declare it). "
                f"{suggestion(key, known)}"
            )
        return Input("parameter", key)
    if not isinstance(key, tuple) or len(key) != 2:
        raise InputError(
            f"{key!r} is no number to differentiate by (a name is). Give 'cl', or (0, 'amount') "
            "for a dose."
        )
    if isinstance(problem.regimen, DoseColumns):
        return _of_columns(problem.regimen, key)
    if not isinstance(problem.regimen, Regimen | None):
        raise InputError(
            f"no derivative by {key!r} (the doses of a list of regimens have none of their own). "
            "Give Regimen.columns, or one Regimen for all patients, whose numbers are (patients,) "
            "arrays."
        )
    lines = lines_of(problem.regimen)
    line, name = key
    if not isinstance(line, int) or not 0 <= line < len(lines):
        raise InputError(
            f"unknown line {line!r} of the regimen (it has {len(lines)}, counted from 0). Give (0, "
            "'amount')."
        )
    if name not in given_fields(lines[line]):
        known = tuple(given_fields(lines[line]))
        raise InputError(
            f"unknown field {name!r} of {lines[line]!r} (it has others). "
            f"{suggestion(str(name), known)}"
        )
    return Input("dose", name, line)


def _of_columns(columns: DoseColumns, key: tuple[Any, Any]) -> Input:
    """The input that (k, field) names: dose k of each patient, in the order of its rows."""
    number, name = key
    rows, *_ = columns.checked
    most = int(np.bincount(columns.owner[rows], minlength=1).max())
    if not isinstance(number, int) or not 0 <= number < most:
        raise InputError(
            f"unknown dose {number!r} (a patient has {most} at most, counted from 0). Give (0, "
            "'amount')."
        )
    if name not in columns.numbers:
        raise InputError(
            f"unknown column {name!r} of doses (there are others). "
            f"{suggestion(str(name), tuple(columns.numbers))}"
        )
    return Input("dose", name, number)
