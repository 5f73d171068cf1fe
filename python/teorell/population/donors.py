"""The people of NHANES 2013-2018 whose sizes, blood and creatinine were measured.

data/nhanes.csv.gz of `physiology/`: rows of the survey as httk 2.7 has them (most of them), public
domain. Newborns to 79 years; haematocrit from 1 year on, serum creatinine from 12. The survey tells
of older people only that they are older: those of 70 to 79 years stand for them, as many for each
year of age, with the filtration that is left (AV).
"""

from __future__ import annotations

import gzip
import warnings
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from teorell.errors import InputError, InputWarning
from teorell.physiology.files import shipped
from teorell.physiology.maturation import filtration

__all__ = ["OLDEST", "Chosen", "Donors", "Wanted", "chosen", "donors", "filtration_left"]

OLDEST = 80.0  # years: nobody of the survey is older
STANDS = 70.0  # years, from which on people stand for those who are older than OLDEST
# what older people's filtration falls by a year, men and women: 0.96 and 1.15 mL/min/1.73 m2 (AV),
# over the survey's mean at 75 to 79 years
DECLINE = (0.96 / 65.8, 1.15 / 65.6)
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


class Chosen(NamedTuple):
    """People like those wanted, (k,) each."""

    rows: NDArray[np.int64]  # of donors
    edges: Column  # of how often each is drawn, summed up
    older: NDArray[np.bool_]  # whether one stands for people older than OLDEST


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


def filtration_left(years: Column | float, female: NDArray[np.bool_]) -> Column:
    """The part of an old person's filtration rate that is left after some years (AV)."""
    return np.asarray(np.exp(-np.where(female, *reversed(DECLINE)) * years))


def chosen(wanted: Wanted, survey: bool) -> Chosen:
    """Those of `donors` who are like those wanted. InputError if there is none.

    survey: as often as the survey's weights say; else each as often as another.
    """
    low, high = wanted.age
    measured = stands = np.zeros(0, np.int64)
    years = high - max(low, OLDEST)  # of those whom nobody measured
    if low <= OLDEST:
        span = (low, min(high, OLDEST))
        if low == high:  # measured a little younger or older
            window = min(0.15 + 0.1 * low, 2.5)
            span = (max(low - window, 0.0), low + window)
        measured = _alike(wanted, *span)
    if high > OLDEST:
        stands = _alike(wanted, STANDS, OLDEST, aged=0.5 * (max(low, OLDEST) + high))
    rows = np.concatenate([measured, stands])
    _check(wanted, rows.size)
    if high > OLDEST:
        warnings.warn(
            f"nobody older than {OLDEST:g} years was measured (people of {STANDS:g} to 79 of the "
            "survey stand for them, with the heart, kidneys, liver and muscle of the age; the very "
            "old are lighter). Compare with people of your own.",
            InputWarning,
            stacklevel=4,
        )
    odds = donors().survey_weight[rows] if survey else np.ones(rows.size)
    older = np.arange(rows.size) >= measured.size
    if low < high:  # as many for each year of age as there are of those who stand for them
        odds = np.where(older, odds * years / (OLDEST - STANDS), odds)
    return Chosen(rows, np.cumsum(odds), older)


def _alike(wanted: Wanted, low: float, high: float, aged: float | None = None) -> NDArray[np.int64]:
    """The rows of people between two ages who are like those wanted, at the age `aged` if told."""
    all_rows = donors()
    fits = (all_rows.age + 1.0 / 12.0 > low) & (all_rows.age <= high)
    if wanted.sex is not None:
        fits &= all_rows.female == bool(wanted.sex)
    if wanted.bmi is not None:
        index = all_rows.weight / all_rows.height**2
        fits &= (index >= wanted.bmi[0]) & (index <= wanted.bmi[1])
    if wanted.gfr is not None:
        gfr = all_rows.gfr
        if aged is not None:
            gfr = gfr * filtration_left(aged - all_rows.age, all_rows.female)
        fits &= (gfr >= wanted.gfr[0]) & (gfr <= wanted.gfr[1])
    return np.flatnonzero(fits)


def _check(wanted: Wanted, found: int) -> None:
    """InputError for people of whom nobody was measured, a warning for few."""
    people = donors().age.size
    if not found:
        raise InputError(
            f"nobody measured is like this ({_told(wanted)}; of {people} people of "
            "NHANES 2013-2018; filtration from 12 years on). Ask for wider ranges, or build one by "
            "teorell.Body.human."
        )
    if found < FEWEST:
        warnings.warn(
            f"only {found} of {people} people measured are like this "
            f"({_told(wanted)}; a sample says little of how such people differ). Ask for wider "
            "ranges.",
            InputWarning,
            stacklevel=5,
        )


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
