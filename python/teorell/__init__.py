"""Teorell: whole virtual populations through stiff PBPK models, at once.

>>> import teorell as tl

A `tl.Model` says the equations, a `tl.Regimen` the doses, `tl.simulate` runs a population and
returns a `tl.Solution`. `tl.STATUS` says what each status of a patient means, `tl.METHODS` names
the methods of this version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from teorell.errors import InputError, InputWarning, ModelError
from teorell.model import Model
from teorell.model.actions import Infusion
from teorell.model.expression import abs, cos, exp, hill, log, max, min, pow, sin, sqrt, tanh, where
from teorell.model.network import mlp
from teorell.moved import MOVED, open_doors
from teorell.results.gradient import Gradient
from teorell.results.solution import SimulationError, Solution
from teorell.schedule.covariates import Stepwise, stepwise
from teorell.schedule.regimen import Regimen
from teorell.simulate import simulate
from teorell.simulation.reductions import AUC, Cmax, Cmin, TimeAbove, Tmax

if TYPE_CHECKING:
    from teorell.constraints import ConstraintSet
    from teorell.derivatives.differentiate import Jacobian, jacobian, jvp, value_and_grad
    from teorell.fitting import Additive, Combined, Fit, LogNormal, Normal, Proportional, fit
    from teorell.physiology.body import Body
    from teorell.population import Population
    from teorell.results.nca import NCAWarning, nca
    from teorell.schedule.event_table import EventTable
    from teorell.storage.streaming import Stored, simulate_to

__all__ = [
    "AUC", "Additive", "Body", "Cmax", "Cmin", "Combined", "ConstraintSet", "EventTable", "Fit",
    "Gradient", "Infusion", "InputError", "InputWarning", "Jacobian", "LogNormal", "Model",
    "ModelError", "NCAWarning", "Normal", "Population", "Proportional", "Regimen",
    "SimulationError", "Solution", "Stepwise", "Stored", "TimeAbove", "Tmax", "abs", "cos", "exp",
    "fit", "hill", "jacobian", "jvp", "log", "max", "min", "mlp", "nca", "pow", "simulate",
    "simulate_to", "sin", "sqrt", "stepwise", "tanh", "value_and_grad", "where",
]  # fmt: skip


_LATER = {
    "Body": "physiology.body",
    "ConstraintSet": "constraints",
    "EventTable": "schedule.event_table",
    **dict.fromkeys(("NCAWarning", "nca"), "results.nca"),
    **dict.fromkeys(("Jacobian", "jacobian", "jvp", "value_and_grad"), "derivatives.differentiate"),
    **dict.fromkeys(
        ("Additive", "Combined", "Fit", "LogNormal", "Normal", "Proportional", "fit"), "fitting"
    ),
    **dict.fromkeys(("METHODS", "STATUS"), "engine.executors"),
    "Population": "population",
    **dict.fromkeys(("Stored", "simulate_to"), "storage.streaming"),
}

open_doors()


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    # What is not for everybody is imported when it is asked for: the import of the rest is short.
    from importlib import import_module

    if name in _LATER:
        value = globals()[name] = getattr(import_module(f"teorell.{_LATER[name]}"), name)
        return value
    if name in ("constraints", "fitting") or name in MOVED:
        return import_module(f"teorell.{name}")
    if name == "__version__":  # reading the metadata takes longer than the import
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("teorell")
        except PackageNotFoundError:  # run from the source tree
            return "0+unknown"
    raise AttributeError(f"module 'teorell' has no attribute {name!r}")
