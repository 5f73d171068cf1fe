"""A perfusion-limited whole-body model of a drug: 15 organs between arterial and venous blood.

Every organ is well stirred: the blood leaving it is in equilibrium with its tissue. States are
amounts in mg, time in h, volumes in L, flows in L/h, concentrations in mg/L. Dose into
"stomach_lumen" (oral) or "venous" (intravenous).
"""

from __future__ import annotations

from collections.abc import Mapping

from teorell.errors import InputError
from teorell.model import Model
from teorell.model.expression import Expression
from teorell.pbpk.absorption.lumen import Lumen
from teorell.pbpk.absorption.permeability import TRANSIT_SEGMENTS
from teorell.pbpk.drug import Drug
from teorell.pbpk.drug_parameters import ParametersOfDrug, saturable
from teorell.pbpk.elimination.bound_uptake import unbound_in_liver
from teorell.pbpk.elimination.filtration import GLOMERULAR_FILTRATION, filtered
from teorell.pbpk.elimination.liver import LIVERS, check_liver
from teorell.pbpk.partition.methods import check_composition, of_organs
from teorell.physiology.composition import DENSITIES
from teorell.physiology.drawn import WHOLE_BODY
from teorell.physiology.reference_adults import (
    ARTERIAL_BLOOD,
    BLOOD_DENSITY,
    BODY_WEIGHT,
    CARDIAC_INDEX,
    FLOW_EXPONENT,
    HAEMATOCRIT,
    MASS,
    REFERENCE,
    venous_blood,
)
from teorell.physiology.tissue_composition import Composition
from teorell.physiology.vocabulary import (
    FLOWS,
    MASSES,
    ORGANS,
    SPLANCHNIC,
    VOCABULARY,
    flow_share_to,
    mass_share_of,
)

__all__ = ["whole_body"]

# Mean residence of a drug in solution in the fasted stomach, 0.25 h: Agoram, Woltosz & Bolger
# (2001), Adv Drug Deliv Rev 50:S41-S67 (after Yu, Lipka, Crison & Amidon 1996, Adv Drug Deliv Rev
# 19:359-376; not checked against the paper).
GASTRIC_EMPTYING = 4.0  # 1/h
# What drains into a vein of the arm, from which blood is drawn, each by its flow. Mixed venous
# blood is what the liver has cleared in part, and what a dose is given into: Musther et al. (2015),
# AAPS J 17:1268-1279.
ARM = ("muscle", "skin")


