"""Coefficients: what depends on parameters and switches alone, hoisted into `prepare`.

They are kept as sums of monomials. A coefficient is {monomial: number}; a monomial is a product of
integer powers of bases, which are parameters or other expressions of parameters. Writing them in
this one form makes Q BP / (V Kp) the same slot wherever it arises, cancels what cancels (V / V),
and lets k and -k share a slot. The table numbers each coefficient that a program reads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias

from teorell.model.expression import Expression, constant

__all__ = ["Coefficient", "Coefficients", "Monomial"]

Monomial: TypeAlias = tuple[tuple[Expression, int], ...]  # (base, power), by the number of the base
Coefficient: TypeAlias = Mapping[Monomial, float]

UNIT: Coefficient = {(): 1.0}


class Coefficients:
    """The algebra of coefficients, and the table of those that programs read."""

    def __init__(self) -> None:
        self.table: dict[Expression, int] = {}  # hoisted expression -> position in region coef
        self._complete = False  # is the table final?
        self._known: dict[Expression, Coefficient] = {}
        # bases in order of appearance: the canonical order
        self._numbers: dict[Expression, int] = {}
        self._places: dict[tuple[tuple[Monomial, float], ...], tuple[int, float | Expression]] = {}

    def of(self, expr: Expression) -> Coefficient:
        """The coefficient that is an expression of parameters."""
        stack = [expr]
        while expr not in self._known:
            node = stack[-1]
            waiting = [arg for arg in node.args if arg not in self._known]
            if waiting:
                stack.extend(waiting)
                continue
            self._known.setdefault(node, self._read(node))
            stack.pop()
        return self._known[expr]

    def _read(self, node: Expression) -> Coefficient:
        op = node.op
        if op == "constant":
            return {(): node.value} if node.value else {}
        if op in ("add", "sub", "neg", "mul", "div"):
            parts = [self._known[arg] for arg in node.args]
            if op == "neg":
                found: Coefficient | None = self.scaled(parts[0], -1.0)
            elif op == "add":
                found = self.plus(parts[0], parts[1])
            elif op == "sub":
                found = self.plus(parts[0], self.scaled(parts[1], -1.0))
            elif op == "mul":
                found = self.times(parts[0], parts[1])
            else:
                found = self.times(parts[0], self.inverse(parts[1])) if parts[1] else None
            if found is not None and all(
                math.isfinite(value) and value != 0.0 for value in found.values()
            ):
                return found
        return {((self._base(node), 1),): 1.0}

    def _base(self, node: Expression) -> Expression:
        self._numbers.setdefault(node, len(self._numbers))
        return node

    # Algebra; zero is the empty coefficient

    def plus(self, a: Coefficient, b: Coefficient) -> Coefficient:
        if not a or not b:
            return a or b
        total = dict(a)
        for monomial, value in b.items():
            total[monomial] = total.get(monomial, 0.0) + value
            if total[monomial] == 0.0:
                del total[monomial]
        return total

    def scaled(self, a: Coefficient, factor: float) -> Coefficient:
        return {monomial: value * factor for monomial, value in a.items()}

    def times(self, a: Coefficient, b: Coefficient) -> Coefficient:
        """a * b as a single monomial; sums are factored first."""
        if not a or not b:
            return {}
        if a == UNIT or b == UNIT:
            return b if a == UNIT else a
        (first, x), (second, y) = self.factored(a), self.factored(b)
        return {self._product(first, second): x * y}

    def inverse(self, a: Coefficient) -> Coefficient:
        """1 / a for a that is not empty."""
        monomial, value = self.factored(a)
        return {tuple([(base, -power) for base, power in monomial]): 1.0 / value}

    def _product(self, a: Monomial, b: Monomial) -> Monomial:
        powers = dict(a)
        for base, power in b:
            powers[base] = powers.get(base, 0) + power
        return self._ordered(powers)

    def _ordered(self, powers: Mapping[Expression, int]) -> Monomial:
        return tuple(
            sorted(
                [item for item in powers.items() if item[1]],
                key=lambda item: self._numbers[item[0]],
            )
        )

    def _key(self, monomial: Monomial) -> tuple[tuple[int, int], ...]:
        return tuple([(self._numbers[base], power) for base, power in monomial])

    def factored(self, a: Coefficient) -> tuple[Monomial, float]:
        """`a` as one monomial times a number.

        A sum becomes its common factors times a base that is the rest of the sum.
        """
        if len(a) == 1:
            return next(iter(a.items()))
        monomials = sorted(a, key=self._key)
        common: dict[Expression, int] = {}
        powers = [dict(monomial) for monomial in monomials]
        for base, power in monomials[0]:
            all_powers = [p.get(base, 0) for p in powers]
            shared = min(all_powers) if power > 0 else max(all_powers)
            if shared * power > 0:
                common[base] = shared
        number = math.copysign(1.0, a[monomials[0]])
        if len({abs(value) for value in a.values()}) == 1:
            number = a[monomials[0]]
        away = {base: -power for base, power in common.items()}
        rest: Expression | None = None
        for monomial, power_of in zip(monomials, powers, strict=True):
            term = self._expression(
                self._product(self._ordered(power_of), self._ordered(away)), 1.0
            )
            value = a[monomial] / number
            weighted = term if abs(value) == 1.0 else constant(abs(value)) * term
            rest = weighted if rest is None else rest - weighted if value < 0.0 else rest + weighted
        assert rest is not None
        common[self._base(rest)] = common.get(rest, 0) + 1
        return self._ordered(common), number

    def _expression(self, monomial: Monomial, number: float) -> Expression:
        """number * monomial as an expression: one quotient of products."""
        above, below = constant(number), constant(1.0)
        for base, power in monomial:
            for _ in range(abs(power)):
                if power > 0:
                    above = above * base
                else:
                    below = below * base
        return above / below

    # The table

    def place(self, a: Coefficient) -> tuple[int, float | Expression]:
        """Sign, and a number or an expression of `table`: the coefficient is their product."""
        key = tuple(a.items())
        known = self._places.get(key)
        if known is None:
            known = self._places[key] = self._placed(a)
        return known

    def _placed(self, a: Coefficient) -> tuple[int, float | Expression]:
        if not a:
            return 1, 0.0
        monomial, number = self.factored(a)
        sign = -1 if number < 0.0 else 1
        if not monomial:
            return sign, abs(number)
        expr = self._expression(monomial, abs(number))
        if expr not in self.table:
            assert not self._complete, "a program reads a coefficient that prepare does not compute"
            self.table[expr] = len(self.table)
        return sign, expr

    def complete(self) -> tuple[Expression, ...]:
        """What `prepare` has to compute, in order: all programs that read coefficients are made.

        From here on the table stays as it is.
        """
        self._complete = True
        return tuple(self.table)
