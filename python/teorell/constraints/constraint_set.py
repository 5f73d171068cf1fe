"""`ConstraintSet`: what makes a patient physiologically valid, as penalties, rates, projections."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from teorell.arrays import check_flag, is_tensor
from teorell.constraints.declared import Declared
from teorell.constraints.penalty import penalty_of, residuals_of, violations_of
from teorell.constraints.quantities import (
    arrays_of,
    columns_of,
    is_there,
    people_of,
    roundings_of,
    unread_of,
)
from teorell.constraints.rounding import rounding_of
from teorell.constraints.violations import Violations
from teorell.schedule.given_doses import Given

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

    def penalty(
        self, values: Any, *, gradient: bool = False, device: str | None = None, **options: Any
    ) -> Any:
        """(patients,) the sum of all penalties of each patient: 0 where no constraint is violated,
        and no barrier near.

        values: mapping of names to numbers or (patients,) arrays, or a DataFrame, in the units of
            the quantities. Torch tensors give a tensor that torch can differentiate once; a second
            derivative raises NotImplementedError.
        gradient: also return d penalty / d each quantity, name -> (patients,).
        device: as for teorell.simulate; None is where the numbers lie. What is computed on a CUDA
            device stays there, in arrays of the library that the numbers came from.
        options: threads, executor as for teorell.simulate. InputError for names that are unknown or
        missing, and for what is not finite.
        """
        check_flag(gradient, "gradient")
        columns, patients = columns_of(self, values)
        if any(is_tensor(column) for column in columns):
            from teorell.constraints.autograd import penalty

            return penalty(self, columns, device, options)
        if is_there(columns, device):
            from teorell.constraints.on_device import penalty_there

            value, slopes = penalty_there(self, columns, patients, device, options)
        else:
            value, slopes = penalty_of(self, columns, patients, **options)
        return (value, slopes) if gradient else value

    def residuals(
        self, values: Any, *, device: str | None = None, **options: Any
    ) -> dict[str, Any]:
        """name -> (patients,): how far outside each constraint a patient is, in its scale.

        At most 0 inside; of an equality its size; NaN where a quantity is NaN. device: as for
        `penalty`.
        """
        columns, patients = columns_of(self, values, missing=True)
        if is_there(columns, device):
            from teorell.constraints.on_device import residuals_there

            return residuals_there(self, columns, patients, device, options)[0]
        return residuals_of(self, arrays_of(columns), patients, **options)

    def violations(self, values: Any, *, device: str | None = None, **options: Any) -> Violations:
        """How often each constraint is violated, and any of them.

        A residual that is not a number counts as a violation, as that of a patient whom a
        projection did not find or whose simulation failed. Numbers of float32 may miss by what two
        units in their last place make. Ids and covariates of a population, an event table or
        `simulated` stay with the report. device: as for `penalty`: the residuals stay there, and
        who violates what comes to the host.
        """
        columns, patients = columns_of(self, values, missing=True)
        if is_there(columns, device):
            from teorell.constraints.on_device import violations_there

            people = people_of(values)
            return violations_there(self, columns, patients, device, options, people)
        arrays, roundings = arrays_of(columns), roundings_of(self, values)
        rounding = rounding_of(self, arrays, roundings, patients) if any(roundings) else None
        residuals = residuals_of(self, arrays, patients, **options)
        return violations_of(self, residuals, rounding, people_of(values))

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
        those of teorell.simulate after the model; on a device the gradient lies there.
        """
        from teorell.constraints.trajectory import value_and_grad

        return value_and_grad(self, parameters, regimen, times, options)

    def project(self, values: Any, *, device: str | None = None, **options: Any) -> Projection:
        """The nearest patients that satisfy all constraints, with what else was given of them.

        values: as for `penalty`; torch tensors give tensors, which torch can differentiate once, by
            scales too that are tensors. Of float32 they satisfy the bounds in float32.
        device: as for `penalty`: the values stay there, while distances, steps, and what holds each
            patient come to the host. There tensors alone have derivatives, to rounding.
        options: those of teorell.constraints.projection.project, which says more.
        """
        from teorell.constraints.nearest import scales_by_name
        from teorell.constraints.projection import project

        columns, patients = columns_of(self, values)
        scale = scales_by_name(options.pop("scale", None))
        unread = unread_of(self, values, patients)
        every = (*columns, *unread.values(), *scale.values())
        if any(map(is_tensor, every)):
            from teorell.constraints.autograd_projection import project_tensors

            return project_tensors(self, columns, unread, scale, device, options)
        if is_there(every, device):
            from teorell.constraints.projection_on_device import project_there

            found, _ = project_there(self, columns, unread, scale, device, **options)
            return replace(found, people=people_of(values))
        return project(self, values, scale=scale, **options)
