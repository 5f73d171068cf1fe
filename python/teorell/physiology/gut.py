"""The segments of the gut: transit times, pH, sizes, fluid, blood."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from teorell.physiology.animals import SAME
from teorell.physiology.checks import check_species
from teorell.physiology.files import Row, read_rows, shipped

__all__ = ["gut"]


def gut(species: str = "human") -> Mapping[tuple[str, str], Row]:
    """(segment, quantity) -> the line of data/gut.csv: value, unit and source.

    Quantities: transit (h), ph, length (cm), length_share (of the small intestine), radius (cm, as
    models of absorption take it) and inner_radius (cm, as measured), folds (of the mucosa, times
    the cylinder), mucosa (m2, with villi and microvilli), fluid (mL), flow_share_male and _female
    (of the cardiac output). Adults, fasted but where the source says fed. Of humans most are there,
    of animals some; what is not there is not known here. InputError for an unknown species.
    """
    check_species(species)
    return _guts()[SAME.get(species, species)]


@cache
def _guts() -> Mapping[str, Mapping[tuple[str, str], Row]]:
    found: dict[str, dict[tuple[str, str], Row]] = {}
    for row in read_rows(shipped("gut.csv"), ("species", "segment", "quantity")):
        species, segment, quantity = row.keys
        found.setdefault(species, {})[segment, quantity] = row
    return MappingProxyType({each: MappingProxyType(rows) for each, rows in found.items()})
