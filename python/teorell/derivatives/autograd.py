"""Torch tensors through the solver: the values of a `Problem` as a function of tensors.

`solve` is for eager mode and for the transforms of torch.func. It applies the Function `Simulate`,
whose backward is another Function, `PullBack` (the adjoint), and whose jvp is `PushForward` (the
tangent). What these two would have to give next, second derivatives, does not exist: they raise,
and nothing is zero in silence. Under torch.vmap the mapped dimension becomes more patients, so one
call solves all of them. (autograd_compiled.py serves torch.compile.)

The Functions know one type, float64, of shape () or (patients,), or (rows,) of a column of doses,
which is read where it lies, on the CPU or a CUDA device; torch converts others, and its conversion
has a derivative. On a device nothing of this moves, and no steps are kept between the two passes.
 Under a transform nobody can read a tensor before `forward` runs: all here looks at
shapes and types alone, and `Problem.solve`, called by `forward`, looks at the values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd import Function, forward_ad

from teorell.arrays import is_on_device
from teorell.derivatives.kept_memory import kept_memory
from teorell.derivatives.once import Last
from teorell.derivatives.tensors import numpy_of, read, runner_of, tensor_of, tensors_of
from teorell.errors import InputError
from teorell.torch_compile import eager

if TYPE_CHECKING:
    from teorell.arrays import Array
    from teorell.engine.batch import Raw
    from teorell.simulation.problem import Problem

__all__ = ["PullBack", "PushForward", "Simulate", "Trace", "common_type", "constant", "solve"]


class Trace:
    """What the solver read and said in `forward`.

    Under vmap it is of all mapped patients, those of the first run first.
    """

    problem: Problem  # as a function of what was a tensor
    arrays: list[Any]  # the numbers of these inputs, NumPy or DeviceArray
    raw: Raw
    keep: int = 0  # bytes of accepted steps to keep for the backward pass


def solve(problem: Problem, given: Sequence[Any]) -> tuple[Tensor, Tensor, Trace]:
    """Values and reductions at the given inputs, differentiable, and the trace of the run.

    given: one float64 array or tensor an input of the problem, () or (patients,), as
        arrays.numbers_or_tensor has checked it.
    Values are (patients, times, outputs), reductions (patients, reductions), both of the type that
    the floating tensors promote to.
    Raises InputError as Problem.solve does; a derivative of second order raises NotImplementedError
    when it is asked for.
    """
    of_tensors, inputs = tensors_of(problem, given)
    values, reduced, trace = simulated(of_tensors, inputs)
    wanted = common_type([x for x in given if isinstance(x, Tensor)])
    return values.to(wanted), reduced.to(wanted), trace


def simulated(problem: Problem, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor, Trace]:
    """The same of float64 tensors, in float64; steps are kept where a backward pass may come."""
    trace = Trace()
    trace.problem = problem
    if torch.is_grad_enabled() and any(x.requires_grad for x in inputs):
        trace.keep = kept_memory()
    values, reduced = Simulate.apply(problem, trace, *inputs)
    return values, reduced, trace


def common_type(tensors: Sequence[Tensor]) -> torch.dtype:
    """The type that the floating ones among the tensors (float64 and float32) promote to.

    It is float64 if there are none.
    """
    types = {x.dtype for x in tensors if x.is_floating_point()}
    return torch.float32 if types == {torch.float32} else torch.float64


def constant(value: Any, what: str) -> Array:
    """The numbers of a tensor that carries no derivative; InputError if it does, or is mapped over.

    what: how messages name it, for example "times".
    """
    wrapped = torch._C._functorch.is_functorch_wrapped_tensor(value)
    if value.requires_grad or wrapped or forward_ad.unpack_dual(value).tangent is not None:
        raise InputError(
            f"{what} is a tensor with a derivative, or mapped over (only parameters and the "
            f"numbers of a regimen can be). Give {what}.detach()."
        )
    if value.device.type != "cpu":
        raise InputError(
            f"{what} lies on device {value.device} (it is read on the CPU, and nothing moves "
            f"by itself). Give {what}.cpu()."
        )
    return numpy_of(value)


class Simulate(Function):
    """The Function of inputs () or (patients,) whose outputs are values and reductions.

    Values are (patients, times, outputs), reductions (patients, reductions).
    """

    @staticmethod
    @eager
    def forward(problem: Problem, trace: Trace, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        trace.arrays = _read(problem, inputs)
        trace.raw = runner_of(problem, inputs).solve(trace.arrays, trace.keep)
        like = inputs[0]
        return tensor_of(trace.raw.values, like), tensor_of(trace.raw.reduced, like)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.problem, trace, *tensors = inputs
        # of these inputs alone: under vmap an outer trace has been of all runs
        ctx.kept = trace.raw.kept if trace.keep else None
        ctx.shapes = [each.shape for each in output]
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)
        # no tangent is None, not zero: the problem then asks for no derivative
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        if all(each is None for each in cotangents):
            return None, None, *(None for _ in ctx.saved_tensors)
        zero = ctx.saved_tensors[0].new_zeros(())
        both = (
            zero.expand(s) if c is None else c for c, s in zip(cotangents, ctx.shapes, strict=True)
        )
        return None, None, *PullBack.apply(ctx.problem, ctx.kept, *both, *ctx.saved_tensors)

    @staticmethod
    def jvp(
        ctx: Any, _problem: None, _trace: None, *tangents: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        if all(tangent is None for tangent in tangents):
            return None, None
        result: tuple[Tensor, Tensor] = PushForward.apply(
            ctx.problem, *ctx.saved_tensors, *tangents
        )
        return result

    @staticmethod
    def vmap(
        info: Any, dims: tuple[int | None, ...], problem: Problem, trace: Trace, *inputs: Tensor
    ) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        size = info.batch_size
        folded = fold(problem, size, inputs, dims[2:])
        return by_run(Simulate.apply(problem.repeat(size), trace, *folded), size)


class PullBack(Last):
    """The gradients of the inputs, each in its shape, for cotangents of values and reductions."""

    @staticmethod
    @eager
    def forward(
        problem: Problem, kept: Raw | None, cotangent: Tensor, reduced: Tensor, *inputs: Tensor
    ) -> tuple[Tensor, ...]:
        of_reductions = read(reduced, "a cotangent") if problem.reductions else None
        gradients, *_ = runner_of(problem, inputs).pull_back(
            _read(problem, inputs), read(cotangent, "a cotangent"), of_reductions, kept=kept
        )
        return tuple(tensor_of(each, inputs[0]) for each in gradients)

    @staticmethod
    def vmap(
        info: Any,
        dims: tuple[int | None, ...],
        problem: Problem,
        kept: Raw | None,
        cotangent: Tensor,
        reduced: Tensor,
        *inputs: Tensor,
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        size = info.batch_size
        shared = [x.ndim == (dim is not None) for x, dim in zip(inputs, dims[4:], strict=True)]
        # What the patients of a run share has one gradient a run: it is spread over the patients
        # here, and summed over them below.
        folded = fold(problem, size, inputs, dims[4:], spread=True)
        both = (
            batched(x, dim, size).flatten(0, 1)
            for x, dim in zip((cotangent, reduced), dims[2:4], strict=True)
        )
        of_patients = PullBack.apply(problem.repeat(size), None, *both, *folded)
        of_runs = [each.unflatten(0, (size, -1)) for each in of_patients]
        gradients = [g.sum(-1) if one else g for g, one in zip(of_runs, shared, strict=True)]
        return tuple(gradients), (0,) * len(inputs)


class PushForward(Last):
    """The derivatives of values and reductions in one direction.

    tensors: the inputs, then a tangent in the shape of each (None is zero).
    """

    @staticmethod
    @eager
    def forward(problem: Problem, *tensors: Tensor | None) -> tuple[Tensor, Tensor]:
        inputs, tangents = tensors[: len(tensors) // 2], tensors[len(tensors) // 2 :]
        given = [x for x in inputs if x is not None]
        _, *derivatives = runner_of(problem, given).push_forward(
            _read(problem, given), [None if x is None else read(x, "a tangent") for x in tangents]
        )
        values, reduced = (tensor_of(each, given[0]) for each in derivatives)
        return values, reduced

    @staticmethod
    def vmap(
        info: Any, dims: tuple[int | None, ...], problem: Problem, *tensors: Tensor | None
    ) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        size = info.batch_size
        folded = fold(problem, size, tensors, dims[1:], spread=True)
        return by_run(PushForward.apply(problem.repeat(size), *folded), size)


def _read(problem: Problem, inputs: Sequence[Tensor]) -> list[Any]:
    """The numbers of the inputs, where they lie."""
    if not any(map(is_on_device, inputs)):
        return [numpy_of(x) for x in inputs]
    return [
        read(x, f"{entry.kind} {entry.name!r}")
        for entry, x in zip(problem.inputs, inputs, strict=True)
    ]


def by_run(both: tuple[Tensor, Tensor], size: int) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
    """Values and reductions with the runs as first dimension, and which dimension that is."""
    values, reduced = (x.reshape(size, x.shape[0] // size, *x.shape[1:]) for x in both)
    return (values, reduced), (0, 0)


def batched(tensor: Tensor, dim: int | None, size: int) -> Tensor:
    """The tensor with the mapped dimension first.

    Where it is not mapped it is repeated, in strides alone.
    """
    return tensor.expand(size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)


def fold(
    problem: Problem,
    size: int,
    tensors: Sequence[Tensor | None],
    dims: Sequence[int | None],
    spread: bool = False,
) -> list[Tensor | None]:
    """What `size` mapped runs are given, as one run with size * patients patients is given it.

    Those of the first run come first. dims: the mapped dimension of each tensor, None where it is
    not mapped. A number that all runs share stays one number, unless `spread`.
    """
    runs = [
        None if x is None else batched(x, dim, size) for x, dim in zip(tensors, dims, strict=True)
    ]
    patients = problem.patients_of([x.shape[1:] for x in runs if x is not None])
    lengths = problem.lengths(patients)
    folded: list[Tensor | None] = []
    for k, (x, run, dim) in enumerate(zip(tensors, runs, dims, strict=True)):
        if x is None or run is None or (dim is None and x.ndim == 0 and not spread):
            folded.append(x)
        else:
            length = lengths[k % len(lengths)]
            folded.append((run if run.ndim == 2 else run[:, None].expand(size, length)).reshape(-1))
    return folded
