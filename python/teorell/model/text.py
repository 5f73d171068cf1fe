"""An expression as text."""

from __future__ import annotations

from collections.abc import Mapping

from teorell.model.graph import READINGS, SYMBOLS, Expression

__all__ = ["number_text", "to_text"]

_COMPARE, _OR, _AND, _SUM, _PRODUCT, _SIGN, _POWER, _ATOM = range(1, 9)
_BINARY = {
    "lt": ("<", _COMPARE), "le": ("<=", _COMPARE), "or": ("|", _OR), "and": ("&", _AND),
    "add": ("+", _SUM), "sub": ("-", _SUM), "mul": ("*", _PRODUCT), "div": ("/", _PRODUCT),
    "pow": ("**", _POWER),
}  # fmt: skip


def to_text(
    expr: Expression, names: Mapping[Expression, str] | None = None, limit: int | None = None
) -> str:
    """`expr` as Python text with as few parentheses as keep the tree.

    Nodes in `names` appear under their name. Shared parts are written out wherever they appear,
    which can be long: after `limit` characters comes '...'.
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
    """The pieces of one node, and its own precedence.

    A piece is text, or an operand with the precedence that it must have at least.
    """
    op, args = node.op, node.args
    if op == "constant":
        return [number_text(node.value)], _SIGN if node.value < 0.0 else _ATOM
    if op in SYMBOLS:
        return [f"time_after_dose({node.name})" if op == "after_dose" else node.name], _ATOM
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


READINGS["text"] = to_text
