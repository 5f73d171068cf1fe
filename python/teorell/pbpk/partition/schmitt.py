"""Schmitt: charged forms in neutral lipids, neutral and acidic phospholipids and protein of cells.

Schmitt (2008), Toxicol In Vitro 22:457-467.
"""

from __future__ import annotations

from teorell.pbpk.partition.chemistry import Chemistry
from teorell.pbpk.partition.interstitial import interstitial_to_plasma
from teorell.pbpk.partition.pksim_standard import protein_to_water
from teorell.pbpk.partition.values import Value
from teorell.physiology.tissue_composition import Contents

__all__ = ["schmitt", "schmitt_cells"]

CHARGED_IN_LIPIDS = 1e-3  # neutral lipids : water of a charged form, over that of the neutral one
PER_CHARGE = 20.0  # the same ratio of acidic phospholipids, for each positive charge


def schmitt_cells(drug: Chemistry, cells: Contents) -> Value:
    """Cells:plasma, total to total: the ratio to unbound drug in water, times fu.

    cells: water, neutral_lipids, neutral_phospholipids, acidic_phospholipids, protein (L/L), ph.
    Forms of no net charge but with ionised groups count as neutral in lipids.
    """
    lipids: Value = 0.0
    phospholipids: Value = 0.0
    for lost, row in enumerate(drug.charges(cells["ph"])):
        for gained, share in enumerate(row):
            charge = gained - lost
            lipids = lipids + share * CHARGED_IN_LIPIDS ** abs(charge)
            phospholipids = phospholipids + share * PER_CHARGE**charge
    held = (
        cells["water"]
        + drug.p * lipids * cells["neutral_lipids"]
        + drug.p * cells["neutral_phospholipids"]
        + drug.p * phospholipids * cells["acidic_phospholipids"]
        + protein_to_water(drug.p) * cells["protein"]
    )
    return held * drug.fu


def schmitt(drug: Chemistry, tissue: Contents) -> Value:
    """Tissue:plasma, total to total: cells and interstitium, each by its share of the volume.

    tissue: as for `schmitt_cells`, of the cells, and cells, interstitium (L/L).
    """
    between = interstitial_to_plasma(drug.fu)
    return tissue["cells"] * schmitt_cells(drug, tissue) + tissue["interstitium"] * between
