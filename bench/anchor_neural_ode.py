"""A neural ODE in the style of Lu et al. (2021, iScience 24:102804): an encoder reads what has been
measured to a latent initial state, which a learned field moves on; doses are jumps of it.
"""

from __future__ import annotations

import torch
from anchor_events import Embedding, Events, Quantiles, taken
from torch import Tensor, nn
from torchdiffeq import odeint

LATENT = 16
STEPS = 3  # of Runge and Kutta's method between two events
HOURS = 10.0  # the unit of time of the field


class NeuralODE(nn.Module):
    """The encoder is a GRU that reads doses and samples backwards, as in theirs."""

    name = "neural ODE"

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.embed = Embedding(width)
        self.read = nn.GRU(width, width, batch_first=True)
        self.start = nn.Linear(width, LATENT)
        self.field = nn.Sequential(
            nn.Linear(LATENT, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(),
            nn.Linear(width, LATENT), nn.Tanh(),
        )  # fmt: skip
        self.jump = nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, LATENT))
        self.told = Quantiles(LATENT + width)

    def forward(self, given: Events) -> tuple[Tensor, Tensor]:
        """Quantiles (patients, queries, LEVELS) and means (patients, queries)."""
        state = self.start(self._encoded(given))
        dosed, asked = given.times["dose"], given.times["query"]
        times = torch.cat([dosed, asked], dim=1)
        order = times.argsort(dim=1, stable=True)
        times = taken(times, order)
        last = torch.where(times.isfinite(), times, 0.0).amax(dim=1, keepdim=True)
        hours = torch.diff(torch.minimum(times, last), dim=1) / HOURS
        # amount relative to the patient's mean dose, duration, route
        amount, duration, route = given.tokens.dose[..., -3:].unbind(dim=-1)
        jumps = self.jump(torch.stack([amount.exp(), duration, route], dim=-1))
        jumps = jumps * given.tokens.has_dose[..., None]
        jumps = torch.cat([jumps, jumps.new_zeros(*asked.shape, LATENT)], dim=1)
        jumps = taken(jumps, order)
        found = []
        for k in range(times.shape[1]):
            state = state + jumps[:, k]
            found.append(state)
            if k < hours.shape[1]:
                state = self._moved(state, hours[:, k, None])
        states = taken(torch.stack(found, dim=1), order.argsort(dim=1))
        beside = self.embed.of["query"](given.tokens.query)
        out: tuple[Tensor, Tensor] = self.told(
            torch.cat([states[:, dosed.shape[1] :], beside], dim=-1)
        )
        return out

    def _encoded(self, given: Events) -> Tensor:
        """What the GRU has after the earliest event."""
        x, times = self.embed(given, ("dose", "sample"))
        order = times.argsort(dim=1, stable=True)
        lengths = times.isfinite().sum(dim=1)
        # backwards: the last of those that are there comes first
        place = (lengths[:, None] - 1 - torch.arange(times.shape[1])) % times.shape[1]
        turned = taken(taken(x, order), place)
        packed = nn.utils.rnn.pack_padded_sequence(
            turned, lengths, batch_first=True, enforce_sorted=False
        )
        return self.read(packed)[1][0]

    def _moved(self, state: Tensor, hours: Tensor) -> Tensor:
        """The state after `hours`, (patients, 1), by fourth-order steps."""

        def field(_: Tensor, z: Tensor) -> Tensor:
            moved: Tensor = hours * self.field(z)
            return moved

        ends = torch.tensor([0.0, 1.0])
        found: Tensor = odeint(field, state, ends, method="rk4", options={"step_size": 1 / STEPS})
        return found[-1]
