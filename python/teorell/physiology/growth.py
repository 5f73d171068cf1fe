"""The reference human of every age: ICRP 89's at birth, 1, 5, 10, 15 years and grown up.

Between these ages numbers follow a monotone cubic in the square root of the age: growth is fastest
after birth, and monotone where the reference bodies' numbers are. Grown up is 20 years here.
Sources stand in data/human_growth.csv and data/human_ageing.csv.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from teorell.errors import InputError
from teorell.physiology.files import Row, read_rows, shipped

__all__ = [
    "GROWN",
    "GROWN_UP",
    "OLDEST",
    "SEXES",
    "ageing",
    "check_unit",
    "haematocrit_at",
    "reference_at",
]

Column = NDArray[np.float64]
SEXES = ("male", "female")  # in the order of `female`: 0, 1
GROWN_UP = 20.0  # years
OLDEST = 100.0  # years; what changes with age was measured up to 70 to 90, and stays there
UNITS = {"body_weight": "kg", "height": "m", "cardiac_output": "L/h", "haematocrit": "1"}
# what is told of each age: sizes, and the parts of the body that make its weight but the rest
GROWN = (
    "body_weight", "height", "cardiac_output", "mass_lung", "mass_adipose", "mass_bone",
    "mass_brain", "mass_gonads", "mass_heart", "mass_kidney", "mass_muscle", "mass_skin",
    "mass_stomach", "mass_small_intestine", "mass_large_intestine", "mass_spleen",
    "mass_pancreas", "mass_liver", "mass_blood",
)  # fmt: skip


def reference_at(age: Column, female: NDArray[np.bool_]) -> dict[str, Column]:
    """The numbers GROWN of the reference body at `age` (years, (n,)), name -> (n,), in kg, m, L/h,
    and `mass_rest`, what is left of the body weight.
    """
    root = np.sqrt(np.minimum(age, GROWN_UP))
    knots = _growth().knots
    k = np.clip(np.searchsorted(knots, root, side="right") - 1, 0, len(knots) - 2)
    x, place = root - knots[k], (len(knots) - 1) * female.astype(np.intp) + k
    found = {}
    for name in GROWN:
        value, slope, bend, twist = (term[place] for term in _growth().terms[name])
        found[name] = value + x * (slope + x * (bend + x * twist))
    parts = [found[name] for name in GROWN if name.startswith("mass_")]
    found["mass_rest"] = found["body_weight"] - sum(parts)
    return found


def haematocrit_at(age: Column, female: NDArray[np.bool_]) -> Column:
    """The mean haematocrit at `age` (years), (n,), linear between the ages of the table."""
    pair = [np.interp(age, *each) for each in _haematocrit()]
    return np.where(female, pair[1], pair[0])


def ageing(name: str, age: Column) -> Column:
    """What is left at `age` (years) of a number of the grown up, (n,): 1 at first, falling linearly
    between the ages of data/human_ageing.csv, and constant then.
    """
    first, last, left = _ages()[name]
    return np.interp(age, [first, last], [1.0, left])


class _Growth(NamedTuple):
    knots: Column  # square roots of ages in years
    # name -> the terms of its cubics, (2 (knots - 1),): those of males, then those of females
    terms: Mapping[str, tuple[Column, Column, Column, Column]]


@cache
def _growth() -> _Growth:
    table = _by_age(shipped("human_growth.csv"), GROWN)
    knots = np.sqrt(table["male", GROWN[0]][0])
    terms = {}
    for name in GROWN:
        of_sex = [_cubics(knots, table[sex, name][1]) for sex in SEXES]
        value, slope, bend, twist = (np.concatenate(pair) for pair in zip(*of_sex, strict=True))
        terms[name] = value, slope, bend, twist
    return _Growth(knots, MappingProxyType(terms))


def _cubics(knots: Column, values: Column) -> tuple[Column, Column, Column, Column]:
    """The terms of a monotone cubic through values at knots (Fritsch & Carlson 1980, SIAM J Numer
    Anal 17:238-246), flat at the last.
    """
    step, rise = np.diff(knots), np.diff(values) / np.diff(knots)
    slope = np.zeros_like(values)
    for k in range(1, len(knots) - 1):
        if rise[k - 1] * rise[k] > 0.0:
            before, after = 2 * step[k] + step[k - 1], step[k] + 2 * step[k - 1]
            slope[k] = (before + after) / (before / rise[k - 1] + after / rise[k])
    slope[0] = 0.5 * rise[0]  # against the square root of the age growth begins slowly
    bend = (3 * rise - 2 * slope[:-1] - slope[1:]) / step
    twist = (slope[:-1] + slope[1:] - 2 * rise) / step**2
    return values[:-1], slope[:-1], bend, twist


@cache
def _haematocrit() -> tuple[tuple[Column, Column], ...]:
    table = _by_age(shipped("haematocrit.csv"), ("haematocrit",))
    return tuple(table[sex, "haematocrit"] for sex in SEXES)


def _by_age(file: Path, names: tuple[str, ...]) -> dict[tuple[str, str], tuple[Column, Column]]:
    """(sex, quantity) -> ages and values, ascending in age."""
    found: dict[tuple[str, str], dict[float, float]] = {}
    for row in read_rows(file, ("sex", "age_y", "quantity")):
        sex, age, name = row.keys
        check_unit(file, row, UNITS.get(name, "kg"))
        found.setdefault((sex, name), {})[float(age)] = row.value
    lacking = [(sex, name) for sex in SEXES for name in names if (sex, name) not in found]
    if lacking:
        raise InputError(f"{file}: no {', '.join(lacking[0])} (every part is needed). Add it.")
    return {
        key: (np.array(sorted(ages)), np.array([ages[age] for age in sorted(ages)]))
        for key, ages in found.items()
    }


def check_unit(path: Path, row: Row, unit: str) -> None:
    """InputError for a number in another unit than the one that is read."""
    if row.unit != unit:
        raise InputError(
            f"{path}, line {row.line}: {', '.join(row.keys)} in {row.unit} ({unit} is read). "
            "Convert it."
        )


@cache
def _ages() -> Mapping[str, tuple[float, float, float]]:
    rows = read_rows(shipped("human_ageing.csv"), ("quantity", "from_y", "to_y"))
    return MappingProxyType(
        {row.keys[0]: (float(row.keys[1]), float(row.keys[2]), row.value) for row in rows}
    )
