"""Organs along log body mass: a neural ODE on the graph of blood flows.

Each organ has two numbers, what its volume and flow (log10) are beyond the hierarchy of power laws.
Their slope along log10 mass, that is what exponents are beyond the hierarchy's, is a network of the
organ, of the organs that it exchanges blood with, of the mass and of the clade.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["HIGHEST", "LOWEST", "Trajectory"]

LOWEST, HIGHEST = -2.0, 3.7  # log10 kg: 10 g, 5 t
STEP = 0.25  # decades: one step of the Runge-Kutta method of order 4
UNIT = 0.1  # of the network's outputs, in exponents


class Trajectory(nn.Module):
    """`models` networks side by side; at first each is 0 everywhere.

    adjacency: (organs, organs), rows that sum to 1; clades: how many there are.
    """

    adjacency: Tensor

    def __init__(
        self, adjacency: Tensor, models: int, clades: int, hidden: int, place: int
    ) -> None:
        super().__init__()
        organs = adjacency.shape[0]
        self.register_buffer("adjacency", adjacency.float())
        self.start = nn.Parameter(torch.zeros(models, clades, organs, 2))
        self.place = nn.Parameter(torch.randn(models, 1, organs, place))  # who an organ is
        inputs = 2 + place + 1 + clades
        self.into = nn.Parameter(torch.randn(models, 1, inputs, hidden) / math.sqrt(inputs))
        self.bias = nn.Parameter(torch.randn(models, 1, 1, hidden))
        self.along = nn.Parameter(torch.randn(models, 1, hidden, hidden) / math.sqrt(hidden))
        self.out = nn.Parameter(torch.zeros(models, 1, hidden, 2))
        self.clades = clades
        self.bend = nn.Tanh()

    def slope(self, mass: Tensor, state: Tensor) -> Tensor:
        """d state / d mass, (models, clades, organs, 2); mass: () log10 kg."""
        models, clades, organs, _ = state.shape
        shape = (models, clades, organs)
        middle = (mass - 0.5 * (LOWEST + HIGHEST)).expand(*shape, 1)
        clade = torch.eye(clades, device=state.device)[None, :, None].expand(*shape, -1)
        seen = torch.cat([state, self.place.expand(*shape, -1), middle, clade], dim=-1)
        own = self.bend(seen @ self.into + self.bias)
        among = self.adjacency @ own
        both = self.bend(own + among @ self.along)
        found: Tensor = UNIT * (both @ self.out)
        return found

    def forward(self, mass: Tensor) -> Tensor:
        """States at rising masses (points,), log10 kg: (points, models, clades, organs, 2)."""
        from torchdiffeq import odeint

        start = mass.new_full((1,), LOWEST)
        later = mass[mass > LOWEST]
        found: Tensor = odeint(
            self.slope,
            UNIT * self.start,
            torch.cat([start, later]),
            method="rk4",
            options={"step_size": STEP},
        )
        return found if later.numel() < mass.numel() else found[1:]
