"""Tables of numbers in CSV files: a number a line, with its unit and its source.

A person can read and replace them; what is wrong with one is said with file and line.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from teorell.errors import InputError, suggestion
from teorell.physiology.sources import CHECKED, SOURCES

__all__ = ["Row", "read_rows", "shipped"]

CHECKED_COLUMN = "checked"
LARGEST = 1 << 20  # bytes of a table of numbers; the largest that is shipped has 8 kB


class Row(NamedTuple):
    """A line of a table."""

    keys: tuple[str, ...]  # what tells the number: species, sex, age, the quantity's name, ...
    value: float
    unit: str
    source: str  # letters of SOURCES, or words
    line: int  # in the file, from 1
    checked: str = ""  # one of CHECKED, or "" where the table does not tell it


def shipped(name: str) -> Path:
    """The path of a table that comes with the package."""
    return Path(__file__).parent / "data" / name


def read_rows(path: Path, keys: Sequence[str]) -> list[Row]:
    """The lines of a table whose columns are `keys`, value, unit, source, in any order, and
    `checked`, which a table may have.

    InputError, with file and line, for a file that cannot be read, a missing or unknown column, a
    line of another length, what is no finite number, a number told twice, one without unit or
    source, and a word in `checked` that is none of CHECKED.
    """
    columns = (*keys, "value", "unit", "source")
    lines = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        head = [cell.strip() for cell in next(lines, [])]
        _check_head(path, head, columns)
        told = (*columns, CHECKED_COLUMN) if CHECKED_COLUMN in head else columns
        place = [head.index(name) for name in told]
        rows: list[Row] = []
        first: dict[tuple[str, ...], int] = {}
        for cells in lines:
            if not any(cell.strip() for cell in cells):
                continue
            row = _row(path, lines.line_num, cells, place, len(columns))
            if row.keys in first:
                raise InputError(
                    f"{path}, line {row.line}: {', '.join(row.keys)} stands in line "
                    f"{first[row.keys]} too (which is meant?). Remove one."
                )
            first[row.keys] = row.line
            rows.append(row)
    except csv.Error as error:
        raise InputError(
            f"{path}, line {lines.line_num}: no CSV ({error}). Save it anew."
        ) from None
    if not rows:
        raise InputError(f"{path} has no numbers (a line each is needed). Is the file whole?")
    return rows


def _text(path: Path) -> str:
    """The text of a file; InputError for one that is no table of numbers."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}). Give the path of a CSV file."
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not text in UTF-8 (byte {error.start}). Save the table as CSV in UTF-8."
        ) from None
    if len(content) > LARGEST:
        raise InputError(
            f"{path} is larger than 1 MB (a table of a body has some hundred lines). Is it another "
            "file?"
        )
    if "\0" in text:
        raise InputError(f"{path} is binary (it has zero bytes). Give the path of a CSV file.")
    return text


def _check_head(path: Path, head: list[str], columns: Sequence[str]) -> None:
    lacking = [name for name in columns if name not in head]
    if lacking:
        raise InputError(
            f"{path}, line 1: no column {lacking[0]!r} (columns are {', '.join(columns)}). Add it."
        )
    known = (*columns, CHECKED_COLUMN)
    for name in head:
        if name not in known or head.count(name) > 1:
            why = "stands twice" if name in known else suggestion(name, known)
            raise InputError(
                f"{path}, line 1: column {name!r} (columns are {', '.join(columns)}). {why}"
            )


def _row(path: Path, line: int, cells: list[str], place: list[int], columns: int) -> Row:
    """columns: how many of `place` every table has; what comes then is `checked`."""
    if len(cells) != len(place):
        raise InputError(
            f"{path}, line {line}: {len(cells)} cells ({len(place)} are needed). Is the file whole?"
        )
    told = [cells[k].strip() for k in place]
    *keys, value, unit, source = told[:columns]
    checked = "".join(told[columns:])
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or "_" in value:
        raise InputError(
            f"{path}, line {line}: value {value!r} of {', '.join(keys)} (a finite number is "
            "needed). Correct it."
        )
    for name, cell in (("unit", unit), ("source", source), *(("name", key) for key in keys)):
        if not cell:
            raise InputError(
                f"{path}, line {line}: no {name} (each number says its unit and where it is from; "
                "1 for no unit). Add it."
            )
    if source.isupper() and len(source) <= 2 and source not in SOURCES:
        raise InputError(
            f"{path}, line {line}: source {source!r} (letters cite teorell.physiology.sources). "
            "Write the source in words."
        )
    if len(told) > columns and checked not in CHECKED:
        raise InputError(
            f"{path}, line {line}: checked is {checked!r} (how was the number checked?). "
            f"{suggestion(checked, CHECKED)}"
        )
    return Row(tuple(keys), number, unit, source, line, checked)
