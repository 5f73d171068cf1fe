"""Penalties and projections of torch tensors.

Value and gradient of a penalty come from one run, so the way back is a product; that of a
projection is its pull_back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd import Function

from teorell.derivatives.autograd import common_type, numpy_of
from teorell.derivatives.autograd_compiled import inside_a_transform
from teorell.engine.columns import run_columns
from teorell.lowering.columns import ColumnProgram

if TYPE_CHECKING:
    from teorell.constraints.projection import Projection

__all__ = ["penalty", "project_tensors"]


def penalty(
    program: ColumnProgram, columns: Sequence[Any], patients: int, options: Mapping[str, Any]
) -> Tensor:
    """The penalty (patients,), differentiable once.

    It is of the type that the floating tensors promote to.
    """
    if inside_a_transform():
        raise NotImplementedError(
            "a transform of torch.func around a penalty (it has no rules for it). Use backward, "
            "or penalty(..., gradient=True) of NumPy arrays."
        )
    inputs = [(x if isinstance(x, Tensor) else torch.tensor(x)).to(torch.float64) for x in columns]
    result: Tensor = Penalty.apply(program, patients, options, *inputs)
    return result.to(common_type([x for x in columns if isinstance(x, Tensor)]))


class Penalty(Function):
    """The Function from columns () or (patients,) to their penalty (patients,)."""

    @staticmethod
    def forward(
        ctx: Any, program: ColumnProgram, patients: int, options: Mapping[str, Any], *inputs: Tensor
    ) -> Tensor:
        found = torch.from_numpy(
            run_columns(program, [numpy_of(x) for x in inputs], patients, **options)
        )
        ctx.save_for_backward(found[1:])
        ctx.shared = [x.ndim == 0 for x in inputs]
        return found[0].clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        (slopes,) = ctx.saved_tensors
        gradients = [cotangent * slope for slope in slopes]
        return None, None, None, *in_shape(gradients, ctx.shared)


def project_tensors(
    project: Callable[[Mapping[str, Any]], Projection], names: Sequence[str], columns: Sequence[Any]
) -> Projection:
    """The projection of columns () or (patients,), its values as tensors.

    They are of the type that the floating ones promote to.
    """
    inputs = [(x if isinstance(x, Tensor) else torch.tensor(x)).to(torch.float64) for x in columns]
    found = project({name: numpy_of(x.detach()) for name, x in zip(names, inputs, strict=True)})
    moved = Project.apply(found, tuple(names), *inputs)
    wanted = common_type([x for x in columns if isinstance(x, Tensor)])
    return replace(found, values={name: x.to(wanted) for name, x in zip(names, moved, strict=True)})


class Project(Function):
    """The Function from columns to what a projection has made of them."""

    @staticmethod
    def forward(
        ctx: Any, found: Projection, names: tuple[str, ...], *inputs: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.found, ctx.names, ctx.shared = found, names, [x.ndim == 0 for x in inputs]
        return tuple(torch.tensor(found.values[name]) for name in names)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        slopes = ctx.found.pull_back(
            {name: numpy_of(x) for name, x in zip(ctx.names, cotangents, strict=True)}
        )
        gradients = [torch.from_numpy(slopes[name]) for name in ctx.names]
        return None, None, *in_shape(gradients, ctx.shared)


def in_shape(gradients: Sequence[Tensor], shared: Sequence[bool]) -> list[Tensor]:
    """Gradients (patients,) in the shapes of the columns: () of a number that patients share."""
    return [g.sum() if one else g for g, one in zip(gradients, shared, strict=True)]
