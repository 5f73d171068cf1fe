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
from teorell.fitting.priors import LogNormal
from teorell.model import Model

__all__ = ["LogNormal", "Scale", "scale_of"]

# No parameter is searched beyond this factor from its start: one that runs there runs to 0, or off.
FAR = 27.631021115928547  # log(1e12)
MOST = 1e300  # a bound that is none


@dataclass(frozen=True, eq=False)
class Scale:
    """How the estimated parameters are searched.

    Which as logarithms, where they start, and bounds on that scale.
    """

    names: tuple[str, ...]
    logarithmic: NDArray[np.bool_]  # (p,)
    start: Array  # (p,)
    low: Array  # (p,)
    high: Array
    far: NDArray[np.bool_]  # (p, 2): is a bound, the lower or the upper, nobody's but the search's?

    def values(self, points: Array) -> Array:
        """(k, p) natural values of points (k, p)."""
        return np.where(self.logarithmic, np.exp(np.where(self.logarithmic, points, 0.0)), points)

    def slope(self, values: Array) -> Array:
        """d value / d point of parameters with these natural values, in their shape."""
        return np.where(self.logarithmic, values, 1.0)

    def starts(self, n: int, seed: int, unit: Array) -> Array:
        """(n, problems, p): the start, then others about it, ever farther.

        unit: (problems, p) the deviation of starts of parameters that start at 0, and are searched
        as they are. Up to a factor of 5, or 1.6 sizes, a deviation.
        """
        z = np.random.default_rng(seed).standard_normal((n, len(self.names)))
        z *= np.linspace(0.0, 1.6, n)[:, None]
        size = np.where(self.start == 0.0, unit, np.abs(self.start))
        size = np.where(self.logarithmic, 1.0, size)
        points: Array = np.clip(self.start + size * z[:, None], self.low, self.high)
        return points


def scale_of(model: Model, estimate: Mapping[str, Any], bounds: Mapping[str, Any]) -> Scale:
    """The scale of a fit. InputError where names, starts or bounds do not fit."""
    if not isinstance(estimate, Mapping) or not estimate:
        raise InputError(
            "there is nothing to estimate (names and where to start are needed). Give {'cl': 3.0}."
        )
    names = tuple(estimate)
    for name in bounds:
        if name not in names:
            raise InputError(
                f"bounds name {name!r} (it is not estimated). {suggestion(name, names)}"
            )
    rows = []
    for name in names:
        if name not in model.parameter_names:
            raise InputError(
                f"unknown parameter {name!r} (model {model.name!r} does not declare it). "
                f"{suggestion(name, model.parameter_names)}"
            )
        start, low, high, positive = _range(model, name, estimate[name], bounds.get(name))
        if positive:
            start, low, high = np.log(start), np.log(max(low, 1e-300)), np.log(high)
            rows.append((
                True, start, max(low, start - FAR), min(high, start + FAR),
                low < start - FAR, high > start + FAR,
            ))  # fmt: skip
        else:
            rows.append((False, start, low, high, False, False))
    logarithmic, starts, lows, highs, *far = (
        np.array(column) for column in zip(*rows, strict=True)
    )
    return Scale(names, logarithmic, starts, lows, highs, np.stack(far, 1))


def _range(model: Model, name: str, start: Any, bounds: Any) -> tuple[float, float, float, bool]:
    """Start and bounds of one parameter, and whether it is searched as a logarithm.

    bounds: what the user gave, or None. InputError where the start is outside.
    """
    first = _one(start, f"the start of {name!r}")
    info = model.parameter_info(name)
    lower, upper = (None, None) if bounds is None else _pair(bounds, name)
    low = max(-MOST if lower is None else lower, float(info.lower))
    high = min(MOST if upper is None else upper, float(info.upper))
    positive = first > 0.0 and (low >= 0.0 or bounds is None)
    if not max(low, -MOST) <= first <= high:
        shown = [each if abs(each) < MOST else np.copysign(np.inf, each) for each in (low, high)]
        raise InputError(
            f"{name!r} starts at {first:g} (outside of its bounds, {shown[0]:g} to {shown[1]:g}). "
            "Start within them."
        )
    if not low < high:
        raise InputError(
            f"the bounds of {name!r} are {low:g} and {high:g} (nothing lies between). Give it as "
            "fixed."
        )
    return first, max(low, 0.0) if positive else low, high, positive


def _pair(bounds: Any, name: str) -> tuple[float | None, float | None]:
    """The bounds that the user gave of a parameter, None where there is none."""
    if not isinstance(bounds, tuple | list | np.ndarray) or len(bounds) != 2:
        raise InputError(
            f"the bounds of {name!r} are {bounds!r} (there are two). Give (low, high), None for "
            "none."
        )
    ends = []
    for side, bound in zip((-1.0, 1.0), bounds, strict=True):
        infinite = isinstance(bound, float) and bound == side * np.inf
        ends.append(None if bound is None or infinite else _one(bound, f"a bound of {name!r}"))
    return ends[0], ends[1]


def _one(value: Any, what: str) -> float:
    """A number that serves all subjects; InputError for an array."""
    array = numbers(value, what)
    if array.ndim:
        raise InputError(f"{what} is an array (one number serves all subjects). Give one number.")
    return float(array)
