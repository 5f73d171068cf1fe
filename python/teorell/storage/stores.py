"""Where a population that is larger than memory goes: a Zarr group, or a folder of Parquet files.

A store is written chunk by chunk of patients, each chunk any number of times with the same bits.
`write` returns when the chunk is on disk; which chunks are complete is not the store's business
(manifest.py).
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from teorell.errors import InputError
from teorell.storage.contents import Chunk, Contents, Variable
from teorell.storage.manifest import NAME, durable, replacing

__all__ = ["Parquet", "Store", "Zarr", "store_at"]

ROWS = 1 << 20  # of a row group: what is held as a table at once


class Store(Protocol):
    """A folder that holds the arrays of a population."""

    @property
    def path(self) -> Path:
        """The folder."""

    def create(self, contents: Contents) -> None:
        """Everything but the patients; what was there is removed, but for the manifest."""

    def others(self) -> list[str]:
        """What lies in the folder and is nothing that a store writes there."""

    def drop_partial(self) -> None:
        """Remove what an interrupted `write` left half done."""

    def write(self, contents: Contents, chunk: Chunk, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The arrays of a chunk's patients; on disk when it returns."""

    def read(self, chunk: Chunk, names: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
        """Of a chunk the arrays with one number a patient, all of them or these."""

    def open(self) -> Any:
        """The store as its readers know it."""


def store_at(path: str | os.PathLike[str]) -> Store:
    """The store that the end of the path names.

    InputError for any other, ImportError without its package.
    """
    text = os.fspath(path)
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
class Zarr:
    """A Zarr 3 group: an array a variable, a Zarr chunk a chunk of patients.

    xarray.open_zarr reads it. What has not been computed yet reads as NaN, or -1 where numbers are
    whole.
    """

    path: Path

    def create(self, contents: Contents) -> None:
        import zarr

        _clear(self.path)
        group: Any = zarr.create_group(
            self.path, zarr_format=3, attributes={"model": contents.model}
        )
        variables = {
            "time": Variable(("time",), "float64", contents.time_unit),
            **contents.variables,
        }
        for name, variable in variables.items():
            sizes = {
                "patient": (contents.patients, contents.chunk),
                "time": (contents.times.size, max(1, contents.times.size)),
            }
            shape, chunks = zip(
                *(sizes[dimension] for dimension in variable.dimensions), strict=True
            )
            group.create_array(
                name,
                shape=shape,
                chunks=chunks,
                dtype=variable.dtype,
                dimension_names=variable.dimensions,
                fill_value=np.nan if variable.dtype.startswith("float") else -1,
                attributes={"units": variable.unit} if variable.unit else {},
            )
        group["time"][:] = contents.times
        # consolidated metadata are no part of Zarr 3 yet; xarray looks for them
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            zarr.consolidate_metadata(self.path)
        for file in (*self.path.rglob("*"), self.path):
            durable(file)

    def others(self) -> list[str]:
        def ours(entry: Path) -> bool:
            if entry.is_dir():
                inside = {each.name for each in entry.iterdir() if each.suffix != ".partial"}
                return inside <= {"zarr.json", "c"}
            return entry.name == "zarr.json" or entry.suffix == ".partial"

        return _foreign(self.path, ours)

    def drop_partial(self) -> None:
        for file in self.path.rglob("*.partial"):
            file.unlink()

    def write(self, contents: Contents, chunk: Chunk, arrays: Mapping[str, NDArray[Any]]) -> None:
        import zarr

        group: Any = zarr.open_group(self.path, mode="r+")
        for name, values in arrays.items():
            group[name][chunk.start : chunk.stop] = values
            key = group[name].metadata.encode_chunk_key((chunk.number, 0)[: values.ndim])
            file = self.path / name / key
            if file.exists():  # a Zarr chunk that holds nothing but fill values has no file
                durable(file)
                durable(file.parent)

    def read(self, chunk: Chunk, names: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
        import zarr

        group: Any = zarr.open_group(self.path, mode="r")
        chosen = [
            name for name, array in group.arrays() if array.metadata.dimension_names == ("patient",)
        ]
        return {name: group[name][chunk.start : chunk.stop] for name in names or chosen}

    def open(self) -> Any:
        """An xarray Dataset, read where it is used. ImportError without xarray."""
        try:
            import xarray as xr
        except ImportError as error:
            raise ImportError(
                "no Dataset (xarray is not installed). Run pip install 'teorell[frames]'."
            ) from error
        # a unit such as "hours" is not to become a time span
        return xr.open_zarr(self.path, decode_timedelta=False)


@dataclass(frozen=True)
class Parquet:
    """A folder with two Parquet files a chunk: its tidy table, and a row a patient.

    The latter is in the folder `_patients`; without sample times both are like it. A folder that is
    read as a whole is the tidy table: readers pass over names that begin with _.
    """

    path: Path

    def create(self, contents: Contents) -> None:
        _clear(self.path)
        (self.path / "_patients").mkdir()
        durable(self.path)

    def others(self) -> list[str]:
        def ours(entry: Path) -> bool:
            if entry.is_dir():
                return entry.name == "_patients" and all(ours(each) for each in entry.iterdir())
            return entry.match("*part-*.parquet*")

        return _foreign(self.path, ours)

    def drop_partial(self) -> None:
        pass  # the same names are written again

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

    def open(self) -> Any:
        """A pyarrow Dataset, read where it is used."""
        import pyarrow.dataset as ds

        return ds.dataset(self.path, format="parquet")

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


def _foreign(folder: Path, ours: Callable[[Path], bool]) -> list[str]:
    """The names of what lies in the folder and is neither the manifest nor `ours`."""
    return sorted(
        entry.name for entry in folder.iterdir() if NAME not in entry.name and not ours(entry)
    )


def _clear(folder: Path) -> None:
    """Empty a folder, but for the manifest."""
    for entry in folder.iterdir():
        if entry.name == NAME:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
