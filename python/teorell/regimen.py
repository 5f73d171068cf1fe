"""Dosing: what is given into which state, when; and the table of events the solver reads.

A `Regimen` is a value, immutable and picklable: one for all patients, with (patients,) arrays where they differ, or one
for each in a list. events.py turns either into the flat, sorted `Events` of the solver.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from teorell.eager import eager
from teorell.errors import InputError, count, suggestion
from teorell.events import SHORTEST, Events, SwitchTimes, one_a_patient, one_for_all
from teorell.expression import Expression
from teorell.parameters import Array, agree, is_tensor, numbers_or_tensor

__all__ = ["Dose", "Events", "Regimen", "SwitchTimes", "check_regimen", "dosed_states", "events", "infused_states"]

MAX_DOSES = 1_000_000


@dataclass(frozen=True, eq=False)
class Dose:
    """One line of a regimen: `doses` times the same, `every` apart. Arrays are (patients,) and read-only.

    The numbers of a line may be torch tensors. Nobody has read these, nothing is derived from them, and `filled` makes
    the line that the solver can read.
    """

    into: str
    amount: Array
    time: Array
    duration: Array | None  # None for a bolus, and for a rate of a line with tensors
    every: Array
    doses: int
    rate: Array | None = None  # where the user gave a rate; duration is then amount / rate

    @property
    def is_infusion(self) -> bool:
        return self.duration is not None or self.rate is not None

    def filled(self, fields: Mapping[str, Array]) -> Dose:
        """The line with other numbers, by the names of the fields as the user gave them, checked as `Regimen.bolus` does."""
        given = {"amount": self.amount, "time": self.time, "rate": self.rate}
        given["duration"] = self.duration if self.rate is None else None
        given["every"] = self.every if self.doses > 1 else None
        return _line(into=self.into, doses=self.doses, **(given | dict(fields)))

    def arrays(self) -> Iterator[tuple[str, Array]]:
        for name in ("amount", "time", "duration", "rate", "every"):
            value = getattr(self, name)
            if value is not None:
                yield name, value

    def has_tensors(self) -> bool:
        return any(is_tensor(value) for _, value in self.arrays())

    def may_be_short(self) -> bool:
        """May an infusion of this line be too short, for some patient, to be more than a bolus (see events.py)?"""
        if self.duration is None:
            return False
        last = self.time.max() + (self.doses - 1) * self.every.max() + self.duration.max()
        return bool(self.duration.min() <= max(32 * np.spacing(last), SHORTEST))

    def __repr__(self) -> str:
        kind = "infusion" if self.is_infusion else "bolus"
        words = [_show(self.amount), f"into={self.into!r}"]
        if self.rate is not None:
            words.append(f"rate={_show(self.rate)}")
        elif self.duration is not None:
            words.append(f"duration={_show(self.duration)}")
        if is_tensor(self.time) or self.time.ndim or self.time != 0:
            words.append(f"time={_show(self.time)}")
        if self.doses > 1:
            words.append(f"every={_show(self.every)}, doses={self.doses}")
        return f"Regimen.{kind}({', '.join(words)})"


@dataclass(frozen=True, eq=False)
class Regimen:
    """Doses into states. Make one with `Regimen.bolus`, `Regimen.infusion`, `Regimen.none`, and add them with `+`.

    Amounts, times, durations, rates and intervals are numbers or (patients,) arrays, in the model's units of amount and
    time, or torch tensors of these shapes, whose values `simulate` checks. Times count from the start of the simulation.
    Infusions that overlap add up. Dose k of a repeated line, k from 0, is given at time + k * every.
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
        amount: Any, into: Expression | str, time: Any = 0.0, every: Any = None, doses: int | None = None
    ) -> Regimen:
        """`amount` is added to state `into` at `time`, and again `every` time units, `doses` times in all.

        amount, in the unit of the state; time and every, in the model's time unit: numbers or (patients,) arrays. into:
        the state or its name. Without `every` there is one dose; `every` needs `doses`, and `doses` above 1 `every`.
        Raises InputError for amounts or times that are negative, not finite or of a wrong shape, and for `every` <= 0.
        """
        return Regimen((_line(amount, into, time, every, doses),))

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
    ) -> Regimen:
        """`amount` flows into state `into` at a constant rate, for `duration` (or for amount / `rate`) from `time` on.

        duration is in the model's time unit, rate in amount per time: numbers or (patients,) arrays; all else is as for
        `bolus`. `every` is from start to start, so infusions longer than it overlap, and add up.
        An infusion of no duration, or one too short to tell its end from its start (16 ulp), is a bolus.
        Raises InputError as `bolus` does, for a rate <= 0, and unless exactly one of `duration` and `rate` is given.
        """
        if (duration is None) == (rate is None):
            given = "neither duration nor rate" if rate is None else "both duration and rate"
            raise InputError(
                f"an infusion into {_state(into)!r} has {given} (with the amount, one determines the other). "
                "Give exactly one of duration= and rate=."
            )
        return Regimen((_line(amount, into, time, every, doses, duration, rate),))

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
                    yield f"the regimen's {name} into {line.into!r}", value.shape[0]

    def events(
        self,
        states: Mapping[str, int],
        infused: Mapping[str, int],
        patients: int,
        switches: Sequence[SwitchTimes] = (),
    ) -> Events:
        """The events of one regimen for all patients; one shared table if no number in it differs between patients.

        states, infused: name of a state -> its number as the target of a bolus, of an infusion.
        """
        return one_for_all(self.lines, states, infused, patients, switches)


Given = Regimen | Sequence[Regimen | None] | None


