"""Rank-normal scores: each number by how many of its sex are below it, as a normal deviate.

Between knots, which are quantiles of training people, both ways are straight lines; so they invert
each other to rounding, and are differentiable.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = ["MOST", "Scores"]

MOST = 4.5  # where the least and the greatest of the training people are
_INNER = np.linspace(-4.4, 4.4, 221)
_FAR = 100.0  # beyond MOST: there a line goes on by the mean slope of all
_NODES = np.concatenate([[-MOST - _FAR, -MOST], _INNER, [MOST, MOST + _FAR]])


class Scores(nn.Module):
    """Of `size` numbers of a person, float64, by sex; buffers, so that weights hold the knots.

    Beyond the training people's least and greatest a line goes on, by the mean slope of all.
    """

    nodes: Tensor  # (knots,)
    knots: Tensor  # (2, size, knots)

    def __init__(self, size: int) -> None:
        super().__init__()
        nodes = torch.from_numpy(_NODES)
        self.register_buffer("nodes", nodes)
        self.register_buffer("knots", nodes.expand(2, size, -1).clone())

    def fit(self, values: Tensor, female: Tensor, odds: Tensor | None = None) -> None:
        """Take the knots from values (n, size) of people, female (n,) 1 or 0, odds (n,) what each
        counts for, None for 1.
        """
        from scipy.special import ndtr

        inner = ndtr(_INNER)
        odds = torch.ones_like(female) if odds is None else odds
        for sex in (0, 1):
            some, counts = values[female == sex], odds[female == sex]
            ends = some.min(0).values, some.max(0).values
            found = [_quantiles(each, counts, inner) for each in some.unbind(1)]
            knots = torch.cat([ends[0][:, None], torch.stack(found), ends[1][:, None]], 1)
            # equal numbers of many people: knots are kept apart, by what no figure shows
            whole = (knots[:, -1:] - knots[:, :1]).clamp(min=1e-12)
            steps = torch.maximum(knots.diff(dim=1), 1e-7 * whole)
            knots = torch.cat([knots[:, :1], knots[:, :1] + steps.cumsum(1)], 1)
            far = whole * (_FAR / (2 * MOST))
            self.knots[sex] = torch.cat([knots[:, :1] - far, knots, knots[:, -1:] + far], 1)

    def forward(self, values: Tensor, female: Tensor, start: int = 0) -> Tensor:
        """Scores (n, k) of the numbers start to start + k - 1 of people."""
        return self._both(values, female, start, to_scores=True)

    def inverse(self, scores: Tensor, female: Tensor, start: int = 0) -> Tensor:
        """The numbers (n, k) that have these scores."""
        return self._both(scores, female, start, to_scores=False)

    def _both(self, given: Tensor, female: Tensor, start: int, to_scores: bool) -> Tensor:
        found = torch.empty_like(given)
        for sex in (0, 1):
            rows = torch.nonzero(female == sex)[:, 0]
            knots = self.knots[sex, start : start + given.shape[1]]
            nodes = self.nodes.expand_as(knots)
            xs, ys = (knots, nodes) if to_scores else (nodes, knots)
            x = given[rows].T.contiguous()
            right = torch.searchsorted(xs.contiguous(), x.detach()).clamp(1, xs.shape[1] - 1)
            x0, x1 = xs.gather(1, right - 1), xs.gather(1, right)
            y0, y1 = ys.gather(1, right - 1), ys.gather(1, right)
            line = y0 + (x - x0) * ((y1 - y0) / (x1 - x0))
            found = found.index_copy(0, rows, line.T)
        return found


def _quantiles(values: Tensor, odds: Tensor, shares: NDArray[np.float64]) -> Tensor:
    """Quantiles of values (n,) with weights: lines between them, each in the middle of its weight,
    the first and the last at the ends, as without weights.
    """
    order = torch.argsort(values)
    weight = odds[order]
    place = weight.cumsum(0) - (weight + weight[0]) / 2
    place = place / place[-1]
    return torch.from_numpy(np.interp(shares, place.numpy(), values[order].numpy()))
