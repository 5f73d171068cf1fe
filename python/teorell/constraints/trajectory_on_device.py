"""Penalties of trajectories on a CUDA device, as the loss of a gradient: a patient whose penalty is
no number counts for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import copied
from teorell.constraints.declared import Declared
from teorell.constraints.on_device import device_for, penalty_there, rows_there
from teorell.lowering.columns import lower_columns
from teorell.model.expression import abs as size_of
from teorell.model.expression import symbol, where

__all__ = ["added_there", "penalties_there"]

HUGE = float(np.finfo(np.float64).max)


def penalties_there(
    declared: Declared, columns: Sequence[Any], patients: int
) -> tuple[float, dict[str, Any]]:
    """The sum of the penalties, and name -> (patients,) its slope by each quantity, there.

    The penalties come to the host, where they are added up as those of the CPU are.
    """
    penalty, slopes = penalty_there(declared, columns, patients, None, {})
    p, s = (symbol("parameter", name) for name in ("penalty", "slope"))
    program = lower_columns([where(size_of(p) <= HUGE, s, 0.0)], ["penalty", "slope"])
    counting = {}
    for name, slope in slopes.items():
        given, device = device_for(
            {"the penalties": penalty, f"the slope by {name!r}": slope}, None
        )
        (counting[name],) = rows_there(program, given, patients, device)
    here = copied(penalty)
    return float(here[np.isfinite(here)].sum()), counting


def added_there(gradient: Any, slope: Any, counts: NDArray[np.bool_]) -> Any:
    """gradient + slope of the patients who count, (patients,), there; a number that patients share
    is that on the host, plus the sum of their slopes.
    """
    if not gradient.ndim:
        return gradient + np.asarray(np.where(counts, copied(slope), 0.0).sum())
    g, s, c = (symbol("parameter", name) for name in ("gradient", "slope", "counts"))
    program = lower_columns([g + where(c > 0.5, s, 0.0)], ["gradient", "slope", "counts"])
    named = {"the gradient": gradient, "the slope": slope, "who counts": counts.astype(np.float64)}
    columns, device = device_for(named, None)
    (total,) = rows_there(program, columns, counts.size, device)
    return total
