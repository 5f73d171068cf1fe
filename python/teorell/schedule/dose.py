"""One line of a regimen: how its doses go in, its numbers, and their checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from teorell.arrays import Array, agree, is_tensor, is_whole, numbers_or_tensor
from teorell.errors import InputError
from teorell.model.expression import Expression

__all__ = [
    "ADD",
    "BOLUS",
    "BY_DURATION",
    "BY_RATE",
    "MAX_DOSES",
    "MODELLED",
    "MODELLED_DURATION",
    "MODELLED_RATE",
    "NOT_STEADY",
    "REPLACE",
    "RESET",
    "SHORTEST",
    "Dose",
    "line_of",
    "reset_line",
    "state_name",
    "steady_code",
    "told",
]

# How a record's amount goes in, and the record that gives nothing but empties the patient (EVID 3
# of NONMEM).
BOLUS, BY_DURATION, BY_RATE, MODELLED_RATE, MODELLED_DURATION, RESET = range(6)
# At steady state or not (SS 0, 1, 2 of NONMEM): what was there before is replaced by it, or it is
# added.
NOT_STEADY, REPLACE, ADD = range(3)
SHORTEST = 1e-100  # an infusion as short as this is a bolus at any time: its rate could overflow
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
        return line_of(
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


def state_name(into: object) -> str:
    """The name of a state given by its name or its symbol."""
    if isinstance(into, Expression) and into.op == "state":
        return into.name
    if isinstance(into, str) and into:
        return into
    raise InputError(
        f"into is {repr(into)[:60]} (a dose goes into a state). Give a state of the model, or its "
        "name."
    )


def steady_code(steady_state: object, into: object) -> int:
    if steady_state == "add":
        return ADD
    if not isinstance(steady_state, bool):
        raise InputError(
            f"steady_state of doses into {state_name(into)!r} is {steady_state!r} (it says what "
            "becomes of earlier doses). "
            'Give True (they are replaced), "add", or False.'
        )
    return REPLACE if steady_state else NOT_STEADY


def line_of(
    amount: Any, into: Any, time: Any, every: Any, doses: Any, *, duration: Any = None,
    rate: Any = None, kind: int = BOLUS, steady: int = NOT_STEADY,
) -> Dose:  # fmt: skip
    """A checked line; see `Regimen.bolus` and `Regimen.infusion`."""
    if kind == RESET:
        return reset_line(time)
    into = state_name(into)
    if doses is None:
        if every is not None and not steady:
            raise InputError(
                f"doses into {into!r} have an interval but no number (every= alone would be one "
                "dose). Give doses= too."
            )
        doses = 1
    if not is_whole(doses) or not 1 <= doses <= MAX_DOSES:
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
        amount=at_least_zero(amount, "amount", into),
        time=at_least_zero(time, "time", into),
        duration=None if duration is None else at_least_zero(duration, "duration", into),
        every=at_least_zero(
            0.0 if every is None else every, "every", into, strictly=every is not None
        ),
        doses=int(doses),
        rate=None if rate is None else at_least_zero(rate, "rate", into, strictly=True),
        kind=kind,
        steady=steady,
    )
    agree((told(name, into), value.shape[0]) for name, value in line.arrays() if value.ndim)
    if steady and every is None:
        for_ever = kind == BY_RATE and not is_tensor(line.amount) and not line.amount.any()
        if not for_ever:
            raise InputError(
                f"doses into {into!r} are at steady state without an interval (how often were they "
                "given?). Give every=; or amount 0 and rate=, an infusion that has run for ever."
            )
    if not line.has_tensors():
        _check_overflow(line)
        nothing = line.amount.ndim == 0 and not line.amount
        if steady and every is not None and rate is not None and nothing:
            raise InputError(
                f"an infusion into {into!r} at steady state has amount 0, a rate and an interval "
                "(it gives nothing). Give an amount; or leave every= out, for an infusion that has "
                "run for ever."
            )
    return line


def reset_line(time: Any) -> Dose:
    """The line of a reset at `time`, () or (patients,)."""
    nothing = _frozen(0.0)
    return Dose("", nothing, at_least_zero(time, "time", ""), None, nothing, 1, kind=RESET)


def _check_overflow(line: Dose) -> None:
    with np.errstate(over="ignore"):
        width = line.duration if line.rate is None else line.amount / line.rate
        last = line.time + (line.doses - 1) * line.every + (0.0 if width is None else width)
        wide = np.ones(()) if width is None else width
        rates = line.amount / np.where(wide > SHORTEST, wide, 1.0)
        running = np.where(line.every > 0.0, wide / np.where(line.every > 0.0, line.every, 1.0), 0)
    if not np.isfinite(last).all() or not np.isfinite(rates).all():
        raise InputError(
            f"doses into {line.into!r} overflow (their last time, or an infusion's rate, is "
            "infinite). Give other times."
        )
    if line.steady and width is not None and (running > MAX_DOSES).any():
        raise InputError(
            f"doses into {line.into!r} at steady state would run {running.max():.6g} at once (an "
            f"infusion lasts that many intervals, {MAX_DOSES:,} are the most). Correct it."
        )


def at_least_zero(value: object, name: str, into: str, strictly: bool = False) -> Array:
    """A read-only copy of `value`, shape () or (patients,), every element finite and >= 0 (> 0 if
    `strictly`).

    A tensor is returned as it is.
    """
    what = told(name, into)
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


def told(name: str, into: str) -> str:
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
