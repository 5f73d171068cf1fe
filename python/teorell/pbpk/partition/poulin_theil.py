"""Poulin & Theil: partitioning into lipids, phospholipids and water; and Berezhkovskiy's version.

Phospholipids count as 30 % neutral lipid and 70 % water. `p` is octanol:water in lean tissue; in
adipose tissue it is vegetable oil:water of all forms at the pH of plasma.
"""

from __future__ import annotations

from teorell.pbpk.partition.chemistry import Chemistry
from teorell.pbpk.partition.values import Value
from teorell.physiology.tissue_composition import Contents

__all__ = ["berezhkovskiy", "poulin_theil"]


def poulin_theil(
    drug: Chemistry, tissue: Contents, plasma: Contents, adipose: bool = False
) -> Value:
    """Tissue:plasma, total to total: Poulin & Theil (2002), J Pharm Sci 91:129-156.

    tissue: water, neutral_lipids, phospholipids (L/L), albumin_ratio; plasma: the first three, and
    ph.
    """
    p = _lipid_to_water(drug, plasma["ph"], adipose)
    composition = (_lipids(tissue, p) + tissue["water"]) / (_lipids(plasma, p) + plasma["water"])
    return composition * drug.fu / _unbound(drug, tissue)


def berezhkovskiy(
    drug: Chemistry, tissue: Contents, plasma: Contents, adipose: bool = False
) -> Value:
    """Tissue:plasma, total to total: Berezhkovskiy (2004), J Pharm Sci 93:1628-1640: proteins bind
    drug in water alone. Arguments as of `poulin_theil`.
    """
    p = _lipid_to_water(drug, plasma["ph"], adipose)
    bound = (1 - drug.fu) / drug.fu

    def content(part: Contents, binding: Value) -> Value:
        lipids = part["neutral_lipids"] + 0.3 * part["phospholipids"]
        return p * lipids + part["water"] * binding + 0.7 * part["phospholipids"]

    held = content(tissue, 1 + tissue["albumin_ratio"] * bound)
    return held / content(plasma, 1 / drug.fu)


def _lipids(part: Contents, p: Value) -> Value:
    of_lipids = p * (part["neutral_lipids"] + 0.3 * part["phospholipids"])
    return of_lipids + 0.7 * part["phospholipids"]


def _lipid_to_water(drug: Chemistry, ph: Value, adipose: bool) -> Value:
    return drug.oil / (1 + drug.fully_ionised(ph)) if adipose else drug.p


def _unbound(drug: Chemistry, tissue: Contents) -> Value:
    """Fraction unbound in tissue: 1 / (1 + r (1 - fu) / fu), r the albumin ratio; Poulin & Theil
    (2000), J Pharm Sci 89:16-35.
    """
    return 1 / (1 + (1 - drug.fu) / drug.fu * tissue["albumin_ratio"])
