"""Constraints as they are declared: quantities, equalities, bounds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from teorell.constraints.constraint import Constraint, difference, sized
from teorell.errors import InputError, suggestion
from teorell.model import Model
from teorell.model.expression import Expression, constant, leaves, symbol
from teorell.simulation.reductions import Reduction

if TYPE_CHECKING:
    from teorell.lowering.columns import ColumnProgram

__all__ = ["Declared"]

D = TypeVar("D", bound="Declared")
SLACK = 1e-9  # what a bound may be exceeded by, in scales, before it counts as violated


class Declared:
    """What a ConstraintSet says; see there."""

    def __init__(self, name: str = "constraints", model: Model | None = None) -> None:
        self.name = name
        self._model = model
        self._units: dict[str, str] = {}
        self._fixed: frozenset[str] = frozenset()
        self._reductions: dict[str, Reduction] = {}
        self._constraints: dict[str, Constraint] = {}
        self._programs: dict[object, ColumnProgram] = {}
        self._inputs: tuple[str, ...] | None = None

    def quantity(self, name: str, unit: str = "", fixed: bool = False) -> Expression:
        """A number of each patient, to be given by this name. fixed: a projection never moves it.

        InputError if there is one of the name.
        """
        if not isinstance(name, str) or not name.strip():
            raise InputError(
                f"the name of a quantity is {name!r} (numbers are given by it). Give a text."
            )
        if name in self._known():
            raise InputError(
                f"quantity {name!r} is declared twice (in {self.name!r}). Use the first one."
            )
        self._units[name] = unit
        self._fixed |= {name} if fixed else set()
        return symbol("parameter", name)

    def quantities(self, *names: str, unit: str = "") -> tuple[Expression, ...]:
        """Several of one unit."""
        return tuple(self.quantity(name, unit) for name in names)

    def reduction(self, one: Reduction) -> Expression:
        """A number that sums up a curve, such as teorell.Cmax("cp", end=24.0), as a quantity: its
        name is that in Solution.reductions. InputError for what has no output, or without a model.
        """
        if not isinstance(one, Reduction):
            raise TypeError(
                f"a reduction is a {type(one).__name__} (what sums up a curve?). Give "
                "teorell.Cmax('cp')."
            )
        if self._model is None or not one.output:
            raise InputError(
                f"a reduction {one.word} of {self.name!r} needs a model and an output (a curve of "
                "what?). Give ConstraintSet a model, and name the output."
            )
        name = one.name or f"{one.word}_{one.output}"
        quantity = self.quantity(name)
        self._reductions[name] = one
        return quantity

    def equal(
        self,
        name: str,
        left: Any,
        right: Any,
        *,
        tolerance: float = 1e-3,
        scale: Any = None,
        weight: float = 1.0,
        group: str = "",
        source: str = "",
    ) -> None:
        """left = right: violated where they differ by more than tolerance * scale.

        scale: positive; None is the size of `right`, 1 where that is 0.
        """
        value, target = self._expression(name, left), self._expression(name, right)
        size = sized(target) if scale is None else self._scale(name, scale)
        self._add(
            Constraint(
                name=name,
                value=value,
                lower=target,
                upper=target,
                scale=size,
                tolerance=tolerance,
                weight=weight,
                group=group,
                source=source,
            )
        )

    def between(
        self,
        name: str,
        value: Any,
        lower: Any,
        upper: Any,
        *,
        scale: Any = None,
        tolerance: float = SLACK,
        weight: float = 1.0,
        group: str = "",
        unit: str = "",
        barrier: float = 0.0,
        source: str = "",
    ) -> None:
        """lower <= value <= upper; either may be None, a number or an expression.

        scale: positive, in which residuals and penalties are told; None is the width, or the size
        of the only bound (1 for
        the number 0). barrier: how far inside a bound the penalty starts, in scales.
        """
        low, high = (
            None if bound is None else self._expression(name, bound) for bound in (lower, upper)
        )
        if low is None and high is None:
            raise InputError(
                f"constraint {name!r} has no bound (nothing is demanded). Give lower or upper."
            )
        if (
            low is not None
            and high is not None
            and low.op == high.op == "constant"
            and not low.value < high.value
        ):
            raise InputError(
                f"constraint {name!r} goes from {low.value:g} to {high.value:g} (no patient can "
                "satisfy it). Give an upper bound above the lower one, or use equal."
            )
        size = sized(_width(low, high)) if scale is None else self._scale(name, scale)
        expr = self._expression(name, value)
        self._add(
            Constraint(
                name=name,
                value=expr,
                lower=low,
                upper=high,
                scale=size,
                tolerance=tolerance,
                weight=weight,
                group=group,
                unit=unit,
                barrier=barrier,
                source=source,
            )
        )

    def at_least(self, name: str, value: Any, lower: Any, **more: Any) -> None:
        """value >= lower; see `between`."""
        self.between(name, value, lower, None, **more)

    def at_most(self, name: str, value: Any, upper: Any, **more: Any) -> None:
        """value <= upper; see `between`."""
        self.between(name, value, None, upper, **more)

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        return tuple(self._constraints.values())

    @property
    def reductions(self) -> tuple[Reduction, ...]:
        return tuple(self._reductions.values())

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the quantities that constraints read, in their order."""
        if self._inputs is None:
            read = {
                leaf.name
                for each in self.constraints
                for side in each.sides
                for leaf in leaves(side.residual)
            }
            self._inputs = tuple(name for name in self._known() if name in read)
        return self._inputs

    def only(self: D, groups: Iterable[str] | str) -> D:
        """The constraints of some groups, as a set of its own.

        InputError for a group that is not there.
        """
        wanted = (groups,) if isinstance(groups, str) else tuple(groups)
        known = {each.group for each in self.constraints}
        for group in wanted:
            if group not in known:
                raise InputError(
                    f"unknown group {group!r} (of {self.name!r}). {suggestion(group, known)}"
                )
        return self._of([each.name for each in self.constraints if each.group in wanted])

    def _of(self: D, names: Iterable[str]) -> D:
        """A set of the same kind with some of the constraints."""
        result = type(self)(self.name, self._model)
        result._units, result._fixed = dict(self._units), self._fixed
        result._reductions = dict(self._reductions)
        result._constraints = {name: self._constraints[name] for name in names}
        return result

    def describe(self) -> str:
        """The constraints, a line each: name, group, what it demands, its source."""
        width = max((len(each.name) for each in self.constraints), default=0)
        lines = [
            f"{each.name:{width}}  {each.demand}" + (f"  [{each.source}]" if each.source else "")
            for each in self.constraints
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        equalities = sum(each.equality for each in self.constraints)
        return (
            f"<ConstraintSet {self.name!r}: {equalities} equalities, "
            f"{len(self.constraints) - equalities} bounds of {len(self.inputs)} quantities>"
        )

    def _known(self) -> tuple[str, ...]:
        return (*(() if self._model is None else self._model.parameter_names), *self._units)

    def _expression(self, name: str, given: Any) -> Expression:
        """A number or expression, whose quantities are known."""
        if isinstance(given, Expression):
            expr = given
        elif isinstance(given, int | float) and not isinstance(given, bool):
            if not math.isfinite(given):
                raise InputError(
                    f"constraint {name!r} has {given} (a finite number is needed). For no bound "
                    "give None."
                )
            expr = constant(float(given))
        else:
            raise InputError(
                f"constraint {name!r} is of a {type(given).__name__} (expressions of quantities "
                "are needed). Declare the quantities, and write a formula of them."
            )
        known = self._known()
        for leaf in sorted(leaves(expr), key=lambda leaf: leaf.name):
            if leaf.op != "parameter" or leaf.name not in known:
                raise InputError(
                    f"constraint {name!r} reads {leaf.name or leaf.op!r} (no quantity of "
                    f"{self.name!r}). {suggestion(leaf.name or leaf.op, known)}"
                )
        return expr

    def _scale(self, name: str, given: Any) -> Expression:
        """A scale that the user gave. InputError for a number that is not positive."""
        expr = self._expression(name, given)
        if expr.op == "constant" and expr.value <= 0.0:
            raise InputError(
                f"constraint {name!r} has the scale {given} (residuals are told in it). Give a "
                "positive one."
            )
        return sized(expr)

    def _add(self, constraint: Constraint) -> None:
        name = constraint.name
        if name in self._constraints or name == "any":
            raise InputError(
                f"constraint {name!r} is declared twice, or called 'any' (reports name each). "
                "Rename it."
            )
        for what, number in (
            ("tolerance", constraint.tolerance),
            ("weight", constraint.weight),
            ("barrier", constraint.barrier),
        ):
            if not (isinstance(number, int | float) and math.isfinite(number) and number >= 0.0):
                raise InputError(
                    f"constraint {name!r} has the {what} {number!r} (not a number of 0 or more). "
                    "Give one."
                )
        self._constraints[name] = constraint
        self._programs.clear()
        self._inputs = None


def _width(low: Expression | None, high: Expression | None) -> Expression:
    """What the scale of bounds is the size of: their distance, or the only one."""
    if low is not None and high is not None:
        return difference(high, low)
    bound = low if high is None else high
    assert bound is not None
    return bound
