"""What a loss of the user's may be and return, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from teorell.arrays import Array, agree, numbers, unmasked
from teorell.errors import InputError, count, suggestion
from teorell.schedule.record_times import RecordTimes
from teorell.simulation.reductions import Reductions

__all__ = [
    "Loss", "check_spreads", "finite", "fitting", "number_of", "parts_of", "shaped", "slope_of",
    "spread_weights", "told", "weighted", "weighted_reductions",
]  # fmt: skip

# From values, reductions (k, reductions) and the patients, where it is by patient: the value, the
# slope of the values or None, and that of the reductions (k, reductions) or None.
Loss: TypeAlias = Callable[..., tuple[Any, Any, Array | None]]


def weighted(weights: ArrayLike, shape: tuple[int, ...], times: RecordTimes | None = None) -> Loss:
    """sum(weights * values) as a loss by patient; InputError where the weights do not fit.

    shape: of the values. times: where each patient has its own. In a place without a sample a
    weight counts for nothing.
    """
    spread = fitting(weights, shape)

    def loss(
        values: Array, reduced: Array, patients: NDArray[np.int64]
    ) -> tuple[Array, Array, None]:
        if times is not None and times.width is None:
            slope = spread[times.rows_of(patients)]
            total = np.zeros(len(patients))
            np.add.at(total, times.among(patients), (slope * values).sum(axis=1))
            return total, slope, None
        slope = spread[patients]
        product = slope * values
        if times is not None:
            product[~times.taken(patients)] = 0.0
        return product.reshape(len(values), -1).sum(axis=1), slope, None

    return loss


def fitting(weights: ArrayLike, shape: tuple[int, ...]) -> Array:
    """Weights as an array of this shape, that of the values; InputError where they do not fit."""
    array = _real(weights, "weights")
    check_spreads(array.shape, shape)
    if not np.isfinite(array).all():
        raise InputError(
            "weights are not finite (each value counts with its weight). Give 0 where one does not "
            "count."
        )
    return np.broadcast_to(array, shape)


def check_spreads(given: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """InputError unless weights of the shape `given` broadcast to that of the values."""
    pairs = zip(given[::-1], shape[::-1], strict=False)
    if len(given) > len(shape) or any(own not in (1, full) for own, full in pairs):
        raise InputError(
            f"weights have shape {given} (they weight the values, of shape {shape}: "
            "patients, times, outputs). Give an array that broadcasts to it."
        )


def weighted_reductions(
    weights: Mapping[str, ArrayLike], reductions: Reductions, patients: int
) -> Loss:
    """The sum of weight * reduction, by name, as a loss by patient.

    InputError where names or weights do not fit.
    """
    spread = spread_weights(weights, reductions, patients)
    used = np.flatnonzero(spread.any(axis=0))

    def loss(values: Array, reduced: Array, of: NDArray[np.int64]) -> tuple[Array, None, Array]:
        return (spread[of][:, used] * reduced[:, used]).sum(axis=1), None, spread[of]

    return loss


def spread_weights(
    weights: Mapping[str, ArrayLike], reductions: Reductions, patients: int
) -> Array:
    """(patients, reductions): weights by name, with 0 for what is not named.

    InputError where names or weights do not fit.
    """
    spread = np.zeros((patients, len(reductions)))
    for name, weight in weights.items():
        array = numbers(weight, f"the weight of {name!r}")
        if array.ndim:
            agree([("the simulation", patients), (f"the weight of {name!r}", array.size)])
        spread[:, number_of(reductions, name)] = array
    return spread


def told(loss: Callable[..., tuple[Any, ...]], reductions: Reductions) -> Loss:
    """The user's loss as a loss of the core's numbers; what it returns is checked.

    The user's is told the reductions by name, if there are any.
    """

    def call(
        values: Array, reduced: Array, *patients: NDArray[np.int64]
    ) -> tuple[Any, Any, Array | None]:
        if not reductions:
            return *parts_of(loss(values, *patients), "value", "slope"), None
        value, slope, slopes = parts_of(
            loss(values, reductions.labelled(reduced), *patients), "value", "slope", "slopes"
        )
        return value, slope, _by_column(slopes, reductions, len(reduced))

    return call


def parts_of(result: Any, *names: str) -> tuple[Any, ...]:
    """What a loss returned, if it is a tuple of these parts, else InputError."""
    if not isinstance(result, tuple) or len(result) != len(names):
        raise InputError(
            f"the loss returned a {type(result).__name__} (a value and its slope are needed). "
            f"Return ({', '.join(names)})."
        )
    return result


def _by_column(slopes: Any, reductions: Reductions, patients: int) -> Array:
    """(patients, reductions) from slopes by name."""
    if not isinstance(slopes, Mapping):
        raise InputError(
            f"the slopes of the reductions are a {type(slopes).__name__} (each has a name). Return "
            "a mapping of names to arrays, one number a patient."
        )
    result = np.zeros((patients, len(reductions)))
    for name, slope in slopes.items():
        result[:, number_of(reductions, name)] = shaped(slope, (patients,), f"slope by {name!r}")
    return result


def number_of(reductions: Reductions, name: str) -> int:
    """The column of a reduction; InputError for an unknown name."""
    if name not in reductions.keys:
        raise InputError(
            f"unknown reduction {name!r} (it is not asked for). "
            f"{suggestion(str(name), reductions.keys)}"
        )
    return reductions.keys.index(name)


def slope_of(given: Any, shape: tuple[int, ...]) -> Array:
    """The slope of the values as float64; None is 0; InputError unless it has this shape."""
    return np.zeros(shape) if given is None else shaped(given, shape, "slope")


def _real(given: Any, what: str) -> Array:
    """`given` as float64 of any shape; InputError, which calls it `what`, for other types."""
    unmasked(given, what)
    array = np.asarray(given)
    if array.dtype.kind not in "iuf":
        raise InputError(f"{what} has type {array.dtype} (real numbers are needed). Give float64.")
    return array.astype(np.float64, copy=False)


def shaped(given: Any, shape: tuple[int, ...], what: str) -> Array:
    """The value or slope of a loss as float64; InputError unless it has this shape."""
    array = _real(given, f"the {what} of the loss")
    if array.shape != shape:
        meant = {0: "one number", 1: "one a patient"}.get(len(shape), "that of the values")
        raise InputError(
            f"the {what} of the loss has shape {array.shape} (it must be {shape}, {meant}). "
            "See teorell.value_and_grad for what a loss returns."
        )
    return array


def finite(slope: Array, patients: NDArray[np.int64]) -> Array:
    """The slope (k, times, outputs), or (k, outputs), of the patients (k,).

    InputError where it is not finite.
    """
    bad = np.flatnonzero(~np.isfinite(slope).all(axis=tuple(range(1, slope.ndim))))
    if bad.size:
        raise InputError(
            f"the slope of the loss is not finite (for {count(bad.size, 'patient')}, the first is "
            f"patient {patients[bad[0]]}). Correct the loss, for example where it divides by "
            "values of 0."
        )
    return slope
