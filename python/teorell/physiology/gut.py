"""The segments of the fasted human gut: transit times, pH, radius."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from teorell.physiology.files import Row, read_rows, shipped

__all__ = ["gut"]


@cache
def gut() -> Mapping[tuple[str, str], Row]:
    """(segment, quantity) -> the line of data/human_gut.csv: value, unit and source.

    Adults; what is not there (lengths, fluid volumes, animals but for the transit through the small
    intestine in data/animals.csv) is not known here.
    """
    rows = read_rows(shipped("human_gut.csv"), ("segment", "quantity"))
    return MappingProxyType({(row.keys[0], row.keys[1]): row for row in rows})
