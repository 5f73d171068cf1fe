"""Populations as CSV files, a row a person."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.cells import is_missing
from teorell.errors import InputError
from teorell.tables import check_csv, defused, write_csv

__all__ = ["read_columns", "write_table"]

Column = NDArray[Any]
LARGEST = 1 << 31  # bytes of a table


def read_columns(path: Path, comments: str = "") -> dict[str, Column]:
    """The columns of a CSV file, name -> (rows,), numbers where all cells are.

    comments: how lines above the head begin that are left out. InputError, with the line, for a row
    of another length, two columns of one name, and a file that is no table.
    """
    check_csv(path)
    if path.stat().st_size > LARGEST:
        raise InputError(f"{path} is larger than 2 GB (a table of people). Read it in parts.")
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file, strict=True)
        try:
            head = next(lines, [])
            while comments and head and head[0].startswith(comments):
                head = next(lines, [])
            head = [cell.strip() for cell in head]
            if not any(head):
                raise InputError(f"{path} is empty (no rows, not even a header). Give a table.")
            if not all(head):
                raise InputError(
                    f"{path}, line {lines.line_num}: a column without a name (each needs one). "
                    "Is the file whole?"
                )
            twice = [name for name, times in Counter(head).items() if times > 1]
            if twice:
                raise InputError(f"{path}: two columns {twice[0]!r} (which is meant?). Rename one.")
            rows = []
            for cells in lines:
                if not cells:
                    continue
                if len(cells) != len(head):
                    raise InputError(
                        f"{path}, line {lines.line_num}: {len(cells)} cells ({len(head)} are "
                        "needed). Is the file whole?"
                    )
                rows.append(cells)
        except (csv.Error, UnicodeDecodeError) as error:
            raise InputError(
                f"{path}, line {lines.line_num + 1}: no CSV in UTF-8 ({error}). Save it anew."
            ) from None
    if not rows:
        raise InputError(f"{path} has no people (a row each is needed). Is the file whole?")
    return {name: _numeric([row[k] for row in rows]) for k, name in enumerate(head)}


def write_table(
    path: Path, ids: Column, columns: Mapping[str, Column], units: Mapping[str, str]
) -> Path:
    """Write a CSV file, a row a person; see `Population.to_csv`."""
    head = ["id", *(f"{name} [{units[name]}]" if units[name] else name for name in columns)]
    rows = zip(ids.tolist(), *(column.tolist() for column in columns.values()), strict=True)
    return write_csv(path, head, rows)


def _numeric(cells: list[str]) -> Column:
    """Numbers, where all cells that are not missing are; else text, of which an apostrophe that
    kept it from running in a spreadsheet is taken again.
    """
    try:
        if any("_" in cell for cell in cells) or all(map(is_missing, cells)):
            raise ValueError
        whole = all(cell.lstrip("+-").isdigit() for cell in cells)
        missing = [not whole and is_missing(cell) for cell in cells]
        numbers = [
            int(cell) if whole else float(cell)
            for cell, no in zip(cells, missing, strict=True)
            if not no
        ]
        if not any(missing):
            return np.array(numbers)
        column = np.full(len(cells), np.nan)
        column[~np.array(missing)] = numbers
        return column
    except (ValueError, OverflowError):
        return np.array(
            [each[1:] if each[:1] == "'" and defused(each[1:]) == each else each for each in cells]
        )
