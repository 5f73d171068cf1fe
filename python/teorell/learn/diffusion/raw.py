"""Raw columns as coordinates, each less its mean over its standard deviation, by sex.

Nothing of what adds up is known to them: the baseline that constraints are measured against.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from teorell.learn.diffusion.limits import clamped, height_limits, limit_of, weight_limits
from teorell.learn.diffusion.vectors import COLUMNS

__all__ = ["Raw"]

_TOLD = ("age", "height", "body_weight", "gfr")


class Raw(nn.Module):
    """(n, len(COLUMNS)) rows of people <-> (n, size) coordinates, float64."""

    size = len(COLUMNS) - 1
    mean: Tensor  # (2, size)
    sd: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(2, self.size, dtype=torch.float64))
        self.register_buffer("sd", torch.ones(2, self.size, dtype=torch.float64))

    def fit(self, rows: Tensor, odds: Tensor | None = None) -> None:
        """Take means and standard deviations from people; odds: (n,) what each counts for."""
        odds = torch.ones(len(rows), dtype=torch.float64) if odds is None else odds
        for sex in (0, 1):
            of = rows[:, 0] == sex
            some, part = rows[of, 1:], (odds[of] / odds[of].sum())[:, None]
            self.mean[sex] = (part * some).sum(0)
            self.sd[sex] = (part * (some - self.mean[sex]) ** 2).sum(0).sqrt()

    def encode(self, rows: Tensor) -> Tensor:
        """(n, size) of rows."""
        sex = rows[:, 0].long()
        return (rows[:, 1:] - self.mean[sex]) / self.sd[sex]

    def decode(self, z: Tensor, female: Tensor, *, most: float = math.inf) -> Tensor:
        """(n, len(COLUMNS)) of coordinates within `most`; female: (n,) 1 or 0."""
        sex = female.long()
        return torch.cat([female[:, None], z.clamp(-most, most) * self.sd[sex] + self.mean[sex]], 1)

    def held(self, z: Tensor, female: Tensor, limits: Tensor) -> Tensor:
        """The coordinates with age, height, weight and gfr moved into limits (n, told, 2)."""
        rows = self.decode(z, female)
        age, height, weight, gfr = (COLUMNS.index(name) for name in _TOLD)
        rows[:, age] = clamped(rows[:, age], limit_of(limits, "age"))
        rows[:, height] = clamped(rows[:, height], height_limits(limits))
        rows[:, weight] = clamped(rows[:, weight], weight_limits(limits, rows[:, height]))
        rows[:, gfr] = clamped(rows[:, gfr], limit_of(limits, "gfr"))
        return self.encode(rows)
