"""What `Regimen.columns` is given, read: shapes, whose each dose is, states, numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import check_tensor, is_tensor, is_whole, numbers, unmasked
from teorell.errors import InputError
from teorell.model.expression import Expression
from teorell.schedule.dose import (
    BOLUS,
    MAX_DOSES,
    MODELLED,
    MODELLED_DURATION,
    MODELLED_RATE,
    state_name,
    steady_code,
)
from teorell.schedule.dose_columns import DoseColumns

__all__ = ["columns_of"]


def columns_of(
    amount: Any, into: Any, time: Any, *, duration: Any, rate: Any, every: Any, doses: Any,
    steady_state: Any, patient: Any, patients: int | None,
) -> DoseColumns:  # fmt: skip
    """What `Regimen.columns` was given, checked as far as it can be read."""
    given = {"amount": amount, "time": time, "duration": duration, "rate": rate, "every": every}
    modelled = BOLUS
    for name, code in (("duration", MODELLED_DURATION), ("rate", MODELLED_RATE)):
        if isinstance(given[name], str) and given[name] == MODELLED:
            if given["duration"] is not None and given["rate"] is not None:
                raise InputError(
                    f"doses as columns have both duration and rate, of which {name} is modelled "
                    "(with the amount, one determines the other). Give one of them."
                )
            modelled, given[name] = code, None
    shapes = {name: _shape(value) for name, value in given.items() if value is not None}
    shapes["doses"] = _shape(doses)
    single = isinstance(into, str | Expression)
    if not single:
        unmasked(into, "the column into")
        into = np.asarray(into, dtype=object)
        shapes["into"] = into.shape
    whose = None if patient is None else _whole(patient, "the column patient")
    if whose is not None:
        shapes["patient"] = whose.shape
    shape = _common(shapes, whose is not None)
    if whose is None:
        found, owner = shape[0], np.repeat(np.arange(shape[0]), shape[1])
    else:
        found, owner = _patients_in(whose, patients), whose
    if patients is not None and patients != found:
        raise InputError(
            f"patients is {patients}, and the arrays of doses have {found} rows (one a patient). "
            "Leave patients out."
        )
    rows = len(owner)
    names, numbered = _names([into] if single else into.reshape(-1).tolist())
    columns = DoseColumns(
        patients=found,
        shape=shape,
        owner=owner,
        names=names,
        into=np.zeros(rows, np.int64) if single else numbered,
        numbers={
            name: _numbers(value, f"the column {name}", whose is None)
            for name, value in given.items()
            if value is not None
        },
        doses=np.broadcast_to(_counts(doses), shape).reshape(-1),
        steady=steady_code(steady_state, names[0] if names else "doses"),
        modelled=modelled,
    )
    if not columns.has_tensors():
        columns.checked  # noqa: B018, to refuse here what does not fit
    return columns


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(np.shape(value))


def _common(shapes: Mapping[str, tuple[int, ...]], long: bool) -> tuple[int, ...]:
    """The one shape that all columns have; InputError where they do not, or say nothing."""
    arrays = {name: shape for name, shape in shapes.items() if shape}
    dimensions = 1 if long else 2
    wanted = "(rows,), as patient has" if long else "(patients, doses), or patient= for (rows,)"
    for name, shape in arrays.items():
        if len(shape) != dimensions:
            raise InputError(
                f"the column {name} has shape {shape} (whose is each dose?). Give {wanted}."
            )
    if not arrays:
        raise InputError(
            f"the columns of doses are single numbers (whose is each dose?). Give {wanted}; "
            "Regimen.bolus and Regimen.infusion give all patients the same."
        )
    first = next(iter(arrays))
    for name, shape in arrays.items():
        if shape != arrays[first]:
            raise InputError(
                f"the column {name} has shape {shape}, {first} has {arrays[first]} (one value a "
                "dose). Give columns of one shape, or one number for all."
            )
    return arrays[first]


def _numbers(value: Any, what: str, padded: bool) -> Any:
    """() or (rows,): a tensor, flat, or float64, in which arrays may have NaN."""
    if is_tensor(value):
        flat = value.reshape(-1) if value.ndim else value
        check_tensor(flat, what)
        return flat
    array = np.asanyarray(value)
    flat = array.reshape(-1) if array.ndim else array
    missing = np.isnan(flat) if padded and array.ndim and array.dtype.kind == "f" else None
    if missing is None or not missing.any() or isinstance(array, np.ma.MaskedArray):
        return np.array(numbers(flat, what))
    numbers(flat[~missing], what)
    return flat.astype(np.float64)


def _whole(value: Any, what: str) -> NDArray[np.int64]:
    """Integers of any shape, of an array or a tensor."""
    if is_tensor(value):
        check_tensor(value.reshape(-1), what)
        try:
            value = value.numpy(force=True)
        except RuntimeError:
            raise InputError(
                f"{what} is a tensor that is mapped over (only numbers of doses can be). Give "
                "an array."
            ) from None
    unmasked(value, what)
    array = np.asarray(value)
    if array.dtype.kind not in "iu" and array.size:
        raise InputError(f"{what} has type {array.dtype} (it counts). Give integers.")
    return array.astype(np.int64)


def _counts(doses: Any) -> NDArray[np.int64]:
    """How often doses are given, checked."""
    found = _whole(doses, "the column doses")
    if found.size and not 1 <= found.min() <= found.max() <= MAX_DOSES:
        raise InputError(
            f"the column doses goes from {found.min()} to {found.max()} (it counts how often each "
            f"is given). Give whole numbers from 1 to {MAX_DOSES}."
        )
    return found


def _patients_in(owner: NDArray[np.int64], patients: int | None) -> int:
    """How many patients there are; InputError for a row of one that is not among them."""
    known = patients
    if patients is None:
        known = int(owner.max(initial=-1)) + 1
    elif not is_whole(patients) or patients < 1:
        raise InputError(
            f"patients is {patients!r} (it counts them). Give a whole number of 1 or more."
        )
    assert known is not None
    bad = (owner < 0) | (owner >= known)
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"row {row} of the doses is of patient {owner[row]} (there are {known}, counted from "
            "0). Correct it, or patients=."
        )
    return int(known)


def _names(into: Sequence[Any]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The names of states in a column, and the number of each; "" of a place that has none."""
    into = [each.name if isinstance(each, Expression) else each for each in into]
    try:
        known = {each: k for k, each in enumerate(dict.fromkeys(into))}
    except TypeError:
        raise InputError(
            "the column into holds lists (a dose goes into a state). Give one name a dose."
        ) from None
    missing = [each is None or each == "" or each != each for each in known]
    names = ["" if no else state_name(each) for each, no in zip(known, missing, strict=True)]
    return tuple(names), np.array([known[each] for each in into], np.int64)
