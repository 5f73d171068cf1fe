"""Sampling: measured people, each a little blurred, with organs and flows that differ as people's
do; and animals.

A person has age, sex, weight, height, haematocrit and filtration rate of one of the survey's people
(`donors.py`), drawn as often as its weights say, so that these hang together as they do in people.
They come in rounds: each of the survey's people once, or by its weights one of each equal part of
all weight, before any is taken again. Then comes a body by `teorell.physiology.human`, whose
cardiac output, organs and flows are log-normal about what is typical of the person: cardiac output
with the variation of (S), organs of (D), muscle of (W), flows of (D). Letters cite
`teorell.physiology.sources`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from teorell.physiology.animals import numbers_of_animal, table_of
from teorell.physiology.growth import haematocrit_at, reference_at
from teorell.physiology.human import LEAN, numbers_of_humans
from teorell.physiology.maturation import surface_filtration
from teorell.physiology.variation import CARDIAC_INDEX_CV, FLOW_CV, SPREAD, log_sd
from teorell.physiology.vocabulary import (
    FLOWS,
    MASSES,
    flow_share_to,
    flow_to,
    mass_of,
    mass_share_of,
)
from teorell.population.donors import OLDEST, Chosen, Wanted, chosen, donors, filtration_left
from teorell.population.draws import evenly, normals, rounds, uniforms

__all__ = ["sampled_animals", "sampled_humans"]

Column = NDArray[np.float64]
# How far a person is from the one measured: standard deviations, of logarithms but for haematocrit.
# They are a twentieth to a tenth of what people differ by, so that spread and correlations stay.
BLUR_WEIGHT, BLUR_HEIGHT, BLUR_HAEMATOCRIT, BLUR_GFR = 0.02, 0.004, 0.003, 0.02
# Below 1 and 12 years nothing was measured: about the typical, as (I; 42 to 60 % in cord blood) and
# adults of 18 to 30 vary
INFANT_HAEMATOCRIT_CV, CHILD_GFR_SD = 0.09, 0.15
MUSCLE_CV = 0.10  # at given height and weight: geometric standard deviation of 1.1 (W)
ANIMAL_WEIGHT_CV = 0.10  # taken to be: no survey of animals is at hand
VARIED = [name for name in LEAN if name != "rest"]
NORMALS = 6 + 1 + len(FLOWS) + len(VARIED)  # of a person
EACH = 2 + 2 * NORMALS  # uniforms of a person: one for the donor, one for the age


def sampled_humans(n: int, wanted: Wanted, seed: int, survey: bool) -> dict[str, Column]:
    """The numbers of n people: name -> (n,), as `numbers_of_humans` has them.

    survey: as often as the survey's weights say, as in the United States; else each of the survey's
    people as often as another. InputError if nobody measured is like those wanted.
    """
    likes = chosen(wanted, survey)
    people = likes.rows.size
    blocks = evenly(uniforms(seed, n, EACH), rounds(seed, n, people), people)
    return _together((_people(block, likes, wanted) for block in blocks), n)


def sampled_animals(n: int, species: str, seed: int) -> dict[str, Column]:
    """The numbers of n animals of a species: name -> (n,).

    Weight and, as in people, organs, flows and cardiac output differ.
    """
    table = table_of(species)
    weight = table["body_weight"].value
    parts = {part: _sd(part, np.zeros(1))[0] for part in MASSES}

    def some(block: Column) -> dict[str, Column]:
        z = normals(block[:, 2:])
        own = weight * np.exp(log_sd(ANIMAL_WEIGHT_CV) * z[:, 0])
        typical = numbers_of_animal(table, 1.0, species)
        ones = np.ones(len(block))
        shares = [
            typical[mass_share_of(part)] * np.exp(parts[part] * z[:, 1 + k])
            for k, part in enumerate(MASSES)
        ]
        flows = [
            typical[flow_share_to(organ)] * np.exp(FLOW_CV * z[:, 1 + len(MASSES) + k])
            for k, organ in enumerate(FLOWS)
        ]
        index = typical["cardiac_index"] * np.exp(log_sd(CARDIAC_INDEX_CV) * z[:, -1])
        whole, stream, output = sum(shares), sum(flows), index * own**0.75
        numbers = {name: value * ones for name, value in typical.items()}
        numbers |= {"body_weight": own, "cardiac_index": index, "cardiac_output": output}
        numbers["glomerular_filtration"] = typical["glomerular_filtration"] * own**0.75
        for part, share in zip(MASSES, shares, strict=True):
            numbers[mass_share_of(part)] = share / whole
            numbers[mass_of(part)] = share / whole * own
        for organ, flow in zip(FLOWS, flows, strict=True):
            numbers[flow_share_to(organ)] = flow / stream
            numbers[flow_to(organ)] = flow / stream * output
        for part in ("small_intestine", "large_intestine"):
            if mass_of(part) in typical:
                of_gut = typical[mass_of(part)] / typical[mass_of("gut")]
                numbers[mass_of(part)] = of_gut * numbers[mass_of("gut")]
        return numbers

    return _together((some(block) for block in uniforms(seed, n, EACH)), n)


def _people(block: Column, likes: Chosen, wanted: Wanted) -> dict[str, Column]:
    """Some people, of uniforms (k, EACH)."""
    table, z = donors(), normals(block[:, 2:])
    place = np.searchsorted(likes.edges, block[:, 0] * likes.edges[-1], side="right")
    place = np.minimum(place, likes.rows.size - 1)
    row, older = likes.rows[place], likes.older[place]
    female = table.female[row]
    age, grown = _age(table.age[row], older, block[:, 1], female, wanted)

    height = table.height[row] * grown[0] * np.exp(BLUR_HEIGHT * z[:, 0])
    weight = table.weight[row] * grown[1] * np.exp(BLUR_WEIGHT * z[:, 1])
    if wanted.bmi is not None:
        weight = np.clip(weight / height**2, *wanted.bmi) * height**2
    blood, filtered = _measured(row, age, female, z)
    left = filtration_left(age - table.age[row], female)
    filtered = np.where(older, filtered * left, filtered)
    if wanted.gfr is not None:
        filtered = np.clip(filtered, *wanted.gfr)
    factors = {"cardiac_output": np.exp(log_sd(CARDIAC_INDEX_CV) * z[:, 6])}
    for k, organ in enumerate(FLOWS, 7):
        factors[flow_to(organ)] = np.exp(log_sd(FLOW_CV) * z[:, k])
    for k, part in enumerate(VARIED, 7 + len(FLOWS)):
        factors[mass_of(part)] = np.exp(_sd(part, female) * z[:, k])
    return numbers_of_humans(
        age, female, height, weight, gfr=filtered, haematocrit=blood, factors=factors
    )


def _age(
    measured: Column,
    older: NDArray[np.bool_],
    uniform: Column,
    female: NDArray[np.bool_],
    wanted: Wanted,
) -> tuple[Column, tuple[Column | float, Column | float]]:
    """Ages in years, and what height and weight grow by where the age is not the donor's."""
    low, high = wanted.age
    if low < high:
        first = np.where(older, max(low, OLDEST), np.maximum(measured, low))
        last = np.where(older, high, np.minimum(measured + 1.0 / 12.0, high))
        return first + uniform * (last - first), (1.0, 1.0)
    age = np.full(measured.shape, low)
    then, now = reference_at(measured + 1.0 / 24.0, female), reference_at(age, female)
    return age, (
        now["height"] / then["height"],
        now["body_weight"] / then["body_weight"],
    )


