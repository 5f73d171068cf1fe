"""Compounds of the Open Systems Pharmacology model library as drugs.

An entry is a dict as in `osp_model_library_compounds.json`: names of alternatives with
quantities [value, unit], pKa, and processes with parameters. Numbers there are often fitted: what a
drug made of them tells is a reproduction, not a prediction.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from teorell.errors import InputError, InputWarning, suggestion
from teorell.io.osp_entries import mapping, read_entries, sequence
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
    chosen = _check_alternatives(alternatives, name)

    log_p = converted(
        _alternative(entry, "logP", "Lipophilicity", chosen, name), "log", f"{name}, logP"
    )
    fu = converted(
        _alternative(entry, "fu", "Fraction unbound (plasma, reference value)", chosen, name),
        "fraction",
        f"{name}, fu",
    )
    acids, bases = _pkas(entry.get("pKa"), name)
    told = mapping(entry.get("params"), f"{name}, params")
    if "Molecular weight" not in told:
        raise InputError(f"{name} has no 'Molecular weight' (in params). Add it.")
    mass = converted(told["Molecular weight"], "molar mass", f"{name}, Molecular weight")
    if not mass > 0.0:
        raise InputError(f"{name}, Molecular weight is {mass:g} g/mol (not above 0). Correct it.")
    halogens = [
        converted(told.get(atom, [0.0, None]), "ratio", f"{name}, {atom}")
        for atom in ("F", "Cl", "Br", "I")
    ]
    # cm/min
    permeability = float(intestinal_permeability(log_p, effective_molar_mass(mass, *halogens))) * 10
    if entry.get("Pint"):
        permeability = converted(
            _alternative(
                entry, "Pint", "Specific intestinal permeability (transcellular)", chosen, name
            ),
            "permeability",
            f"{name}, Pint",
        )
    ratio = _ratio(Chemistry(log_p, fu, acids, bases))
    result = cleared(
        _chosen(sequence(entry.get("processes"), f"{name}, processes"), processes, name),
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


def _check_alternatives(given: Mapping[str, str] | None, name: str) -> Mapping[str, str]:
    known = ("logP", "fu", "Pint")
    if given is not None and not isinstance(given, Mapping):
        raise InputError(
            f"{name}: alternatives are {given!r:.60} (a dict is needed). Write "
            'alternatives={"logP": "the name of one"}.'
        )
    for key in given or {}:
        if key not in known:
            raise InputError(
                f"{name}: alternatives of {key!r} (there are those of {', '.join(known)}). "
                f"{suggestion(str(key), known)}"
            )
    return given or {}


def _alternative(
    entry: Mapping[str, Any], key: str, quantity: str, chosen: Mapping[str, str], name: str
) -> object:
    rows = [mapping(row, f"{name}, {key}") for row in sequence(entry.get(key), f"{name}, {key}")]
    if not rows:
        raise InputError(f"{name} has no {key} (no model without it). Add it.")
    if key in chosen:
        found = [row for row in rows if row.get("name") == chosen[key]]
        if not found:
            names = [str(row.get("name")) for row in rows]
            raise InputError(
                f"{name}: unknown alternative {chosen[key]!r} of {key} (there are {len(rows)}). "
                f"{suggestion(chosen[key], names)}"
            )
    else:
        found = [row for row in rows if row.get("default")] or rows
    if quantity not in found[0]:
        raise InputError(f"{name}, {key} has no {quantity!r} (its number). Add it.")
    return found[0][quantity]


def _pkas(given: object, name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    groups: dict[str, list[float]] = {"acid": [], "base": []}
    for row in sequence(given, f"{name}, pKa"):
        pair = sequence(row, f"{name}, pKa")
        kind = str(pair[0]).casefold() if pair else ""
        if len(pair) != 2 or kind not in groups:
            raise InputError(
                f"{name}, pKa is {row!r} (a kind and a number are needed). Write ['Acid', 4.5] or "
                "['Base', 9.0]."
            )
        groups[kind].append(converted([pair[1], None], "ratio", f"{name}, pKa"))
    return tuple(groups["acid"]), tuple(groups["base"])


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


def _label(process: Mapping[str, Any]) -> str:
    kind = {
        "GlomerularFiltration": "Glomerular Filtration",
        "LiverClearance": "Total Hepatic Clearance",
        "KidneyClearance": "Renal Clearances",
    }
    what = process.get("molecule") or kind.get(str(process.get("type")), process.get("type"))
    return f"{what}-{process.get('source')}"


def _chosen(
    rows: Iterable[Any], wanted: Sequence[str] | None, name: str
) -> list[tuple[str, Mapping[str, Any]]]:
    labelled = [
        (_label(row), row) for row in (mapping(each, f"{name}, processes") for each in rows)
    ]
    if isinstance(wanted, str):
        wanted = (wanted,)
    if wanted is not None:
        labels = [label for label, _ in labelled]
        for each in wanted:
            if each not in labels:
                raise InputError(
                    f"{name}: unknown process {each!r} (there are {len(labels)}). "
                    f"{suggestion(str(each), labels)}"
                )
        return [(label, row) for label, row in labelled if label in wanted]
    kept: list[tuple[str, Mapping[str, Any]]] = []
    groups: dict[tuple[object, ...], list[tuple[str, Mapping[str, Any]]]] = {}
    for label, row in labelled:
        kind = str(row.get("type"))
        metabolic = kind.startswith(("Metabolization", "rCYP450"))
        key = (row.get("molecule"),) if metabolic and row.get("molecule") else (label, kind)
        groups.setdefault(key, []).append((label, row))
    for group in groups.values():
        with_kcat = [each for each in group if "kcat" in mapping(each[1].get("params"), name)]
        kept += with_kcat or ([group[0]] if _metabolic(group[0][1]) else group)
    return kept


def _metabolic(row: Mapping[str, Any]) -> bool:
    return str(row.get("type")).startswith(("Metabolization", "rCYP450"))


def _warn(name: str, result: Cleared) -> None:
    if result.unused:
        warnings.warn(
            f"{name}: {', '.join(result.unused)} not used (the whole-body model has no such "
            "process). Its curves are those without.",
            InputWarning,
            stacklevel=3,
        )
