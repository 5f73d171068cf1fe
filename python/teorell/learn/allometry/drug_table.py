"""Tables of drugs in animals and humans, checked; the columns of PKSmart's animal table.

Numbers are kept as log10: clearance of mL/min/kg, volume at steady state of L/kg, fraction unbound
in plasma. NaN: not measured.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.cells import is_missing, number_of, reason
from teorell.errors import InputError, suggestion
from teorell.learn.allometry.structure import DESCRIPTORS, descriptors

__all__ = [
    "ANIMALS", "TARGETS", "WEIGHTS", "Drugs", "drugs_of", "measured",
    "shipped_animals", "shipped_humans",
]  # fmt: skip

ANIMALS = ("rat", "dog", "monkey")
SPECIES = ("human", *ANIMALS)
WEIGHTS = {"rat": 0.25, "dog": 10.0, "monkey": 5.0, "human": 70.0}  # kg, as in httk 2.7
TARGETS = {"CL": "CL_mL_min_kg", "VDss": "VDss_L_kg"}
UNBOUND = "fup"
OTHER = ("NAME", "CHEMISTRY", "smiles_r", "InChICode_standardised", "molecular_weight_smiles_r")
COLUMNS = (
    *OTHER, *(f"{s}_{column}" for column in (*TARGETS.values(), UNBOUND) for s in SPECIES)
)  # fmt: skip
UNNAMED = "Unnamed: "  # what pandas calls a column without a name
DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Drugs:
    """Some drugs, a row each. NaN: not known.

    CL, VDss, unbound: (drugs, 4) log10, in the order human, rat, dog, monkey.
    structure: (drugs, descriptors); mass: (drugs,) g/mol; names, smiles: "" if not given.
    """

    names: tuple[str, ...]
    smiles: tuple[str, ...]
    mass: Array
    CL: Array
    VDss: Array
    unbound: Array
    structure: Array

    def of(self, target: str) -> Array:
        """The (drugs, 4) of "CL" or "VDss"."""
        found: Array = getattr(self, target)
        return found

    def without_humans(self) -> Drugs:
        """The same, and nothing known of CL and VDss in humans: what a prediction may read."""
        hidden = {}
        for target in TARGETS:
            values = self.of(target).copy()
            values[:, 0] = np.nan
            hidden[target] = values
        return Drugs(
            self.names, self.smiles, self.mass, hidden["CL"], hidden["VDss"], self.unbound,
            self.structure,
        )  # fmt: skip


def drugs_of(table: Any) -> Drugs:
    """The drugs of a table: a DataFrame, a mapping of columns, or the path of a CSV file.

    Columns: those of PKSmart's Animal_PK_data.csv, in its units; any may be missing but those of
    the animals. Empty and 0 are not measured.
    Raises InputError for unknown columns, text in place of numbers, numbers below 0, fractions
    above 1.
    """
    columns = _columns(table)
    for name in columns:
        if not name or name.startswith(UNNAMED):
            raise InputError(
                "a column has no name (row numbers, as pandas writes them?). Write the table with "
                "index=False, or give the column its name."
            )
        if name not in COLUMNS:
            raise InputError(
                f"unknown column {name!r} (of a table of drugs). {suggestion(name, COLUMNS)}"
            )
    if not any(f"{s}_{column}" in columns for s in ANIMALS for column in TARGETS.values()):
        raise InputError(
            "no clearance or volume of an animal (nothing to scale from). Give rat_CL_mL_min_kg."
        )
    rows = len(next(iter(columns.values())))
    if not rows:
        raise InputError("the table has no rows (a drug a row is needed). Give one.")
    texts = {
        name: tuple("" if is_missing(x) else str(x) for x in columns.get(name, [""] * rows))
        for name in ("NAME", "smiles_r")
    }
    missing = [np.nan] * len(DESCRIPTORS)
    structure = [descriptors(each) if each else missing for each in texts["smiles_r"]]
    logs = {
        kind: np.column_stack([_log(columns, f"{s}_{kind}", rows) for s in SPECIES])
        for kind in (*TARGETS.values(), UNBOUND)
    }
    if np.nanmax(logs[UNBOUND], initial=-np.inf) > 1e-9:
        raise InputError("a fraction unbound is above 1 (it is a share). Give fractions, not %.")
    mass = 10 ** _log(columns, "molecular_weight_smiles_r", rows)
    return Drugs(
        texts["NAME"], texts["smiles_r"], mass, logs["CL_mL_min_kg"], logs["VDss_L_kg"],
        logs[UNBOUND], np.array(structure, dtype=float),
    )  # fmt: skip


@cache
def shipped_animals() -> Drugs:
    """The animal table of PKSmart (Apache-2.0), as far as it is open here."""
    return drugs_of(DATA / "animal_pk.csv.gz")


@cache
def shipped_humans() -> tuple[tuple[str, ...], Array, Array, Array]:
    """Drugs in humans alone, none of them in the animal table.

    SMILES; mass (rows,); descriptors (rows, descriptors); log10 of CL, VDss, fu: (rows, 3).
    """
    columns = _columns(DATA / "human_pk.csv.gz")
    smiles = tuple(str(x) for x in columns["smiles_r"])
    rows = len(smiles)
    names = [f"human_{kind}" for kind in (*TARGETS.values(), UNBOUND)]
    values = np.column_stack([_log(columns, name, rows) for name in names])
    mass = 10 ** _log(columns, "molecular_weight_smiles_r", rows)
    return smiles, mass, np.array([descriptors(each) for each in smiles]), values


def measured(logs: Array) -> NDArray[np.int64]:
    """In how many animals each drug was measured, (drugs,); logs: (drugs, 4)."""
    found: NDArray[np.int64] = np.isfinite(logs[:, 1:]).sum(axis=1)
    return found


def _columns(table: Any) -> Mapping[str, Sequence[Any]]:
    import pandas as pd

    if isinstance(table, str | Path):
        if not Path(table).is_file():
            raise InputError(f"{table} is no file (a table of drugs is needed). Give its path.")
        try:
            table = pd.read_csv(table)
        except (ValueError, OSError, EOFError, zlib.error) as error:  # empty, no text, no gzip
            raise InputError(
                f"{table} cannot be read ({error}). Give a CSV file with a line of names."
            ) from None
    try:
        frame = pd.DataFrame(table)
    except ValueError as error:
        raise InputError(
            f"the table cannot be read ({error}). Give columns of one length, a drug a row."
        ) from None
    if not frame.columns.is_unique:
        raise InputError("the table has two columns of one name (which is meant?). Rename one.")
    return {str(name): list(frame[name]) for name in frame}


def _log(columns: Mapping[str, Sequence[Any]], name: str, rows: int) -> Array:
    """log10 of a column (rows,); NaN where it is empty, 0 or not there."""
    cells = columns.get(name, [np.nan] * rows)
    told = [number_of(cell) for cell in cells]
    if None in told:
        wrong = cells[told.index(None)]
        raise InputError(
            f"{name} of row {told.index(None)} is {wrong!r} ({reason(wrong)}). Give numbers, empty "
            "if not known."
        )
    given = np.array(told, np.float64)
    if (given < 0).any() or np.isinf(given).any():
        row = int(np.flatnonzero((given < 0) | np.isinf(given))[0])
        raise InputError(f"{name} of row {row} is {given[row]:g} (no such amount). Correct it.")
    given[given == 0] = np.nan
    found: Array = np.log10(given)
    return found
