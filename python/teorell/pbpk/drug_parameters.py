"""The parameters of the whole-body model that a drug gives, the same names for all drugs.

So drugs are data: their numbers may be columns, one drug a patient, and be differentiated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from teorell.errors import InputError
from teorell.model import Model
from teorell.model.expression import Expression
from teorell.pbpk.absorption.lumen import check_absorption
from teorell.pbpk.drug import Drug
from teorell.pbpk.drug_fields import RANGES
from teorell.pbpk.partition.chemistry import NO_ACID, NO_BASE, Chemistry
from teorell.pbpk.partition.methods import check_composition, of_organs
from teorell.pbpk.partition.rodgers_rowland import cells_to_water
from teorell.physiology.composition import DENSITIES
from teorell.physiology.reference_adults import BLOOD_DENSITY, BLOOD_MASS, BODY_WEIGHT, MASS
from teorell.physiology.tissue_composition import Composition
from teorell.physiology.vocabulary import ORGANS

__all__ = ["GROUPS", "ParametersOfDrug", "parameters_of", "partition_scale", "saturable"]

# acids and bases that the model of every drug has room for: the most of the chemicals of httk
GROUPS = {"acid": 6, "base": 4}
_WORDS = {"acid": "lose", "base": "gain"}


def saturable(drug: Drug) -> bool:
    """Whether the model of a drug has a term more."""
    return drug.vmax is not None


def partition_scale(drug: Drug, method: str, composition: Composition) -> float:
    """The factor on all partition coefficients that gives the reference man the published Vss; 1 if
    there is none.

    Vss = (BP V_blood + sum of kp V_tissue) / body weight, Oie & Tozer (1979) in its whole-body
    form.
    """
    if drug.volume is None:
        return 1.0
    coefficients = of_organs(method, drug.chemistry(), composition, ORGANS)
    tissues = 0.0  # L of plasma
    for name in ORGANS:
        tissues += float(coefficients[name]) * MASS[name].man / DENSITIES[name]
    blood = drug.ratio * BLOOD_MASS.man / BLOOD_DENSITY
    scale = (drug.volume * BODY_WEIGHT.man - blood) / tissues
    if not scale > 0.0:
        raise InputError(
            f"{drug.name}: a volume of {drug.volume:g} L/kg is less than its blood holds, "
            f"{blood / BODY_WEIGHT.man:.3g} L/kg (tissues would hold nothing). Check volume, or "
            "leave it out."
        )
    return scale


def parameters_of(
    drugs: Drug | Sequence[Drug],
    *,
    partition: str | None = None,
    liver: str = "well_stirred",
    absorption: str = "first_order",
    composition: Composition | None = None,
) -> dict[str, Any]:
    """The numbers of a drug as parameters of `whole_body`, name -> value; of several drugs as
    columns, name -> (drugs,).

    With them the model of one drug simulates others: each is a patient of one call. partition,
    liver, absorption, composition: those of the model. InputError for drugs of which some are
    saturable and others not, or that have more acids or bases than the model has room for (GROUPS).
    """
    tissues = check_composition(composition)
    if isinstance(drugs, Drug):
        return _values(drugs, drugs.method(partition), liver, absorption, tissues)
    if not all(isinstance(drug, Drug) for drug in drugs):
        raise InputError(
            f"drugs is {drugs!r:.60} (a Drug, or several, are needed). Give "
            "teorell.pbpk.drug(name), or a list of them."
        )
    methods = {drug.method(partition): drug for drug in drugs}
    if len(methods) > 1:
        (one, first), (other, second), *_ = methods.items()
        raise InputError(
            f"{first.name} has the partition method {one!r} and {second.name} {other!r} (a model "
            "has one). Give partition=."
        )
    rows = [_values(drug, drug.method(partition), liver, absorption, tissues) for drug in drugs]
    if not rows:
        raise InputError("no drugs (there is nothing to tell). Give one or more.")
    for drug, row in zip(drugs, rows, strict=True):
        if row.keys() != rows[0].keys():
            name = next(iter(row.keys() ^ rows[0].keys()))
            raise InputError(
                f"{drug.name} and {drugs[0].name} have models of different parameters (one has "
                f"{name!r}). Simulate them apart."
            )
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _values(
    drug: Drug, partition: str, liver: str, absorption: str, tissues: Composition
) -> dict[str, float]:
    values: dict[str, float] = {
        "log_p": drug.log_p,
        "kp_scale": partition_scale(drug, partition, tissues),
        "fu": drug.fu,
        "blood_to_plasma": drug.ratio,
        "clint": drug.clint_of(liver),
        "plasma_to_liver": drug.plasma_to_liver,
        "renal_clearance": drug.renal_clearance,
        "gfr_fraction": drug.gfr_fraction,
        "ka": drug.absorption_rate,
        "fraction_absorbed": drug.fraction_absorbed,
        "gut_availability": drug.gut_availability,
    }
    if check_absorption(absorption) == "transit":  # it follows from the rate
        del values["fraction_absorbed"]
    for kind, pkas, none in (("acid", drug.acids, NO_ACID), ("base", drug.bases, NO_BASE)):
        for k in range(max(GROUPS[kind], len(pkas))):
            values[f"pka_{kind}_{k + 1}"] = pkas[k] if k < len(pkas) else none
    if drug.vmax is not None and drug.km is not None:
        values |= {"vmax": drug.vmax, "km": drug.km}
    return values


def _declared(name: str) -> tuple[str, float, float, str]:
    """Unit, bounds, meaning."""
    known = {
        "log_p": ("1", -10.0, 15.0, "log10 octanol:water partition coefficient"),
        "kp_scale": ("1", 1e-6, 1e6, "factor on all partition coefficients"),
        "fu": ("1", RANGES["fu"][0], 1.0, "fraction unbound in plasma"),
        "blood_to_plasma": ("1", 0.3, 100.0, "blood:plasma concentration ratio"),
        "clint": ("L/h/kg", 0.0, 1e9, "unbound intrinsic clearance per kg of liver"),
        "plasma_to_liver": ("1", 1.0, 1e3, "ratio of the binding protein, plasma over liver"),
        "renal_clearance": ("L/h/kg^0.75", 0.0, 100.0, "renal plasma clearance"),
        "gfr_fraction": ("1", 0.0, 100.0, "of filtered unbound drug, what is excreted"),
        "ka": ("1/h", 0.0, 1e3, "rate of absorption from the intestinal lumen"),
        "fraction_absorbed": ("1", 0.0, 1.0, "oral dose entering the gut wall"),
        "gut_availability": ("1", 0.0, 1.0, "share escaping gut wall metabolism"),
        "vmax": ("mg/h/kg", 0.0, 1e9, "largest rate of metabolism per kg of liver"),
        "km": ("mg/L", 1e-9, 1e9, "unbound concentration of half that rate"),
    }
    if name in known:
        return known[name]
    kind = name.split("_")[1]
    none = NO_ACID if kind == "acid" else NO_BASE
    meaning = f"pKa of a group that {_WORDS[kind]}s a proton; {none:g} is none"
    return "1", NO_BASE, NO_ACID, meaning


@dataclass(frozen=True)
class ParametersOfDrug:
    """Expressions of the model's parameters."""

    log_p: Expression
    scale: Expression
    fu: Expression
    blood_to_plasma: Expression
    clint: Expression
    plasma_to_liver: Expression
    renal: Expression
    filtered: Expression
    absorption: Expression
    absorbed: Expression | None  # of a dose; it follows from the rate in transit
    escaping: Expression
    acids: tuple[Expression, ...]
    bases: tuple[Expression, ...]
    vmax: Expression | None
    km: Expression | None

    @classmethod
    def declare(
        cls,
        model: Model,
        drug: Drug,
        partition: str,
        liver: str,
        absorption: str,
        composition: Composition,
    ) -> ParametersOfDrug:
        """Declare the parameters, with the drug's numbers as defaults."""
        if saturable(drug) and liver != "well_stirred":
            raise InputError(
                f"{drug.name} has vmax and km, and the liver is {liver!r} (saturable metabolism "
                "follows one concentration, that of a well-stirred liver). Leave liver out."
            )
        made: dict[str, Expression] = {}
        for name, value in _values(drug, partition, liver, absorption, composition).items():
            unit, low, high, meaning = _declared(name)
            made[name] = model.parameter(
                name, value, unit=unit, lower=low, upper=high, description=meaning
            )
        return cls(
            log_p=made["log_p"],
            scale=made["kp_scale"],
            fu=made["fu"],
            blood_to_plasma=made["blood_to_plasma"],
            clint=made["clint"],
            plasma_to_liver=made["plasma_to_liver"],
            renal=made["renal_clearance"],
            filtered=made["gfr_fraction"],
            absorption=made["ka"],
            absorbed=made.get("fraction_absorbed"),
            escaping=made["gut_availability"],
            acids=tuple(each for name, each in made.items() if name.startswith("pka_acid")),
            bases=tuple(each for name, each in made.items() if name.startswith("pka_base")),
            vmax=made.get("vmax"),
            km=made.get("km"),
        )

    def chemistry(self, haematocrit: Expression) -> Chemistry:
        """What the methods of partition coefficients read."""
        cells = cells_to_water(self.blood_to_plasma, haematocrit, self.fu)
        return Chemistry(self.log_p, self.fu, self.acids, self.bases, cells)

    def saturable_rate(self, unbound: Expression) -> Expression:
        """Metabolism, mg/h per kg of liver, at an unbound concentration (mg/L): Michaelis & Menten
        (1913), Biochem Z 49:333-369.
        """
        if self.vmax is None or self.km is None:
            raise AssertionError("no saturable metabolism was declared")
        return self.vmax * unbound / (self.km + unbound)
