"""What the core returned, with the names and units of a problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from teorell.arrays import Array, is_on_device
from teorell.engine.batch import SLIDING
from teorell.model import Model
from teorell.model.expression import to_text
from teorell.results.gradient import DoseGradient, Gradient
from teorell.results.solution import Solution
from teorell.schedule.covariates import Stepwise
from teorell.schedule.dose_columns import DoseColumns
from teorell.schedule.record_times import RecordTimes
from teorell.schedule.regimen import Regimen
from teorell.simulation.inputs import Input, given_fields, lines_of
from teorell.simulation.problem import Problem

if TYPE_CHECKING:
    from teorell.engine.batch import Raw, RawGradient

__all__ = ["gradient_of", "labelled"]


def labelled(
    problem: Problem,
    raw: Raw,
    values: Any = None,
    arrays: Sequence[Array] = (),
    reduced: Any = None,
) -> Solution:
    """The Solution of a problem from what the core returned.

    values, reduced, arrays: values and reductions as tensors, and what the core read of each input,
    where some were given. Reductions may come by name, too.
    """
    model, outputs, at = problem.model, problem.outputs, problem.times
    given: dict[str, Array | Stepwise] = dict(problem.columns.as_given)
    for entry, array in zip(problem.inputs, arrays, strict=False):
        if entry.kind == "parameter":
            given[entry.name] = array
    own = problem.own_rows
    found = raw.reduced if reduced is None else reduced
    if not isinstance(found, Mapping):
        found = problem.reductions.labelled(found)
    return Solution(
        values=raw.values if values is None else values,
        times=at.array if isinstance(at, RecordTimes) else at,
        outputs=outputs,
        **raw.went,
        model=model.name,
        time_unit=model.time_unit,
        conditions=_conditions(problem, raw),
        units=tuple(model.output_unit(name) for name in outputs),
        parameters={**given, **problem.columns.steps},
        offsets=None if own is None else own.offsets,
        reductions=found,
        reduction_units=problem.reductions.units(model),
        infusions=raw.infusions,
        people=problem.columns.people,
    )


def gradient_of(problem: Problem, gradients: Sequence[Array], raw: RawGradient) -> Gradient:
    """The Gradient of a problem from the derivatives by its inputs and what the core returned."""
    model, lines = problem.model, lines_of(problem.regimen)
    by_input = dict(zip(problem.inputs, gradients, strict=True))
    doses: tuple[DoseGradient, ...] | None = None
    if isinstance(problem.regimen, DoseColumns):
        columns = {
            entry.name: problem.regimen.as_given(each)
            for entry, each in by_input.items()
            if entry.kind == "dose"
        }
        doses = (DoseGradient("", **columns),)
    elif isinstance(problem.regimen, Regimen | None):
        fields: list[dict[str, Any]] = [
            {"amount": None}
            | {name: by_input[Input("dose", name, k)] for name in given_fields(line)}
            for k, line in enumerate(lines)
        ]
        doses = tuple(
            DoseGradient(line.into, **each) for line, each in zip(lines, fields, strict=True)
        )
    return Gradient(
        parameters=_with_vectors(
            model,
            {entry.name: each for entry, each in by_input.items() if entry.kind == "parameter"},
        ),
        initial={name: raw.initial[:, k] for k, name in enumerate(model.state_names)},
        **raw.went,
        model=model.name,
        time_unit=model.time_unit,
        conditions=_conditions(problem, raw),
        given=problem.columns.as_given,
        of_doses=doses,
        people=problem.columns.people,
    )


def _conditions(problem: Problem, raw: Raw) -> tuple[str, ...]:
    """The conditions on states as the model says them, where a patient failed at one."""
    if not (raw.status == SLIDING).any():
        return ()
    from teorell.lowering.assemble import surfaces_of

    found = surfaces_of(problem.model, problem.columns.steps, problem.reductions.located)
    return tuple(to_text(surface.condition, limit=200) for surface in found)


def _with_vectors(model: Model, by_name: Mapping[str, Array]) -> dict[str, Array]:
    """Gradients by name, those of the elements of a vector as one array, (..., elements)."""
    result = dict(by_name)
    for name, elements in model.parameter_vectors.items():
        if all(each in result for each in elements):
            columns: list[Any] = [result.pop(each) for each in elements]
            there = any(map(is_on_device, columns))
            result[name] = _stacked_there(columns) if there else np.stack(columns, axis=-1)
    return result


def _stacked_there(columns: Sequence[Any]) -> Any:
    from teorell.device.placed import stacked

    return stacked(columns)
