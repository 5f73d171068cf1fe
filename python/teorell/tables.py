"""Tables of the command line: the CSV files that users give it, those it writes, and text.

Text is laid out in at most 80 columns, where its cells let it. A file of another kind, one that
cannot be read, and a folder that cannot be written are refused in a sentence, before any work.
"""

from __future__ import annotations

import csv
import os
import re
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from teorell.errors import InputError

__all__ = [
    "WIDTH", "aligned", "check_csv", "check_folder", "check_text", "defused", "labelled",
    "wrapped", "write_csv",
]  # fmt: skip

WIDTH = 80  # columns of text
SNIFFED = 1 << 16  # bytes of a file that are looked at to tell its kind

FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""How a cell begins that a spreadsheet runs; the last four are the full-width = + - @."""
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-](inf|nan)", re.ASCII)

KINDS = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"%PDF": "a PDF",
    b"PK\x03\x04": "an Excel workbook or another zip archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"PAR1": "a Parquet file",
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "a gzip archive",
    b"\x93NUMPY": "a NumPy array",
}
"""The first bytes of a file -> what it is."""


def check_csv(path: Path) -> None:
    """InputError unless `path` is a file that can be read, with text in UTF-8 parted by commas."""
    start = check_text(path, "a CSV file", "Save the table as CSV in UTF-8.")
    head = start.partition("\n")[0]
    for mark, name in ((";", "semicolons"), ("\t", "tabs")):
        if mark in head and "," not in head:
            raise InputError(f"{path}: cells parted by {name} (a CSV has commas). Save it as CSV.")


def check_text(path: Path, wanted: str, remedy: str) -> str:
    """The start of a file, up to 64 KiB; "" of a pipe, which can be read once only.

    Raises InputError unless `path` is a file that can be read and begins with text in UTF-8.
    wanted: what the file should be, for example "a CSV file"; remedy: the sentence that says what
    to do with a file that is not text.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder ({wanted} is needed). Give the path of the file.")
    if path.exists() and not path.is_file():
        return ""
    try:
        with path.open("rb") as file:
            start = file.read(SNIFFED)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}). Give the path of {wanted}."
        ) from None
    for first, kind in KINDS.items():
        if start.startswith(first):
            raise InputError(f"{path} is {kind} ({wanted} is needed). {remedy}")
    try:
        text = start.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if len(start) < SNIFFED or error.start < SNIFFED - 4:  # else a character was cut in two
            raise InputError(
                f"{path} is not text in UTF-8 (byte {error.start} is {start[error.start]:#04x}). "
                f"{remedy}"
            ) from None
        text = ""
    if "\0" in text:
        raise InputError(f"{path} is binary (it has zero bytes; {wanted} is needed). {remedy}")
    return text


def check_folder(folder: Path, option: str) -> None:
    """InputError unless `folder` is, or can become, one that files can be written to.

    Nothing is made yet. option: how the message names the folder, for example "--out".
    """
    existing = next(path for path in (folder, *folder.parents, Path(".")) if os.path.exists(path))
    if not existing.is_dir():
        raise InputError(f"{option} is {folder} ({existing} is no folder). Name another folder.")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"{option} is {folder} ({existing} is not writable). Name another folder.")


def write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    """Write a header and rows as CSV in UTF-8, text defused; returns `path`."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([defused(cell) for cell in head])
        writer.writerows([defused(cell) for cell in row] for row in rows)
    return path


def defused(cell: Any) -> Any:
    """A cell of a table; text that a spreadsheet would run as a formula has an apostrophe before.

    Numbers stay, text that is a number too. Source: OWASP, "CSV Injection".
    """
    if isinstance(cell, str) and cell.startswith(FORMULAS) and not NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def aligned(rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """Rows of as many cells each as lines of text; left: the columns, counted from 0, that begin
    under each other, the others end so.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.ljust(width) if place in left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def labelled(pairs: Sequence[tuple[str, str]]) -> str:
    """A label and its text a line, texts under each other, long ones over several lines."""
    width = max((len(label) for label, _ in pairs), default=0)
    return "\n".join(wrapped(f"{label:{width}}  {text}", width + 2) for label, text in pairs)


def wrapped(text: str, indent: int = 0) -> str:
    """`text` over lines of at most 80 columns, the second and later ones indented by `indent`.

    A word, a path for example, is never broken, however long.
    """
    return textwrap.fill(
        text, WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )
