"""Compounds of the Open Systems Pharmacology model library as drugs.

Numbers of its entries are often fitted: what a drug made of them tells is a reproduction, not a
prediction.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from teorell.errors import InputError, InputWarning, suggestion
from teorell.io.osp_entries import (
    acids_and_bases,
    alternative,
    checked_alternatives,
    mapping,
    processes_of,
    read_entries,
    sequence,
)
from teorell.io.osp_processes import Cleared, cleared
from teorell.io.units import converted
from teorell.pbpk.absorption.gut_wall import escaping_cyp3a4, rate_over_surface
from teorell.pbpk.absorption.permeability import fraction_absorbed
from teorell.pbpk.drug import Drug
from teorell.pbpk.partition.chemistry import Chemistry
from teorell.pbpk.partition.interstitial import effective_molar_mass, intestinal_permeability
from teorell.pbpk.partition.pksim_standard import cells_to_water_from_lipophilicity
from teorell.physiology.reference_adults import HAEMATOCRIT, REFERENCE
from teorell.physiology.tissue_composition import read_composition

__all__ = ["read_compound", "read_entries"]

METHODS_THERE = {
    "Rodgers and Rowland": "rodgers_rowland",
    "Poulin and Theil": "poulin_theil",
    "Berezhkovskiy": "berezhkovskiy",
    "Schmitt": "schmitt",
    "PK-Sim Standard": "pksim_standard",
}
_SOURCE = "Open Systems Pharmacology model library"


def read_compound(
    entry: Mapping[str, Any],
    *,
    processes: Sequence[str] | None = None,
    alternatives: Mapping[str, str] | None = None,
) -> Drug:
    """The drug of an entry.

    processes: names of those that count, as 'CYP3A4-Optimized' or 'Glomerular Filtration-GFR'
    (molecule or kind, data source). Without it all count; but where one molecule has several
    sources, those whose kcat was told, or else the first. alternatives: of "logP", "fu" or "Pint",
    the name of one that is not the default.

    Metabolism counts below saturation, in the liver alone; CYP3A4 in the gut wall too, as what
    escapes it. Transport, binding to targets, inhibition and induction are no part of the model: an
    InputWarning names what is not used. InputError, with the place, for what is no entry, an
    unknown process, alternative, method or unit, and numbers that no drug can have.
    """
    if not isinstance(entry, Mapping):
        raise InputError(
            f"entry is of type {type(entry).__name__} (a dict is needed). Give one element of the "
            "list in osp_model_library_compounds.json."
        )
    name = entry.get("compound")
    if not isinstance(name, str) or not name.strip():
        raise InputError(f"entry has the compound {name!r} (a name is needed). Is it an entry?")
    chosen = checked_alternatives(alternatives, name)

    log_p = converted(
        alternative(entry, "logP", "Lipophilicity", chosen, name), "log", f"{name}, logP"
    )
    fu = converted(
        alternative(entry, "fu", "Fraction unbound (plasma, reference value)", chosen, name),
        "fraction",
        f"{name}, fu",
    )
    acids, bases = acids_and_bases(entry.get("pKa"), name)
    told = mapping(entry.get("params"), f"{name}, params")
    if "Molecular weight" not in told:
        raise InputError(f"{name} has no 'Molecular weight' (in params). Add it.")
    mass = converted(told["Molecular weight"], "molar mass", f"{name}, Molecular weight")
    permeability = _permeability(entry, told, log_p, mass, chosen, name)
    ratio = _ratio(Chemistry(log_p, fu, acids, bases))
    result = cleared(
        processes_of(sequence(entry.get("processes"), f"{name}, processes"), processes, name),
        name=name, fu=fu, ratio=ratio,
    )  # fmt: skip
    _warn(name, result)
    rate = min(float(rate_over_surface(permeability)), 1e3)
    source = f"{_SOURCE}: {entry.get('repo', name)}"
    return Drug(
        name=name.strip().casefold(),
        molar_mass=mass,
        log_p=log_p,
        acids=acids,
        bases=bases,
        fu=fu,
        blood_to_plasma=ratio,
        liver_clint=result.liver / REFERENCE["liver"].mass.man,
        gfr_fraction=result.gfr_fraction,
        absorption_rate=rate,
        fraction_absorbed=float(fraction_absorbed(rate)),
        gut_availability=float(escaping_cyp3a4(result.per_cyp3a4)),
        partition=_method(entry, name),
        sources={
            "molar_mass, log_p, acids, bases, fu": source,
            "liver_clint": f"{source}: {', '.join(result.used) or 'none'}; below saturation",
            "gfr_fraction": source,
            "blood_to_plasma": "red cells by the standard method of PK-Sim",
            "absorption_rate": f"{source}: intestinal permeability over the mucosal surface",
            "gut_availability": "CYP3A4: Yang et al. (2007), Curr Drug Metab 8:676-684",
        },
        estimated=frozenset(
            ("blood_to_plasma", "absorption_rate", "fraction_absorbed", "gut_availability")
        ),
    )


def _permeability(
    entry: Mapping[str, Any],
    told: Mapping[str, Any],
    log_p: float,
    molar_mass: float,
    chosen: Mapping[str, str],
    name: str,
) -> float:
    """Of the intestinal wall, cm/min: as the entry has it, else by logP and molar mass."""
    halogens = [
        converted(told.get(atom, [0.0, None]), "ratio", f"{name}, {atom}")
        for atom in ("F", "Cl", "Br", "I")
    ]
    of_size = float(intestinal_permeability(log_p, effective_molar_mass(molar_mass, *halogens)))
    if not entry.get("Pint"):
        return of_size * 10
    quantity = "Specific intestinal permeability (transcellular)"
    given = alternative(entry, "Pint", quantity, chosen, name)
    return converted(given, "permeability", f"{name}, Pint")


def _ratio(drug: Chemistry) -> float:
    """Blood:plasma, red cells by the standard method of PK-Sim."""
    cells = read_composition().fluid("pksim_standard", "red_cells")
    held = float(cells_to_water_from_lipophilicity(drug, cells)) * drug.fu
    return min(float(1.0 - HAEMATOCRIT + HAEMATOCRIT * held), 100.0)


def _method(entry: Mapping[str, Any], name: str) -> str | None:
    """The method of partition coefficients that the compound was fitted with."""
    for each in sequence(entry.get("methods"), f"{name}, methods"):
        kind, _, method = str(each).partition(" - ")
        if "partition" in kind.casefold():
            if method not in METHODS_THERE:
                raise InputError(
                    f"{name}, methods has {method!r} (of partition coefficients). "
                    f"{suggestion(method, METHODS_THERE)}"
                )
            return METHODS_THERE[method]
    return None


def _warn(name: str, result: Cleared) -> None:
    if result.unused:
        warnings.warn(
            f"{name}: {', '.join(result.unused)} not used (the whole-body model has no such "
            "process). Its curves are those without.",
            InputWarning,
            stacklevel=3,
        )
