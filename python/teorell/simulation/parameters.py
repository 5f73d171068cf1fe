"""What the user gives as parameters, turned into one column a parameter.

A column is float64 of shape () (every patient the same) or (patients,): see arrays.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from teorell.arrays import check_bounds, is_on_device, is_tensor, numbers_or_tensor
from teorell.errors import InputError, count, suggestion
from teorell.model import Model
from teorell.patients import Patients, patients_of
from teorell.physiology.drawn import check_drawn
from teorell.schedule.covariates import Stepwise, checked_steps

__all__ = [
    "ParameterColumns", "check_people", "elementwise", "parameter_columns", "parameter_table",
]  # fmt: skip


RECORDS = ("TIME", "EVID", "AMT", "DV", "ADDL")  # columns of event tables


@dataclass(frozen=True)
class ParameterColumns:
    """One column a parameter of the model, and which of them the user gave."""

    names: tuple[str, ...]
    # [parameter], each of shape () or (patients,); at the start for one that changes. NumPy,
    # tensors, DeviceArray
    values: tuple[Any, ...]
    given: frozenset[str]
    steps: Mapping[str, Stepwise] = field(default_factory=dict)  # of those that change over time
    people: Patients | None = None  # who the patients are, where it was told

    @property
    def as_given(self) -> dict[str, Any]:
        """name -> column, of the parameters that the user gave."""
        columns = zip(self.names, self.values, strict=True)
        return {name: column for name, column in columns if name in self.given}

    def sizes(self) -> Iterable[tuple[str, int]]:
        """For `agree`: every parameter that is an array, and its length."""
        for name, value in zip(self.names, self.values, strict=True):
            if value.ndim:
                yield f"parameter {name!r}", value.shape[0]
        if self.people is not None:
            yield "the population", len(self.people)


def parameter_columns(model: Model, parameters: object) -> ParameterColumns:
    """The columns of `model`'s parameters, in `model.parameter_names` order and in the units
    declared there.

    What is not given takes its default.

    parameters: None, a mapping of name to number or (patients,) array, a DataFrame (one row a
    patient, one column a parameter), a body or population, whose `numbers(names)` has those of the
    names that it knows, or an object whose `.parameters` is one of these.
    Raises InputError for unknown names and for values that are not finite or out of bounds.
    """
    names = tuple(model.parameter_names)
    check_people(model, parameters)
    table = elementwise(model, parameter_table(parameters, names))
    known = set(names)
    for name in table:
        if name not in known:
            hint = (
                ""
                if isinstance(parameters, Mapping)
                else " Of a table, frame[[...]] selects the columns to pass."
            )
            if any(str(each).strip().upper() in RECORDS for each in table if each not in known):
                raise InputError(
                    f"the parameters have a column {name} (a table of records is no table of "
                    "parameters, which has a row a patient). Give teorell.EventTable(frame, model)."
                )
            raise InputError(
                f"unknown parameter {name!r} (model {model.name!r} does not declare it). "
                f"{suggestion(str(name), names)}{hint}"
            )
    column: Any
    values: list[Any] = []
    steps: dict[str, Stepwise] = {}
    for name, default in zip(
        names, np.asarray(model.parameter_defaults, dtype=np.float64), strict=True
    ):
        info = model.parameter_info(name)
        if name in table and isinstance(table[name], Stepwise):
            steps[name] = checked_steps(table[name], f"parameter {name!r}")
            check_bounds(name, steps[name].values, info.lower, info.upper)
            column = steps[name].first
        elif name in table and is_on_device(table[name]) and not is_tensor(table[name]):
            from teorell.device.arrays import device_column

            column = device_column(table[name], f"parameter {name!r}")
        elif name in table:
            column = numbers_or_tensor(table[name], f"parameter {name!r}", there=True)
            if not is_tensor(column):
                check_bounds(name, column, info.lower, info.upper)
        else:
            column = np.asarray(default)
        values.append(column)
    given = frozenset(str(name) for name in table)
    return ParameterColumns(names, tuple(values), given, steps, patients_of(parameters))


def elementwise(model: Model, table: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Parameters by name, with the elements of each vector in its place.

    A vector is (elements,), of all patients, or (patients, elements); InputError for another shape.
    """
    vectors = model.parameter_vectors
    if not vectors.keys() & table.keys():
        return table
    result: dict[Any, Any] = {}
    for name, value in table.items():
        if name not in vectors:
            result[name] = value
            continue
        if is_on_device(value):
            raise InputError(
                f"parameter {name!r} is a vector on a device (its elements are taken apart on the "
                "host). Give a NumPy array, or each element by its name."
            )
        array = value if is_tensor(value) else np.asanyarray(value)
        elements = vectors[name]
        if array.ndim not in (1, 2) or array.shape[-1] != len(elements):
            raise InputError(
                f"parameter {name!r} has shape {tuple(array.shape)} (it is a vector of "
                f"{count(len(elements), 'element')}). Give ({len(elements)},), or (patients, "
                f"{len(elements)})."
            )
        given = [each for each in elements if each in table]
        if given:
            raise InputError(
                f"parameter {given[0]!r} is given beside {name!r}, of which it is an element "
                "(which is meant?). Give one of them."
            )
        columns = array.unbind(-1) if is_tensor(value) else np.moveaxis(array, -1, 0)
        result.update(zip(elements, columns, strict=True))
    return result


def check_people(model: Model, parameters: object) -> None:
    """InputError for people of another drug than the model's, who remember theirs."""
    check = getattr(parameters, "check_model", None)
    if callable(check):
        check(model.name)
    elif isinstance(parameters, Mapping):
        check_drawn(parameters, model.name)
    elif hasattr(parameters, "parameters"):
        check_people(model, parameters.parameters)


def parameter_table(parameters: object, names: Iterable[str] = ()) -> Mapping[Any, Any]:
    """The user's parameters as a mapping; a DataFrame's columns are taken as NumPy arrays.

    names: those of the model; a body or a population, which tells more than a model asks for, is
    asked for these.
    """
    if parameters is None:
        return {}
    if isinstance(parameters, Mapping):
        return parameters
    ask = getattr(parameters, "numbers", None)
    if callable(ask):
        told: Mapping[Any, Any] = ask(names)
        return told
    if hasattr(parameters, "columns") and hasattr(parameters, "__getitem__"):  # pandas, polars
        frame: Any = parameters
        if len(set(frame.columns)) != len(frame.columns):
            raise InputError(
                "the table of parameters has two columns of one name (which is meant?). Rename one."
            )
        return {name: frame[name].to_numpy().reshape(-1) for name in frame.columns}
    inner = getattr(parameters, "parameters", None)
    if inner is not None and not callable(inner):
        return parameter_table(inner, names)
    raise InputError(
        f"parameters is a {type(parameters).__name__} (names are needed). Give a mapping of name "
        "to number or array, a DataFrame, or an object with .parameters."
    )
