"""The reference man and woman: sizes, organ masses, blood flows and blood contents.

Letters cite `sources.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from teorell.physiology.vocabulary import FLOWS, MASSES, ORGANS, SPLANCHNIC

__all__ = [
    "ARTERIAL_BLOOD",
    "BLOOD_DENSITY",
    "BLOOD_MASS",
    "BODY_WEIGHT",
    "CARDIAC_INDEX",
    "CARDIAC_OUTPUT",
    "FLOW_EXPONENT",
    "GFR",
    "HAEMATOCRIT",
    "HEIGHT",
    "MASS",
    "METABOLIC_WEIGHT",
    "MOSTELLER",
    "REFERENCE",
    "STANDARD_SURFACE",
    "Organ",
    "Pair",
    "hepatic_flow",
    "venous_blood",
]


class Pair(NamedTuple):
    """A number of the man and of the woman; `pair[female]` is that of either."""

    man: float
    woman: float


BODY_WEIGHT = Pair(73.0, 60.0)  # kg (A)
HEIGHT = Pair(1.76, 1.63)  # m (A)
CARDIAC_OUTPUT = Pair(390.0, 354.0)  # L/h: 6.5 and 5.9 L/min (A)
BLOOD_MASS = Pair(5.6, 4.1)  # kg (A)
BLOOD_DENSITY = 1.06  # kg/L: 5.6 kg are 5.3 L (A)
ARTERIAL_BLOOD = 0.105  # of the man's blood: aorta and large arteries 6 %, left heart 4.5 % (A)
HAEMATOCRIT = 0.44  # of the man (G)

FLOW_EXPONENT = 0.75  # flows and renal clearance over body weight: the allometric exponent (B)
METABOLIC_WEIGHT: float = BODY_WEIGHT.man**FLOW_EXPONENT  # of the man, kg^0.75
CARDIAC_INDEX = CARDIAC_OUTPUT.man / METABOLIC_WEIGHT  # of the man, L/h/kg^0.75

MOSTELLER = 100.0 / 3600.0  # m3/kg: body surface squared, over height times weight (M)
STANDARD_SURFACE = 1.73  # m2, the body surface for which filtration rates are told
# The man's filtration rate, mL/min/1.73 m2: 125 mL/min at 70 kg (G) are 129 at his 73 kg by the
# exponent above, and his surface is 1.89 m2.
GFR = (
    125.0
    * (BODY_WEIGHT.man / 70.0) ** FLOW_EXPONENT
    * (STANDARD_SURFACE / math.sqrt(MOSTELLER * HEIGHT.man * BODY_WEIGHT.man))
)


@dataclass(frozen=True)
class Organ:
    """One organ of the reference adults."""

    mass: Pair  # kg, without blood (A)
    flow: Pair  # share of the cardiac output (A); 1 for the lung, which is in series
    blood: float  # share of the man's blood (A)
    # kg, about which people vary in (D), and the ranges of the constraints lie; unless that is
    # another number it is `mass`
    centre: Pair


def _organ(
    man: float,
    woman: float,
    flow_of_man: float,
    flow_of_woman: float,
    blood: float,
    centre: tuple[float, float] | None = None,
) -> Organ:
    mass = Pair(man, woman)
    return Organ(mass, Pair(flow_of_man, flow_of_woman), blood, Pair(*centre) if centre else mass)


# Bone is the whole skeleton with cartilage and marrow, so adipose is separable adipose without the
# yellow marrow; (D) counts the marrow with adipose, and its muscle, skin and kidneys differ a
# little from (A) too. Gut is small and large intestine, walls only; gonads are testes or ovaries.
# The blood of the heart's chambers belongs to the blood pools. The rest is what is left of the body
# weight (lymph nodes, thyroid, connective tissue, contents of the gut and bladder) and of the
# cardiac output (of the man: bronchi 2.5 %, lymph nodes 1.7, thyroid 1.5, adrenals 0.3, bladder
# 0.06, others 1.39); its blood is bladder, thyroid, adrenals, lymph nodes and others, rounded so
# that all blood is counted. The flow to the liver is that of the hepatic artery.
REFERENCE: Mapping[str, Organ] = MappingProxyType(
    {
        #                 kg: man, woman    flow: man, woman    blood
        "lung": _organ(0.500, 0.420, 1.0000, 1.0000, 0.1250),
        "adipose": _organ(14.500, 19.000, 0.0500, 0.0850, 0.0500, centre=(17.0, 21.1)),
        "bone": _organ(10.500, 7.800, 0.0500, 0.0500, 0.0700),
        "brain": _organ(1.450, 1.300, 0.1200, 0.1200, 0.0120),
        "gonads": _organ(0.035, 0.011, 0.0005, 0.0002, 0.0004),
        "heart": _organ(0.330, 0.250, 0.0400, 0.0500, 0.0100),
        "kidney": _organ(0.310, 0.275, 0.1900, 0.1700, 0.0200, centre=(0.31, 0.28)),
        "muscle": _organ(29.000, 17.500, 0.1700, 0.1200, 0.1400, centre=(29.1, 17.5)),
        "skin": _organ(3.300, 2.300, 0.0500, 0.0500, 0.0300, centre=(3.3, 3.3)),
        "rest": _organ(4.215, 4.294, 0.0745, 0.0798, 0.0226),
        "stomach": _organ(0.150, 0.140, 0.0100, 0.0100, 0.0100),
        "gut": _organ(1.020, 0.960, 0.1400, 0.1600, 0.0600),
        "spleen": _organ(0.150, 0.130, 0.0300, 0.0300, 0.0140),
        "pancreas": _organ(0.140, 0.120, 0.0100, 0.0100, 0.0060),
        "liver": _organ(1.800, 1.400, 0.0650, 0.0650, 0.1000),
    }
)
# kg, of the parts that make the body weight: organs without their blood, and all blood
MASS: Mapping[str, Pair] = MappingProxyType(
    {**{name: organ.mass for name, organ in REFERENCE.items()}, "blood": BLOOD_MASS}
)


def hepatic_flow() -> float:
    """Blood flow through the liver of the reference man, hepatic artery and portal vein, L/h."""
    portal = sum(REFERENCE[name].flow.man for name in SPLANCHNIC)
    return CARDIAC_OUTPUT.man * (REFERENCE["liver"].flow.man + portal)


def venous_blood() -> float:
    """Share of the man's blood in the venous pool: large veins, right heart, and what no organ
    claims.
    """
    return 1.0 - ARTERIAL_BLOOD - sum(organ.blood for organ in REFERENCE.values())


def _check() -> None:
    """The identities that model and constraints rely on; a wrong table must not import."""
    for sex in (0, 1):
        mass = sum(pair[sex] for pair in MASS.values())
        flow = sum(REFERENCE[name].flow[sex] for name in FLOWS)
        if abs(mass - BODY_WEIGHT[sex]) > 1e-9 or abs(flow - 1.0) > 1e-9:
            raise AssertionError(
                f"the reference {Pair._fields[sex]} does not add up: {mass} kg, {flow} of the "
                "cardiac output"
            )
    if tuple(REFERENCE) != ORGANS or tuple(MASS) != MASSES or not 0.2 < venous_blood() < 0.25:
        raise AssertionError("organs other than the vocabulary's, or a wrong share of venous blood")


_check()
