"""Conditions on time: when they change.

A comparison of k time + c with another of these, k a number and c of parameters, changes once, at a
time that is known. Many others are made of such: abs(u) < c is u < c and -u < c, a product is
negative where its factors have different signs. What is left, as sin(time) > 0.5, changes where the
solver finds that it does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from teorell.model.calculus import derivative
from teorell.model.graph import Expression, constant, leaves, symbol
from teorell.model.packing import topological

__all__ = ["Affine", "affine", "changes_with", "in_parts", "looked_for"]

Affine = tuple[float, Expression]  # k, c of k * time + c

_ZERO = constant(0.0)


def changes_with(node: Expression, *kinds: str) -> bool:
    """Does a node depend on a symbol of these kinds (time, state)?"""
    return any(leaf.op in kinds for leaf in leaves(node))


def affine(node: Expression, inner: Sequence[Affine | None]) -> Affine | None:
    """(k, c) if the node is k * time + c, else None; inner: the same of its operands.

    k is a number, and c of parameters only; c is simplified lightly.
    """
    if node.op == "time":
        return 1.0, _ZERO
    if node.op == "state":
        return None
    if any(part is None for part in inner):
        return None
    parts = [part for part in inner if part is not None]
    if all(part[0] == 0.0 for part in parts):
        return 0.0, node
    if node.op == "neg":
        return -parts[0][0], -parts[0][1]
    if node.op == "add":
        return parts[0][0] + parts[1][0], parts[0][1] + parts[1][1]
    if node.op == "sub":
        return parts[0][0] - parts[1][0], parts[0][1] - parts[1][1]
    if node.op == "mul":
        for (k, c), factor in ((parts[0], node.args[1]), (parts[1], node.args[0])):
            if factor.op == "constant":
                return k * factor.value, c * factor
    if node.op == "div" and node.args[1].op == "constant":
        return parts[0][0] / node.args[1].value, parts[0][1] / node.args[1]
    return None


def in_parts(op: str, a: Expression, b: Expression) -> Expression | None:
    """A comparison (lt, le) of functions of time as one of simpler ones; None: there is none."""
    if op == "le":
        other = in_parts("lt", b, a)
        return None if other is None else ~other
    for x, y, low in ((a, b, True), (b, a, False)):
        part = _part(x, y, low)
        if part is not None:
            return part
    return None


def _part(x: Expression, y: Expression, low: bool) -> Expression | None:
    """x < y (low), or y < x, by what x is made of."""

    def below(u: Expression, v: Expression) -> Expression:
        return u < v if low else v < u

    if x.op in ("min", "max"):
        u, v = x.args
        either = (x.op == "min") == low
        return below(u, y) | below(v, y) if either else below(u, y) & below(v, y)
    if x.op == "abs":
        u = x.args[0]
        return (u < y) & (-u < y) if low else (y < u) | (y < -u)
    if x.op == "neg" and x.args[0].args:
        return _part(x.args[0], -y, not low)
    if x.op in ("mul", "div") and y is _ZERO and all(changes_with(u, "time") for u in x.args):
        u, v = x.args
        same = ((u < 0.0) & (v < 0.0)) | ((0.0 < u) & (0.0 < v))  # noqa: SIM300
        return ((u < 0.0) & (0.0 < v)) | ((0.0 < u) & (v < 0.0)) if low else same  # noqa: SIM300
    if changes_with(y, "time") or not x.args or not changes_with(x, "time"):
        return None
    return _without_parameters(x, y, below)


def _without_parameters(
    x: Expression, y: Expression, below: Callable[[Expression, Expression], Expression]
) -> Expression | None:
    """below(x, y) where a sum, product or quotient with what does not change gives way."""
    first, *rest = x.args
    fixed = [not changes_with(u, "time") for u in x.args]
    if x.op in ("add", "sub"):
        second = rest[0]
        if fixed[1]:
            part = below(first, y - second if x.op == "add" else y + second)
        elif fixed[0]:
            part = below(second, y - first) if x.op == "add" else below(first - y, second)
        else:
            return None
        return part if any(u.args for u in x.args if changes_with(u, "time")) else None
    if x.op == "mul" and any(fixed):
        factor, u = (first, rest[0]) if fixed[0] else (rest[0], first)
        return _scaled(u, y / factor, factor, below)
    if x.op == "div" and fixed[1]:
        return _scaled(first, y * rest[0], rest[0], below)
    return None


def _scaled(
    u: Expression,
    y: Expression,
    factor: Expression,
    below: Callable[[Expression, Expression], Expression],
) -> Expression:
    """below(u, y) where the factor is positive, below(y, u) where it is negative."""
    return ((0.0 < factor) & below(u, y)) | ((factor < 0.0) & below(y, u))  # noqa: SIM300


def looked_for(exprs: Sequence[Expression]) -> list[Expression]:
    """The conditions in which time stands so that a long step may pass over both of their changes.

    They change at times that are not known before, and not with the states alone.
    """
    time = symbol("time", "time")
    found: list[Expression] = []
    known: dict[Expression, Affine | None] = {}
    waiting = [list(exprs)]
    said: dict[Expression, Expression] = {}  # a part of a condition -> the condition
    while waiting:
        for node in topological(waiting.pop()):
            if node in known:
                continue
            known[node] = affine(node, [known[arg] for arg in node.args])
            if node.op not in ("lt", "le") or not changes_with(node, "time"):
                continue
            a, b = node.args
            whole = said.get(node, node)
            if changes_with(node, "state"):
                if changes_with(derivative(b - a, time), "time"):
                    found.append(whole)
                continue
            if known[a] is not None and known[b] is not None:
                continue
            part = in_parts(node.op, a, b)
            if part is None:
                found.append(whole)
                continue
            for inner in topological([part]):
                said.setdefault(inner, whole)
            waiting.append([part])
    return list(dict.fromkeys(found))
