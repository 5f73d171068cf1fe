"""Penalties of torch tensors: `Penalty`, whose backward is `PullBack` and whose jvp is
`PushForward`; these two refuse to be differentiated.

Value and slopes of a penalty come from one run, so both ways are products. Under torch.vmap the
mapped dimension becomes more patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from teorell.arrays import is_on_device
from teorell.constraints.declared import Declared
from teorell.constraints.penalty import penalty_program
from teorell.constraints.quantities import is_there
from teorell.derivatives.autograd import batched, common_type
from teorell.derivatives.once import Last
from teorell.derivatives.tensors import numpy_of
from teorell.engine.columns import run_columns
from teorell.lowering.columns import ColumnProgram
from teorell.torch_compile import eager

__all__ = ["fold", "in_shape", "on_host", "penalty", "unfold", "unfold_gradients"]


def penalty(
    declared: Declared, columns: Sequence[Any], device: str | None, options: Mapping[str, Any]
) -> Tensor:
    """The penalty (patients,) of columns () or (patients,), differentiable once.

    It is of the type that the floating tensors promote to.
    """
    if is_there(columns, device):
        from teorell.constraints.on_device import tensors_there

        what = [f"quantity {name!r}" for name in declared.inputs]
        inputs, _ = tensors_there(dict(zip(what, columns, strict=True)), device, options)
    else:
        inputs = on_host(columns)
    result: Tensor = Penalty.apply(penalty_program(declared), options, *inputs)[0]
    return result.to(common_type([x for x in columns if isinstance(x, Tensor)]))


def on_host(columns: Sequence[Any]) -> list[Tensor]:
    """The columns as tensors of float64."""
    return [(x if isinstance(x, Tensor) else torch.tensor(x)).to(torch.float64) for x in columns]


class Penalty(Function):
    """The Function from columns to their penalty (patients,), and its slope by each (patients,)."""

    @staticmethod
    @eager
    def forward(
        program: ColumnProgram, options: Mapping[str, Any], *inputs: Tensor
    ) -> tuple[Tensor, ...]:
        patients = max((x.shape[0] for x in inputs if x.ndim), default=1)
        if is_on_device(inputs[0]):
            from teorell.constraints.on_device import device_for, rows_there

            what = [f"quantity {name!r}" for name in program.inputs]
            columns, device = device_for(dict(zip(what, inputs, strict=True)), None)
            return tuple(rows_there(program, columns, patients, device))
        found = run_columns(program, [numpy_of(x) for x in inputs], patients, **options)
        return tuple(torch.from_numpy(row) for row in found)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        tensors = (*output[1:], *inputs[2:])
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor, *_slopes: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *PullBack.apply(cotangent, *ctx.saved_tensors)

    @staticmethod
    def jvp(ctx: Any, _program: None, _options: None, *tangents: Tensor) -> tuple[Tensor, ...]:
        # The slopes' own tangents are asked for by PushForward and PullBack alone, which refuse.
        slopes = ctx.saved_tensors[: len(tangents)]
        change: Tensor = PushForward.apply(*ctx.saved_tensors, *tangents)
        return change, *(torch.zeros_like(slope) for slope in slopes)

    @staticmethod
    def vmap(
        info: Any,
        dims: tuple[int | None, ...],
        program: ColumnProgram,
        options: Mapping[str, Any],
        *inputs: Tensor,
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        folded = fold(info.batch_size, inputs, dims[2:])
        return unfold(Penalty.apply(program, options, *folded), info.batch_size)


class PullBack(Last):
    """The gradients of the columns, each in its shape: cotangent, slopes, columns are given."""

    @staticmethod
    @eager
    def forward(cotangent: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        slopes, inputs = tensors[: len(tensors) // 2], tensors[len(tensors) // 2 :]
        return in_shape([cotangent * slope for slope in slopes], inputs)

    @staticmethod
    def vmap(
        info: Any, dims: tuple[int | None, ...], *tensors: Tensor
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        size, half = info.batch_size, len(tensors) // 2
        gradients = PullBack.apply(*fold(size, tensors, dims))
        return unfold_gradients(gradients, tensors[-half:], dims[-half:], size)


class PushForward(Last):
    """The derivative of the penalty in one direction: slopes, columns and tangents are given."""

    @staticmethod
    @eager
    def forward(*tensors: Tensor) -> Tensor:
        third = len(tensors) // 3
        pairs = zip(tensors[:third], tensors[2 * third :], strict=True)
        return torch.stack([slope * tangent for slope, tangent in pairs]).sum(0)

    @staticmethod
    def vmap(info: Any, dims: tuple[int | None, ...], *tensors: Tensor) -> tuple[Tensor, int]:
        folded = fold(info.batch_size, tensors, dims)
        return PushForward.apply(*folded).unflatten(0, (info.batch_size, -1)), 0


def fold(size: int, tensors: Sequence[Tensor], dims: Sequence[int | None]) -> list[Tensor]:
    """What `size` mapped runs are given, (size * patients,) each; those of the first run first."""
    runs = [batched(x, dim, size) for x, dim in zip(tensors, dims, strict=True)]
    patients = max((run.shape[1] for run in runs if run.ndim == 2), default=1)
    return [
        (run if run.ndim == 2 else run[:, None]).expand(size, patients).reshape(-1) for run in runs
    ]


def unfold(outputs: Sequence[Tensor], size: int) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """Outputs (size, patients) of `size` mapped runs, and which dimension is mapped."""
    return tuple(x.unflatten(0, (size, -1)) for x in outputs), (0,) * len(outputs)


def unfold_gradients(
    gradients: Sequence[Tensor],
    inputs: Sequence[Tensor],
    dims: Sequence[int | None],
    size: int,
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """Gradients (size * patients,) of `size` mapped runs, and which dimension is mapped.

    inputs, dims: by what they are, and which dimension of each is mapped. A number that the
    patients of a run share has the sum over them.
    """
    runs = [batched(x, dim, size) for x, dim in zip(inputs, dims, strict=True)]
    of_runs, mapped = unfold(gradients, size)
    pairs = zip(of_runs, runs, strict=True)
    return tuple(g.sum(-1) if x.ndim == 1 else g for g, x in pairs), mapped


def in_shape(gradients: Sequence[Tensor], inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Gradients (patients,) in the shapes of the inputs: () of a number that patients share."""
    pairs = zip(gradients, inputs, strict=True)
    return tuple(g.sum() if x.ndim == 0 else g for g, x in pairs)