def check_regimen(given: object, states: Sequence[str]) -> list[tuple[str, int]]:
    """What a regimen says about the number of patients, for `agree`; every target must be one of `states`.

    Raises TypeError for what is no regimen, InputError for an unknown state or an array inside one patient's regimen.
    """
    if given is None or isinstance(given, Regimen):
        _check_states(given, states, "")
        return [] if given is None else list(given.sizes())
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise TypeError(
            f"regimen is a {type(given).__name__} (doses are needed). Give a Regimen, a list of one a patient, or None."
        )
    seen: set[int] = set()
    for patient, one in enumerate(given):
        if id(one) in seen:
            continue
        seen.add(id(one))
        if one is not None and not isinstance(one, Regimen):
            raise TypeError(
                f"regimen of patient {patient} is a {type(one).__name__} (doses are needed). Give a Regimen or None."
            )
        _check_states(one, states, f" of patient {patient}")
        if one is not None and any(line.has_tensors() for line in one.lines):
            raise InputError(
                f"the regimen of patient {patient} holds a tensor (in a list, each regimen is of numbers). Give "
                ".item() of it, or one Regimen for all with (patients,) tensors."
            )
        for what, size in () if one is None else one.sizes():
            raise InputError(
                f"{what} of patient {patient} has {count(size, 'value')} (in a list, each regimen is for one patient). "
                "Give one number."
            )
    return [("the list of regimens", len(given))]


def _check_states(regimen: Regimen | None, states: Sequence[str], whose: str) -> None:
    for line in () if regimen is None else regimen.lines:
        if line.into not in states:
            raise InputError(
                f"unknown compartment {line.into!r} in the regimen{whose} (it is no state of the model). "
                f"{suggestion(line.into, states)}"
            )


def dosed_states(given: Given) -> set[str]:
    """The states into which anything is given."""
    return {line.into for line in _lines(given)}


def infused_states(given: Given) -> set[str]:
    """The states into which anything is infused, whatever the durations."""
    return {line.into for line in _lines(given) if line.is_infusion}


def _lines(given: Given) -> Iterator[Dose]:
    """Every line of every different regimen."""
    distinct = {id(one): one for one in ([given] if given is None or isinstance(given, Regimen) else given)}
    for one in distinct.values():
        yield from () if one is None else one.lines


def events(
    given: Given,
    states: Mapping[str, int],
    infused: Mapping[str, int],
    patients: int,
    switches: Sequence[SwitchTimes] = (),
) -> Events:
    """The events of what the user gave: one regimen, a list with one a patient, or None."""
    if given is None or isinstance(given, Regimen):
        return (given or Regimen()).events(states, infused, patients, switches)
    nothing: tuple[Dose, ...] = ()
    return one_a_patient([nothing if one is None else one.lines for one in given], states, infused, switches)


def _state(into: object) -> str:
    """The name of a state given by its name or its symbol."""
    if isinstance(into, Expression) and into.op == "state":
        return into.name
    if isinstance(into, str) and into:
        return into
    raise InputError(f"into is {repr(into)[:60]} (a dose goes into a state). Give a state of the model, or its name.")


def _line(amount: Any, into: Any, time: Any, every: Any, doses: Any, duration: Any = None, rate: Any = None) -> Dose:
    """A checked line; see `Regimen.bolus` and `Regimen.infusion`."""
    into = _state(into)
    if doses is None:
        if every is not None:
            raise InputError(
                f"doses into {into!r} have an interval but no number (every= alone would be one dose). Give doses= too."
            )
        doses = 1
    if isinstance(doses, bool) or not isinstance(doses, int | np.integer) or not 1 <= doses <= MAX_DOSES:
        raise InputError(
            f"doses is {doses!r} (it counts how often the dose is given). Give a whole number from 1 to {MAX_DOSES}."
        )
    if doses > 1 and every is None:
        raise InputError(f"{doses} doses into {into!r} have no interval (their times are unknown). Give every= too.")
    line = Dose(
        into,
        _at_least_zero(amount, "amount", into),
        _at_least_zero(time, "time", into),
        None if duration is None else _at_least_zero(duration, "duration", into),
        _at_least_zero(0.0 if every is None else every, "every", into, strictly=every is not None),
        int(doses),
        None if rate is None else _at_least_zero(rate, "rate", into, strictly=True),
    )
    agree((f"the regimen's {name} into {into!r}", value.shape[0]) for name, value in line.arrays() if value.ndim)
    if line.has_tensors():
        return line
    with np.errstate(over="ignore"):
        if line.rate is not None:
            line = replace(line, duration=_frozen(line.amount / line.rate))
        last = line.time + (line.doses - 1) * line.every + (0.0 if line.duration is None else line.duration)
        width = line.duration if line.duration is not None else np.ones(())
        rates = line.amount / np.where(width > SHORTEST, width, 1.0)
    if not np.isfinite(last).all() or not np.isfinite(rates).all():
        raise InputError(
            f"doses into {into!r} overflow (their last time, or an infusion's rate, is infinite). Give other times."
        )
    return line


def _at_least_zero(value: object, name: str, into: str, strictly: bool = False) -> Array:
    """A read-only copy of `value`, shape () or (patients,), every element finite and >= 0 (> 0 if `strictly`).

    A tensor is returned as it is.
    """
    what = f"the regimen's {name} into {into!r}"
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


def _frozen(value: Any) -> Array:
    result: Array = np.asarray(value, dtype=np.float64)
    result.flags.writeable = False
    return result


def _show(value: Array) -> str:
    if is_tensor(value):
        return f"<tensor of shape {tuple(value.shape)}>"
    return f"{value:.12g}" if value.ndim == 0 else f"<{value.size} values, {value.min():.6g} to {value.max():.6g}>"
