"""Expression graphs: immutable, hash-consed nodes, and the operators that make them.

Equal structure is the same object: `is` tells whether two are the same, a set of nodes is a set of
meanings, and a memo on a node serves every model that contains it. `==` is the user's, a condition;
dicts and sets never ask it, as the hash of a node is its identity. Nothing recurses over a graph:
sums of thousands of terms are deep chains. What an operation makes of its operands is in
simplify.py, NumPy's functions in ufuncs.py, how nodes are pickled in packing.py.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections.abc import Callable
from numbers import Real
from typing import Any, TypeAlias

import numpy as np

from teorell.errors import ModelError

__all__ = [
    "READINGS", "RULES", "SYMBOLS", "Expression", "Operand", "as_expression", "constant", "leaves",
    "make", "symbol",
]  # fmt: skip

SYMBOLS = frozenset({"parameter", "state", "time", "after_dose", "switch"})
RULES: dict[str, Callable[..., Expression]] = {}
"""Operation -> the expression it makes of operands that are expressions; simplify.py fills it."""
READINGS: dict[str, Callable[..., Any]] = {}
"""How an expression answers Python and NumPy: "text" by text.py, "ufunc" by ufuncs.py, "arithmetic"
with conditions by refusals.py.
"""


class Expression:
    """A node of an expression graph.

    Nodes are made by `constant`, by a model's symbols, and by arithmetic on these.

    `op` names the operation, `args` its operands, `value` the number of a constant, `name` the name
    of a symbol.
    """

    __slots__ = ("__weakref__", "_derivatives", "_leaves", "_mask", "args", "name", "op", "value")

    op: str
    args: tuple[Expression, ...]
    value: float
    name: str
    _mask: int  # one bit for each symbol below this node, see _bits
    _leaves: frozenset[Expression] | None
    _derivatives: dict[Expression, Expression]

    def __setattr__(self, attribute: str, value: object) -> None:
        raise AttributeError(
            f"an expression's {attribute!r} cannot be set (it is immutable). Write a new "
            "expression."
        )

    def __add__(self, other: Operand) -> Expression:
        return _binary("add", self, other)

    def __radd__(self, other: Operand) -> Expression:
        return _binary("add", other, self)

    def __sub__(self, other: Operand) -> Expression:
        return _binary("sub", self, other)

    def __rsub__(self, other: Operand) -> Expression:
        return _binary("sub", other, self)

    def __mul__(self, other: Operand) -> Expression:
        return _binary("mul", self, other)

    def __rmul__(self, other: Operand) -> Expression:
        return _binary("mul", other, self)

    def __truediv__(self, other: Operand) -> Expression:
        return _binary("div", self, other)

    def __rtruediv__(self, other: Operand) -> Expression:
        return _binary("div", other, self)

    def __pow__(self, other: Operand) -> Expression:
        return _binary("pow", self, other)

    def __rpow__(self, other: Operand) -> Expression:
        return _binary("pow", other, self)

    def __lt__(self, other: Operand) -> Expression:
        return _binary("lt", self, other)

    def __gt__(self, other: Operand) -> Expression:
        return _binary("lt", other, self)

    def __le__(self, other: Operand) -> Expression:
        return _binary("le", self, other)

    def __ge__(self, other: Operand) -> Expression:
        return _binary("le", other, self)

    def __eq__(self, other: object) -> Expression:  # type: ignore[override]
        return _compared("eq", self, other)

    def __ne__(self, other: object) -> Expression:  # type: ignore[override]
        return RULES["not"](_compared("eq", self, other))

    __hash__ = object.__hash__

    def __and__(self, other: Operand) -> Expression:
        return _binary("and", self, other)

    def __rand__(self, other: Operand) -> Expression:
        return _binary("and", other, self)

    def __or__(self, other: Operand) -> Expression:
        return _binary("or", self, other)

    def __ror__(self, other: Operand) -> Expression:
        return _binary("or", other, self)

    def __invert__(self) -> Expression:
        return RULES["not"](self)

    def __neg__(self) -> Expression:
        return RULES["neg"](self)

    def __pos__(self) -> Expression:
        return self

    def __abs__(self) -> Expression:
        return RULES["abs"](self)

    def __bool__(self) -> bool:
        raise TypeError(
            "an expression has no truth value (it is known only when the model runs). Use "
            "tl.where(condition, a, b) instead of if, & | ~ instead of and, or, not, and (a < x) & "
            "(x < b) instead of a < x < b; tl.min and tl.max instead of min and max; `is` to ask "
            "for the same expression."
        )

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: object, **options: object
    ) -> Expression:
        result: Expression = READINGS["ufunc"](ufunc, method, inputs, options)
        return result

    def __repr__(self) -> str:
        shown: str = READINGS["text"](self, limit=200)
        return shown

    def __copy__(self) -> Expression:
        return self

    def __deepcopy__(self, memo: object) -> Expression:
        return self


Operand: TypeAlias = Expression | float | int | np.floating[Any] | np.integer[Any]

# Keys hold the identities of operands, not the operands: a node and its derivatives may refer to
# each other, and a key that held them would keep that cycle alive for ever. An identity is
# reused only after its entry here is dead.
_table: weakref.WeakValueDictionary[tuple[object, ...], Expression] = weakref.WeakValueDictionary()
_lock = threading.RLock()


def _new_lock() -> None:
    """In a child: the thread that held the lock is not there to release it."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)
