"""Tables of results: a solution as a pandas DataFrame or as an xarray Dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import on_host
from teorell.errors import InputError
from teorell.packages import needed

if TYPE_CHECKING:
    from teorell.results.solution import Solution

__all__ = ["dataframe_of", "dataframe_of_reductions", "dataset_of", "pandas"]


def dataframe_of(solution: Solution) -> Any:
    """What `Solution.to_dataframe` returns."""
    pd = pandas()
    _check_free(solution, "patient", "time")
    _check_people(solution)
    columns: dict[str, Any] = {"patient": solution.patient, "time": solution.times.copy()}
    if solution.offsets is None:
        shape = (solution.status.size, solution.times.shape[-1])
        columns["patient"] = np.repeat(solution.patient, shape[1])
        columns["time"] = np.broadcast_to(solution.times, shape).flatten()
    units = {"time": solution.time_unit}
    labels: dict[str, Any] = {}
    if solution.people is not None:
        labels = {name: each[columns["patient"]] for name, each in _labels(solution).items()}
        columns = {"patient": columns["patient"], "id": labels.pop("id"), **columns}
        units |= solution.people.units
    # columns of their own: the frame does not copy them again
    columns |= {name: solution.array[..., k].flatten() for k, name in enumerate(solution.outputs)}
    units |= dict(zip(solution.outputs, solution.units, strict=False))
    frame = pd.DataFrame(columns | labels, copy=False)
    if solution.times.ndim == 2:
        frame = frame[~np.isnan(columns["time"])].reset_index(drop=True)
    frame.attrs["units"] = {name: unit for name, unit in units.items() if unit}
    return frame


def dataframe_of_reductions(solution: Solution) -> Any:
    """What `Solution.reductions_to_dataframe` returns."""
    pd = pandas()
    if not solution.reductions:
        raise InputError(
            "the solution has no reductions (none was asked for). Simulate with reductions=."
        )
    columns: dict[str, Any] = {"patient": np.arange(solution.status.size)}
    labels: dict[str, Any] = {}
    units = dict(solution.reduction_units)
    if solution.people is not None:
        taken = dict.fromkeys(solution.reductions, "a reduction")
        solution.people.check_names({"patient": "a column of every result"} | taken)
        labels = dict(_labels(solution))
        columns["id"] = labels.pop("id")
        units |= solution.people.units
    columns |= {
        name: on_host(values, f"the reductions {name!r}")
        for name, values in solution.reductions.items()
    }
    frame = pd.DataFrame(columns | labels)
    frame.attrs["units"] = {name: unit for name, unit in units.items() if unit}
    return frame


def dataset_of(solution: Solution) -> Any:
    """What `Solution.to_xarray` returns."""
    with needed("xarray", "Dataset", "'teorell[frames]'"):
        import xarray as xr
    per_patient = ("status", "failure_time", "steps", "rejected")
    _check_free(solution, "patient", "time", *per_patient, *solution.reductions)
    units = solution.units or ("",) * len(solution.outputs)
    dimensions: tuple[str, ...] = ("patient", "time" if solution.times.ndim == 1 else "sample")
    if solution.offsets is not None:
        dimensions = ("sample",)
    variables: dict[str, Any] = {
        name: (dimensions, solution.array[..., k], {"units": unit} if unit else {})
        for k, (name, unit) in enumerate(zip(solution.outputs, units, strict=True))
    }
    for name, values in solution.reductions.items():
        numbers = on_host(values, f"the reductions {name!r}")
        unit = solution.reduction_units.get(name, "")
        variables[name] = (("patient",), numbers, {"units": unit} if unit else {})
    variables |= {name: (("patient",), getattr(solution, name)) for name in per_patient}
    of_time = {"units": solution.time_unit} if solution.time_unit else {}
    coordinates: dict[str, Any] = {"patient": np.arange(solution.status.size)}
    coordinates["time"] = (dimensions[-solution.times.ndim :], solution.times, of_time)
    if solution.people is not None:
        _check_people(solution, *per_patient, *solution.reductions)
        for name, column in _labels(solution).items():
            unit = solution.people.units.get(name, "")
            coordinates[name] = (("patient",), column, {"units": unit} if unit else {})
    if solution.offsets is not None:
        coordinates["sample_patient"] = (("sample",), solution.patient)
    return xr.Dataset(variables, coordinates, {"model": solution.model})


def pandas() -> Any:
    """The module; ImportError where it is not installed."""
    with needed("pandas", "DataFrame", "'teorell[frames]'"):
        import pandas as pd  # type: ignore[import-untyped,unused-ignore]
    return pd


def _labels(solution: Solution) -> dict[str, NDArray[Any]]:
    """id and covariates, (patients,) each."""
    return {} if solution.people is None else solution.people.columns()


def _check_people(solution: Solution, *more: str) -> None:
    """InputError if a covariate has the name of another column."""
    if solution.people is not None:
        taken = dict.fromkeys(("patient", "time", *more), "a column of every result")
        solution.people.check_names(
            taken | dict.fromkeys(solution.outputs, "an output of the model")
        )


def _check_free(solution: Solution, *names: str) -> None:
    """InputError if an output has one of these names of columns."""
    for name in names:
        if name in solution.outputs:
            raise InputError(
                f"output {name!r} has the name of a column of the table (one would hide). "
                "Rename the output."
            )
