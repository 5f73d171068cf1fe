"""A perfusion-limited whole-body model of a drug in an adult: 15 organs between arterial and venous
blood.

Every organ is well stirred: the blood leaving it is in equilibrium with its tissue. States are
amounts in mg, time in h, volumes in L, flows in L/h, concentrations in mg/L. Dose into
"stomach_lumen" (oral) or "venous" (intravenous).
"""

from __future__ import annotations

from typing import TypeVar

from teorell.model import Model
from teorell.model.expression import Expression
from teorell.pbpk.drugs import Drug
from teorell.physiology.adults import WHOLE_BODY
from teorell.physiology.composition import DENSITIES, PLASMA, TISSUES, Tissue
from teorell.physiology.reference_adults import (
    ARTERIAL_BLOOD,
    BLOOD_DENSITY,
    BLOOD_MASS,
    BODY_WEIGHT,
    CARDIAC_INDEX,
    FLOW_EXPONENT,
    MASS,
    REFERENCE,
    venous_blood,
)
from teorell.physiology.vocabulary import (
    FLOWS,
    MASSES,
    ORGANS,
    SPLANCHNIC,
    VOCABULARY,
    flow_share_to,
    mass_share_of,
)

Value = TypeVar("Value", float, Expression)

PLASMA_PH = 7.4
# Mean residence of a drug in solution in the fasted stomach, 0.25 h: Agoram, Woltosz & Bolger
# (2001), Adv Drug Deliv Rev 50:S41-S67 (after Yu, Lipka, Crison & Amidon 1996, Adv Drug Deliv Rev
# 19:359-376).
GASTRIC_EMPTYING = 4.0  # 1/h


def partition_coefficient(tissue: Tissue, p: Value, fu: Value) -> Value:
    """Tissue:plasma partition coefficient, total to total, without unit: Berezhkovskiy (2004), J
    Pharm Sci 93:1628-1640.

    It is Poulin & Theil's composition model (2002) with the water of tissue and plasma weighed by
    what is bound there. `p` is the octanol:water coefficient for lean tissues, the vegetable
    oil:water coefficient at pH 7.4
    for fat. Fraction unbound in tissue: 1 / (1 + r (1 - fu) / fu), r the albumin ratio (Poulin &
    Theil 2002).
    """

    def content(part: Tissue, binding: Value) -> Value:
        lipids = part.neutral_lipids + 0.3 * part.phospholipids
        return p * lipids + part.water * binding + 0.7 * part.phospholipids

    bound = (1 - fu) / fu
    return content(tissue, 1 + tissue.albumin_ratio * bound) / content(PLASMA, 1 / fu)


def lipophilicity(drug: Drug, log_p: Value, pka: Value) -> tuple[Value, Value]:
    """The octanol:water coefficient, and the vegetable oil:water one of what is neutral at pH 7.4.

    log D = 1.115 log P - 1.35: Leo, Hansch & Elkins (1971), Chem Rev 71:525-616, as in Poulin &
    Theil (2002).
    """
    ionised = 10.0 ** (PLASMA_PH - pka if drug.ionisation == "acid" else pka - PLASMA_PH)
    return 10.0**log_p, 10.0 ** (1.115 * log_p - 1.35) / (1 + ionised)


def partition_scale(drug: Drug) -> float:
    """The factor on all partition coefficients that gives the reference man the published Vss; 1 if
    there is none.

    Vss = (BP V_blood + sum of kp V_tissue) / body weight, Oie & Tozer (1979) in its whole-body
    form.
    """
    if drug.volume is None:
        return 1.0
    octanol, oil = lipophilicity(drug, drug.log_p, drug.pka)
    tissues = 0.0  # L of plasma
    for name in ORGANS:
        kp = partition_coefficient(TISSUES[name], oil if name == "adipose" else octanol, drug.fu)
        tissues += kp * MASS[name].man / DENSITIES[name]
    blood = drug.blood_to_plasma * BLOOD_MASS.man / BLOOD_DENSITY
    return (drug.volume * BODY_WEIGHT.man - blood) / tissues


