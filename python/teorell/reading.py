"""Two readings of an expression: its value, by NumPy (the reference of the
meaning), and its text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from teorell.errors import ModelError
from teorell.graph import SYMBOLS, Expression, topological

__all__ = ["evaluate", "evaluate_all", "to_text"]

Function: TypeAlias = Callable[..., Any]

_MEANING: dict[str, Function] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "neg": np.negative,
    "pow": np.power, "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "tanh": np.tanh, "sin": np.sin,
    "cos": np.cos, "abs": lambda a: np.where(a < 0.0, -a, a),
    "min": lambda a, b: np.where(a < b, a, b),
    "max": lambda a, b: np.where(a > b, a, b),
    "lt": lambda a, b: np.where(a < b, 1.0, 0.0),
    "le": lambda a, b: np.where(a <= b, 1.0, 0.0),
    "and": lambda a, b: np.where((a != 0.0) & (b != 0.0), 1.0, 0.0),
    "or": lambda a, b: np.where((a != 0.0) | (b != 0.0), 1.0, 0.0),
    "not": lambda a: np.where(a != 0.0, 0.0, 1.0),
    "where": lambda c, a, b: np.where(c != 0.0, a, b),
}  # fmt: skip


def evaluate(expr: Expression, values: Mapping[Expression, ArrayLike]) -> Any:
    """The value of `expr` where each symbol has the scalar or array in `values` (broadcast; complex
    is allowed).

    Division by zero and the like give inf and NaN silently. ModelError if a symbol has no value.
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


_COMPARE, _OR, _AND, _SUM, _PRODUCT, _SIGN, _POWER, _ATOM = range(1, 9)
_BINARY = {
    "lt": ("<", _COMPARE), "le": ("<=", _COMPARE), "or": ("|", _OR), "and": ("&", _AND),
    "add": ("+", _SUM), "sub": ("-", _SUM), "mul": ("*", _PRODUCT), "div": ("/", _PRODUCT),
    "pow": ("**", _POWER),
}  # fmt: skip


def to_text(
    expr: Expression, names: Mapping[Expression, str] | None = None, limit: int | None = None
) -> str:
    """`expr` as Python text with as few parentheses as keep the tree; nodes in `names` appear under
    their name.

    Shared parts are written out wherever they appear, which can be long: after `limit` characters
    comes '...'.
    """
    pieces: list[str] = []
    length = 0
    stack: list[str | tuple[Expression, int]] = [(expr, 0)]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            pieces.append(item)
            length += len(item)
            if limit is not None and length > limit:
                return "".join(pieces)[: limit - 3] + "..."
            continue
        node, least = item
        name = names.get(node) if names else None
        parts, precedence = ([name], _ATOM) if name is not None else _spelling(node)
        if precedence < least:
            parts = ["(", *parts, ")"]
        stack.extend(reversed(parts))
    return "".join(pieces)


def _spelling(node: Expression) -> tuple[list[str | tuple[Expression, int]], int]:
    """The pieces of one node, each operand with the precedence it must at least have; and the
    node's own.
    """
    op, args = node.op, node.args
    if op == "constant":
        return [number_text(node.value)], _SIGN if node.value < 0.0 else _ATOM
    if op in SYMBOLS:
        return [node.name], _ATOM
    if op in ("neg", "not"):
        return ["-" if op == "neg" else "~", (args[0], _SIGN)], _SIGN
    if op in _BINARY:
        sign, precedence = _BINARY[op]
        left, right = precedence, precedence + 1
        if op == "pow":
            left, right = _ATOM, _SIGN
        elif precedence == _COMPARE:
            left = _OR
        return [(args[0], left), f" {sign} ", (args[1], right)], precedence
    parts: list[str | tuple[Expression, int]] = [f"{op}("]
    for k, arg in enumerate(args):
        parts.extend([", ", (arg, 0)] if k else [(arg, 0)])
    return [*parts, ")"], _ATOM


def number_text(value: float) -> str:
    """The shortest text that reads back as the same number, without '.0'."""
    return repr(float(value)).removesuffix(".0")
