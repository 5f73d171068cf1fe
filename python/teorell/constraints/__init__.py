"""Constraints on patients: a set of them, how often they are violated, and the nearest patients
that satisfy all.
"""

from __future__ import annotations

from teorell.constraints.constraint import Constraint
from teorell.constraints.constraint_set import ConstraintSet
from teorell.constraints.human import human_adult
from teorell.constraints.human_ages import plausible, typical
from teorell.constraints.violations import Violations, wilson

__all__ = [
    "Constraint", "ConstraintSet", "Violations", "human_adult", "plausible", "typical", "wilson",
]  # fmt: skip
