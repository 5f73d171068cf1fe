"""The language of models: numbers, symbols, arithmetic and the functions below, as data.

>>> x = symbol("state", "x")
>>> derivative(exp(-2 * x), x)
exp(-2 * x) * -2

The graph is in graph.py, its order and pickles in packing.py, how it simplifies in simplify.py,
derivatives in calculus.py, values in evaluate.py, text in text.py; import all from here. Each
function takes expressions and real scalars, and returns an expression; it raises TypeError for
anything else, and ModelError for constants outside its domain. NumPy's functions of the same
meaning work too.
"""

from __future__ import annotations

import teorell.model.refusals
import teorell.model.ufuncs  # noqa: F401  (NumPy's functions work on expressions from here on)
from teorell.model.calculus import derivative
from teorell.model.evaluate import evaluate, evaluate_all
from teorell.model.graph import (
    SYMBOLS,
    Expression,
    Operand,
    as_expression,
    constant,
    leaves,
    make,
    symbol,
)
from teorell.model.packing import pack, topological, unpack
from teorell.model.simplify import maximum, minimum, select, unary
from teorell.model.text import number_text, to_text

__all__ = [
    "SYMBOLS", "Expression", "Operand", "abs", "as_expression", "constant", "cos", "derivative",
    "evaluate", "evaluate_all", "exp", "hill", "leaves", "log", "make", "max", "min", "number_text",
    "pack", "pow", "sin", "sqrt", "symbol", "tanh", "to_text", "topological", "unpack", "where",
]  # fmt: skip


def exp(x: Operand) -> Expression:
    """e to the power x; x has no unit."""
    return unary("exp", as_expression(x))


def log(x: Operand) -> Expression:
    """The natural logarithm, x > 0: where x may reach 0, the patient fails (status 1 or 2)."""
    return unary("log", as_expression(x))


def sqrt(x: Operand) -> Expression:
    """The square root, x >= 0; its derivative at 0 is infinite."""
    return unary("sqrt", as_expression(x))


def tanh(x: Operand) -> Expression:
    """The hyperbolic tangent."""
    return unary("tanh", as_expression(x))


def sin(x: Operand) -> Expression:
    """The sine of x radians."""
    return unary("sin", as_expression(x))


def cos(x: Operand) -> Expression:
    """The cosine of x radians."""
    return unary("cos", as_expression(x))


def abs(x: Operand) -> Expression:
    """The absolute value; its derivative at 0 is +1."""
    return unary("abs", as_expression(x))


def pow(x: Operand, exponent: Operand) -> Expression:
    """x ** exponent, x > 0 unless the exponent is a whole number.

    Small whole constants become products. With an exponent between 0 and 1 the derivative at x = 0
    is infinite.
    """
    return as_expression(x) ** as_expression(exponent)


def min(first: Operand, second: Operand, *more: Operand) -> Expression:
    """The smallest of two or more, all in one unit.

    Where two are equal its derivative is that of the later one.
    """
    result = minimum(as_expression(first), as_expression(second))
    for other in more:
        result = minimum(result, as_expression(other))
    return result


def max(first: Operand, second: Operand, *more: Operand) -> Expression:
    """The largest of two or more, all in one unit.

    Where two are equal its derivative is that of the later one.
    """
    result = maximum(as_expression(first), as_expression(second))
    for other in more:
        result = maximum(result, as_expression(other))
    return result


def where(condition: Operand, a: Operand, b: Operand) -> Expression:
    """`a` where the condition holds (is not 0), else `b`. Both are computed, one is kept.

    A condition on time and parameters alone is exact, a step ends there; one on states is found by
    trial.
    """
    return select(as_expression(condition), as_expression(a), as_expression(b))


def hill(x: Operand, half: Operand, n: Operand = 1) -> Expression:
    """Saturation x^n / (half^n + x^n), a fraction; n = 1 is Michaelis-Menten.

    It is one half at x = half > 0; x and half have one unit. With n below 1 the derivative at x = 0
    is infinite: a patient who starts there fails (status 1). And where n is no whole constant, a
    negative x, which rounding can make of 0, gives NaN. For both, write `hill(max(x, tiny), half,
    n)` with a tiny x that does not matter, times `min(x / tiny, 1)` if x is what is eliminated.
    """
    top = as_expression(x) ** as_expression(n)
    return top / (as_expression(half) ** as_expression(n) + top)
