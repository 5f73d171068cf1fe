"""How a projection depends on what was projected, and on the metric in which it is the nearest.

The conditions of Karush, Kuhn and Tucker are differentiated. With z = (x - x0) / s,
A = (dr/dx) s of the active constraints and lambda their multipliers,

    z + A' lambda = 0,    r = 0

hold. With M = s (d^2 lambda' r / dx^2) s and u = dx0 / s + 2 z ds / s they give w = dx / s as

    (I + M) w + A' dlambda = u,    A w = 0

This is a symmetric system (kkt.py), so the way back solves the same one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array, agree, numbers
from teorell.constraints.kkt import Derivatives, System
from teorell.errors import InputError, suggestion

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
    before: Mapping[str, Array]  # name -> (patients,) of the free ones
    multipliers: Array  # (sides, patients)
    metric: Mapping[str, Array]  # name -> (patients,) the scale of each free quantity
    given: frozenset[str]  # whose scale was given; that of others is their own size
    found: NDArray[np.bool_]  # (patients,) was a feasible point found?
    unread: tuple[str, ...] = ()  # of what else was given, and stays as it is

    @property
    def order(self) -> tuple[str, ...]:
        """All quantities, the free ones first."""
        return (*self.free, *(name for name in self.names if name not in self.free))

    def pull_back(self, cotangents: Mapping[str, Any]) -> tuple[dict[str, Array], dict[str, Array]]:
        """name -> (patients,): the cotangents of the quantities before, and of the scales given.

        cotangents: those of the quantities after it, by name; others are 0. Those of patients who
        were not found are not read, and give 0.
        """
        n, order = len(self.free), self.order
        what = "the cotangent of"
        stays = {name: cotangents[name] for name in self.unread if name in cotangents}
        of_unread = {name: self._column(bar, f"{what} {name!r}") for name, bar in stays.items()}
        bars = self._columns({n: b for n, b in cotangents.items() if n not in stays}, what)
        of_scale = np.zeros((n, self.found.size))
        for part, system in self._systems():
            p, q = system.solve(bars[:n, part] * system.scale)
            shift = (self._after(part) - self._before(part)) / system.scale
            of_scale[:, part] = 2.0 * shift * p / system.scale
            held = bars[n:, part] - system.through_held(p, q)
            bars[:, part] = np.concatenate([p / system.scale, held])
        for j, name in enumerate(self.free):
            if name not in self.given:  # the scale is |x0|, or 1 where that is 0
                bars[j] += np.sign(self.before[name]) * of_scale[j]
        bars[:, ~self.found] = 0.0
        scales = {n: row for n, row in zip(self.free, of_scale, strict=True) if n in self.given}
        return dict(zip(order, bars, strict=True)) | of_unread, scales

    def push_forward(
        self, tangents: Mapping[str, Any], of_scales: Mapping[str, Any]
    ) -> dict[str, Array]:
        """name -> (patients,): how the quantities after it change, 0 where none was found.

        tangents: how those before change, by name; of_scales: how the scales given do. Others do
        not.
        """
        n, order = len(self.free), self.order
        result = self._columns(tangents, "the tangent of")
        of_scale = self._columns(of_scales, "the tangent of the scale of")[:n]
        for j, name in enumerate(self.free):
            if name not in self.given:
                of_scale[j] = np.sign(self.before[name]) * result[j]
        for part, system in self._systems():
            shift = (self._after(part) - self._before(part)) / system.scale
            u = (result[:n, part] + 2.0 * shift * of_scale[:, part]) / system.scale
            top, bottom = system.of_held(result[n:, part])
            w, _ = system.solve(u - top, -bottom)
            result[:n, part] = w * system.scale
        result[:, ~self.found] = 0.0
        return dict(zip(order, result, strict=True))

    def _columns(self, given: Mapping[str, Any], what: str) -> Array:
        """(quantities, patients) in `order`, 0 where a name is missing or no point was found."""
        order = self.order
        result = np.zeros((len(order), self.found.size))
        for name, values in given.items():
            if name not in self.names:
                raise InputError(
                    f"unknown quantity {name!r} (no constraint reads it). "
                    f"{suggestion(name, self.names)}"
                )
            result[order.index(name)] = self._column(values, f"{what} {name!r}")
        return result

    def _column(self, values: Any, what: str) -> Array:
        """(patients,) 0 where no point was found."""
        column = np.asarray(values) if isinstance(values, list | tuple) else values
        if isinstance(column, np.ndarray) and column.shape == self.found.shape:
            column = np.where(self.found, column, np.zeros_like(column))
        column = numbers(column, what)
        agree([("patients", self.found.size), (what, column.size)] if column.ndim else [])
        return np.where(self.found, column, 0.0)

    def _after(self, part: NDArray[np.int64]) -> Array:
        return np.array([self.values[name][part] for name in self.free])

    def _before(self, part: NDArray[np.int64]) -> Array:
        return np.array([self.before[name][part] for name in self.free])

    def _systems(self) -> Iterator[tuple[NDArray[np.int64], System]]:
        """Patients with as many active constraints as each other, and their systems.

        So a patient's numbers do not depend on who else is in the batch.
        """
        equality = np.array([side.equality for _, side in self.sides])
        active = (equality[:, None] | (self.multipliers > 0.0)) & self.found
        residuals = [side.residual for _, side in self.sides]
        program = Derivatives.of(residuals, self.order, len(self.free))
        counts = np.where(self.found, active.sum(axis=0), -1)
        for count in np.unique(counts[self.found]):
            alike = np.flatnonzero(counts == count)
            for start in range(0, alike.size, BLOCK):
                part = alike[start : start + BLOCK]
                columns = [self.values[name][part] for name in self.order]
                slopes, bends = program.at(columns, self.multipliers[:, part])
                # (count, k), those that are active
                chosen = np.argsort(~active[:, part], axis=0, kind="stable")[: int(count)]
                rows = np.take_along_axis(slopes, chosen[:, None, :], axis=0)
                scale = np.array([self.metric[name][part] for name in self.free])
                yield part, System.of(rows, bends, scale)
