"""Everything that the user gave, checked once, as a Problem."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from teorell.errors import InputError
from teorell.model import Model
from teorell.progress import Progress
from teorell.schedule.record_times import sample_times
from teorell.schedule.regimen import Given
from teorell.simulation.inputs import inputs_of
from teorell.simulation.parameters import parameter_columns
from teorell.simulation.problem import Problem, patient_count
from teorell.simulation.reductions import reductions_of
from teorell.simulation.settings import chosen_outputs, solver_options

__all__ = ["problem_of"]

STARTS = ("initial", "equilibrium")


def problem_of(
    model: Model,
    parameters: object = None,
    regimen: Given = None,
    times: object = None,
    outputs: Sequence[str] | str | None = None,
    *,
    progress: bool | Progress | None = None,
    start: str = "initial",
    reductions: object = None,
    **options: Any,
) -> Problem:
    """The problem that `simulate` is asked to solve, as a function of all numbers that were given.

    Arguments, options and errors are those of teorell.simulate. Parameters and the numbers of a
    regimen may be torch tensors: their values are not looked at, and `given` has them as they are.
    """
    if not isinstance(model, Model):
        raise TypeError(
            f"model is a {type(model).__name__} (equations are needed). Give a teorell.Model."
        )
    if not model.state_names:
        raise InputError(
            f"model {model.name!r} has no states (there is nothing to solve). Declare them with "
            "model.states."
        )
    columns = parameter_columns(model, parameters)
    at = np.zeros(0) if times is None and reductions else sample_times(times)
    reduced = reductions_of(model, reductions, outputs, at)
    patient_count(columns, regimen, at, model, reduced)
    chosen = () if times is None and outputs is None else chosen_outputs(model, outputs)
    checked = solver_options(model, progress=progress, **options)
    if start not in STARTS:
        raise InputError(
            f"unknown start {start!r} (where do patients begin?). Choose from {', '.join(STARTS)}."
        )
    return Problem(
        model=model,
        columns=columns,
        regimen=regimen,
        times=at,
        outputs=chosen,
        options=checked,
        progress=progress,
        inputs=tuple(inputs_of(columns, regimen)),
        equilibrium=start == "equilibrium",
        reductions=reduced,
        content=model.content(),
    )
