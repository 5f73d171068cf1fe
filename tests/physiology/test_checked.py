"""How the numbers of the shipped tables were checked: every one says it, and docs/sources.md counts
them.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import pytest
import teorell as tl
from folders import ROOT
from teorell.pbpk import drug, drug_names, read_composition
from teorell.pbpk.drug_table import read_drugs
from teorell.physiology.files import read_rows
from teorell.physiology.sources import CHECKED, SOURCES, UNCHECKED

PACKAGE = Path(tl.__file__).parent
TABLES = [
    *(PACKAGE / "physiology" / "data").glob("*.csv"),
    PACKAGE / "physiology" / "tissue_composition.csv",
    PACKAGE / "pbpk" / "drugs.csv",
]
# made by a program from rows of NHANES and of these tables; each line has its source
MADE = {"ranges.csv"}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


@pytest.mark.parametrize("path", TABLES, ids=[path.name for path in TABLES])
def test_every_number_has_unit_source_and_check(path: Path) -> None:
    found = rows(path)
    assert len(found) > 5
    for row in found:
        assert row["unit"], row
        assert row["source"], row
        if path.name not in MADE:
            assert row["checked"] in CHECKED, row
            float(row["value"])


def test_every_number_of_a_drug_has_a_reference() -> None:
    """A paper with its year, a table of httk, or the words that it is a choice; and what was not
    checked says so where the drug is described.
    """
    for row in rows(PACKAGE / "pbpk" / "drugs.csv"):
        one, where = drug(row["drug"]), (row["drug"], row["quantity"])
        told = one.sources[row["quantity"]]
        assert told.startswith(row["source"]), where
        assert (UNCHECKED in told) == (row["checked"] == UNCHECKED), where
        assert told in one.describe(), where
        if row["checked"] == "assumed":
            assert row["known"] == "assumed", where
        else:
            assert re.search(r"\b(19|20)\d\d\b|httk 2\.7|et al\.", row["source"]), where
    assert len(drug_names()) == 30


def test_the_page_counts_them() -> None:
    """The table of docs/sources.md, file by file; and the page explains every word and letter."""
    page = (ROOT / "docs" / "sources.md").read_text(encoding="utf-8")
    words = list(CHECKED)
    told = {
        name: [int(cell) for cell in cells.split("|")]
        for name, cells in re.findall(r"^\| `(\w+\.csv)` \|([\d| ]+)\|$", page, re.MULTILINE)
    }
    total: Counter[str] = Counter()
    for path in TABLES:
        if path.name in MADE:
            continue
        count = Counter(row["checked"] for row in rows(path))
        total += count
        assert told[path.name] == [sum(count.values()), *(count[word] for word in words)], path
    numbers = [sum(total.values()), *(total[word] for word in words)]
    assert f"| all | {' | '.join(map(str, numbers))} |" in page
    for word in words:
        assert f"| `{word}` |" in page, word
    one = r"[A-Z]{1,2}\d?"
    lines = re.findall(rf"^\| ({one}(?:, {one})*) \|", page, re.MULTILINE)
    assert sorted(letter for line in lines for letter in line.split(", ")) == sorted(SOURCES)


@pytest.mark.parametrize("word", ["papr", ""])
def test_an_unknown_word(tmp_path: Path, word: str) -> None:
    """In each kind of table: an error with file and line, and no number read."""
    path = tmp_path / "own.csv"
    path.write_text(f"quantity,value,unit,source,checked\nlength,1,m,me,{word}\n")
    with pytest.raises(tl.InputError, match=r"own\.csv, line 2: checked is"):
        read_rows(path, ("quantity",))
    head = "drug,quantity,value,unit,known,source,checked\n"
    path.write_text(head + f"mine,fu,0.5,1,measured,me,{word}\n")
    with pytest.raises(tl.InputError, match=r"own\.csv, line 2: fu is checked"):
        read_drugs(path)
    head = "method,species,tissue,quantity,value,unit,source,checked\n"
    path.write_text(head + f"poulin_theil,human,lung,water,0.8,L/L,me,{word}\n")
    with pytest.raises(tl.InputError, match=r"own\.csv, line 2: checked is"):
        read_composition(path)


def test_tables_may_leave_it_out(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("quantity,value,unit,source\nlength,1,m,me\n")
    assert read_rows(path, ("quantity",))[0].checked == ""
    path.write_text("checked,quantity,value,unit,source\nhttk,length,1,m,me\n")
    assert read_rows(path, ("quantity",))[0].checked == "httk"
