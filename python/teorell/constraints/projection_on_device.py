"""Projections on a CUDA device: the nearest points stay there, what became of each patient comes to
the host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from teorell.arrays import agree, is_on_device, is_tensor, numbers
from teorell.constraints.declared import Declared
from teorell.constraints.nearest import check_scales, free_of, nearest_problem, refuse_contradiction
from teorell.constraints.on_device import check_options, check_there, device_for, like, sides_of
from teorell.constraints.projection import Projection
from teorell.constraints.quantities import column_there
from teorell.device.arrays import DeviceArray
from teorell.device.columns import project_columns, run_columns
from teorell.device.devices import Device
from teorell.device.place import as_given
from teorell.errors import InputError
from teorell.lowering.columns import lower_columns
from teorell.model.expression import abs as size_of
from teorell.model.expression import symbol, where

__all__ = ["project_there"]

LEAST = 5e-324  # the least positive float64


def project_there(
    declared: Declared,
    columns: Sequence[Any],
    unread: Mapping[str, Any],
    scale: Mapping[str, Any],
    device: str | None,
    *,
    hold: Sequence[str] | str = (),
    **options: Any,
) -> tuple[Projection, Any]:
    """The nearest points of columns that lie there, or are sent, in the library of these; and
    (sides, patients) their multipliers, there too.

    columns: those of the constraints' inputs, one at least () or (patients,); unread: quantities of
    no constraint, which stay. Raises as `project` does.
    """
    names, free = declared.inputs, free_of(declared, hold)
    check_scales(scale, free, names)
    given = {name: _scale(each, name) for name, each in scale.items()}
    what = [f"quantity {name!r}" for name in (*names, *unread)]
    scales = [f"the scale of {name!r}" for name in given]
    every, place = device_for(
        dict(zip([*what, *scales], [*columns, *unread.values(), *given.values()], strict=True)),
        device,
    )
    check_options(place, **options)
    inputs, others = every[: len(names)], every[len(names) : len(what)]
    sizes = dict(zip(given, every[len(what) :], strict=True))
    patients = agree((said, len(x)) for said, x in zip(what, inputs, strict=False) if x.ndim) or 1
    agree((said, size) for said, size in [("values", patients), *_lengths(scales, sizes.values())])
    check_there(dict(zip(what, inputs, strict=False)))
    check_there(dict(zip(scales, sizes.values(), strict=True)), least=LEAST)
    own = [name for name in free if name not in given]
    of_names = dict(zip(names, inputs, strict=True))
    sizes |= zip(
        own, _own_sizes([of_names[name] for name in own], patients, place, every), strict=True
    )
    program, constraints = nearest_problem(declared, free)
    found = project_columns(
        program,
        inputs,
        constraints,
        [sizes[name] for name in free],
        sides_of(declared),
        patients,
        place,
    )
    if not (found.steps >= 0).any():
        refuse_contradiction(declared)
    held = [name for name in names if name not in free]
    stays = _copies([*(of_names[name] for name in held), *others], patients, place, every)
    after = dict(zip(free, _rows(found.values), strict=True))
    after |= dict(zip([*held, *unread], stays, strict=True))
    lying = like(every)
    projection = Projection(
        {name: as_given(after[name], lying) for name in (*names, *unread)},
        found.distance,
        found.steps,
        dict(zip((each.name for each in declared.constraints), found.holds, strict=True)),
        None,
    )
    return projection, as_given(found.multipliers, lying)


def _scale(given: Any, name: str) -> Any:
    """A scale as it was given, on the host positive numbers."""
    what = f"the scale of {name!r}"
    if is_on_device(given):
        return column_there(given, what)
    if is_tensor(given):
        return given
    array = numbers(given, what)
    if not (array > 0.0).all():
        raise InputError(f"{what} is not positive (distances are told in it). Give one above 0.")
    return array


def _lengths(what: Sequence[str], columns: Any) -> list[tuple[str, int]]:
    return [(said, len(x)) for said, x in zip(what, columns, strict=True) if x.ndim]


def _own_sizes(
    columns: Sequence[Any], patients: int, device: Device, of_call: Sequence[Any]
) -> list[DeviceArray]:
    """What each column has as its scale, (patients,): its own size, 1 where that is 0."""
    return _mapped(
        lambda x: where(size_of(x) > 0.0, size_of(x), 1.0), columns, patients, device, of_call
    )


def _copies(
    columns: Sequence[Any], patients: int, device: Device, of_call: Sequence[Any]
) -> list[DeviceArray]:
    """The columns once more, (patients,) each: the caller's may change."""
    return _mapped(lambda x: x, columns, patients, device, of_call)


def _mapped(
    function: Any, columns: Sequence[Any], patients: int, device: Device, of_call: Sequence[Any]
) -> list[DeviceArray]:
    if not columns:
        return []
    names = [f"column {k}" for k in range(len(columns))]
    exprs = [function(symbol("parameter", name)) for name in names]
    return _rows(run_columns(lower_columns(exprs, names), columns, patients, device, of_call))


def _rows(array: DeviceArray) -> list[DeviceArray]:
    return [array[k] for k in range(len(array))]
