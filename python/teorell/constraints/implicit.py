"""How a projection depends on what was projected.

The conditions of Karush, Kuhn and Tucker are differentiated. With z = (x - x0) / s,
A = (dr/dx) s of the active constraints and lambda their multipliers,

    z + A' lambda = 0,    r = 0

hold. With M = s (d^2 lambda' r / dx^2) s and u = dx0 / s they give w = dx / s as

    (I + M) w + A' dlambda = u,    A w = 0

This is a symmetric system, so the way back solves the same one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array, numbers
from teorell.engine.columns import run_columns
from teorell.errors import InputError, suggestion
from teorell.lowering.columns import lower_columns
from teorell.model.expression import Expression, constant, derivative, leaves, symbol

__all__ = ["Implicit"]

BLOCK = 4096  # patients whose systems are solved at once


@dataclass(frozen=True, eq=False)
class Implicit:
    """How a projection that was found depends on what was projected.

    Quantities that were held come after the free ones.
    """

    names: tuple[str, ...]  # of all quantities
    free: tuple[str, ...]
    sides: Sequence[tuple[str, Any]]  # name of the constraint, Side
    values: Mapping[str, Array]  # name -> (patients,) after the projection
    multipliers: Array  # (sides, patients)
    metric: Sequence[Array]  # of each free quantity its scale, () or (patients,)
    found: NDArray[np.bool_]  # (patients,) was a feasible point found?

    def pull_back(self, cotangents: Mapping[str, Any]) -> dict[str, Array]:
        """name -> (patients,): the cotangents of the quantities before the projection.

        cotangents: those of the quantities after it, by name; others are 0.
        """
        patients, n = self.found.size, len(self.free)
        bars = np.zeros((len(self.names), patients))
        order = [*self.free, *(name for name in self.names if name not in self.free)]
        for name, given in cotangents.items():
            if name not in self.names:
                raise InputError(
                    f"unknown quantity {name!r} (no constraint reads it). "
                    f"{suggestion(name, self.names)}"
                )
            bars[order.index(name)] = numbers(given, f"the cotangent of {name!r}")
        slopes, bends = self._derivatives(order)
        scale = np.array([np.broadcast_to(each, (patients,)) for each in self.metric])
        equality = np.array([side.equality for _, side in self.sides])
        active = (equality[:, None] | (self.multipliers > 0.0)) & self.found
        result = np.array(bars)
        for start in range(0, patients, BLOCK):
            part = slice(start, start + BLOCK)
            result[:, part] = self._solve(
                bars=bars[:, part],
                slopes=slopes[:, :, part],
                bends=bends[:, :, part],
                scale=scale[:, part],
                active=active[:, part],
                n=n,
            )
        result[:, ~self.found] = 0.0
        return dict(zip(order, result, strict=True))

    def _solve(
        self,
        bars: Array,
        slopes: Array,
        bends: Array,
        scale: Array,
        active: NDArray[np.bool_],
        n: int,
    ) -> Array:
        """The cotangents (quantities, k) before the projection, of k patients.

        bars: (quantities, k) those after it. slopes: (sides, quantities, k), bends: (free,
        quantities, k), scale: (free, k), active: (sides, k); n quantities are free.
        """
        most = max(1, int(active.sum(axis=0).max(initial=0)))
        # (most, k), those that are active first
        chosen = np.argsort(~active, axis=0, kind="stable")[:most]
        used = np.take_along_axis(active, chosen, axis=0)
        rows = np.take_along_axis(slopes, chosen[:, None, :], axis=0) * used[:, None, :]
        a = rows[:, :n] * scale
        system = np.zeros((bars.shape[1], n + most, n + most))
        system[:, :n, :n] = np.eye(n) + (scale[:, None] * bends[:, :n] * scale).transpose(2, 0, 1)
        system[:, n:, :n] = a.transpose(2, 0, 1)
        system[:, :n, n:] = a.transpose(2, 1, 0)
        size = np.abs(a).max(axis=(0, 1), initial=1.0)[:, None]
        # Rows without a constraint, and 1e-12 of rows that others contain.
        system[:, range(n, n + most), range(n, n + most)] = -np.where(used.T, 1e-12 * size, 1.0)
        right = np.zeros((bars.shape[1], n + most, 1))
        right[:, :n, 0] = (bars[:n] * scale).T
        p = np.linalg.solve(system, right)[..., 0].T
        result = np.array(bars)
        result[:n] = p[:n] / scale
        # Of quantities that were held: through the constraints that read them.
        w = p[:n] * scale
        result[n:] -= np.einsum("jk,jqk->qk", w, bends[:, n:]) + np.einsum(
            "rk,rqk->qk", p[n:] * used, rows[:, n:]
        )
        return result

    def _derivatives(self, order: Sequence[str]) -> tuple[Array, Array]:
        """First and second derivatives of the residuals at the points that were found.

        dr/dx (sides, quantities, patients), and d^2 lambda' r / d free dx (free, quantities,
        patients).
        """
        symbols = {name: symbol("parameter", name) for name in order}
        exprs: list[Expression] = []
        first: list[tuple[int, int]] = []
        second: list[tuple[int, int, int]] = []
        for row, (_, side) in enumerate(self.sides):
            inside = {leaf.name for leaf in leaves(side.residual)}
            for q, name in enumerate(order):
                if name not in inside:
                    continue
                slope = derivative(side.residual, symbols[name])
                if slope is constant(0.0):
                    continue
                first.append((row, q))
                exprs.append(slope)
        for row, q in first:
            if q >= len(self.free):
                continue
            slope = exprs[first.index((row, q))]
            inside = {leaf.name for leaf in leaves(slope)}
            for k, name in enumerate(order):
                if name in inside:
                    bend = derivative(slope, symbols[name])
                    if bend is not constant(0.0):
                        second.append((row, q, k))
                        exprs.append(bend)
        patients = self.found.size
        columns = [np.where(self.found, self.values[name], 1.0) for name in order]
        numbers_of = run_columns(lower_columns(exprs, order), columns, patients)
        slopes = np.zeros((len(self.sides), len(order), patients))
        bends = np.zeros((len(self.free), len(order), patients))
        for (row, q), values in zip(first, numbers_of[: len(first)], strict=True):
            slopes[row, q] = values
        for (row, q, k), values in zip(second, numbers_of[len(first) :], strict=True):
            bends[q, k] += np.where(self.found, self.multipliers[row], 0.0) * values
        return slopes, bends
