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

from teorell.arrays import Array, is_on_device, numbers_or_tensor
from teorell.constraints.autograd import fold, in_shape, on_host, unfold, unfold_gradients
from teorell.constraints.nearest import TOLERANCE, free_of
from teorell.constraints.projection import Projection, project
from teorell.constraints.quantities import column_there, is_there
from teorell.constraints.rounding import inward
from teorell.derivatives.autograd import common_type
from teorell.derivatives.once import Last
from teorell.derivatives.tensors import numpy_of
from teorell.errors import InputError
from teorell.torch_compile import eager

if TYPE_CHECKING:
    from teorell.constraints.autograd_implicit import ImplicitThere
    from teorell.constraints.declared import Declared

__all__ = ["project_tensors"]


class Call:
    """One projection: what is not a tensor, and what came of the latest numbers."""

    projection: Projection
    implicit: ImplicitThere

    def __init__(
        self, declared: Declared, scales: tuple[str, ...], options: Mapping[str, Any], narrow: bool
    ) -> None:
        self.declared, self.scales, self.options = declared, scales, options
        self.narrow = narrow  # to float32
        self.arrays: list[Array] = []
        self.tensors: list[Tensor] = []

    def found(self, tensors: Sequence[Tensor]) -> Projection:
        """The projection of quantities, followed by scales; found again for other numbers."""
        if is_on_device(tensors[0]):
            self.there(tensors)
            return self.projection
        arrays = [numpy_of(x) for x in tensors]
        same = len(arrays) == len(self.arrays) and all(map(np.array_equal, arrays, self.arrays))
        if not same:
            self.projection = self.project(arrays)
            self.arrays = [np.array(x) for x in arrays]
        return self.projection

    def there(self, tensors: Sequence[Tensor]) -> ImplicitThere:
        """The same on a device, and how the nearest points depend on these numbers."""
        known = [x.shape for x in tensors] == [x.shape for x in self.tensors]
        if known and all(map(torch.equal, tensors, self.tensors)):
            return self.implicit
        from teorell.constraints.autograd_implicit import ImplicitThere
        from teorell.constraints.projection_on_device import project_there

        names, n = self.declared.inputs, len(self.declared.inputs)
        free = free_of(self.declared, self.options.get("hold", ()))
        scale = dict(zip(self.scales, tensors[n:], strict=True))
        self.projection, multipliers = project_there(
            self.declared, tensors[:n], {}, scale, None, **self.options
        )
        self.tensors = [x.detach().clone() for x in tensors]
        success = torch.from_numpy(self.projection.success).to(multipliers.device)
        kept = [x.expand(success.shape) for x in self.tensors]
        before = dict(zip(names, kept, strict=False))
        sizes = {name: before[name].abs() for name in free}
        sizes = {name: torch.where(x > 0.0, x, 1.0) for name, x in sizes.items()}
        self.implicit = ImplicitThere(
            names=names,
            free=free,
            sides=[side for each in self.declared.constraints for side in each.sides],
            values=self.projection.values,
            before=before,
            metric=sizes | dict(zip(self.scales, kept[n:], strict=True)),
            given=frozenset(self.scales),
            multipliers=multipliers,
            found=success,
        )
        return self.implicit

    def project(self, arrays: Sequence[Array]) -> Projection:
        names = self.declared.inputs
        given = dict(zip(names, arrays, strict=False))
        scale = dict(zip(self.scales, arrays[len(names) :], strict=True))
        found = project(self.declared, given, scale=scale, **self.options)
        if not self.narrow:
            return found
        slopes = found.derivative
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
    device: str | None,
    options: Mapping[str, Any],
) -> Projection:
    """The projection of columns () or (patients,), its values as tensors.

    They are of the type that the floating ones promote to; of float32 they satisfy the bounds in
    float32. unread: quantities of no constraint, which stay. scale: numbers, arrays and tensors by
    name.
    """
    scales = [
        (column_there if is_on_device(each) else numbers_or_tensor)(each, f"the scale of {name!r}")
        for name, each in scale.items()
    ]
    wanted = common_type([x for x in (*columns, *unread.values()) if isinstance(x, Tensor)])
    if is_there((*columns, *unread.values(), *scales), device):
        what = [f"quantity {name!r}" for name in (*declared.inputs, *unread)]
        what += [f"the scale of {name!r}" for name in scale]
        every = dict(zip(what, (*columns, *unread.values(), *scales), strict=True))
        inputs, others = _there(every, len(columns), len(unread), device, wanted)
        unread = dict(zip(unread, others, strict=True))
    else:
        inputs = on_host((*columns, *scales))
    call = Call(declared, tuple(scale), options, wanted == torch.float32)
    moved = Project.apply(call, *inputs)
    values = {n: x.to(wanted) for n, x in zip(declared.inputs, moved, strict=True)}
    for name, x in unread.items():
        given = x if isinstance(x, Tensor) else torch.tensor(x)
        values[name] = given.to(wanted).expand(moved[0].shape)
    return replace(call.projection, values=values)


def _there(
    named: Mapping[str, Any], read: int, unread: int, device: str | None, wanted: torch.dtype
) -> tuple[list[Tensor], list[Tensor]]:
    """Quantities and scales as tensors on the device, and those that no constraint reads.

    named: `read` quantities, `unread` others, scales. InputError for float32.
    """
    from teorell.constraints.on_device import tensors_there

    tensors, place = tensors_there(named, device, {})
    if wanted == torch.float32:
        raise InputError(
            f"tensors of float32 on {place.name} (their bounds are kept in float32 on the host "
            "alone). Give .double() of them, or .cpu()."
        )
    return tensors[:read] + tensors[read + unread :], tensors[read : read + unread]


class Project(Function):
    """The Function from quantities and scales to the quantities that a projection makes of them."""

    @staticmethod
    @eager
    def forward(call: Call, *inputs: Tensor) -> tuple[Tensor, ...]:
        found = call.found(inputs)
        if is_on_device(inputs[0]):
            return tuple(found.values[name].clone() for name in call.declared.inputs)
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
        if is_on_device(inputs[0]):
            of_each = dict(zip(names, cotangents, strict=True))
            there, of_scales = call.there(inputs).pull_back(of_each)
            found = [there[name] for name in names] + [of_scales[name] for name in call.scales]
            return in_shape(found, inputs)
        bars = {n: numpy_of(x) for n, x in zip(names, cotangents, strict=True)}
        before, scales = call.found(inputs).derivative.pull_back(bars)
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
        if is_on_device(tensors[0]):
            quantities = dict(zip(names, tensors[half:], strict=False))
            sizes = dict(zip(call.scales, tensors[half + len(names) :], strict=True))
            changed = call.there(tensors[:half]).push_forward(quantities, sizes)
            return tuple(changed[name] for name in names)
        found = call.found(tensors[:half])
        tangents = [numpy_of(x) for x in tensors[half:]]
        pushed = found.derivative.push_forward(
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
