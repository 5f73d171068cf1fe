"""What a store says of its own making.

That is which simulation it holds, and which chunks of patients are complete. It is one small file
that is only ever replaced whole, so a process that is killed leaves the old one or the new one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["NAME", "Manifest", "durable", "is_free", "replacing"]

NAME = "_teorell.json"  # readers of Parquet folders pass over names that begin with _
WRITER = "teorell.simulate_to"


@dataclass
class Manifest:
    """Which simulation a store holds, and how far it has come.

    `simulation` is what decides every bit, by name; then which chunks are complete, and how many of
    their patients failed.
    """

    folder: Path
    simulation: Mapping[str, Any]  # plain JSON
    complete: NDArray[np.bool_]  # (chunks,)
    failed: int = 0

    @staticmethod
    def of(folder: Path) -> Manifest | None:
        """The manifest of the store that `simulate_to` began in this folder, or None."""
        try:
            record = json.loads((folder / NAME).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(record, dict) or record.get("written by") != WRITER:
            return None
        complete = np.zeros(record["chunks"], np.bool_)
        for start, stop in record["complete"]:
            complete[start:stop] = True
        return Manifest(folder, record["simulation"], complete, record["failed"])

    def mark(self, chunk: int, failed: int) -> None:
        """Write down that a chunk is complete, and how many of its patients failed.

        All its data are on disk by then.
        """
        self.complete[chunk] = True
        self.failed += failed
        self.write()

    def write(self) -> None:
        """Replace the file by what is known now."""
        edges = np.flatnonzero(np.diff(self.complete, prepend=False, append=False))
        record = {
            "written by": WRITER,
            "simulation": self.simulation,
            "chunks": self.complete.size,
            "failed": self.failed,
            "complete": edges.reshape(-1, 2).tolist(),
        }
        with replacing(self.folder / NAME) as path:
            path.write_text(json.dumps(record, indent=1), encoding="utf-8")

    def differences(self, simulation: Mapping[str, Any]) -> list[str]:
        """What this store holds otherwise than `simulation`, by name.

        Both values are told where they are short.
        """
        told = []
        for name in sorted({*self.simulation, *simulation}):
            there, here = self.simulation.get(name), simulation.get(name)
            if there != here:
                short = all(
                    isinstance(value, int | float | str) and len(str(value)) <= 20
                    for value in (there, here)
                )
                told.append(f"{name} ({there} there, {here} here)" if short else name)
        return told


def is_free(folder: Path) -> bool:
    """Is nothing there, or nothing but what a killed process left of its first manifest?"""
    if not folder.is_dir():
        return not os.path.lexists(folder)
    return all(entry == _part(folder / NAME) for entry in folder.iterdir())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to; once it is on disk it takes the place of `path`, at once and whole."""
    part = _part(path)
    yield part
    durable(part)
    os.replace(part, path)
    durable(path.parent)


def _part(path: Path) -> Path:
    """Where a file is written before it takes the place of `path`."""
    return path.with_name(f"_{path.name}.part")


def durable(path: Path) -> None:
    """Return when the file, or the entries of the folder, would survive a power failure."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
