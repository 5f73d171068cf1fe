"""Functions of torch that are derivatives, and have none themselves.

Their backward and jvp raise, so that nothing is zero in silence.
"""

from __future__ import annotations

from typing import Any, NoReturn

from torch import Tensor
from torch.autograd import Function

__all__ = ["Last", "no_second_derivatives"]


class Last(Function):
    """A derivative of first order: it refuses to be differentiated, and keeps nothing for that."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> NoReturn:
        no_second_derivatives()

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> NoReturn:
        no_second_derivatives()


def no_second_derivatives() -> NoReturn:
    """Raise NotImplementedError: the solver and the constraints differentiate once."""
    raise NotImplementedError(
        "second derivatives of a simulation, a penalty or a projection are not there (each is "
        "differentiated once, backward or forward). Use first derivatives, or differences of "
        "gradients."
    )
