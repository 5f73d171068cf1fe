"""`ConstraintSet`: what makes a patient physiologically valid, as penalties, violation rates, and a
projection.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from teorell.constraints.constraint import Constraint, difference
from teorell.constraints.violations import Violations
from teorell.errors import InputError, suggestion
from teorell.expression import Expression, constant, leaves, symbol
from teorell.expression import abs as size_of
from teorell.model import Model
from teorell.parameters import Array, agree, is_tensor, numbers_or_tensor
from teorell.reductions import Reduction
from teorell.regimen import Given

if TYPE_CHECKING:
    from teorell.constraints.projection import Projection
    from teorell.gradient import Gradient
    from teorell.lowering.columns import ColumnProgram

__all__ = ["ConstraintSet"]

SLACK = 1e-9  # what a bound may be exceeded by, in scales, before it counts as violated


class ConstraintSet:
    """Constraints on named quantities of a patient: equalities with a tolerance, and bounds.

    name: for messages. model: its parameters are quantities too, in their units; those that are not
        given take their default, as in teorell.simulate.

    >>> c = ConstraintSet("adults")
    >>> weight, height = c.quantities("weight", "height")
    >>> c.between("BMI", weight / height**2, 18.5, 45.0)
    """

    def __init__(self, name: str = "constraints", model: Model | None = None) -> None:
        self.name = name
        self._model = model
        self._units: dict[str, str] = {}
        self._fixed: frozenset[str] = frozenset()
        self._reductions: dict[str, Reduction] = {}
        self._constraints: dict[str, Constraint] = {}
        self._programs: dict[object, ColumnProgram] = {}
        self._inputs: tuple[str, ...] | None = None

    # --- declaring

    def quantity(self, name: str, unit: str = "", fixed: bool = False) -> Expression:
        """A number of each patient, to be given by this name. fixed: a projection never moves it.

        InputError if there is one of the name.
        """
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

        scale: None is the size of `right`.
        """
        value, target = self._expression(name, left), self._expression(name, right)
        size = _size(target) if scale is None else self._expression(name, scale)
        self._add(
            Constraint(name, value, target, target, size, tolerance, weight, group, "", 0.0, source)
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
        size = _width(low, high) if scale is None else self._expression(name, scale)
        expr = self._expression(name, value)
        self._add(
            Constraint(name, expr, low, high, size, tolerance, weight, group, unit, barrier, source)
        )

    def at_least(self, name: str, value: Any, lower: Any, **more: Any) -> None:
        """value >= lower; see `between`."""
        self.between(name, value, lower, None, **more)

    def at_most(self, name: str, value: Any, upper: Any, **more: Any) -> None:
        """value <= upper; see `between`."""
        self.between(name, value, None, upper, **more)

    # --- what there is

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

    def only(self, groups: Iterable[str] | str) -> ConstraintSet:
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

    def _of(self, names: Iterable[str]) -> ConstraintSet:
        result = ConstraintSet(self.name, self._model)
        result._units, result._fixed, result._reductions = (
            dict(self._units),
            self._fixed,
            dict(self._reductions),
        )
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

    # --- using them

    def penalty(self, values: Any, *, gradient: bool = False, **options: Any) -> Any:
        """(patients,) the sum of all penalties of each patient: 0 where no constraint is violated,
        and no barrier near.

        values: mapping of names to numbers or (patients,) arrays, or a DataFrame, in the units of
            the quantities. Torch tensors give a tensor that torch can differentiate, once.
        gradient: also return d penalty / d each quantity, name -> (patients,).
        options: threads, executor as for teorell.simulate. InputError for names that are unknown or
        missing, and for what is not finite.
        """
        columns, patients = self._columns(values)
        if any(is_tensor(column) for column in columns):
            from teorell.constraints.autograd import penalty

            return penalty(self._penalty_program(), columns, patients, options)
        from teorell.column_code import run_columns

        result = run_columns(self._penalty_program(), columns, patients, **options)
        return (
            (result[0], dict(zip(self.inputs, result[1:], strict=True))) if gradient else result[0]
        )

    def residuals(self, values: Any, **options: Any) -> dict[str, Array]:
        """name -> (patients,): how far outside each constraint a patient is, in its scale.

        At most 0 inside; of an equality its size.
        """
        from teorell.column_code import run_columns

        columns, patients = self._columns(values)
        sides = [(each.name, side) for each in self.constraints for side in each.sides]
        found = run_columns(
            self._program("residuals", [s.residual for _, s in sides]), columns, patients, **options
        )
        result: dict[str, Array] = {}
        for (name, side), row in zip(sides, found, strict=True):
            size = np.abs(row) if side.equality else row
            result[name] = np.maximum(result[name], size) if name in result else size
        return result

    def violations(self, values: Any, **options: Any) -> Violations:
        """How often each constraint is violated, and any of them.

        A residual that is not a number counts as a violation.
        """
        residuals = self.residuals(values, **options)
        violated = {
            each.name: ~(residuals[each.name] <= each.tolerance) for each in self.constraints
        }
        return Violations(residuals, violated, {each.name: each.group for each in self.constraints})

    def simulated(
        self, parameters: Any = None, regimen: Given = None, times: Any = None, **options: Any
    ) -> dict[str, Any]:
        """Everything that the constraints read of a simulation, for `violations`: name -> () or
        (patients,).

        Arguments are those of teorell.simulate after the model. A patient whose simulation failed
        has NaN, which violates.
        """
        from teorell.constraints.trajectory import simulated

        found: dict[str, Any] = simulated(self, parameters, regimen, times, options)
        return found

    def value_and_grad(
        self, parameters: Any = None, regimen: Given = None, times: Any = None, **options: Any
    ) -> tuple[float, Gradient]:
        """The sum of the penalties of all patients of a simulation, and its gradient by parameters
        and doses.

        One adjoint serves all constraints. Patients that failed count for nothing. Arguments are
        those of teorell.simulate after the model.
        """
        from teorell.constraints.trajectory import value_and_grad

        return value_and_grad(self, parameters, regimen, times, options)

    def project(self, values: Any, **options: Any) -> Projection:
        """The nearest patients that satisfy all constraints; see
        teorell.constraints.projection.project.
        """
        from teorell.constraints.projection import project

        return project(self, values, **options)

    # --- within

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

    def _columns(self, values: Any) -> tuple[list[Any], int]:
        """One column a quantity that is read, () or (patients,), and the number of patients."""
        if not self._constraints:
            raise InputError(
                f"{self.name!r} has no constraints (there is nothing to check). Declare some."
            )
        given = getattr(values, "parameters", values)
        try:
            names = [str(name) for name in given.keys()]  # noqa: SIM118, a DataFrame iterates over its columns too
        except AttributeError:
            raise InputError(
                f"values are a {type(values).__name__} (each number has a name). Give a mapping or "
                "a DataFrame."
            ) from None
        defaults = {} if self._model is None else dict(
            zip(self._model.parameter_names, self._model.parameter_defaults, strict=True)
        )  # fmt: skip
        known = self._known()
        for name in names:
            if name not in known:
                raise InputError(
                    f"unknown quantity {name!r} (of {self.name!r}). {suggestion(name, known)}"
                )
        columns = []
        for name in self.inputs:
            if name not in names and name not in defaults:
                raise InputError(
                    f"quantity {name!r} is missing (constraints of {self.name!r} read it). Give a "
                    "value."
                )
            value = given[name] if name in names else defaults[name]
            failed = name in self._reductions  # NaN is what a failed simulation has
            columns.append(
                np.asarray(value, np.float64)
                if failed
                else numbers_or_tensor(value, f"quantity {name!r}")
            )
        sizes = [
            (f"quantity {n!r}", int(c.shape[0]))
            for n, c in zip(self.inputs, columns, strict=True)
            if c.ndim
        ]
        return columns, agree(sizes) or 1

    def _penalty(
        self, values: Mapping[str, Array], patients: int
    ) -> tuple[Array, dict[str, Array]]:
        """Penalty and gradient of checked columns."""
        from teorell.column_code import run_columns

        result = run_columns(
            self._penalty_program(), [values[name] for name in self.inputs], patients
        )
        return result[0], dict(zip(self.inputs, result[1:], strict=True))

    def _penalty_program(self) -> ColumnProgram:
        # not at the top: `import teorell` needs no lowering
        from teorell.lowering.columns import lower_sum

        if "penalty" not in self._programs:
            terms = [
                (side.residual, each.term(side)) for each in self.constraints for side in each.sides
            ]
            self._programs["penalty"] = lower_sum(terms, self.inputs)
        return self._programs["penalty"]

    def _program(self, key: object, exprs: Sequence[Expression]) -> ColumnProgram:
        from teorell.lowering.columns import lower_columns

        if key not in self._programs:
            self._programs[key] = lower_columns(exprs, self.inputs)
        return self._programs[key]


def _width(low: Expression | None, high: Expression | None) -> Expression:
    """The scale of bounds: their distance, or the size of the only one."""
    if low is not None and high is not None:
        return difference(high, low)
    bound = low if high is None else high
    assert bound is not None
    return _size(bound)


def _size(bound: Expression) -> Expression:
    return constant(abs(bound.value) or 1.0) if bound.op == "constant" else size_of(bound)
