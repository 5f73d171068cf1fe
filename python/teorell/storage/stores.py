"""Where a population that is larger than memory goes: a Zarr group, or a folder of Parquet files.

A store is written chunk by chunk of patients, each chunk any number of times with the same bits.
`write` returns when the chunk is on disk; which chunks are complete is not the store's business
(manifest.py).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from errno import EACCES, ENOENT, ENOTDIR
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from teorell.errors import InputError
from teorell.storage.contents import Chunk, Contents
from teorell.storage.files import durable, replacing
from teorell.storage.zarr_store import Zarr

__all__ = ["Parquet", "Store", "store_at"]

ROWS = 1 << 20  # of a row group: what is held as a table at once


class Store(Protocol):
    """A folder that holds the arrays of a population."""

    @property
    def path(self) -> Path:
        """The folder."""

    def create(self, contents: Contents) -> None:
        """Everything but the patients, in a folder without an older store."""

    def ours(self, names: Sequence[str]) -> re.Pattern[str]:
        """What a store of these variables writes, as paths in the folder; without the manifest."""

    def partial(self) -> re.Pattern[str]:
        """What an interrupted `write` leaves half done."""

    def lost(self, names: Sequence[str]) -> str | None:
        """A file that no chunk can be read without and that is gone or damaged, or None."""

    def files(self, number: int, names: Sequence[str]) -> list[Path]:
        """The files of a chunk, one or more: all are there once it is written."""

    def write(self, contents: Contents, chunk: Chunk, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The arrays of a chunk's patients; on disk when it returns."""

    def read(self, chunk: Chunk, names: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
        """Of a chunk the arrays with one number a patient, all of them or these."""

    def open(self, chunks: int) -> Any:
        """The store of so many chunks as its readers know it."""


def store_at(path: str | os.PathLike[str]) -> Store:
    """The store that the end of the path names.

    InputError for any other, ImportError without its package.
    """
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str):
        raise TypeError(
            f"the path of a store is a {type(path).__name__} (text is needed). Give a str."
        )
    try:
        os.lstat(text)
    except (OSError, ValueError) as error:
        errno = getattr(error, "errno", None)
        if errno not in (ENOENT, ENOTDIR, EACCES):
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise InputError(f"{text[:60]!r} is no path ({why}). Give another.") from None
    if "://" in text:
        raise InputError(
            f"{text} is not on this machine's file system (a store is a folder). Mount it, or copy "
            "it there."
        )
    where = Path(path)
    if where.suffix == ".zarr":
        if find_spec("zarr") is None:
            raise ImportError(
                "no Zarr store (zarr is not installed). Run pip install 'teorell[storage]'."
            )
        return Zarr(where)
    if where.suffix == ".parquet":
        if find_spec("pyarrow") is None:
            raise ImportError(
                "no Parquet store (pyarrow is not installed). Run pip install 'teorell[storage]'."
            )
        return Parquet(where)
    raise InputError(
        f"{text} does not say what to write (its end does). Let it end in .zarr or .parquet."
    )


@dataclass(frozen=True)
class Parquet:
    """A folder with two Parquet files a chunk: its tidy table, and a row a patient.

    The latter is in the folder `_patients`; without sample times both are like it. A folder that is
    read as a whole is the tidy table: readers pass over names that begin with _.
    """

    path: Path

    def create(self, contents: Contents) -> None:
        (self.path / "_patients").mkdir(exist_ok=True)
        durable(self.path)

    def ours(self, names: Sequence[str]) -> re.Pattern[str]:
        file = r"(part-\d{8,}\.parquet|_part-\d{8,}\.parquet\.part)"
        return re.compile(f"_patients|(_patients/)?{file}")

    def partial(self) -> re.Pattern[str]:
        return re.compile(r"(_patients/)?_part-\d{8,}\.parquet\.part")

    def lost(self, names: Sequence[str]) -> str | None:
        return None

    def files(self, number: int, names: Sequence[str]) -> list[Path]:
        return [self._file(number), self._file(number, "_patients")]

    def write(self, contents: Contents, chunk: Chunk, arrays: Mapping[str, NDArray[Any]]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        single, columns = _columns(contents)
        with replacing(self._file(chunk.number, "_patients")) as path:
            table = pa.table([arrays[name] for name in single], schema=_schema(contents, single))
            pq.write_table(table, path)
        schema = _schema(contents, columns)
        with (
            replacing(self._file(chunk.number)) as path,
            pq.ParquetWriter(path, schema) as writer,
        ):
            times = max(1, contents.times.size)
            step = max(1, ROWS // times)
            for first in range(0, chunk.stop - chunk.start, step):
                part = {name: array[first : first + step] for name, array in arrays.items()}
                part["time"] = np.tile(contents.times, part["patient"].size)
                rows = [_by_row(part[name], times * part["patient"].size) for name in columns]
                writer.write_table(pa.table(rows, schema=schema))

    def read(self, chunk: Chunk, names: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
        import pyarrow.parquet as pq

        table = pq.read_table(
            self._file(chunk.number, "_patients"), columns=None if names is None else list(names)
        )
        return {name: table[name].to_numpy() for name in table.column_names}

    def open(self, chunks: int) -> Any:
        """A pyarrow Dataset, read where it is used: of the chunks, and no other file there."""
        import pyarrow.dataset as ds

        return ds.dataset([str(self._file(number)) for number in range(chunks)], format="parquet")

    def _file(self, number: int, folder: str = "") -> Path:
        return self.path / folder / f"part-{number:08d}.parquet"


Column = tuple[str, str]  # dtype, unit


def _columns(contents: Contents) -> tuple[dict[str, Column], dict[str, Column]]:
    """The columns by name: of the file with a row a patient, and of the tidy table."""
    curves = {"time": ("float64", contents.time_unit)}
    single: dict[str, Column] = {}
    for name, (dimensions, dtype, unit) in contents.variables.items():
        (curves if len(dimensions) == 2 else single)[name] = (dtype, unit)
    if not contents.times.size:
        return single, single
    tidy = ("patient", *curves, "status")
    return single, {name: curves.get(name) or single[name] for name in tidy}


def _schema(contents: Contents, columns: Mapping[str, Column]) -> Any:
    """The pyarrow schema of some columns, with the model's name."""
    import pyarrow as pa

    fields = [
        pa.field(name, dtype, metadata={"units": unit} if unit else None)
        for name, (dtype, unit) in columns.items()
    ]
    return pa.schema(fields, metadata={"model": contents.model})


def _by_row(values: NDArray[Any], rows: int) -> NDArray[Any]:
    """(rows,) a number for each patient and time, patient after patient.

    values: (patients, times), or (patients,), where the number of a patient is repeated.
    """
    return np.repeat(values, rows // len(values)) if values.size < rows else values.reshape(-1)
