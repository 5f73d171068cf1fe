"""`tl.Body`: one body, human or animal, number by number, each with its unit and source."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from teorell.errors import InputError, suggestion
from teorell.html import html_table
from teorell.packages import needed
from teorell.physiology.animals import numbers_of_animal, table_of
from teorell.physiology.checks import SPECIES, check_species, number_between, sex_of
from teorell.physiology.growth import OLDEST, SEXES, reference_at
from teorell.physiology.human import HEIGHTS, INDICES, numbers_of_humans, too_light
from teorell.physiology.sources import UNCHECKED
from teorell.physiology.vocabulary import MORE, SHARES, VOCABULARY, unit

__all__ = ["SPECIES", "Body"]


@dataclass(frozen=True, eq=False)
class Body:
    """Numbers of one body, by the names of `teorell.physiology.vocabulary`: body["mass_liver"].

    `tl.simulate(model, body)` takes those that the model declares, and a ConstraintSet those that
    it asks for. Make one by `Body.human` or `Body.of`.
    """

    species: str
    values: Mapping[str, float]  # in the units that `unit` tells
    sources: Mapping[str, str]  # name -> letters of teorell.physiology.sources.SOURCES, or words

    def __post_init__(self) -> None:
        for name in ("values", "sources"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __reduce__(self) -> tuple[Any, ...]:
        return Body, (self.species, dict(self.values), dict(self.sources))

    @staticmethod
    def human(
        age: float = 30.0,
        sex: str = "male",
        height: float | None = None,
        weight: float | None = None,
        gfr: float | None = None,
        haematocrit: float | None = None,
    ) -> Body:
        """A human of `age` years (0 to 100, born at term), "male" or "female".

        height (m), weight (kg): None is the reference body's height of the age, and the weight of
        its body mass index at the height. gfr (mL/min/1.73 m2), haematocrit: None are
        typical of age and sex. See `teorell.physiology.human` for how the body is made. InputError
        for what is no body: an age of 200, a height in cm, adipose tissue of less than nothing.
        """
        years = number_between(age, "age", "years", 0.0, OLDEST)
        female = np.array([bool(sex_of(sex))])
        body = reference_at(np.array([years]), female)
        tall, index = (
            float(body["height"][0]),
            float(body["body_weight"][0] / body["height"][0] ** 2),
        )
        told = {"age": f"{years:g} years"}
        if height is not None:
            low, high = HEIGHTS[0] * tall, HEIGHTS[1] * tall
            height = number_between(height, "height", "m", low, high, told["age"])
        if weight is not None:
            reference = tall if height is None else height
            low, high = (each * index * reference**2 for each in INDICES)
            of = f"{told['age']} and {reference:.3g} m"
            weight = number_between(weight, "weight", "kg", low, high, of)
        if height is None:
            height = tall
        if weight is None:
            weight = index * height**2
        sized = np.array([years]), female, np.array([height]), np.array([weight])
        if too_light(*sized)[0]:
            raise InputError(
                f"{weight:g} kg at {height:.3g} m is a body mass index of "
                f"{weight / height**2:.3g} kg/m2 (the lean parts alone would weigh more). Give a "
                "larger weight, or a smaller height."
            )
        filtered = blood = None
        if gfr is not None:
            filtered = np.array([number_between(gfr, "gfr", "mL/min/1.73 m2", 0.0, 300.0)])
        if haematocrit is not None:
            blood = np.array([number_between(haematocrit, "haematocrit", "1", 0.05, 0.75)])
        numbers = numbers_of_humans(*sized, gfr=filtered, haematocrit=blood)
        return Body(
            "human",
            {name: float(each[0]) for name, each in numbers.items()},
            {name: _human_source(name) for name in numbers},
        )

    @staticmethod
    def of(species: str, weight: float | None = None, table: str | Path | None = None) -> Body:
        """The body of a species: "human" (a man of 30 years), "mouse", "rat", "rabbit", "dog",
        "beagle", "monkey", "minipig" (many of its numbers are borrowed: see `sources`).

        weight: kg, None is the species' own, in the table. table: the path of a CSV file of your
        own, with the columns species, quantity, value, unit, source and the quantities of
        teorell.physiology.animals.NEEDED, for example of the pig, of which none is shipped.
        InputError for an unknown species, a weight out of reason, or a table with a mistake.
        """
        if table is None:
            check_species(species)
            if species == "human":
                return Body.human(weight=weight)
        rows = table_of(species, None if table is None else Path(table))
        own = rows["body_weight"].value
        kilograms = own
        if weight is not None:
            kilograms = number_between(weight, "weight", "kg", own / 10.0, own * 10.0, species)
        numbers = numbers_of_animal(rows, kilograms, species)
        sources = {name: _animal_source(name, rows) for name in numbers}
        return Body(species, numbers, sources)

    @property
    def parameters(self) -> dict[str, float]:
        """The numbers that `teorell.pbpk.whole_body` reads: body_weight, cardiac_index, shares,
        haematocrit, glomerular_filtration.
        """
        return self.numbers((*SHARES, "haematocrit", "glomerular_filtration"))

    def numbers(self, names: Iterable[str]) -> dict[str, float]:
        """Those of the names that this body has."""
        return {name: self.values[name] for name in names if name in self.values}

    def with_numbers(self, **numbers: float) -> Body:
        """The same body with some numbers replaced, as they are: nothing else follows."""
        for name, value in numbers.items():
            self[name]
            number_between(value, name, unit(name), 0.0, math.inf)
        sources = dict.fromkeys(numbers, "given")
        return Body(self.species, {**self.values, **numbers}, {**self.sources, **sources})

    def __getitem__(self, name: str) -> float:
        if name not in self.values:
            raise InputError(
                f"unknown number {name!r} (a {self.species} body does not have it). "
                f"{suggestion(str(name), self.values)}"
            )
        return self.values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values)

    def __len__(self) -> int:
        return len(self.values)

    def __contains__(self, name: object) -> bool:
        return name in self.values

    def keys(self) -> Iterable[str]:
        return self.values.keys()

    def describe(self) -> str:
        """The numbers, a line each: name, value, unit, meaning, source."""
        rows = self._rows()
        width = [max(len(row[k]) for row in rows) for k in range(3)]
        return "\n".join(
            f"{name:{width[0]}}  {value:>{width[1]}} {of:{width[2]}}  {meaning}  [{source}]"
            for name, value, of, meaning, source in rows
        )

    def to_dataframe(self) -> Any:
        """A pandas DataFrame: a row a number, with name, value, unit, meaning, source.

        ImportError without pandas.
        """
        with needed("pandas", "DataFrame", "'teorell[frames]'"):
            import pandas as pd  # type: ignore[import-untyped,unused-ignore]
        names = list(self.values)
        rows = self._rows()
        return pd.DataFrame(
            {
                "name": names,
                "value": [self.values[name] for name in names],
                "unit": [row[2] for row in rows],
                "meaning": [row[3] for row in rows],
                "source": [row[4] for row in rows],
            }
        )

    def __repr__(self) -> str:
        who = f"{self.species}, {self.values['body_weight']:.4g} kg"
        if "age" in self.values:
            sex, age = SEXES[int(self.values["female"])], self.values["age"]
            who = f"{sex} human of {age:.3g} years, {self.values['height']:.3g} m, "
            who += f"{self.values['body_weight']:.4g} kg"
        return f"<Body: {who}; {len(self)} numbers>"

    def _repr_html_(self) -> str:
        return html_table(repr(self), ("name", "value", "unit", "meaning", "source"), self._rows())

    def _rows(self) -> list[tuple[str, str, str, str, str]]:
        return [
            (name, f"{value:.4g}", unit(name), _meaning(name), self.sources[name])
            for name, value in self.values.items()
        ]


def _meaning(name: str) -> str:
    return (VOCABULARY[name] if name in VOCABULARY else MORE[name]).meaning


def _human_source(name: str) -> str:
    if name.startswith("mass_"):
        return "A, W, AA; ageing V, X, Y"
    if name.startswith("flow_"):
        return "A; ageing P, T, Z"
    return {
        "cardiac_output": "A, M; ageing T", "cardiac_index": "A, M; ageing T",
        "haematocrit": "N; infants I", "gfr": "R; ageing P", "glomerular_filtration": "R; ageing P",
        "albumin": "J", "alpha1_acid_glycoprotein": "J", "height": "A", "body_weight": "A",
    }.get(name, "given")  # fmt: skip


def _animal_source(name: str, rows: Mapping[str, Any]) -> str:
    own = {
        "glomerular_filtration": "gfr_per_weight", "cardiac_index": "cardiac_output",
        "mass_blood": "plasma_volume", "mass_share_blood": "plasma_volume",
        "flow_liver": "flow_hepatic_artery", "flow_share_liver": "flow_hepatic_artery",
        "flow_gut": "flow_liver_total", "flow_share_gut": "flow_liver_total",
        "flow_stomach": "flow_liver_total", "flow_share_stomach": "flow_liver_total",
    }.get(name, name)  # fmt: skip
    for each in (own, own.replace("flow_share_", "flow_"), own.replace("mass_", "mass_share_")):
        if each in rows:
            row = rows[each]
            return str(row.source) + (f" ({UNCHECKED})" if row.checked == UNCHECKED else "")
    return "what is left, or not told apart"
