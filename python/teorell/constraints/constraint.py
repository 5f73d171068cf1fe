"""One constraint: what it demands of a patient, how far a patient is off, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass

from teorell.model.expression import Expression, constant, where
from teorell.model.expression import abs as size_of
from teorell.model.expression import max as larger

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
        """Whether it is an equality of two expressions."""
        return self.lower is not None and self.lower is self.upper

    @property
    def sides(self) -> tuple[Side, ...]:
        """The residuals of the constraint: one, or two where there are two bounds."""
        if self.equality:
            assert self.lower is not None
            return (Side((self.value - self.lower) * reciprocal(self.scale), True),)
        bounds, inverse = [], reciprocal(self.scale)
        if self.lower is not None:
            bounds.append(Side((self.lower - self.value) * inverse, False))
        if self.upper is not None:
            bounds.append(Side((self.value - self.upper) * inverse, False))
        return tuple(bounds)

    @property
    def penalty(self) -> Expression:
        """What a patient's residuals cost, as an expression."""
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

    @property
    def demand(self) -> str:
        """What the constraint demands, in words of its bounds."""
        if self.equality:
            return f"{self.value!r} = {self.lower!r}"
        if self.lower is not None and self.upper is not None:
            return f"{self.lower!r} <= {self.value!r} <= {self.upper!r}"
        return (
            f"{self.value!r} {'>=' if self.upper is None else '<='} "
            f"{self.lower if self.upper is None else self.upper!r}"
        )


# Divisions are what a penalty's time is made of: those by numbers, also by one of two, are done
# here and not for each patient.


def reciprocal(expr: Expression) -> Expression:
    """1 / expr."""
    if expr.op == "constant":
        return constant(1.0 / expr.value)
    if _is_choice(expr):
        return where(expr.args[0], 1.0 / expr.args[1].value, 1.0 / expr.args[2].value)
    return 1.0 / expr


def sized(expr: Expression) -> Expression:
    """The size of a scale, 1 where that is 0.

    A negative one, as the width of a range that is empty for a patient, would turn every residual.
    """
    if expr.op == "constant":
        return constant(abs(expr.value) or 1.0)
    if expr.op == "where" and all(arg.op == "constant" for arg in expr.args[1:]):
        return where(expr.args[0], sized(expr.args[1]), sized(expr.args[2]))
    size = size_of(expr)
    return where(size > 0.0, size, 1.0)


def difference(a: Expression, b: Expression) -> Expression:
    """a - b."""
    if _is_choice(a) and _is_choice(b) and a.args[0] is b.args[0]:
        return where(
            a.args[0], a.args[1].value - b.args[1].value, a.args[2].value - b.args[2].value
        )
    return a - b


def _is_choice(expr: Expression) -> bool:
    """Whether an expression is one of two numbers that are not 0, by a condition."""
    return expr.op == "where" and all(arg.op == "constant" and arg.value for arg in expr.args[1:])
