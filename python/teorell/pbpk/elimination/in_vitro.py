"""Intrinsic clearances of a liver from incubations of its cells or microsomes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from teorell.pbpk.partition.values import Value, maximum

__all__ = [
    "CELLS_OF_ANIMALS", "CELLS_PER_GRAM", "MICROSOMES_PER_GRAM", "from_hepatocytes",
    "from_microsomes", "unbound_with_hepatocytes",
]  # fmt: skip

# Barter et al. (2007), Curr Drug Metab 8:33-45: geometric means of human liver
CELLS_PER_GRAM = 99.0  # 1e6 hepatocytes in a g of liver
# 1e6 hepatocytes in a g of liver of animals: Sohlenius-Sternbeck (2006), Toxicol In Vitro
# 20:1582-1586
CELLS_OF_ANIMALS: Mapping[str, float] = MappingProxyType(
    {"dog": 215.0, "mouse": 135.0, "rabbit": 114.0, "rat": 117.0}
)
MICROSOMES_PER_GRAM = 32.0  # mg of microsomal protein in a g of liver
LEAST_BOUND = -0.067 / (2 * 0.072)  # log D; see unbound_with_hepatocytes
_PER_KG_HOUR = 60.0 * 1000.0 * 1e-6  # L/h/kg in a uL/min/g


def from_hepatocytes(
    clint: Value, fu_incubation: Value = 1.0, cells: Value = CELLS_PER_GRAM
) -> Value:
    """Unbound intrinsic clearance, L/h per kg of liver, from uL/min per 1e6 hepatocytes.

    fu_incubation: the fraction unbound in the incubation.
    """
    return clint / fu_incubation * cells * _PER_KG_HOUR


def from_microsomes(
    clint: Value, fu_incubation: Value = 1.0, protein: Value = MICROSOMES_PER_GRAM
) -> Value:
    """Unbound intrinsic clearance, L/h per kg of liver, from uL/min per mg of microsomal protein.

    fu_incubation: the fraction unbound in the incubation.
    """
    return clint / fu_incubation * protein * _PER_KG_HOUR


def unbound_with_hepatocytes(log_d: Value, cell_volume: Value = 0.005) -> Value:
    """The fraction unbound in an incubation of hepatocytes: Kilford et al. (2008), Drug Metab
    Dispos 36:1194-1197.

    The parabola in log_d has its least binding at LEAST_BOUND, and no meaning below.
    log_d: log10 of octanol:water, of the neutral form for bases, of all forms at pH 7.4 for others.
    cell_volume: of the cells over that of the incubation; 0.005 at 1e6 cells/mL.
    """
    x = maximum(log_d, LEAST_BOUND)
    bound = 125.0 * cell_volume * 10.0 ** (0.072 * x * x + 0.067 * x - 1.126)
    return 1 / (1 + bound)
