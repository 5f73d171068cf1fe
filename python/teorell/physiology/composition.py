"""What tissues of the reference man are made of: densities, water and lipids.

Letters cite `sources.py`. Where (C) has no composition, stomach and pancreas are taken as gut,
gonads and the rest of the body as muscle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from teorell.physiology.tissue_composition import Contents, read_composition
from teorell.physiology.vocabulary import ORGANS

__all__ = ["DENSITIES", "PLASMA", "TISSUES", "Tissue"]


@dataclass(frozen=True)
class Tissue:
    """Volume fractions (L/L) of water, neutral lipids and phospholipids (C)."""

    water: float
    neutral_lipids: float
    phospholipids: float
    # binding protein, tissue to plasma: 0.5 in lean tissues; none counted in fat (C)
    albumin_ratio: float = 0.5


def _tissue(contents: Contents) -> Tissue:
    return Tissue(
        contents["water"],
        contents["neutral_lipids"],
        contents["phospholipids"],
        contents.get("albumin_ratio", 0.5),
    )


_HUMAN = read_composition()
PLASMA = _tissue(_HUMAN.fluid("poulin_theil", "plasma"))

_DENSITIES = {
    # kg/L (B), the skeleton's (A); the stomach is taken as gut; those of gonads, pancreas and the
    # rest are not checked against the paper
    "lung": 1.050,
    "adipose": 0.916,
    "bone": 1.300,
    "brain": 1.035,
    "gonads": 1.040,
    "heart": 1.030,
    "kidney": 1.050,
    "muscle": 1.041,
    "skin": 1.117,
    "rest": 1.040,
    "stomach": 1.044,
    "gut": 1.044,
    "spleen": 1.054,
    "pancreas": 1.045,
    "liver": 1.050,
}
DENSITIES: Mapping[str, float] = MappingProxyType({name: _DENSITIES[name] for name in ORGANS})
TISSUES: Mapping[str, Tissue] = MappingProxyType(
    {name: _tissue(_HUMAN.organ("poulin_theil", name)) for name in ORGANS}
)
