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
from torch import Tensor

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
        """(patients, values, levels), such that one more draw is expected to lie below each by its
        level: the k-th of n equal draws is at k / (n + 1) (Weibull's positions; Hyndman 1996, Am
        Stat 50:361), where n is the effective sample size; between draws on a straight line.
        """
        found = np.empty((*self.values.shape[1:], len(levels)))
        for taken in np.unique(self.taken):
            rows = np.flatnonzero(self.taken == taken)
            values = self.values[:taken, rows]
            order = np.argsort(values, axis=0)
            values = np.take_along_axis(values, order, axis=0)
            weights = np.broadcast_to(self.weights[:taken, rows, None], values.shape)
            weights = np.take_along_axis(weights, order, axis=0)
            n = self.effective[rows, None]
            at = (n * (np.cumsum(weights, axis=0) - weights / 2) + 0.5) / (n + 1)
            for k, level in enumerate(levels):
                upper = np.clip((at < level).sum(axis=0), 1, max(taken - 1, 1))[None]
                both = [np.minimum(upper - 1, taken - 1), np.minimum(upper, taken - 1)]
                (low, high), (x, y) = (
                    [np.take_along_axis(of, place, axis=0)[0] for place in both]
                    for of in (at, values)
                )
                wide = high - low
                part = np.clip((level - low) / np.where(wide > 0, wide, 1.0), 0.0, 1.0)
                found[rows, :, k] = x + part * (y - x)
        return found


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
    has = np.flatnonzero(proposal.mask.numpy().any(axis=0))  # only these are worth the arithmetic

    def asked(z: Array, which: NDArray[np.int64]) -> tuple[Array, Array]:
        return target(_wide(z, has, size), which)

    proposals = [proposal.double().only(has)]
    z, score, values = _round(proposals[0], asked, rows, draws, generator)
    density = _log_densities(proposals, z)
    most = draws * (rounds + 1)
    found = Weighed(
        np.zeros((most, patients, size)),
        np.zeros((most, patients)),
        np.zeros((most, patients, values.shape[-1])),
        np.zeros(patients),
        np.zeros(patients, dtype=np.int64),
    )
    for k in range(rounds + 1):
        logs = score - np.logaddexp.reduce(density, axis=0) + np.log(len(density))
        weights, effective = _normalised(logs)
        done = (effective >= least) | (k == rounds)
        taken = len(z)
        whole = _wide(z, has, size)
        for to, of in zip(found[:3], (whole, weights, values), strict=True):
            to[:taken, rows[done]] = of[:, done]
        found.effective[rows[done]], found.taken[rows[done]] = effective[done], taken
        if done.all():
            break
        left = torch.from_numpy(~done)
        rows, z, score, values = rows[~done], z[:, ~done], score[:, ~done], values[:, ~done]
        proposals = [each.rows(left) for each in proposals]
        density = density[:, :, ~done]
        proposals.append(_about(z, logs[:, ~done], proposals[0].mask))
        more = _round(proposals[-1], asked, rows, draws, generator)
        old = np.concatenate([density, _log_densities(proposals[-1:], z)])
        density = np.concatenate([old, _log_densities(proposals, more[0])], axis=1)
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


def _wide(z: Array, has: NDArray[np.int64], size: int) -> Array:
    """Draws of some parameters as draws of all, 0 for the others."""
    found = np.zeros((*z.shape[:2], size))
    found[..., has] = z
    return found


def _log_densities(proposals: list[Mixture], z: Array) -> Array:
    """Log densities of the same draws under each proposal, (proposals, draws, rows).

    Draws are weighed by the mixture of all proposals; each gave as many.
    """
    at = torch.from_numpy(z)
    found: Array = torch.stack([each.log_density(at) for each in proposals]).numpy()
    return found


def _normalised(logs: Array) -> tuple[Array, Array]:
    top = logs.max(axis=0)
    none = ~np.isfinite(top)
    weights = np.exp(logs - np.where(none, 0.0, top))
    total = weights.sum(axis=0)
    weights = np.where(none, np.nan, weights / np.where(none, 1.0, total))
    effective = np.where(none, 0.0, 1.0 / np.where(none, 1.0, (weights**2).sum(axis=0)))
    return weights, effective


def _about(z: Array, logs: Array, mask: Tensor) -> Mixture:
    """A Gaussian in two widths with the moments of the draws, weighted by exp(logs).

    Weights are raised to a power below 1 where few draws have them all, so that a covariance can
    be told: the largest power of 1, 1/2, 1/4, ... by which three draws a parameter count.
    """
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
