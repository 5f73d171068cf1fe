"""Organs of some species as arrays, and the blood flows that connect them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from teorell.arrays import Array

__all__ = ["CLADES", "QUANTITIES", "UPSTREAM", "Organs", "organs_of", "shipped_organs"]

QUANTITIES = ("volume", "flow")  # L, mL/min
CENTRE = "plasma"  # what all organs exchange with; its flow is the cardiac output
UPSTREAM: Mapping[str, tuple[str, ...]] = {"liver": ("gut", "spleen"), "glomeruli": ("kidney",)}
"""Organ -> those whose blood it gets beside the artery's."""
CLADES: Mapping[str, int] = {
    "mouse": 0, "rat": 0, "rabbit": 0, "dog": 1, "monkey": 2, "human": 2,
    "beagle": 1, "cat": 1, "cattle": 3, "minipig": 3,
}  # fmt: skip
"""Species -> 0 rodents and rabbits, 1 carnivores, 2 primates, 3 even-toed ungulates."""


@dataclass(frozen=True)
class Organs:
    """Organs of some species, in order of body mass.

    mass: (species,) log10 kg, rising; clade: (species,), a number of CLADES.
    logs: (species, organs, 2) log10 of the volume [L] and the flow [mL/min], NaN: not known.
    """

    species: tuple[str, ...]
    organs: tuple[str, ...]
    mass: Array
    clade: tuple[int, ...]
    logs: Array

    def adjacency(self) -> Array:
        """(organs, organs): who exchanges blood with whom; rows sum to 1, or to 0 without any."""
        place = {organ: i for i, organ in enumerate(self.organs)}
        found = np.zeros((len(place), len(place)))
        for organ, i in place.items():
            for other in (CENTRE, *UPSTREAM.get(organ, ())):
                if other in place and other != organ:
                    found[i, place[other]] = found[place[other], i] = 1.0
        scaled: Array = found / np.maximum(found.sum(axis=1, keepdims=True), 1.0)
        return scaled


def organs_of(table: Any) -> Organs:
    """A DataFrame with species, weight [kg], organ, quantity, value as Organs."""
    weights = table.groupby("species").weight.mean().sort_values()
    species = tuple(str(name) for name in weights.index)
    organs = tuple(sorted({str(name) for name in table.organ}))
    logs = np.full((len(species), len(organs), len(QUANTITIES)), np.nan)
    for row in table.itertuples():
        place = species.index(row.species), organs.index(row.organ), QUANTITIES.index(row.quantity)
        logs[place] = np.log10(row.value)
    clade = tuple(CLADES[name] for name in species)
    return Organs(species, organs, np.log10(weights.to_numpy(dtype=float)), clade, logs)


@cache
def shipped_organs() -> Organs:
    """Six species, as in httk 2.7 (MIT)."""
    import pandas as pd

    return organs_of(pd.read_csv(Path(__file__).parent / "data" / "organs.csv.gz"))
