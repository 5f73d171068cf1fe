"""Draws of a proposal, weighed by what they should have been drawn by: importance sampling.

A proposal may be wrong; weighed draws are right in the limit, and the effective sample size says
how far away that limit is. Where it is low, more draws follow from a Gaussian about the draws so
far (adaptive multiple importance sampling, Cornuet 2012, Scand J Stat 39:798), and all draws are
weighed by the mixture of all proposals they came from (Owen 2000, J Am Stat Assoc 95:135).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.learn.transformer.mixture import Mixture, gaussian

__all__ = ["DEFENCE", "Target", "Weighed", "weigh"]

DEFENCE = 0.1  # share of the prior in a first proposal: no weight exceeds likelihood / DEFENCE
WIDTHS = {1.0: 0.6, 2.5: 0.4}  # of later proposals: width -> share
Target = Callable[[Array, NDArray[np.int64]], tuple[Array, Array]]
"""Draws (draws, rows, parameters) of these patients -> log of likelihood times prior (draws,
rows), and what is to be averaged (draws, rows, values)."""


class Weighed(NamedTuple):
    """Draws with weights that add up to 1 for each patient; draws never taken have weight 0."""

    draws: Array  # (draws, patients, parameters), standard
    weights: Array  # (draws, patients)
    values: Array  # (draws, patients, values)
    effective: Array  # (patients,), effective sample size, 1 / sum of squared weights
    taken: NDArray[np.int64]  # (patients,), draws

    def mean(self) -> Array:
        """(patients, values)."""
        found: Array = np.einsum("sn,snv->nv", self.weights, self.values)
        return found

    def error(self) -> Array:
        """The Monte Carlo standard error of `mean`, (patients, values), by the delta method."""
        apart = self.values - self.mean()
        found: Array = np.sqrt(np.einsum("sn,snv->nv", self.weights**2, apart**2))
        return found

    def quantiles(self, levels: tuple[float, ...]) -> Array:
        """(patients, values, levels) of the weighted draws, by inverting their distribution."""
        order = np.argsort(self.values, axis=0)
        values = np.take_along_axis(self.values, order, axis=0)
        weights = np.broadcast_to(self.weights[..., None], self.values.shape)
        share = np.cumsum(np.take_along_axis(weights, order, axis=0), axis=0)
        share /= share[-1]
        last = len(values) - 1
        at = [np.minimum((share < level).sum(axis=0), last)[None] for level in levels]
        return np.stack([np.take_along_axis(values, k, axis=0)[0] for k in at], axis=-1)


def weigh(
    proposal: Mixture,
    target: Target,
    *,
    draws: int,
    least: float,
    rounds: int,
    seed: int = 0,
) -> Weighed:
    """Draw `draws` of each patient, weigh them; up to `rounds` times more where it is needed.

    least: the effective sample size from which a patient needs no more. A draw whose target is
    not finite has weight 0. A patient of whom no draw has weight gets effective size 0 and NaN.
    """
    generator = torch.Generator().manual_seed(seed)
    patients, _, size = proposal.mean.shape
    rows = np.arange(patients)
    proposals = [proposal.double()]
    z, score, values = _round(proposals[0], target, rows, draws, generator)
    most = draws * (rounds + 1)
    found = Weighed(
        np.zeros((most, patients, size)),
        np.zeros((most, patients)),
        np.zeros((most, patients, values.shape[-1])),
        np.zeros(patients),
        np.zeros(patients, dtype=np.int64),
    )
    for k in range(rounds + 1):
        weights, effective = _weights(score, proposals, z)
        done = (effective >= least) | (k == rounds)
        taken = len(z)
        for to, of in zip(found[:3], (z, weights, values), strict=True):
            to[:taken, rows[done]] = of[:, done]
        found.effective[rows[done]], found.taken[rows[done]] = effective[done], taken
        if done.all():
            break
        left = torch.from_numpy(~done)
        rows, z, score, values = rows[~done], z[:, ~done], score[:, ~done], values[:, ~done]
        proposals = [each.rows(left) for each in proposals]
        proposals.append(_about(z, score, proposals))
        more = _round(proposals[-1], target, rows, draws, generator)
        z, score, values = (np.concatenate(x) for x in zip((z, score, values), more, strict=True))
    return found


def _round(
    proposal: Mixture, target: Target, rows: NDArray[np.int64], draws: int, gen: torch.Generator
) -> tuple[Array, Array, Array]:
    """Draws, their log targets (-inf where there is none), and values (0 there)."""
    z = proposal.draw(draws, gen).numpy()
    score, values = target(z, rows)
    bad = ~(np.isfinite(score) & np.isfinite(values).all(axis=-1))
    return z, np.where(bad, -np.inf, score), np.where(bad[..., None], 0.0, values)


def _log_proposed(proposals: list[Mixture], z: Array) -> Array:
    """Log density (draws, rows) of the mixture of all proposals; each gave as many draws."""
    given = torch.stack([each.log_density(torch.from_numpy(z)) for each in proposals])
    found: Array = (torch.logsumexp(given, dim=0) - np.log(len(proposals))).numpy()
    return found


def _weights(score: Array, proposals: list[Mixture], z: Array) -> tuple[Array, Array]:
    """Weights that add up to 1, and effective sample sizes."""
    return _normalised(score - _log_proposed(proposals, z))


def _normalised(logs: Array) -> tuple[Array, Array]:
    top = logs.max(axis=0)
    none = ~np.isfinite(top)
    weights = np.exp(logs - np.where(none, 0.0, top))
    total = weights.sum(axis=0)
    weights = np.where(none, np.nan, weights / np.where(none, 1.0, total))
    effective = np.where(none, 0.0, 1.0 / np.where(none, 1.0, (weights**2).sum(axis=0)))
    return weights, effective


def _about(z: Array, score: Array, proposals: list[Mixture]) -> Mixture:
    """A Gaussian in two widths with the moments of the weighted draws.

    Weights are raised to a power below 1 where few draws have them all, so that a covariance can
    be told: the largest power of 1, 1/2, 1/4, ... by which three draws a parameter count.
    """
    logs = score - _log_proposed(proposals, z)
    mask = proposals[0].mask
    enough = 3.0 * mask.numpy().sum(axis=1) + 3.0
    power = np.ones(z.shape[1])
    for _ in range(12):
        weights, effective = _normalised(np.where(np.isfinite(logs), logs * power, -np.inf))
        power = np.where(effective < enough, power / 2, power)
    weights = np.nan_to_num(weights, nan=1.0 / len(z))
    mean = np.einsum("sn,snp->np", weights, z)
    apart = z - mean
    covariance = np.einsum("sn,snp,snq->npq", weights, apart, apart)
    covariance += 1e-4 * np.eye(z.shape[2])
    return gaussian(torch.from_numpy(mean), torch.from_numpy(covariance), mask, WIDTHS)
