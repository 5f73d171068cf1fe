"""Projections of torch tensors: `Project`, whose backward is `PullBack` and whose jvp is
`PushForward`; these two refuse to be differentiated.

Under torch.vmap the mapped dimension becomes more patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

from teorell.arrays import Array, numbers_or_tensor
from teorell.constraints.autograd import fold, in_shape, unfold, unfold_gradients
from teorell.constraints.projection import TOLERANCE, Projection, project
from teorell.constraints.rounding import inward
from teorell.derivatives.autograd import common_type, numpy_of
from teorell.derivatives.once import Last
from teorell.torch_compile import eager

if TYPE_CHECKING:
    from teorell.constraints.declared import Declared

__all__ = ["project_tensors"]


class Call:
    """One projection: what is not a tensor, and what came of the latest numbers."""

    def __init__(
        self, declared: Declared, scales: tuple[str, ...], options: Mapping[str, Any], narrow: bool
    ) -> None:
        self.declared, self.scales, self.options = declared, scales, options
        self.narrow = narrow  # to float32
        self.arrays: list[Array] = []

    def found(self, tensors: Sequence[Tensor]) -> Projection:
        """The projection of quantities, followed by scales; found again for other numbers."""
        arrays = [numpy_of(x) for x in tensors]
        same = len(arrays) == len(self.arrays) and all(map(np.array_equal, arrays, self.arrays))
        if not same:
            self.projection = self.project(arrays)
            self.arrays = [np.array(x) for x in arrays]
        return self.projection

    def project(self, arrays: Sequence[Array]) -> Projection:
        names = self.declared.inputs
        given = dict(zip(names, arrays, strict=False))
        scale = dict(zip(self.scales, arrays[len(names) :], strict=True))
        found = project(self.declared, given, scale=scale, **self.options)
        if not self.narrow:
            return found
        slopes = found._derivative
        before, free = slopes.before, slopes.free
        rounded, stays = inward(self.declared, before, found.values, free, TOLERANCE)
        values = {
            name: np.where(found.success | (name not in free), rounded[name], np.nan)
            for name in names
        }
        return replace(
            found,
            values=values,
            distance=np.where(stays & found.success, 0.0, found.distance),
            steps=np.where(stays & found.success, 0, found.steps).astype(np.int32),
        )


def project_tensors(
    declared: Declared,
    columns: Sequence[Any],
    unread: Mapping[str, Any],
    scale: Mapping[str, Any],
    options: Mapping[str, Any],
) -> Projection:
    """The projection of columns () or (patients,), its values as tensors.

    They are of the type that the floating ones promote to; of float32 they satisfy the bounds in
    float32. unread: quantities of no constraint, which stay. scale: numbers, arrays and tensors by
    name.
    """
    scales = [numbers_or_tensor(each, f"the scale of {name!r}") for name, each in scale.items()]
    inputs = [
        (x if isinstance(x, Tensor) else torch.tensor(x)).to(torch.float64)
        for x in (*columns, *scales)
    ]
    wanted = common_type([x for x in (*columns, *unread.values()) if isinstance(x, Tensor)])
    call = Call(declared, tuple(scale), options, wanted == torch.float32)
    moved = Project.apply(call, *inputs)
    values = {n: x.to(wanted) for n, x in zip(declared.inputs, moved, strict=True)}
    for name, x in unread.items():
        given = x if isinstance(x, Tensor) else torch.tensor(x)
        values[name] = given.to(wanted).expand(moved[0].shape)
    return replace(call.projection, values=values)


class Project(Function):
    """The Function from quantities and scales to the quantities that a projection makes of them."""

    @staticmethod
    @eager
    def forward(call: Call, *inputs: Tensor) -> tuple[Tensor, ...]:
        found = call.found(inputs)
        return tuple(
            torch.from_numpy(np.array(found.values[name])) for name in call.declared.inputs
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.call, *tensors = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        return None, *PullBack.apply(ctx.call, *cotangents, *ctx.saved_tensors)

    @staticmethod
    def jvp(ctx: Any, _call: None, *tangents: Tensor) -> tuple[Tensor, ...]:
        result: tuple[Tensor, ...] = PushForward.apply(ctx.call, *ctx.saved_tensors, *tangents)
        return result

    @staticmethod
    def vmap(
        info: Any, dims: tuple[int | None, ...], call: Call, *inputs: Tensor
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        folded = fold(info.batch_size, inputs, dims[1:])
        return unfold(Project.apply(call, *folded), info.batch_size)


class PullBack(Last):
    """The gradients of quantities and scales, each in its shape."""

    @staticmethod
    @eager
    def forward(call: Call, *tensors: Tensor) -> tuple[Tensor, ...]:
        names = call.declared.inputs
        cotangents, inputs = tensors[: len(names)], tensors[len(names) :]
        bars = {n: numpy_of(x) for n, x in zip(names, cotangents, strict=True)}
        before, scales = call.found(inputs)._derivative.pull_back(bars)
        gradients = [before[name] for name in names] + [scales[name] for name in call.scales]
        return in_shape([torch.from_numpy(np.array(g)) for g in gradients], inputs)

    @staticmethod
    def vmap(
        info: Any, dims: tuple[int | None, ...], call: Call, *tensors: Tensor
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        size, n = info.batch_size, len(call.declared.inputs)
        gradients = PullBack.apply(call, *fold(size, tensors, dims[1:]))
        return unfold_gradients(gradients, tensors[n:], dims[n + 1 :], size)


class PushForward(Last):
    """The derivatives of the quantities in one direction: inputs, then a tangent for each."""

    @staticmethod
    @eager
    def forward(call: Call, *tensors: Tensor) -> tuple[Tensor, ...]:
        names, half = call.declared.inputs, len(tensors) // 2
        found = call.found(tensors[:half])
        tangents = [numpy_of(x) for x in tensors[half:]]
        pushed = found._derivative.push_forward(
            dict(zip(names, tangents, strict=False)),
            dict(zip(call.scales, tangents[len(names) :], strict=True)),
        )
        return tuple(torch.from_numpy(np.array(pushed[name])) for name in names)

    @staticmethod
    def vmap(
        info: Any, dims: tuple[int | None, ...], call: Call, *tensors: Tensor
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        folded = fold(info.batch_size, tensors, dims[1:])
        return unfold(PushForward.apply(call, *folded), info.batch_size)
