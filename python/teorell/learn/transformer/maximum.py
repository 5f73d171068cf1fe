"""The most probable parameters (MAP) by exact gradients, and the Gaussian about them (Laplace).

The classical estimator: the true model, the true prior, no network.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from teorell.arrays import Array
from teorell.learn.transformer.decoding import jacobian, log_tail, to_logs
from teorell.learn.transformer.priors import PARAMETERS, SPREADS
from teorell.learn.transformer.studies import Studies

__all__ = ["STANDARD", "Mode", "Normal", "mode"]


class Mode(NamedTuple):
    """The best of all starts, in standard log parameters, and its curvature."""

    standard: Array  # (patients, PARAMETERS); 0 for those that the structure lacks
    covariance: Array  # (patients, PARAMETERS, PARAMETERS), inverse Gauss-Newton Hessian
    loss: Array  # (patients,), minus the log of likelihood times prior, constants aside


class Normal(NamedTuple):
    """A prior of standard log parameters, each by itself, (PARAMETERS,) each."""

    mean: Array
    sd: Array


STANDARD = Normal(np.zeros(len(PARAMETERS)), np.ones(len(PARAMETERS)))


def mode(
    given: Studies, *, prior: Normal = STANDARD, starts: int = 3, steps: int = 40, seed: int = 0
) -> Mode:
    """MAP of patients of one structure by Levenberg-Marquardt, from `starts` points each.

    prior: that of the decoder, if none is given. The first start is the prior's centre, others are
    drawn from half its spread. The Hessian takes a sample at a limit by the curvature of its
    probability, exactly, and curves as straight.
    """
    n, size = len(given.weight), len(PARAMETERS)
    mask = given.what().mask()
    rng = np.random.default_rng(seed)
    z = 0.5 * rng.standard_normal((starts, n, size))
    z[0] = 0.0
    z = (z * prior.sd + prior.mean) * mask
    z = z.reshape(starts * n, size)
    many = given.rows(np.tile(np.arange(n), starts))
    loss, slope, hessian = _quadratic(many, z, prior)
    damping = np.full(len(z), 1e-2)
    left = np.arange(len(z))  # those that still move
    for _ in range(steps):
        scaled = hessian[left] + damping[left, None, None] * np.eye(size)
        step = np.linalg.solve(scaled, slope[left, :, None])[..., 0]
        trial = z[left] - np.clip(step, -2.0, 2.0)
        after = _quadratic(many.rows(left), trial, prior)
        better = after[0] < loss[left]
        won = left[better]
        gain = np.where(better, loss[left] - after[0], 0.0)
        z[won] = trial[better]
        for to, of in zip((loss, slope, hessian), after, strict=True):
            to[won] = of[better]
        damping[left] = np.clip(np.where(better, damping[left] / 5, damping[left] * 5), 1e-8, 1e8)
        left = left[(gain >= 1e-7) | ~((damping[left] > 1e3) | better)]
        if not left.size:
            break
    best = loss.reshape(starts, n).argmin(axis=0) * n + np.arange(n)
    return Mode(z[best], np.linalg.inv(hessian[best]), loss[best])


def _quadratic(given: Studies, z: Array, prior: Normal) -> tuple[Array, Array, Array]:
    """Loss, its slope and Gauss-Newton Hessian at z; loss inf where the solver gave up."""
    what = given.what()
    places = list(what.places)
    levels, slopes = jacobian(what, to_logs(z, given.weight), given.doses, given.sample_time)
    there = np.isfinite(given.sample)
    fine = np.isfinite(levels) & np.isfinite(slopes).all(axis=2)
    bad = (there & ~fine).any(axis=1)
    levels = np.where(there, levels, 0.0)
    slopes = np.where(there[..., None], slopes, 0.0) * SPREADS[places]
    slopes, levels = np.nan_to_num(slopes), np.nan_to_num(levels)
    sd = given.noise[:, None]
    apart = (np.where(there, given.sample, 0.0) - levels) / sd
    over = (given.limit[:, None] - levels) / sd
    tail = log_tail(over)
    ratio = np.exp(-0.5 * over**2 - 0.5 * np.log(2 * np.pi) - tail)  # normal density over tail
    seen = there & ~given.below
    score = np.where(seen, 0.5 * apart**2, np.where(given.below, -tail, 0.0)).sum(axis=1)
    by_level = np.where(seen, -apart, np.where(given.below, ratio, 0.0)) / sd
    curved = np.where(seen, 1.0, np.where(given.below, ratio * (ratio + over), 0.0)) / sd**2
    off = (z - prior.mean) * what.mask() / prior.sd
    loss = score + 0.5 * (off**2).sum(axis=1)
    slope = off / prior.sd
    slope[:, places] += np.einsum("nt,ntp->np", by_level, slopes)
    hessian = np.tile(np.diag(prior.sd**-2.0), (len(z), 1, 1))
    inner = np.einsum("nt,ntp,ntq->npq", np.maximum(curved, 0.0), slopes, slopes)
    at = np.array(places)
    hessian[:, at[:, None], at] += inner
    return np.where(bad, np.inf, loss), slope, hessian
