"""Totals that nothing changes, where their weights depend on parameters.

A steady state x keeps the totals l' x of the initial state x0. With the weights l moves the point:
l' dx = l' dx0 - dl' (x - x0). As l' flow(z) = l' z at every state z, dl' (flow(z) - z) is
-l' (d flow(z) / d parameters). So points z are looked for whose moves flow(z) - z, each times a
number, add up to x - x0; near x these are (M - I) (z - x).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.simulation.flows import Flows

__all__ = ["detours"]

TRIES = 12  # points, at most
CLOSE, ENOUGH = 1.0, 100.0  # what may be left of x - x0, in rtol: aimed at, and accepted


def detours(
    flows: Flows,
    which: NDArray[np.int64],
    x: Array,
    start: Array,
    left: Array,
    positive: NDArray[np.bool_],
) -> list[tuple[Array, Array]]:
    """Points z (k, m), and the numbers (k,) by which their moves add up to x - start.

    x, start: (k, m) the steady states of the flows `which` and their initial states. left:
    (k, m, m) I - M + P. positive: (m,) states that cannot be negative. A number is NaN where the
    moves do not reach.
    """
    from teorell.engine.dense import solved

    missing, size = x - start, np.abs(x) + np.abs(start) + flows.least
    longest = np.ones(len(x))
    found = []
    for _ in range(TRIES):
        error = _largest(missing, size)
        active = np.flatnonzero(error > CLOSE * flows.rtol)
        if not active.size:
            break
        way = solved(left[active], -missing[active])
        length = _length(x[active], way, positive) * longest[active]
        z = np.array(x)
        z[active] += length[:, None] * way
        value, status = flows.advance(z[active], which[active])
        with np.errstate(divide="ignore", invalid="ignore"):
            rest = missing[active] - (value - z[active]) / length[:, None]
            good = (status == 0) & (_largest(rest, size[active]) < 0.5 * error[active])
        longest[active[~good]] *= 0.25
        missing[active[good]] = rest[good]
        number = np.zeros(len(x))
        number[active[good]] = 1.0 / length[good]
        found.append((z, number))
    lost = ~(_largest(missing, size) <= ENOUGH * flows.rtol)
    return [(z, np.where(lost, np.nan, number)) for z, number in found]


def _largest(moves: Array, size: Array) -> Array:
    """(k,) the largest of moves (k, m), of the sizes of states."""
    return np.asarray(np.max(np.abs(moves) / size, axis=1, initial=0.0))


def _length(x: Array, way: Array, positive: NDArray[np.bool_]) -> Array:
    """(k,) how far to go along `way`, -1 to 1, that no state gets lower than half of what it is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.where(positive & (way != 0.0), 0.5 * x / np.abs(way), np.inf)
    forth = np.where(way < 0.0, room, np.inf).min(axis=1, initial=1.0)
    back = np.where(way > 0.0, room, np.inf).min(axis=1, initial=1.0)
    return np.asarray(np.where(forth >= back, forth, -back))
