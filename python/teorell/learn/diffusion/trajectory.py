"""Constraints on simulated curves, in the loss: through the solver, and back by its adjoint.

For the first of `drugs.py` into a vein: the clearance, dose over area under the curve, is no more
than what the liver's blood brings there. It holds for every body whose flows add up.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

import teorell as tl
from teorell.constraints import ConstraintSet
from teorell.learn.diffusion.drugs import DRUGS
from teorell.learn.diffusion.physics import LEAST
from teorell.learn.diffusion.vectors import quantities_of
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

__all__ = ["curve_constraints", "model_parameters", "trajectory_penalty"]

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
    c = ConstraintSet("curves of a drug", model=whole_body(_DRUG))
    area = c.reduction(tl.AUC("cp", end=_END))
    weight, index = _of_model("body_weight"), _of_model("cardiac_index")
    shares = _of_model(flow_share_to("liver"))
    for organ in SPLANCHNIC:
        shares = shares + _of_model(flow_share_to(organ))
    liver = index * weight**FLOW_EXPONENT * shares * _of_model("blood_to_plasma")
    c.between("clearance", _DOSE / area, None, liver, group="curves", source="the liver's blood")
    return c


def _of_model(name: str) -> Expression:
    return symbol("parameter", name)


def trajectory_penalty(rows: Tensor) -> Tensor:
    """() the mean penalty of rows of people, differentiable once; who cannot be simulated counts
    for nothing.
    """
    parameters = model_parameters(torch.clamp(rows, min=LEAST))
    found: Tensor = _Curves.apply(tuple(parameters), *parameters.values())
    return found / len(rows)


class _Curves(Function):
    """The sum of penalties of all people, of the model's parameters (n,)."""

    @staticmethod
    def forward(ctx: Any, names: tuple[str, ...], *columns: Tensor) -> Tensor:
        given = {
            name: np.asarray(x.detach().cpu(), np.float64)
            for name, x in zip(names, columns, strict=True)
        }
        regimen = tl.Regimen.bolus(_DOSE, into="venous")
        value, gradient = curve_constraints().value_and_grad(given, regimen, None)
        ctx.save_for_backward(*(torch.from_numpy(gradient.parameters[name]) for name in names))
        return columns[0].new_tensor(value)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        return None, *(cotangent * slope for slope in ctx.saved_tensors)
