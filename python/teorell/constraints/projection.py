"""The nearest patients that satisfy all constraints.

With the way back, from derivatives by these to derivatives by the patients that they came from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array, agree, copied, numbers
from teorell.constraints.declared import Declared
from teorell.constraints.implicit import Implicit
from teorell.constraints.nearest import (
    check_scales,
    free_of,
    nearest_problem,
    refuse_contradiction,
    scales_by_name,
)
from teorell.constraints.quantities import columns_of, people_of, unread_of
from teorell.engine.columns import project_columns
from teorell.errors import InputError, count
from teorell.packages import needed
from teorell.patients import Patients

__all__ = ["Projection", "project"]


@dataclass(frozen=True, eq=False)
class Projection:
    """Patients moved onto the feasible set, and what it took."""

    # name -> (patients,) of every quantity that constraints read, NaN where no point was found; and
    # of what else was given, as it was
    values: Mapping[str, Any]
    # (patients,) sqrt(sum of ((x - x0) / scale)^2); 0 where the patient was feasible
    distance: Array
    steps: NDArray[np.int32]  # (patients,) steps taken; -1 where no feasible point was found
    # constraint -> (patients,) does it hold the patient where it is?
    active: Mapping[str, NDArray[np.bool_]]
    _derivative: Implicit | None  # None on a device
    people: Patients | None = None  # who the patients are, where it was told

    @property
    def ids(self) -> NDArray[Any]:
        """(patients,) ids of a population or an event table, else 0, 1, 2, ..."""
        return np.arange(self.steps.size) if self.people is None else self.people.ids

    @property
    def success(self) -> NDArray[np.bool_]:
        """(patients,) True where a feasible point was found."""
        result: NDArray[np.bool_] = self.steps >= 0
        return result

    def to_dataframe(self) -> Any:
        """A pandas DataFrame, a row a patient: id, the numbers after the projection, distance,
        found, and the covariates that are none of these. ImportError without pandas.
        """
        with needed("pandas", "DataFrame", "'teorell[frames]'"):
            import pandas as pd  # type: ignore[import-untyped,unused-ignore]
        columns: dict[str, Any] = {"id": self.ids, **self.values}
        columns |= {"distance": self.distance, "found": self.success}
        more = {} if self.people is None else self.people.covariates
        columns |= {name: each for name, each in more.items() if name not in columns}
        return pd.DataFrame(columns)

    def pull_back(self, cotangents: Mapping[str, Any]) -> dict[str, Array]:
        """d loss / d each quantity before the projection, (patients,), by name.

        cotangents: name -> d loss / d the quantity after it. By the implicit function theorem, with
        the active constraints as they are. A scale that was not given is the quantity's own size,
        and changes with it; one that was given stays. Where no point was found it is 0, whatever
        the cotangent; NaN where the nearest point has no derivative.
        """
        return self.derivative.pull_back(cotangents)[0]

    def pull_back_scale(self, cotangents: Mapping[str, Any]) -> dict[str, Array]:
        """d loss / d each scale that was given, (patients,), by name; see `pull_back`."""
        return self.derivative.pull_back(cotangents)[1]

    @property
    def derivative(self) -> Implicit:
        """How it depends on what was projected. NotImplementedError for one on a device."""
        if self._derivative is None:
            raise NotImplementedError(
                "no pull_back of a projection on a device (its linear systems are solved on the "
                "host, or by torch). Project torch tensors, or .get() of the arrays."
            )
        return self._derivative

    def cpu(self) -> Projection:
        """The same with values as NumPy; of a device they are copied."""
        return replace(self, values={name: copied(each) for name, each in self.values.items()})

    def __repr__(self) -> str:
        moved = int((self.distance > 0.0).sum())
        missed = int((~self.success).sum())
        known = self.distance[self.success]
        median = np.median(known) if known.size else np.nan
        return (
            f"<Projection of {count(self.steps.size, 'patient')}: {moved} moved, median distance "
            f"{median:.3g}; "
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
    minimum is found. A patient from whom no point is found has NaN, and `success` is False: that
    does not say that there is none.

    Raises InputError as ConstraintSet.penalty does, for unknown names, and where constraints are
    proven to contradict each other whoever the patient is: it names these.
    """
    columns, patients = columns_of(constraints, values)
    more = unread_of(constraints, values, patients)
    free, scale = free_of(constraints, hold), scales_by_name(scale)
    unread = {name: np.array(np.broadcast_to(column, (patients,))) for name, column in more.items()}
    names = constraints.inputs
    by_name = dict(zip(names, columns, strict=True))
    metric = _scales(scale, free, by_name, patients)
    sides = [(each.name, side) for each in constraints.constraints for side in each.sides]
    program, given = nearest_problem(constraints, free)
    found, multipliers, steps = project_columns(
        program, columns, given, metric, patients, threads=threads, executor=executor
    )
    if not (steps >= 0).any():
        refuse_contradiction(constraints)
    # copies: what the derivative reads must not change with what the caller has
    before = {name: np.array(np.broadcast_to(by_name[name], (patients,))) for name in names}
    after = before | dict(zip(free, found, strict=True))
    sizes = {
        name: np.array(np.broadcast_to(each, (patients,)))
        for name, each in zip(free, metric, strict=True)
    }
    total = np.zeros(patients)
    for name in free:  # in this order, however many patients there are
        total += ((after[name] - before[name]) / sizes[name]) ** 2
    distance = np.sqrt(total)
    slopes = Implicit(
        names=names,
        free=free,
        sides=sides,
        values={name: np.array(column) for name, column in after.items()},
        before=before,
        multipliers=multipliers,
        metric=sizes,
        given=frozenset(scale),
        found=steps >= 0,
        unread=tuple(unread),
    )
    held_by = _holding(sides, multipliers)
    return Projection(after | unread, distance, steps, held_by, slopes, people_of(values))


def _holding(sides: Sequence[tuple[str, Any]], multipliers: Array) -> dict[str, NDArray[np.bool_]]:
    """constraint -> (patients,): does one of its sides hold the patient where it is?"""
    active: dict[str, NDArray[np.bool_]] = {}
    for (name, side), row in zip(sides, multipliers, strict=True):
        holds = (row > 0.0) | side.equality
        active[name] = active[name] | holds if name in active else holds
    return active


def _scales(
    given: Mapping[str, Any], free: Sequence[str], columns: Mapping[str, Array], patients: int
) -> list[Array]:
    """The scale of each quantity that may move, () or (patients,).

    InputError for what is no scale.
    """
    check_scales(given, free, tuple(columns))
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