# Every symbol name ever used keeps its bit for the life of the process: sets of symbols are then
# Python integers, whose union costs nanoseconds, where a frozenset on each node of a long sum would
# need quadratic memory.
_bits: dict[tuple[object, ...], int] = {}
_keys: list[tuple[object, ...]] = []
_set = object.__setattr__
_ARITHMETIC = frozenset({"add", "sub", "mul", "div", "pow"})
_JOINED = frozenset({"and", "not"})
_SCALARS = (Expression, Real, np.bool_)


def make(op: str, payload: float | str | tuple[Expression, ...]) -> Expression:
    """The one node with this operation and payload, without any simplification.

    payload: the number of a constant, the name of a symbol, or the operands.
    """
    args = payload if type(payload) is tuple else ()
    key = (op, *map(id, args)) if args else (op, payload)
    node = _table.get(key)
    if node is not None:
        return node
    with _lock:
        node = _table.get(key)
        if node is not None:
            return node
        node = object.__new__(Expression)
        mask = 0
        for arg in args:
            mask |= arg._mask
        if op in SYMBOLS:
            if key not in _bits:
                _keys.append(key)  # before its number: a fork may come between
                _bits[key] = len(_keys) - 1
            mask = 1 << _bits[key]
        _set(node, "op", op)
        _set(node, "args", args)
        _set(node, "value", payload if type(payload) is float else 0.0)
        _set(node, "name", payload if type(payload) is str else "")
        _set(node, "_mask", mask)
        _set(node, "_leaves", None)
        _set(node, "_derivatives", {})
        _table[key] = node
    return node


def constant(value: float) -> Expression:
    """A finite number as an expression; ModelError for NaN and infinity.

    Minus zero becomes zero.
    """
    number = float(value) + 0.0
    if not math.isfinite(number):
        raise ModelError(
            f"constant {number} in an expression (it can hold finite numbers only). Check the "
            "value."
        )
    return make("constant", number)


def symbol(kind: str, name: str) -> Expression:
    """The symbol of a kind (parameter, state, time, after_dose, switch) and a name."""
    if kind not in SYMBOLS:
        raise ModelError(
            f"unknown kind {kind!r} (symbols are of few kinds). Choose from "
            f"{', '.join(sorted(SYMBOLS))}."
        )
    return make(kind, str(name))


def as_expression(value: object) -> Expression:
    """`value` itself if it is an expression, a constant if it is a finite real scalar.

    Raises ModelError for NaN and infinity, TypeError for everything else: arrays, lists, strings,
    complex numbers.
    """
    if type(value) is Expression:
        return value
    duration = isinstance(value, np.timedelta64)  # to NumPy a whole number
    if isinstance(value, (Real, np.bool_)) and not duration:
        try:
            return constant(float(value))
        except OverflowError:
            raise ModelError(
                f"a {type(value).__name__} beyond 1.8e308 in an expression (float64 ends there). "
                "Choose another unit."
            ) from None
    several = isinstance(value, (np.ndarray, list, tuple))
    remedy = "Write a loop over its elements." if several else "Give one of these."
    raise TypeError(
        f"{type(value).__name__} in an expression (only expressions and real scalars can be used "
        f"there). {remedy}"
    )


def leaves(expr: Expression) -> frozenset[Expression]:
    """The symbols (parameters, states, time, times after doses, switches) in `expr`."""
    if expr._leaves is None:
        symbols, mask = [], expr._mask
        while mask:
            low = mask & -mask
            symbols.append(_table[_keys[low.bit_length() - 1]])
            mask ^= low
        _set(expr, "_leaves", frozenset(symbols))
    assert expr._leaves is not None
    return expr._leaves


def _compared(op: str, a: Expression, b: object) -> Expression:
    """The rule of an operation that Python would answer itself, False, where `b` is no scalar."""
    return RULES[op](a, as_expression(b))


def _binary(op: str, a: Any, b: Any) -> Expression:
    """The rule of an operation on operands of Python; NotImplemented if one is no scalar."""
    if type(a) is type(b) is Expression:
        if (a.op in _JOINED or b.op in _JOINED) and op in _ARITHMETIC:
            READINGS["arithmetic"](a, b)
        return RULES[op](a, b)
    if isinstance(a, _SCALARS) and isinstance(b, _SCALARS):
        return _binary(op, as_expression(a), as_expression(b))
    refused: Expression = NotImplemented  # Python then raises its TypeError
    return refused
