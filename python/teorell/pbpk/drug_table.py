"""Drugs in a table: a row a number, with its unit, how it is known, and its source.

Columns: drug, quantity, value, unit, known ("measured", "predicted" or "assumed"), source. A number
may stand in a unit other than the model's (UNITS); it is converted.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from teorell.errors import InputError, suggestion
from teorell.pbpk.absorption.permeability import absorption_rate, jejunal_permeability
from teorell.pbpk.drug import Drug
from teorell.physiology.reference_adults import BODY_WEIGHT
from teorell.tables import check_csv

__all__ = ["HEAD", "UNITS", "read_drugs"]

HEAD = ("drug", "quantity", "value", "unit", "known", "source")
KNOWN = ("measured", "predicted", "assumed")


def _from_caco2(value: float) -> float:
    return float(absorption_rate(jejunal_permeability(value)))


# quantity -> unit -> what makes the field's unit of it
_ONE = {"1": 1.0, "%": lambda value: value / 100.0}
UNITS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "molar_mass": {"g/mol": 1.0},
        "log_p": {"log10": 1.0},
        "acids": {"pKa": 1.0},
        "bases": {"pKa": 1.0},
        "fu": _ONE,
        "blood_to_plasma": {"1": 1.0},
        "clearance": {"L/h": 1.0, "mL/min/kg": 0.06 * BODY_WEIGHT.man},
        "fraction_renal": _ONE,
        "hepatocyte_clint": {"uL/min/1e6 cells": 1.0},
        "microsome_clint": {"uL/min/mg": 1.0},
        "incubation_fu": _ONE,
        "cells_per_gram": {"1e6 cells/g": 1.0},
        "liver_clint": {"L/h/kg": 1.0},
        "vmax": {"mg/h/kg": 1.0},
        "km": {"mg/L": 1.0},
        "gfr_fraction": {"1": 1.0},
        "plasma_to_liver": {"1": 1.0},
        # of Caco-2 cells, by absorption/permeability.py
        "absorption_rate": {"1/h": 1.0, "1e-6 cm/s": _from_caco2},
        "fraction_absorbed": _ONE,
        "gut_availability": _ONE,
        "clint_sd": {"sd of log": 1.0},
        "absorption_sd": {"sd of log": 1.0},
        "oral_dose": {"mg": 1.0},
        "iv_dose": {"mg": 1.0},
        "iv_duration": {"h": 1.0, "min": 1.0 / 60.0},
        "volume": {"L/kg": 1.0},
    }
)
_SEVERAL = ("acids", "bases")
# what Drug assumes where a table does not tell it
ASSUMED = frozenset(
    (
        "blood_to_plasma", "absorption_rate", "fraction_absorbed", "gut_availability", "clint_sd",
        "absorption_sd",
    )
)  # fmt: skip
assert UNITS.keys() <= {each.name for each in fields(Drug)}


def read_drugs(path: str | Path) -> dict[str, Drug]:
    """The drugs of a table, by their names in lower case.

    InputError, with file and line, for a file that cannot be read, a missing column, an unknown
    quantity or unit, what is no number, a number told twice or without source, and a drug whose
    numbers do not go together.
    """
    place = Path(path)
    check_csv(place)
    told: dict[str, dict[str, Any]] = {}
    first: dict[str, int] = {}
    with place.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        head = [name.strip().casefold() for name in next(reader, [])]
        for name in HEAD:
            if name not in head:
                raise InputError(
                    f"{place}, line 1: no column {name!r} (a table of drugs has "
                    f"{', '.join(HEAD)}). Add it."
                )
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            where = f"{place}, line {reader.line_num}"
            if len(cells) != len(head):
                raise InputError(
                    f"{where}: {len(cells)} cells, and {len(head)} columns (a cell is missing, or "
                    "a text with commas has no quotes). Complete the row."
                )
            row = {name: cell.strip() for name, cell in zip(head, cells, strict=True)}
            name = row["drug"].casefold()
            if not name:
                raise InputError(f"{where}: no drug (each number is of one). Name it.")
            first.setdefault(name, reader.line_num)
            _add(told.setdefault(name, {}), row, where)
    return {
        name: _drug(name, numbers, f"{place}, line {first[name]}") for name, numbers in told.items()
    }


def _add(numbers: dict[str, Any], row: Mapping[str, str], where: str) -> None:
    quantity, unit = row["quantity"], row["unit"]
    if quantity not in UNITS:
        raise InputError(
            f"{where}: unknown quantity {quantity!r} (it would not be read). "
            f"{suggestion(quantity, UNITS)}"
        )
    if unit not in UNITS[quantity]:
        units = " or ".join(repr(each) for each in UNITS[quantity])
        raise InputError(f"{where}: {quantity} in {unit!r} (it is read in {units}). Convert it.")
    try:
        value = float(row["value"])
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or "_" in row["value"]:
        raise InputError(
            f"{where}: {quantity} is {row['value']!r} (a number is needed). Correct it."
        )
    if row["known"] not in KNOWN:
        raise InputError(
            f"{where}: {quantity} is known {row['known']!r} (how is it known?). Write "
            f"{', '.join(KNOWN[:-1])} or {KNOWN[-1]}."
        )
    if not row["source"]:
        raise InputError(f"{where}: {quantity} has no source (where is it from?). Name one.")
    if quantity in numbers and quantity not in _SEVERAL:
        raise InputError(f"{where}: {quantity} is told twice (which is meant?). Remove one.")
    factor = UNITS[quantity][unit]
    converted = factor(value) if callable(factor) else value * factor
    if quantity in _SEVERAL:
        converted = (*numbers.get(quantity, ((),))[0], converted)
    numbers[quantity] = (converted, row["known"], row["source"])


def _drug(name: str, numbers: Mapping[str, Any], where: str) -> Drug:
    for needed in ("molar_mass", "log_p", "fu"):
        if needed not in numbers:
            raise InputError(f"{where}: {name} has no {needed} (none without it). Add its row.")
    try:
        return _checked(name, numbers)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _checked(name: str, numbers: Mapping[str, Any]) -> Drug:
    return Drug(
        name=name,
        sources={quantity: source for quantity, (_, _, source) in numbers.items()},
        estimated=frozenset(
            quantity for quantity, (_, known, _) in numbers.items() if known != "measured"
        )
        | (ASSUMED - numbers.keys()),
        **{quantity: value for quantity, (value, _, _) in numbers.items()},
    )
