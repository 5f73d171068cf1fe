"""What both anchors are: quantiles at queries from the events of a patient, in order of time."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from teorell.learn.transformer.network import LEVELS
from teorell.learn.transformer.studies import Studies
from teorell.learn.transformer.tokens import FEATURES, Tokens, tokens
from torch import Tensor, nn
from torch.nn import functional

KINDS = ("dose", "sample", "query")


class Events(NamedTuple):
    """Tokens as the transformer has them, and their times, inf for none: (patients, tokens)."""

    tokens: Tokens
    times: dict[str, Tensor]


def events(given: Studies) -> Events:
    """Of patients without companions: the anchors know none."""
    found = tokens(given, np.full((len(given.weight), 1), -1))
    times = (given.doses.time, given.sample_time, given.query_time)
    whole = {
        kind: torch.from_numpy(np.nan_to_num(time, nan=np.inf)).float()
        for kind, time in zip(KINDS, times, strict=True)
    }
    return Events(found, whole)


class Embedding(nn.Module):
    """Each event as a vector of one width; covariates are added to all."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.of = nn.ModuleDict({kind: nn.Linear(FEATURES[kind], width) for kind in KINDS})
        self.covariates = nn.Linear(FEATURES["covariates"], width)

    def forward(self, given: Events, kinds: tuple[str, ...]) -> tuple[Tensor, Tensor]:
        """Vectors (patients, events, width) of these kinds side by side, and their times."""
        parts = [self.of[kind](getattr(given.tokens, kind)) for kind in kinds]
        found = torch.cat(parts, dim=1) + self.covariates(given.tokens.covariates)[:, None]
        return found, torch.cat([given.times[kind] for kind in kinds], dim=1)


class Quantiles(nn.Module):
    """A vector to quantiles that cannot cross, and a mean."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 64), nn.GELU(), nn.Linear(64, len(LEVELS) + 1)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        out: Any = self.out(x)
        half = len(LEVELS) // 2
        middle, steps = out[..., half : half + 1], functional.softplus(out)
        up = middle + steps[..., half + 1 : -1].cumsum(dim=-1)
        down = middle - steps[..., :half].flip(-1).cumsum(dim=-1).flip(-1)
        return torch.cat([down, middle, up], dim=-1), middle[..., 0] + out[..., -1]


def taken(x: Tensor, order: Tensor) -> Tensor:
    """Events (patients, events, ...) in this order."""
    return torch.take_along_dim(x, order.view(*order.shape, *[1] * (x.dim() - 2)), dim=1)
