"""Files of a store: on disk for good, replaced at once and whole, told from those of others."""

from __future__ import annotations

import os
import re
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["durable", "foreign", "part_of", "remove", "replacing"]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to; once it is on disk it takes the place of `path`, at once and whole."""
    part = part_of(path)
    yield part
    durable(part)
    os.replace(part, path)
    durable(path.parent)


def part_of(path: Path) -> Path:
    """Where a file is written before it takes the place of `path`."""
    return path.with_name(f"_{path.name}.part")


def durable(path: Path) -> None:
    """Return when the file, or the entries of the folder, would survive a power failure."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def foreign(folder: Path, ours: re.Pattern[str], known: Container[str]) -> str | None:
    """The first path in the folder that does not match `ours`, or is a link; None if all do.

    known: paths that are passed over.
    """
    return min(
        (path for path, is_ours in _entries(folder, ours) if not is_ours and path not in known),
        default=None,
    )


def remove(folder: Path, ours: re.Pattern[str]) -> None:
    """Remove what matches `ours`, and no folder that then still holds something."""
    for path, is_ours in _entries(folder, ours):
        if not is_ours:
            continue
        if (folder / path).is_dir():
            with suppress(OSError):
                (folder / path).rmdir()
        else:
            (folder / path).unlink()


def _entries(folder: Path, ours: re.Pattern[str]) -> Iterator[tuple[str, bool]]:
    """The paths of all files and folders below, what is in a folder before it; and whose it is."""
    for where, folders, names in os.walk(folder, topdown=False):
        for name in (*names, *folders):
            path = Path(where, name)
            below = path.relative_to(folder).as_posix()
            yield below, not path.is_symlink() and ours.fullmatch(below) is not None
