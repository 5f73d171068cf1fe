"""Population files of PK-Sim as people and programs write them: read alike, or refused in words."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import teorell as tl

LIVER = "Organism|Liver|Volume [l]"
AGE, HEIGHT = "Organism|Age [year(s)]", "Organism|Height [dm]"
WEIGHT, INDEX = "Organism|Weight [kg]", "Organism|BMI [kg/dm\u00b2]"


@pytest.fixture(scope="module")
def people() -> tl.Population:
    return tl.Population.sample(3, age=(20, 60), seed=1)


@pytest.fixture(scope="module")
def text(people: tl.Population, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = people.to_pksim(tmp_path_factory.mktemp("pksim") / "people.csv")
    return path.read_text(encoding="utf-8")


def changed(
    text: str, head: Callable[[str], str] = str, column: str = "", cell: Callable[[str], str] = str,
    **writing: int | str,
) -> str:  # fmt: skip
    """The file with other names of columns, other cells of one column, or written otherwise."""
    names, *rows = csv.reader(io.StringIO(text))
    for row in rows:
        if column:
            row[names.index(column)] = cell(row[names.index(column)])
    out = io.StringIO()
    writer = csv.writer(out, **writing)  # type: ignore[arg-type]
    writer.writerow([head(name) for name in names])
    writer.writerows(rows)
    return out.getvalue()


def word(gender: str) -> str:
    return {"1": "MALE", "2": "Female"}[gender]


VARIANTS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "no units": lambda text: changed(text, lambda name: name.partition(" [")[0]),
    "words": lambda text: changed(text, column="Gender", cell=word),
    "quoted": lambda text: changed(text, quoting=csv.QUOTE_ALL),
    "comments": lambda text: "\ufeff#Project: x\n#PK-Sim version: 12.1\n" + text,
    "another line end": lambda text: changed(text, lineterminator="\n"),
    "blank lines": lambda text: text.replace("\r\n", "\r\n\r\n"),
    "real numbers": lambda text: changed(text, column="Gender", cell=lambda cell: cell + ".0"),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_read_alike(people: tl.Population, text: str, variant: str, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes(VARIANTS[variant](text).encode())
    found = tl.Population.read_pksim(path)
    for name in ("age", "female", "height", "body_weight", "haematocrit"):
        np.testing.assert_allclose(found[name], people[name], rtol=1e-12)
    np.testing.assert_allclose(found["mass_brain"], people["mass_brain"], rtol=0.05)


REFUSED: dict[str, tuple[Callable[[str], str | bytes], str]] = {
    "semicolons": (lambda text: changed(text, delimiter=";"), "semicolons"),
    "tabs": (lambda text: changed(text, delimiter="\t"), "tabs"),
    "decimal commas": (
        lambda text: changed(text, column=WEIGHT, cell=lambda cell: cell.replace(".", ",")),
        "cells of text, such as '.*' .numbers are needed, with decimal points",
    ),
    "latin-1": (lambda text: text.encode("latin-1"), "not text in UTF-8"),
    "UTF-16": (lambda text: text.encode("utf-16"), "not text in UTF-8"),
    "cut off": (lambda text: text[:-40], "Is the file whole"),
    "comments alone": (lambda text: "#Project: x\n", "is empty"),
    "empty": (lambda text: "", "is empty"),
    "another gender": (lambda text: changed(text, column="Gender", cell=lambda _: "3"), "Gender"),
    "ids twice": (
        lambda text: changed(text, column="IndividualId", cell=lambda _: "7"), "id 7 names",
    ),
    "no ids": (lambda text: text.replace("IndividualId", "Id"), "no column 'IndividualId'"),
    "another unit": (lambda text: text.replace("Height [dm]", "Height [cm]"), "Convert it"),
    "months": (lambda text: text.replace("[year(s)]", "[month(s)]"), "Convert it"),
    "told twice": (
        lambda text: text.replace("RaceIndex", "Organism|Height"), "which counts",
    ),
    "named twice": (lambda text: text.replace("RaceIndex", AGE), "two columns"),
    "age of 200": (lambda text: changed(text, column=AGE, cell=lambda _: "200"), "age out of"),
    "age of -1": (lambda text: changed(text, column=AGE, cell=lambda _: "-1"), "is -1"),
    "height of 0": (lambda text: changed(text, column=HEIGHT, cell=lambda _: "0"), "height out"),
    "height in m": (lambda text: changed(text, column=HEIGHT, cell=lambda _: "1.7"), "height out"),
    "percent": (
        lambda text: changed(text, column="Organism|Hematocrit", cell=lambda _: "45"),
        "haematocrit out of",
    ),
    "another index": (lambda text: changed(text, column=INDEX, cell=lambda _: "9"), "BMI is"),
    "negative": (lambda text: changed(text, column=LIVER, cell=lambda _: "-1"), "is -1"),
    "NaN": (lambda text: changed(text, column=LIVER, cell=lambda _: "NaN"), "such as 'NaN'"),
    "infinite": (lambda text: changed(text, column=LIVER, cell=lambda _: "inf"), "is inf"),
    "missing": (lambda text: changed(text, column=LIVER, cell=lambda _: ""), "cells of text"),
    "huge": (lambda text: changed(text, column=LIVER, cell=lambda _: "1e300"), "body_weight is"),
    "no liver": (lambda text: changed(text, column=LIVER, cell=lambda _: "0"), "body_weight is"),
    "digits": (lambda text: changed(text, column=LIVER, cell=lambda _: "9" * 500), "of text"),
    "a long cell": (
        lambda text: changed(text, column="Population Name", cell=lambda _: "x" * 200_000),
        "no CSV",
    ),
    "zero bytes": (lambda text: text + "\0", "binary"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", REFUSED)
def test_refused(text: str, mistake: str, tmp_path: Path) -> None:
    change, words = REFUSED[mistake]
    content = change(text)
    path = tmp_path / "people.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(tl.InputError, match=words):
        tl.Population.read_pksim(path)
