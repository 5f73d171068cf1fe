"""Rodgers & Rowland: ionised drug in cell water, neutral drug in lipids, and one kind of binding.

Rodgers, Leahy & Rowland (2005), J Pharm Sci 94:1259-1276, for bases of pKa 7 and more, which acidic
phospholipids bind; Rodgers & Rowland (2006), J Pharm Sci 95:1238-1257, for acids, weak bases and
zwitterions, which albumin binds, and neutral drugs, which lipoproteins bind.
"""

from __future__ import annotations

from teorell.errors import InputError
from teorell.pbpk.partition.chemistry import Chemistry
from teorell.pbpk.partition.values import Value, maximum, where
from teorell.physiology.tissue_composition import Contents

__all__ = ["STRONG_BASE", "cells_to_water", "rodgers_rowland"]

STRONG_BASE = 7.0  # pKa from which acidic phospholipids bind a base (2005)


def rodgers_rowland(
    drug: Chemistry,
    tissue: Contents,
    plasma: Contents,
    red_cells: Contents,
    cells_ph: Value,
    adipose: bool = False,
) -> Value:
    """Tissue:plasma, total to total: the equations for Kpu of both papers, times fu.

    tissue: extracellular_water, intracellular_water, neutral_lipids, neutral_phospholipids (L/L),
    acidic_phospholipids (mg/g), albumin_ratio, lipoprotein_ratio. plasma: ph, neutral_lipids,
    neutral_phospholipids. red_cells: ph, intracellular_water, neutral_lipids,
    neutral_phospholipids, acidic_phospholipids. In adipose tissue neutral lipids are vegetable oil.
    """
    x, y, z = (drug.ionised(ph) for ph in (cells_ph, plasma["ph"], red_cells["ph"]))

    def lipids(part: Contents, p: Value) -> Value:
        inside = p * part["neutral_lipids"] + (0.3 * p + 0.7) * part["neutral_phospholipids"]
        return inside / (1 + y)

    albumin = maximum(0.0, 1 / drug.fu - 1 - lipids(plasma, drug.p))  # (2006)
    bound = albumin * where(drug.neutral, tissue["lipoprotein_ratio"], tissue["albumin_ratio"])
    if drug.bases:
        strong = drug.strongest_base >= STRONG_BASE
        if drug.cells_to_water is None:
            raise InputError(
                "no concentration in red cells (Rodgers & Rowland need it for bases). Give "
                "blood_to_plasma, or cells_to_water."
            )
        # (2005): the association constant with acidic phospholipids, from red cells
        water = (1 + z) / (1 + y) * red_cells["intracellular_water"]
        affinity = maximum(0.0, drug.cells_to_water - water - lipids(red_cells, drug.p))
        affinity = affinity * (1 + y) / (red_cells["acidic_phospholipids"] * z)
        to_phospholipids = affinity * tissue["acidic_phospholipids"] * x / (1 + y)
        bound = where(strong, to_phospholipids, bound)
    water = (1 + x) / (1 + y) * tissue["intracellular_water"] + tissue["extracellular_water"]
    return (water + lipids(tissue, drug.oil if adipose else drug.p) + bound) * drug.fu


def cells_to_water(blood_to_plasma: Value, haematocrit: Value, fu: Value) -> Value:
    """Red cells : plasma water, from the ratio of concentrations in blood and plasma, as
    in (2005). A ratio below 1 - haematocrit, which is impossible, gives a negative number.
    """
    return (blood_to_plasma - (1 - haematocrit)) / (haematocrit * fu)
