"""Constraints on numbers of a narrower type than float64: what rounding may add to a residual, and
rounding that keeps bounds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.constraints.declared import Declared
from teorell.constraints.kkt import Derivatives
from teorell.engine.columns import run_columns
from teorell.lowering.columns import lower_columns

__all__ = ["inward", "rounding_of"]

UNITS = 2.0  # in the last place: rounded to the nearest, then moved to the next, is one and a half
MOST_MOVES = 32
BLOCK = 4096  # patients whose slopes are held at once


def rounding_of(
    declared: Declared, columns: Sequence[Array], roundings: Sequence[float], patients: int
) -> dict[str, Array]:
    """name -> (patients,): how much UNITS in the last place of all numbers change its residual.

    roundings: the relative distance of neighbours in the type of each column, 0 of float64.
    """
    sides = [each.name for each in declared.constraints for _ in each.sides]
    result: dict[str, Array] = {}
    sizes = _changes(declared, columns, roundings, patients)
    for name, size in zip(sides, sizes, strict=True):
        result[name] = np.maximum(result[name], size) if name in result else size
    return result


def _changes(
    declared: Declared, columns: Sequence[Array], roundings: Sequence[float], patients: int
) -> Array:
    """(sides, patients) of `rounding_of`."""
    slopes = _slopes(declared, columns, patients)
    total = np.zeros((slopes.shape[0], patients))
    for q, (column, rounding) in enumerate(zip(columns, roundings, strict=True)):
        if rounding:
            total += np.abs(slopes[:, q] * column) * (UNITS * rounding)
    return np.where(np.isfinite(total), total, 0.0)


def _slopes(declared: Declared, columns: Sequence[Array], patients: int) -> Array:
    """(sides, quantities, patients): derivatives of the residuals by all quantities."""
    residuals = [side.residual for each in declared.constraints for side in each.sides]
    program = Derivatives.of(residuals, declared.inputs, 0)
    return program.at(columns, np.zeros((len(residuals), patients)))[0]


def _residuals(declared: Declared, columns: Sequence[Array], patients: int) -> Array:
    residuals = [side.residual for each in declared.constraints for side in each.sides]
    return run_columns(lower_columns(residuals, declared.inputs), columns, patients)


def inward(
    declared: Declared,
    before: Mapping[str, Array],
    after: Mapping[str, Array],
    free: Sequence[str],
    tolerance: float,
) -> tuple[dict[str, Array], NDArray[np.bool_]]:
    """Points (patients,) by name as float32 has them, in float64, and which of them had not to
    move.

    They satisfy the bounds, and equalities up to `rounding_of`: of a bound that rounding to the
    nearest violates one quantity goes on to its next number. before: the points that were
    projected; those that float32 has, and that are good already, stay.
    """
    names, patients = declared.inputs, next(iter(after.values())).size
    equality = np.array([side.equality for each in declared.constraints for side in each.sides])
    roundings = [float(np.finfo(np.float32).eps)] * len(names)
    told = [before[name].astype(np.float32).astype(np.float64) for name in names]
    r = _residuals(declared, told, patients)
    limit = np.where(equality[:, None], _changes(declared, told, roundings, patients), tolerance)
    stays = (np.where(equality[:, None], np.abs(r), r) <= limit).all(axis=0)
    stays &= np.all([a == before[name] for a, name in zip(told, names, strict=True)], axis=0)
    points = [
        np.where(stays, a, after[name].astype(np.float32).astype(np.float64))
        for a, name in zip(told, names, strict=True)
    ]
    for start in range(0, patients, BLOCK):
        part = np.arange(start, min(start + BLOCK, patients))
        _move_inward(declared, points, part[~stays[part]], [name in free for name in names])
    return dict(zip(names, points, strict=True)), stays


def _move_inward(
    declared: Declared, points: Sequence[Array], part: NDArray[np.int64], free: Sequence[bool]
) -> None:
    """Quantities of some patients go on to their next numbers, one at a time, until bounds hold.

    It is the one after whose step the least is missing, told by slopes.
    """
    equality = np.array([side.equality for each in declared.constraints for side in each.sides])
    may_move, bounds = np.flatnonzero(free), np.flatnonzero(~equality)
    for _ in range(MOST_MOVES if bounds.size else 0):
        if not part.size:
            return
        r = _residuals(declared, [each[part] for each in points], part.size)[bounds]
        off = r.max(axis=0) > 0.0
        part, r = part[off], r[:, off]
        there = [each[part] for each in points]
        slopes = _slopes(declared, there, part.size)[bounds][:, may_move]
        rows = np.arange(part.size)
        worst = slopes[r.argmax(axis=0), :, rows].T
        old = np.array([there[q] for q in may_move], np.float32)
        new = np.nextafter(old, np.where(worst > 0.0, -np.inf, np.inf).astype(np.float32))
        new = np.where(worst == 0.0, old, new)
        after = r[:, None] + slopes * (new.astype(np.float64) - old)
        missing = np.where(worst == 0.0, np.inf, np.maximum(after, 0.0).sum(axis=0))
        best = missing.argmin(axis=0)
        for k, q in enumerate(may_move.tolist()):
            points[q][part[best == k]] = new[k, best == k]
