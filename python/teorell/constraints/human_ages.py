"""Two ready sets for humans from birth to 100 years, both sexes: what is plausible, and typical.

Ranges move with age where people do: `teorell.physiology.ranges`. Sources are cited by letters,
which `teorell.physiology.sources.SOURCES` spells out.
"""

from __future__ import annotations

from itertools import pairwise

from teorell.constraints.constraint_set import ConstraintSet
from teorell.model.expression import Expression, sqrt
from teorell.model.expression import max as greater
from teorell.model.expression import min as less
from teorell.physiology.ranges import AgeRange, Column, age_ranges
from teorell.physiology.reference_adults import MOSTELLER, STANDARD_SURFACE
from teorell.physiology.vocabulary import (
    FLOWS,
    MASSES,
    SPLANCHNIC,
    flow_share_to,
    flow_to,
    mass_of,
    mass_share_of,
    unit,
)

__all__ = ["plausible", "typical"]


def plausible() -> ConstraintSet:
    """What humans of any age are: hard limits. At least 99.5 % of the people of NHANES 2013-2018
    lie within those of size, haematocrit and filtration rate together, and 99.5 % of sampled people
    within each; the equalities hold in all.

    Quantities, as in `teorell.physiology.vocabulary`: age (y) and female (1 or 0), which a
    projection never moves; body_weight, height, haematocrit, gfr, cardiac_output, mass_* and
    flow_*. tl.Population and tl.Body have them all. Groups: identities; measured (body weight,
    height, body mass index, haematocrit, gfr), of which `.only("measured")` reads nothing else;
    organs; flows; function.
    """
    return _human("plausible")


def typical() -> ConstraintSet:
    """Between which numbers 95 % of humans of an age and sex lie, one by one: the 2.5 and 97.5
    percentiles of the people of NHANES 2013-2018, and of sampled people where nobody measured.

    Quantities and groups are those of `plausible`.
    """
    return _human("typical")


def _human(kind: str) -> ConstraintSet:
    c = ConstraintSet(f"{kind} human")
    ranges = age_ranges(kind)

    def quantity(name: str) -> Expression:
        return c.quantity(name, unit(name), fixed=name in ("age", "female"))

    age, female = quantity("age"), quantity("female")
    weight, height = quantity("body_weight"), quantity("height")
    blood, gfr, output = quantity("haematocrit"), quantity("gfr"), quantity("cardiac_output")
    mass = {part: quantity(mass_of(part)) for part in MASSES}
    flow = {organ: quantity(flow_to(organ)) for organ in FLOWS}
    steps: dict[tuple[float, ...], list[Expression]] = {}

    def at_age(one: AgeRange, pair: tuple[Column, Column]) -> Expression:
        """A bound, linear in the age between its knots, of either sex."""
        knots = tuple(one.knots.tolist())
        if knots not in steps:
            steps[knots] = [
                less(greater((age - low) * (1.0 / (high - low)), 0.0), 1.0)
                for low, high in pairwise(knots)
            ]
        man, woman = ([float(each) for each in column] for column in pair)
        bound = man[0] + female * (woman[0] - man[0])
        for k, step in enumerate(steps[knots], 1):
            of_man, of_woman = man[k] - man[k - 1], woman[k] - woman[k - 1]
            bound = bound + step * (of_man + female * (of_woman - of_man))
        return bound

    def between(name: str, value: Expression, group: str, label: str = "") -> None:
        one = ranges[name]
        c.between(
            label or name.replace("_", " "), value, at_age(one, one.lower), at_age(one, one.upper),
            group=group, unit=one.unit, source=one.source,
        )  # fmt: skip

    c.equal(
        "masses", _sum(mass), weight, group="identities", source="organs and blood make the body"
    )
    c.equal("flows", _sum(flow), output, group="identities", source="what the lung passes on")
    for name, value in {
        "body_weight": weight, "height": height, "body_mass_index": weight / height**2,
        "haematocrit": blood, "gfr": gfr,
    }.items():  # fmt: skip
        between(name, value, "measured")
    surface = sqrt(height * weight * MOSTELLER)
    between("cardiac_index", output * (1.0 / 60.0) / surface, "function")
    plasma = flow["kidney"] * (1.0 - blood)
    filtered = gfr * surface * (0.06 / STANDARD_SURFACE)
    between("filtration_fraction", filtered / plasma, "function")
    of_output, of_weight = 1.0 / output, 1.0 / weight
    hepatic = _sum({organ: flow[organ] for organ in ("liver", *SPLANCHNIC)})
    between("hepatic_share", hepatic * of_output, "flows", "hepatic flow")
    for part in MASSES:
        between(mass_share_of(part), mass[part] * of_weight, "organs", f"mass of {part}")
    for organ in FLOWS:
        between(flow_share_to(organ), flow[organ] * of_output, "flows", f"flow to {organ}")
    return c


def _sum(parts: dict[str, Expression]) -> Expression:
    first, *others = parts.values()
    for each in others:
        first = first + each
    return first
