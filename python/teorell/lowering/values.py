"""Expressions as values of a program.

Linear forms become sums of products, atoms one instruction or an expansion.
"""

from __future__ import annotations

from collections.abc import Sequence

from teorell.lowering.builder import Builder, Pair
from teorell.lowering.coefficients import Coefficient, Coefficients
from teorell.lowering.elementary import FUNCTIONS, power
from teorell.lowering.linear import ONE, Form, Forms
from teorell.lowering.program import Op
from teorell.model.calculus import of_time
from teorell.model.expression import Expression

__all__ = ["Symbols", "Terms", "Values", "parameter_values"]

_OPS = {
    "sqrt": Op.SQRT, "abs": Op.ABS, "min": Op.MIN, "max": Op.MAX, "lt": Op.LT, "le": Op.LE,
    "where": Op.SELECT, "div": Op.DIV,
}  # fmt: skip


def emit(builder: Builder, node: Expression, args: Sequence[int]) -> int:
    """The instructions of one operation on given operands."""
    op = node.op
    timed = op in ("sqrt", "pow") and of_time(node.args[0])
    if op == "sqrt" and timed:
        return builder.call("time_sqrt", lambda b, x: b.op(Op.SQRT, x), *args)
    if op in _OPS:
        return builder.op(_OPS[op], *args)
    if op == "add":
        return builder.add(args[0], args[1])
    if op == "sub":
        return builder.sub(args[0], args[1])
    if op == "neg":
        return builder.neg(args[0])
    if op == "mul":
        return builder.mul(args[0], args[1])
    if op in ("and", "or", "not"):
        no, yes = builder.constant(0.0), builder.one
        if op == "not":
            return builder.select(args[0], no, yes)
        second = builder.select(args[1], yes, no)
        return (
            builder.select(args[0], second, no)
            if op == "and"
            else builder.select(args[0], yes, second)
        )
    if op == "side":
        return builder.call("side", lambda b, first, x, y, value: value, *args)
    if op == "pow":
        exponent = node.args[1].value if node.args[1].op == "constant" else None
        name = "time_pow" if timed else "pow"
        return builder.call(name, lambda b, x, y: power(b, x, y, exponent), *args)
    return builder.call(op, FUNCTIONS[op], args[0])


class Symbols:
    """Where the symbols of a model lie; the states from `first` on in `region`."""

    def __init__(
        self, states: Sequence[str], parameters: Sequence[str], region: str = "y", first: int = 0
    ) -> None:
        self.states = {name: k for k, name in enumerate(states)}
        self.parameters = {name: k for k, name in enumerate(parameters)}
        self._region, self._first = region, first

    def states_in(self, region: str, first: int = 0) -> Symbols:
        """These symbols, but with the states from `first` on in `region`."""
        return Symbols(list(self.states), list(self.parameters), region, first)

    def slot(self, builder: Builder, node: Expression) -> int:
        """The value of a constant or a symbol: what lies in its slot."""
        if node.op == "constant":
            return builder.constant(node.value)
        if node.op == "state":
            return builder.slot(self._region, self._first + self.states[node.name])
        if node.op == "time":
            return builder.slot("scalar", 0)
        if node.op == "parameter":
            return builder.slot("params", self.parameters[node.name])
        return builder.slot("params", len(self.parameters) + int(node.name))


def parameter_values(builder: Builder, symbols: Symbols, exprs: Sequence[Expression]) -> list[int]:
    """Values of expressions of parameters, one after the other, for `prepare`."""
    known: dict[Expression, int] = {}
    for root in exprs:
        stack = [root]
        while stack:
            node = stack[-1]
            waiting = [arg for arg in node.args if arg not in known]
            if waiting:
                stack.extend(reversed(waiting))
                continue
            stack.pop()
            if node not in known:
                args = [known[arg] for arg in node.args]
                known[node] = emit(builder, node, args) if args else symbols.slot(builder, node)
    return [known[expr] for expr in exprs]


class Terms:
    """A sum in the making: products to add and to take away, and single values to start from."""

    def __init__(self) -> None:
        self.singles: list[int] = []
        self.plus: list[Pair] = []
        self.minus: list[Pair] = []

    def add(self, sign: int, a: int, b: int) -> None:
        """Add sign * a * b."""
        (self.plus if sign > 0 else self.minus).append((a, b))

    def value(self, builder: Builder, init: int | None = None) -> int:
        """The sum; without an `init`, one of the single values starts it."""
        singles = list(self.singles)
        if init is None and singles:
            init = singles.pop(0)
        return builder.sum(
            init, [(single, builder.one) for single in singles] + self.plus, self.minus
        )


class Values:
    """Values of expressions in one program of states, time and coefficients."""

    def __init__(self, builder: Builder, forms: Forms, symbols: Symbols) -> None:
        self.builder = builder
        self.forms = forms
        self.symbols = symbols
        self._known: dict[Expression, int] = {}

    def coefficient(self, coefficient: Coefficient) -> tuple[int, int]:
        """A sign and a value, whose product is the coefficient."""
        table: Coefficients = self.forms.coefficients
        sign, what = table.place(coefficient)
        if isinstance(what, float):
            return sign, self.builder.constant(what)
        return sign, self.builder.slot("coef", table.table[what])

    def value(self, expr: Expression) -> int:
        """The value of one expression."""
        self._compute([expr])
        return self._known[expr]

    def terms(self, form: Form) -> Terms:
        """A form as a sum, its atoms computed."""
        self._compute([x for atom in form for x in self._needed(form, atom)])
        terms, one = Terms(), self.builder.one
        for atom, coefficient in form.items():
            sign, factor = self.coefficient(coefficient)
            if atom is ONE:
                x, y = factor, one
            elif self._fused(form, atom):
                x, y = self._known[atom.args[0]], self._known[atom.args[1]]
            else:
                x, y = factor, self._known[atom]
            if sign > 0 and one in (x, y):
                terms.singles.append(y if x == one else x)
            else:
                terms.add(sign, x, y)
        return terms

    def _fused(self, form: Form, atom: Expression) -> bool:
        """Whether a product atom needs no value of its own: its coefficient is 1 or -1."""
        if atom.op != "mul" or atom not in self.forms.inner(atom):
            return False
        return self.coefficient(form[atom])[1] == self.builder.one

    def _needed(self, form: Form, atom: Expression) -> tuple[Expression, ...]:
        """What must be computed before an atom of a form can enter a sum."""
        if atom is ONE:
            return ()
        return atom.args if self._fused(form, atom) else (atom,)

    def _compute(self, exprs: Sequence[Expression]) -> None:
        """Compute expressions, operands before users."""
        known = self._known
        stack = list(reversed(exprs))
        while stack:
            node = stack[-1]
            if node in known:
                stack.pop()
                continue
            form = self.forms.inner(node)
            atomic = node in form and len(form) == 1
            needed = node.args if atomic else [x for atom in form for x in self._needed(form, atom)]
            waiting = [x for x in needed if x not in known]
            if waiting:
                stack.extend(reversed(waiting))
                continue
            stack.pop()
            if atomic:
                args = [known[arg] for arg in node.args]
                known[node] = (
                    emit(self.builder, node, args)
                    if args
                    else self.symbols.slot(self.builder, node)
                )
            else:
                known[node] = self.terms(form).value(self.builder)
