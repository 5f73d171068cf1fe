"""What an operation makes of its operands: the node, or something simpler of the same value.

Booleans are 1.0 and 0.0; `min(a, b)` is `a if a < b else b` and `max(a, b)` is `a if a > b else b`.
Simplifications keep the value for every finite argument, bit for bit (up to the sign of zero).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from teorell.errors import ModelError
from teorell.model.graph import RULES, Expression, constant, leaves, make

__all__ = ["maximum", "minimum", "select", "unary"]

_CONDITIONS = frozenset({"lt", "le", "and", "or", "not", "switch"})


def _both(a: Expression, b: Expression) -> bool:
    return a.op == "constant" and b.op == "constant"


def _is(a: Expression, value: float) -> bool:
    return a.op == "constant" and a.value == value


def _add(a: Expression, b: Expression) -> Expression:
    if _both(a, b):
        return constant(a.value + b.value)
    if _is(a, 0.0):
        return b
    if _is(b, 0.0):
        return a
    if b.op == "neg":
        return _sub(a, b.args[0])
    if b.op == "constant" and b.value < 0.0:
        return _sub(a, constant(-b.value))
    return make("add", (a, b))


def _sub(a: Expression, b: Expression) -> Expression:
    if _both(a, b):
        return constant(a.value - b.value)
    if _is(b, 0.0):
        return a
    if _is(a, 0.0):
        return _neg(b)
    if b.op == "neg":
        return _add(a, b.args[0])
    if b.op == "constant" and b.value < 0.0:
        return _add(a, constant(-b.value))
    return make("sub", (a, b))


def _mul(a: Expression, b: Expression) -> Expression:
    if a.op == "constant" or b.op == "constant":
        if _both(a, b):
            return constant(a.value * b.value)
        number, other = (a, b) if a.op == "constant" else (b, a)
        if number.value == 0.0:
            return number
        if number.value == 1.0:
            return other
        if number.value == -1.0:
            return _neg(other)
    return make("mul", (a, b))


def _div(a: Expression, b: Expression) -> Expression:
    if b.op == "constant":
        if b.value == 0.0:
            raise ModelError(
                "division by the constant zero (the value is infinite everywhere). Check the "
                "divisor."
            )
        if a.op == "constant":
            return constant(a.value / b.value)
        if b.value == 1.0:
            return a
        if b.value == -1.0:
            return _neg(a)
    if _is(a, 0.0):
        return a
    return make("div", (a, b))


def _neg(a: Expression) -> Expression:
    if a.op == "constant":
        return constant(-a.value)
    return a.args[0] if a.op == "neg" else make("neg", (a,))


def _pow(a: Expression, b: Expression) -> Expression:
    """a ** b; exponents 0 to 4 become products, negative ones one over these, 0.5 a square root."""
    if b.op == "constant":
        n = b.value
        if a.op == "constant":
            return _folded("pow", math.pow, a.value, n)
        if n < 0.0 and n in (-0.5, -1.0, -2.0, -3.0, -4.0):
            return _div(constant(1.0), _pow(a, constant(-n)))
        if n == 0.5:
            return unary("sqrt", a)
        if n == 0.0:
            return constant(1.0)
        if n == 1.0:
            return a
        if n in (2.0, 3.0, 4.0):
            square = _mul(a, a)
            return square if n == 2.0 else _mul(square, a if n == 3.0 else square)
    return make("pow", (a, b))


def _lt(a: Expression, b: Expression) -> Expression:
    return constant(a.value < b.value) if _both(a, b) else make("lt", (a, b))


def _le(a: Expression, b: Expression) -> Expression:
    return constant(a.value <= b.value) if _both(a, b) else make("le", (a, b))


def _condition(a: Expression) -> Expression:
    """The operand if it is 1 or 0, as comparisons are, else ModelError."""
    if a.op in _CONDITIONS or (a.op == "constant" and a.value in (0.0, 1.0)):
        return a
    if a.op == "where":
        _condition(a.args[1])
        _condition(a.args[2])
        return a
    raise ModelError(
        f"{a!r} used with & | ~ (these join conditions). Compare it with something, as in x > 0.5."
    )


def _eq(a: Expression, b: Expression) -> Expression:
    """a == b, as neither is less. ModelError where one is the time, which only passes a value."""
    if a is b:
        return constant(1.0)
    if any(leaf.op in ("time", "after_dose") for side in (a, b) for leaf in leaves(side)):
        raise ModelError(
            f"{a!r} == {b!r} (the time is at a value for a moment only). Compare with >= and <."
        )
    return _and(_le(a, b), _le(b, a))


def _and(a: Expression, b: Expression) -> Expression:
    _condition(a)
    _condition(b)
    if a.op == "constant":
        return b if a.value else a
    if b.op == "constant":
        return a if b.value else b
    return make("and", (a, b))


def _or(a: Expression, b: Expression) -> Expression:
    _condition(a)
    _condition(b)
    if a.op == "constant":
        return a if a.value else b
    if b.op == "constant":
        return b if b.value else a
    return make("or", (a, b))


def _not(a: Expression) -> Expression:
    _condition(a)
    if a.op == "constant":
        return constant(1.0 - a.value)
    return a.args[0] if a.op == "not" else make("not", (a,))


def minimum(a: Expression, b: Expression) -> Expression:
    """`a if a < b else b`, or something simpler of the same value."""
    if _both(a, b):
        return a if a.value < b.value else b
    return a if a is b else make("min", (a, b))


def maximum(a: Expression, b: Expression) -> Expression:
    """`a if a > b else b`, or something simpler of the same value."""
    if _both(a, b):
        return a if a.value > b.value else b
    return a if a is b else make("max", (a, b))


def select(condition: Expression, a: Expression, b: Expression) -> Expression:
    """`a` where the condition is not 0, else `b`, or something simpler of the same value."""
    if condition.op == "constant":
        return a if condition.value else b
    return a if a is b else make("where", (condition, a, b))


_UNARY: dict[str, Callable[[float], float]] = {
    "exp": math.exp, "log": math.log, "sqrt": math.sqrt, "tanh": math.tanh,
    "sin": math.sin, "cos": math.cos, "abs": math.fabs,
}  # fmt: skip


def unary(op: str, a: Expression) -> Expression:
    """A function of one operand by its name (exp, log, ...); of a constant its value.

    ModelError where that is not finite.
    """
    return _folded(op, _UNARY[op], a.value) if a.op == "constant" else make(op, (a,))


def _folded(op: str, function: Callable[..., float], *values: float) -> Expression:
    """The value of a function of constants as a constant; ModelError where it is not finite."""
    try:
        return constant(function(*values))
    except (OverflowError, ValueError) as error:
        numbers = ", ".join(f"{value:g}" for value in values)
        raise ModelError(
            f"{op}({numbers}) is not a finite number (all is constant here). Check the constants."
        ) from error


RULES.update({
    "add": _add, "sub": _sub, "mul": _mul, "div": _div, "pow": _pow, "neg": _neg, "lt": _lt,
    "le": _le, "eq": _eq, "and": _and, "or": _or, "not": _not, "min": minimum, "max": maximum,
    "where": select,
    **{op: partial(unary, op) for op in _UNARY},
})  # fmt: skip
