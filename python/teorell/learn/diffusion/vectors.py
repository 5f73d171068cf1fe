"""People as rows of numbers: what is learned of a person, from and to `tl.Population`.

Training and reference people are those of `tl.Population.sample` who satisfy `plausible()`. Nothing
but its public columns is read, so that another sampler needs a training and no change here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.constraints import ConstraintSet, plausible
from teorell.errors import InputError
from teorell.learn.diffusion.drugs import DRUGS
from teorell.learn.randomness import generator
from teorell.physiology.maturation import (
    albumin,
    alpha1_acid_glycoprotein,
    enzyme,
    surface,
)
from teorell.physiology.reference_adults import STANDARD_SURFACE
from teorell.physiology.vocabulary import FLOWS, MASSES, flow_to, mass_of
from teorell.population.population import Population

__all__ = [
    "COLUMNS", "ENZYMES", "FLOW_COLUMNS", "MASS_COLUMNS", "Rows", "column", "population_of",
    "quantities_of", "real_people", "rows_of",
]  # fmt: skip

Rows = NDArray[np.float64]  # (n, len(COLUMNS))

GUT = ("small_intestine", "large_intestine")
_PARTS = [part for each in MASSES for part in (GUT if each == "gut" else (each,))]
MASS_COLUMNS = tuple(mass_of(part) for part in _PARTS)  # kg; they add up to the body weight
FLOW_COLUMNS = tuple(flow_to(organ) for organ in FLOWS)  # L/h; they add up to the cardiac output
# sd of the logarithm of abundance among people of one age: that of the intrinsic clearance of a
# drug which the enzyme clears, as `teorell.pbpk.drug(...).sources` tells
ENZYMES: Mapping[str, float] = {name: drug.clint_sd for drug, name in DRUGS}
_FACTORS = tuple(f"factor_{name}" for name in ENZYMES)  # abundance over the typical of the age
COLUMNS = (
    "female", "age", "height", "body_weight", "gfr", "haematocrit", "cardiac_output",
    *MASS_COLUMNS, *FLOW_COLUMNS, *_FACTORS,
)  # fmt: skip
_STREAM = 11  # of random numbers, for the enzymes


def column(rows: Any, name: str) -> Any:
    """(n,) one column of rows, an array or a tensor."""
    return rows[:, COLUMNS.index(name)]


def rows_of(people: Population, seed: int = 0) -> Rows:
    """(n, len(COLUMNS)) of people. Where they have no `abundance_*`, these are drawn by the seed.

    InputError for a column that is missing.
    """
    n = len(people)
    found = np.empty((n, len(COLUMNS)))
    for k, name in enumerate(COLUMNS):
        if name in _FACTORS:
            continue
        if name not in people:
            raise InputError(
                f"these people have no {name!r} (a person's vector is made of it). Sample them, or "
                "give masses and flows to Population.from_dataframe."
            )
        found[:, k] = people[name]
    z = generator(seed, 0, _STREAM).standard_normal((n, len(ENZYMES)))
    for k, (name, sd) in enumerate(ENZYMES.items()):
        told = f"abundance_{name}"
        usual = (enzyme(name).abundance or 1.0) * enzyme(name).ontogeny(people["age"])
        own = people[told] / usual if told in people else np.exp(sd * z[:, k])
        found[:, COLUMNS.index(_FACTORS[k])] = own
    return found


def quantities_of(rows: Any) -> dict[str, Any]:
    """name -> (n,) as `plausible()` reads them, of an array or a tensor."""
    found = {name: rows[:, k] for k, name in enumerate(COLUMNS) if name not in _FACTORS}
    small, large = (found.pop(mass_of(part)) for part in GUT)
    return found | {mass_of("gut"): small + large}


def population_of(rows: Rows, origin: str = "") -> Population:
    """The people of rows whose masses and flows add up, with abundances of enzymes (pmol per mg of
    microsomal protein of the liver) as covariates.
    """
    known: dict[str, Any] = dict(quantities_of(rows))
    known |= {mass_of(part): column(rows, mass_of(part)) for part in GUT}
    age = known["age"]
    filtered = known["gfr"] * surface(known["height"], known["body_weight"]) / STANDARD_SURFACE
    known |= {
        "albumin": albumin(age),
        "alpha1_acid_glycoprotein": alpha1_acid_glycoprotein(age),
        "glomerular_filtration": 0.06 * filtered,  # L/h of mL/min
    }
    for name, factor in zip(ENZYMES, _FACTORS, strict=True):
        one = enzyme(name)
        usual = (one.abundance or 1.0) * one.ontogeny(age)
        known[f"abundance_{name} [pmol/mg]"] = usual * column(rows, factor)
    people = Population.from_dataframe(known)
    people.origin = origin
    return people


def real_people(n: int, seed: int, constraints: ConstraintSet | None = None, **asked: Any) -> Rows:
    """n people of the sampler who satisfy the constraints, `plausible()` unless told otherwise.

    asked: of `tl.Population.sample`. The first people of a larger n are those of a smaller one.
    InputError where fewer than one in a hundred do.
    """
    limits = constraints or plausible()
    drawn = n + n // 50 + 20
    while drawn <= 100 * n + 2000:
        rows = rows_of(Population.sample(drawn, seed=seed, **asked), seed)
        good = rows[~limits.violations(quantities_of(rows)).any]
        if len(good) >= n:
            return np.asarray(good[:n])
        drawn *= 2
    raise InputError(
        f"fewer than {n} of {drawn // 2} people satisfy {limits.name!r} (they are too rare to be "
        "drawn). Ask for others."
    )
