"""A ready set: what makes an adult human physiologically valid.

Sources are cited by letters, which `teorell.physiology.sources.SOURCES` spells out.
"""

from __future__ import annotations

from teorell.constraints.constraint import reciprocal
from teorell.constraints.constraint_set import ConstraintSet
from teorell.model.expression import Expression, constant, sqrt, where
from teorell.physiology.adult_ranges import (
    BONE_SHARE,
    DEVIATIONS,
    FILTRATION_FRACTION,
    HEPATIC_SHARE,
    RANGES,
    mass_limits,
)
from teorell.physiology.reference_adults import HEIGHT, MOSTELLER, REFERENCE, STANDARD_SURFACE
from teorell.physiology.variation import (
    FLOW_CV,
    SPREAD,
    SURFACE_CARDIAC_INDEX,
    SURFACE_CARDIAC_INDEX_SD,
)
from teorell.physiology.vocabulary import FLOWS, MASSES, SPLANCHNIC, flow_to, mass_of, unit

__all__ = [
    "human_adult",
]


def human_adult() -> ConstraintSet:
    """Identities and ranges of adult humans, with the source of each: `describe()` lists them.

    Quantities, as in `teorell.physiology.vocabulary`: female (1 or 0, never moved by a projection),
    body_weight (kg), height (m), haematocrit, gfr (mL/min/1.73 m2), cardiac_output (L/h); mass_*
    (kg, without blood) of lung, adipose, bone, brain, gonads, heart, kidney, muscle, skin, stomach,
    gut, spleen, pancreas, liver, rest, and of blood; flow_* (L/h) of the same but lung and blood,
    that of the liver its artery's. What teorell.pbpk.virtual_adults returns has them all.
    Groups: identities, anthropometry, organs, flows, function.
    """
    c = ConstraintSet("human adult")

    def quantity(name: str) -> Expression:
        return c.quantity(name, unit(name), fixed=name == "female")

    female, weight, height = quantity("female"), quantity("body_weight"), quantity("height")
    haematocrit, gfr = quantity("haematocrit"), quantity("gfr")
    output = quantity("cardiac_output")
    # bone has a range of its own, the rest none; both come last in sums
    ranged = [part for part in MASSES if part not in ("bone", "rest")]
    parts = [*ranged, "bone", "rest"]
    mass = {part: quantity(mass_of(part)) for part in parts}
    flow = {organ: quantity(flow_to(organ)) for organ in parts if organ in FLOWS}
    of_output = 1.0 / output
    surface = sqrt(height * weight * MOSTELLER)

    def by_sex(man: float, woman: float) -> Expression:
        return constant(man) if man == woman else where(female > 0.5, woman, man)

    def bound_flow(organ: str) -> None:
        share, reference = flow[organ] * of_output, by_sex(*REFERENCE[organ].flow)
        width = DEVIATIONS * FLOW_CV
        c.between(
            f"flow to {organ}", share * reciprocal(reference), 1.0 - width, 1.0 + width,
            group="flows", source="A, D, three sd",
        )  # fmt: skip

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
        low, high = by_sex(r.man[0], r.woman[0]), by_sex(r.man[1], r.woman[1])
        group = "function" if name == "gfr" else "anthropometry"
        c.between(name, value, low, high, group=group, source=r.source)
    c.between(
        "cardiac index", output * (1.0 / 60.0) / surface,
        SURFACE_CARDIAC_INDEX - DEVIATIONS * SURFACE_CARDIAC_INDEX_SD,
        SURFACE_CARDIAC_INDEX + DEVIATIONS * SURFACE_CARDIAC_INDEX_SD,
        group="function", source="S, three sd",
    )  # fmt: skip
    plasma_flow = flow["kidney"] * (1.0 - haematocrit)
    c.at_most(
        "filtration fraction", gfr * surface * (0.06 / STANDARD_SURFACE),
        FILTRATION_FRACTION * plasma_flow, group="function",
        source="glomerular filtration is a fifth of the renal plasma flow, at most three tenths",
    )  # fmt: skip
    hepatic = _sum({organ: flow[organ] for organ in ("liver", *SPLANCHNIC)})
    c.between(
        "hepatic flow", hepatic * of_output, *HEPATIC_SHARE, group="flows",
        source="healthy humans of PK-Sim's database",
    )  # fmt: skip
    short = by_sex(*HEIGHT) / height
    for part in ranged:
        lowest, highest = mass_limits(part)
        exponent = SPREAD[part].exponent
        relative = mass[part] if exponent == 0.0 else mass[part] * short**exponent
        c.between(
            f"mass of {part}", relative, by_sex(*lowest), by_sex(*highest), group="organs",
            unit="kg", source="A, D, W, three sd",
        )  # fmt: skip
        if part in flow:
            bound_flow(part)
    c.between(
        "mass of bone", mass["bone"] / weight, *BONE_SHARE, group="organs",
        source="PBPK toolkit, 95 % of adults",
    )  # fmt: skip
    bound_flow("bone")
    c.at_least("mass of rest", mass["rest"], 0.0, group="organs", unit="kg", source="a mass")
    c.at_least("flow to rest", flow["rest"], 0.0, group="flows", unit="L/h", source="a flow")
    return c


def _sum(parts: dict[str, Expression]) -> Expression:
    first, *others = parts.values()
    for each in others:
        first = first + each
    return first
