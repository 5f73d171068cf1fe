"""Cells of the tables that are written: no text is a formula, numbers stay what they are."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from teorell.tables import defused, write_csv

FORMULAS = [
    '=HYPERLINK("http://x","y")', "=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "=",
    "-", "-cmd|' /C calc'!A0", "--1", "-1e", "+1_000", "-0x10", "＝1+1", "＋1", "－1", "＠A",
]  # fmt: skip
PLAIN = [
    "", "a", "a=b", "1-2", "'=1", " =1", "-1", "+1", "-1.5e-3", "-.5", "-1.", "-inf", "+nan", "1e5",
    "subject 1", "Ærø", 1, -1, -1.5, 0.0, -0.0, float("-inf"), None, True, np.float64(-2.5),
    np.int64(-3),
]  # fmt: skip


@pytest.mark.parametrize("cell", FORMULAS)
def test_text_that_would_be_run(cell):
    assert defused(cell) == "'" + cell


@pytest.mark.parametrize("cell", PLAIN)
def test_what_would_not_stays(cell):
    assert defused(cell) is cell


def test_every_cell_and_the_header(tmp_path):
    path = write_csv(
        tmp_path / "t.csv", ["=a", "b"], [["@x", -1.5], ["plain", np.float64(-2e-300)]]
    )
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows == [["'=a", "b"], ["'@x", "-1.5"], ["plain", "-2e-300"]]
