"""Bodies of animals, from a table of shares of the body weight and flows a kg^0.75.

Masses grow with the body weight, flows with its power 0.75 (B). The rest of the body is what is
left of the weight, and of the cardiac output; where the organs' flows are more than that (the
rabbit's, by 5 %), each is its part of their sum. The gut's flow is what the liver has beside its
artery and the spleen, shared with the stomach by mass; what the table does not tell (pancreas,
gonads, the stomach of some) is in the gut or the rest. Of the minipig brain, liver and the share of
its artery were measured; the source of each other number says which species it is borrowed from.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from teorell.errors import InputError, suggestion
from teorell.physiology.files import Row, read_rows, shipped
from teorell.physiology.growth import check_unit
from teorell.physiology.reference_adults import BLOOD_DENSITY, FLOW_EXPONENT
from teorell.physiology.vocabulary import (
    FLOWS,
    MASSES,
    flow_share_to,
    flow_to,
    mass_of,
    mass_share_of,
)

__all__ = ["ANIMALS", "numbers_of_animal", "table_of"]

ANIMALS = ("mouse", "rat", "rabbit", "dog", "beagle", "monkey", "minipig")
SAME = {"beagle": "dog"}  # the dog of the table is a beagle of 10 kg (G)
PER = "mL/min/kg^0.75"
WEIGHED = (
    "lung", "adipose", "bone", "brain", "heart", "kidney", "muscle", "skin", "gut", "spleen",
    "liver",
)  # fmt: skip
PERFUSED = ("adipose", "bone", "brain", "heart", "kidney", "muscle", "skin", "spleen")
# what a table must tell, and what it may, with units
NEEDED = {
    "body_weight": "kg", "cardiac_output": PER, "plasma_volume": "mL/kg", "haematocrit": "1",
    "gfr_per_weight": PER,
    **{mass_share_of(organ): "1" for organ in WEIGHED},
    **{flow_to(organ): PER for organ in (*PERFUSED, "liver_total", "hepatic_artery")},
}  # fmt: skip
OPTIONAL = {
    "albumin": "g/L", "alpha1_acid_glycoprotein": "g/L", "urine_per_weight": PER,
    "bile_per_weight": PER, "temperature": "degC", "small_intestinal_transit": "min",
    **{mass_share_of(part): "1" for part in ("stomach", "small_intestine", "large_intestine")},
}  # fmt: skip


def table_of(species: str, path: Path | None = None) -> dict[str, Row]:
    """The numbers of a species, name -> line: of the tables that are shipped, or of a file with the
    columns species, quantity, value, unit and source.

    InputError for a species that is not there, a number that is missing or unknown, or has another
    unit.
    """
    file = shipped("animals.csv") if path is None else path
    name = species if path is not None else SAME.get(species, species)
    rows = read_rows(file, ("species", "quantity"))
    found = {row.keys[1]: row for row in rows if row.keys[0] == name}
    if not found:
        known = sorted({row.keys[0] for row in rows})
        raise InputError(f"{file} has no {name!r} (it has {', '.join(known)}). Name one of these.")
    units = NEEDED | OPTIONAL
    for quantity, row in found.items():
        if quantity not in units:
            raise InputError(
                f"{file}, line {row.line}: unknown quantity {quantity!r} (of an animal). "
                f"{suggestion(quantity, units)}"
            )
        check_unit(file, row, units[quantity])
        if row.value <= 0.0:
            raise InputError(
                f"{file}, line {row.line}: {quantity} is {row.value:g} (it is above 0). Correct it."
            )
    for quantity in NEEDED:
        if quantity not in found:
            raise InputError(f"{file}: {name!r} has no {quantity!r} (it is needed). Add a line.")
    return found


def numbers_of_animal(table: Mapping[str, Row], weight: float, name: str) -> dict[str, float]:
    """The numbers of a body of `weight` kg, by the names of `teorell.physiology.vocabulary`.

    InputError if the parts weigh more than the body, or the liver has less than artery and spleen.
    """
    told = {quantity: row.value for quantity, row in table.items()}
    share = dict.fromkeys(MASSES, 0.0)
    share |= {organ: told[mass_share_of(organ)] for organ in WEIGHED}
    if "mass_share_stomach" in told:  # the gut of the table is the stomach too
        share["stomach"] = told["mass_share_stomach"]
        share["gut"] -= share["stomach"]
    share["blood"] = 1e-3 * told["plasma_volume"] / (1.0 - told["haematocrit"]) * BLOOD_DENSITY
    share["rest"] = 1.0 - sum(share.values())
    if share["rest"] < 0.0 or share["gut"] < 0.0:
        raise InputError(
            f"the parts of {name!r} weigh {1.0 - share['rest']:.4g} of its body (all of it is 1). "
            "Correct the shares and the plasma volume."
        )

    flow = dict.fromkeys(FLOWS, 0.0)
    flow |= {organ: told[flow_to(organ)] for organ in PERFUSED}
    flow["liver"] = told["flow_hepatic_artery"]
    flow["gut"] = told["flow_liver_total"] - flow["liver"] - flow["spleen"]
    if flow["gut"] <= 0.0:
        raise InputError(
            f"the liver of {name!r} has no more than its artery and the spleen's blood (the gut's "
            "flow is what is left). Correct the flows."
        )
    if share["stomach"]:  # by its part of the wall
        wall = share["stomach"] + share["gut"]
        flow["stomach"] = flow["gut"] * share["stomach"] / wall
        flow["gut"] *= share["gut"] / wall
    flow["rest"] = max(told["cardiac_output"] - sum(flow.values()), 0.0)
    whole = sum(flow.values())
    metabolic = weight**FLOW_EXPONENT
    output = 0.06 * told["cardiac_output"] * metabolic  # L/h
    numbers = {
        "body_weight": weight,
        "haematocrit": told["haematocrit"],
        "glomerular_filtration": 0.06 * told["gfr_per_weight"] * metabolic,
        "cardiac_output": output,
        **{mass_of(part): share[part] * weight for part in MASSES},
        **{flow_to(organ): flow[organ] / whole * output for organ in FLOWS},
        "cardiac_index": output / metabolic,
        **{mass_share_of(part): share[part] for part in MASSES},
        **{flow_share_to(organ): flow[organ] / whole for organ in FLOWS},
    }
    numbers |= {
        each: told[each] for each in ("albumin", "alpha1_acid_glycoprotein") if each in told
    }
    for part in ("small_intestine", "large_intestine"):
        if mass_share_of(part) in told:
            numbers[mass_of(part)] = told[mass_share_of(part)] * weight
    return numbers
