"""The linear system of a projection's derivative, for many patients at once."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from teorell.arrays import Array
from teorell.engine.columns import run_columns
from teorell.lowering.columns import ColumnProgram, lower_columns
from teorell.model.expression import Expression, constant, derivative, leaves, symbol

__all__ = ["DEPENDENT", "SINGULAR", "Derivatives", "System"]

DEPENDENT = 1e-12  # what a row that others contain has instead of 0; rows have length 1

SINGULAR = 1e10  # a w that is so much larger than what is asked has no digits left


@dataclass(frozen=True, eq=False)
class System:
    """(I + M) w + A' y = top, A w = bottom, of k patients, whose sums run in the same order however
    many they are.
    """

    rows: Array  # (active, quantities, k) slopes, those of the free quantities first
    bends: Array  # (free, quantities, k)
    scale: Array  # (free, k)

    @classmethod
    def of(cls, rows: Array, bends: Array, scale: Array) -> System:
        """The system whose rows have length 1 in the scale, if they have any."""
        length = np.zeros((rows.shape[0], rows.shape[2]))
        for j in range(scale.shape[0]):
            length = np.maximum(length, np.abs(rows[:, j] * scale[j]))
        return cls(rows / np.where(length > 0.0, length, 1.0)[:, None], bends, scale)

    def solve(self, top: Array, bottom: Array | None = None) -> tuple[Array, Array]:
        """(free, k) w and (active, k) y; NaN for a patient whose system has no solution.

        top: (free, k); bottom: (active, k), None is 0.
        """
        (n, k), active = self.scale.shape, self.rows.shape[0]
        a = self.rows[:, :n] * self.scale
        system = np.zeros((k, n + active, n + active))
        bent = self.scale[:, None] * self.bends[:, :n] * self.scale
        system[:, :n, :n] = np.eye(n) + bent.transpose(2, 0, 1)
        system[:, n:, :n] = a.transpose(2, 0, 1)
        system[:, :n, n:] = a.transpose(2, 1, 0)
        system[:, range(n, n + active), range(n, n + active)] = -DEPENDENT
        right = np.zeros((k, n + active, 1))
        right[:, :n, 0] = top.T
        if bottom is not None:
            right[:, n:, 0] = bottom.T
        result = _solved(system, right)
        right[:, :n] = 0.0  # once more, for what DEPENDENT has added
        right[:, n:] = -DEPENDENT * result[:, n:]
        both = (result + _solved(system, right))[..., 0].T
        asked = np.abs(top).max(axis=0)
        if bottom is not None:
            asked = np.maximum(asked, np.abs(bottom).max(axis=0, initial=0.0))
        both = np.where(np.abs(both[:n]).max(axis=0) <= SINGULAR * asked, both, np.nan)
        return both[:n], both[n:]

    def through_held(self, w: Array, y: Array) -> Array:
        """(held, k): what w and y are worth to the quantities that were held."""
        n = self.scale.shape[0]
        total = np.zeros((self.rows.shape[1] - n, w.shape[1]))
        for j in range(n):
            total += w[j] * self.scale[j] * self.bends[j, n:]
        for row, each in zip(self.rows, y, strict=True):
            total += each * row[n:]
        return total

    def of_held(self, change: Array) -> tuple[Array, Array]:
        """What a change (held, k) of the quantities that were held adds to top and bottom."""
        n = self.scale.shape[0]
        top, bottom = np.zeros(self.scale.shape), np.zeros((self.rows.shape[0], change.shape[1]))
        for j, each in enumerate(change):
            top += self.scale * self.bends[:, n + j] * each
            bottom += self.rows[:, n + j] * each
        return top, bottom


def _solved(system: Array, right: Array) -> Array:
    """np.linalg.solve, with NaN for what is singular alone."""
    try:
        return np.asarray(np.linalg.solve(system, right), np.float64)
    except np.linalg.LinAlgError:  # of one patient perhaps: the others have theirs
        result: Array = np.full(right.shape, np.nan)
        for i in range(system.shape[0]):
            with contextlib.suppress(np.linalg.LinAlgError):
                result[i] = np.linalg.solve(system[i : i + 1], right[i : i + 1])[0]
    return result


@dataclass(frozen=True, eq=False)
class Derivatives:
    """First and second derivatives of residuals, as a column program."""

    program: ColumnProgram
    sides: int
    free: int  # quantities that may move; they are the first inputs
    first: Sequence[tuple[int, int]]  # (side, quantity) of the first derivatives
    second: Sequence[tuple[int, int, int]]  # (side, free quantity, quantity) of the second

    @classmethod
    def of(cls, residuals: Sequence[Expression], order: Sequence[str], free: int) -> Derivatives:
        """Those by the quantities in their order, of which the first `free` may move."""
        symbols = {name: symbol("parameter", name) for name in order}
        exprs: list[Expression] = []
        first: list[tuple[int, int]] = []
        second: list[tuple[int, int, int]] = []
        for row, residual in enumerate(residuals):
            inside = {leaf.name for leaf in leaves(residual)}
            for q, name in enumerate(order):
                slope = derivative(residual, symbols[name]) if name in inside else constant(0.0)
                if slope is not constant(0.0):
                    first.append((row, q))
                    exprs.append(slope)
        for (row, q), slope in list(zip(first, exprs, strict=True)):
            inside = {leaf.name for leaf in leaves(slope)} if q < free else set()
            for k, name in enumerate(order):
                bend = derivative(slope, symbols[name]) if name in inside else constant(0.0)
                if bend is not constant(0.0):
                    second.append((row, q, k))
                    exprs.append(bend)
        return cls(lower_columns(exprs, order), len(residuals), free, first, second)

    def at(self, columns: Sequence[Array], multipliers: Array) -> tuple[Array, Array]:
        """dr/dx (sides, quantities, k), and d^2 lambda' r / d free dx (free, quantities, k).

        columns: (k,) each; multipliers: (sides, k) lambda.
        """
        found = run_columns(self.program, columns, multipliers.shape[1])
        slopes = np.zeros((self.sides, len(columns), multipliers.shape[1]))
        bends = np.zeros((self.free, len(columns), multipliers.shape[1]))
        for (row, q), values in zip(self.first, found[: len(self.first)], strict=True):
            slopes[row, q] = values
        for (row, q, k), values in zip(self.second, found[len(self.first) :], strict=True):
            # a constraint that does not hold the patient may bend as it likes
            holds = multipliers[row] != 0.0
            bends[q, k] += np.where(holds, multipliers[row] * values, 0.0)
        return slopes, bends
