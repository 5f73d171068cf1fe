"""Log parameters to log concentrations, by the solver; and how measured ones lie about these."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

import teorell as tl
from teorell.arrays import Array
from teorell.learn.transformer.priors import (
    MEDIANS,
    REFERENCE_WEIGHT,
    SPREADS,
    WEIGHT_POWERS,
)  # fmt: skip
from teorell.learn.transformer.structures import Structure

__all__ = [
    "RTOL", "Doses", "centre", "curves", "jacobian", "log_likelihood", "log_tail", "to_logs",
    "to_standard",
]  # fmt: skip

RTOL = 1e-5  # of a step; noise of measurements is 0.05 and more
LEAST = 1e-12  # mg/L: below it is the solver's absolute tolerance, 1e-9 mg
STEEPEST = 1e3  # slope of a log concentration by a log parameter; above it is rounding of the same


class Doses(NamedTuple):
    """(patients, doses) each; rows end in NaN. Hours, mg, hours of an infusion (0: at once)."""

    time: Array
    amount: Array
    duration: Array

    def repeated(self, draws: int) -> Doses:
        """The same patients `draws` times, all patients before the next time."""
        return Doses(*(np.tile(each, (draws, 1)) for each in self))

    def rows(self, which: Any) -> Doses:
        """Those of some patients."""
        return Doses(*(each[which] for each in self))


def centre(weight: Array) -> Array:
    """The median log parameters of patients of these weights, (patients, PARAMETERS)."""
    found: Array = MEDIANS + WEIGHT_POWERS * np.log(weight / REFERENCE_WEIGHT)[:, None]
    return found


def to_logs(standard: Array, weight: Array) -> Array:
    """Logarithms of parameters from standard ones, N(0, 1) a priori; (..., patients, all)."""
    found: Array = centre(weight) + SPREADS * standard
    return found


def to_standard(logs: Array, weight: Array) -> Array:
    """The inverse of `to_logs`."""
    found: Array = (logs - centre(weight)) / SPREADS
    return found


def curves(
    what: Structure, logs: Array, doses: Doses, times: Array, outputs: tuple[str, ...] = ()
) -> Array:
    """log concentrations (patients, times), mg/L; NaN where the solver gave up or no time is.

    logs: (patients, PARAMETERS); times: (patients, times), in any order, NaN at the end.
    outputs: others of the model than what is measured; it is (patients, times, outputs) then.
    """
    order = np.argsort(times, axis=1, kind="stable")
    given = _problem(what, logs, doses, times, order)
    values = tl.simulate(*given, list(outputs) or what.output, **_OPTIONS).values
    found = _unsorted(np.log(np.maximum(values, LEAST)), order)
    return found if outputs else found[..., 0]


def jacobian(what: Structure, logs: Array, doses: Doses, times: Array) -> tuple[Array, Array]:
    """log concentrations (patients, times), and their derivatives by the log parameters.

    The derivatives are (patients, times, parameters of the structure), exact (tl.jacobian); 0
    where a concentration is below LEAST.
    """
    order = np.argsort(times, axis=1, kind="stable")
    given = _problem(what, logs, doses, times, order)
    found = tl.jacobian(*given, what.output, wrt=[*given[1]], **_OPTIONS)
    values = np.maximum(found.values[..., 0], LEAST)
    scale = what.slopes(logs)[:, None, :] / values[..., None]
    slopes = np.clip(found.derivatives[:, :, 0, :] * scale, -STEEPEST, STEEPEST)
    slopes[values <= LEAST] = 0.0
    return _unsorted(np.log(values)[..., None], order)[..., 0], _unsorted(slopes, order)


def log_likelihood(
    levels: Array, measured: Array, below: NDArray[np.bool_], noise: Array, limit: Array
) -> Array:
    """log p(samples | curve), summed over samples; (..., patients).

    levels: (..., patients, samples), log concentrations of the curve; measured: (patients,
    samples), logs of what was measured, NaN for none; below: where it was below the limit of
    quantification; noise: (patients,), standard deviation of a measured log; limit: (patients,),
    log of that limit. A sample below it has the probability of being there (M3 of Beal 2001).
    """
    sd = noise[:, None]
    there = np.isfinite(measured)
    apart = (np.where(there, measured, 0.0) - levels) / sd
    seen = -0.5 * apart**2 - np.log(sd) - 0.5 * np.log(2 * np.pi)
    score = np.where(below, log_tail((limit[:, None] - levels) / sd), seen)
    total: Array = np.where(there, score, 0.0).sum(axis=-1)
    return total


def log_tail(x: Array) -> Array:
    """The log of the standard normal distribution function, without underflow."""
    found: Array = torch.special.log_ndtr(torch.from_numpy(np.asarray(x, float))).numpy()
    return found


_OPTIONS: dict[str, Any] = {"threads": 1, "rtol": RTOL}


def _problem(
    what: Structure, logs: Array, doses: Doses, times: Array, order: NDArray[np.int64]
) -> tuple[Any, Any, Any, Any]:
    """What tl.simulate takes: model, parameters, doses, times."""
    duration: Any = None
    if what.absorption == "iv":
        duration = doses.duration
    elif what.absorption == "zero":
        duration = "modelled"
    regimen = tl.Regimen.columns(doses.amount, what.into, doses.time, duration=duration)
    return what.model, what.values(logs), regimen, np.take_along_axis(times, order, axis=1)


def _unsorted(values: Array, order: NDArray[np.int64]) -> Array:
    """Values (patients, times, ...) at sorted times, where their times stood."""
    return np.take_along_axis(values, np.argsort(order, axis=1)[..., None], axis=1)
