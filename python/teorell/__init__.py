"""Teorell: whole virtual populations through stiff PBPK models, at once.

>>> import teorell as tl

A `tl.Model` says the equations, a `tl.Regimen` the doses, `tl.simulate` runs a population and returns a `tl.Solution`.
"""

from __future__ import annotations

from teorell.constraints import ConstraintSet
from teorell.covariates import Stepwise
from teorell.differentiate import Jacobian, jacobian, jvp, value_and_grad
from teorell.errors import InputError, ModelError
from teorell.event_table import EventTable
from teorell.expression import abs, cos, exp, hill, log, max, min, pow, sin, sqrt, tanh, where
from teorell.gradient import Gradient
from teorell.model import Model
from teorell.nca import nca
from teorell.parameters import stepwise
from teorell.reductions import AUC, Cmax, Cmin, TimeAbove, Tmax
from teorell.regimen import Regimen
from teorell.simulate import simulate
from teorell.solution import SimulationError, Solution
from teorell.streaming import Stored, simulate_to

__all__ = [
    "AUC", "Cmax", "Cmin", "ConstraintSet", "EventTable", "Gradient", "InputError", "Jacobian", "Model", "ModelError",
    "Regimen", "SimulationError", "Solution", "Stepwise", "Stored", "TimeAbove", "Tmax", "abs", "cos", "exp", "hill",
    "jacobian", "jvp", "log", "max", "min", "nca", "pow", "simulate", "simulate_to", "sin", "sqrt", "stepwise", "tanh",
    "value_and_grad", "where",
]  # fmt: skip


def __getattr__(name: str) -> str:
    if name == "__version__":  # looked up when asked for: reading the metadata takes longer than the import
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("teorell")
        except PackageNotFoundError:  # run from the source tree
            return "0+unknown"
    raise AttributeError(f"module 'teorell' has no attribute {name!r}")
