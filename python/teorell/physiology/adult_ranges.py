"""Between which numbers adults lie. Letters cite `sources.py`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from teorell.physiology.reference_adults import BLOOD_MASS, REFERENCE, Pair
from teorell.physiology.variation import SPREAD, log_sd

__all__ = [
    "BONE_SHARE",
    "DEVIATIONS",
    "FILTRATION_FRACTION",
    "HEPATIC_SHARE",
    "RANGES",
    "Range",
    "mass_limits",
]

DEVIATIONS = 3.0  # standard deviations that an organ may be away


@dataclass(frozen=True)
class Range:
    """Bounds (lower, upper) for men and women."""

    man: tuple[float, float]
    woman: tuple[float, float]
    source: str


RANGES: Mapping[str, Range] = MappingProxyType(
    {
        "body_weight": Range((56.0, 142.0), (47.0, 131.0), "N"),  # kg
        "height": Range((1.587, 1.890), (1.465, 1.741), "N"),  # m
        "body mass index": Range((19.3, 44.6), (18.7, 49.5), "N"),  # kg/m2
        "body surface": Range((1.61, 2.67), (1.41, 2.46), "M, N"),  # m2
        "haematocrit": Range((0.363, 0.507), (0.318, 0.457), "N"),
        "gfr": Range((45.0, 130.0), (46.0, 134.0), "N"),  # mL/min/1.73 m2
    }
)
# Bone has 1 % in (D), of the skeleton; shares of the body weight of 1,000 virtual adults of the
# PBPK toolkit of Metrum Research Group (2.5 and 97.5 percentiles) are wider.
BONE_SHARE = (0.078, 0.164)
# of the cardiac output, hepatic artery and portal vein: healthy humans of PK-Sim's database
HEPATIC_SHARE = (0.17, 0.31)
# of the renal plasma flow, at most: glomerular filtration is a fifth of it
FILTRATION_FRACTION = 0.3


def mass_limits(part: str) -> tuple[Pair, Pair]:
    """The lowest and the highest mass (kg) of a part of the body, of a man and a woman of the
    reference height: DEVIATIONS from the centre. KeyError for what is none of MASSES.
    """
    centre = BLOOD_MASS if part == "blood" else REFERENCE[part].centre
    spread = SPREAD[part]

    def limit(sex: int, sign: float) -> float:
        mass, cv = centre[sex], spread.range_cv[sex]
        if spread.log_normal:
            return mass * math.exp(sign * DEVIATIONS * log_sd(cv))
        # a twentieth where a normal distribution reaches below nothing
        return mass * max(1.0 + sign * DEVIATIONS * cv, 0.05)

    return Pair(limit(0, -1.0), limit(1, -1.0)), Pair(limit(0, 1.0), limit(1, 1.0))
