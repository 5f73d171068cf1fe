"""Quantities with units, as other tools write them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from teorell.errors import InputError, suggestion

__all__ = ["converted"]

# kind -> unit -> factor to the unit named first
_UNITS: Mapping[str, Mapping[str, float]] = {
    "flow": {"l/h": 1.0, "l/min": 60.0, "ml/min": 0.06, "ml/h": 1e-3},
    "flow per weight": {
        "l/h/kg": 1.0, "ml/min/kg": 0.06, "ml/h/kg": 1e-3, "l/min/kg": 60.0,
    },
    "rate": {"1/h": 1.0, "1/min": 60.0, "1/s": 3600.0},
    "amount concentration": {
        "µmol/l": 1.0, "nmol/l": 1e-3, "mmol/l": 1e3, "pmol/ml": 1e-3, "nmol/ml": 1.0, "µm": 1.0,
        "nm": 1e-3, "mm": 1e3, "pmol/l": 1e-6,
    },
    "rate of a concentration": {"µmol/l/min": 1.0, "pmol/ml/min": 1e-3, "nmol/l/min": 1e-3},
    "rate per protein": {
        "pmol/min/mg mic. protein": 1.0, "nmol/min/mg mic. protein": 1e3,
        "µmol/min/mg mic. protein": 1e6,
    },
    "rate per enzyme": {"pmol/min/pmol rec. enzyme": 1.0, "nmol/min/pmol rec. enzyme": 1e3},
    "content": {"pmol/mg mic. protein": 1.0, "nmol/mg mic. protein": 1e3},
    "clearance per enzyme": {"l/µmol/min": 1.0, "ml/µmol/min": 1e-3, "l/nmol/min": 1e3},
    "permeability": {"cm/min": 1.0, "cm/s": 60.0, "dm/min": 10.0, "cm/h": 1.0 / 60.0},
    "fraction": {"": 1.0, "%": 0.01},
    "log": {"log units": 1.0, "": 1.0},
    "molar mass": {"g/mol": 1.0, "kg/mol": 1e3, "kg/µmol": 1e9},
    "ratio": {"": 1.0},
}  # fmt: skip


def converted(quantity: object, kind: str, where: str) -> float:
    """The number of [value, unit] in the unit named first for its kind.

    where: the place, for messages. InputError for what is no such pair, no finite number, or in an
    unknown unit.
    """
    if not isinstance(quantity, (list, tuple)) or len(quantity) != 2:
        raise InputError(
            f"{where} is {quantity!r:.60} (a number and its unit are needed). Write [value, unit]."
        )
    value, unit = quantity
    if not _finite(value):
        raise InputError(f"{where} is {value!r:.60} (a finite number is needed). Correct it.")
    if unit is not None and not isinstance(unit, str):
        raise InputError(f"{where} has the unit {unit!r:.60} (text is needed). Correct it.")
    # two signs look alike: micro and the Greek letter
    name = (unit or "").strip().replace("\u03bc", "\u00b5").casefold().replace("\u03bc", "\u00b5")
    known = _UNITS[kind]
    if name not in known:
        raise InputError(
            f"{where} is in {unit!r:.60} (units of a {kind} are {', '.join(map(repr, known))}). "
            f"{suggestion(name, known)}"
        )
    return float(value) * known[name]


def _finite(value: object) -> bool:
    """Whether it is a number that a double can hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
