"""What a store says of its own making.

That is which simulation it holds, which chunks of patients are complete, how large their files are,
and a digest of what they hold. It is one small file that is only ever replaced whole, so a process
that is killed leaves the old one or the new one. It ends with a checksum of itself: what others
change is noticed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.storage.files import part_of, replacing
from teorell.storage.lock import LOCK

__all__ = ["NAME", "Manifest", "digest", "digest_of", "is_free", "version_of_teorell"]

NAME = "_teorell.json"  # readers of Parquet folders pass over names that begin with _
WRITER = "teorell.simulate_to"
BUFFER = 1 << 20  # bytes read at once


@dataclass
class Manifest:
    """Which simulation a store holds, and how far it has come.

    `simulation` is what decides every bit, by name; then how many bytes the files of each chunk
    have that is complete, the digest of these bytes, and how many patients of all these failed.
    """

    folder: Path
    simulation: Mapping[str, Any]  # plain JSON
    complete: NDArray[np.bool_]  # (chunks,)
    sizes: NDArray[np.int64]  # (chunks,) bytes; 0 where it is not complete
    digests: NDArray[np.str_]  # (chunks,) `digest_of` the files; "" where it is not complete
    # path -> digest of the files of numbers that all chunks share, such as the times of a .zarr
    shared: Mapping[str, str] = field(default_factory=dict)
    failed: int = 0
    intact: bool = True  # False if it was changed since it was written; then nothing else is known

    @staticmethod
    def new(folder: Path, simulation: Mapping[str, Any], chunks: int) -> Manifest:
        """A manifest of a store with nothing in it."""
        return Manifest(
            folder=folder,
            simulation=simulation,
            complete=np.zeros(chunks, np.bool_),
            sizes=np.zeros(chunks, np.int64),
            digests=np.zeros(chunks, "U64"),
        )

    @staticmethod
    def of(folder: Path) -> Manifest | None:
        """The manifest of the store that `simulate_to` began in this folder, or None."""
        try:
            record = json.loads((folder / NAME).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(record, dict) or record.get("written by") != WRITER:
            return None
        # older versions wrote neither
        if record.pop("checksum", None) != _checksum(record) or "digests" not in record:
            empty = Manifest.new(folder, {}, 0)
            empty.intact = False
            return empty
        found = Manifest.new(folder, record["simulation"], record["chunks"])
        for start, stop in record["complete"]:
            found.complete[start:stop] = True
        found.sizes[found.complete] = [int(size) for size in record["bytes"].split()]
        found.digests[found.complete] = record["digests"].split()
        found.shared = record["shared"]
        found.failed = record["failed"]
        return found

    def mark(self, chunk: int, size: int, digest: str, failed: int) -> None:
        """Write down that a chunk is complete: the bytes of its files, their digest, and how many
        of its patients failed.

        All its data are on disk by then.
        """
        self.complete[chunk], self.sizes[chunk], self.digests[chunk] = True, size, digest
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
            "bytes": " ".join(map(str, self.sizes[self.complete])),
            "shared": self.shared,
            "digests": " ".join(self.digests[self.complete]),
        }
        record["checksum"] = _checksum(record)
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
    """Is nothing there, or nothing but what a process leaves that is killed before it begins?"""
    if not folder.is_dir():
        return not os.path.lexists(folder)
    return {entry.name for entry in folder.iterdir()} <= {LOCK, part_of(folder / NAME).name}


def digest(content: bytes) -> str:
    """A hash of 128 bits, in hexadecimal."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def digest_of(files: Sequence[Path]) -> str:
    """The SHA-256 of what files hold, one after the other, each with its length.

    Processors have instructions for it: it takes half the time of BLAKE2b.
    """
    whole, piece = hashlib.sha256(), bytearray(BUFFER)
    for path in files:
        with open(path, "rb", buffering=0) as file:
            whole.update(os.fstat(file.fileno()).st_size.to_bytes(8, "little"))
            while count := file.readinto(piece):
                whole.update(memoryview(piece)[:count])
    return whole.hexdigest()


def _checksum(record: Mapping[str, Any]) -> str:
    """The digest of all that a manifest says but this."""
    return digest(json.dumps(record, sort_keys=True).encode())


def version_of_teorell() -> str:
    """The version of teorell; "unknown" in the source tree."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("teorell")
    except PackageNotFoundError:  # run from the source tree
        return "unknown"
