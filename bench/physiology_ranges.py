"""How python/teorell/physiology/data/ranges.csv was made: between which numbers people lie.

python bench/physiology_ranges.py

What was measured (size, haematocrit, filtration) has the percentiles of the people of NHANES near
the age, over what is typical of the age; organs, flows and cardiac index those of sampled people.
"typical" is from 2.5 to 97.5 %; "plausible" is two to three and a half times as far from the
median, in logarithms. tests/constraints/test_human_ages.py checks both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import teorell as tl
from numpy.typing import NDArray
from teorell.physiology.growth import haematocrit_at, reference_at
from teorell.physiology.human import numbers_of_humans
from teorell.physiology.maturation import surface, surface_filtration
from teorell.physiology.ranges import COLUMNS
from teorell.physiology.vocabulary import (
    FLOWS,
    MASSES,
    SPLANCHNIC,
    flow_share_to,
    flow_to,
    mass_share_of,
)
from teorell.population.donors import donors

FILE = Path(tl.__file__).parent / "physiology" / "data" / "ranges.csv"
Column = NDArray[np.float64]
PEOPLE = 400_000
FINE = (0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 10, 12, 14, 16, 18, 20, 30, 45,
        60, 70, 80)  # fmt: skip
COARSE = (0, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 7.5, 10, 11.25, 12.5, 13.75, 15, 17.5, 20, 30,
          45, 60, 80)  # fmt: skip
SOURCES = {
    "cardiac_index": "A T S", "filtration_fraction": "A P R", "hepatic_share": "A D Z",
    "mass_share_": "A D W AA", "flow_share_": "A D P",
}  # fmt: skip
# Times the distance of percentiles from the median. Where kidneys fail their blood goes elsewhere,
# and blood is thin.
WIDER = {"mass_share": 2.0, "flow_share": 3.5, "haematocrit": 3.0, "filtration": 3.0, "": 2.4}
LEAST = {"gfr": 1.0, "flow_share_kidney": 0.003}  # mL/min/1.73 m2; of the cardiac output


def near(age: Column, at: float) -> NDArray[np.bool_]:
    """Who is measured near an age."""
    width = min(0.04 + 0.12 * at, 6.0)
    return (age >= at - width - (at >= 80.0 - 6.0) * 4.0) & (age <= at + width)


def percentiles(values: Column) -> tuple[float, float, float]:
    low, middle, high = np.quantile(values, [0.025, 0.5, 0.975])
    return float(low), float(middle), float(high)


def rows(
    name: str, unit: str, source: str, knots: tuple[float, ...], age: Column,
    female: NDArray[np.bool_], values: Column,
    typical: Callable[[Column, NDArray[np.bool_]], Column],
) -> list[str]:  # fmt: skip
    """The lines of one quantity."""
    known = ~np.isnan(values)
    age, female, values = age[known], female[known], values[known]
    over = values / typical(age, female)
    lines = []
    for sex, word in ((False, "male"), (True, "female")):
        for at in knots:
            some = over[near(age, at) & (female == sex)]
            if some.size < 40:  # of the youngest measured
                order = np.argsort(np.abs(age - at) + 1e3 * (female != sex))[:300]
                some = over[order]
            low, middle, high = percentiles(some)
            factor = float(typical(np.array([at]), np.array([sex]))[0])
            power = next(each for start, each in WIDER.items() if name.startswith(start))
            wide = middle * (low / middle) ** power, middle * (high / middle) ** power
            if name in LEAST:  # dialysis: few people, and far from the others
                wide = LEAST[name] / factor, wide[1]
            cells = [f"{value * factor:.4g}" for value in (low, high, *wide)]
            lines.append(",".join([name, word, f"{at:g}", unit, *cells, source]))
    return lines


def reference_people(age: Column, female: NDArray[np.bool_]) -> dict[str, Column]:
    """The reference bodies of the ages."""
    body = reference_at(age, female)
    return numbers_of_humans(age, female, body["height"], body["body_weight"])


def told(people: Mapping[str, Column]) -> dict[str, Column]:
    """What is limited of organs, flows and function: name -> (n,)."""
    output, weight = people["cardiac_output"], people["body_weight"]
    plasma = people["flow_kidney"] * (1.0 - people["haematocrit"])
    return {
        "cardiac_index": output / 60.0 / surface(people["height"], weight),
        "filtration_fraction": people["glomerular_filtration"] / plasma,
        "hepatic_share": sum(people[flow_to(each)] for each in ("liver", *SPLANCHNIC)) / output,
        **{mass_share_of(part): people[mass_share_of(part)] for part in MASSES},
        **{flow_share_to(organ): people[flow_share_to(organ)] for organ in FLOWS},
    }


def main() -> None:
    table = donors()
    age, female = table.age + 1 / 24, table.female
    lines = [",".join(COLUMNS)]

    def of(name: str) -> Callable[[Column, NDArray[np.bool_]], Column]:
        return lambda a, f: reference_at(a, f)[name]

    def index(a: Column, f: NDArray[np.bool_]) -> Column:
        body = reference_at(a, f)
        return body["body_weight"] / body["height"] ** 2

    people = tl.Population.sample(PEOPLE, survey_weights=False, seed=2)
    ages, women = people["age"], people["female"] > 0.5
    measured = (age, female)
    sampled = (ages, women)
    lines += rows("body_weight", "kg", "N", FINE, *measured, table.weight, of("body_weight"))
    lines += rows("height", "m", "N", FINE, *measured, table.height, of("height"))
    lines += rows(
        "body_mass_index", "kg/m2", "N", FINE, *measured, table.weight / table.height**2, index
    )
    lines += rows("haematocrit", "1", "N; infants I", FINE, *sampled, people["haematocrit"],
                  haematocrit_at)  # fmt: skip
    lines += rows(
        "gfr", "mL/min/1.73 m2", "N K; children R", FINE, *sampled, people["gfr"],
        lambda a, f: surface_filtration(a, reference_at(a, f)),
    )  # fmt: skip
    ours, reference = told(people), told(reference_people(ages, women))
    for name, values in ours.items():
        source = next(text for start, text in SOURCES.items() if name.startswith(start))
        unit = "L/min/m2" if name == "cardiac_index" else "1"

        def typical(a: Column, f: NDArray[np.bool_], name: str = name) -> Column:
            same = a.size == ages.size  # of all people: computed once
            return (reference if same else told(reference_people(a, f)))[name]

        lines += rows(name, unit, f"{source}; sampled", COARSE, *sampled, values, typical)
    FILE.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
