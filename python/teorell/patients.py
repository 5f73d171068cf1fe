"""Who the patients are: ids and covariates, which stay with every result."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.errors import InputError

__all__ = ["Patients", "patients_of"]


@dataclass(frozen=True, eq=False)
class Patients:
    """Ids and covariates of patients, (patients,) each."""

    ids: NDArray[Any]
    covariates: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)  # of covariates, "" where not told

    def __len__(self) -> int:
        return len(self.ids)

    def columns(self) -> dict[str, NDArray[Any]]:
        """name -> (patients,): id, and the covariates."""
        return {"id": self.ids, **self.covariates}

    def part(self, start: int, stop: int) -> Patients:
        """The patients start to stop - 1."""
        some = {name: column[start:stop] for name, column in self.covariates.items()}
        return replace(self, ids=self.ids[start:stop], covariates=some)

    def repeated(self, times: int) -> Patients:
        """So many copies of them, one after the other."""
        more = {name: np.tile(column, times) for name, column in self.covariates.items()}
        return replace(self, ids=np.tile(self.ids, times), covariates=more)

    def check_names(self, taken: Mapping[str, str]) -> None:
        """InputError where a column has the name of another; taken: name -> what has it."""
        for name in self.columns():
            if name in taken:
                raise InputError(
                    f"{name!r} is a number of the patients and {taken[name]} (one column of the "
                    "table would hide the other). Rename one."
                )

    def fingerprint(self) -> str:
        """A hash of all that is known of them."""
        found = hashlib.blake2b(digest_size=16)
        for name, column in self.columns().items():
            found.update(f"{name}\0{column.dtype.str}\0{self.units.get(name, '')}\0".encode())
            found.update(np.ascontiguousarray(column).tobytes())
        return found.hexdigest()


def patients_of(given: object) -> Patients | None:
    """Who the patients are, where what was given tells it: a population, the parameters of an event
    table; None for plain numbers.
    """
    labels = getattr(given, "labels", None)
    if not callable(labels) or not hasattr(given, "ids"):
        return None
    columns: dict[str, NDArray[Any]] = labels()
    unit = getattr(given, "unit", None)
    units = {name: unit(name) for name in columns} if callable(unit) else {}
    return Patients(np.asarray(given.ids), columns, units)
