"""Chemicals of httk whose fraction unbound and hepatic clearance were measured in human material.

`httk_chemicals.csv` beside this file: 1,200 chemicals of httk 2.7.4 (Pearce et al. 2017, J Stat
Softw 79(4); MIT), each measurement with its source. What was not measured is predicted or assumed
by one rule for all, and named in `Drug.estimated`.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from teorell.errors import InputError, suggestion
from teorell.pbpk.absorption.permeability import (
    absorption_rate,
    fraction_absorbed,
    jejunal_permeability,
)
from teorell.pbpk.drug import Drug
from teorell.pbpk.elimination.bound_uptake import albumin_in_plasma_to_liver
from teorell.pbpk.elimination.in_vitro import (
    CELLS_OF_ANIMALS,
    CELLS_PER_GRAM,
    unbound_with_hepatocytes,
)
from teorell.pbpk.partition.chemistry import Chemistry
from teorell.pbpk.partition.rodgers_rowland import STRONG_BASE
from teorell.physiology.tissue_composition import read_composition

__all__ = ["CHEMICALS", "chemical", "chemical_names"]

CHEMICALS = Path(__file__).with_name("httk_chemicals.csv")
HTTK = "httk 2.7.4 (MIT), chem_physical_and_invitro"
NOT_FOUND = 0.005  # fu where none was found unbound: the limit of the assay that httk takes
LEAST_FU = 1e-4  # as httk: no assay tells less
CERTAIN = 0.05  # a clearance whose p is above was not told from none, and counts as none
CACO2 = 29.0  # 1e-6 cm/s, the median of the 357 that were measured
SPECIES = ("human", "rat")

_Row = Mapping[str, str]


@lru_cache(maxsize=1)
def _rows() -> dict[str, _Row]:
    """Name, CAS number and DTXSID, in lower case -> row."""
    with CHEMICALS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found: dict[str, _Row] = {row["name"].casefold(): row for row in rows}
    for key in ("cas", "dtxsid"):
        found |= {row[key].casefold(): row for row in rows}
    return found


def chemical_names() -> tuple[str, ...]:
    """The names of all chemicals, in the order of the alphabet."""
    return tuple(dict.fromkeys(row["name"] for row in _rows().values()))


def chemical(name: str, species: str = "human") -> Drug:
    """A chemical of httk as a Drug, by name, CAS number or DTXSID, in any case.

    species: "human", or "rat": measured in rat material where that was done, else in human, which
    `estimated` then names; cells of the species' liver. Filtration excretes what is unbound;
    hepatocytes clear what is unbound in the incubation (Kilford et al. 2008), and take up in the
    body what albumin gives them (Poulin et al. 2012) but of strong bases, which other proteins
    bind; absorption follows Caco-2 cells, or the median of them.
    InputError, with the nearest name, for another.
    """
    if not isinstance(name, str):
        raise InputError(f"a chemical's name is {name!r} (text is needed). Write its name or CAS.")
    if species not in SPECIES:
        raise InputError(
            f"no measurements of chemicals in {species!r} (there are human and rat). "
            f"{suggestion(str(species), SPECIES)}"
        )
    key = " ".join(name.split()).casefold()
    rows = _rows()
    if key not in rows:
        raise InputError(
            f"unknown chemical {name!r} (httk has measured {len(chemical_names()):,} of them). "
            f"{suggestion(key, (row['name'] for row in rows.values()))}"
        )
    return _drug(rows[key], species)


def _drug(row: _Row, species: str) -> Drug:
    source: dict[str, str] = {}
    estimated = {"acids", "bases", "log_p", "incubation_fu", "gfr_fraction", "clint_sd",
                 "absorption_sd", "plasma_to_liver"}  # fmt: skip
    fu = _fu(row, species, source, estimated)
    clint = _clint(row, species, source, estimated)
    acids, bases = (_pkas(row[kind]) for kind in ("acids", "bases"))
    log_p = float(row["log_p"])
    strong = bool(bases) and max(bases) >= STRONG_BASE
    ratio = _measured(row, "blood_to_plasma", source, estimated)
    caco2 = _measured(row, "caco2", source, estimated)
    estimated.discard("caco2")
    estimated.add("absorption_rate")
    permeability = caco2 if caco2 is not None and caco2 > 0.0 else CACO2
    rate = float(absorption_rate(jejunal_permeability(permeability)))
    absorbed = _measured(row, "fraction_absorbed", source, estimated, "availability")
    escaping = _measured(row, "gut_availability", source, estimated, "availability")
    source |= {
        "molar_mass": HTTK,
        "log_p": f"{HTTK}: {row['log_p_source']}",
        "acids, bases": f"{HTTK}: ChemAxon",
        "incubation_fu": "Kilford et al. (2008), Drug Metab Dispos 36:1194-1197",
        "cells_per_gram": "Barter et al. (2007), Curr Drug Metab 8:33-45"
        if species == "human"
        else "Sohlenius-Sternbeck (2006), Toxicol In Vitro 20:1582-1586",
        "absorption_rate": f"{source.pop('caco2', 'the median of all measured')}, Caco-2 cells; "
        "Sun et al. (2002), Pharm Res 19:1400-1416",
        "gfr_fraction": "filtration alone: assumed",
        "plasma_to_liver": "alpha-1-acid glycoprotein binds strong bases: none assumed"
        if strong
        else "albumin, Rodgers & Rowland (2006); Poulin et al. (2012), J Pharm Sci 101:838-851",
    }
    return Drug(
        name=row["name"],
        molar_mass=float(row["molar_mass"]),
        log_p=log_p,
        acids=acids,
        bases=bases,
        fu=fu,
        blood_to_plasma=ratio,
        hepatocyte_clint=clint,
        incubation_fu=_incubation(log_p, acids, bases),
        cells_per_gram=CELLS_OF_ANIMALS.get(species, CELLS_PER_GRAM),
        plasma_to_liver=1.0 if strong else albumin_in_plasma_to_liver(read_composition()),
        gfr_fraction=1.0,
        absorption_rate=rate,
        fraction_absorbed=float(fraction_absorbed(rate)) if absorbed is None else absorbed,
        gut_availability=1.0 if escaping is None else min(escaping, 1.0),
        sources=source,
        estimated=frozenset(estimated),
    )


def _fu(row: _Row, species: str, source: dict[str, str], estimated: set[str]) -> float:
    key = "rat_fu" if species == "rat" and row["rat_fu"] else "fu"
    if species == "rat" and key == "fu":
        estimated.add("fu")
    value, where = float(row[key]), f"{HTTK}: {row[key + '_source']}"
    if value < LEAST_FU:
        least = LEAST_FU if value > 0.0 else NOT_FOUND
        estimated.add("fu")
        where += f", {value:g} was found unbound; {least:g} is taken"
        value = least
    source["fu"] = where
    return min(value, 1.0)  # up to 1.084 was measured


def _clint(row: _Row, species: str, source: dict[str, str], estimated: set[str]) -> float:
    if species == "rat" and row["rat_clint"]:
        source["hepatocyte_clint"] = f"{HTTK}: {row['rat_clint_source']}, rat"
        return float(row["rat_clint"])
    if species == "rat":
        estimated.add("hepatocyte_clint")
    where = f"{HTTK}: {row['clint_source']}"
    if row["clint_p"] and float(row["clint_p"]) > CERTAIN:
        source["hepatocyte_clint"] = f"{where}, not told from none (p {row['clint_p']})"
        return 0.0
    source["hepatocyte_clint"] = where
    return float(row["clint"])


def _measured(
    row: _Row, key: str, source: dict[str, str], estimated: set[str], told: str = ""
) -> float | None:
    if not row[key]:
        estimated.add(key)
        return None
    source[key] = f"{HTTK}: {row[(told or key) + '_source']}"
    return float(row[key])


def _pkas(cell: str) -> tuple[float, ...]:
    return tuple(float(each) for each in cell.split(";") if each)


def _incubation(log_p: float, acids: tuple[float, ...], bases: tuple[float, ...]) -> float:
    ionised = Chemistry(log_p, 1.0, acids, bases).ionised(7.4)
    basic = bool(bases) and max(bases) > 7.4
    log_d = log_p if basic else log_p - float(np.log10(1.0 + ionised))
    return max(float(unbound_with_hepatocytes(log_d)), 1e-5)
