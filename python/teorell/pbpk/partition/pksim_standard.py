"""The standard method of PK-Sim: lipids and protein by lipophilicity, whatever the charge.

Willmann, Lippert & Schmitt (2005), Expert Opin Drug Metab Toxicol 1:159-168.
"""

from __future__ import annotations

from teorell.pbpk.partition.chemistry import Chemistry
from teorell.pbpk.partition.values import Value
from teorell.physiology.tissue_composition import Contents

__all__ = ["cells_to_water_from_lipophilicity", "pksim_standard", "protein_to_water"]


def protein_to_water(p: Value) -> Value:
    """Protein:water from octanol:water, by a correlation with binding to muscle protein, as in
    Schmitt (2008), Toxicol In Vitro 22:457-467: 0.163 + 0.0221 p.
    """
    return (0.81 + 0.11 * p) / 24.92 * 5.0


def pksim_standard(drug: Chemistry, tissue: Contents) -> Value:
    """Tissue:plasma, total to total. tissue: water, lipids, protein (L/L)."""
    return _to_water(drug, tissue) * drug.fu


def cells_to_water_from_lipophilicity(drug: Chemistry, red_cells: Contents) -> Value:
    """Red cells : plasma water where it was not measured, by the same formula."""
    return _to_water(drug, red_cells)


def _to_water(drug: Chemistry, part: Contents) -> Value:
    return part["water"] + part["lipids"] * drug.p + part["protein"] * protein_to_water(drug.p)
