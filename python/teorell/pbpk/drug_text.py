"""A drug as text: which numbers were measured, which are estimated, and where they are from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from teorell.pbpk.drug_fields import LIVER, RANGES
from teorell.tables import aligned

if TYPE_CHECKING:
    from teorell.pbpk.drug import Drug

__all__ = ["source_of", "text_of"]

SAID = ("a fraction", "a ratio", "sd of a log", "log10")  # units that say nothing


def source_of(drug: Drug, name: str) -> str:
    """Where a number is from, "" if that was not told; several numbers may share a source."""
    for names, source in drug.sources.items():
        if name in names.split(", "):
            return source
    return ""


def text_of(drug: Drug) -> str:
    """A line for each number of a drug: value, unit, measured or estimated, source."""
    rows = []
    for name in ("acids", "bases", *RANGES):
        value = getattr(drug, name)
        source = source_of(drug, name)
        if value is None or value == () or (not source and _unused(drug, name)):
            continue
        text = (
            ", ".join(f"{each:g}" for each in value) if isinstance(value, tuple) else f"{value:g}"
        )
        unit = "pKa" if isinstance(value, tuple) else RANGES[name][2]
        known = "estimated" if name in drug.estimated else "measured" if source else "assumed"
        rows.append([name, text, "" if unit in SAID else unit, known, source])
    if drug.blood_to_plasma is None:
        rows.append(["blood_to_plasma", f"{drug.ratio:g}", "", "estimated", "what is usual"])
    return f"{drug.name}\n" + aligned(rows, left=(0, 1, 2, 3, 4))


def _unused(drug: Drug, name: str) -> bool:
    """Whether a number that nobody told plays no part."""
    if name in ("incubation_fu", "cells_per_gram"):
        return drug.hepatocyte_clint is None and drug.microsome_clint is None
    if name == "plasma_to_liver":
        return drug.plasma_to_liver == 1.0
    return name in LIVER or (name in ("fraction_renal", "gfr_fraction") and not getattr(drug, name))
