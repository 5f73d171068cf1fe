"""Partition coefficients of a drug by all methods: a table, without a simulation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from teorell.errors import InputError
from teorell.pbpk.drug import Drug
from teorell.pbpk.drugs import drug as drug_of
from teorell.pbpk.partition.methods import METHODS, check_composition, check_method, of_tissues
from teorell.pbpk.partition.table import PartitionTable
from teorell.physiology.reference_adults import HAEMATOCRIT
from teorell.physiology.tissue_composition import Composition, read_composition

__all__ = ["partition_coefficients"]


def partition_coefficients(
    drug: Drug | str,
    *,
    species: str = "human",
    methods: Sequence[str] = tuple(METHODS),
    composition: Composition | None = None,
    haematocrit: float = HAEMATOCRIT,
) -> PartitionTable:
    """Tissue:plasma coefficients of a drug, or of one of the library by its name.

    species: whose tissues, from the shipped table; composition: a table of your own
    (`read_composition`) instead. haematocrit: with it blood_to_plasma tells what red cells hold.
    They are the methods' own, not scaled to a published volume. InputError for an unknown name,
    species or method.
    """
    known = drug_of(drug) if isinstance(drug, str) else drug
    if not isinstance(known, Drug):
        raise InputError(
            f"drug is {drug!r} (a Drug is needed). Give teorell.pbpk.drug(name), or its name."
        )
    if isinstance(methods, str):
        methods = (methods,)
    if not 0.0 < haematocrit < 1.0:
        raise InputError(
            f"haematocrit is {haematocrit!r} (a fraction between 0 and 1). Give 0.44 for 44 %."
        )
    tissues = (
        read_composition(species=species) if composition is None else check_composition(composition)
    )
    found = {
        method: of_tissues(check_method(method), known.chemistry(haematocrit), tissues)
        for method in methods
    }
    if not found:
        raise InputError("no methods (there is nothing to tell). Name one or more.")
    names = tuple(dict.fromkeys(name for each in found.values() for name in each))
    values = [[float(found[m].get(name, np.nan)) for m in found] for name in names]
    return PartitionTable(
        known.name,
        tissues.species,
        names,
        tuple(found),
        np.array(values),
        {method: tissues.taken_from[METHODS[method][1]] for method in found},
    )
