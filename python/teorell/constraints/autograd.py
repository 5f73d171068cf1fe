"""Penalties of torch tensors: value and gradient come from one run, so the way back is a product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from teorell.autograd import common_type, numpy_of
from teorell.column_code import run_columns
from teorell.lowering.columns import ColumnProgram

__all__ = ["penalty"]


def penalty(program: ColumnProgram, columns: Sequence[Any], patients: int, options: Mapping[str, Any]) -> Tensor:
    """(patients,) in the type that the floating tensors promote to, differentiable once."""
    inputs = [(x if isinstance(x, Tensor) else torch.tensor(x)).to(torch.float64) for x in columns]
    result: Tensor = Penalty.apply(program, patients, options, *inputs)  # type: ignore[no-untyped-call,unused-ignore]
    return result.to(common_type([x for x in columns if isinstance(x, Tensor)]))


class Penalty(Function):
    """The penalty (patients,) of columns () or (patients,)."""

    @staticmethod
    def forward(ctx: Any, program: ColumnProgram, patients: int, options: Mapping[str, Any], *inputs: Tensor) -> Tensor:
        found = torch.from_numpy(run_columns(program, [numpy_of(x) for x in inputs], patients, **options))
        ctx.save_for_backward(found[1:])
        ctx.shared = [x.ndim == 0 for x in inputs]
        return found[0].clone()

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator,unused-ignore]
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        (slopes,) = ctx.saved_tensors
        found = [cotangent * slope for slope in slopes]
        return None, None, None, *(g.sum() if shared else g for g, shared in zip(found, ctx.shared, strict=True))
