"""What a forecast is measured against: simple guesses, MAP, and the floor that nobody can beat.

All know what the network is not told: the true structure. MAP and the floor know the true prior.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.learn.transformer.decoding import centre, curves, to_logs
from teorell.learn.transformer.inference import Effort, target_of, weighed_by_structure
from teorell.learn.transformer.maximum import Mode, mode
from teorell.learn.transformer.mixture import gaussian, joined, prior
from teorell.learn.transformer.network import LEVELS
from teorell.learn.transformer.studies import Studies
from teorell.learn.transformer.weighing import WIDTHS, Weighed, weigh

__all__ = ["FLOOR", "floor", "last_value", "maximum", "population"]

FLOOR = Effort(draws=600, least=200.0, rounds=10)
# Share of the prior in the floor's proposal; the rest is about the MAP. With little of it another
# mode is missed in some patients, and the floor is too high.
PRIOR = 0.5


def last_value(given: Studies) -> Array:
    """The last sample, carried on; the population's curve where there is none."""
    late = np.where(np.isfinite(given.sample), given.sample_time, -1.0)
    last = np.take_along_axis(given.sample, late.argmax(axis=1)[:, None], axis=1)
    return np.where(np.isfinite(last), last, population(given))


def population(given: Studies) -> Array:
    """The curve of a patient with the median parameters of that weight, (patients, queries)."""
    return _curve(given, centre(given.weight))


def maximum(given: Studies) -> tuple[Array, Mode]:
    """The curve of the most probable parameters, (patients, queries), and these."""
    n = len(given.weight)
    logs = np.empty_like(given.logs)
    found = Mode(np.empty_like(logs), np.empty((n, logs.shape[1], logs.shape[1])), np.empty(n))
    for place in np.unique(given.structure):
        rows = np.flatnonzero(given.structure == place)
        one = mode(given.rows(rows))
        for to, of in zip(found, one, strict=True):
            to[rows] = of
    return _curve(given, to_logs(found.standard, given.weight)), found


def floor(given: Studies, about: Mode, effort: Effort = FLOOR) -> dict[str, Array]:
    """The posterior mean of log concentration under the true prior, as `weighed_by_structure`.

    No forecast has a smaller expected squared error. Found by importance sampling about the MAP,
    with no network; "error" is its Monte Carlo standard error.
    """

    def one(rows: NDArray[np.int64], part: Studies, effort: Effort) -> Weighed:
        mask = torch.from_numpy(np.tile(part.what().mask(), (len(rows), 1)))
        mean, covariance = (torch.from_numpy(x[rows]) for x in (about.standard, about.covariance))
        near = gaussian(mean, covariance, mask, WIDTHS)
        proposal = joined([(1 - PRIOR, near), (PRIOR, prior(mask))])
        return weigh(proposal, target_of(part), **effort._asdict(), seed=1)

    return weighed_by_structure(given, one, effort, LEVELS)


def _curve(given: Studies, logs: Array) -> Array:
    """Log concentrations at the queries, not below the limit."""
    found = np.empty_like(given.query_time)
    for place in np.unique(given.structure):
        rows = np.flatnonzero(given.structure == place)
        part = given.rows(rows)
        found[rows] = curves(part.what(), logs[rows], part.doses, part.query_time)
    return np.maximum(found, given.limit[:, None])
