"""Forecasts averaged over structures, each as probable as the samples make it.

Bayesian model averaging (Hoeting 1999, Stat Sci 14:382). Of each structure the mean of its raw
importance weights is its evidence, the probability density of the samples under that structure and
its prior; structures are equally probable before. All draws are pooled, each weight times the
probability of its structure.
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
from teorell.learn.transformer.structures import COMPARTMENTS, STRUCTURES, Structure
from teorell.learn.transformer.studies import Studies
from teorell.learn.transformer.weighing import Weighed

__all__ = ["ROUTES", "Averaged", "averaged", "chosen", "pooled"]

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

    Companions tell of parameters within each structure, but not which structure is probable.
    """
    rows, mine = torch.arange(count), given.rows(np.arange(count))
    each = []
    for k, what in enumerate(structures):
        place = STRUCTURES.index(what)
        under = given._replace(structure=np.full(len(given.weight), place))
        direct, posterior, prior = answers(network, under, context)
        part = mine._replace(structure=np.full(count, place))
        # a seed of its own, so that errors of structures have nothing to do with each other
        each.append(decoded(posterior.rows(rows), prior.rows(rows), part, effort, seed + k))
    told = Direct(*(x[:count] for x in direct))
    return Averaged(told, tuple(each), *pooled(each))


def pooled(each: list[Weighed]) -> tuple[Weighed, Array]:
    """All draws of the same patients under several structures, equally probable before, as one;
    and the probability of each structure, (structures, patients).

    `Weighed.error` holds the errors of evidences too: a sum over all draws about the common mean.
    A structure of which no draw has weight has probability 0; if all are so, effective size is 0.
    """
    if len(each) == 1:
        return each[0], np.ones((1, len(each[0].taken)))
    logs = np.stack([one.log_evidence for one in each])
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
        total - np.log(len(each)),
    )
    return whole, probabilities
