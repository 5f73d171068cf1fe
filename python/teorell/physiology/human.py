"""A human body of any age, sex, height and weight: masses, flows, blood, kidneys, proteins.

The reference body of the age and sex (`growth.py`) is made to fit:

- Lean parts grow with the height over the reference height (exponents of `variation.py`) and are
  then scaled together, but for the brain, so that lean and whole body stand as fat-free mass does
  to the weight (Janmahasatian et al. 2005, AA). Ageing takes from brain, muscle and liver.
  Adipose tissue is what is left of the body weight, so that masses add up exactly.
- The cardiac output is that of the reference body for each m2 of body surface.
- Blood flows of adults are shares of it by sex (A). In children the flow to a kg of brain is the
  adults'; what is left goes to the others by their part of the body weight, a kg of each being to a
  kg of another as in adults, and to the kidneys by their maturity too. Ageing takes from kidneys
  and from what goes through the liver; the others have the rest, so that flows add up exactly.
- The flow through the kidneys follows the filtration rate over the typical one of the age, between
  a twentieth and twice: the filtered part of the plasma stays the same.

Letters cite `sources.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from teorell.physiology.growth import GROWN_UP, ageing, haematocrit_at, reference_at
from teorell.physiology.maturation import (
    albumin,
    alpha1_acid_glycoprotein,
    kidney_maturity,
    surface,
    surface_filtration,
)
from teorell.physiology.reference_adults import FLOW_EXPONENT, REFERENCE, STANDARD_SURFACE
from teorell.physiology.variation import SPREAD
from teorell.physiology.vocabulary import (
    BODY,
    FLOWS,
    MASSES,
    MORE,
    SHARES,
    SPLANCHNIC,
    flow_share_to,
    flow_to,
    mass_of,
    mass_share_of,
)

__all__ = ["HEIGHTS", "INDICES", "LEAN", "LEAST_FAT", "lean_and_fat", "numbers_of_humans",
           "too_light", "unlike_the_age"]  # fmt: skip

Column = NDArray[np.float64]
# lean parts of the body as the tables tell them, the gut in two
LEAN = (
    "lung", "bone", "brain", "gonads", "heart", "kidney", "muscle", "skin", "rest", "stomach",
    "small_intestine", "large_intestine", "spleen", "pancreas", "liver", "blood",
)  # fmt: skip
# of the adipose tissue that is typical of the size: nobody who is drawn has less
LEAST_FAT = 0.3
# of the reference height and body mass index of the age: what is nobody's
HEIGHTS, INDICES = (0.5, 1.5), (0.4, 5.0)
UNAGED = 30.0  # years, before which nothing is taken
HEPATIC = ("liver", *SPLANCHNIC)
_GROWN_UP = np.array(GROWN_UP)


def lean_and_fat(
    age: Column,
    female: NDArray[np.bool_],
    height: Column,
    weight: Column,
    body: Mapping[str, Column],
) -> tuple[dict[str, Column], Column]:
    """The typical masses (kg) of the LEAN parts and of the adipose tissue, each (n,).

    body: the reference body of the age and sex. The adipose tissue may be below 0 for people too
    light for their height.
    """
    tall = np.log(height / body["height"])
    growth = {power: np.exp(power * tall) for power in {_exponent(name) for name in LEAN}}
    part = {name: body[f"mass_{name}"] * growth[_exponent(name)] for name in LEAN}
    lean = (body["body_weight"] - body["mass_adipose"]) * (
        _fat_free(female, height, weight) / _fat_free(female, body["height"], body["body_weight"])
    )
    others = sum(part[name] for name in LEAN if name != "brain")
    scale = (lean - part["brain"]) / others
    for name in LEAN:
        if name != "brain":
            part[name] = part[name] * scale
    part["brain"] = part["brain"] * ageing("mass_brain", age)
    part["liver"] = part["liver"] * ageing("mass_liver", age)
    loss = [ageing(f"mass_muscle_{sex}", age) for sex in ("male", "female")]
    part["muscle"] = part["muscle"] * np.where(female, loss[1], loss[0])
    return part, weight - sum(part.values())


def unlike_the_age(
    age: Column, female: NDArray[np.bool_], height: Column, weight: Column
) -> NDArray[np.bool_]:
    """(n,) whether height or body mass index are out of HEIGHTS and INDICES: no body."""
    body = reference_at(age, female)
    tall = height / body["height"]
    heavy = weight / body["body_weight"] / tall**2
    outside = (tall < HEIGHTS[0]) | (tall > HEIGHTS[1])
    return np.asarray(outside | (heavy < INDICES[0]) | (heavy > INDICES[1]))


def too_light(
    age: Column, female: NDArray[np.bool_], height: Column, weight: Column
) -> NDArray[np.bool_]:
    """(n,) whether the lean parts, before ageing takes of them, leave less than 1 % of the weight
    to adipose tissue: no body.
    """
    young = np.minimum(age, UNAGED)
    _, fat = lean_and_fat(young, female, height, weight, reference_at(young, female))
    return np.asarray(fat < 0.01 * weight)


def numbers_of_humans(
    age: Column,
    female: NDArray[np.bool_],
    height: Column,
    weight: Column,
    *,
    gfr: Column | None = None,
    haematocrit: Column | None = None,
    factors: Mapping[str, Column] | None = None,
) -> dict[str, Column]:
    """The numbers of human bodies: name -> (n,), those of BODY, MORE and SHARES of
    `teorell.physiology.vocabulary`.

    age: years; female: (n,); height: m; weight: kg; gfr: mL/min/1.73 m2, haematocrit: what is
    typical of the age and sex where None. factors: how people differ from what is typical, name of
    a mass, flow or "cardiac_output" -> (n,) factors.
    """
    vary = factors or {}
    body = reference_at(age, female)
    part, fat = lean_and_fat(age, female, height, weight, body)
    part, fat = _varied(part, fat, weight, vary)
    mass = {
        "adipose": fat,
        "gut": part["small_intestine"] + part["large_intestine"],
        **{name: part[name] for name in LEAN if not name.endswith("_intestine")},
    }
    body_surface = surface(height, weight)
    output = _cardiac_output(age, body, body_surface) * vary.get("cardiac_output", 1.0)
    typical = surface_filtration(age, body)
    filtered = typical if gfr is None else gfr
    share = _flow_shares(age, female, filtered / typical, vary, body)

    ones = np.ones_like(weight)
    numbers = {
        "female": np.where(female, 1.0, 0.0),
        "body_weight": weight,
        "height": height,
        "haematocrit": haematocrit_at(age, female) if haematocrit is None else haematocrit,
        "gfr": filtered,
        "cardiac_output": output,
        **{mass_of(name): mass[name] for name in MASSES},
        **{flow_to(name): share[name] * output for name in FLOWS},
        "age": age,
        "body_mass_index": weight / height**2,
        "glomerular_filtration": 0.06 * filtered * body_surface / STANDARD_SURFACE,
        "albumin": albumin(age),
        "alpha1_acid_glycoprotein": alpha1_acid_glycoprotein(age),
        "mass_small_intestine": part["small_intestine"],
        "mass_large_intestine": part["large_intestine"],
        "cardiac_index": output / weight**FLOW_EXPONENT,
        **{mass_share_of(name): mass[name] / weight for name in MASSES},
        **{flow_share_to(name): share[name] for name in FLOWS},
    }
    return {name: numbers[name] * ones for name in dict.fromkeys((*BODY, *MORE, *SHARES))}


def _mass(name: str, body: Mapping[str, Column]) -> Column:
    """The mass of one of FLOWS, where the gut is told in two."""
    if name == "gut":
        return body["mass_small_intestine"] + body["mass_large_intestine"]
    return body[mass_of(name)]


def _exponent(name: str) -> float:
    return SPREAD["gut" if name.endswith("_intestine") else name].exponent


def _fat_free(female: NDArray[np.bool_], height: Column, weight: Column) -> Column:
    """The fat-free mass of adults, kg, of a height (m) and weight (kg) (AA); used in ratios."""
    index = weight / height**2
    return 9270.0 * weight / np.where(female, 8780.0 + 244.0 * index, 6680.0 + 216.0 * index)


def _varied(
    part: dict[str, Column], fat: Column, weight: Column, vary: Mapping[str, Column]
) -> tuple[dict[str, Column], Column]:
    """Lean parts with what people differ by, and the adipose tissue that is left, which is
    LEAST_FAT of the typical at least: else all lean parts give way.
    """
    if not vary:
        return part, fat
    part = {name: mass * vary.get(mass_of(name), 1.0) for name, mass in part.items()}
    lean = sum(part.values())
    most = weight - LEAST_FAT * np.maximum(fat, 0.0)
    give = np.minimum(1.0, most / lean)
    part = {name: mass * give for name, mass in part.items()}
    return part, weight - sum(part.values())


def _cardiac_output(age: Column, body: Mapping[str, Column], body_surface: Column) -> Column:
    """L/h: the reference body's for each m2 (A), falling from 30 years on (T)."""
    index = body["cardiac_output"] / surface(body["height"], body["body_weight"])
    return index * body_surface * ageing("cardiac_index", age)


