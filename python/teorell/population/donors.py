"""The people of NHANES 2013-2018 whose sizes, blood and creatinine were measured.

data/nhanes.csv.gz of `physiology/`: rows of the survey as httk 2.7 has them (most of them), public
domain. Newborns to 79 years; haematocrit from 1 year on, serum creatinine from 12.
"""

from __future__ import annotations

import gzip
import warnings
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from teorell.errors import InputError, InputWarning
from teorell.physiology.files import shipped
from teorell.physiology.maturation import filtration

__all__ = ["OLDEST", "Donors", "Wanted", "chosen", "donors"]

OLDEST = 80.0  # years: nobody of the survey is older
FEWEST = 20  # donors, below which a sample says little of how people differ

Column = NDArray[np.float64]


@dataclass(frozen=True)
class Donors:
    """Measured people, (rows,) each, by sex and then age."""

    age: Column  # years, at the beginning of the month of life in which they were measured
    female: NDArray[np.bool_]
    weight: Column  # kg
    height: Column  # m
    haematocrit: Column  # NaN below 1 year
    gfr: Column  # mL/min/1.73 m2 from serum creatinine; NaN below 12 years
    survey_weight: Column  # people of the United States that one stands for


@dataclass(frozen=True)
class Wanted:
    """Who is asked for; None is everybody."""

    age: tuple[float, float]  # years; both the same: of this very age
    sex: int | None = None
    bmi: tuple[float, float] | None = None  # kg/m2
    gfr: tuple[float, float] | None = None  # mL/min/1.73 m2


@cache
def donors() -> Donors:
    """The table, read once."""
    with gzip.open(shipped("nhanes.csv.gz"), "rt", encoding="ascii") as file:
        text = file.read().replace(",,", ",nan,").replace(",,", ",nan,")
    table = np.array(text.split("\n", 1)[1].replace("\n", ",").split(",")[:-1], np.float64)
    months, female, weight, height, blood, creatinine, survey = table.reshape(-1, 7).T
    age, sex, tall = months / 12.0, female > 0.5, height / 100.0
    filtered = filtration(age + 1.0 / 24.0, sex, creatinine, tall)
    return Donors(age, sex, weight, tall, blood / 100.0, filtered, survey)


def chosen(wanted: Wanted) -> NDArray[np.int64]:
    """The rows of `donors` that are like those wanted. InputError if there is none."""
    all_rows = donors()
    low, high = wanted.age
    if low == high:  # measured a little younger or older
        window = min(0.15 + 0.1 * low, 2.5)
        low, high = max(low - window, 0.0), low + window
    fits = (all_rows.age + 1.0 / 12.0 > low) & (all_rows.age <= high)
    if wanted.sex is not None:
        fits &= all_rows.female == bool(wanted.sex)
    if wanted.bmi is not None:
        index = all_rows.weight / all_rows.height**2
        fits &= (index >= wanted.bmi[0]) & (index <= wanted.bmi[1])
    if wanted.gfr is not None:
        fits &= (all_rows.gfr >= wanted.gfr[0]) & (all_rows.gfr <= wanted.gfr[1])
    rows = np.flatnonzero(fits)
    if not rows.size:
        raise InputError(
            f"nobody measured is like this ({_told(wanted)}; of {all_rows.age.size} people of "
            "NHANES 2013-2018; filtration from 12 years on). Ask for wider ranges, or build one by "
            "teorell.Body.human."
        )
    if rows.size < FEWEST:
        warnings.warn(
            f"only {rows.size} of {all_rows.age.size} people measured are like this "
            f"({_told(wanted)}; a sample says little of how such people differ). Ask for wider "
            "ranges.",
            InputWarning,
            stacklevel=4,
        )
    return rows


def _told(wanted: Wanted) -> str:
    """What is asked for, in words."""
    words = [f"age {_span(wanted.age)}"]
    if wanted.sex is not None:
        words.append(("male", "female")[wanted.sex])
    if wanted.bmi is not None:
        words.append(f"bmi {_span(wanted.bmi)}")
    if wanted.gfr is not None:
        words.append(f"gfr {_span(wanted.gfr)}")
    return ", ".join(words)


def _span(pair: tuple[float, float]) -> str:
    return f"{pair[0]:g}" if pair[0] == pair[1] else f"{pair[0]:g} to {pair[1]:g}"
