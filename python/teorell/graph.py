"""Expression graphs: immutable, hash-consed nodes with operators that simplify a little.

Equal structure is the same object, so `==` is identity, a set of nodes is a set of meanings, and a memo
on a node serves every model that contains it. Nothing here recurses over a graph: sums of thousands of terms
are deep chains. Booleans are 1.0 and 0.0; `min(a, b)` is `a if a < b else b` and `max(a, b)` is `a if a > b else b`.
Simplifications keep the value for every finite argument, bit for bit (up to the sign of zero).
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from numbers import Real
from typing import Any, TypeAlias

import numpy as np

from teorell.errors import ModelError

__all__ = [
    "SYMBOLS", "Expression", "Operand", "as_expression", "constant", "leaves", "make", "maximum", "minimum", "pack",
    "select", "symbol", "topological", "unary", "unpack",
]  # fmt: skip

SYMBOLS = frozenset({"parameter", "state", "time", "switch"})
_CONDITIONS = frozenset({"lt", "le", "and", "or", "not", "switch"})


class Expression:
    """A node of an expression graph; made by `constant`, by a model's symbols, and by arithmetic on these.

    `op` names the operation, `args` its operands, `value` the number of a constant, `name` the name of a symbol.
    """

    __slots__ = ("__weakref__", "_derivatives", "_leaves", "_mask", "args", "name", "op", "value")

    op: str
    args: tuple[Expression, ...]
    value: float
    name: str
    _mask: int  # one bit for each symbol below this node, see _bits
    _leaves: frozenset[Expression] | None
    _derivatives: dict[Expression, Expression]

    # NumPy scalars leave the arithmetic to us, arrays and ufuncs are refused instead of making object arrays.
    __array_ufunc__ = None

    def __setattr__(self, attribute: str, value: object) -> None:
        raise AttributeError(f"an Expression is immutable: {attribute!r} cannot be set")

    def __add__(self, other: Operand) -> Expression:
        return _binary(_add, self, other)

    def __radd__(self, other: Operand) -> Expression:
        return _binary(_add, other, self)

    def __sub__(self, other: Operand) -> Expression:
        return _binary(_sub, self, other)

    def __rsub__(self, other: Operand) -> Expression:
        return _binary(_sub, other, self)

    def __mul__(self, other: Operand) -> Expression:
        return _binary(_mul, self, other)

    def __rmul__(self, other: Operand) -> Expression:
        return _binary(_mul, other, self)

    def __truediv__(self, other: Operand) -> Expression:
        return _binary(_div, self, other)

    def __rtruediv__(self, other: Operand) -> Expression:
        return _binary(_div, other, self)

    def __pow__(self, other: Operand) -> Expression:
        return _binary(_pow, self, other)

    def __rpow__(self, other: Operand) -> Expression:
        return _binary(_pow, other, self)

    def __lt__(self, other: Operand) -> Expression:
        return _binary(_lt, self, other)

    def __gt__(self, other: Operand) -> Expression:
        return _binary(_lt, other, self)

    def __le__(self, other: Operand) -> Expression:
        return _binary(_le, self, other)

    def __ge__(self, other: Operand) -> Expression:
        return _binary(_le, other, self)

    def __and__(self, other: Operand) -> Expression:
        return _binary(_and, self, other)

    def __rand__(self, other: Operand) -> Expression:
        return _binary(_and, other, self)

    def __or__(self, other: Operand) -> Expression:
        return _binary(_or, self, other)

    def __ror__(self, other: Operand) -> Expression:
        return _binary(_or, other, self)

    def __invert__(self) -> Expression:
        return _not(self)

    def __neg__(self) -> Expression:
        return _neg(self)

    def __pos__(self) -> Expression:
        return self

    def __abs__(self) -> Expression:
        return unary("abs", self)

    def __bool__(self) -> bool:
        raise TypeError(
            "an expression has no truth value: it is known only when the model runs. Use tl.where(condition, a, b) "
            "instead of if, & | ~ instead of and, or, not, and (a < x) & (x < b) instead of a < x < b."
        )

    def __repr__(self) -> str:
        from teorell.reading import to_text

        return to_text(self, limit=200)

    def __copy__(self) -> Expression:
        return self

    def __deepcopy__(self, memo: object) -> Expression:
        return self

    def __reduce__(self) -> tuple[Callable[..., Expression], tuple[Any, ...]]:
        return _unpack_one, (pack([self]),)


Operand: TypeAlias = Expression | float | int | np.floating[Any] | np.integer[Any]
Record: TypeAlias = tuple[str, float | str | tuple[int, ...]]

# Keys hold the identities of operands, not the operands: a node and its derivatives may refer to each other, and a key
# that held them would keep that cycle alive for ever. An identity is reused only after its entry here is dead.
_table: weakref.WeakValueDictionary[tuple[object, ...], Expression] = weakref.WeakValueDictionary()
_lock = threading.RLock()
# Every symbol name ever used keeps its bit for the life of the process: sets of symbols are then Python integers,
# whose union costs nanoseconds, where a frozenset on each node of a long sum would need quadratic memory.
_bits: dict[tuple[object, ...], int] = {}
_keys: list[tuple[object, ...]] = []
_set = object.__setattr__
_SCALARS = (Expression, Real, np.bool_)


def make(op: str, payload: float | str | tuple[Expression, ...]) -> Expression:
    """The one node with this operation and payload (number, name, or operands), without any simplification."""
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
                _bits[key] = len(_keys)
                _keys.append(key)
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
    """A finite number as an expression; ModelError for NaN and infinity. Minus zero becomes zero."""
    number = float(value) + 0.0
    if not math.isfinite(number):
        raise ModelError(f"constant {number}: expressions hold finite numbers only. Check the value, or use tl.where.")
    return make("constant", number)


def symbol(kind: str, name: str) -> Expression:
    """The symbol of a kind (parameter, state, time, switch) and a name."""
    if kind not in SYMBOLS:
        raise ModelError(f"symbol kind {kind!r}: unknown. Use one of {', '.join(sorted(SYMBOLS))}.")
    return make(kind, str(name))


def as_expression(value: object) -> Expression:
    """`value` itself if it is an expression, a constant if it is a real scalar; TypeError otherwise."""
    if type(value) is Expression:
        return value
    if isinstance(value, (Real, np.bool_)):
        return constant(float(value))
    raise TypeError(f"{type(value).__name__} in an expression: only expressions and real scalars can be used there.")


def topological(exprs: Iterable[Expression]) -> list[Expression]:
    """Every node reachable from `exprs`, once, operands before users, depth first and left to right."""
    done: set[Expression] = set()
    order: list[Expression] = []
    for root in exprs:
        stack = [root]
        while stack:
            node = stack[-1]
            if node in done:
                stack.pop()
                continue
            waiting = [arg for arg in node.args if arg not in done]
            if waiting:
                stack.extend(reversed(waiting))
            else:
                done.add(node)
                order.append(node)
                stack.pop()
    return order


def leaves(expr: Expression) -> frozenset[Expression]:
    """The symbols (parameters, states, time, switches) that `expr` depends on."""
    if expr._leaves is None:
        found, mask = [], expr._mask
        while mask:
            low = mask & -mask
            found.append(_table[_keys[low.bit_length() - 1]])
            mask ^= low
        _set(expr, "_leaves", frozenset(found))
    assert expr._leaves is not None
    return expr._leaves


def pack(exprs: Sequence[Expression]) -> tuple[tuple[Record, ...], tuple[int, ...]]:
    """Expressions as plain data, shared parts once: (op, number | name | operand positions) records, and the roots."""
    order = topological(exprs)
    position = {node: k for k, node in enumerate(order)}
    records: list[Record] = []
    for node in order:
        if node.args:
            records.append((node.op, tuple([position[arg] for arg in node.args])))
        else:
            records.append((node.op, node.value if node.op == "constant" else node.name))
    return tuple(records), tuple(position[expr] for expr in exprs)


def unpack(packed: tuple[Sequence[Record], Sequence[int]]) -> list[Expression]:
    """The inverse of `pack`."""
    nodes: list[Expression] = []
    for op, payload in packed[0]:
        nodes.append(make(op, tuple([nodes[k] for k in payload]) if isinstance(payload, tuple) else payload))
    return [nodes[k] for k in packed[1]]


def _unpack_one(packed: tuple[Sequence[Record], Sequence[int]]) -> Expression:
    return unpack(packed)[0]


def _binary(build: Callable[[Expression, Expression], Expression], a: Any, b: Any) -> Expression:
    if type(a) is type(b) is Expression:
        return build(a, b)
    if isinstance(a, _SCALARS) and isinstance(b, _SCALARS):
        return build(as_expression(a), as_expression(b))
    refused: Expression = NotImplemented  # Python then raises its TypeError
    return refused


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
            raise ModelError("division by the constant zero: the value is infinite everywhere. Check the divisor.")
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
    if a.op in _CONDITIONS or (a.op == "constant" and a.value in (0.0, 1.0)):
        return a
    if a.op == "where":
        _condition(a.args[1])
        _condition(a.args[2])
        return a
    raise ModelError(f"{a!r} used with & | ~: these join conditions. Compare it with something, as in x > 0.5.")


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
    if _both(a, b):
        return a if a.value < b.value else b
    return a if a is b else make("min", (a, b))


def maximum(a: Expression, b: Expression) -> Expression:
    if _both(a, b):
        return a if a.value > b.value else b
    return a if a is b else make("max", (a, b))


def select(condition: Expression, a: Expression, b: Expression) -> Expression:
    if condition.op == "constant":
        return a if condition.value else b
    return a if a is b else make("where", (condition, a, b))


_UNARY: dict[str, Callable[[float], float]] = {
    "exp": math.exp, "log": math.log, "sqrt": math.sqrt, "tanh": math.tanh,
    "sin": math.sin, "cos": math.cos, "abs": math.fabs,
}  # fmt: skip


def unary(op: str, a: Expression) -> Expression:
    return _folded(op, _UNARY[op], a.value) if a.op == "constant" else make(op, (a,))


def _folded(op: str, function: Callable[..., float], *values: float) -> Expression:
    try:
        return constant(function(*values))
    except (OverflowError, ValueError) as error:
        numbers = ", ".join(f"{value:g}" for value in values)
        raise ModelError(f"{op}({numbers}): the result is not a finite number. Check the constants.") from error
