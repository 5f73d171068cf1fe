"""Doses at random times, by kind; amounts relative to a nominal dose."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from teorell.arrays import Array
from teorell.errors import InputError, suggestion

__all__ = ["KINDS", "MOST_DOSES", "TRAINED", "UNSEEN", "regimens"]

MOST_DOSES = 12
Drawn = tuple[Array, Array]  # times (patients, MOST_DOSES) and relative amounts; NaN: no dose


def regimens(kind: str, rng: np.random.Generator, patients: int, horizon: float) -> Drawn:
    """Times in h, before `horizon`, and relative amounts, each (patients, MOST_DOSES).

    The first dose is at 0. Rows end in NaN. All patients of a call share the design, with their
    own deviations. Raises InputError for an unknown kind.
    """
    if kind not in KINDS:
        raise InputError(
            f"unknown kind of regimen {kind!r} (none has this name). {suggestion(kind, KINDS)}"
        )
    times, amounts = KINDS[kind](rng, patients, horizon)
    dropped = ~(times < horizon) | ~(amounts > 0)
    dropped[:, 0] = False
    times, amounts = np.where(dropped, np.nan, times), np.where(dropped, np.nan, amounts)
    order = np.argsort(times, axis=1, kind="stable")  # NaN last
    return np.take_along_axis(times, order, 1), np.take_along_axis(amounts, order, 1)


def _single(rng: np.random.Generator, patients: int, horizon: float) -> Drawn:
    times = np.full((patients, MOST_DOSES), np.nan)
    times[:, 0] = 0.0
    return times, np.ones_like(times)


def _repeated(rng: np.random.Generator, patients: int, horizon: float) -> Drawn:
    """Every so many hours; half of the intervals are 6, 8, 12 or 24 h, the others any."""
    usual = rng.choice([6.0, 8.0, 12.0, 24.0])
    every = usual if rng.random() < 0.5 else np.exp(rng.uniform(np.log(4.0), np.log(36.0)))
    times = np.tile(every * np.arange(MOST_DOSES), (patients, 1))
    return times, np.ones_like(times)


def _missed(rng: np.random.Generator, patients: int, horizon: float) -> Drawn:
    """Every so many hours; each dose but the first is missed with probability 0.25."""
    times, amounts = _repeated(rng, patients, horizon)
    missed = rng.random(times.shape) < 0.25
    missed[:, 0] = False
    return times, np.where(missed, 0.0, amounts)


def _loading(rng: np.random.Generator, patients: int, horizon: float) -> Drawn:
    """The first dose is 1.5 to 4 times the others."""
    times, amounts = _repeated(rng, patients, horizon)
    amounts[:, 0] = rng.uniform(1.5, 4.0)
    return times, amounts


def _irregular(rng: np.random.Generator, patients: int, horizon: float) -> Drawn:
    """Each patient's own times, gaps of 2 to 40 h, and amounts, half to twice the nominal."""
    gaps = np.exp(rng.uniform(np.log(2.0), np.log(40.0), (patients, MOST_DOSES)))
    times = np.cumsum(gaps, axis=1) - gaps[:, :1]
    return times, np.exp2(rng.uniform(-1.0, 1.0, times.shape))


def _every8(rng: np.random.Generator, patients: int, horizon: float) -> Drawn:
    times = np.tile(8.0 * np.arange(MOST_DOSES), (patients, 1))
    return times, np.ones_like(times)


def _escalating(rng: np.random.Generator, patients: int, horizon: float) -> Drawn:
    """Every 12 h, the amount doubled from the third dose on, and again from the fifth."""
    times = np.tile(12.0 * np.arange(MOST_DOSES), (patients, 1))
    return times, np.tile(np.exp2(np.minimum(np.arange(MOST_DOSES) // 2, 2)), (patients, 1))


def _paused(rng: np.random.Generator, patients: int, horizon: float) -> Drawn:
    """Every 12 h, with a pause of 36 h after the second dose."""
    times = 12.0 * np.arange(MOST_DOSES)
    times[2:] += 36.0
    return np.tile(times, (patients, 1)), np.ones((patients, MOST_DOSES))


KINDS: dict[str, Callable[[np.random.Generator, int, float], Drawn]] = {
    "single": _single,
    "repeated": _repeated,
    "missed": _missed,
    "loading": _loading,
    "irregular": _irregular,
    "every 8 h": _every8,
    "escalating": _escalating,
    "paused": _paused,
}
TRAINED = ("single", "repeated", "missed", "loading", "irregular")
"""Kinds of the shipped configuration, of which "every 8 h" is a part."""
UNSEEN = ("escalating", "paused")
"""Kinds that the shipped configuration never trains on."""
