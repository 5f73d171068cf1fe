"""Training people: those of the sampler, and more of the young, with what each counts for.

Newborns are 0.02 % of people: a network that met them as often would learn nothing of them. So a
part of the people is drawn by age, as many between each two of EDGES, and each counts for how often
the sampler draws somebody of the age over how often one is here. Means with these weights are those
of the sampler's people (importance sampling); what is so at a given age needs no weights.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.learn.diffusion.vectors import Rows, column, real_people

__all__ = ["EDGES", "TrainingPeople", "training_people"]

_MONTH = 1.0 / 12.0
EDGES = (0.0, _MONTH, 0.5, 2.0, 6.0, 12.0, 18.0)  # years; the rarer, the younger


class TrainingPeople(NamedTuple):
    """rows: (n, columns), the sampler's own first; weights: (len(EDGES),) what one counts for from
    each edge on: 1 from the last, less where more are here than in the sampler.
    """

    rows: Rows
    weights: Array

    def odds(self, age: Array) -> Array:
        """What people of ages in years count for, of the same shape."""
        return np.asarray(self.weights[_place(age)])


def training_people(n: int, seed: int, young: float = 0.0) -> TrainingPeople:
    """n valid people; young: the share of them that is drawn by age, 0 for none."""
    spans = list(pairwise(EDGES))
    each = int(n * young) // len(spans)
    usual = real_people(n - each * len(spans), seed)
    if not each:
        return TrainingPeople(usual, np.ones(len(EDGES)))
    more = [_between(low, high, each, seed + 1 + k) for k, (low, high) in enumerate(spans)]
    rows = np.concatenate([usual, *more])
    # at least one: a small sample may have no newborn
    there, here = (np.maximum(_counts(some), 1) for some in (usual, rows))
    return TrainingPeople(rows, there / there[-1] / (here / here[-1]))


def _between(low: float, high: float, n: int, seed: int) -> Rows:
    """n people of an age. A month more is asked for, since the sampler puts those who were
    measured in the month of an end at that very end.
    """
    asked, found = 2 * n, np.zeros((0, 0))
    while len(found) < n:
        some = real_people(asked, seed, age=(max(low - _MONTH, 0.0), high + _MONTH))
        age = column(some, "age")
        found = some[(age >= low) & (age < high)]
        asked *= 2
    return found[:n]


def _place(age: Array) -> NDArray[np.intp]:
    """Which of EDGES is the last before an age."""
    return np.asarray(np.searchsorted(EDGES, age, side="right") - 1)


def _counts(rows: Rows) -> NDArray[np.intp]:
    """(len(EDGES),) people from each edge to the next."""
    return np.bincount(_place(column(rows, "age")), minlength=len(EDGES))