def whole_body(drug: Drug) -> Model:
    """The model of `drug`: parameters default to the 73 kg reference man and the drug's published
    values.

    The body's parameters are body_weight (kg), cardiac_index (L/h/kg^0.75), and the shares
    mass_share_* of the body weight and flow_share_* of the cardiac output, named as in
    `teorell.physiology.vocabulary`. The model divides each share by the sum of all, so that a
    changed share changes neither the body weight nor the cardiac output. Outputs: `cp`
    (venous plasma), `blood` (venous blood), the concentration in every organ (`c_*`), all in mg/L;
    `auc` of cp (mg h/L), `urine`, `faeces`, `metabolised_liver` and `metabolised_gut` (mg). Doses
    are in mg, times in h.
    """
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
    log_p = number(
        "log_p", drug.log_p, "1", -5.0, 10.0, "log10 octanol:water partition coefficient"
    )
    pka = number("pka", drug.pka, "1", -5.0, 20.0, f"pKa of the {drug.ionisation}")
    scale = number(
        "kp_scale", partition_scale(drug), "1", 1e-6, 1e6, "factor on all partition coefficients"
    )
    fu = number("fu", drug.fu, "1", 1e-5, 1.0, "fraction unbound in plasma")
    ratio = number(
        "blood_to_plasma", drug.blood_to_plasma, "1", 0.3, 100.0, "blood:plasma concentration ratio"
    )
    clint = number(
        "clint", drug.clint, "L/h/kg", 0.0, 1e7, "unbound intrinsic clearance per kg of liver"
    )
    renal = number(
        "renal_clearance", drug.renal_clearance, "L/h/kg^0.75", 0.0, 2.0, "renal plasma clearance"
    )
    emptying = number(
        "gastric_emptying", GASTRIC_EMPTYING, "1/h", 0.0, 1e3, "rate of stomach emptying"
    )
    absorption = number(
        "ka", drug.absorption_rate, "1/h", 0.0, 1e3, "rate of absorption from the intestinal lumen"
    )
    absorbed = number(
        "fraction_absorbed",
        drug.fraction_absorbed,
        "1",
        0.0,
        1.0,
        "oral dose entering the gut wall",
    )
    escaping = number(
        "gut_availability",
        drug.gut_availability,
        "1",
        0.0,
        1.0,
        "share escaping gut wall metabolism",
    )

    # What is computed once per patient
    whole = weight / total(mass)  # kg per share
    output = model.define("cardiac_output", cardiac_index * weight**FLOW_EXPONENT)
    q = {name: output * share / total(flow) for name, share in flow.items()}
    blood_volume = mass["blood"] * whole / BLOOD_DENSITY
    octanol, oil = lipophilicity(drug, log_p, pka)
    # of blood that would hold what the organ holds at the concentration of the blood leaving it
    volume = {}
    for name in ORGANS:
        kp = scale * partition_coefficient(TISSUES[name], oil if name == "adipose" else octanol, fu)
        tissue = model.define(f"kp_{name}", kp) * (mass[name] * whole / DENSITIES[name])
        volume[name] = tissue / ratio + REFERENCE[name].blood * blood_volume

    # Amounts; the large blood pools come last
    lumen = model.state("stomach_lumen", unit="mg", description="dose in the stomach")
    intestine = model.state("gut_lumen", unit="mg", description="dose in the intestine")
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

    model.flow(lumen, intestine, emptying * lumen)
    model.flow(intestine, amount["gut"], absorption * absorbed * escaping * intestine)
    model.flow(intestine, gut_loss, absorption * absorbed * (1 - escaping) * intestine)
    model.flow(intestine, faeces, absorption * (1 - absorbed) * intestine)
    for name, rate in q.items():
        model.flow(arterial, amount[name], rate * c_arterial)
        if name in SPLANCHNIC:
            model.flow(amount[name], amount["liver"], rate * leaving[name])
        elif name == "liver":
            portal = [q[organ] for organ in SPLANCHNIC]
            model.flow(
                amount["liver"], venous, (rate + sum(portal[1:], portal[0])) * leaving["liver"]
            )
        else:
            model.flow(amount[name], venous, rate * leaving[name])
    model.flow(amount["kidney"], urine, renal * weight**FLOW_EXPONENT / ratio * leaving["kidney"])
    model.flow(
        amount["liver"], liver_loss, fu / ratio * clint * mass["liver"] * whole * leaving["liver"]
    )
    model.flow(venous, amount["lung"], output * c_venous)
    model.flow(amount["lung"], arterial, output * leaving["lung"])

    plasma = c_venous / ratio
    model.rate(auc, plasma)
    model.output("cp", plasma, unit="mg/L")
    model.output("blood", c_venous, unit="mg/L")
    for name in ORGANS:
        tissue, blood = mass[name] * whole / DENSITIES[name], REFERENCE[name].blood * blood_volume
        model.output(f"c_{name}", amount[name] / (tissue + blood), unit="mg/L")
    for state in (auc, urine, faeces, liver_loss, gut_loss):
        model.output(str(state.name), state)
    return model


def total(shares: dict[str, Expression]) -> Expression:
    """The sum of all shares."""
    first, *others = shares.values()
    return sum(others, first)
