"""What tissues are made of: densities, water and lipids. Letters cite `sources.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

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


PLASMA = Tissue(0.945, 0.0035, 0.00225)
FAT = Tissue(0.18, 0.79, 0.002, albumin_ratio=0.0)
BONE = Tissue(0.439, 0.074, 0.0011)
BRAIN = Tissue(0.77, 0.051, 0.0565)
GUT = Tissue(0.718, 0.0487, 0.0163)
HEART = Tissue(0.758, 0.0115, 0.0166)
KIDNEY = Tissue(0.783, 0.0207, 0.0162)
LIVER = Tissue(0.751, 0.0348, 0.0252)
LUNG = Tissue(0.811, 0.003, 0.009)
MUSCLE = Tissue(0.76, 0.0238, 0.0072)
SKIN = Tissue(0.718, 0.0284, 0.0111)
SPLEEN = Tissue(0.788, 0.0201, 0.0198)

# Where (C) has no composition: stomach and pancreas are taken as gut, gonads and the rest of the
# body as muscle.
_ORGANS = {
    #         kg/L (B)
    "lung": (1.050, LUNG),
    "adipose": (0.916, FAT),
    "bone": (1.300, BONE),
    "brain": (1.035, BRAIN),
    "gonads": (1.040, MUSCLE),
    "heart": (1.030, HEART),
    "kidney": (1.050, KIDNEY),
    "muscle": (1.041, MUSCLE),
    "skin": (1.117, SKIN),
    "rest": (1.040, MUSCLE),
    "stomach": (1.044, GUT),
    "gut": (1.044, GUT),
    "spleen": (1.054, SPLEEN),
    "pancreas": (1.045, GUT),
    "liver": (1.050, LIVER),
}
DENSITIES: Mapping[str, float] = MappingProxyType({name: _ORGANS[name][0] for name in ORGANS})
TISSUES: Mapping[str, Tissue] = MappingProxyType({name: _ORGANS[name][1] for name in ORGANS})