def _flow_shares(
    age: Column,
    female: NDArray[np.bool_],
    filtered: Column,
    vary: Mapping[str, Column],
    body: Mapping[str, Column],
) -> dict[str, Column]:
    """The share of the cardiac output of each of FLOWS, (n,); they add up to 1.

    filtered: the filtration rate over the typical one; body: the reference body.
    """
    sex = female.astype(np.intp)
    grown = reference_at(np.full(2, GROWN_UP), np.array([False, True]))

    def to_a_kilogram(name: str) -> Column:
        """(2,) of a grown-up man and woman."""
        return np.array(REFERENCE[name].flow) * grown["body_weight"] / _mass(name, grown)

    share = {
        name: to_a_kilogram(name)[sex] * _mass(name, body) / body["body_weight"] for name in FLOWS
    }
    young = np.minimum(age, GROWN_UP)
    share["kidney"] = share["kidney"] * kidney_maturity(young) / kidney_maturity(_GROWN_UP)
    brain = np.array(REFERENCE["brain"].flow) * grown["cardiac_output"] / grown["mass_brain"]
    brain = brain[sex] * body["mass_brain"] / body["cardiac_output"]
    rest = sum(share[name] for name in FLOWS if name != "brain")
    scale = (1.0 - brain) / rest
    share = {name: each * scale for name, each in share.items()} | {"brain": brain}

    # ageing, in shares of an output that has become less itself
    output = ageing("cardiac_index", age)
    kept = {"kidney": share["kidney"] * ageing("kidney_flow", age) / output}
    kept["kidney"] = kept["kidney"] * np.clip(filtered, 0.05, 2.0)
    less = ageing("hepatic_flow", age) / np.minimum(output, 1.0)
    kept |= {name: share[name] * np.minimum(less, 1.0) for name in HEPATIC}
    others = {name: share[name] for name in FLOWS if name not in kept}
    left = (1.0 - sum(kept.values())) / sum(others.values())
    share = kept | {name: each * left for name, each in others.items()}

    drawn = {name: share[name] * vary.get(flow_to(name), 1.0) for name in FLOWS}
    whole = sum(drawn.values())
    return {name: each / whole for name, each in drawn.items()}
