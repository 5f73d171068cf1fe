"""An event table from a CSV file: every cell as it stands there, nothing guessed or lost.

Commas part the cells, the text is UTF-8, a BOM may stand before it. Rows of another length than
the header's, columns of one name and cells of a column without a name are refused, not shifted or
renamed. Lines whose first cell begins with # are comments, as NONMEM has it (IGNORE=#).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from teorell.cells import FAILED, is_missing, number_of
from teorell.errors import InputError
from teorell.tables import check_csv

__all__ = ["read_table", "table_rows"]

PACKED = (".gz", ".bz2", ".xz", ".zip")
LARGEST_WHOLE = 2.0**53  # above it float64 does not tell neighbours apart


def table_rows(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header of a CSV file, and its rows: the line of the file, and as many cells as columns.

    Cells have no outer blanks. Comments and blank lines are left out. InputError as of read_table.
    """
    if path.suffix.lower() not in PACKED:
        check_csv(path)
    rows = _rows(path)
    head = next(rows, (0, []))[1]
    while len(head) == 1 and is_comment(head):
        head = next(rows, (0, []))[1]
    if not head:
        raise InputError(f"{path} is empty (no rows, not even a header). Give a table.")
    if head[0].startswith("#"):
        head[0] = head[0].removeprefix("#").strip()
    if len(head) == 1 and len(head[0].split()) > 1:
        raise InputError(f"{path}: cells parted by blanks (a CSV has commas). Save it as CSV.")
    again = [one for k, one in enumerate(head) if one and one in head[:k]]
    if again:
        raise InputError(
            f"{path} has two columns {again[0]} (which is meant?). Rename one, or leave it out."
        )
    kept = []
    for line, cells in rows:
        if is_comment(cells):
            continue
        if len(cells) != len(head):
            raise InputError(
                f"{path} is no CSV file (line {line} has {len(cells)} cells, the header "
                f"{len(head)}). Give each row as many, without a comma at its end."
            )
        kept.append((line, cells))
    for k, label in enumerate(head):
        full = [place for place, (_, cells) in enumerate(kept) if cells[k]] if not label else []
        if full:
            raise InputError(
                f"{path} has a column without a name ({kept[full[0]][1][k]!r} stands in it, row "
                f"{full[0] + 1}). Name it in the header, or leave it out."
            )
    return head, kept


def read_table(path: str | PathLike[str]) -> dict[str, NDArray[Any]]:
    """The columns of a CSV file, (rows,) each: numbers where all cells are, else text.

    A file that ends in .gz, .bz2, .xz or .zip is unpacked. InputError, with the line, for a file
    that is no table.
    """
    head, rows = table_rows(Path(fspath(path)))
    columns = list(zip(*(cells for _, cells in rows), strict=True)) if rows else [()] * len(head)
    return {label: _typed(column) for label, column in zip(head, columns, strict=True) if label}


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank: line of the file, and its cells without outer blanks."""
    import zipfile
    import zlib
    from lzma import LZMAError

    try:
        with _opened(path) as file:
            reader = csv.reader(file, skipinitialspace=True, strict=True)
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield reader.line_num, [cell.strip() for cell in cells]
                elif len(cells) > 1:
                    yield reader.line_num, [""] * len(cells)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not text in UTF-8 ({error.reason}). Save the table as CSV in UTF-8."
        ) from None
    except csv.Error as error:
        raise InputError(f"{path} is no CSV file ({error}). Save it as CSV in UTF-8.") from None
    except (EOFError, OSError, zipfile.BadZipFile, zlib.error, LZMAError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the file, not what is in it
        raise InputError(f"{path} cannot be unpacked ({error}). Give the table as CSV.") from None


def is_comment(cells: Sequence[str]) -> bool:
    """Does a row begin with #, as NONMEM's comments do? #N/A and #REF! are cells of a row."""
    first = cells[0].lower()
    return first.startswith("#") and first not in FAILED and not is_missing(first)


def _opened(path: Path) -> IO[str]:
    """The text of a file, unpacked."""
    import bz2
    import gzip
    import io
    import lzma
    import zipfile

    kind = path.suffix.lower()
    if kind == ".zip":
        archive = zipfile.ZipFile(path)
        inside = archive.namelist()
        if len(inside) != 1:
            raise InputError(
                f"{path} holds {len(inside)} files (which is the table?). Give the table as CSV."
            )
        raw: Any = archive.open(inside[0])
    else:
        openers: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
        raw = openers.get(kind, open)(path, "rb")
    return io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")


def _typed(cells: tuple[str, ...]) -> NDArray[np.generic]:
    """Whole numbers where all cells are, float64 where others are numbers or missing, else text.

    Whole numbers that float64 does not hold, as long names of subjects are, stay text.
    """
    try:
        if all(cell.isascii() and cell.isdigit() for cell in cells):
            return np.array([int(cell) for cell in cells], np.int64)
    except OverflowError:
        return np.array(cells, object)
    numbers = [number_of(cell) for cell in cells]
    if any(number is None or abs(number) > LARGEST_WHOLE for number in numbers):
        return np.array(cells, object)
    return np.array(numbers, np.float64)
