"""One constraint: what it demands of a patient, how far a patient is off, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from teorell.expression import Expression, constant, where
from teorell.expression import max as larger

if TYPE_CHECKING:
    from teorell.lowering.builder import Builder
    from teorell.lowering.columns import Term

__all__ = ["Constraint", "Side", "difference", "reciprocal"]


@dataclass(frozen=True, eq=False)
class Side:
    """`residual` = 0, or <= 0: dimensionless, in scales of its constraint."""

    residual: Expression
    equality: bool


@dataclass(frozen=True, eq=False)
class Constraint:
    """An equality of two expressions (lower and upper are one), or bounds of one.

    A patient violates it where a residual is above the tolerance. The penalty of a residual r is
    weight * r^2, of bounds for r > 0 alone. With a barrier it starts that far inside the bound:
    weight * h^2, where h is 0 up to -barrier, then (r + barrier)^2 / (4 barrier), and r from
    barrier on; its slope has no jump anywhere.
    """

    name: str
    value: Expression
    lower: Expression | None
    upper: Expression | None
    scale: Expression  # positive: the size in which residuals are told
    tolerance: float
    weight: float = 1.0
    group: str = ""
    unit: str = ""
    barrier: float = 0.0
    source: str = ""

    @property
    def equality(self) -> bool:
        return self.lower is not None and self.lower is self.upper

    @property
    def sides(self) -> tuple[Side, ...]:
        """Its residuals: one, or two where there are two bounds."""
        if self.equality:
            assert self.lower is not None
            return (Side((self.value - self.lower) * reciprocal(self.scale), True),)
        found, inverse = [], reciprocal(self.scale)
        if self.lower is not None:
            found.append(Side((self.lower - self.value) * inverse, False))
        if self.upper is not None:
            found.append(Side((self.value - self.upper) * inverse, False))
        return tuple(found)

    @property
    def penalty(self) -> Expression:
        total = constant(0.0)
        for side in self.sides:
            r = side.residual
            if side.equality:
                h = r
            elif self.barrier:
                inside = larger(r + self.barrier, 0.0)
                h = where(r < self.barrier, inside * inside / (4.0 * self.barrier), r)
            else:
                h = larger(r, 0.0)
            total = total + self.weight * (h * h)
        return total

    def term(self, side: Side) -> Term:
        """The penalty of a side as instructions, with its slope: 2 weight h h', which needs no
        condition where h is 0.
        """

        # not at the top: `import teorell` needs no lowering
        from teorell.lowering.program import Op

        def emit(b: Builder, r: int) -> tuple[int, int]:
            zero, weight = b.constant(0.0), b.constant(self.weight)
            h, slope = r, b.one
            if self.barrier and not side.equality:
                edge, quarter = b.constant(self.barrier), b.constant(0.25 / self.barrier)
                inside = b.op(Op.MAX, b.add(r, edge), zero)
                near = b.op(Op.LT, r, edge)
                h = b.select(near, b.mul(b.mul(inside, inside), quarter), r)
                slope = b.select(near, b.mul(inside, b.add(quarter, quarter)), b.one)
            elif not side.equality:
                h = b.op(Op.MAX, r, zero)
            weighted = b.mul(weight, h)
            return b.mul(weighted, h), b.mul(b.add(weighted, weighted), slope)

        return emit

    @property
    def demand(self) -> str:
        """What it demands, in words of its bounds."""
        if self.equality:
            return f"{self.value!r} = {self.lower!r}"
        if self.lower is not None and self.upper is not None:
            return f"{self.lower!r} <= {self.value!r} <= {self.upper!r}"
        return (
            f"{self.value!r} {'>=' if self.upper is None else '<='} "
            f"{self.lower if self.upper is None else self.upper!r}"
        )


# Divisions are what a penalty's time is made of: by numbers, also by one of two, they are done
# here.


def reciprocal(expr: Expression) -> Expression:
    """1 / expr."""
    if expr.op == "constant":
        return constant(1.0 / expr.value)
    if _is_choice(expr):
        return where(expr.args[0], 1.0 / expr.args[1].value, 1.0 / expr.args[2].value)
    return 1.0 / expr


def difference(a: Expression, b: Expression) -> Expression:
    """a - b."""
    if _is_choice(a) and _is_choice(b) and a.args[0] is b.args[0]:
        return where(
            a.args[0], a.args[1].value - b.args[1].value, a.args[2].value - b.args[2].value
        )
    return a - b


def _is_choice(expr: Expression) -> bool:
    """One of two numbers that are not 0."""
    return expr.op == "where" and all(arg.op == "constant" and arg.value for arg in expr.args[1:])
