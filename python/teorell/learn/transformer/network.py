"""The network: one encoder of patients, a direct head at any time, a posterior head.

Patients are encoded one by one, each to tokens and a summary. A patient then reads the summaries of
its companions, whose order has no effect. Queries read the patient's tokens; the posterior head
reads its summary, and which decoder is meant. No absolute position: times are features.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from teorell.learn.transformer.mixture import Mixture
from teorell.learn.transformer.priors import PARAMETERS
from teorell.learn.transformer.structures import STRUCTURES
from teorell.learn.transformer.teacher import ORGANS
from teorell.learn.transformer.tokens import APART, FEATURES, Tokens

__all__ = ["LEVELS", "Forecaster", "pinball"]

LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)  # of the direct head's quantiles
SIZE = len(PARAMETERS)


class Block(nn.Module):
    """Attention of some tokens to others, then a small network; pre-norm (Xiong 2020).

    apart: features of each pair of tokens that keys and values depend on too (as the relative
    positions of Shaw 2018), 0 for none.
    """

    def __init__(self, width: int, heads: int, apart: int = 0) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.ask, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.apart = nn.ModuleList(
            [nn.Linear(apart, width, bias=False) for _ in range(2 if apart else 0)]
        )
        self.mix = nn.Linear(width, width)
        self.inner = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(
        self, x: Tensor, others: Tensor, there: Tensor, apart: Tensor | None = None
    ) -> Tensor:
        """x: (rows, n, width) reads others: (rows, m, width) where `there` (rows, m) is True.

        apart: (rows, n, m, features).
        """
        asking = self.before(x)
        of = asking if others is x else self.before(others)
        ask = self.ask(asking) * (x.shape[-1] // self.heads) ** -0.5
        ask, key, value = (self._split(part) for part in (ask, self.key(of), self.value(of)))
        if apart is None:
            read = self._read(ask, key, value, there)
        else:
            read = self._read_apart(ask, key, value, there, apart)
        x = x + self.mix(read)
        found: Tensor = x + self.inner(self.between(x))
        return found

    def _read(self, ask: Tensor, key: Tensor, value: Tensor, there: Tensor) -> Tensor:
        """What is read, (rows, n, width). For so few tokens quicker than torch's own attention."""
        score = ask.transpose(1, 2) @ key.permute(0, 2, 3, 1)
        score = score.masked_fill(~there[:, None, None, :], -torch.inf)
        return (score.softmax(dim=-1) @ value.transpose(1, 2)).transpose(1, 2).flatten(2)

    def _read_apart(
        self, ask: Tensor, key: Tensor, value: Tensor, there: Tensor, apart: Tensor
    ) -> Tensor:
        """The same with keys and values of each pair, (rows, n, m, heads, width / heads)."""
        near, nearer = (self._split(part(apart)) for part in self.apart)
        score = (ask[:, :, None] * (near + key[:, None])).sum(dim=-1)
        share = score.masked_fill(~there[:, None, :, None], -torch.inf).softmax(dim=2)
        found: Tensor = (share[..., None] * (nearer + value[:, None])).sum(dim=2).flatten(2)
        return found

    def _split(self, x: Tensor) -> Tensor:
        """(..., width) to (..., heads, width / heads)."""
        found: Tensor = x.unflatten(-1, (self.heads, -1))
        return found