def whole_body(
    drug: Drug,
    *,
    partition: str | None = None,
    liver: str = "well_stirred",
    absorption: str = "first_order",
    composition: Composition | None = None,
) -> Model:
    """The model of `drug`: parameters default to the 73 kg reference man and the drug's numbers.

    partition: the method of the partition coefficients (`teorell.pbpk.METHODS`); unless told that
    of the drug, or "berezhkovskiy". A drug with a published volume is scaled to it (kp_scale; 1 is
    the method's own). liver: "well_stirred", "parallel_tube" or "dispersion". absorption:
    "first_order" from one lumen, or "transit" through seven segments, where what is not absorbed in
    time is excreted. composition: what tissues are made of (`teorell.pbpk.read_composition`), the
    human's unless given.

    The body's parameters are body_weight (kg), cardiac_index (L/h/kg^0.75), haematocrit,
    glomerular_filtration (L/h), and the shares mass_share_* of the body weight and flow_share_* of
    the cardiac output, named as in `teorell.physiology.vocabulary`. The model divides each share by
    the sum of all, so that a changed share changes neither the body weight nor the cardiac output.
    Densities, and the shares of blood that organs hold, are the man's for all bodies. The drug's
    parameters are those of `parameters_of`, the same for all drugs. Outputs: `cp` (plasma of mixed
    venous blood), `cp_arm` (of a vein of the arm), `cp_arterial`, `blood` (mixed venous blood), the
    concentration in every organ (`c_*`), all in mg/L;
    `auc` of cp (mg h/L), `urine`, `faeces`, `metabolised_liver` and `metabolised_gut` (mg). Doses
    are in mg, times in h.

    InputError for an unknown method, and for what does not go together.
    """
    if not isinstance(drug, Drug):
        raise InputError(
            f"drug is {drug!r} (a Drug is needed). Give teorell.pbpk.drug(name), or a Drug of your "
            "own."
        )
    method = drug.method(partition)
    check_liver(liver)
    tissues = check_composition(composition)
    model = Model(f"{WHOLE_BODY}{drug.name}", time_unit="h")

    def number(
        name: str, default: float, unit: str, low: float, high: float, description: str
    ) -> Expression:
        return model.parameter(
            name, default, unit=unit, lower=low, upper=high, description=description
        )

    def of_body(name: str, default: float, low: float, high: float) -> Expression:
        told = VOCABULARY[name]
        return number(name, default, told.unit, low, high, told.meaning)

    weight = of_body("body_weight", BODY_WEIGHT.man, 0.005, 300.0)
    cardiac_index = of_body("cardiac_index", CARDIAC_INDEX, 1.0, 100.0)
    mass = {
        name: of_body(mass_share_of(name), MASS[name].man / BODY_WEIGHT.man, 0.0, 1.0)
        for name in MASSES
    }
    flow = {
        name: of_body(flow_share_to(name), REFERENCE[name].flow.man, 0.0, 1.0) for name in FLOWS
    }
    haematocrit = of_body("haematocrit", HAEMATOCRIT, 0.05, 0.8)
    filtration = number(
        "glomerular_filtration", GLOMERULAR_FILTRATION, "L/h", 0.0, 1000.0,
        "glomerular filtration rate",
    )  # fmt: skip
    emptying = number(
        "gastric_emptying", GASTRIC_EMPTYING, "1/h", 0.0, 1e3, "rate of stomach emptying"
    )
    of_drug = ParametersOfDrug.declare(model, drug, method, liver, absorption, tissues)

    # What is computed once per patient
    metabolic_weight = weight**FLOW_EXPONENT
    whole = weight / total(mass)  # kg per share
    output = model.define("cardiac_output", cardiac_index * metabolic_weight)
    q = {name: output * share / total(flow) for name, share in flow.items()}
    blood_volume = mass["blood"] * whole / BLOOD_DENSITY
    fu, ratio = of_drug.fu, of_drug.blood_to_plasma
    coefficients = of_organs(method, of_drug.chemistry(haematocrit), tissues, ORGANS)
    # of blood that would hold what the organ holds at the concentration of the blood leaving it
    volume = {}
    for name in ORGANS:
        kp = model.define(f"kp_{name}", of_drug.scale * coefficients[name])
        tissue = kp * (mass[name] * whole / DENSITIES[name])
        volume[name] = tissue / ratio + REFERENCE[name].blood * blood_volume

    # Amounts; the large blood pools come last
    lumen = model.state("stomach_lumen", unit="mg", description="dose in the stomach")
    segments = ["gut_lumen"]
    if absorption == "transit":
        segments = [f"gut_lumen_{k + 1}" for k in range(TRANSIT_SEGMENTS)]
    intestine = tuple(
        model.state(name, unit="mg", description="dose in the intestine") for name in segments
    )
    amount = {
        name: model.state(name, unit="mg", description=f"amount in {name}") for name in ORGANS
    }
    venous = model.state("venous", unit="mg", description="amount in venous blood")
    arterial = model.state("arterial", unit="mg", description="amount in arterial blood")
    urine = model.state("urine", unit="mg", description="excreted unchanged in urine")
    faeces = model.state("faeces", unit="mg", description="excreted unabsorbed")
    liver_loss = model.state("metabolised_liver", unit="mg", description="metabolised in the liver")
    gut_loss = model.state("metabolised_gut", unit="mg", description="metabolised in the gut wall")
    auc = model.state(
        "auc", unit="mg h/L", controlled=False, description="area under the venous plasma curve"
    )

    # mg/L in the blood that leaves the organ
    leaving = {name: amount[name] / volume[name] for name in ORGANS}
    c_arterial = arterial / (ARTERIAL_BLOOD * blood_volume)
    c_venous = venous / (venous_blood() * blood_volume)

    Lumen(lumen, intestine, emptying, of_drug.absorption, of_drug.absorbed, of_drug.escaping).flows(
        model, amount["gut"], gut_loss, faeces
    )
    portal = [q[organ] for organ in SPLANCHNIC]
    through_liver = q["liver"] + sum(portal[1:], portal[0])
    for name, rate in q.items():
        model.flow(arterial, amount[name], rate * c_arterial)
        if name in SPLANCHNIC:
            model.flow(amount[name], amount["liver"], rate * leaving[name])
        elif name == "liver":
            model.flow(amount["liver"], venous, through_liver * leaving["liver"])
        else:
            model.flow(amount[name], venous, rate * leaving[name])
    # a kg^0.75, so that nothing filtered changes no bit
    renal = of_drug.renal + filtered(of_drug.filtered, fu, filtration / metabolic_weight)
    model.flow(amount["kidney"], urine, renal * metabolic_weight / ratio * leaving["kidney"])
    unbound = unbound_in_liver(fu, of_drug.plasma_to_liver)
    clearing = unbound / ratio * of_drug.clint * mass["liver"] * whole
    if liver != "well_stirred":
        clearing = LIVERS[liver](clearing, through_liver)
    model.flow(amount["liver"], liver_loss, clearing * leaving["liver"])
    if saturable(drug):
        model.flow(
            amount["liver"],
            liver_loss,
            of_drug.saturable_rate(unbound / ratio * leaving["liver"]) * mass["liver"] * whole,
        )
    model.flow(venous, amount["lung"], output * c_venous)
    model.flow(amount["lung"], arterial, output * leaving["lung"])

    plasma = c_venous / ratio
    model.rate(auc, plasma)
    arm = {name: q[name] for name in ARM}
    draining = total({name: flow * leaving[name] for name, flow in arm.items()})
    model.output("cp", plasma, unit="mg/L")
    model.output("cp_arm", draining / total(arm) / ratio, unit="mg/L")
    model.output("cp_arterial", c_arterial / ratio, unit="mg/L")
    model.output("blood", c_venous, unit="mg/L")
    for name in ORGANS:
        tissue, blood = mass[name] * whole / DENSITIES[name], REFERENCE[name].blood * blood_volume
        model.output(f"c_{name}", amount[name] / (tissue + blood), unit="mg/L")
    for state in (auc, urine, faeces, liver_loss, gut_loss):
        model.output(str(state.name), state)
    return model


def total(shares: Mapping[str, Expression]) -> Expression:
    """The sum of all."""
    first, *others = shares.values()
    return sum(others, first)
