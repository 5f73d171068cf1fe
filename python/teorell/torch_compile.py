"""Functions that torch.compile leaves alone."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = ["eager"]

P = ParamSpec("P")
R = TypeVar("R")


def eager(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, but a call to it inside torch.compile interrupts the graph.

    torch.compile follows Python code, NumPy calls included, and fails on read-only arrays. The part
    of torch that does it takes a second to import, so it is asked only once somebody else has
    imported it.
    """
    hidden: Callable[P, R] | None = None

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        nonlocal hidden
        if "torch._dynamo" not in sys.modules:
            return function(*args, **kwargs)
        if hidden is None:
            hidden = sys.modules["torch"].compiler.disable(function)
        assert hidden is not None
        return hidden(*args, **kwargs)

    return call
