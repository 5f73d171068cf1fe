"""What is given of a body: species, sex, numbers in reason."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import is_number
from teorell.errors import InputError, suggestion
from teorell.physiology.animals import ANIMALS, NEEDED

__all__ = ["SPECIES", "WORDS", "check_ages", "check_species", "number_between", "sex_of"]

SPECIES = ("human", *ANIMALS)
WITHOUT = ("pig", "cat", "cattle")  # which somebody may ask for
WORDS = {"male": 0, "female": 1, "man": 0, "woman": 1, "m": 0, "f": 1}


def sex_of(sex: object) -> int:
    """1 for "female" or "woman", 0 for "male" or "man". InputError for another word."""
    if not isinstance(sex, str) or sex.casefold() not in WORDS:
        hint = suggestion(sex, WORDS) if isinstance(sex, str) else 'Give "female" or "male".'
        raise InputError(f"sex is {sex!r} (a word is needed). {hint}")
    return WORDS[sex.casefold()]


def check_species(species: object) -> None:
    """InputError, with the nearest name, for a species of which there is no table."""
    if isinstance(species, str) and species in WITHOUT:
        raise InputError(
            f"no table of the {species} is shipped (none may be). Give Body.of table= the path of "
            f"your own, with the {len(NEEDED)} numbers of teorell.physiology.animals.NEEDED."
        )
    if species not in SPECIES:
        raise InputError(
            f"unknown species {species!r} (there is no table of it). "
            f"{suggestion(str(species), SPECIES)}"
        )


def check_ages(age: object) -> NDArray[np.float64]:
    """Ages in years, of any shape; InputError for what is none or below 0."""
    try:
        ages = np.asarray(age, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"age is {age!r:.60} (numbers of years are needed). Give some.") from None
    good = np.isfinite(ages) & (ages >= 0.0)
    if not good.all():
        raise InputError(f"age is {ages[~good][0]:g} (it counts years from birth). Give 0 or more.")
    return ages


def number_between(
    value: object, name: str, of: str, low: float, high: float, whose: str = ""
) -> float:
    """A finite number between two others; InputError in words, TypeError for what is none."""
    if not is_number(value):
        raise TypeError(f"{name} is {value!r} (a number of {of} is needed). Give one.")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not (math.isfinite(number) and low <= number <= high):
        at = f" at {whose}" if whose else ""
        span = f"{low:.3g} to {high:.3g}" if high < math.inf else f"{low:g} or more"
        raise InputError(f"{name} is {number:.10g} ({span} {of}{at}). Give a number in this range.")
    return number
