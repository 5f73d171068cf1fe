"""Where a population that is larger than memory goes: a Zarr group, or a folder of Parquet files.

A store is written chunk by chunk of patients, each chunk any number of times with the same bits.
`write` returns when the chunk is on disk; which chunks are complete is not the store's business
(manifest.py).
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from teorell.errors import InputError
from teorell.manifest import NAME, durable, replacing
from teorell.parameters import Array

__all__ = ["Chunk", "Layout", "Parquet", "Store", "Variable", "Zarr", "chunks_of", "store_at"]

ROWS = 1 << 20  # of a row group: what is held as a table at once


class Chunk(NamedTuple):
    """The patients start to stop - 1."""

    number: int
    start: int
    stop: int


def chunks_of(patients: int, chunk: int) -> Iterator[Chunk]:
    for number, start in enumerate(range(0, patients, chunk)):
        yield Chunk(number, start, min(start + chunk, patients))


class Variable(NamedTuple):
    """What is known of an array before it is computed."""

    dimensions: tuple[str, ...]  # ("patient", "time") or ("patient",)
    dtype: str
    unit: str = ""


@dataclass(frozen=True)
class Layout:
    """What a store holds. The variable `patient` numbers the patients; those of two dimensions are
    outputs.
    """

    model: str  # its name
    times: Array  # (times,)
    time_unit: str
    patients: int
    chunk: int  # patients
    variables: Mapping[str, Variable]

    def chunks(self) -> Iterator[Chunk]:
        return chunks_of(self.patients, self.chunk)


class Store(Protocol):
    """A folder that holds the arrays of a Layout."""

    @property
    def path(self) -> Path:
        """The folder."""

    def create(self, layout: Layout) -> None:
        """Everything but the patients; what was there is removed, but for the manifest."""

    def others(self) -> list[str]:
        """What lies in the folder and is nothing that a store writes there."""

    def tidy(self) -> None:
        """Remove what an interrupted `write` left half done."""

    def write(self, layout: Layout, chunk: Chunk, arrays: Mapping[str, NDArray[Any]]) -> None:
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
    """A Zarr 3 group: an array a variable, a Zarr chunk a chunk of patients; xarray.open_zarr reads
    it.

    What has not been computed yet reads as NaN, or -1 where numbers are whole.
    """

    path: Path

    def create(self, layout: Layout) -> None:
        import zarr

        _clear(self.path)
        group: Any = zarr.create_group(self.path, zarr_format=3, attributes={"model": layout.model})
        variables = {"time": Variable(("time",), "float64", layout.time_unit), **layout.variables}
        for name, variable in variables.items():
            sizes = {
                "patient": (layout.patients, layout.chunk),
                "time": (layout.times.size, max(1, layout.times.size)),
            }
            shape, chunks = zip(
                *(sizes[dimension] for dimension in variable.dimensions), strict=True
            )
            group.create_array(
                name, shape=shape, chunks=chunks, dtype=variable.dtype,
                dimension_names=variable.dimensions,
                fill_value=np.nan if variable.dtype.startswith("float") else -1,
                attributes={"units": variable.unit} if variable.unit else {},
            )  # fmt: skip
        group["time"][:] = layout.times
        # consolidated metadata are no part of Zarr 3 yet; xarray looks for them
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            zarr.consolidate_metadata(self.path)
        for file in (*self.path.rglob("*"), self.path):
            durable(file)

    def others(self) -> list[str]:
        def ours(entry: Path) -> bool:
            if entry.is_dir():
                return {each.name for each in entry.iterdir() if each.suffix != ".partial"} <= {
                    "zarr.json",
                    "c",
                }
            return entry.name == "zarr.json" or entry.suffix == ".partial"

        return _foreign(self.path, ours)

    def tidy(self) -> None:
        for file in self.path.rglob("*.partial"):
            file.unlink()

    def write(self, layout: Layout, chunk: Chunk, arrays: Mapping[str, NDArray[Any]]) -> None:
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
    """A folder with two Parquet files a chunk: its tidy table, and in `_patients` a row a patient.

    Without sample times both are the latter.

    A folder that is read as a whole is the tidy table: readers pass over names that begin with _.
    """

    path: Path

    def create(self, layout: Layout) -> None:
        _clear(self.path)
        (self.path / "_patients").mkdir()
        durable(self.path)

    def others(self) -> list[str]:
        def ours(entry: Path) -> bool:
            if entry.is_dir():
                return entry.name == "_patients" and all(ours(each) for each in entry.iterdir())
            return entry.match("*part-*.parquet*")

        return _foreign(self.path, ours)

    def tidy(self) -> None:
        pass  # the same names are written again

    def write(self, layout: Layout, chunk: Chunk, arrays: Mapping[str, NDArray[Any]]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        curves = {"time": ("float64", layout.time_unit)}
        single: dict[str, tuple[str, str]] = {}
        for name, (dimensions, dtype, unit) in layout.variables.items():
            (curves if len(dimensions) == 2 else single)[name] = (dtype, unit)
        columns = {
            name: curves.get(name) or single[name] for name in ("patient", *curves, "status")
        }
        if not layout.times.size:
            columns = single

        def schema(of: Mapping[str, tuple[str, str]]) -> Any:
            fields = [
                pa.field(n, dtype, metadata={"units": unit} if unit else None)
                for n, (dtype, unit) in of.items()
            ]
            return pa.schema(fields, metadata={"model": layout.model})

        with replacing(self._file(chunk.number, "_patients")) as path:
            pq.write_table(pa.table([arrays[name] for name in single], schema=schema(single)), path)
        with (
            replacing(self._file(chunk.number)) as path,
            pq.ParquetWriter(path, schema(columns)) as writer,
        ):
            times = max(1, layout.times.size)
            step = max(1, ROWS // times)
            for first in range(0, chunk.stop - chunk.start, step):
                part = {name: array[first : first + step] for name, array in arrays.items()}
                part["time"] = np.tile(layout.times, part["patient"].size)
                rows = [_tidy(part[name], times * part["patient"].size) for name in columns]
                writer.write_table(pa.table(rows, schema=schema(columns)))

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


def _tidy(values: NDArray[Any], rows: int) -> NDArray[Any]:
    """One number for each patient and time, patient after patient."""
    return np.repeat(values, rows // len(values)) if values.size < rows else values.reshape(-1)


def _foreign(folder: Path, ours: Callable[[Path], bool]) -> list[str]:
    return sorted(
        entry.name for entry in folder.iterdir() if NAME not in entry.name and not ours(entry)
    )


def _clear(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.name == NAME:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