def _measured(
    row: NDArray[np.int64], age: Column, female: NDArray[np.bool_], z: Column
) -> tuple[Column, Column]:
    """Haematocrit and filtration rate: the donor's, or what is typical where none was measured."""
    table = donors()
    blood = table.haematocrit[row] + BLUR_HAEMATOCRIT * z[:, 2]
    typical = haematocrit_at(age, female) * np.exp(INFANT_HAEMATOCRIT_CV * z[:, 3])
    filtered = table.gfr[row] * np.exp(BLUR_GFR * z[:, 4])
    mature = surface_filtration(age, reference_at(age, female)) * np.exp(CHILD_GFR_SD * z[:, 5])
    return np.where(np.isnan(blood), typical, blood), np.where(np.isnan(filtered), mature, filtered)


def _sd(part: str, female: NDArray[np.bool_] | Column) -> Column:
    """Standard deviation of the logarithm of a part's mass, (n,)."""
    if part in ("adipose", "rest"):
        return np.zeros(female.shape)
    cv = SPREAD["gut" if part.endswith("_intestine") else part].cv
    if part == "muscle":
        return np.full(female.shape, log_sd(MUSCLE_CV))
    return np.where(female > 0, log_sd(cv.woman), log_sd(cv.man))


def _together(blocks: Iterable[dict[str, Column]], n: int) -> dict[str, Column]:
    """Columns of all n from those of a few people at a time; MemoryError before much is drawn."""
    table = np.zeros((0, n))
    names: list[str] = []
    start = 0
    for block in blocks:
        if not names:
            names = list(block)
            table = np.empty((len(names), n))
        size = len(block[names[0]])
        for row, name in enumerate(names):
            table[row, start : start + size] = block[name]
        start += size
    return dict(zip(names, table, strict=True))
