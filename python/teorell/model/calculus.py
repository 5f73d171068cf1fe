"""Symbolic derivatives.

Where a function has no derivative, one side is taken, the same everywhere in Teorell:
abs at 0 has derivative +1; min and max where both agree take the second operand; `where` takes the
branch it selects; comparisons have derivative 0; pow(a, b) has derivative 0 with respect to b where
a <= 0. A power or root of time alone whose slope is infinite at 0 (t ** 0.5, Weibull's shapes below
2) has slope 0 there: time passes the point at once, and a step needs no more than a finite number.
"""

from __future__ import annotations

from teorell.errors import ModelError
from teorell.model.graph import SYMBOLS, Expression, constant, leaves
from teorell.model.simplify import select, unary

__all__ = ["derivative", "of_time"]

_ZERO = constant(0.0)


def of_time(node: Expression) -> bool:
    """Does a node change with time, and with no state?"""
    kinds = {leaf.op for leaf in leaves(node)}
    return "time" in kinds and "state" not in kinds


def derivative(expr: Expression, symbol: Expression) -> Expression:
    """d expr / d symbol, remembered on every node that depends on the symbol.

    Nodes that do not are not visited. ModelError if `symbol` is no symbol.
    """
    if symbol.op not in SYMBOLS:
        raise ModelError(
            f"derivative with respect to {symbol!r} (it is not a symbol). Use a parameter, a state "
            "or the time."
        )
    bit = symbol._mask
    if not expr._mask & bit:
        return _ZERO
    stack = [expr]
    while stack:
        node = stack[-1]
        if symbol in node._derivatives:
            stack.pop()
            continue
        waiting = [arg for arg in node.args if arg._mask & bit and symbol not in arg._derivatives]
        if waiting:
            stack.extend(waiting)
            continue
        stack.pop()
        if node is symbol:
            node._derivatives[symbol] = constant(1.0)
        else:
            inner = [arg._derivatives[symbol] if arg._mask & bit else _ZERO for arg in node.args]
            node._derivatives[symbol] = _rule(node, inner)
    return expr._derivatives[symbol]


def _rule(node: Expression, inner: list[Expression]) -> Expression:
    """The chain rule at one node, given the derivatives of its operands."""
    op, args = node.op, node.args
    if all(d is _ZERO for d in (inner[1:] if op in ("where", "side") else inner)):
        return _ZERO
    a, da = args[0], inner[0]
    if len(args) == 1:
        return _unary_rule(op, node, a, da)
    b, db = args[1], inner[1]
    if op == "add":
        return da + db
    if op == "sub":
        return da - db
    if op == "mul":
        return da * b + a * db
    if op == "div":
        return (da - node * db) / b
    if op == "pow":
        return _pow_rule(node, a, b, da, db)
    if op == "min":
        return select(a < b, da, db)
    if op == "max":
        return select(b < a, da, db)
    if op in ("where", "side"):
        return select(a, db, inner[2])
    return _ZERO  # lt le and or


def _unary_rule(op: str, node: Expression, a: Expression, da: Expression) -> Expression:
    """The chain rule at a node of one operand `a`, given its derivative `da`."""
    if op == "neg":
        return -da
    if op == "exp":
        return node * da
    if op == "log":
        return da / a
    if op == "sqrt":
        slope = da / (2.0 * node)
        return select(0.0 < a, slope, _ZERO) if of_time(a) else slope  # noqa: SIM300
    if op == "tanh":
        return (1.0 - node * node) * da
    if op == "sin":
        return unary("cos", a) * da
    if op == "cos":
        return -(unary("sin", a) * da)
    if op == "abs":
        return select(a < 0.0, -da, da)
    return _ZERO  # not


def _pow_rule(
    node: Expression, a: Expression, b: Expression, da: Expression, db: Expression
) -> Expression:
    """The chain rule at node = a ** b, given the derivatives of `a` and `b`."""
    result = b * a ** (b - 1.0) * da if da is not _ZERO else _ZERO
    if result is not _ZERO and of_time(a):
        result = select((0.0 < a) | (1.0 <= b), result, _ZERO)  # noqa: SIM300
    if db is _ZERO:
        return result
    # a^b log(a) is 0 * -inf at a = 0, its limit for b > 0 is 0; of a select both branches are
    # computed and one is kept.
    if a.op == "constant" and a.value <= 0.0:
        return result
    return result + select(a > 0.0, node * unary("log", a), _ZERO) * db
