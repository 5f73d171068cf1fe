"""When the conditions on time in a model change, for each patient, and how that moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from teorell.arrays import Array
from teorell.errors import InputError, count
from teorell.model.declarations import LONG_AGO
from teorell.model.expression import Expression, derivative, evaluate, leaves, symbol
from teorell.schedule.switch_rows import SwitchTimes

if TYPE_CHECKING:
    from teorell.lowering import Programs

__all__ = ["arrival_columns", "arrival_numbers", "slopes_of", "switch_times"]


def arrival_columns(programs: Programs) -> tuple[Array, ...]:
    """The columns of the parameters that follow those of the model: no dose has come in."""
    return tuple(np.full((), -LONG_AGO) for _ in programs.arrivals)


def arrival_numbers(programs: Programs) -> dict[str, int]:
    """State -> the number of the parameter that holds its last arrival, for those that have one."""
    first = len(programs.parameter_names) - len(programs.arrivals)
    return {name: first + k for k, name in enumerate(programs.arrivals)}


def switch_times(
    programs: Programs, columns: Sequence[Array], model: str
) -> tuple[SwitchTimes, ...]:
    """When the conditions on time change.

    columns: of all parameters of the programs. InputError where a change is not a number.
    """
    values = dict(zip(_symbols(programs), columns, strict=True))
    found = []
    for switch in programs.switches:
        threshold: Array = np.asarray(evaluate(switch.threshold, values), dtype=np.float64)
        undefined_at = np.flatnonzero(np.isnan(threshold))
        if undefined_at.size:
            raise InputError(
                f"a condition on time in model {model!r} changes at {switch.threshold!r} (not "
                f"a number for {count(undefined_at.size, 'patient')}, the first is patient "
                f"{undefined_at[0]}). Check the parameters in it."
            )
        arrivals = _arrivals_in(programs, switch.threshold)
        if not arrivals:
            found.append(SwitchTimes(threshold, switch.before, switch.after))
            continue
        if len(arrivals) > 1:
            raise InputError(
                f"a condition in model {model!r} is on the times after doses into several states "
                f"({', '.join(repr(leaf.name) for leaf in arrivals)}: which dose would it wait "
                "for?). Write one condition for each, joined by & or |."
            )
        arrival = arrivals[0]
        found.append(
            SwitchTimes(
                threshold,
                switch.before,
                switch.after,
                parameter=programs.parameter_names.index(arrival.name),
                offset=np.asarray(evaluate(switch.threshold, {**values, arrival: 0.0})),
                slope=float(evaluate(derivative(switch.threshold, arrival), values)),
            )
        )
    return tuple(found)


def slopes_of(programs: Programs, columns: Sequence[Array]) -> list[dict[str, Array]]:
    """For each condition: parameter of the model -> d (time of change) / d parameter, () or
    (patients,).
    """
    values = dict(zip(_symbols(programs), columns, strict=True))
    slopes = []
    for switch in programs.switches:
        arrivals = _arrivals_in(programs, switch.threshold)
        inside = {leaf for leaf in leaves(switch.threshold) if leaf.op == "parameter"}
        slopes.append(
            {
                leaf.name: np.asarray(
                    evaluate(derivative(switch.threshold, leaf), values), dtype=np.float64
                )
                for leaf in inside.difference(arrivals)
            }
        )
    return slopes


def _symbols(programs: Programs) -> list[Expression]:
    return [symbol("parameter", name) for name in programs.parameter_names]


def _arrivals_in(programs: Programs, expr: Expression) -> list[Expression]:
    """The arrivals of doses that an expression depends on."""
    known = {programs.parameter_names[number] for number in arrival_numbers(programs).values()}
    return sorted((leaf for leaf in leaves(expr) if leaf.name in known), key=lambda leaf: leaf.name)
