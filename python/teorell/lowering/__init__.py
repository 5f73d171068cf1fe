"""Lowering: a model to straight-line programs.

arrivals.py (times after doses) -> switches.py (conditions on time) -> linear.py over
coefficients.py (sums of coefficients times atoms, and their derivatives) -> sparsity.py (order and
pattern) -> values.py, elementary.py, factorise.py (instructions, through builder.py) ->
step_programs.py (a step) -> trace.py, reverse.py, forward.py, derivatives.py (programs of
derivatives) -> assemble.py (the whole) -> program.py, layout.py (what comes out).
"""

from teorell.lowering.assemble import lower
from teorell.lowering.layout import Layout
from teorell.lowering.program import (
    JVP,
    PROGRAMS,
    SCALARS,
    VJP,
    Instruction,
    Op,
    Programs,
    Switch,
    instructions,
)

__all__ = [
    "JVP", "PROGRAMS", "SCALARS", "VJP", "Instruction", "Layout", "Op", "Programs", "Switch",
    "instructions", "lower",
]  # fmt: skip
