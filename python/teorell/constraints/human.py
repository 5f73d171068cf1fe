"""A ready set: what makes an adult human physiologically valid.

Sources, cited by these letters:

A  ICRP Publication 89 (2002), Ann ICRP 32(3-4): organs, blood and cardiac output of the reference
man and woman.
D  McNally et al. (2014), PopGen: a virtual human population generator, Toxicology 315:70-85: their
   variation between people (as in httk, organ_mass_flow_reference_by_sex: MIT).
N  NHANES 2013-2018 (CDC), adults: 2.5 and 97.5 percentiles of body weight, height, body mass index,
   haematocrit, and of the CKD-EPI 2009 filtration rate from serum creatinine.
M  Mosteller (1987), Simplified calculation of body-surface area, N Engl J Med 317:1098.
S  Carlsson et al. (2012), J Cardiovasc Magn Reson 14:51: cardiac index 3.2, sd 0.5 L/min/m2.
W  Willmann et al. (2007), Development of a physiology-based whole-body population model, J
   Pharmacokinet Pharmacodyn 34:401-431: masses of organs over body height, with these exponents.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from teorell.constraints.constraint import reciprocal
from teorell.constraints.constraint_set import ConstraintSet
from teorell.expression import Expression, constant, sqrt, where

__all__ = ["human_adult"]

HEIGHT = {"male": 1.76, "female": 1.63}  # m (A)
CARDIAC_INDEX, CARDIAC_INDEX_SD = 3.2, 0.5  # L/min/m2 (S)
FLOW_CV = 0.05  # of an organ's share of the cardiac output (D)
DEVIATIONS = 3.0  # standard deviations that an organ may be away


@dataclass(frozen=True)
class Range:
    """Bounds for men and women."""

    male: tuple[float, float]
    female: tuple[float, float]
    source: str


RANGES = {
    "body_weight": Range((56.0, 142.0), (47.0, 131.0), "N"),  # kg
    "height": Range((1.587, 1.890), (1.465, 1.741), "N"),  # m
    "body mass index": Range((19.3, 44.6), (18.7, 49.5), "N"),  # kg/m2
    "body surface": Range((1.61, 2.67), (1.41, 2.46), "M, N"),  # m2
    "haematocrit": Range((0.363, 0.507), (0.318, 0.457), "N"),
    "gfr": Range((45.0, 130.0), (46.0, 134.0), "N"),  # mL/min/1.73 m2
}


@dataclass(frozen=True)
class Organ:
    """Mass of the reference man and woman in kg without blood, share of the cardiac output (A);
    variation (D).
    """

    mass: tuple[float, float]
    cv: tuple[float, float]
    exponent: float  # of body height over that of the reference (W)
    flow: tuple[float, float] | None  # None for the lung, which is in series
    log_normal: bool = False


# Gut is small and large intestine, their variation that of the small one; gonads are testes or
# ovaries. Of skin D has 5 %, the PBPK toolkit of Metrum Research Group 45 %: the wider holds here.
ORGANS = {
    "lung": Organ((0.50, 0.42), (0.33, 0.33), 0.75, None, True),
    "adipose": Organ((17.0, 21.1), (0.42, 0.42), 2.0, (0.05, 0.085), True),
    "brain": Organ((1.45, 1.30), (0.05, 0.05), 0.0, (0.12, 0.12)),
    "gonads": Organ((0.035, 0.011), (0.05, 0.05), 0.75, (0.0005, 0.0002)),
    "heart": Organ((0.33, 0.25), (0.19, 0.25), 0.75, (0.04, 0.05)),
    "kidney": Organ((0.31, 0.28), (0.25, 0.25), 0.75, (0.19, 0.17)),
    "muscle": Organ((29.1, 17.5), (0.27, 0.27), 2.0, (0.17, 0.12), True),
    "skin": Organ((3.3, 3.3), (0.45, 0.45), 1.6, (0.05, 0.05), True),
    "stomach": Organ((0.15, 0.14), (0.31, 0.13), 0.75, (0.01, 0.01)),
    "gut": Organ((1.02, 0.96), (0.12, 0.13), 0.75, (0.14, 0.16)),
    "spleen": Organ((0.15, 0.13), (0.38, 0.38), 0.75, (0.03, 0.03), True),
    "pancreas": Organ((0.14, 0.12), (0.27, 0.29), 0.75, (0.01, 0.01)),
    "liver": Organ((1.80, 1.40), (0.24, 0.25), 0.75, (0.065, 0.065)),  # flow: the hepatic artery
    "blood": Organ((5.6, 4.1), (0.10, 0.10), 0.75, None, True),
}
# Bone has 1 % in D, of the skeleton; shares of the body weight of 1,000 virtual adults of that
# toolkit (2.5 and 97.5 percentiles) are wider.
BONE_SHARE, BONE_FLOW = (0.078, 0.164), (0.05, 0.05)


def human_adult() -> ConstraintSet:
    """Identities and ranges of adult humans, with the source of each: `describe()` lists them.

    Quantities: female (1 or 0, never moved by a projection), body_weight (kg), height (m),
    haematocrit, gfr (mL/min/1.73 m2), cardiac_output (L/h); mass_* (kg, without blood) of lung,
    adipose, bone, brain, gonads, heart, kidney, muscle, skin, stomach, gut, spleen, pancreas,
    liver, rest, and of blood; flow_* (L/h) of the same but lung and blood, that of the liver its
    artery's.
    Groups: identities, anthropometry, organs, flows, function.
    """
    c = ConstraintSet("human adult")
    female = c.quantity("female", fixed=True)
    weight, height = c.quantity("body_weight", "kg"), c.quantity("height", "m")
    haematocrit, gfr = c.quantity("haematocrit"), c.quantity("gfr", "mL/min/1.73 m2")
    output = c.quantity("cardiac_output", "L/h")
    tissues = [*ORGANS, "bone", "rest"]
    mass = {name: c.quantity(f"mass_{name}", "kg") for name in tissues}
    flow = {
        name: c.quantity(f"flow_{name}", "L/h") for name in tissues if name not in ("lung", "blood")
    }
    of_output = 1.0 / output
    surface = sqrt(height * weight * (100.0 / 3600.0))

    def by_sex(male: float, of_women: float) -> Expression:
        return constant(male) if male == of_women else where(female > 0.5, of_women, male)

    c.equal(
        "masses", _sum(mass), weight, group="identities", source="organs and blood make the body"
    )
    c.equal("flows", _sum(flow), output, group="identities", source="what the lung passes on")
    measured: dict[str, Expression] = {
        "body_weight": weight, "height": height, "body mass index": weight / height**2,
        "body surface": surface, "haematocrit": haematocrit, "gfr": gfr,
    }  # fmt: skip
    for name, value in measured.items():
        r = RANGES[name]
        low, high = by_sex(r.male[0], r.female[0]), by_sex(r.male[1], r.female[1])
        group = "function" if name == "gfr" else "anthropometry"
        c.between(name, value, low, high, group=group, source=r.source)
    c.between(
        "cardiac index", output * (1.0 / 60.0) / surface,
        CARDIAC_INDEX - DEVIATIONS * CARDIAC_INDEX_SD,
        CARDIAC_INDEX + DEVIATIONS * CARDIAC_INDEX_SD, group="function", source="S, three sd",
    )  # fmt: skip
    plasma_flow = flow["kidney"] * (1.0 - haematocrit)
    c.at_most(
        "filtration fraction", gfr * surface * (0.06 / 1.73), 0.3 * plasma_flow, group="function",
        source="glomerular filtration is a fifth of the renal plasma flow, at most three tenths",
    )  # fmt: skip
    hepatic = flow["liver"] + flow["stomach"] + flow["gut"] + flow["spleen"] + flow["pancreas"]
    c.between(
        "hepatic flow",
        hepatic * of_output,
        0.17,
        0.31,
        group="flows",
        source="healthy humans of PK-Sim's database",
    )
    short = by_sex(HEIGHT["male"], HEIGHT["female"]) / height
    for name, organ in ORGANS.items():
        low, high = (by_sex(*(_limit(organ, sex, sign) for sex in (0, 1))) for sign in (-1.0, 1.0))
        relative = mass[name] if organ.exponent == 0.0 else mass[name] * short**organ.exponent
        c.between(
            f"mass of {name}",
            relative,
            low,
            high,
            group="organs",
            unit="kg",
            source="A, D, W, three sd",
        )
        if organ.flow is not None:
            _bound_flow(c, name, flow[name] * of_output, by_sex(*organ.flow))
    c.between(
        "mass of bone",
        mass["bone"] / weight,
        *BONE_SHARE,
        group="organs",
        source="PBPK toolkit, 95 % of adults",
    )
    _bound_flow(c, "bone", flow["bone"] * of_output, by_sex(*BONE_FLOW))
    c.at_least("mass of rest", mass["rest"], 0.0, group="organs", unit="kg", source="a mass")
    c.at_least("flow to rest", flow["rest"], 0.0, group="flows", unit="L/h", source="a flow")
    return c


def _sum(parts: dict[str, Expression]) -> Expression:
    first, *others = parts.values()
    for each in others:
        first = first + each
    return first


def _limit(organ: Organ, sex: int, sign: float) -> float:
    """The mass so many standard deviations away, in kg."""
    mass, cv = organ.mass[sex], organ.cv[sex]
    if organ.log_normal:
        return mass * math.exp(sign * DEVIATIONS * math.sqrt(math.log1p(cv * cv)))
    return mass * max(1.0 + sign * DEVIATIONS * cv, 0.05)


def _bound_flow(c: ConstraintSet, name: str, share: Expression, reference: Expression) -> None:
    width = DEVIATIONS * FLOW_CV
    c.between(
        f"flow to {name}", share * reciprocal(reference), 1.0 - width, 1.0 + width, group="flows",
        source="A, D, three sd",
    )  # fmt: skip
