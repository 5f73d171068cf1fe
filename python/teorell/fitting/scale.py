"""The scale on which parameters are searched.

It is that of logarithms for those that are positive, others are searched as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array, numbers
from teorell.errors import InputError, suggestion
from teorell.model import Model

__all__ = ["LogNormal", "Scale", "scale_of"]


@dataclass(frozen=True)
class LogNormal:
    """A prior: the logarithm is normal about that of `median`, with standard deviation `sd`."""

    median: float
    sd: float

    def __post_init__(self) -> None:
        for name in ("median", "sd"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and 0.0 < value < np.inf):
                raise InputError(
                    f"{name} of a prior is {value!r} (it is positive). Give a number above 0."
                )


@dataclass(frozen=True, eq=False)
class Scale:
    """How the estimated parameters are searched.

    Which as logarithms, where they start, bounds and priors on that scale.
    """

    names: tuple[str, ...]
    logarithmic: NDArray[np.bool_]  # (p,)
    start: Array  # (p,)
    low: Array  # (p,)
    high: Array
    # (p, 2): mean and standard deviation; infinite standard deviation where there is none
    prior: Array

    def values(self, points: Array) -> Array:
        """(k, p) natural values of points (k, p)."""
        return np.where(self.logarithmic, np.exp(np.where(self.logarithmic, points, 0.0)), points)

    def slope(self, values: Array) -> Array:
        """d value / d point of parameters with these natural values, in their shape."""
        return np.where(self.logarithmic, values, 1.0)

    def starts(self, n: int, seed: int) -> Array:
        """(n, p): the start, then others about it, ever farther.

        Up to a factor of 5, or 1.6 sizes, a deviation.
        """
        z = np.random.default_rng(seed).standard_normal((n, len(self.names)))
        z *= np.linspace(0.0, 1.6, n)[:, None]
        points: Array = np.clip(self.start + self._unit * z, self.low, self.high)
        return points

    @property
    def _unit(self) -> Array:
        """(p,) the deviation of starts: 1 of a logarithm, the size of the start of others."""
        return np.where(self.logarithmic, 1.0, np.maximum(np.abs(self.start), 1e-3))


def scale_of(
    model: Model,
    estimate: Mapping[str, Any],
    bounds: Mapping[str, Any],
    priors: Mapping[str, LogNormal],
) -> Scale:
    """The scale of a fit. InputError where names, starts, bounds or priors do not fit."""
    if not isinstance(estimate, Mapping) or not estimate:
        raise InputError(
            "there is nothing to estimate (names and where to start are needed). Give {'cl': 3.0}."
        )
    names = tuple(estimate)
    for what, given in (("bounds", bounds), ("priors", priors)):
        for name in given:
            if name not in names:
                raise InputError(
                    f"{what} name {name!r} (it is not estimated). {suggestion(name, names)}"
                )
    logarithmic, rows, prior = [], [], []
    for name in names:
        if name not in model.parameter_names:
            raise InputError(
                f"unknown parameter {name!r} (model {model.name!r} does not declare it). "
                f"{suggestion(name, model.parameter_names)}"
            )
        start, low, high, positive = _range(model, name, estimate[name], bounds.get(name))
        if name in priors and not (positive and isinstance(priors[name], LogNormal)):
            raise InputError(
                f"the prior of {name!r} does not suit (it is for positive parameters). Give a "
                "teorell.LogNormal."
            )
        logarithmic.append(positive)
        rows.append([float(np.log(each)) if positive else each for each in (start, low, high)])
        prior.append(
            (np.log(priors[name].median), priors[name].sd) if name in priors else (0.0, np.inf)
        )
    starts, lows, highs = np.array(rows).T
    return Scale(names, np.array(logarithmic), starts, lows, highs, np.array(prior))


def _range(model: Model, name: str, start: Any, bounds: Any) -> tuple[float, float, float, bool]:
    """Start and bounds of one parameter, and whether it is searched as a logarithm.

    bounds: what the user gave, or None. InputError where the start is outside.
    """
    first = float(_one(start, f"the start of {name!r}"))
    info = model.parameter_info(name)
    given = (-1e300, 1e300) if bounds is None else bounds
    low, high = (float(_one(bound, f"a bound of {name!r}")) for bound in given)
    low = max(low, -1e300 if info.lower is None else float(info.lower))
    high = min(high, 1e300 if info.upper is None else float(info.upper))
    positive = first > 0.0 and (low >= 0.0 or bounds is None)
    low = max(low, 1e-300) if positive else low
    if not low <= first <= high:
        raise InputError(
            f"{name!r} starts at {first:g} (outside of its bounds, {low:g} to {high:g}). Start "
            "within them."
        )
    return first, low, high, positive


def _one(value: Any, what: str) -> Array:
    """A number that serves all subjects; InputError for an array."""
    array = numbers(value, what)
    if array.ndim:
        raise InputError(f"{what} is an array (one number serves all subjects). Give one number.")
    return array
