"""The numbers of a simulation that may vary: parameters, and fields of the lines of a regimen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from teorell.schedule.dose import RESET, Dose
from teorell.schedule.dose_columns import DoseColumns
from teorell.schedule.given_doses import Given
from teorell.schedule.regimen import Regimen
from teorell.simulation.parameters import ParameterColumns

__all__ = ["Input", "given_fields", "inputs_of", "lines_of"]


class Input(NamedTuple):
    """A number that may vary: a parameter, a field of a line of a regimen, or a column of doses."""

    kind: str  # "parameter" or "dose"
    name: str  # of the parameter, or of the field: amount, time, every, duration or rate
    line: int = -1  # of the regimen; of columns each patient's dose, -1 for all; -1: a parameter


def inputs_of(columns: ParameterColumns, regimen: Given) -> Iterator[Input]:
    """All numbers that the user gave, those of a list of regimens excepted."""
    for name in columns.names:
        if name in columns.given:
            yield Input("parameter", name)
    if isinstance(regimen, DoseColumns):
        for name in regimen.numbers:
            yield Input("dose", name)
    for number, line in enumerate(lines_of(regimen)):
        for name in given_fields(line):
            yield Input("dose", name, number)


def given_fields(line: Dose) -> Iterator[str]:
    """The fields of a line that the user gave as numbers.

    They are amount and time, every if it is repeated, and duration or rate.
    """
    if line.kind == RESET:
        yield "time"
        return
    yield from ("amount", "time")
    if line.has_interval:
        yield "every"
    for name in ("duration", "rate"):
        if getattr(line, name) is not None:
            yield name


def lines_of(regimen: Given) -> tuple[Dose, ...]:
    """The lines of a regimen for all patients; none of a list or a table: these are no inputs."""
    return regimen.lines if isinstance(regimen, Regimen) else ()
