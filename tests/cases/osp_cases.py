"""Reference simulations of PK-Sim in the shared data: their parameters, for checking only."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from folders import DATA

CASES = DATA / "osp_validator"
TISSUES = (
    "Bone", "Brain", "Fat", "Gonads", "Heart", "Kidney", "Muscle", "Skin", "Lung", "Pancreas",
    "Spleen", "Stomach", "SmallIntestine", "LargeIntestine", "Liver|Periportal",
)  # fmt: skip


class Case:
    """One simulation: path -> value, in PK-Sim's units (L, min, kg, dm, umol)."""

    def __init__(self, path: Path, methods: list[str]) -> None:
        self.name = path.name.removesuffix(".json.gz")
        self.values: dict[str, float] = json.loads(gzip.decompress(path.read_bytes()))[
            "ParameterValues"
        ]
        self._methods = methods
        self.compounds = sorted(
            key.split("|")[0]
            for key, value in self.values.items()
            if key.endswith("|Total drug mass") and value > 0
        )

    def method(self, compound: str) -> str:
        """PK-Sim's name of the method of a compound's partition coefficients."""
        return self._methods[min(self.compounds.index(compound), len(self._methods) - 1)]


def cases() -> Iterator[Case]:
    """All shared simulations, or a skip that says what was not checked."""
    if not CASES.exists():
        pytest.skip(f"NOT CHECKED against PK-Sim: {CASES} is not here")
    with (CASES / "index.csv").open() as file:
        index = {row["case"].replace(" ", "_"): row for row in csv.DictReader(file)}
    for path in sorted((CASES / "cases").glob("*.json.gz")):
        row = index[path.name.removesuffix(".json.gz")]
        told = row["calculation_methods"].split(";")
        yield Case(path, [each.split(" - ")[1] for each in told if "partition" in each])
