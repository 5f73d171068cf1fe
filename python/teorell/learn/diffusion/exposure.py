"""What people are for: concentrations of two drugs, by the whole-body model through the solver."""

from __future__ import annotations

import numpy as np

import teorell as tl
from teorell.arrays import Array
from teorell.learn.diffusion.vectors import Rows, population_of
from teorell.pbpk import whole_body
from teorell.pbpk.drug import Drug
from teorell.physiology.maturation import enzyme

__all__ = ["LEVELS", "exposures", "worst_quantile"]

LEVELS = (0.05, 0.5, 0.95)
_END = 72.0  # h


def exposures(rows: Rows, drug: Drug, cleared_by: str) -> Array:
    """(n, 2) AUC to 72 h and Cmax in plasma after the usual oral dose; NaN where it failed.

    The intrinsic clearance is the drug's times the person's abundance over the adult's.
    """
    model = whole_body(drug)
    usual = dict(zip(model.parameter_names, model.parameter_defaults, strict=True))["clint"]
    people = population_of(rows)
    adult = enzyme(cleared_by).abundance or 1.0
    people = people.with_parameters(clint=usual * people[f"abundance_{cleared_by}"] / adult)
    found = tl.simulate(
        model,
        people,
        tl.Regimen.bolus(drug.oral_dose, into="stomach_lumen"),
        None,
        reductions=[tl.AUC("cp", end=_END), tl.Cmax("cp", end=_END)],
        rtol=1e-4,
    )
    return np.stack([np.asarray(each) for each in found.reductions.values()], axis=1)


def worst_quantile(some: Array, others: Array) -> float:
    """The greatest relative difference of the 5th, 50th and 95th percentile of AUC and Cmax."""
    a, b = (np.nanquantile(x, LEVELS, axis=0) for x in (some, others))
    return float(np.abs(a / b - 1.0).max())
