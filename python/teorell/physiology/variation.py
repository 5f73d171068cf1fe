"""How adults differ: variation about the reference adults, and growth with body height.

Letters cite `sources.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from teorell.physiology.reference_adults import Pair
from teorell.physiology.vocabulary import MASSES

__all__ = [
    "BODY_WEIGHT_SD",
    "CARDIAC_INDEX_CV",
    "FLOW_CV",
    "SPREAD",
    "SURFACE_CARDIAC_INDEX",
    "SURFACE_CARDIAC_INDEX_SD",
    "Spread",
    "log_sd",
]

# of the log: men of 20 to 60 years with a normal or overweight body mass index, n = 2,183 (N)
BODY_WEIGHT_SD = 0.142
FLOW_CV = 0.05  # of an organ's share of the cardiac output (D)
SURFACE_CARDIAC_INDEX, SURFACE_CARDIAC_INDEX_SD = 3.2, 0.5  # L/min per m2 of body surface (S)
CARDIAC_INDEX_CV = 0.16  # sd over mean of the same (S)


@dataclass(frozen=True)
class Spread:
    """How the mass of a part of the body differs between people."""

    cv: Pair  # coefficient of variation (D)
    exponent: float  # of body height over that of the reference adult (W)
    log_normal: bool  # or normal (D)
    range_cv: Pair  # what the ranges of the constraints take; unless that is another number, `cv`


def _spread(
    cv_of_man: float,
    cv_of_woman: float,
    exponent: float,
    log_normal: bool = False,
    range_cv: tuple[float, float] | None = None,
) -> Spread:
    cv = Pair(cv_of_man, cv_of_woman)
    return Spread(cv, exponent, log_normal, Pair(*range_cv) if range_cv else cv)


# The variation of the gut is that of the small intestine, that of bone the skeleton's. Of skin (D)
# has 5 %, the PBPK toolkit of Metrum Research Group 45 %: people are drawn with the first, and are
# valid within the second. The rest has no variation of its own.
SPREAD: Mapping[str, Spread] = MappingProxyType(
    {
        #               CV: man, woman  exponent  log-normal
        "lung": _spread(0.33, 0.33, 0.75, True),
        "adipose": _spread(0.42, 0.42, 2.0, True),
        "bone": _spread(0.01, 0.01, 2.0),
        "brain": _spread(0.05, 0.05, 0.0),
        "gonads": _spread(0.05, 0.05, 0.75),
        "heart": _spread(0.19, 0.25, 0.75),
        "kidney": _spread(0.25, 0.25, 0.75),
        "muscle": _spread(0.27, 0.27, 2.0, True),
        "skin": _spread(0.05, 0.05, 1.6, True, range_cv=(0.45, 0.45)),
        "rest": _spread(0.00, 0.00, 0.75),
        "stomach": _spread(0.31, 0.13, 0.75),
        "gut": _spread(0.12, 0.13, 0.75),
        "spleen": _spread(0.38, 0.38, 0.75, True),
        "pancreas": _spread(0.27, 0.29, 0.75),
        "liver": _spread(0.24, 0.25, 0.75),
        "blood": _spread(0.10, 0.10, 0.75, True),
    }
)


def log_sd(cv: float) -> float:
    """The standard deviation of the log of a log-normal number whose coefficient of variation is
    `cv`.
    """
    return math.sqrt(math.log1p(cv * cv))


if tuple(SPREAD) != MASSES:
    raise AssertionError("variation of other parts than the vocabulary's")
