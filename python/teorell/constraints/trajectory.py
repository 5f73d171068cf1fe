"""Constraints on trajectories: their quantities are reductions of a simulation.

So one solve finds them, and one adjoint differentiates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from teorell.arrays import is_on_device
from teorell.constraints.declared import Declared
from teorell.constraints.penalty import penalty_of
from teorell.errors import InputError
from teorell.patients import Patients
from teorell.schedule.given_doses import Given

if TYPE_CHECKING:
    from teorell.model import Model
    from teorell.results.gradient import Gradient

__all__ = ["simulated", "value_and_grad"]


class Simulated(dict[str, Any]):
    """What constraints read of a simulation, name -> () or (patients,), and whose it is."""

    def __init__(self, read: Mapping[str, Any], people: Patients | None) -> None:
        super().__init__(read)
        self.people = people

    def __reduce__(self) -> tuple[Any, ...]:
        return Simulated, (dict(self), self.people)


def simulated(
    constraints: Declared,
    parameters: Any,
    regimen: Given,
    times: Any,
    options: Mapping[str, Any],
) -> Any:
    """name -> (patients,): all that the constraints read, parameters and reductions.

    NaN where a simulation failed. options: of teorell.simulate.
    """
    from teorell.simulate import simulate

    model = _model(constraints)
    solution = simulate(
        model, parameters, regimen, times, reductions=list(constraints.reductions), **options
    )
    given = dict(solution.parameters or {}) | dict(solution.reductions)
    read = {name: given[name] for name in constraints.inputs if name in given}
    return Simulated(read, solution.people)


def value_and_grad(
    constraints: Declared,
    parameters: Any,
    regimen: Given,
    times: Any,
    options: Mapping[str, Any],
) -> tuple[float, Gradient]:
    """The sum of all penalties of all patients, and its gradient.

    A patient who failed counts for nothing.
    """
    from teorell.derivatives.differentiate import value_and_grad as of_loss
    from teorell.simulation.parameters import parameter_columns

    model = _model(constraints)
    columns = parameter_columns(model, parameters)
    known = dict(zip(columns.names, columns.values, strict=True))
    changing = [name for name in constraints.inputs if name in columns.steps]
    if changing:
        raise InputError(
            f"parameter {changing[0]!r} changes over time, and a constraint reads it (which of its "
            "values?). Give it one."
        )
    direct: dict[str, Any] = {}

    def loss(_values: Any, reduced: Mapping[str, Any]) -> tuple[float, None, dict[str, Any]]:
        patients = len(next(iter(reduced.values())))
        both = {**known, **reduced}
        columns = [both[name] for name in constraints.inputs]
        if any(map(is_on_device, columns)):
            from teorell.constraints.trajectory_on_device import penalties_there

            value, slopes = penalties_there(constraints, columns, patients)
        else:
            penalties, slopes = penalty_of(constraints, columns, patients)
            good = np.isfinite(penalties)
            slopes = {name: np.where(good, slope, 0.0) for name, slope in slopes.items()}
            value = float(penalties[good].sum())
        direct.update({name: slope for name, slope in slopes.items() if name not in reduced})
        return value, None, {name: slope for name, slope in slopes.items() if name in reduced}

    reductions = list(constraints.reductions)
    value, gradient = of_loss(
        loss, model, parameters, regimen, times, reductions=reductions, **options
    )
    both = dict(gradient.parameters)
    for name, slope in direct.items():
        if is_on_device(slope):
            from teorell.constraints.trajectory_on_device import added_there

            both[name] = added_there(both[name], slope, gradient.success)
            continue
        slope = np.where(gradient.success, slope, 0.0)
        both[name] = both[name] + (slope if both[name].ndim else np.asarray(slope.sum()))
    return value, replace(gradient, parameters=both)


def _model(constraints: Declared) -> Model:
    """The model whose trajectories are constrained.

    InputError where there is none, or where it does not have all quantities.
    """
    if constraints._model is None or not constraints.reductions:
        raise InputError(
            f"{constraints.name!r} has no constraints on trajectories (of which model, and what?). "
            "Give ConstraintSet a model, and declare reductions."
        )
    others = [
        name
        for name in constraints._units
        if name in constraints.inputs and name not in constraints._reductions
    ]
    if others:
        raise InputError(
            f"quantity {others[0]!r} is no parameter of model {constraints._model.name!r} and no "
            "reduction (a simulation does not know it). Use a parameter."
        )
    return constraints._model
