"""Between plasma, interstitium and cells: partition coefficients and permeabilities as PK-Sim has
them.

For models with four sub-compartments an organ. Willmann et al. (2003), Biosilico 1:121-124, and
the public manual of the Open Systems Pharmacology Suite.
"""

from __future__ import annotations

from teorell.pbpk.partition.values import Value

__all__ = [
    "INTERSTITIAL_PROTEIN", "INTERSTITIAL_WATER", "PLASMA_WATER", "cell_permeability",
    "effective_molar_mass", "fu_with_protein", "interstitial_to_plasma",
    "intestinal_permeability",
]  # fmt: skip

INTERSTITIAL_WATER = 0.935  # L/L
INTERSTITIAL_PROTEIN = 0.37  # concentration, interstitium : plasma
PLASMA_WATER = 0.926  # L/L


def interstitial_to_plasma(
    fu: Value,
    water: Value = INTERSTITIAL_WATER,
    protein: Value = INTERSTITIAL_PROTEIN,
    plasma_water: Value = PLASMA_WATER,
) -> Value:
    """Interstitium:plasma, total to total: what proteins bind is their ratio of what they bind in
    plasma.
    """
    return (water + protein * (1 / fu - plasma_water)) * fu


def fu_with_protein(fu: Value, ratio: Value) -> Value:
    """The fraction unbound where the binding protein is `ratio` times as concentrated as where `fu`
    was measured: McNamara & Alcorn (2002), AAPS PharmSci 4:E4.
    """
    return 1 / (1 + ratio * (1 - fu) / fu)


def effective_molar_mass(
    molar_mass: Value, fluorine: Value = 0, chlorine: Value = 0, bromine: Value = 0,
    iodine: Value = 0,
) -> Value:  # fmt: skip
    """g/mol, less than the molar mass by 17, 22, 62 and 98 for each atom of a halogen, which is
    smaller than its mass tells.
    """
    return molar_mass - 17 * fluorine - 22 * chlorine - 62 * bromine - 98 * iodine


def cell_permeability(log_p: Value, molar_mass: Value) -> Value:
    """Permeability of the membrane between interstitium and cells, dm/min; effective molar mass in
    g/mol.
    """
    return (molar_mass / 336.0) ** -6 * 10.0**log_p * 1e-5 / 5.0


def intestinal_permeability(log_p: Value, molar_mass: Value) -> Value:
    """Of the intestinal wall through its cells, dm/min; effective molar mass in g/mol."""
    return 1596.0 * molar_mass**-4.5 * 10.0**log_p
