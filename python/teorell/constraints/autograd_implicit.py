"""How a projection of tensors on a device depends on what was projected: the systems of
implicit.py, solved by torch where the numbers lie.

Those of all patients have one size: the row of a side that does not hold a patient is that of a
multiplier which is 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from teorell.constraints.kkt import DEPENDENT, SINGULAR, Derivatives
from teorell.constraints.on_device import device_for
from teorell.device.columns import run_columns
from teorell.device.place import as_given

__all__ = ["ImplicitThere"]

BLOCK = 2**28  # bytes of systems that are solved at once


@dataclass(frozen=True, eq=False)
class System:
    """(I + M) w + A' y = top, A w = bottom, of k patients; see kkt.py."""

    rows: Tensor  # (k, sides, quantities) slopes, 0 of sides that do not hold the patient
    bends: Tensor  # (k, free, quantities)
    scale: Tensor  # (k, free)
    active: Tensor  # (k, sides)

    def solve(self, top: Tensor, bottom: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(k, free) w and (k, sides) y; NaN for a patient whose system has no solution."""
        (k, n), m = self.scale.shape, self.rows.shape[1]
        a = self.rows[..., :n] * self.scale[:, None]
        dependent = torch.where(self.active, -DEPENDENT, -1.0)
        system = self.scale.new_zeros((k, n + m, n + m))
        bent = self.scale[..., None] * self.bends[..., :n] * self.scale[:, None]
        system[:, :n, :n] = torch.eye(n, dtype=a.dtype, device=a.device) + bent
        system[:, n:, :n], system[:, :n, n:] = a, a.mT
        system[:, n:, n:] = torch.diag_embed(dependent)
        given = torch.zeros_like(dependent) if bottom is None else bottom
        first = _solved(system, torch.cat([top, given], 1))
        # once more, for what DEPENDENT has added
        more = torch.where(self.active, -DEPENDENT * first[:, n:], 0.0)
        both = first + _solved(system, torch.cat([torch.zeros_like(top), more], 1))
        asked = torch.cat([top, given], 1).abs().amax(1)
        good = both[:, :n].abs().amax(1) <= SINGULAR * asked
        both = torch.where(good[:, None], both, torch.nan)
        return both[:, :n], both[:, n:]


def _solved(system: Tensor, right: Tensor) -> Tensor:
    found, info = torch.linalg.solve_ex(system, right)
    return torch.where((info == 0)[:, None], found, torch.nan)


@dataclass(frozen=True, eq=False)
class ImplicitThere:
    """A projection that was found, for its derivatives. Tensors are (patients,), on one device."""

    names: tuple[str, ...]  # of all quantities
    free: tuple[str, ...]
    sides: Sequence[Any]
    values: Mapping[str, Tensor]  # after the projection
    before: Mapping[str, Tensor]
    metric: Mapping[str, Tensor]  # the scale of each free quantity
    given: frozenset[str]  # whose scale was given; that of others is their own size
    multipliers: Tensor  # (sides, patients)
    found: Tensor  # was a feasible point found?

    @property
    def order(self) -> tuple[str, ...]:
        """All quantities, the free ones first."""
        return (*self.free, *(name for name in self.names if name not in self.free))

    def pull_back(
        self, cotangents: Mapping[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The cotangents of the quantities before, and of the scales given; see Implicit."""
        n = len(self.free)
        bars = self._side_by_side(cotangents)
        of_scale = torch.zeros_like(bars[:, :n])
        for part, system in self._systems():
            p, q = system.solve(bars[part, :n] * system.scale)
            of_scale[part] = 2.0 * self._shift(part, system) * p / system.scale
            through = torch.einsum("kj,kjh->kh", p * system.scale, system.bends[..., n:])
            through = through + torch.einsum("ks,ksh->kh", q, system.rows[..., n:])
            bars[part] = torch.cat([p / system.scale, bars[part, n:] - through], 1)
        for j, name in enumerate(self.free):
            if name not in self.given:
                bars[:, j] += self.before[name].sign() * of_scale[:, j]
        bars = torch.where(self.found[:, None], bars, 0.0)
        of_scale = torch.where(self.found[:, None], of_scale, 0.0)
        scales = {n: of_scale[:, j] for j, n in enumerate(self.free) if n in self.given}
        return dict(zip(self.order, bars.unbind(1), strict=True)), scales

    def push_forward(
        self, tangents: Mapping[str, Tensor], of_scales: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """How the quantities after it change; see Implicit."""
        n = len(self.free)
        result = self._side_by_side(tangents)
        of_scale = self._side_by_side(of_scales)[:, :n]
        for j, name in enumerate(self.free):
            if name not in self.given:
                of_scale[:, j] = self.before[name].sign() * result[:, j]
        for part, system in self._systems():
            shift = self._shift(part, system)
            u = (result[part, :n] + 2.0 * shift * of_scale[part]) / system.scale
            held = result[part, n:]
            top = system.scale * torch.einsum("kjh,kh->kj", system.bends[..., n:], held)
            bottom = torch.einsum("ksh,kh->ks", system.rows[..., n:], held)
            w, _ = system.solve(u - top, -bottom)
            result[part] = torch.cat([w * system.scale, held], 1)
        result = torch.where(self.found[:, None], result, 0.0)
        return dict(zip(self.order, result.unbind(1), strict=True))

    def _side_by_side(self, given: Mapping[str, Tensor]) -> Tensor:
        """(patients, quantities) in `order`; 0 where a name is missing or no point was found."""
        nothing = torch.zeros_like(self.found, dtype=torch.float64)
        columns = [given.get(name, nothing).expand(self.found.shape) for name in self.order]
        return torch.where(self.found[:, None], torch.stack(columns, 1), 0.0)

    def _shift(self, part: slice, system: System) -> Tensor:
        """(k, free): how far the quantities moved, in their scales."""
        moved = [self.values[name][part] - self.before[name][part] for name in self.free]
        return torch.stack(moved, 1) / system.scale

    def _systems(self) -> Iterator[tuple[slice, System]]:
        """Some patients at a time."""
        order, n = self.order, len(self.free)
        program = Derivatives.of([side.residual for side in self.sides], order, n)
        equality = torch.tensor([side.equality for side in self.sides], device=self.found.device)
        size = max(1, BLOCK // (8 * (n + len(self.sides)) ** 2))
        for start in range(0, len(self.found), size):
            part = slice(start, min(start + size, len(self.found)))
            found, of_sides = self.found[part], self.multipliers[:, part]
            active = (equality[:, None] | (of_sides > 0.0)) & found
            columns = {name: self.values[name][part] for name in order}
            slopes, bends = _at(program, columns, of_sides, found)
            scale = torch.stack([self.metric[name][part] for name in self.free])
            length = (slopes[:, :n] * scale).abs().amax(1)
            rows = slopes / torch.where(length > 0.0, length, 1.0)[:, None]
            rows = torch.where(active[:, None], rows, 0.0)
            yield part, System(rows.movedim(-1, 0), bends.movedim(-1, 0), scale.T, active.T)


def _at(
    program: Derivatives, columns: Mapping[str, Tensor], multipliers: Tensor, found: Tensor
) -> tuple[Tensor, Tensor]:
    """`Derivatives.at`, there; 0 for those who were not found."""
    k, q = len(found), len(columns)
    given, device = device_for({f"quantity {n!r}": x for n, x in columns.items()}, None)
    every = as_given(run_columns(program.program, given, k, device), given)
    every = torch.where(found, every, 0.0)
    slopes, bends = every.new_zeros((program.sides, q, k)), every.new_zeros((program.free, q, k))
    first = len(program.first)
    if program.first:
        at = torch.tensor(program.first, device=every.device)
        slopes[at[:, 0], at[:, 1]] = every[:first]
    if program.second:
        at = torch.tensor(program.second, device=every.device)
        of_these = multipliers[at[:, 0]]
        # a constraint that does not hold the patient may bend as it likes
        bent = torch.where(of_these != 0.0, of_these * every[first:], 0.0)
        bends.index_put_((at[:, 1], at[:, 2]), bent, accumulate=True)
    return slopes, bends
