"""Penalties and residuals of declared constraints: column programs, compiled once for a set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from teorell.arrays import Array, is_tensor
from teorell.constraints.constraint import Constraint, Side
from teorell.constraints.declared import Declared
from teorell.constraints.violations import Violations
from teorell.model.expression import Expression, leaves
from teorell.patients import Patients

if TYPE_CHECKING:
    from teorell.lowering.builder import Builder
    from teorell.lowering.columns import ColumnProgram, Term

__all__ = ["penalty_of", "penalty_program", "program_of", "residuals_of", "violations_of"]


def penalty_of(
    declared: Declared, columns: Sequence[Array], patients: int, **options: Any
) -> tuple[Array, dict[str, Array]]:
    """(patients,) the penalty of columns in the order of inputs, and its slope by each quantity.

    options: threads, executor as for teorell.simulate.
    """
    from teorell.engine.columns import run_columns

    result = run_columns(penalty_program(declared), columns, patients, **options)
    return result[0], dict(zip(declared.inputs, result[1:], strict=True))


def residuals_of(
    declared: Declared, columns: Sequence[Array], patients: int, **options: Any
) -> dict[str, Array]:
    """name -> (patients,): how far outside a patient is; see ConstraintSet.residuals.

    options: threads, executor as for teorell.simulate. NaN where a quantity that is read is NaN.
    """
    from teorell.engine.columns import run_columns

    sides = [(each.name, side) for each in declared.constraints for side in each.sides]
    # what is violated has no derivative
    given: list[Any] = list(columns)
    columns = [np.asarray(x.detach() if is_tensor(x) else x, np.float64) for x in given]
    rows = program_of(declared, "residuals", [side.residual for _, side in sides])
    absent = {
        name: np.isnan(column)
        for name, column in zip(declared.inputs, columns, strict=True)
        if np.isnan(column).any()
    }
    result: dict[str, Array] = {}
    found = run_columns(rows, columns, patients, **options)
    for (name, side), row in zip(sides, found, strict=True):
        size = np.abs(row) if side.equality else row
        for leaf in leaves(side.residual) if absent else ():  # max(NaN, 0) is a number
            size = np.where(absent.get(leaf.name, False), np.nan, size)
        result[name] = np.maximum(result[name], size) if name in result else size
    return result


def violations_of(
    declared: Declared,
    residuals: Mapping[str, Array],
    rounding: Mapping[str, Array] | None = None,
    people: Patients | None = None,
) -> Violations:
    """Who violates which constraint, from residuals by name.

    rounding: name -> what the type of the numbers alone may add to a residual. people: who the
    patients are, where it was told.
    """
    every, extra = declared.constraints, rounding or {}
    violated = {
        each.name: ~(residuals[each.name] <= each.tolerance + extra.get(each.name, 0.0))
        for each in every
    }
    return Violations(residuals, violated, {each.name: each.group for each in every}, people)


def penalty_program(declared: Declared) -> ColumnProgram:
    """The sum of all penalties, and its slope by each input."""
    # not at the top: `import teorell` needs no lowering
    from teorell.lowering.columns import lower_sum

    if "penalty" not in declared._programs:
        terms = [
            (side.residual, term(each, side))
            for each in declared.constraints
            for side in each.sides
        ]
        declared._programs["penalty"] = lower_sum(terms, declared.inputs)
    return declared._programs["penalty"]


def program_of(declared: Declared, key: object, exprs: Sequence[Expression]) -> ColumnProgram:
    """The program of some expressions of the inputs; a key names these expressions for ever."""
    from teorell.lowering.columns import lower_columns

    if key not in declared._programs:
        declared._programs[key] = lower_columns(exprs, declared.inputs)
    return declared._programs[key]


def term(constraint: Constraint, side: Side) -> Term:
    """The penalty of a side as instructions, with its slope.

    The slope is 2 weight h h', which needs no condition where h is 0.
    """

    # not at the top: `import teorell` needs no lowering
    from teorell.lowering.program import Op

    def emit(b: Builder, r: int) -> tuple[int, int]:
        zero, weight = b.constant(0.0), b.constant(constraint.weight)
        h, slope = r, b.one
        if constraint.barrier and not side.equality:
            edge, quarter = b.constant(constraint.barrier), b.constant(0.25 / constraint.barrier)
            inside = b.op(Op.MAX, b.add(r, edge), zero)
            near = b.op(Op.LT, r, edge)
            h = b.select(near, b.mul(b.mul(inside, inside), quarter), r)
            slope = b.select(near, b.mul(inside, b.add(quarter, quarter)), b.one)
        elif not side.equality:
            h = b.op(Op.MAX, r, zero)
        weighted = b.mul(weight, h)
        return b.mul(weighted, h), b.mul(b.add(weighted, weighted), slope)

    return emit
