"""What a gradient is: derivatives of one loss, with the names and shapes of what the user gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array, copied, is_on_device
from teorell.engine.batch import Outcome
from teorell.errors import InputError, count
from teorell.patients import Patients
from teorell.results.failures import raise_failures

__all__ = ["DoseGradient", "Gradient"]


@dataclass(frozen=True, eq=False)
class DoseGradient:
    """d loss / d the numbers of a line of the regimen, or of doses as columns.

    Each has the shape in which it was given, () or (patients,), of columns (rows,) or (patients,
    doses) with 0 where there is no dose; None is a number that the line does
    not have. By the duration or rate of an infusion so short that it is a bolus there is no
    derivative: NaN.
    """

    into: str  # "" for a reset, and for columns
    amount: Array | None
    time: Array
    every: Array | None = None
    duration: Array | None = None
    rate: Array | None = None


@dataclass(frozen=True, eq=False)
class Gradient(Outcome):
    """d loss / d everything that went in, and how each patient's simulation went.

    Derivatives are per unit of each number. A patient that failed contributes zero. A number that
    patients share has the sum over them.
    """

    # name -> in the shape in which it was given; () if it took its default. On a device, where one
    # computed, those that are (patients,) or of numbers there
    parameters: Mapping[str, Array]
    initial: Mapping[str, Array]  # state -> (patients,), by the state at time 0 before any dose
    model: str = ""  # its name
    time_unit: str = ""
    conditions: tuple[str, ...] = ()  # on states, where one made a patient fail
    given: Mapping[str, Array] = field(default_factory=dict)  # the parameters themselves
    of_doses: tuple[DoseGradient, ...] | None = ()  # None for a list of regimens, or a table
    people: Patients | None = None  # who the patients are, where a population or table told it

    @property
    def ids(self) -> NDArray[Any]:
        """(patients,) ids of a population or an event table, else 0, 1, 2, ..."""
        return np.arange(self.status.size) if self.people is None else self.people.ids

    @property
    def doses(self) -> tuple[DoseGradient, ...]:
        """One record a line of the regimen; of columns one record, of arrays as they were given.

        InputError for a list or a table: their doses have no derivatives here.
        """
        if self.of_doses is None:
            raise InputError(
                "no gradient by the doses of a list of regimens or a table (they have none of "
                "their own). Give Regimen.columns, or one Regimen for all patients, whose numbers "
                "are (patients,) arrays."
            )
        return self.of_doses

    def raise_for_status(self) -> None:
        """Raise SimulationError if any patient failed.

        It says who, why, what to do, and what is unusual about them.
        """
        known = {name: each for name, each in self.given.items() if not is_on_device(each)}
        raise_failures("gradient", self, known)

    def cpu(self) -> Gradient:
        """The same with all arrays as NumPy; those on a device are copied."""
        moved: dict[str, Any] = {
            name: {key: copied(each) for key, each in getattr(self, name).items()}
            for name in ("parameters", "initial", "given")
        }
        return replace(self, **moved)

    def __repr__(self) -> str:
        failed = int((self.status != 0).sum())
        lines = "" if self.of_doses is None else f", {count(len(self.of_doses), 'line')} of doses"
        return (
            f"<Gradient of {self.model!r}: {count(self.status.size, 'patient')}, "
            f"{count(len(self.parameters), 'parameter')}{lines}; "
            f"{f'{failed} failed' if failed else 'all succeeded'}>"
        )
