"""Transporters of the human liver and gut: how much there is, and what age makes of it."""

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

__all__ = ["TRANSPORTERS", "Transporter", "transporter"]

Column = NDArray[np.float64]
TRANSPORTERS = (
    "OATP1B1", "OATP1B3", "OATP2B1", "OCT1", "OCT3", "P-gp", "BCRP", "MRP2", "MRP3", "ASBT", "PEPT1"
)  # fmt: skip
GROWTH = ("at_birth", "rise", "half_age", "exponent")


@dataclass(frozen=True)
class Transporter:
    """A transporter: its abundances in adults, and its ontogeny in the liver where known."""

    name: str
    liver: float | None  # pmol per mg of membrane protein; None where not known
    jejunum: float | None  # the same
    growth: tuple[float, float, float, float] | None  # GROWTH: pmol/mg, pmol/mg, years, 1
    sources: Mapping[str, str]  # of each number, letters of SOURCES

    def ontogeny(self, age: float | Column) -> Column:
        """What is in the liver at `age` (years), over what is there at 30 years: of b + r a^n /
        (h^n + a^n) (AT). InputError for a transporter of which this is not known, and what is no
        age.
        """
        if self.growth is None:
            raise InputError(
                f"the ontogeny of {self.name} (it is not known here: of these it is: "
                f"{', '.join(_grown())}). Give a number of your own."
            )
        birth, rise, half, exponent = self.growth
        ages = check_ages(age)
        power = np.array([30.0, *ages.ravel()]) ** exponent
        there = birth + rise * power / (half**exponent + power)
        return np.reshape(there[1:] / there[0], ages.shape)


def transporter(name: str) -> Transporter:
    """A transporter, one of TRANSPORTERS. InputError for another name."""
    if not isinstance(name, str) or name not in _transporters():
        raise InputError(
            f"unknown transporter {name!r} (there is no table of it). "
            f"{suggestion(str(name), TRANSPORTERS)}"
        )
    return _transporters()[name]


@cache
def _transporters() -> Mapping[str, Transporter]:
    found: dict[str, dict[str, tuple[float, str]]] = {}
    for row in read_rows(shipped("transporters.csv"), ("transporter", "quantity")):
        found.setdefault(row.keys[0], {})[row.keys[1]] = (row.value, row.source)

    def of(name: str, told: Mapping[str, tuple[float, str]]) -> Transporter:
        numbers = {key: value for key, (value, _) in told.items()}
        birth, rise, half, exponent = (numbers.get(key, np.nan) for key in GROWTH)
        return Transporter(
            name=name,
            liver=numbers.get("liver"),
            jejunum=numbers.get("jejunum"),
            growth=(birth, rise, half, exponent) if GROWTH[0] in numbers else None,
            sources=MappingProxyType({key: source for key, (_, source) in told.items()}),
        )

    return MappingProxyType({name: of(name, told) for name, told in found.items()})


def _grown() -> list[str]:
    return [each.name for each in _transporters().values() if each.growth is not None]
