"""A whole-body model of an adult, two drugs with published parameters, and people who differ."""

from __future__ import annotations

from teorell.pbpk.drugs import DRUGS, MIDAZOLAM, THEOPHYLLINE, Drug
from teorell.pbpk.variability import virtual_adults
from teorell.pbpk.whole_body import whole_body

__all__ = ["DRUGS", "MIDAZOLAM", "THEOPHYLLINE", "Drug", "virtual_adults", "whole_body"]
