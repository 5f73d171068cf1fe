"""The numbers that constraints read of patients: one column a quantity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from teorell.arrays import (
    Array,
    agree,
    check_tensor,
    is_on_device,
    is_tensor,
    numbers,
    numbers_or_tensor,
    real_numbers,
)
from teorell.constraints.declared import Declared
from teorell.errors import InputError, suggestion
from teorell.patients import Patients, patients_of

__all__ = [
    "arrays_of",
    "column_there",
    "columns_of",
    "is_there",
    "people_of",
    "roundings_of",
    "unread_of",
]


def columns_of(declared: Declared, values: Any, *, missing: bool = False) -> tuple[list[Any], int]:
    """The numbers of patients in the order of `declared.inputs`, and how many patients there are.

    values: what ConstraintSet.penalty takes. Columns are () or (patients,): NumPy, tensors, or
    DeviceArrays; numbers on a device are not looked at. missing: NaN is taken, as what a patient
    has who was not found. Raises InputError for names that are unknown or missing, and for what is
    not finite.
    """
    given = _given(declared, values)
    model, defaults = declared._model, {}
    if model is not None:
        defaults = dict(zip(model.parameter_names, model.parameter_defaults, strict=True))
    columns = []
    for name in declared.inputs:
        if name not in given and name not in defaults:
            raise InputError(
                f"quantity {name!r} is missing (constraints of {declared.name!r} read it). Give a "
                "value."
            )
        value = given[name] if name in given else defaults[name]
        what = f"quantity {name!r}"
        if is_on_device(value):
            columns.append(column_there(value, what))
        elif name in declared._reductions and not is_tensor(value):
            columns.append(np.asarray(value, np.float64))  # NaN is what a failed simulation has
        else:
            columns.append(_with_nan(value, what) if missing else numbers_or_tensor(value, what))
    sizes = [
        (f"quantity {n!r}", int(c.shape[0]))
        for n, c in zip(declared.inputs, columns, strict=True)
        if c.ndim
    ]
    return columns, agree(sizes) or 1


def unread_of(declared: Declared, values: Any, patients: int) -> dict[str, Any]:
    """Quantities that were given and that no constraint reads, () or (patients,), as they are.

    InputError for what is no number, and for another number of patients.
    """
    given = _given(declared, values)
    found = {name: given[name] for name in given if name not in declared.inputs}
    for name, value in found.items():
        what = f"quantity {name!r}"
        if is_on_device(value):
            column = column_there(value, what)
        elif is_tensor(value):
            column = numbers_or_tensor(value, what)
        else:
            column = real_numbers(value, what)
        if column.ndim:
            agree([("the constraints' quantities", patients), (what, int(column.shape[0]))])
        found[name] = column
    return found


def is_there(columns: Sequence[Any], device: str | None) -> bool:
    """Are these columns for a CUDA device: is one asked for, or lies one of them there?"""
    return device not in (None, "cpu") or any(map(is_on_device, columns))


def arrays_of(columns: Sequence[Any]) -> list[Array]:
    """The columns as NumPy has them, of tensors their numbers."""
    result: list[Array] = []
    for column in columns:
        if is_tensor(column):
            from teorell.derivatives.tensors import numpy_of

            result.append(numpy_of(column).astype(np.float64))
        else:
            result.append(column)
    return result


def people_of(values: Any) -> Patients | None:
    """Who the patients are whose numbers were given, where that tells it."""
    people = getattr(values, "people", None)
    if isinstance(people, Patients):
        return people
    return patients_of(values) or patients_of(getattr(values, "parameters", None))


def roundings_of(declared: Declared, values: Any) -> tuple[float, ...]:
    """The relative distance of neighbours in the type of each column that is given; 0 of float64
    and integers, in the order of `declared.inputs`.
    """
    given = _given(declared, values)
    kinds = [str(getattr(given.get(name), "dtype", "")) for name in declared.inputs]
    single, half = float(np.finfo(np.float32).eps), float(np.finfo(np.float16).eps)
    narrow = {"float32": single, "torch.float32": single, "float16": half}
    return tuple(narrow.get(kind, 0.0) for kind in kinds)


def column_there(value: Any, what: str) -> Any:
    """A column on a CUDA device: a tensor as it is, another library's array as a DeviceArray."""
    if is_tensor(value):
        check_tensor(value, what, there=True)
        return value
    from teorell.device.arrays import device_column

    return device_column(value, what)


def _with_nan(value: Any, what: str) -> Any:
    """`numbers_or_tensor` of what may have NaN."""
    if is_tensor(value):
        return numbers_or_tensor(value, what)
    array = np.asarray(value) if not isinstance(value, np.ma.MaskedArray) else value
    if array.dtype.kind != "f" or type(value).__module__.partition(".")[0] == "torch":
        return numbers(value, what)
    absent = np.isnan(array)
    if not absent.any():
        return numbers(value, what)
    return np.where(absent, np.nan, numbers(np.where(absent, np.zeros_like(array), array), what))


def _given(declared: Declared, values: Any) -> dict[str, Any]:
    """What was given, by name.

    InputError where there are no constraints, no names, or unknown ones.
    """
    if not declared._constraints:
        raise InputError(
            f"{declared.name!r} has no constraints (there is nothing to check). Declare some."
        )
    known = declared._known()
    given = values if callable(getattr(values, "numbers", None)) else None
    if given is None:
        given = getattr(values, "parameters", values)
    if callable(getattr(given, "numbers", None)):  # people tell more numbers than a set asks for
        told = given.numbers(known)
        given = {name: told[name] for name in told if name in known}
    try:
        # a DataFrame iterates over its columns too
        result = {str(name): given[name] for name in given.keys()}  # noqa: SIM118
    except AttributeError:
        raise InputError(
            f"values are a {type(values).__name__} (each number has a name). Give a mapping or "
            "a DataFrame."
        ) from None
    for name in result:
        if name not in known:
            raise InputError(
                f"unknown quantity {name!r} (of {declared.name!r}). {suggestion(name, known)}"
            )
    return result
