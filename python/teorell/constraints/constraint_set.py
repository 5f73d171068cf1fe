"""`ConstraintSet`: what makes a patient physiologically valid, as penalties, rates, projections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from teorell.arrays import Array, is_tensor
from teorell.constraints.declared import Declared
from teorell.constraints.penalty import penalty_of, penalty_program, residuals_of, violations_of
from teorell.constraints.quantities import columns_of
from teorell.constraints.violations import Violations
from teorell.schedule.regimen import Given

if TYPE_CHECKING:
    from teorell.constraints.projection import Projection
    from teorell.results.gradient import Gradient

__all__ = ["ConstraintSet"]


class ConstraintSet(Declared):
    """Constraints on named quantities of a patient: equalities with a tolerance, and bounds.

    name: for messages. model: its parameters are quantities too, in their units; those that are not
        given take their default, as in teorell.simulate.

    >>> c = ConstraintSet("adults")
    >>> weight, height = c.quantities("weight", "height")
    >>> c.between("BMI", weight / height**2, 18.5, 45.0)
    """

    def penalty(self, values: Any, *, gradient: bool = False, **options: Any) -> Any:
        """(patients,) the sum of all penalties of each patient: 0 where no constraint is violated,
        and no barrier near.

        values: mapping of names to numbers or (patients,) arrays, or a DataFrame, in the units of
            the quantities. Torch tensors give a tensor that torch can differentiate, once.
        gradient: also return d penalty / d each quantity, name -> (patients,).
        options: threads, executor as for teorell.simulate. InputError for names that are unknown or
        missing, and for what is not finite.
        """
        columns, patients = columns_of(self, values)
        if any(is_tensor(column) for column in columns):
            from teorell.constraints.autograd import penalty

            return penalty(penalty_program(self), columns, patients, options)
        value, slopes = penalty_of(self, columns, patients, **options)
        return (value, slopes) if gradient else value

    def residuals(self, values: Any, **options: Any) -> dict[str, Array]:
        """name -> (patients,): how far outside each constraint a patient is, in its scale.

        At most 0 inside; of an equality its size.
        """
        columns, patients = columns_of(self, values)
        return residuals_of(self, columns, patients, **options)

    def violations(self, values: Any, **options: Any) -> Violations:
        """How often each constraint is violated, and any of them.

        A residual that is not a number counts as a violation.
        """
        return violations_of(self, self.residuals(values, **options))

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
        """The nearest patients that satisfy all constraints.

        values: as for `penalty`; torch tensors give tensors, which torch can differentiate once.
        options: those of teorell.constraints.projection.project, which says more.
        """
        from teorell.constraints.projection import project

        columns, _ = columns_of(self, values)
        if any(is_tensor(column) for column in columns):
            from teorell.constraints.autograd import project_tensors

            names = self.inputs
            return project_tensors(lambda given: project(self, given, **options), names, columns)
        return project(self, values, **options)
