"""The drugs that virtual people are measured by, each with the enzyme that clears it: one by
CYP3A4, one by CYP1A2.
"""

from __future__ import annotations

from teorell.pbpk import MIDAZOLAM, THEOPHYLLINE

__all__ = ["DRUGS"]

DRUGS = ((MIDAZOLAM, "CYP3A4"), (THEOPHYLLINE, "CYP1A2"))
