"""Constraints on simulated curves, in the loss: through the solver, and back by its adjoint.

For the first of `drugs.py` into a vein: the clearance, dose over area under the curve, is no more
than what the liver's blood brings there. It holds for every body whose flows add up.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import Function

import teorell as tl
from teorell.arrays import Array
from teorell.constraints import ConstraintSet
from teorell.learn.diffusion.drugs import DRUGS
from teorell.learn.diffusion.physics import LEAST
from teorell.learn.diffusion.vectors import Rows, quantities_of
from teorell.model.expression import Expression, symbol
from teorell.pbpk import whole_body
from teorell.physiology.reference_adults import FLOW_EXPONENT
from teorell.physiology.vocabulary import (
    FLOWS,
    MASSES,
    SPLANCHNIC,
    flow_share_to,
    flow_to,
    mass_of,
    mass_share_of,
)

__all__ = ["curve_constraints", "curves_violated", "model_parameters", "trajectory_penalty"]

_DRUG, _ = DRUGS[0]
_DOSE, _END = _DRUG.iv_dose or 5.0, 240.0  # mg; h, when nothing is left


def model_parameters(rows: Any) -> dict[str, Any]:
    """The parameters of the whole-body model that a body tells, of rows: arrays or tensors."""
    q = quantities_of(rows)
    weight, output = q["body_weight"], q["cardiac_output"]
    found = {"body_weight": weight, "cardiac_index": output / weight**FLOW_EXPONENT}
    found |= {mass_share_of(part): q[mass_of(part)] / weight for part in MASSES}
    found |= {flow_share_to(organ): q[flow_to(organ)] / output for organ in FLOWS}
    return found | {"haematocrit": q["haematocrit"]}


@cache
def curve_constraints() -> ConstraintSet:
    """The drug's clearance from plasma, in the whole-body model."""
    c = ConstraintSet("curves of a drug", model=_model())
    area = c.reduction(tl.AUC("cp", end=_END))
    weight, index = _of_model("body_weight"), _of_model("cardiac_index")
    shares = _of_model(flow_share_to("liver"))
    for organ in SPLANCHNIC:
        shares = shares + _of_model(flow_share_to(organ))
    liver = index * weight**FLOW_EXPONENT * shares * _of_model("blood_to_plasma")
    c.between("clearance", _DOSE / area, None, liver, group="curves", source="the liver's blood")
    return c


@cache
def _model() -> tl.Model:
    return whole_body(_DRUG)


def _regimen() -> tl.Regimen:
    return tl.Regimen.bolus(_DOSE, into="venous")


def _of_model(name: str) -> Expression:
    return symbol("parameter", name)


def trajectory_penalty(rows: Tensor) -> Tensor:
    """() the mean penalty of rows of people, differentiable once; who cannot be simulated counts
    for nothing.
    """
    parameters = model_parameters(torch.clamp(rows, min=LEAST))
    found: Tensor = _Curves.apply(tuple(parameters), *parameters.values())
    return found / len(rows)


def curves_violated(rows: Rows) -> NDArray[np.bool_]:
    """(n,) whether a person's simulated curve violates; who cannot be simulated does."""
    constraints = curve_constraints()
    given, possible = _possible(model_parameters(np.maximum(rows, LEAST)))
    found = ~possible
    if possible.any():
        people = constraints.simulated(given, _regimen(), None)
        found[possible] = constraints.violations(people).any
    return found


class _Curves(Function):
    """The sum of penalties of all people, of the model's parameters (n,)."""

    @staticmethod
    def forward(ctx: Any, names: tuple[str, ...], *columns: Tensor) -> Tensor:
        given, possible = _possible(
            {
                name: np.asarray(x.detach().cpu(), np.float64)
                for name, x in zip(names, columns, strict=True)
            }
        )
        value, slopes = 0.0, [np.zeros(len(possible)) for _ in names]
        if possible.any():
            value, gradient = curve_constraints().value_and_grad(given, _regimen(), None)
            for name, slope in zip(names, slopes, strict=True):
                slope[possible] = gradient.parameters[name]
        ctx.save_for_backward(*map(torch.from_numpy, slopes))
        return columns[0].new_tensor(value)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        return None, *(cotangent * slope for slope in ctx.saved_tensors)


def _possible(given: Mapping[str, Any]) -> tuple[dict[str, Array], NDArray[np.bool_]]:
    """The parameters of those who are within the model's bounds, and (n,) who is: what a network
    says of people before it has learned anything may be anything.
    """
    found = np.all([np.isfinite(values) for values in given.values()], axis=0)
    for name, values in given.items():
        known = _model().parameter_info(name)
        found &= (values >= known.lower) & (values <= known.upper)
    return {name: values[found] for name, values in given.items()}, found
