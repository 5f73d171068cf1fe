"""Constraints on a CUDA device: penalties and violations of numbers that lie there, or are sent.

Numbers stay there: penalties, slopes, residuals. What becomes of each patient comes to the host.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from teorell.arrays import is_on_device, is_tensor, numbers
from teorell.constraints.declared import Declared
from teorell.constraints.penalty import penalty_program, program_of
from teorell.constraints.violations import Violations
from teorell.device import columns as kernels
from teorell.device.arrays import DeviceArray, device_column
from teorell.device.column_check import unfit_columns
from teorell.device.devices import Device, open_device
from teorell.device.place import Lying, as_given, place_of
from teorell.device.solve import check_executor
from teorell.engine import executors
from teorell.errors import InputError
from teorell.lowering.columns import ColumnProgram
from teorell.model.expression import leaves
from teorell.patients import Patients

__all__ = [
    "check_options",
    "check_there",
    "device_for",
    "like",
    "penalty_there",
    "residuals_there",
    "rows_there",
    "sides_of",
    "tensors_there",
    "violations_there",
]

HUGE = float(np.finfo(np.float64).max)


def device_for(named: Mapping[str, Any], device: str | None) -> tuple[list[Any], Device]:
    """The columns, those of a device as DeviceArrays, and the device that computes, which is asked
    for or has one of them.

    named: what messages call each column: NumPy, tensors, or DeviceArrays. InputError as `place_of`
    raises it, and for tensors of the CPU among them.
    """
    place = _place(named, device)
    columns = [
        device_column(x.detach() if is_tensor(x) else x, what) if is_on_device(x) else x
        for what, x in named.items()
    ]
    return columns, place


def tensors_there(
    named: Mapping[str, Any], device: str | None, options: Mapping[str, Any]
) -> tuple[list[Any], Device]:
    """The columns as tensors of float64 on the device that computes, and which that is.

    Raises as `device_for` does; of tensors the type may be another, which torch converts there.
    """
    torch = sys.modules["torch"]
    place = _place(named, device)
    check_options(place, **options)
    columns = [
        x.double() if is_tensor(x) else torch.as_tensor(x, device=place.name)
        for x in named.values()
    ]
    return columns, place


def like(columns: Sequence[Any]) -> list[DeviceArray]:
    """The columns that lie on a device."""
    return [each for each in columns if isinstance(each, DeviceArray)]


def check_there(columns: Mapping[str, Any], *, missing: bool = False, least: float = -HUGE) -> None:
    """InputError for a number on the device that is not finite, or is below `least`.

    columns: what messages call each. missing: NaN will do.
    """
    named = {what: each for what, each in columns.items() if isinstance(each, DeviceArray)}
    if not named:
        return
    size = len(named)
    bad = unfit_columns([*named.values()], [least] * size, [HUGE] * size, missing=missing)
    for (what, column), wrong in zip(named.items(), bad, strict=True):
        if wrong:
            read = column.numpy()
            numbers(np.where(np.isnan(read), 0.0, read) if missing else read, what)
            raise InputError(
                f"{what} is not positive (distances are told in it). Give one above 0."
            )


def rows_there(
    program: ColumnProgram, columns: Sequence[Any], patients: int, device: Device
) -> list[Any]:
    """The outputs of a program, (patients,) each, in the library that the columns came from."""
    found = kernels.run_columns(program, columns, patients, device)
    return [as_given(found[k], like(columns)) for k in range(len(found))]


def penalty_there(
    declared: Declared,
    columns: Sequence[Any],
    patients: int,
    device: str | None,
    options: Mapping[str, Any],
) -> tuple[Any, dict[str, Any]]:
    """`penalty_of`, there."""
    found, place = _checked(declared, columns, device, options)
    penalty, *slopes = rows_there(penalty_program(declared), found, patients, place)
    return penalty, dict(zip(declared.inputs, slopes, strict=True))


def residuals_there(
    declared: Declared,
    columns: Sequence[Any],
    patients: int,
    device: str | None,
    options: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """`residuals_of`, there; and by name on the host (patients,): does that violate?"""
    found, place = _checked(declared, columns, device, options, missing=True)
    sides = [side for each in declared.constraints for side in each.sides]
    number = {name: k for k, name in enumerate(declared.inputs)}
    residuals, violated = kernels.judge_columns(
        program_of(declared, "residuals", [side.residual for side in sides]),
        found,
        sides_of(declared),
        [sorted(number[leaf.name] for leaf in leaves(side.residual)) for side in sides],
        np.array([each.tolerance for each in declared.constraints]),
        patients,
        place,
    )
    names = [each.name for each in declared.constraints]
    of_each = {name: as_given(residuals[k], like(found)) for k, name in enumerate(names)}
    return of_each, dict(zip(names, violated, strict=True))


def violations_there(
    declared: Declared,
    columns: Sequence[Any],
    patients: int,
    device: str | None,
    options: Mapping[str, Any],
    people: Patients | None,
) -> Violations:
    """Who violates which constraint; the residuals stay there."""
    residuals, violated = residuals_there(declared, columns, patients, device, options)
    groups = {each.name: each.group for each in declared.constraints}
    return Violations(residuals, violated, groups, people)


def sides_of(declared: Declared) -> kernels.Sides:
    """The sides of all constraints, in their order."""
    pairs = [(k, side) for k, each in enumerate(declared.constraints) for side in each.sides]
    return kernels.Sides(
        np.array([k for k, _ in pairs], np.int32),
        np.array([side.equality for _, side in pairs], np.uint8),
    )


def check_options(
    device: Device, *, threads: int | None = None, executor: str | None = None
) -> None:
    """InputError for an executor that a device has not, and for what is no option of the CPU's
    either; threads play no part.
    """
    executors.threads_of(threads)
    executors.check_executor(executor)
    check_executor(device, executor)


def _place(named: Mapping[str, Any], device: str | None) -> Device:
    """What computes; tensors are asked where they lie, no more: torch may only map over them."""
    lying = [
        Lying(what, open_device(x.device.index or 0)) if is_tensor(x) else x
        for what, x in named.items()
        if is_on_device(x)
    ]
    place = place_of(lying, device)
    assert place is not None  # is_there was asked
    for what, x in named.items():
        if is_tensor(x) and not is_on_device(x):
            raise InputError(
                f"{what} is a tensor on the CPU, and {place.name} computes (nothing moves by "
                "itself). Give .cuda() of it."
            )
    return place


def _checked(
    declared: Declared,
    columns: Sequence[Any],
    device: str | None,
    options: Mapping[str, Any],
    missing: bool = False,
) -> tuple[list[Any], Device]:
    """`device_for`, of finite numbers; tensors and reductions may hold anything, as on the CPU."""
    what = [f"quantity {name!r}" for name in declared.inputs]
    found, place = device_for(dict(zip(what, columns, strict=True)), device)
    check_options(place, **options)
    looked_at = {
        said: now
        for name, said, given, now in zip(declared.inputs, what, columns, found, strict=True)
        if not is_tensor(given) and name not in declared._reductions
    }
    check_there(looked_at, missing=missing)
    return found, place
