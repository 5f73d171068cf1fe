"""A population as a Zarr group, written chunk by chunk of patients."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.packages import needed
from teorell.storage.contents import Chunk, Contents, Variable
from teorell.storage.files import durable

__all__ = ["Zarr"]

# what has not been computed yet; text "" cannot be told from it
FILL = {"float64": np.nan, "int64": -1, "int32": -1, "str": ""}
PARTIAL = r"[0-9a-f]{32}\.partial"  # how the names of files end that zarr is writing


@dataclass(frozen=True)
class Zarr:
    """A Zarr 3 group: an array a variable, a Zarr chunk a chunk of patients.

    xarray.open_zarr reads it. What has not been computed yet reads as NaN, or -1 where numbers are
    whole.
    """

    path: Path

    def create(self, contents: Contents) -> None:
        import zarr

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
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # text has no final specification in Zarr 3 yet
                group.create_array(
                    name,
                    shape=shape,
                    chunks=chunks,
                    dtype=variable.dtype,
                    dimension_names=variable.dimensions,
                    fill_value=FILL[variable.dtype],
                    attributes={"units": variable.unit} if variable.unit else {},
                )
        group["time"][:] = contents.times
        # consolidated metadata are no part of Zarr 3 yet; xarray looks for them
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            zarr.consolidate_metadata(self.path)
        for file in (*self.path.rglob("*"), self.path):
            durable(file)

    def ours(self, names: Sequence[str]) -> re.Pattern[str]:
        array = "|".join(re.escape(name) for name in ("time", *names))
        file = rf"(zarr|\d+)\.{PARTIAL}"
        inside = rf"zarr\.json|c(/\d+){{0,2}}|{file}|c/(\d+/)?{file}"
        return re.compile(rf"zarr\.json|{file}|({array})(/({inside}))?")

    def partial(self) -> re.Pattern[str]:
        return re.compile(rf"(.*/)?(zarr|\d+)\.{PARTIAL}")

    def lost(self, names: Sequence[str]) -> str | None:
        for path in ("zarr.json", *(f"{name}/zarr.json" for name in ("time", *names))):
            try:
                told = json.loads((self.path / path).read_text(encoding="utf-8"))
            except (OSError, ValueError):
                return path
            if path == "time/zarr.json":
                times = told["shape"] != [0]
        return "time/c/0" if times and not (self.path / "time" / "c" / "0").is_file() else None

    def files(self, number: int, names: Sequence[str]) -> list[Path]:
        found = [self.path / name / "c" / str(number) for name in names]
        return [file / "0" if file.is_dir() else file for file in found]

    def write(self, contents: Contents, chunk: Chunk, arrays: Mapping[str, NDArray[Any]]) -> None:
        import zarr

        # a chunk of nothing but NaN has a file too, or it could not be told from one that is gone
        with zarr.config.set({"array.write_empty_chunks": True}):
            group: Any = zarr.open_group(self.path, mode="r+")
            for name, values in arrays.items():
                group[name][chunk.start : chunk.stop] = values
        for file in self.files(chunk.number, list(arrays)):
            durable(file)
            durable(file.parent)

    def read(self, chunk: Chunk, names: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
        import zarr

        group: Any = zarr.open_group(self.path, mode="r")
        chosen = [
            name for name, array in group.arrays() if array.metadata.dimension_names == ("patient",)
        ]
        return {name: group[name][chunk.start : chunk.stop] for name in names or chosen}

    def open(self, chunks: int) -> Any:
        """An xarray Dataset, read where it is used. ImportError without xarray."""
        with needed("xarray", "Dataset", "'teorell[frames]'"):
            import xarray as xr
        # a unit such as "hours" is not to become a time span
        return xr.open_zarr(self.path, decode_timedelta=False)
