"""What a human's age makes of kidneys, plasma proteins and enzymes. Letters cite `sources.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from teorell.errors import InputError, suggestion
from teorell.physiology.checks import check_ages
from teorell.physiology.files import read_rows, shipped
from teorell.physiology.growth import ageing
from teorell.physiology.reference_adults import MOSTELLER, STANDARD_SURFACE

__all__ = ["ENZYMES", "Enzyme", "albumin", "alpha1_acid_glycoprotein", "enzyme", "filtration",
           "kidney_maturity", "surface", "surface_filtration"]  # fmt: skip

Column = NDArray[np.float64]
WEEKS = 365.25 / 7.0  # in a year
TERM = 40.0  # weeks from the last menstruation to birth
DAYS = 365.25


def surface(height: Column, weight: Column) -> Column:
    """The body surface, m2, of a height (m) and weight (kg) (M)."""
    return np.asarray(np.sqrt(MOSTELLER * height * weight), np.float64)


def kidney_maturity(age: Column) -> Column:
    """The part of the grown-up's filtration, at the same size, that is there at `age` (years) of a
    child born at term (R).
    """
    weeks = (TERM + WEEKS * age) ** 3.4
    return np.asarray(weeks / (weeks + 47.7**3.4), np.float64)


def surface_filtration(age: Column, body: Mapping[str, Column]) -> Column:
    """The typical glomerular filtration rate at `age` (years), mL/min/1.73 m2: that of the
    reference body `body` by its weight and maturity (R), falling from 30 years on (P).
    """
    weight, height = body["body_weight"], body["height"]
    absolute = 121.2 * (weight / 70.0) ** 0.75 * kidney_maturity(age)
    at_size = absolute * STANDARD_SURFACE / surface(height, weight)
    return at_size * ageing("glomerular_filtration", age)


def filtration(
    age: Column, female: NDArray[np.bool_], creatinine: Column, height: Column
) -> Column:
    """The filtration rate (mL/min/1.73 m2) that serum creatinine (mg/dL) tells (K): below 18 years
    by the height (m) too.
    """
    low, power = np.where(female, 0.7, 0.9), np.where(female, -0.329, -0.411)
    ratio = creatinine / low
    grown = 141.0 * np.minimum(ratio, 1.0) ** power * np.maximum(ratio, 1.0) ** -1.209
    grown = grown * 0.993**age * np.where(female, 1.018, 1.0)
    return np.where(age < 18.0, 41.3 * height / creatinine, grown)


def albumin(age: Column) -> Column:
    """Albumin in plasma, g/L, at `age` (years; the first day counts as one day) (J)."""
    return np.asarray(1.1287 * np.log(np.maximum(DAYS * age, 1.0)) + 33.746, np.float64)


def alpha1_acid_glycoprotein(age: Column) -> Column:
    """Alpha1-acid glycoprotein in plasma, g/L, at `age` (years; from the first day) (J)."""
    days = np.maximum(DAYS * age, 1.0) ** 0.38
    return np.asarray(0.887 * days / (8.89**0.38 + days), np.float64)


@dataclass(frozen=True)
class Enzyme:
    """An enzyme of the liver and the gut's wall, of adults; None where a number is not known."""

    name: str
    abundance: float | None  # in the liver, pmol per mg of microsomal protein
    gut: Mapping[str, float]  # segment -> the same in its wall
    growth: tuple[float, float, float, float] | None  # GROWTH: 1, 1, years^exponent, 1
    sources: Mapping[str, str]  # of each number, letters of SOURCES

    def ontogeny(self, age: float | Column) -> Column:
        """The part of the adult's abundance in the liver at `age` (years): rise age^n / (half +
        age^n) plus what is there at birth (J); about 1 for adults. InputError for an enzyme of
        which this is not known, and what is no age.
        """
        if self.growth is None:
            known = [each.name for each in _enzymes().values() if each.growth is not None]
            raise InputError(
                f"the ontogeny of {self.name} (it is not known here: of these it is: "
                f"{', '.join(known)}). Give a number of your own."
            )
        rise, exponent, half, birth = self.growth
        power = check_ages(age) ** exponent
        return np.asarray(rise * power / (half + power) + birth)


@cache
def _enzymes() -> Mapping[str, Enzyme]:
    found: dict[str, dict[str, tuple[float, str]]] = {}
    for row in read_rows(shipped("enzymes.csv"), ("enzyme", "quantity")):
        found.setdefault(row.keys[0], {})[row.keys[1]] = (row.value, row.source)

    def of(name: str, told: Mapping[str, tuple[float, str]]) -> Enzyme:
        numbers = {key: value for key, (value, _) in told.items()}
        rise, exponent, half, birth = (numbers.get(key, np.nan) for key in GROWTH)
        return Enzyme(
            name=name,
            abundance=numbers.get("abundance"),
            gut=MappingProxyType({key: numbers[key] for key in SEGMENTS if key in numbers}),
            growth=(rise, exponent, half, birth) if GROWTH[0] in numbers else None,
            sources=MappingProxyType({key: source for key, (_, source) in told.items()}),
        )

    return MappingProxyType({name: of(name, told) for name, told in found.items()})


GROWTH = ("rise", "exponent", "half", "at_birth")
SEGMENTS = ("small_intestine", "duodenum", "ileum")
ENZYMES = (
    "CYP1A2", "CYP2B6", "CYP2C8", "CYP2C9", "CYP2C19", "CYP2D6", "CYP2E1", "CYP2J2", "CYP3A4",
    "UGT1A1", "UGT1A4", "UGT2B4", "UGT2B7", "UGT2B15",
)  # fmt: skip


def enzyme(name: str) -> Enzyme:
    """An enzyme of humans, one of ENZYMES. InputError for another name."""
    if not isinstance(name, str) or name not in _enzymes():
        raise InputError(
            f"unknown enzyme {name!r} (there is no table of it). {suggestion(str(name), ENZYMES)}"
        )
    return _enzymes()[name]
