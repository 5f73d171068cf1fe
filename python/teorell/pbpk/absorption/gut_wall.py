"""Metabolism in the gut wall by CYP3A4, and absorption by permeability and surface."""

from __future__ import annotations

from teorell.pbpk.partition.values import Value

__all__ = [
    "CYP3A4_IN_GUT", "FLUID", "SURFACE", "VILLOUS_FLOW", "escaping_cyp3a4", "rate_over_surface",
]  # fmt: skip

# nmol in the small intestine: Paine et al. (1997), J Pharmacol Exp Ther 283
# (not checked against the paper)
CYP3A4_IN_GUT = 70.5
# L/h through the villi, unbound drug in enterocytes: Yang et al. (2007), Curr Drug Metab 8:676-684
# (not checked against the paper)
VILLOUS_FLOW = 18.0
# cm2, with villi and microvilli: Helander & Fandriks (2014), Scand J Gastroenterol 49:681-689
# (not checked against the paper)
SURFACE = 30e4
FLUID = 240.0  # mL, a glass of water that a dose is taken with


def escaping_cyp3a4(clint_per_enzyme: Value) -> Value:
    """The share of what is absorbed that escapes CYP3A4 of the gut wall: Q / (Q + CLint), Yang et
    al. (2007).

    clint_per_enzyme: unbound intrinsic clearance, L/h per nmol of CYP3A4.
    """
    return VILLOUS_FLOW / (VILLOUS_FLOW + clint_per_enzyme * CYP3A4_IN_GUT)


def rate_over_surface(permeability: Value) -> Value:
    """1/h, from the permeability (cm/min) of the whole mucosal surface of the small intestine."""
    return permeability * 60.0 * SURFACE / FLUID
