"""The value of an expression, by NumPy: the reference of what every operation means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from teorell.errors import ModelError
from teorell.model.graph import SYMBOLS, Expression
from teorell.model.packing import topological

__all__ = ["evaluate", "evaluate_all"]

Function: TypeAlias = Callable[..., Any]
_MEANING: dict[str, Function] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "neg": np.negative,
    "pow": np.power, "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "tanh": np.tanh,
    "sin": np.sin, "cos": np.cos,
    "abs": lambda a: np.where(a < 0.0, -a, a),
    "min": lambda a, b: np.where(a < b, a, b),
    "max": lambda a, b: np.where(a > b, a, b),
    "lt": lambda a, b: np.where(a < b, 1.0, 0.0),
    "le": lambda a, b: np.where(a <= b, 1.0, 0.0),
    "and": lambda a, b: np.where((a != 0.0) & (b != 0.0), 1.0, 0.0),
    "or": lambda a, b: np.where((a != 0.0) | (b != 0.0), 1.0, 0.0),
    "not": lambda a: np.where(a != 0.0, 0.0, 1.0),
    "side": lambda first, a, b, value: value,
    "where": lambda c, a, b: np.where(c != 0.0, a, b),
}  # fmt: skip


def evaluate(expr: Expression, values: Mapping[Expression, ArrayLike]) -> Any:
    """The value of `expr` where each symbol has the scalar or array in `values`.

    They broadcast; complex numbers are allowed. Division by zero and the like give inf and NaN
    silently. ModelError if a symbol has no value.
    """
    return evaluate_all([expr], values)[0]


def evaluate_all(exprs: Sequence[Expression], values: Mapping[Expression, ArrayLike]) -> list[Any]:
    """The values of several expressions, shared parts computed once."""
    known: dict[Expression, Any] = {}
    with np.errstate(all="ignore"):
        for node in topological(exprs):
            if node.op == "constant":
                known[node] = np.float64(node.value)
            elif node.op in SYMBOLS:
                if node not in values:
                    raise ModelError(
                        f"{node.op} {node.name!r} has no value (the expression depends on it). Add "
                        "it to the values."
                    )
                array = np.asarray(values[node])
                known[node] = array if np.iscomplexobj(array) else array.astype(np.float64)
            else:
                known[node] = _MEANING[node.op](*[known[arg] for arg in node.args])
    return [np.asarray(known[expr])[()] for expr in exprs]
