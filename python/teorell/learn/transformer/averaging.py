"""Forecasts averaged over structures, each as probable as the samples make it.

Bayesian model averaging (Hoeting 1999, Stat Sci 14:382). Of each structure the mean of its raw
importance weights is its evidence, the probability density of the samples under that structure and
its prior. All draws are pooled, each weight times the probability of its structure.

Before the samples saturable structures together have the probability SATURABLE. Companions change
that by the chain rule: the evidence of the first, times that of the second beside the first, and so
on, each by the prior that the network learned for patients with companions.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from teorell.arrays import Array
from teorell.errors import InputError, suggestion
from teorell.learn.transformer.inference import Direct, Effort, answers, decoded
from teorell.learn.transformer.mixture import Mixture
from teorell.learn.transformer.structures import COMPARTMENTS, STRUCTURES, Structure
from teorell.learn.transformer.studies import Studies
from teorell.learn.transformer.weighing import Weighed

__all__ = ["ROUTES", "SATURABLE", "Averaged", "averaged", "before", "chosen", "pooled"]

# The clearance of most drugs is constant over the concentrations met in clinical settings (Holford,
# in Katzung, Basic and Clinical Pharmacology, ch. 3); no survey told how many, so: one in ten.
SATURABLE = 0.1

ROUTES = {
    "oral": tuple(each for each in COMPARTMENTS if each.absorption != "iv"),
    "iv": tuple(each for each in COMPARTMENTS if each.absorption == "iv"),
}
"""What a word stands for: all structures of compartments of a route."""
NAMES = {each.name: each for each in STRUCTURES}


class Averaged(NamedTuple):
    """Patients under several structures, and under all together."""

    direct: Direct  # it knows of no structure
    each: tuple[Weighed, ...]  # by structure
    whole: Weighed
    probabilities: Array  # (structures, patients)


def chosen(asked: Any, known: Collection[str]) -> tuple[Structure, ...]:
    """The structures that are asked for, by one name, a route or several of these; of one route.

    known: names that a checkpoint was trained on; a route stands for those of them.
    Raises InputError for none, unknown ones, one that is there twice, and two routes.
    """
    names = [asked] if isinstance(asked, str) else asked
    if not isinstance(names, (tuple, list)) or not all(isinstance(each, str) for each in names):
        raise InputError(
            f"structure is {asked!r:.60} (a name, or a tuple of names, is needed). Give 'oral', say"
            "."
        )
    found: list[Structure] = []
    for name in names:
        if name in ROUTES:
            found += [each for each in ROUTES[name] if each.name in known]
            continue
        if name not in NAMES:
            raise InputError(
                f"unknown structure {name!r} (no decoder has this name). "
                f"{suggestion(name, [*NAMES, *ROUTES])}"
            )
        if name not in known:
            raise InputError(
                f"structure {name!r} (this checkpoint was trained without it). "
                f"{suggestion(name, known)}"
            )
        found.append(NAMES[name])
    if not found:
        raise InputError(
            f"structure {asked!r} names none of this checkpoint (nothing to decode by). "
            f"{suggestion('', known)}"
        )
    for one in found:
        if found.count(one) > 1:
            raise InputError(
                f"structure {one.name!r} is there twice (it would count twice). Give each once."
            )
    if len({one.absorption == "iv" for one in found}) > 1:
        raise InputError(
            f"structures {asked!r:.60} mix routes (a dose goes one way). Give those of one route."
        )
    return tuple(found)


def averaged(
    network: nn.Module,
    given: Studies,
    context: NDArray[np.int64],
    structures: tuple[Structure, ...],
    count: int,
    effort: Effort,
    seed: int = 0,
) -> Averaged:
    """The first `count` patients under each structure and under all; the others are companions.

    Companions tell of parameters within each structure and, of several, which are probable.
    """
    n, mine = len(given.weight), np.arange(count)
    asked = context[:count]
    owner, place = np.nonzero(asked >= 0) if len(structures) > 1 else (mine[:0], mine[:0])
    earlier = np.where(np.arange(asked.shape[1]) < place[:, None], asked[owner], -1)
    wide = given.rows(np.concatenate([np.arange(n), asked[owner, place]]))
    context = np.concatenate([context, earlier])
    each, chain = [], np.zeros((len(structures), count))
    for k, what in enumerate(structures):
        under = wide._replace(structure=np.full(len(wide.weight), STRUCTURES.index(what)))
        direct, posterior, prior = answers(network, under, context)
        # seeds of their own, so that errors of structures have nothing to do with each other
        each.append(_weighed(posterior, prior, under, mine, effort, seed + k))
        if owner.size:
            more, own = np.arange(n, n + owner.size), seed + len(structures) + k
            evidence = _weighed(posterior, prior, under, more, effort, own).log_evidence
            np.add.at(chain[k], owner, evidence)
    told = Direct(*(x[:count] for x in direct))
    known = before(structures)[:, None] + np.where(np.isfinite(chain).any(axis=0), chain, 0.0)
    return Averaged(told, tuple(each), *pooled(each, known))


def _weighed(
    posterior: Mixture, prior: Mixture, given: Studies, rows: Any, effort: Effort, seed: int
) -> Weighed:
    """Weighed draws of some of the patients."""
    which = torch.from_numpy(rows)
    return decoded(posterior.rows(which), prior.rows(which), given.rows(rows), effort, seed)


def before(structures: tuple[Structure, ...]) -> Array:
    """The log of the probability of each structure before any sample, (structures,)."""
    saturable = np.array([one.saturable for one in structures])
    if saturable.all() or not saturable.any():
        return np.full(len(structures), -np.log(len(structures)))
    shares = np.where(saturable, SATURABLE / saturable.sum(), (1 - SATURABLE) / (~saturable).sum())
    found: Array = np.log(shares)
    return found


def pooled(each: list[Weighed], before: Array) -> tuple[Weighed, Array]:
    """All draws of the same patients under several structures as one; and the probability of each
    structure, (structures, patients).

    before: logs of how probable they were, (structures, patients or 1), up to a constant.

    `Weighed.error` holds the errors of evidences too: a sum over all draws about the common mean.
    A structure of which no draw has weight has probability 0; if all are so, effective size is 0.
    """
    if len(each) == 1:
        return each[0], np.ones((1, len(each[0].taken)))
    logs = np.stack([one.log_evidence for one in each])
    logs = logs + before - np.logaddexp.reduce(before, axis=0)
    total = np.logaddexp.reduce(logs, axis=0)
    none = ~np.isfinite(total)
    probabilities = np.where(none, np.nan, np.exp(logs - np.where(none, 0.0, total)))
    taken = np.sum([one.taken for one in each], axis=0)
    # of each patient first the draws that were taken, in order
    left_out = np.concatenate([np.arange(len(one.draws))[:, None] >= one.taken for one in each])
    order = np.argsort(left_out, axis=0, kind="stable")[: taken.max()]
    weights = np.concatenate(
        [np.where(p > 0, one.weights, 0.0) * p for p, one in zip(probabilities, each, strict=True)]
    )

    def first(parts: list[Array]) -> Array:
        found: Array = np.take_along_axis(np.concatenate(parts), order[..., None], axis=0)
        return found

    squares = (weights**2).sum(axis=0)
    whole = Weighed(
        first([one.draws for one in each]),
        np.take_along_axis(weights, order, axis=0),
        first([one.values for one in each]),
        np.where(none, 0.0, 1.0 / np.where(none, 1.0, squares)),
        taken,
        total,
    )
    return whole, probabilities
