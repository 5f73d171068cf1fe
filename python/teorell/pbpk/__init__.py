"""A whole-body model, drugs with a source for each number, and people who differ."""

from __future__ import annotations

from teorell.pbpk.chemicals import chemical, chemical_names
from teorell.pbpk.coefficients import partition_coefficients
from teorell.pbpk.drug import Drug
from teorell.pbpk.drug_parameters import parameters_of
from teorell.pbpk.drugs import DRUGS, MIDAZOLAM, THEOPHYLLINE, drug, drug_names
from teorell.pbpk.partition.methods import METHODS
from teorell.pbpk.variability import virtual_adults
from teorell.pbpk.whole_body import whole_body
from teorell.physiology.tissue_composition import read_composition

__all__ = [
    "DRUGS", "METHODS", "MIDAZOLAM", "THEOPHYLLINE", "Drug", "chemical", "chemical_names", "drug",
    "drug_names", "parameters_of", "partition_coefficients", "read_composition", "virtual_adults",
    "whole_body",
]  # fmt: skip
