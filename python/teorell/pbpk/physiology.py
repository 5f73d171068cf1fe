"""The reference adult man: organ masses, blood flows, blood contents, densities, tissue
composition.

Sources, cited below by these letters:

A  ICRP Publication 89 (2002), Basic anatomical and physiological data, Ann ICRP 32(3-4): organ
   masses without their blood, adult male of 73 kg (table 2.8); regional blood volumes and cardiac
   output of 6.5 L/min with its distribution (chapter 7).
B  Brown et al. (1997), Physiological parameter values for PBPK models, Toxicol Ind Health
13:407-484, and the US EPA
   Physiological Parameters Database: tissue densities (as in httk, tissue_data: MIT).
C  Poulin & Theil (2002), Prediction of pharmacokinetics prior to in vivo studies 1, J Pharm Sci
   91:129-156: volume fractions of water, neutral lipids and phospholipids in human tissues and
   plasma.
D  McNally et al. (2014), PopGen: a virtual human population generator, Toxicology 315:70-85:
   variation of organ masses and flows between people (as in httk, organ_mass_flow_reference_by_sex:
   MIT).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

BODY_WEIGHT = 73.0  # kg (A)
CARDIAC_OUTPUT = 390.0  # L/h: 6.5 L/min (A)
BLOOD_MASS = 5.6  # kg (A)
BLOOD_DENSITY = 1.06  # kg/L: 5.6 kg are 5.3 L (A)
ARTERIAL_BLOOD = 0.105  # of the blood: aorta and large arteries 6 %, left heart 4.5 % (A)
FLOW_EXPONENT = 0.75  # flows and renal clearance over body weight: the allometric exponent (B)
METABOLIC_WEIGHT: float = BODY_WEIGHT**FLOW_EXPONENT  # kg^0.75
CARDIAC_INDEX = CARDIAC_OUTPUT / METABOLIC_WEIGHT  # L/h/kg^0.75

# organs whose blood goes to the liver by the portal vein
SPLANCHNIC = ("stomach", "gut", "spleen", "pancreas")


@dataclass(frozen=True)
class Tissue:
    """Volume fractions (L/L) of water, neutral lipids and phospholipids (C)."""

    water: float
    neutral_lipids: float
    phospholipids: float
    # binding protein, tissue to plasma: 0.5 in lean tissues; none counted in fat (C)
    albumin_ratio: float = 0.5


@dataclass(frozen=True)
class Organ:
    """One organ of the reference man."""

    mass: float  # kg, without blood (A)
    flow: float  # share of the cardiac output (A); 1 for the lung, which is in series
    blood: float  # share of the body's blood (A)
    density: float  # kg/L (B)
    tissue: Tissue
    mass_cv: float  # coefficient of variation of the share of the body weight (D)


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
# body as muscle. Bone is the whole skeleton with cartilage and marrow, so adipose is separable
# adipose without the yellow marrow; gut is small and large intestine, walls only. The blood of the
# heart's chambers belongs to the blood pools. The rest is what is left of 73 kg (lymph nodes,
# thyroid, connective tissue, contents of the gut and bladder) and of the cardiac output (bronchi
# 2.5 %, lymph nodes 1.7, thyroid 1.5, adrenals 0.3, bladder 0.06, others 1.39); its blood is
# bladder, thyroid, adrenals, lymph nodes and others, rounded so that all blood is counted.
ORGANS = MappingProxyType(
    {
        #                   kg       flow    blood   kg/L          CV
        "lung": Organ(0.500, 1.0000, 0.1250, 1.050, LUNG, 0.33),
        "adipose": Organ(14.600, 0.0500, 0.0500, 0.916, FAT, 0.42),
        "bone": Organ(10.500, 0.0500, 0.0700, 1.300, BONE, 0.01),
        "brain": Organ(1.450, 0.1200, 0.0120, 1.035, BRAIN, 0.05),
        "gonads": Organ(0.035, 0.0005, 0.0004, 1.040, MUSCLE, 0.05),
        "heart": Organ(0.330, 0.0400, 0.0100, 1.030, HEART, 0.19),
        "kidney": Organ(0.310, 0.1900, 0.0200, 1.050, KIDNEY, 0.25),
        "muscle": Organ(29.000, 0.1700, 0.1400, 1.041, MUSCLE, 0.27),
        "skin": Organ(3.300, 0.0500, 0.0300, 1.117, SKIN, 0.05),
        "rest": Organ(4.115, 0.0745, 0.0226, 1.040, MUSCLE, 0.00),
        "stomach": Organ(0.150, 0.0100, 0.0100, 1.044, GUT, 0.31),
        "gut": Organ(1.020, 0.1400, 0.0600, 1.044, GUT, 0.12),
        "spleen": Organ(0.150, 0.0300, 0.0140, 1.054, SPLEEN, 0.38),
        "pancreas": Organ(0.140, 0.0100, 0.0060, 1.045, GUT, 0.27),
        "liver": Organ(1.800, 0.0650, 0.1000, 1.050, LIVER, 0.24),  # flow: the hepatic artery
    }
)
BLOOD_MASS_CV = 0.10  # (D)
FLOW_CV = 0.05  # of each organ's share of the cardiac output (D)


def hepatic_flow() -> float:
    """Blood flow through the liver of the reference man, hepatic artery and portal vein, L/h."""
    return CARDIAC_OUTPUT * (ORGANS["liver"].flow + sum(ORGANS[name].flow for name in SPLANCHNIC))


def venous_blood() -> float:
    """Share of the blood in the venous pool: large veins, right heart, and what no organ claims."""
    return 1.0 - ARTERIAL_BLOOD - sum(organ.blood for organ in ORGANS.values())


def _check() -> None:
    """The identities that the model relies on; a wrong table must not import."""
    mass = BLOOD_MASS + sum(organ.mass for organ in ORGANS.values())
    flow = sum(organ.flow for name, organ in ORGANS.items() if name != "lung")
    if abs(mass - BODY_WEIGHT) > 1e-9 or abs(flow - 1.0) > 1e-9 or not 0.2 < venous_blood() < 0.25:
        raise AssertionError(
            f"the reference man does not add up: {mass} kg, {flow} of the cardiac output"
        )


_check()
