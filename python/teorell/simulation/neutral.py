"""Modes of a flow that keep what they have, and whether a fixed point attracts.

M is the derivative of the flow. A left vector l with l' M = l is a total that nothing changes
(an enzyme, a rhythm written as states): l' x keeps its initial value, and where the flow moves it
there is no fixed point. Everything else must die out: the spectral radius of M without these
modes is below 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.simulation.flows import Flows

__all__ = ["TIGHT", "attracts", "inverses", "neutral_modes", "solved", "suspicious"]

TIGHT = 1e-10  # the tolerance at which modes are told apart,
KEPT = 1e-7  # which keep what they have where 1 - M is smaller than that
SLOW = 1e-3  # what dies out by less an interval is looked at twice


def solved(matrices: Array, right: Array) -> Array:
    """(k, m) the solutions of k linear systems (k, m, m); NaN where there is none."""
    return _safely(lambda a, b: np.linalg.solve(a, b[..., None])[..., 0], matrices, right)


def inverses(matrices: Array) -> Array:
    """(k, m, m) the inverses of k matrices; NaN where there is none."""
    return _safely(lambda a, _: np.linalg.inv(a), matrices, matrices)


def _safely(function: Callable[[Array, Array], Any], matrices: Array, right: Array) -> Array:
    """function(matrices, right) of k matrices and k arrays; NaN where one is singular."""
    k = len(matrices)
    good = _finite(matrices) & _finite(right)
    safe = np.where(good[:, None, None], matrices, np.eye(matrices.shape[1]))
    try:
        found: Array = function(safe, right)
    except np.linalg.LinAlgError:  # one of them is singular
        if k == 1:
            return np.full_like(right, np.nan)
        halves = [
            _safely(function, matrices[part], right[part])
            for part in (slice(k // 2), slice(k // 2, k))
        ]
        return np.concatenate(halves)
    found[~good] = np.nan
    return found


def _finite(arrays: Array) -> NDArray[np.bool_]:
    """(k,) Are all entries of k arrays finite?"""
    return np.asarray(np.isfinite(arrays).reshape(len(arrays), -1).all(axis=1))


def suspicious(matrices: Array, size: Array, rhythmic: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(k,) May a mode keep what it has, or not die out? To be looked at more closely.

    size: (k, m) of the states. rhythmic: (k,) where states may oscillate by themselves, which a
    solver damps. No mode is suspicious where |M| v < v for a v > 0 (Berman & Plemmons, Nonnegative
    Matrices in the Mathematical Sciences, 1994, chapter 6).
    """
    scaled = np.abs(matrices) * size[:, None, :] / size[:, :, None]
    one = np.eye(matrices.shape[1])
    slowness = solved(one - scaled, np.ones(size.shape))
    with np.errstate(invalid="ignore"):
        dying = ((slowness > 0.0) & (slowness < 1.0 / SLOW)).all(axis=1)
    result = ~dying | rhythmic
    for k in np.flatnonzero(result & _finite(matrices)):
        modes = np.linalg.eigvals(matrices[k])
        most = 0.3 if rhythmic[k] else 1.0 - SLOW
        dull = (modes.imag == 0.0) & (modes.real > -0.3) & (modes.real < 1.0 - SLOW)
        result[k] = not (dull | (np.abs(modes) < most)).all()
    return np.asarray(result)


def neutral_modes(matrices: Array, size: Array) -> Array:
    """(k, m, m) the projections P on the modes that keep what they have, zero where there is none.

    I - M + P is regular, and P r is what moves totals that should stay. size: (k, m) of the states.
    """
    result = np.zeros_like(matrices)
    one = np.eye(matrices.shape[1])
    for k, (matrix, unit) in enumerate(zip(matrices, size, strict=True)):
        if not np.isfinite(matrix).all():
            continue
        left, values, _ = np.linalg.svd(one - matrix * unit[None, :] / unit[:, None])
        kept = left[:, values < KEPT]
        result[k] = unit[:, None] * (kept @ kept.T) / unit[None, :]
    return result


def attracts(
    flows: Flows, x: Array, projections: Array, which: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """(k,) Do all modes of the flows `which` at x but those that keep what they have die out?

    Of M at a tight tolerance: for points where that is in doubt.
    """
    if not len(x):
        return np.zeros(0, np.bool_)
    exact = flows.matrix(x, which, min(TIGHT, flows.rtol)) - projections
    good = _finite(exact)
    modes = np.linalg.eigvals(np.where(good[:, None, None], exact, 0.0))
    return np.asarray(good & (np.abs(modes).max(axis=1) < 1.0 - 0.1 * KEPT))
