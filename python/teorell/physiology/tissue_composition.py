"""What tissues are made of, read from a table that a person can read and replace.

`tissue_composition.csv` beside this file has a row for each number: the method of partition
coefficients that needs it, species ("any" where one set serves all), tissue, quantity, value, unit,
source, and how it was checked (a word of `sources.CHECKED`; a table of your own may leave it out).
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from teorell.errors import InputError, suggestion
from teorell.physiology.sources import CHECKED
from teorell.tables import check_csv

__all__ = ["COMPOSITION_TABLE", "ORGAN_TISSUES", "Composition", "Contents", "read_composition"]

COMPOSITION_TABLE = Path(__file__).with_suffix(".csv")
HEAD = ("method", "species", "tissue", "quantity", "value", "unit", "source")
FLUIDS = ("plasma", "red_cells", "cells")  # rows that are no tissue
# Where a table has no tissue of that name: what stands in for an organ, first choice first.
ORGAN_TISSUES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "gonads": ("gonads", "muscle"),
        "rest": ("rest", "muscle"),
        "stomach": ("stomach", "gut"),
        "pancreas": ("pancreas", "gut"),
    }
)
STAND_IN = "rat"  # of animals that a method has no composition of
ANIMALS = ("beagle", "dog", "minipig", "monkey", "mouse", "rabbit", "rat")
# quantity -> unit, largest value
_RATIO, _FRACTION = ("1", 100.0), ("L/L", 1.0)
QUANTITIES: Mapping[str, tuple[str, float]] = MappingProxyType(
    {
        **dict.fromkeys(
            (
                "water", "extracellular_water", "intracellular_water", "neutral_lipids", "lipids",
                "phospholipids", "neutral_phospholipids", "protein", "cells", "interstitium",
            ),
            _FRACTION,
        ),
        "acidic_phospholipids": ("mg/g", 1000.0),  # or L/L, as Schmitt (2008) tells them
        "albumin_ratio": _RATIO,
        "lipoprotein_ratio": _RATIO,
        "ph": ("1", 14.0),
    }
)  # fmt: skip

Contents = Mapping[str, float]  # quantity -> value


@dataclass(frozen=True)
class Composition:
    """The composition of a species: `methods[method][tissue][quantity]`, units in QUANTITIES.

    `taken_from[method]` is the species that was measured: "any", the species itself, or the rat,
    which stands in for animals.
    """

    species: str
    methods: Mapping[str, Mapping[str, Contents]]
    taken_from: Mapping[str, str]
    source: str

    def tissues(self, method: str) -> dict[str, Contents]:
        """The tissues that a method knows, in the order of the table."""
        return {name: told for name, told in self._of(method).items() if name not in FLUIDS}

    def fluid(self, method: str, name: str) -> Contents:
        """Of plasma, red cells or cells in general, as a method needs them."""
        told = self._of(method)
        if name not in told:
            raise InputError(
                f"{self.source} has no {name} for {method} ({self.species}). Add its rows."
            )
        return told[name]

    def organ(self, method: str, organ: str) -> Contents:
        """Of an organ of the whole-body model, or of what stands in for it (ORGAN_TISSUES)."""
        told = self._of(method)
        for name in ORGAN_TISSUES.get(organ, (organ,)):
            if name in told:
                return told[name]
        raise InputError(
            f"{self.source} has no {organ} for {method} ({self.species}). Add its rows."
        )

    def _of(self, method: str) -> Mapping[str, Contents]:
        if method not in self.methods:
            raise InputError(
                f"{self.source} has no rows for {method!r} ({self.species}). "
                f"{suggestion(method, self.methods)}"
            )
        return self.methods[method]


def read_composition(path: str | Path | None = None, species: str = "human") -> Composition:
    """The composition of a species, from a CSV like `COMPOSITION_TABLE`, which is read if no path
    is given.

    Rows of the species itself go before those of "any"; animals without rows of a method have the
    rat's. InputError, with file and line, for a file that cannot be read, a missing column, an
    unknown quantity, a unit that is not the quantity's, a number outside its range, a row told
    twice, an unknown word in `checked`.
    """
    place = COMPOSITION_TABLE if path is None else Path(path)
    if not isinstance(species, str) or not species:
        raise InputError(f"species is {species!r} (a name is needed). Give one such as 'human'.")
    name = species.strip().casefold()
    rows = _rows_of(place)
    known = sorted({"human", *ANIMALS, *(row[1] for row in rows)} - {"any"})
    if name not in known:
        raise InputError(
            f"unknown species {species!r} (there are {len(known)}). {suggestion(name, known)}"
        )
    return _composition(rows, name, str(place))


_Row = tuple[str, str, str, str, float]


def _composition(rows: tuple[_Row, ...], species: str, source: str) -> Composition:
    methods: dict[str, dict[str, Contents]] = {}
    taken: dict[str, str] = {}
    for method in dict.fromkeys(row[0] for row in rows):
        there = dict.fromkeys(row[1] for row in rows if row[0] == method)
        own = [name for name in ("any", species) if name in there]
        if not own and species != "human" and STAND_IN in there:
            own = [STAND_IN]
        if not own:
            continue
        told: dict[str, dict[str, float]] = {}
        for name in own:
            for of, kind, tissue, quantity, value in rows:
                if of == method and kind == name:
                    told.setdefault(tissue, {})[quantity] = value
        methods[method] = {tissue: MappingProxyType(each) for tissue, each in told.items()}
        taken[method] = own[-1]
    return Composition(species, MappingProxyType(methods), MappingProxyType(taken), source)


def _rows_of(path: Path) -> tuple[_Row, ...]:
    """The rows of a table; those of the shipped one are kept."""
    return _shipped() if path == COMPOSITION_TABLE else tuple(_rows(path))


@lru_cache(maxsize=1)
def _shipped() -> tuple[_Row, ...]:
    return tuple(_rows(COMPOSITION_TABLE))


def _rows(path: Path) -> Iterator[_Row]:
    check_csv(path)
    seen: dict[tuple[str, ...], int] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        head = [name.strip().casefold() for name in next(reader, [])]
        lacking = [name for name in HEAD if name not in head]
        if lacking:
            raise InputError(
                f"{path}, line 1: no column {lacking[0]!r} (a table of composition has "
                f"{', '.join(HEAD)}). Add it."
            )
        for cells in reader:
            line = reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(head):
                raise InputError(
                    f"{path}, line {line}: {len(cells)} cells, and {len(head)} columns (a cell is "
                    "missing, or a text with commas has no quotes). Complete the row."
                )
            row = {name: cell.strip() for name, cell in zip(head, cells, strict=True)}
            checked = row.get("checked")
            if checked is not None and checked not in CHECKED:
                raise InputError(
                    f"{path}, line {line}: checked is {checked!r} (how was the number checked?). "
                    f"{suggestion(checked, CHECKED)}"
                )
            key = tuple(row[name].casefold() for name in HEAD[:4])
            if key in seen:
                raise InputError(
                    f"{path}, line {line}: told before in line {seen[key]} (one number for each "
                    "quantity of a tissue). Remove one."
                )
            seen[key] = line
            yield (*key, _value(row, key[3], f"{path}, line {line}"))  # type: ignore[misc]


def _value(row: Mapping[str, str], quantity: str, where: str) -> float:
    if quantity not in QUANTITIES:
        raise InputError(
            f"{where}: unknown quantity {row['quantity']!r} (it would not be read). "
            f"{suggestion(quantity, QUANTITIES)}"
        )
    unit, most = QUANTITIES[quantity]
    units = {unit, "L/L"} if quantity == "acidic_phospholipids" else {unit}
    if row["unit"] not in units:
        raise InputError(
            f"{where}: {quantity} in {row['unit']!r} (it is read in {unit!r}). Convert it."
        )
    try:
        value = float(row["value"])
    except ValueError:
        raise InputError(
            f"{where}: {quantity} is {row['value']!r} (a number is needed). Correct it."
        ) from None
    if not (math.isfinite(value) and 0.0 <= value <= (1.0 if row["unit"] == "L/L" else most)):
        raise InputError(
            f"{where}: {quantity} is {value:g} {unit} (0 to {most:g} is possible). Correct it."
        )
    return value
