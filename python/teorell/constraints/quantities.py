"""The numbers that constraints read of patients: one column a quantity."""

from __future__ import annotations

from typing import Any

import numpy as np

from teorell.arrays import agree, numbers_or_tensor
from teorell.constraints.declared import Declared
from teorell.errors import InputError, suggestion
from teorell.physiology.adults import Adults

__all__ = ["columns_of"]


def columns_of(declared: Declared, values: Any) -> tuple[list[Any], int]:
    """The numbers of patients in the order of `declared.inputs`, and how many patients there are.

    values: what ConstraintSet.penalty takes. Columns are (), or (patients,), NumPy or tensors.
    Raises InputError for names that are unknown or missing, and for what is not finite.
    """
    if not declared._constraints:
        raise InputError(
            f"{declared.name!r} has no constraints (there is nothing to check). Declare some."
        )
    known = declared._known()
    given = getattr(values, "parameters", values)
    if isinstance(given, Adults):  # told by more numbers than a set asks for
        given = given.numbers(known)
    try:
        # a DataFrame iterates over its columns too
        names = [str(name) for name in given.keys()]  # noqa: SIM118
    except AttributeError:
        raise InputError(
            f"values are a {type(values).__name__} (each number has a name). Give a mapping or "
            "a DataFrame."
        ) from None
    model, defaults = declared._model, {}
    if model is not None:
        defaults = dict(zip(model.parameter_names, model.parameter_defaults, strict=True))
    for name in names:
        if name not in known:
            raise InputError(
                f"unknown quantity {name!r} (of {declared.name!r}). {suggestion(name, known)}"
            )
    columns = []
    for name in declared.inputs:
        if name not in names and name not in defaults:
            raise InputError(
                f"quantity {name!r} is missing (constraints of {declared.name!r} read it). Give a "
                "value."
            )
        value = given[name] if name in names else defaults[name]
        failed = name in declared._reductions  # NaN is what a failed simulation has
        columns.append(
            np.asarray(value, np.float64)
            if failed
            else numbers_or_tensor(value, f"quantity {name!r}")
        )
    sizes = [
        (f"quantity {n!r}", int(c.shape[0]))
        for n, c in zip(declared.inputs, columns, strict=True)
        if c.ndim
    ]
    return columns, agree(sizes) or 1
