"""What physiology says in training and in sampling: penalties, and the nearest valid people."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from teorell.constraints import ConstraintSet, plausible
from teorell.learn.diffusion.vectors import (
    COLUMNS,
    FLOW_COLUMNS,
    MASS_COLUMNS,
    Rows,
    quantities_of,
)

__all__ = ["LEAST", "limits_of_people", "penalties", "projected", "violated"]

LEAST = 1e-6  # below it no mass, flow or size is told to constraints, which divide by them
_GUT = ("mass_small_intestine", "mass_large_intestine")


@cache
def limits_of_people() -> ConstraintSet:
    """`plausible()`, once: its programs are made when they are first asked for."""
    return plausible()


def penalties(constraints: ConstraintSet, rows: Tensor) -> Tensor:
    """(n,) log(1 + penalty) of rows of people, differentiable: far from what is valid a penalty
    has no weight of its own, close to it the logarithm is the penalty.
    """
    floor = torch.full((len(COLUMNS),), LEAST, dtype=rows.dtype)
    floor[:2] = 0.0  # sex and age
    found: Tensor = torch.log1p(constraints.penalty(quantities_of(torch.maximum(rows, floor))))
    return found


def projected(
    constraints: ConstraintSet, rows: Rows, hold: Iterable[str] = ()
) -> tuple[Rows, NDArray[np.bool_]]:
    """The nearest valid people in relative changes, and (n,) whether one was found.

    hold: quantities that stay. Who is valid stays to the bit. Parts of the gut move alike, and sums
    are made exact once more, after the projection's own tolerance.
    """
    told = np.maximum(rows, LEAST)
    told[:, :2] = rows[:, :2]
    found = constraints.project(quantities_of(told), hold=tuple(hold))
    moved = found.success & ((found.distance > 0.0) | (told != rows).any(axis=1))
    result = np.where(moved[:, None], told, rows)
    for k, name in enumerate(COLUMNS):
        if name in found.values:
            result[moved, k] = found.values[name][moved]
    small, large = (COLUMNS.index(name) for name in _GUT)
    both = told[:, small] + told[:, large]
    for k in (small, large):
        result[moved, k] = (told[:, k] / both * found.values["mass_gut"])[moved]
    for whole, parts in (("body_weight", MASS_COLUMNS), ("cardiac_output", FLOW_COLUMNS)):
        places = [COLUMNS.index(name) for name in parts]
        ratio = result[moved, COLUMNS.index(whole)] / result[np.ix_(moved, places)].sum(axis=1)
        result[np.ix_(moved, places)] *= ratio[:, None]
    return result, np.asarray(found.success)


def violated(
    constraints: ConstraintSet, rows: Rows, tolerance: float | None = None
) -> dict[str, NDArray[np.bool_]]:
    """name -> (n,) whether a person violates each constraint.

    tolerance: of residuals in scales of the constraints, for equalities and bounds alike; None is
    the constraints' own. What is not finite or not above 0 violates all.
    """
    with np.errstate(all="ignore"):
        numbers = np.where(np.isfinite(rows), rows, np.nan)
        quantities = quantities_of(numbers)
        if tolerance is None:
            found = dict(constraints.violations(quantities).violated)
        else:
            residuals = constraints.residuals(quantities)
            found = {name: ~(each <= tolerance) for name, each in residuals.items()}
    impossible = ~np.all(numbers[:, 2:] > 0.0, axis=1)
    return {name: each | impossible for name, each in found.items()}
