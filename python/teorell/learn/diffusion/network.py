"""The denoiser: from coordinates with noise, and what is told of a person, to those without.

Preconditioned as in Karras et al. (2022), arXiv 2206.00364, table 1, for data of variance 1, which
the coordinates have.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from teorell.learn.diffusion.conditions import Shares
from teorell.learn.diffusion.limits import TOLD
from teorell.learn.diffusion.ratios import Ratios
from teorell.learn.diffusion.raw import Raw

__all__ = ["COORDINATES", "Denoiser"]

COORDINATES: dict[str, type[Ratios] | type[Raw]] = {"ratios": Ratios, "raw": Raw}
_WAVES = 16  # pairs of sine and cosine that tell the noise
_TOLD = 3 * len(TOLD)  # two limits, and whether the number is known


class Denoiser(nn.Module):
    """Residual blocks that noise, sex and intervals scale and shift; and a guess of the sex.

    Coordinates and shares of the training people are buffers, so that weights are enough to
    generate; `fitted` tells whether there are any.
    """

    waves: Tensor
    fitted: Tensor

    def __init__(self, coordinates: str, width: int, depth: int, edge: float = 3.0) -> None:
        super().__init__()
        self.edge = edge  # the normal deviate that stands for the ends of all shares
        self.coordinates = COORDINATES[coordinates]()
        self.shares = Shares()
        self.register_buffer("fitted", torch.zeros((), dtype=torch.bool))
        self.register_buffer("waves", torch.exp(torch.linspace(-2.0, 2.0, _WAVES)))
        size = self.coordinates.size
        self.entry = nn.Linear(size, width)
        self.told = nn.Sequential(
            nn.Linear(2 * _WAVES + 1 + _TOLD, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )
        self.blocks = nn.ModuleList(_Block(width) for _ in range(depth))
        self.exit = nn.Linear(width, size)
        nn.init.zeros_(self.exit.weight)
        nn.init.zeros_(self.exit.bias)
        self.of_sex = nn.Sequential(
            nn.Linear(_TOLD, width // 2), nn.SiLU(), nn.Linear(width // 2, width // 2), nn.SiLU(),
            nn.Linear(width // 2, 1),
        )  # fmt: skip

    def forward(self, noisy: Tensor, noise: Tensor, female: Tensor, intervals: Tensor) -> Tensor:
        """(n, size) coordinates without noise.

        noisy: (n, size); noise: (n,) its standard deviation; female: (n,) 1 or 0; intervals:
        (n, 5, 2) of shares. float32.
        """
        noise = noise[:, None]
        whole = (noise**2 + 1).sqrt()
        phase = noise.log() / 4 * self.waves
        told = [phase.sin(), phase.cos(), 2 * female[:, None] - 1, self._as_normal(intervals)]
        e = self.told(torch.cat(told, 1))
        h = self.entry(noisy / whole) + e
        for block in self.blocks:
            h = block(h, e)
        result: Tensor = noisy / whole**2 + noise / whole * self.exit(h)
        return result

    def sex(self, intervals: Tensor) -> Tensor:
        """(n,) the logarithm of the odds that a person of these intervals is a woman."""
        found: Tensor = self.of_sex(self._as_normal(intervals))[:, 0]
        return found

    def _as_normal(self, intervals: Tensor) -> Tensor:
        """(n, 15): both ends as normal deviates over `edge`, and whether they are one."""
        most = math.erf(self.edge / math.sqrt(2.0))
        x = torch.erfinv((2 * intervals - 1).clamp(-most, most)) * (math.sqrt(2.0) / self.edge)
        known = (intervals[..., 0] == intervals[..., 1]).to(x.dtype)
        return torch.cat([x.flatten(1), known], 1)


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.moved = nn.Linear(width, 2 * width)
        self.inner, self.outer = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        scale, shift = self.moved(e).chunk(2, 1)
        x = self.norm(h) * (1 + scale) + shift
        result: Tensor = h + self.outer(nn.functional.silu(self.inner(x)))
        return result
