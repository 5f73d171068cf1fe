"""Between which numbers people of an age and sex lie: data/ranges.csv."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from teorell.physiology.files import shipped
from teorell.physiology.growth import SEXES

__all__ = ["COLUMNS", "KINDS", "AgeRange", "Column", "age_ranges"]

Column = NDArray[np.float64]
KINDS = ("plausible", "typical")
COLUMNS = (
    "quantity", "sex", "age_y", "unit", "typical_lower", "typical_upper", "plausible_lower",
    "plausible_upper", "source",
)  # fmt: skip


class AgeRange(NamedTuple):
    """Bounds of one quantity, linear in the age between knots, constant beyond the last."""

    knots: Column  # ages in years, ascending, (k,)
    lower: tuple[Column, Column]  # of men and women, (k,) each
    upper: tuple[Column, Column]
    unit: str
    source: str

    def at(self, age: Column, female: Column) -> tuple[Column, Column]:
        """The bounds of people of an age (years), (n,) each."""
        low, high = (
            np.where(female > 0.5, *(np.interp(age, self.knots, each) for each in reversed(pair)))
            for pair in (self.lower, self.upper)
        )
        return low, high


@cache
def age_ranges(kind: str) -> Mapping[str, AgeRange]:
    """quantity -> its range; kind: one of KINDS."""
    with shipped("ranges.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
    result = {}
    for name in dict.fromkeys(row["quantity"] for row in rows):
        own = [row for row in rows if row["quantity"] == name]
        knots = np.array([float(row["age_y"]) for row in own if row["sex"] == SEXES[0]])
        lower, upper = (
            (
                np.array([float(row[f"{kind}_{end}"]) for row in own if row["sex"] == SEXES[0]]),
                np.array([float(row[f"{kind}_{end}"]) for row in own if row["sex"] == SEXES[1]]),
            )
            for end in ("lower", "upper")
        )
        result[name] = AgeRange(knots, lower, upper, own[0]["unit"], own[0]["source"])
    return MappingProxyType(result)
