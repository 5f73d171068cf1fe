"""Linear forms: every expression as a sum of coefficients times atoms.

Coefficients are of parameters, atoms of states and time. An atom is a state, the time, or a
nonlinear expression. Multiplying by what depends on parameters alone distributes, so that
Q (C_art - C_ven) with C = A / V becomes k1 A1 - k2 A2: two products a row, and constant Jacobian
entries. A product of factors gives up its coefficients, factors with several terms stay sums of
their own. A sum of more than two terms with several users in the right-hand side is one atom,
computed once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from teorell.lowering.coefficients import UNIT, Coefficient, Coefficients
from teorell.model.expression import Expression, constant, derivative, leaves, make, topological

__all__ = ["ONE", "Form", "Forms"]

# atom -> coefficient; the atom ONE for what has no atom
Form: TypeAlias = Mapping[Expression, Coefficient]

ONE = constant(1.0)
_SIGNS = {"add": (1, 1), "sub": (1, -1), "neg": (-1,)}
_LINEAR = frozenset({*_SIGNS, "mul", "div"})


class Forms:
    """The linear forms of a model.

    `exprs` is its right-hand side, which alone decides what is shared.
    """

    def __init__(self, exprs: Sequence[Expression], states: Sequence[str]) -> None:
        self.coefficients = Coefficients()
        self._uses: Counter[Expression] = Counter(exprs)
        for node in topological(exprs):
            self._uses.update(node.args)
        # the form by which a node is computed
        self._inner: dict[Expression, Form] = {}
        # what users of the node see: itself, if it is shared
        self._outer: dict[Expression, Form] = {}
        self._varying: dict[Expression, bool] = {}
        # atoms in order of appearance: the canonical order of factors
        self._numbers: dict[Expression, int] = {}
        self._gradients: dict[Expression, Mapping[Expression, Form]] = {}
        self._position = {name: k for k, name in enumerate(states)}

    def varying(self, node: Expression) -> bool:
        """Whether a node depends on a state or the time."""
        self._visit(node)
        return self._varying[node]

    def inner(self, node: Expression) -> Form:
        """The form by which the node is computed.

        It is {node: 1} for an atom, which is computed by its operation.
        """
        self._visit(node)
        return self._inner[node]

    def of(self, node: Expression) -> Form:
        """The form that takes the place of the node where it is used."""
        self._visit(node)
        return self._outer[node]

    def _visit(self, root: Expression) -> None:
        if root in self._inner:
            return
        stack = [root]
        while stack:
            node = stack[-1]
            if node in self._inner:
                stack.pop()
                continue
            operands = self._summands(node)
            waiting = [arg for _, arg in operands if arg not in self._inner]
            if waiting:
                stack.extend(reversed(waiting))
                continue
            stack.pop()
            varying = node.op in ("state", "time") or any(self._varying[arg] for _, arg in operands)
            self._varying[node] = varying
            if varying:
                form = self._combined(node, operands) if node.op in _LINEAR else self._atom(node)
                shared = len(form) > 2 and self._uses[node] > 1
                self._inner[node], self._outer[node] = form, self._atom(node) if shared else form
            else:
                coefficient = self.coefficients.of(node)
                self._inner[node] = self._outer[node] = {ONE: coefficient} if coefficient else {}

    def _summands(self, node: Expression) -> list[tuple[int, Expression]]:
        """The operands of a node, each with a sign.

        Those of a sum reach through sums that nothing else uses.
        """
        if node.op not in _SIGNS:
            return [(1, arg) for arg in node.args]
        found: list[tuple[int, Expression]] = []
        stack = [(1, node)]
        while stack:
            sign, part = stack.pop()
            if part is node or (
                part.op in _SIGNS and self._uses[part] == 1 and part not in self._inner
            ):
                signs = _SIGNS[part.op]
                operands = zip(reversed(signs), reversed(part.args), strict=True)
                stack.extend([(sign * s, arg) for s, arg in operands])
            else:
                found.append((sign, part))
        return found

    def _atom(self, node: Expression) -> Form:
        """The form of a node that is an atom."""
        self._numbers.setdefault(node, len(self._numbers))
        return {node: UNIT}

    def _made(self, op: str, args: tuple[Expression, Expression]) -> Form:
        """The form of a new atom, made of atoms and sums."""
        node = make(op, args)
        self._varying[node] = True
        self._inner[node] = self._outer[node] = self._atom(node)
        return self._inner[node]

    def _combined(self, node: Expression, operands: Sequence[tuple[int, Expression]]) -> Form:
        if node.op in _SIGNS:
            total: dict[Expression, Coefficient] = {}
            for sign, part in operands:
                self._accumulate(total, self._outer[part], UNIT if sign > 0 else {(): -1.0})
            return total
        parts = [self._outer[arg] for arg in node.args]
        a, b = node.args
        if node.op == "mul":
            if not self._varying[a]:
                return self.scaled(parts[1], self.coefficients.of(a))
            if not self._varying[b]:
                return self.scaled(parts[0], self.coefficients.of(b))
            return self._product(a, b)
        divisor = self.coefficients.of(b) if not self._varying[b] else {}
        if divisor:
            return self.scaled(parts[0], self.coefficients.inverse(divisor))
        return self._quotient(a, b)

    def _product(self, a: Expression, b: Expression) -> Form:
        (x, first), (y, second) = self._factor(a), self._factor(b)
        coefficient = self.coefficients.times(x, y)
        if not coefficient:
            return {}
        if first is ONE or second is ONE:  # a form can turn out constant, as x / x * p
            return {second if first is ONE else first: coefficient}
        if self._numbers.get(first, 0) > self._numbers.get(second, 0):
            first, second = second, first
        return self.scaled(self._made("mul", (first, second)), coefficient)

    def _quotient(self, a: Expression, b: Expression) -> Form:
        (x, above), (y, below) = self._factor(a), self._factor(b)
        if not x:
            return {}
        if not y or below is ONE:  # division by a zero that the algebra found stays a division
            return self._made("div", (a, b))
        return self.scaled(
            self._made("div", (above, below)),
            self.coefficients.times(x, self.coefficients.inverse(y)),
        )

    def _factor(self, node: Expression) -> tuple[Coefficient, Expression]:
        """A coefficient and what it multiplies; the node is their product.

        It multiplies an atom, ONE, or the node itself if that is a sum of several terms.
        """
        form = self._outer[node]
        if not form:
            return {}, ONE
        if len(form) > 1:
            self._atom(node)
            return UNIT, node
        atom, coefficient = next(iter(form.items()))
        return coefficient, atom

    def plus(self, a: Form, b: Form, factor: Coefficient = UNIT) -> Form:
        """a + factor * b, zeros left out."""
        total = dict(a)
        self._accumulate(total, b, factor)
        return total

    def _accumulate(
        self, total: dict[Expression, Coefficient], b: Form, factor: Coefficient
    ) -> None:
        """Add factor * b to `total`, from which zeros are taken out."""
        for atom, coefficient in b.items():
            term = self._times(factor, coefficient)
            old = total.get(atom)
            new = term if old is None else self.coefficients.plus(old, term)
            if new:
                total[atom] = new
            else:
                total.pop(atom, None)

    def scaled(self, a: Form, factor: Coefficient) -> Form:
        if factor == UNIT:
            return a
        return self.plus({}, a, factor)

    def _times(self, factor: Coefficient, coefficient: Coefficient) -> Coefficient:
        """A product that leaves a sum a sum where the factor is a number."""
        if len(factor) == 1 and () in factor:
            return (
                coefficient
                if factor[()] == 1.0
                else self.coefficients.scaled(coefficient, factor[()])
            )
        return self.coefficients.times(factor, coefficient)

    # Derivatives

    def gradient(self, expr: Expression) -> Mapping[Expression, Form]:
        """d expr / d symbol as forms, for the states and the time that matter, in order.

        The time comes last.
        """
        stack = [expr]
        while stack:
            node = stack[-1]
            form = self.inner(node)
            computed = not (len(form) == 1 and node in form)
            waiting = [atom for atom in form if atom not in self._gradients] if computed else []
            waiting = [atom for atom in waiting if atom is not ONE]
            if node in self._gradients:
                stack.pop()
            elif waiting:
                stack.extend(waiting)
            else:
                self._gradients[node] = self._through(form) if computed else self._of_atom(node)
                stack.pop()
        return self._gradients[expr]

    def gradient_of(self, form: Form) -> Mapping[Expression, Form]:
        """The gradient of a form, as `gradient` gives that of an expression."""
        for atom in form:
            if atom is not ONE:
                self.gradient(atom)
        return self._through(form)

    def affine(self, atom: Expression) -> bool:
        """Whether an atom is affine in the states, with coefficients that never change.

        They depend on neither states nor time. What depends on the time alone counts, since it has
        no derivative by a state.
        """
        if (
            atom is ONE
            or atom.op == "state"
            or not any(leaf.op == "state" for leaf in leaves(atom))
        ):
            return True
        form = self.inner(atom)
        return not (len(form) == 1 and atom in form) and all(self.affine(part) for part in form)

    def _through(self, form: Form) -> Mapping[Expression, Form]:
        """The gradient of a sum, from those of its atoms."""
        total: dict[Expression, Form] = {}
        for atom, coefficient in form.items():
            for symbol, slope in self._gradients.get(atom, {}).items():
                total[symbol] = self.plus(total.get(symbol, {}), slope, coefficient)
        return {symbol: total[symbol] for symbol in sorted(total, key=self._place) if total[symbol]}

    def _of_atom(self, node: Expression) -> Mapping[Expression, Form]:
        """The gradient of an atom that is computed by its operation."""
        if node.op in ("state", "time"):
            return {node: {ONE: UNIT}}
        found: dict[Expression, Form] = {}
        for symbol in sorted(
            [leaf for leaf in leaves(node) if leaf.op in ("state", "time")], key=self._place
        ):
            slope = derivative(node, symbol)
            form = self.of(slope)
            if len(form) > 1:  # a sum that several rows can share
                form = self._atom(slope)
            if form:
                found[symbol] = form
        return found

    def _place(self, symbol: Expression) -> int:
        """The place of a state, or of the time, in a gradient."""
        return self._position[symbol.name] if symbol.op == "state" else len(self._position)
