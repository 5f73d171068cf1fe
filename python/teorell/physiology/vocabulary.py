"""The names of a body's numbers, each with its unit and meaning.

The whole-body model, virtual adults and the constraints on adults all speak it. A mass is in kg, a
flow in L/h, and a share says that it is one: mass_liver, flow_liver, mass_share_liver,
flow_share_liver.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = [
    "BODY",
    "FLOWS",
    "MASSES",
    "MORE",
    "ORGANS",
    "SHARES",
    "SPLANCHNIC",
    "VOCABULARY",
    "Quantity",
    "flow_share_to",
    "flow_to",
    "mass_of",
    "mass_share_of",
    "unit",
]

# Sums over organs go in this order: another one would change the last bits of results.
ORGANS = (
    "lung", "adipose", "bone", "brain", "gonads", "heart", "kidney", "muscle", "skin", "rest",
    "stomach", "gut", "spleen", "pancreas", "liver",
)  # fmt: skip
MASSES = (*ORGANS, "blood")  # what makes the body weight
# what shares the cardiac output; all of it goes through the lung
FLOWS = tuple(organ for organ in ORGANS if organ != "lung")
# organs whose blood goes to the liver by the portal vein
SPLANCHNIC = ("stomach", "gut", "spleen", "pancreas")


@dataclass(frozen=True)
class Quantity:
    """A number that a body has."""

    unit: str  # "1" for what has none
    meaning: str


def mass_of(part: str) -> str:
    """The name of the mass (kg) of one of MASSES: mass_liver."""
    return f"mass_{part}"


def flow_to(organ: str) -> str:
    """The name of the blood flow (L/h) to one of FLOWS: flow_liver."""
    return f"flow_{organ}"


def mass_share_of(part: str) -> str:
    """The name of the share of the body weight of one of MASSES: mass_share_liver."""
    return f"mass_share_{part}"


def flow_share_to(organ: str) -> str:
    """The name of the share of the cardiac output of one of FLOWS: flow_share_liver."""
    return f"flow_share_{organ}"


def _artery(organ: str) -> str:
    """The flow to the liver leaves out what the portal vein brings."""
    return "liver, hepatic artery alone" if organ == "liver" else organ


_PERSON = {
    "female": Quantity("1", "1 for a woman, 0 for a man"),
    "body_weight": Quantity("kg", "body weight"),
    "height": Quantity("m", "body height"),
    "haematocrit": Quantity("1", "red cells' share of the blood volume"),
    "gfr": Quantity("mL/min/1.73 m2", "glomerular filtration rate per body surface"),
    "cardiac_output": Quantity("L/h", "blood through the lung"),
}
_INDEX = {"cardiac_index": Quantity("L/h/kg^0.75", "cardiac output / weight^0.75")}
_AMOUNTS = {
    **{mass_of(part): Quantity("kg", f"mass without blood: {part}") for part in ORGANS},
    mass_of("blood"): Quantity("kg", "mass of all blood"),
    **{flow_to(organ): Quantity("L/h", f"blood flow: {_artery(organ)}") for organ in FLOWS},
}
_SHARES = {
    **{mass_share_of(part): Quantity("1", f"share of the body weight: {part}") for part in MASSES},
    **{
        flow_share_to(organ): Quantity("1", f"share of the cardiac output: {_artery(organ)}")
        for organ in FLOWS
    },
}

VOCABULARY: Mapping[str, Quantity] = MappingProxyType({**_PERSON, **_INDEX, **_AMOUNTS, **_SHARES})
BODY = (*_PERSON, *_AMOUNTS)  # how the constraints tell a body
SHARES = ("body_weight", *_INDEX, *_SHARES)  # how the model tells it
# what else is told of people of any age, and of animals
MORE: Mapping[str, Quantity] = MappingProxyType(
    {
        "age": Quantity("y", "years since birth"),
        "body_mass_index": Quantity("kg/m2", "body weight / height squared"),
        "glomerular_filtration": Quantity("L/h", "glomerular filtration rate"),
        "albumin": Quantity("g/L", "albumin in plasma"),
        "alpha1_acid_glycoprotein": Quantity("g/L", "alpha1-acid glycoprotein in plasma"),
        "mass_small_intestine": Quantity("kg", "mass without blood: small intestine, of the gut"),
        "mass_large_intestine": Quantity("kg", "mass without blood: large intestine, of the gut"),
    }
)


def unit(name: str) -> str:
    """The unit of a number of VOCABULARY or MORE, "1" for none. KeyError for another name."""
    return (VOCABULARY[name] if name in VOCABULARY else MORE[name]).unit
