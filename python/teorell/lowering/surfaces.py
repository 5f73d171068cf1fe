"""Conditions on states become surfaces, and those on time whose changes are not known before.

Of a comparison of a and b the sign of g = b - a is kept as a number, 1, 0 or -1, that counts as a
parameter: the side of the surface g = 0 on which a patient is. It changes where the solution passes
the surface alone, at the end of a step, so that every step sees smooth rates (Ellison, Math.
Comput. Simul. 23, 1981; Hairer, Norsett and Wanner, Solving ODEs I, II.6).

A kink (min, max, abs) is continuous: its value is that of its operands wherever a stage lies, so
that a guard such as max(x, 0) holds; its slope is that of the side.
"""

from __future__ import annotations

from collections.abc import Sequence

from teorell.lowering.program import ACTION, JUMP, KINK, OUTPUT, Surface
from teorell.model.expression import Expression, constant, make, symbol, topological
from teorell.model.timing import changes_with

__all__ = ["with_surfaces"]

_ZERO = constant(0.0)
_KINKS = ("min", "max", "abs")
_FIRST = (ACTION, OUTPUT, JUMP, KINK)  # what a surface is that is of several kinds


def with_surfaces(
    exprs: Sequence[Expression], switches: int, whens: int = 0, outputs: int = 0
) -> tuple[list[Expression], tuple[Surface, ...]]:
    """Expressions with `switch` symbols for the sides of surfaces, and these surfaces.

    switches: how many there are; the symbols of sides are numbered from there on. whens: how many
    of the expressions are the conditions of actions, and outputs: how many, the last ones, are
    outputs that are integrated.
    """
    found: list[Surface] = []
    numbers: dict[tuple[int, int], int] = {}  # by the identities of a and b
    replaced: dict[Expression, Expression] = {}

    last = len(exprs) - outputs
    waited, seen = set(topological(exprs[last - whens : last])), set(topological(exprs[last:]))

    def sign(a: Expression, b: Expression, kind: int, said: Expression) -> tuple[int, Expression]:
        """1 or -1, and the symbol of a side: their product is the sign of b - a."""
        way = -1 if (id(b), id(a)) in numbers else 1
        number = numbers.setdefault((id(a), id(b)) if way > 0 else (id(b), id(a)), len(found))
        if number == len(found):
            found.append(Surface(b - a, said, kind))
        elif _FIRST.index(kind) < _FIRST.index(found[number].kind):
            found[number] = Surface(found[number].distance, said, kind)
        return way, symbol("switch", str(switches + number))

    for node in topological(exprs):
        new = node
        if any(replaced[arg] is not arg for arg in node.args):
            new = make(node.op, tuple([replaced[arg] for arg in node.args]))
        timed = changes_with(new, "time") and node.op not in _KINKS
        if node.op in ("lt", "le", *_KINKS) and (timed or changes_with(new, "state")):
            a, b = (*new.args, _ZERO)[:2]
            kind = ACTION if node in waited else KINK if node.op in _KINKS else JUMP
            kind = OUTPUT if kind == JUMP and node in seen else kind
            way, side = sign(a, b, kind, node)
            new = _kink(new, way, side) if node.op in _KINKS else _above(node.op, way, side)
        replaced[node] = new
    return [replaced[expr] for expr in exprs], tuple(found)


def _above(op: str, way: int, side: Expression) -> Expression:
    """Is way * side above 0 (lt), or not below it (le)?"""
    return make(op, (_ZERO, side) if way > 0 else (side, _ZERO))


def _kink(node: Expression, way: int, side: Expression) -> Expression:
    """The node, and the operand whose slope it has: the first where a condition holds."""
    if node.op == "abs":
        return make("side", (_above("lt", way, side), -node.args[0], node.args[0], node))
    first = _above("lt", way if node.op == "min" else -way, side)
    return make("side", (first, *node.args, node))
