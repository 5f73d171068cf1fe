"""The nearest patients that satisfy all constraints.

With the way back, from derivatives by these to derivatives by the patients that they came from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array, agree, numbers
from teorell.constraints.declared import Declared
from teorell.constraints.penalty import program_of, residuals_of, violations_of
from teorell.constraints.quantities import columns_of
from teorell.engine.columns import project_columns
from teorell.errors import InputError, count, suggestion
from teorell.model.expression import Expression, constant, derivative, leaves, symbol

__all__ = ["Projection", "project"]

TOLERANCE = 1e-10  # of residuals, in scales of their constraints
MOST_STEPS = 200


@dataclass(frozen=True, eq=False)
class Projection:
    """Patients moved onto the feasible set, and what it took."""

    # name -> (patients,) of every quantity that constraints read; NaN where no point was found
    values: Mapping[str, Any]
    # (patients,) sqrt(sum of ((x - x0) / scale)^2); 0 where the patient was feasible
    distance: Array
    steps: NDArray[np.int32]  # (patients,) steps taken; -1 where no feasible point was found
    # constraint -> (patients,) does it hold the patient where it is?
    active: Mapping[str, NDArray[np.bool_]]
    _derivative: Any = None

    @property
    def success(self) -> NDArray[np.bool_]:
        """(patients,) True where a feasible point was found."""
        result: NDArray[np.bool_] = self.steps >= 0
        return result

    def pull_back(self, cotangents: Mapping[str, Any]) -> dict[str, Array]:
        """d loss / d each quantity before the projection, (patients,), by name.

        cotangents: name -> d loss / d the quantity after it. By the implicit function theorem, with
        the active constraints as they are. Where no point was found it is 0.
        """
        bars: dict[str, Array] = self._derivative(cotangents)
        return bars

    def __repr__(self) -> str:
        moved = int((self.distance > 0.0).sum())
        missed = int((~self.success).sum())
        return (
            f"<Projection of {count(self.steps.size, 'patient')}: {moved} moved, median distance "
            f"{np.nanmedian(self.distance):.3g}; "
            f"{f'{missed} not found' if missed else 'all found'}>"
        )


def project(
    constraints: Declared,
    values: Any,
    *,
    scale: Mapping[str, Any] | None = None,
    hold: Sequence[str] | str = (),
    threads: int | None = None,
    executor: str | None = None,
) -> Projection:
    """The nearest points that satisfy all constraints.

    Nearest is the least sum of ((x - x0) / scale)^2 over the quantities that may move.

    values: as for ConstraintSet.penalty, in NumPy.
    scale: name -> positive number or (patients,); what is not named has its own size |x0|, or 1
        where that is 0: relative changes are what counts.
    hold: quantities that stay as they are, besides those declared fixed.
    A patient that satisfies everything stays as it is, bit for bit. Where constraints bend, a local
    minimum is found.

    Raises InputError as ConstraintSet.penalty does, for unknown names, and where no patient can
    satisfy the constraints: it names those that contradict each other.
    """
    columns, patients = columns_of(constraints, values)
    names = constraints.inputs
    asked = (hold,) if isinstance(hold, str) else tuple(hold)
    held = _named(asked, names, "hold") | constraints._fixed
    free = tuple(name for name in names if name not in held)
    if not free:
        raise InputError("all quantities are held (nothing may move). Leave one free.")
    sides = [(each.name, side) for each in constraints.constraints for side in each.sides]
    entries = _entries([side.residual for _, side in sides], free)
    exprs = [side.residual for _, side in sides] + [slope for *_, slope in entries]
    program = program_of(constraints, ("project", free), exprs)
    metric = _scales(scale or {}, free, dict(zip(names, columns, strict=True)), patients)
    rows = [row for row, *_ in entries]
    given = {
        "free": np.array([names.index(name) for name in free], np.int32),
        "starts": np.searchsorted(rows, np.arange(len(sides) + 1)).astype(np.int32),
        "columns": np.array([free.index(name) for _, name, _ in entries], np.int32),
        "equality": np.array([side.equality for _, side in sides], np.uint8),
        "tolerance": TOLERANCE,
        "most_steps": MOST_STEPS,
    }
    found, multipliers, steps = project_columns(
        program, columns, given, metric, patients, threads=threads, executor=executor
    )
    by_name = dict(zip(names, columns, strict=True))
    if not (steps >= 0).any():
        _refuse(constraints, by_name, free, list(dict.fromkeys(name for name, _ in sides)))
    result = {name: np.broadcast_to(column, (patients,)) for name, column in by_name.items()}
    before = np.array([result[name] for name in free])
    result |= dict(zip(free, found, strict=True))
    active: dict[str, NDArray[np.bool_]] = {}
    for (name, side), row in zip(sides, multipliers, strict=True):
        holds = np.full(patients, side.equality) | (row > 0.0)
        active[name] = active.get(name, np.zeros(patients, np.bool_)) | holds
    sizes = np.array(np.broadcast_arrays(*metric, found[0])[:-1])
    distance = np.sqrt((((found - before) / sizes) ** 2).sum(axis=0))
    from teorell.constraints.implicit import Implicit

    slopes = Implicit(
        names=names,
        free=free,
        sides=sides,
        values=result,
        multipliers=multipliers,
        metric=metric,
        found=steps >= 0,
    )
    return Projection(result, distance, steps, active, slopes.pull_back)


def _entries(
    residuals: Sequence[Expression], free: Sequence[str]
) -> list[tuple[int, str, Expression]]:
    """(row, quantity, derivative) where a residual depends on a quantity that may move."""
    entries = []
    for row, residual in enumerate(residuals):
        inside = {leaf.name for leaf in leaves(residual)}
        for name in free:
            if name in inside:
                slope = derivative(residual, symbol("parameter", name))
                if slope is not constant(0.0):
                    entries.append((row, name, slope))
    return entries


def _named(given: Sequence[str], names: Sequence[str], what: str) -> frozenset[str]:
    """The names, if all of them are known, else InputError; what: which argument names them."""
    for name in given:
        if name not in names:
            raise InputError(
                f"{what} names {name!r} (no constraint reads it). {suggestion(str(name), names)}"
            )
    return frozenset(given)


def _scales(
    given: Mapping[str, Any], free: Sequence[str], columns: Mapping[str, Array], patients: int
) -> list[Array]:
    """The scale of each quantity that may move, () or (patients,).

    InputError for what is no scale.
    """
    _named(tuple(given), free, "scale")
    scales = []
    for name in free:
        size = np.abs(columns[name])
        array = (
            np.where(size > 0.0, size, 1.0)
            if name not in given
            else numbers(given[name], f"the scale of {name!r}")
        )
        if not (array > 0.0).all():
            raise InputError(
                f"the scale of {name!r} is not positive (distances are told in it). Give one above "
                "0."
            )
        agree([("values", patients), (f"the scale of {name!r}", array.size)] if array.ndim else [])
        scales.append(array)
    return scales


def _refuse(
    constraints: Declared,
    columns: Mapping[str, Array],
    free: Sequence[str],
    names: Sequence[str],
) -> NoReturn:
    """Raise InputError: no patient satisfies the constraints.

    It names a set of them that together cannot be, and less can.
    """
    kept = list(names)
    first = {name: np.atleast_1d(column)[:1] for name, column in columns.items()}
    for name in names:
        less = [other for other in kept if other != name]
        if less and not _feasible(constraints, less, first, free):
            kept = less
    told = ", ".join(map(repr, kept[:6])) + (f" and {len(kept) - 6} more" if len(kept) > 6 else "")
    raise InputError(
        f"no patient can be moved to satisfy {constraints.name!r} (these contradict each other: "
        f"{told}). Relax one of them, or hold less."
    )


def _feasible(
    constraints: Declared,
    names: Sequence[str],
    values: Mapping[str, Array],
    free: Sequence[str],
) -> bool:
    """Whether some of the constraints alone can be satisfied by these values, one patient."""
    part = constraints._of(names)
    given = {name: values[name] for name in part.inputs}
    hold = [name for name in part.inputs if name not in free]
    if len(hold) == len(part.inputs):
        residuals = residuals_of(part, *columns_of(part, given))
        return not violations_of(part, residuals).any.any()
    try:
        return bool(project(part, given, hold=hold).success.all())
    except InputError:
        return False