class Forecaster(nn.Module):
    """Tokens to quantiles of log concentrations, and to a posterior of standard log parameters.

    width: of a token; heads: of attention; layers: of the encoder, and one more that reads
    companions; components: of the posterior head's mixture.
    """

    def __init__(self, width: int, heads: int, layers: int, components: int) -> None:
        super().__init__()
        self.components = components
        self.embed = nn.ModuleDict(
            {name: nn.Linear(length, width) for name, length in FEATURES.items()}
        )
        self.kind = nn.Parameter(0.02 * torch.randn(3, width))  # doses, samples, companions
        self.encoder = nn.ModuleList([Block(width, heads) for _ in range(layers)])
        self.study = Block(width, heads)
        self.first, self.second = Block(width, heads, APART), Block(width, heads)
        self.direct = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(),
            nn.Linear(width, len(LEVELS) + 1),
        )  # fmt: skip
        self.organs = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, len(ORGANS)))
        self.decoder = nn.Embedding(len(STRUCTURES), width)
        per = 1 + SIZE + SIZE * (SIZE + 1) // 2
        self.posterior = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(),
            nn.Linear(2 * width, components * per),
        )  # fmt: skip
        last: Any = self.posterior[-1]
        nn.init.normal_(last.weight, std=0.01)  # components must differ, a little
        nn.init.zeros_(last.bias)

    def forward(self, given: Tokens) -> tuple[Tensor, Tensor, Mixture]:
        """Quantiles (patients, queries, LEVELS), rising; means (patients, queries); posterior."""
        x, there = self.encode(given)
        query = self.read(x, there, given)
        return *self.direct_of(query), self.posterior_of(x[:, 0], given)

    def read(self, x: Tensor, there: Tensor, given: Tokens) -> Tensor:
        """Queries that have read the patient's tokens, (patients, queries, width)."""
        query = self.embed["query"](given.query)
        found: Tensor = self.second(self.first(query, x, there, given.apart), x, there)
        return found

    def direct_of(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """The direct head: quantiles and means."""
        out = self.direct(query)
        quantiles = _rising(out[..., :-1])
        return quantiles, quantiles[..., len(LEVELS) // 2] + out[..., -1]

    def encode(self, given: Tokens) -> tuple[Tensor, Tensor]:
        """Tokens of each patient, the summary first; and where there are any."""
        x = torch.cat(
            [
                self.embed["covariates"](given.covariates)[:, None],
                self.embed["dose"](given.dose) + self.kind[0],
                self.embed["sample"](given.sample) + self.kind[1],
            ],
            dim=1,
        )
        one = torch.ones_like(given.has_dose[:, :1])
        there = torch.cat([one, given.has_dose, given.has_sample], dim=1)
        for block in self.encoder:
            x = block(x, x, there)
        others = x[:, 0][given.context.clamp_min(0)] + self.kind[2]
        beside = torch.cat([x, others], dim=1)
        there_too = torch.cat([there, given.context >= 0], dim=1)
        return self.study(x, beside, there_too), there

    def posterior_of(self, summary: Tensor, given: Tokens) -> Mixture:
        """The posterior head: a mixture of Gaussians, for each patient's decoder."""
        out = self.posterior(summary + self.decoder(given.decoder))
        out = out.unflatten(-1, (self.components, -1))
        share, mean, lower = out.split([1, SIZE, SIZE * (SIZE + 1) // 2], dim=-1)
        at = torch.tril_indices(SIZE, SIZE)
        square = out.new_zeros(*out.shape[:2], SIZE, SIZE)
        square[..., at[0], at[1]] = lower
        diagonal = torch.diagonal(square, dim1=-2, dim2=-1)
        factor = torch.tril(square, -1) + torch.diag_embed(diagonal.clamp(-3.0, 4.0).exp())
        return Mixture(torch.log_softmax(share[..., 0], dim=-1), mean, factor, given.mask)


def pinball(quantiles: Tensor, target: Tensor) -> Tensor:
    """The mean quantile loss over LEVELS, (patients, queries); half of it estimates the CRPS / 2.

    quantiles: (patients, queries, LEVELS); target: (patients, queries).
    """
    levels = quantiles.new_tensor(LEVELS)
    apart = target[..., None] - quantiles
    return torch.maximum(levels * apart, (levels - 1) * apart).mean(dim=-1)


def _rising(out: Tensor) -> Tensor:
    """Quantiles that cannot cross: the middle one, and positive steps up and down from it."""
    half = len(LEVELS) // 2
    steps = functional.softplus(out)
    middle = out[..., half : half + 1]
    up = middle + steps[..., half + 1 :].cumsum(dim=-1)
    down = middle - steps[..., :half].flip(-1).cumsum(dim=-1).flip(-1)
    return torch.cat([down, middle, up], dim=-1)
