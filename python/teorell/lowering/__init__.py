"""Lowering: a model to straight-line programs.

switches.py (conditions on time) -> linear.py over coefficients.py (sums of coefficients times atoms, and their
derivatives) -> sparsity.py (order and pattern) -> values.py, elementary.py, factorise.py (instructions, through
builder.py) -> assemble.py (the whole) -> program.py (what comes out).
"""

from teorell.lowering.assemble import lower
from teorell.lowering.program import PROGRAMS, SCALARS, Instruction, Layout, Op, Programs, Switch, instructions

__all__ = ["PROGRAMS", "SCALARS", "Instruction", "Layout", "Op", "Programs", "Switch", "instructions", "lower"]
