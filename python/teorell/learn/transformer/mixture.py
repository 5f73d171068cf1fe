"""Mixtures of Gaussians over standard log parameters: densities and draws, patient by patient.

What a posterior head gives, and every proposal that draws are taken from.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Mixture", "gaussian", "joined", "prior"]


class Mixture(NamedTuple):
    """A mixture for each patient; parameters that a structure lacks (mask 0) have no part in it.

    w = factor (z - mean) is standard normal in each component; factor is lower triangular with a
    positive diagonal, so that component is an autoregression of each parameter on those before.
    """

    log_shares: Tensor  # (patients, components), logs of shares that add up to 1
    mean: Tensor  # (patients, components, parameters)
    factor: Tensor  # (patients, components, parameters, parameters)
    mask: Tensor  # (patients, parameters)

    def log_density(self, z: Tensor) -> Tensor:
        """Natural log of the density at z: (draws, patients, parameters) to (draws, patients)."""
        mask = self.mask[:, None, :]
        whole = self.factor * mask[..., None] * mask[..., None, :]
        # one product for all components and draws of a patient: (components * parameters, draws)
        w = torch.bmm(whole.flatten(1, 2), z.permute(1, 2, 0))
        w = w - torch.einsum("nkij,nkj->nki", whole, self.mean).flatten(1, 2)[..., None]
        squares = (w**2).unflatten(1, self.mean.shape[1:]).sum(dim=2)
        diagonal = torch.diagonal(self.factor, dim1=-2, dim2=-1).log()
        constant = (diagonal * mask).sum(-1) - 0.5 * math.log(2 * math.pi) * mask.sum(-1)
        level = (self.log_shares + constant)[..., None] - 0.5 * squares
        return torch.logsumexp(level, dim=1).T

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """(count, patients, parameters); 0 where the mask is 0."""
        shares = self.log_shares.exp()
        which = torch.multinomial(shares, count, replacement=True, generator=generator).T
        mask = self.mask[:, None, :]
        whole = self.factor * mask[..., None] * mask[..., None, :]
        whole = whole + torch.diag_embed((1 - mask).expand_as(self.mean))
        n, _, size = self.mean.shape
        normal = torch.randn(count, n, size, generator=generator, dtype=self.mean.dtype)
        index = which[..., None].expand(-1, -1, size)
        inverse = torch.linalg.inv(whole)
        each = torch.einsum("nkij,snj->snki", inverse, normal) + self.mean
        found = torch.take_along_dim(each, index[:, :, None, :], dim=2)[:, :, 0, :]
        return found * self.mask

    def rows(self, which: Tensor) -> Mixture:
        """Those of some patients."""
        return Mixture(*(x[which] for x in self))

    def only(self, places: NDArray[np.int64]) -> Mixture:
        """The same density over these parameters alone; all others must have mask 0."""
        at = torch.from_numpy(places)
        factor = self.factor[..., at, :][..., at]
        return Mixture(self.log_shares, self.mean[..., at], factor, self.mask[:, at])

    def double(self) -> Mixture:
        """In float64, without gradients."""
        return Mixture(*(x.detach().double() for x in self))


def prior(mask: Tensor) -> Mixture:
    """The standard normal of all parameters that the mask (patients, parameters) has."""
    n, size = mask.shape
    eye = torch.eye(size, dtype=mask.dtype).expand(n, 1, size, size)
    return Mixture(mask.new_zeros(n, 1), mask.new_zeros(n, 1, size), eye, mask)


def gaussian(mean: Tensor, covariance: Tensor, mask: Tensor, scales: dict[float, float]) -> Mixture:
    """Gaussians of one centre and several widths: scales are width -> share.

    mean: (patients, parameters); covariance: (patients, parameters, parameters), of which rows and
    columns count where the mask is 1.
    """
    pair = mask[:, :, None] * mask[:, None, :]
    whole = covariance * pair + torch.diag_embed(1 - mask)
    lower = torch.linalg.cholesky(whole)
    eye = torch.eye(mask.shape[1], dtype=mask.dtype).expand_as(lower)
    factor = torch.linalg.solve_triangular(lower, eye, upper=False)
    shares = torch.tensor(list(scales.values()), dtype=mask.dtype)
    return Mixture(
        (shares / shares.sum()).log().expand(len(mask), -1),
        (mean * mask)[:, None, :].expand(-1, len(scales), -1),
        torch.stack([factor / width for width in scales], dim=1),
        mask,
    )


def joined(parts: list[tuple[float, Mixture]]) -> Mixture:
    """A mixture of mixtures, each with its share; the mask is that of the first."""
    return Mixture(
        torch.cat([part.log_shares + math.log(share) for share, part in parts], dim=1),
        torch.cat([part.mean for _, part in parts], dim=1),
        torch.cat([part.factor for _, part in parts], dim=1),
        parts[0][1].mask,
    )
