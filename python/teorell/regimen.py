"""Dosing: what is given into which state, when.

A `Regimen` is a value, immutable and picklable: one for all patients, with (patients,) arrays where
they differ, or one for each in a list. `dose_table` turns either into columns, and events.py these
into what the solver reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from teorell.dose_table import (
    ADD,
    BOLUS,
    BY_DURATION,
    BY_RATE,
    MODELLED_DURATION,
    MODELLED_RATE,
    NOT_STEADY,
    REPLACE,
    RESET,
    SHORTEST,
    DoseTable,
    table_of_lines,
    table_of_regimens,
)
from teorell.eager import eager
from teorell.errors import InputError, count, suggestion
from teorell.expression import Expression
from teorell.parameters import Array, agree, is_tensor, numbers_or_tensor

__all__ = ["Dose", "Given", "Regimen", "check_regimen", "dose_table"]

MAX_DOSES = 1_000_000
MODELLED = "modelled"


@dataclass(frozen=True, eq=False)
class Dose:
    """One line of a regimen: `doses` times the same, `every` apart, or a reset. Arrays are
    (patients,) and read-only.

    The numbers of a line may be torch tensors. Nobody has read these, nothing is derived from them,
    and `filled` makes the line that the solver can read.
    """

    into: str  # "" for a reset
    amount: Array
    time: Array
    duration: Array | None  # None for a bolus, and where a rate is given
    every: Array
    doses: int
    rate: Array | None = None
    kind: int = BOLUS  # of dose_table.py
    steady: int = NOT_STEADY

    @property
    def is_infusion(self) -> bool:
        return self.kind not in (BOLUS, RESET)

    def filled(self, fields: Mapping[str, Array]) -> Dose:
        """The line with other numbers, by the names of the fields as the user gave them, checked as
        `Regimen.bolus` does.
        """
        given: dict[str, Any] = {
            "amount": self.amount,
            "time": self.time,
            "duration": self.duration,
            "rate": self.rate,
        }
        given["every"] = self.every if self.has_interval else None
        return _line(
            into=self.into,
            doses=self.doses,
            kind=self.kind,
            steady=self.steady,
            **(given | dict(fields)),
        )

    @property
    def has_interval(self) -> bool:
        """Does `every` mean anything? An infusion that has run for ever has none."""
        return self.doses > 1 or (
            self.steady != NOT_STEADY and (is_tensor(self.every) or bool(np.any(self.every > 0)))
        )

    def arrays(self) -> Iterator[tuple[str, Array]]:
        for name in ("amount", "time", "duration", "rate", "every"):
            value = getattr(self, name)
            if value is not None:
                yield name, value

    def has_tensors(self) -> bool:
        return any(is_tensor(value) for _, value in self.arrays())

    def __repr__(self) -> str:
        if self.kind == RESET:
            return f"Regimen.reset(time={_show(self.time)})"
        words = [_show(self.amount), f"into={self.into!r}"]
        for name, kind in (("rate", MODELLED_RATE), ("duration", MODELLED_DURATION)):
            value = getattr(self, name)
            if value is not None or self.kind == kind:
                words.append(f"{name}={_show(value) if value is not None else repr(MODELLED)}")
        if is_tensor(self.time) or self.time.ndim or self.time != 0:
            words.append(f"time={_show(self.time)}")
        if self.has_interval:
            words.append(f"every={_show(self.every)}, doses={self.doses}")
        if self.steady:
            words.append(f"steady_state={True if self.steady == REPLACE else 'add'!r}")
        return f"Regimen.{'infusion' if self.is_infusion else 'bolus'}({', '.join(words)})"


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
            (_line(amount, into, time, every, doses, steady=_steady(steady_state, into)),)
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
                f"an infusion into {_state(into)!r} has {given} (with the amount, one determines "
                "the other). Give exactly one of duration= and rate=."
            )
        steady = _steady(steady_state, into)
        for given, kind in ((rate, MODELLED_RATE), (duration, MODELLED_DURATION)):
            if isinstance(given, str) and given == MODELLED:
                return Regimen((_line(amount, into, time, every, doses, kind=kind, steady=steady),))
        kind = BY_RATE if duration is None else BY_DURATION
        return Regimen((_line(amount, into, time, every, doses, duration, rate, kind, steady),))

    @staticmethod
    @eager
    def reset(time: Any = 0.0) -> Regimen:
        """At `time`, () or (patients,), all states return to their initial values (EVID = 3 of
        NONMEM).

        Infusions stop there, and doses of lines that began before it, in time or in the order of
        writing, are dropped.
        """
        at = _at_least_zero(time, "time", "")
        nothing = _frozen(0.0)
        return Regimen((Dose("", nothing, at, None, nothing, 1, None, RESET),))

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
                    yield _what(name, line.into), value.shape[0]

    def part(self, start: int, stop: int) -> Regimen:
        """The regimen of the patients start to stop - 1; numbers that all share stay."""
        cut: list[dict[str, Any]] = [
            {name: value[start:stop] for name, value in line.arrays() if value.ndim}
            for line in self.lines
        ]
        return Regimen(
            tuple(replace(line, **fields) for line, fields in zip(self.lines, cut, strict=True))
        )


Given = Regimen | DoseTable | Sequence[Regimen | None] | None


def check_regimen(given: object, states: Sequence[str]) -> list[tuple[str, int]]:
    """What a regimen says about the number of patients, for `agree`; every target must be one of
    `states`.

    Raises TypeError for what is no regimen, InputError for an unknown state or an array inside one
    patient's regimen.
    """
    if given is None or isinstance(given, Regimen):
        _check_states(given, states, "")
        return [] if given is None else list(given.sizes())
    if isinstance(given, DoseTable):
        unknown = [name for name in given.states if name not in states]
        if unknown:
            raise InputError(
                f"the table of doses is for a model with state {unknown[0]!r} (this one has none). "
                "Make the table for it."
            )
        return (
            []
            if given.patients == 1 and len(given.offsets) == 2
            else [("the table of doses", given.patients)]
        )
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise TypeError(
            f"regimen is a {type(given).__name__} (doses are needed). Give a Regimen, a list of "
            "one a patient, or None."
        )
    seen: set[int] = set()
    for patient, one in enumerate(given):
        if id(one) in seen:
            continue
        seen.add(id(one))
        if one is not None and not isinstance(one, Regimen):
            raise TypeError(
                f"regimen of patient {patient} is a {type(one).__name__} (doses are needed). Give "
                "a Regimen or None."
            )
        _check_states(one, states, f" of patient {patient}")
        if one is not None and any(line.has_tensors() for line in one.lines):
            raise InputError(
                f"the regimen of patient {patient} holds a tensor (in a list, each regimen is of "
                "numbers). Give .item() of it, or one Regimen for all with (patients,) tensors."
            )
        for what, size in () if one is None else one.sizes():
            raise InputError(
                f"{what} of patient {patient} has {count(size, 'value')} (in a list, each regimen "
                "is for one patient). Give one number."
            )
    return [("the list of regimens", len(given))]


def _check_states(regimen: Regimen | None, states: Sequence[str], whose: str) -> None:
    for line in () if regimen is None else regimen.lines:
        if line.kind != RESET and line.into not in states:
            raise InputError(
                f"unknown compartment {line.into!r} in the regimen{whose} (it is no state of the "
                f"model). {suggestion(line.into, states)}"
            )


def dose_table(given: Given, states: tuple[str, ...], patients: int) -> DoseTable:
    """The doses of what the user gave: one regimen, a list with one a patient, a table, or None."""
    if isinstance(given, DoseTable):
        return given
    if given is None or isinstance(given, Regimen):
        return table_of_lines((given or Regimen()).lines, states, patients)
    nothing: tuple[Dose, ...] = ()
    return table_of_regimens([nothing if one is None else one.lines for one in given], states)


def _state(into: object) -> str:
    """The name of a state given by its name or its symbol."""
    if isinstance(into, Expression) and into.op == "state":
        return into.name
    if isinstance(into, str) and into:
        return into
    raise InputError(
        f"into is {repr(into)[:60]} (a dose goes into a state). Give a state of the model, or its "
        "name."
    )


def _steady(steady_state: object, into: object) -> int:
    if steady_state == "add":
        return ADD
    if not isinstance(steady_state, bool):
        raise InputError(
            f"steady_state of doses into {_state(into)!r} is {steady_state!r} (it says what "
            "becomes of earlier doses). "
            'Give True (they are replaced), "add", or False.'
        )
    return REPLACE if steady_state else NOT_STEADY


def _line(
    amount: Any, into: Any, time: Any, every: Any, doses: Any, duration: Any = None,
    rate: Any = None, kind: int = BOLUS, steady: int = NOT_STEADY,
) -> Dose:  # fmt: skip
    """A checked line; see `Regimen.bolus` and `Regimen.infusion`."""
    if kind == RESET:
        return Regimen.reset(time).lines[0]
    into = _state(into)
    if doses is None:
        if every is not None and not steady:
            raise InputError(
                f"doses into {into!r} have an interval but no number (every= alone would be one "
                "dose). Give doses= too."
            )
        doses = 1
    if (
        isinstance(doses, bool)
        or not isinstance(doses, int | np.integer)
        or not 1 <= doses <= MAX_DOSES
    ):
        raise InputError(
            f"doses is {doses!r} (it counts how often the dose is given). Give a whole number from "
            f"1 to {MAX_DOSES}."
        )
    if doses > 1 and every is None:
        raise InputError(
            f"{doses} doses into {into!r} have no interval (their times are unknown). Give every= "
            "too."
        )
    line = Dose(
        into,
        _at_least_zero(amount, "amount", into),
        _at_least_zero(time, "time", into),
        None if duration is None else _at_least_zero(duration, "duration", into),
        _at_least_zero(0.0 if every is None else every, "every", into, strictly=every is not None),
        int(doses),
        None if rate is None else _at_least_zero(rate, "rate", into, strictly=True),
        kind,
        steady,
    )
    agree((_what(name, into), value.shape[0]) for name, value in line.arrays() if value.ndim)
    if steady and every is None:
        for_ever = kind == BY_RATE and not is_tensor(line.amount) and not line.amount.any()
        if not for_ever:
            raise InputError(
                f"doses into {into!r} are at steady state without an interval (how often were they "
                "given?). Give every=; or amount 0 and rate=, an infusion that has run for ever."
            )
    if not line.has_tensors():
        _check_overflow(line)
    return line


def _check_overflow(line: Dose) -> None:
    with np.errstate(over="ignore"):
        width = line.duration if line.rate is None else line.amount / line.rate
        last = line.time + (line.doses - 1) * line.every + (0.0 if width is None else width)
        wide = np.ones(()) if width is None else width
        rates = line.amount / np.where(wide > SHORTEST, wide, 1.0)
    if not np.isfinite(last).all() or not np.isfinite(rates).all():
        raise InputError(
            f"doses into {line.into!r} overflow (their last time, or an infusion's rate, is "
            "infinite). Give other times."
        )


def _at_least_zero(value: object, name: str, into: str, strictly: bool = False) -> Array:
    """A read-only copy of `value`, shape () or (patients,), every element finite and >= 0 (> 0 if
    `strictly`).

    A tensor is returned as it is.
    """
    what = _what(name, into)
    result: Array = numbers_or_tensor(value, what)
    if is_tensor(result):
        return result
    if result.size and not (result.min() > 0 if strictly else result.min() >= 0):
        flat = np.atleast_1d(result)
        patient = int(np.argmin(flat))
        raise InputError(
            f"{what} is {flat[patient]:.6g}{f' for patient {patient}' if result.ndim else ''} "
            f"(it must be {'above zero' if strictly else 'zero or more'}). Correct it."
        )
    return _frozen(np.array(result))


def _what(name: str, into: str) -> str:
    return f"the regimen's {name} into {into!r}" if into else f"the {name} of a reset"


def _frozen(value: Any) -> Array:
    result: Array = np.asarray(value, dtype=np.float64)
    result.flags.writeable = False
    return result


def _show(value: Array) -> str:
    if is_tensor(value):
        return f"<tensor of shape {tuple(value.shape)}>"
    return (
        f"{value:.12g}"
        if value.ndim == 0
        else f"<{value.size} values, {value.min():.6g} to {value.max():.6g}>"
    )
