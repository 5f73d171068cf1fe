"""What a trained network says of patients: the direct head, and weighed draws of the posterior.

Draws are always weighed by the exact likelihood, through the solver, times the prior. Of a patient
without companions the prior is that of the decoder (`structures.py`), exact. With companions it is
the network's own answer to the companions alone, with a tenth of the decoder's prior mixed in (as a
robust meta-analytic prior has it, Schmidli 2014, Biometrics 70:1023): learned, so approximate.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from teorell.arrays import Array
from teorell.learn.transformer.decoding import curves, log_likelihood, to_logs
from teorell.learn.transformer.mixture import Mixture, joined, prior
from teorell.learn.transformer.studies import Studies
from teorell.learn.transformer.tokens import CENTRE, WIDTH, Tokens, scale_of, tokens
from teorell.learn.transformer.weighing import DEFENCE, Target, Weighed, weigh

__all__ = ["Direct", "Effort", "answers", "decoded", "target_of", "weighed_by_structure"]

VAGUE = 0.1  # share of the decoder's prior in a learned one
TOGETHER = 64  # patients whose draws are in memory at one time


class Effort(NamedTuple):
    """How many draws: of each patient at first and in each further round, until `least`."""

    draws: int = 256
    least: float = 100.0
    rounds: int = 12


class Direct(NamedTuple):
    """The direct head: log concentrations, mg/L, not below the limit."""

    mean: Array  # (patients, queries)
    quantiles: Array  # (patients, queries, LEVELS)


def answers(
    network: nn.Module, given: Studies, context: NDArray[np.int64]
) -> tuple[Direct, Mixture, Mixture]:
    """The direct head, the posterior head, and the prior that its draws are weighed by."""
    nothing = given._replace(
        sample=np.full_like(given.sample, np.nan), below=np.zeros_like(given.below)
    )
    both = zip(tokens(given, context), tokens(nothing, context), strict=True)
    with torch.no_grad():
        quantiles, mean, posterior = network(Tokens(*(torch.cat(pair) for pair in both)))
    n = len(given.weight)
    scale, limit = scale_of(given)[:, None], given.limit[:, None]
    direct = Direct(
        np.maximum(mean[:n].double().numpy() * WIDTH + CENTRE + scale, limit),
        np.maximum(
            quantiles[:n].double().numpy() * WIDTH + CENTRE + scale[..., None], limit[..., None]
        ),
    )
    first, rest = torch.arange(n), torch.arange(n, 2 * n)
    posterior = posterior.double()
    return direct, posterior.rows(first), _prior(posterior.rows(rest), torch.from_numpy(context))


def _prior(alone: Mixture, context: Tensor) -> Mixture:
    """The learned prior of those that have companions, the decoder's of the others."""
    plain = prior(alone.mask)
    mixed = joined([(1 - VAGUE, alone), (VAGUE, plain)])
    has = (context >= 0).any(dim=1)
    return Mixture(
        mixed.log_shares,
        torch.where(has[:, None, None], mixed.mean, plain.mean),
        torch.where(has[:, None, None, None], mixed.factor, plain.factor),
        mixed.mask,
    )


def target_of(given: Studies, known: Mixture | None = None) -> Target:
    """Log of likelihood times prior of draws, and the log concentrations that are asked for.

    given: patients of one structure; known: their prior, None for the decoder's.
    """
    what = given.what()
    samples = given.sample.shape[1]
    mask = torch.from_numpy(np.tile(what.mask(), (len(given.weight), 1)))
    has = np.flatnonzero(what.mask())
    known = (prior(mask) if known is None else known).only(has)

    def target(z: Array, rows: NDArray[np.int64]) -> tuple[Array, Array]:
        draws, part = len(z), given.rows(rows)
        times = np.concatenate([part.sample_time, part.query_time], axis=1)
        logs = to_logs(z, part.weight).reshape(draws * len(rows), -1)
        levels = curves(what, logs, part.doses.repeated(draws), np.tile(times, (draws, 1)))
        levels = levels.reshape(draws, len(rows), -1)
        fit = log_likelihood(levels[..., :samples], part.sample, part.below, part.noise, part.limit)
        own = known.rows(torch.from_numpy(rows))
        before = own.log_density(torch.from_numpy(z[..., has])).numpy()
        return fit + before, np.maximum(levels[..., samples:], part.limit[:, None])

    return target


def decoded(
    posterior: Mixture, known: Mixture, given: Studies, effort: Effort, seed: int = 0
) -> Weighed:
    """Weighed draws of the posterior head of patients of one structure."""
    proposal = joined([(1 - DEFENCE, posterior), (DEFENCE, known)])
    return weigh(proposal, target_of(given, known), **effort._asdict(), seed=seed)


def weighed_by_structure(
    given: Studies, proposals: Any, effort: Effort, levels: tuple[float, ...]
) -> dict[str, Array]:
    """Weighed draws of many patients: "mean", "error" (patients, queries), "quantiles" (patients,
    queries, levels), "effective" and "taken" (patients,).

    proposals: a function of rows of one structure that returns Weighed.
    """
    n, queries = given.query_time.shape
    found = {
        "mean": np.empty((n, queries)),
        "error": np.empty((n, queries)),
        "quantiles": np.empty((n, queries, len(levels))),
        "effective": np.empty(n),
        "taken": np.empty(n),
    }
    for place in np.unique(given.structure):
        mine = np.flatnonzero(given.structure == place)
        for rows in np.array_split(mine, -(-len(mine) // TOGETHER)):
            one: Weighed = proposals(rows, given.rows(rows), effort)
            found["mean"][rows], found["error"][rows] = one.mean(), one.error()
            found["quantiles"][rows] = one.quantiles(levels)
            found["effective"][rows], found["taken"][rows] = one.effective, one.taken
    return found
