"""What a gradient is: derivatives of one loss, with the names and shapes of what the user gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from teorell.errors import InputError, count
from teorell.failures import raise_failures
from teorell.parameters import Array
from teorell.problem import Input, Problem, given_fields
from teorell.regimen import Regimen
from teorell.run import lines_of

if TYPE_CHECKING:
    from teorell.solve import RawGradient

__all__ = ["DoseGradient", "Gradient", "gradient_of"]


@dataclass(frozen=True, eq=False)
class DoseGradient:
    """d loss / d the numbers of a line of the regimen, each in the shape in which it was given: ()
    or (patients,).

    None is a number that the line does not have. By the duration or rate of an infusion so short
    that it is a bolus there
    is no derivative: NaN.
    """

    into: str  # "" for a reset
    amount: Array | None
    time: Array
    every: Array | None = None
    duration: Array | None = None
    rate: Array | None = None


@dataclass(frozen=True, eq=False)
class Gradient:
    """d loss / d everything that went in, per unit of each number, and how each patient's
    simulation went.

    A patient that failed contributes zero. A number that patients share has the sum over them.
    """

    # name -> in the shape in which it was given; () if it took its default
    parameters: Mapping[str, Array]
    initial: Mapping[str, Array]  # state -> (patients,), by the state at time 0 before any dose
    status: NDArray[np.int32]  # (patients,) 0 is success; the sentences are in teorell.solve.STATUS
    failure_time: Array  # (patients,) NaN where there was no failure
    steps: NDArray[np.int64]  # (patients,) accepted steps
    rejected: NDArray[np.int64]  # (patients,) rejected steps
    model: str = ""  # its name
    time_unit: str = ""
    given: Mapping[str, Array] = field(default_factory=dict)  # the parameters themselves
    of_doses: tuple[DoseGradient, ...] | None = ()  # None for a list of regimens, or a table

    @property
    def doses(self) -> tuple[DoseGradient, ...]:
        """One record a line of the regimen.

        InputError for a list or a table: their doses have no derivatives here.
        """
        if self.of_doses is None:
            raise InputError(
                "no gradient by the doses of a list of regimens or a table (this version has it "
                "for one regimen). Give one Regimen for all patients, whose numbers are "
                "(patients,) arrays."
            )
        return self.of_doses

    @property
    def success(self) -> NDArray[np.bool_]:
        """(patients,) True where the simulation reached its end."""
        result: NDArray[np.bool_] = self.status == 0
        return result

    def raise_for_status(self) -> None:
        """Raise SimulationError if any patient failed: who, why, what to do, and what is unusual
        about them.
        """
        raise_failures(
            "gradient", self.status, self.failure_time, self.steps, self.time_unit, self.given
        )

    def __repr__(self) -> str:
        failed = int((self.status != 0).sum())
        lines = "" if self.of_doses is None else f", {count(len(self.of_doses), 'line')} of doses"
        return (
            f"<Gradient of {self.model!r}: {count(self.status.size, 'patient')}, "
            f"{count(len(self.parameters), 'parameter')}{lines}; "
            f"{f'{failed} failed' if failed else 'all succeeded'}>"
        )


def gradient_of(problem: Problem, gradients: Sequence[Array], raw: RawGradient) -> Gradient:
    """What the core returned, with names and shapes."""
    model, columns = problem.model, problem.columns
    by_input = dict(zip(problem.inputs, gradients, strict=True))
    doses, lines = None, lines_of(problem.regimen)
    if isinstance(problem.regimen, Regimen | None):
        fields: list[dict[str, Any]] = [
            {"amount": None}
            | {name: by_input[Input("dose", name, k)] for name in given_fields(line)}
            for k, line in enumerate(lines)
        ]
        doses = tuple(
            DoseGradient(line.into, **each) for line, each in zip(lines, fields, strict=True)
        )
    return Gradient(
        {entry.name: each for entry, each in by_input.items() if entry.kind == "parameter"},
        {name: raw.initial[:, k] for k, name in enumerate(model.state_names)},
        raw.status, raw.failure_time, raw.steps, raw.rejected, model.name, model.time_unit,
        {name: column for name, column in zip(columns.names, columns.values,
        strict=True) if name in columns.given}, doses,
    )  # fmt: skip
