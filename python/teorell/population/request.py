"""Who is asked for, checked: ages, sex, body mass index, filtration rate."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from teorell.arrays import is_number
from teorell.errors import InputError, suggestion
from teorell.physiology.checks import check_species, sex_of
from teorell.physiology.growth import OLDEST as VERY_OLD
from teorell.population.donors import OLDEST, Wanted

__all__ = ["requested"]

# Stages of the filtration rate, mL/min/1.73 m2: KDIGO (2013), Kidney Int Suppl 3:1-150
STAGES = {
    "normal": (90.0, 300.0), "mild": (60.0, 90.0), "moderate": (30.0, 60.0), "severe": (15.0, 30.0),
    "failure": (0.0, 15.0),
}  # fmt: skip
INDICES = (5.0, 150.0)  # kg/m2: beyond, nobody


def requested(species: str, *, age: Any, sex: Any, bmi: Any, gfr: Any) -> Wanted | None:
    """Who is asked for; None for animals. InputError and TypeError for what makes no sense."""
    check_species(species)
    if species != "human":
        for name, value in (("age", age), ("sex", sex), ("bmi", bmi), ("gfr", gfr)):
            if value is not None:
                raise InputError(
                    f"{name} of the {species} (its table does not tell it). Leave it out."
                )
        return None
    if isinstance(gfr, str):
        if gfr.casefold() not in STAGES:
            raise InputError(f"gfr is {gfr!r} (a stage or a range). {suggestion(gfr, STAGES)}")
        gfr = STAGES[gfr.casefold()]
    ages = _range("age", (0.0, OLDEST) if age is None else age, "years", 0.0, VERY_OLD, one=True)
    if gfr is not None and ages[1] < 12.0:
        raise InputError(
            "gfr of children below 12 years (the survey did not measure creatinine then). Leave it "
            "out, or build them by teorell.Body.human."
        )
    return Wanted(
        age=ages,
        sex=None if sex is None else sex_of(sex),
        bmi=None if bmi is None else _range("bmi", bmi, "kg/m2", *INDICES),
        gfr=None if gfr is None else _range("gfr", gfr, "mL/min/1.73 m2", 0.0, 300.0),
    )


def _range(
    name: str, given: Any, of: str, low: float, high: float, one: bool = False
) -> tuple[float, float]:
    """Two numbers in their order, or one where that may be; InputError for others."""
    pair = given
    if is_number(given) and one:
        pair = (given, given)
    if isinstance(pair, np.ndarray):
        pair = pair.tolist()
    fits = isinstance(pair, tuple | list) and len(pair) == 2
    if not fits or not all(is_number(each) for each in pair):
        what = "a number or two" if one else "two numbers"
        raise TypeError(f"{name} is {given!r} ({what} of {of} are needed). Give (least, most).")
    least, most = float(pair[0]), float(pair[1])
    for each in (least, most):
        if not (math.isfinite(each) and low <= each <= high):
            raise InputError(
                f"{name} is {each:g} ({low:g} to {high:g} {of}). Give a number in this range."
            )
    if least > most or (least == most and not one):
        raise InputError(
            f"{name} goes from {least:g} to {most:g} (nobody is there). Give (least, most)."
        )
    return least, most
