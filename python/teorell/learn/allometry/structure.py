"""A drug's structure as a few numbers, counted in its SMILES without a chemistry package.

Charges stand as SMILES have them: with structures written as ions, they tell acids from bases.
"""

from __future__ import annotations

import math
import re

from teorell.errors import InputError

__all__ = ["DESCRIPTORS", "descriptors"]

DESCRIPTORS = (
    "log10 heavy atoms", "nitrogens", "oxygens", "sulfurs", "halogens", "aromatic atoms", "rings",
    "positive charges", "negative charges", "polar hydrogens", "double bonds", "polar share",
    "chirality marks", "methyl branches",
)  # fmt: skip
SCALES = (1.0, 5.0, 5.0, 1.0, 3.0, 12.0, 4.0, 1.0, 1.0, 3.0, 4.0, 1 / 3, 5.0, 4.0)  # usual numbers

ATOM = re.compile(r"\[[^\]]+\]|Br|Cl|[BCNOPSFIbcnops]")
INSIDE = re.compile(
    r"\[\d*(Cl|Br|Na|Si|Se|se|As|Li|Pt|Fe|Co|Au|Gd|[A-Za-z])[a-z]*@*(H\d*)?([+-]\d*)?"
)
NITRO = re.compile(r"\[N\+\]\(=O\)\[O-\]|\[O-\]\[N\+\]\(=O\)|\[n\+\]\(?\[O-\]")
BRACKETS = re.compile(r"\[[^\]]+\]")
TWO_DIGITS = re.compile(r"%\d\d")
BONDS = r"[-=#:$/\\.()]"
SMILES = re.compile(rf"(?:{ATOM.pattern}|{BONDS}|{TWO_DIGITS.pattern}|\d)+")
MOST_CHARGES = 2  # more are counted as so many


def descriptors(smiles: str) -> list[float]:
    """The numbers of DESCRIPTORS, each divided by its scale. InputError for what is no SMILES."""
    _check(smiles)
    elements: list[str] = []
    positive = negative = hydrogens = 0
    for atom in ATOM.findall(smiles):
        element = atom
        if atom.startswith("["):
            found = INSIDE.match(atom)
            if found is None:
                raise InputError(f"{smiles!r} is no SMILES (of {atom}). Correct the structure.")
            element, hydrogen, charge = found.groups()
            if hydrogen and element in ("N", "O", "n"):
                hydrogens += int(hydrogen[1:] or 1)
            size = int(charge[1:] or 1) if charge else 0
            positive += size if charge and charge[0] == "+" else 0
            negative += size if charge and charge[0] == "-" else 0
        elements.append(element)
    neutral = len(NITRO.findall(smiles))  # both charges of a nitro group are formal
    bare = BRACKETS.sub("", smiles)
    short = TWO_DIGITS.sub("", bare)
    ends = len(TWO_DIGITS.findall(bare)) + sum(each.isdigit() for each in short)
    folded = [each.upper() if len(each) == 1 else each for each in elements]
    polar = folded.count("N") + folded.count("O")
    counts = (
        math.log10(len(elements)),
        folded.count("N"),
        folded.count("O"),
        folded.count("S"),
        sum(each in ("F", "Cl", "Br", "I") for each in folded),
        sum(len(each) == 1 and each.islower() for each in elements),
        ends / 2,
        min(positive - neutral, MOST_CHARGES),
        min(negative - neutral, MOST_CHARGES),
        hydrogens,
        smiles.count("="),
        polar / len(elements),
        smiles.count("@"),
        smiles.count("(C)"),
    )
    return [count / scale for count, scale in zip(counts, SCALES, strict=True)]


def _check(smiles: str) -> None:
    """InputError for text that is no SMILES: a name, a formula, half a structure."""
    known = SMILES.match(smiles)
    end = known.end() if known else 0
    bare = BRACKETS.sub("", smiles)
    one_digit = [each for each in TWO_DIGITS.sub("", bare) if each.isdigit()]
    ends = [*TWO_DIGITS.findall(bare), *one_digit]
    if end < len(smiles):
        what = f"of {smiles[end:]!r}"
    elif ATOM.search(smiles) is None:
        what = "it has no atoms"
    elif smiles.count("(") != smiles.count(")"):
        what = "a branch is open"
    elif any(ends.count(each) % 2 for each in set(ends)):
        what = "a ring is open"
    else:
        return
    raise InputError(f"{smiles!r} is no SMILES ({what}). Correct the structure, or give none.")
