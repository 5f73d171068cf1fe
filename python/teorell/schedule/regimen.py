"""Dosing: what is given into which state, when.

A `Regimen` is a value, immutable and picklable: one for all patients, with (patients,) arrays where
they differ, or one for each in a list. given_doses.py turns either into columns, and timeline.py
these into what the core reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from teorell.arrays import agree
from teorell.errors import InputError
from teorell.model.expression import Expression
from teorell.schedule.dose import (
    BY_DURATION,
    BY_RATE,
    MODELLED,
    MODELLED_DURATION,
    MODELLED_RATE,
    Dose,
    line_of,
    reset_line,
    state_name,
    steady_code,
    told,
)
from teorell.schedule.dose_columns import DoseColumns
from teorell.schedule.given_columns import columns_of
from teorell.torch_compile import eager

__all__ = ["Regimen"]


@dataclass(frozen=True, eq=False)
class Regimen:
    """Doses into states. Make one with `bolus`, `infusion`, `reset` or `none`, and add them with
    `+`.

    Amounts, times, durations, rates and intervals are numbers or (patients,) arrays, in the model's
    units of amount and time, or torch tensors of these shapes, whose values `simulate` checks.
    Times count from the start of the simulation. Infusions that overlap add up. Dose k of a
    repeated line, k from 0, is given at time + k * every. What the model says
    of doses into a state (model.dosing: lag, bioavailability) applies to all of them.
    """

    lines: tuple[Dose, ...] = ()

    def __post_init__(self) -> None:
        agree(self.sizes())

    @staticmethod
    def none() -> Regimen:
        """No dose at all."""
        return Regimen()

    @staticmethod
    @eager
    def bolus(
        amount: Any,
        into: Expression | str,
        time: Any = 0.0,
        every: Any = None,
        doses: int | None = None,
        steady_state: bool | str = False,
    ) -> Regimen:
        """`amount` is added to state `into` at `time`, and again `every` time units, `doses` times
        in all.

        amount, in the unit of the state; time and every, in the model's time unit: numbers or
        (patients,) arrays. into: the state or its name. Without `every` there is one dose; `every`
        needs `doses`, and `doses` above 1 `every`.
        steady_state: True, the same dose was given every `every` for ever before `time`, and
        nothing else (SS = 1 of
        NONMEM: what was there before `time` is replaced, doses still to come are dropped); "add",
        and what comes from other doses is added to that (SS = 2). Then `doses` may be left out:
        one.
        Raises InputError for amounts or times that are negative, not finite or of a wrong shape,
        and for `every` <= 0.
        """
        return Regimen(
            (line_of(amount, into, time, every, doses, steady=steady_code(steady_state, into)),)
        )

    @staticmethod
    @eager
    def infusion(
        amount: Any,
        into: Expression | str,
        duration: Any = None,
        rate: Any = None,
        time: Any = 0.0,
        every: Any = None,
        doses: int | None = None,
        steady_state: bool | str = False,
    ) -> Regimen:
        """`amount` flows into state `into` at a constant rate, for `duration` (or for amount /
        `rate`) from `time` on.

        duration is in the model's time unit, rate in amount per time: numbers or (patients,)
        arrays; all else is as for `bolus`. `every` is from start to start, so infusions longer than
        it overlap, and add up. An infusion of no duration, or one too short to tell its end from
        its start (16 ulp), is a bolus. duration="modelled" or rate="modelled" takes it from
        model.dosing (RATE = -2 and -1 of NONMEM). steady_state: as for `bolus`; with amount 0, a
        rate and no `every`, an infusion that has run for ever and ends at `time`.
        Raises InputError as `bolus` does, for a rate <= 0, and unless exactly one of `duration` and
        `rate` is given.
        """
        if (duration is None) == (rate is None):
            given = "neither duration nor rate" if rate is None else "both duration and rate"
            raise InputError(
                f"an infusion into {state_name(into)!r} has {given} (with the amount, one "
                "determines the other). Give exactly one of duration= and rate=."
            )
        steady = steady_code(steady_state, into)
        for given, kind in ((rate, MODELLED_RATE), (duration, MODELLED_DURATION)):
            if isinstance(given, str) and given == MODELLED:
                return Regimen(
                    (line_of(amount, into, time, every, doses, kind=kind, steady=steady),)
                )
        kind = BY_RATE if duration is None else BY_DURATION
        return Regimen(
            (
                line_of(
                    amount,
                    into,
                    time,
                    every,
                    doses,
                    duration=duration,
                    rate=rate,
                    kind=kind,
                    steady=steady,
                ),
            )
        )

    @staticmethod
    @eager
    def columns(
        amount: Any,
        into: Any,
        time: Any = 0.0,
        duration: Any = None,
        rate: Any = None,
        every: Any = None,
        doses: Any = 1,
        steady_state: bool | str = False,
        patient: Any = None,
        patients: int | None = None,
    ) -> DoseColumns:
        """The doses of each patient as columns, what a list of regimens says without its objects.

        patient: (rows,) whose each dose is, from 0, and `patients` how many there are, some perhaps
        without a dose; None: as many as are named. Then columns are (rows,). Without it they are
        (patients, doses), whose rows end in NaN, in amount and time, where a patient has fewer.
        amount, time, duration, rate, every: such columns, or one number for all doses; arrays or
        torch tensors, in the units that `bolus` and `infusion` take. A dose whose duration and rate
        are 0 or not given goes in at once, and no gradient reaches that 0; "modelled" as for
        `infusion`. into: the state or its name, or a column of these. doses: how often each is
        given, a number or a column of integers. steady_state: as for `bolus`, for all.

        Each number has a gradient, row by row. Rows of a patient count in their order. Raises
        InputError as `bolus` and `infusion` do, for columns that differ in shape, and for unknown
        patients.
        """
        return columns_of(
            amount,
            into,
            time,
            duration=duration,
            rate=rate,
            every=every,
            doses=doses,
            steady_state=steady_state,
            patient=patient,
            patients=patients,
        )

    @staticmethod
    @eager
    def reset(time: Any = 0.0) -> Regimen:
        """At `time`, () or (patients,), all states return to their initial values (EVID = 3 of
        NONMEM).

        Infusions stop there, and doses of lines that began before it, in time or in the order of
        writing, are dropped.
        """
        return Regimen((reset_line(time),))

    def __add__(self, other: object) -> Regimen:
        if not isinstance(other, Regimen):
            return NotImplemented
        return Regimen(self.lines + other.lines)

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.lines)) if self.lines else "Regimen.none()"

    def sizes(self) -> Iterator[tuple[str, int]]:
        """For `agree`: every array in the regimen, and its length."""
        for line in self.lines:
            for name, value in line.arrays():
                if value.ndim:
                    yield told(name, line.into), value.shape[0]

    def part(self, start: int, stop: int) -> Regimen:
        """The regimen of the patients start to stop - 1; numbers that all share stay."""
        cut: list[dict[str, Any]] = [
            {name: value[start:stop] for name, value in line.arrays() if value.ndim}
            for line in self.lines
        ]
        return Regimen(
            tuple(replace(line, **fields) for line, fields in zip(self.lines, cut, strict=True))
        )
