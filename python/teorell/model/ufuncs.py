"""NumPy's functions on expressions: `np.exp(x)` is `tl.exp(x)`.

What a model cannot hold is refused, with what to write.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import teorell.model.simplify  # noqa: F401  (it fills RULES)
from teorell.model.graph import READINGS, RULES, Expression, as_expression

__all__ = ["apply"]


def _swapped(op: str) -> Callable[[Expression, Expression], Expression]:
    return lambda a, b: RULES[op](b, a)


_KNOWN: dict[str, Callable[..., Any]] = {
    "add": RULES["add"], "subtract": RULES["sub"], "multiply": RULES["mul"], "divide": RULES["div"],
    "power": RULES["pow"], "float_power": RULES["pow"], "negative": RULES["neg"],
    "positive": lambda a: a, "square": lambda a: a * a, "reciprocal": lambda a: 1.0 / a,
    "exp": RULES["exp"], "log": RULES["log"], "sqrt": RULES["sqrt"], "tanh": RULES["tanh"],
    "sin": RULES["sin"], "cos": RULES["cos"], "absolute": RULES["abs"], "fabs": RULES["abs"],
    "minimum": RULES["min"], "maximum": RULES["max"],
    "less": RULES["lt"], "less_equal": RULES["le"], "greater": _swapped("lt"),
    "greater_equal": _swapped("le"),
    "equal": RULES["eq"], "not_equal": lambda a, b: RULES["not"](RULES["eq"](a, b)),
    "logical_and": RULES["and"], "logical_or": RULES["or"], "logical_not": RULES["not"],
    "bitwise_and": RULES["and"], "bitwise_or": RULES["or"], "invert": RULES["not"],
}  # fmt: skip
_INSTEAD = {
    "fmin": "tl.min(a, b)", "fmax": "tl.max(a, b)", "expm1": "tl.exp(x) - 1", "exp2": "2.0**x",
    "log1p": "tl.log(1 + x)", "log2": "tl.log(x) / math.log(2)",
    "log10": "tl.log(x) / math.log(10)", "cbrt": "tl.pow(x, 1 / 3)",
    "hypot": "tl.sqrt(x * x + y * y)", "tan": "tl.sin(x) / tl.cos(x)",
    "sinh": "(tl.exp(x) - tl.exp(-x)) / 2", "cosh": "(tl.exp(x) + tl.exp(-x)) / 2",
    "clip": "tl.min(tl.max(x, low), high)", "remainder": "tl.sin(x), or doses with every=",
    "floor_divide": "tl.where with conditions",
    "sign": "tl.where(x < 0, -1, tl.where(x > 0, 1, 0))", "heaviside": "tl.where(x < 0, 0, 1)",
}  # fmt: skip


def apply(
    ufunc: np.ufunc, method: str, inputs: Sequence[object], options: Mapping[str, object]
) -> Expression:
    """What `Expression.__array_ufunc__` returns.

    TypeError for arrays, options such as out=, and unknown functions.
    """
    name = f"np.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
    # Comparisons of NumPy scalars hand these over as arrays of no dimension.
    operands = [
        value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value
        for value in inputs
    ]
    for value in operands:
        if isinstance(value, np.ndarray):
            raise TypeError(
                f"{name} of an expression and an array of shape {value.shape} (a model is written "
                "for one patient, an expression is one number). Write a loop over the elements, or "
                "make the array a parameter."
            )
    if method != "__call__" or options:
        extra = f" with {', '.join(f'{option}=' for option in options)}" if options else ""
        raise TypeError(
            f"{name}{extra} of an expression (it is data, there is no array to work on). Call tl's "
            "functions."
        )
    if ufunc.__name__ not in _KNOWN:
        near = _INSTEAD.get(ufunc.__name__)
        remedy = (
            f"Write {near}."
            if near
            else "Write it with tl.exp, log, sqrt, pow, tanh, sin, cos, abs, min, max, where."
        )
        raise TypeError(f"{name} of an expression (models have no such function). {remedy}")
    result: Expression = _KNOWN[ufunc.__name__](*map(as_expression, operands))
    return result


READINGS["ufunc"] = apply
