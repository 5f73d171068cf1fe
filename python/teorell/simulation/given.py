"""Everything that the user gave, checked once, as a Problem."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from teorell.errors import InputError, InputWarning
from teorell.model import Model
from teorell.model.expression import leaves
from teorell.progress import Progress
from teorell.schedule.event_table import EventTable
from teorell.schedule.given_doses import Given, dosed_states
from teorell.schedule.record_times import sample_times
from teorell.simulation.inputs import inputs_of
from teorell.simulation.parameters import parameter_columns
from teorell.simulation.problem import Problem
from teorell.simulation.problem_inputs import patient_count
from teorell.simulation.reductions import reductions_of
from teorell.simulation.settings import check_options, chosen_outputs, solver_options

__all__ = ["from_table", "problem_of"]

STARTS = ("initial", "equilibrium")


def from_table(parameters: Any, regimen: Any, times: Any) -> tuple[Any, Any, Any]:
    """Parameters, doses and times of an EventTable in place of the parameters; else as they are.

    InputError where doses or times are given beside a table, or a table in their place.
    """
    for name, one in (("regimen", regimen), ("times", times)):
        if isinstance(one, EventTable):
            raise InputError(
                f"{name} is an event table (it has parameters, doses and times). Give it alone, in "
                f"place of the parameters, or events.{name}."
            )
        if isinstance(parameters, EventTable) and one is not None:
            raise InputError(
                f"{name} beside an event table (which has its own; which is meant?). Give the "
                "table alone, or events.parameters, events.regimen and events.times."
            )
    if not isinstance(parameters, EventTable):
        return parameters, regimen, times
    return parameters.parameters, parameters.regimen, parameters.times


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
    check_options(options)
    if not model.state_names:
        raise InputError(
            f"model {model.name!r} has no states (there is nothing to solve). Declare them with "
            "model.states."
        )
    parameters, regimen, times = from_table(parameters, regimen, times)
    columns = parameter_columns(model, parameters)
    at = np.zeros(0) if times is None and reductions else sample_times(times)
    reduced = reductions_of(model, reductions, outputs, at)
    patient_count(columns, regimen, at, model, reduced)
    chosen = () if times is None and outputs is None else chosen_outputs(model, outputs)
    _warn_of_times_after_no_dose(model, regimen, chosen)
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


def _warn_of_times_after_no_dose(model: Model, regimen: Given, outputs: Sequence[str]) -> None:
    """InputWarning where times after doses are read, and all doses go into other states."""
    known = model.outputs()
    exprs = [*model.derivatives().values(), *(known[name] for name in outputs)]
    read = {leaf.name for expr in exprs for leaf in leaves(expr) if leaf.op == "after_dose"}
    dosed = dosed_states(regimen) if read else set()
    if dosed and read.isdisjoint(dosed):
        awaited, given = (", ".join(map(repr, sorted(names))) for names in (read, dosed))
        warnings.warn(
            f"the time after doses into {awaited} never starts (model {model.name!r} reads it, and "
            f"all doses go into {given}). Read the time after doses into a state that is dosed.",
            InputWarning,
            stacklevel=5,
        )
