"""What a loss of the user's may be and return, checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from teorell.errors import InputError, count
from teorell.parameters import Array
from teorell.record_times import RecordTimes

__all__ = ["finite", "pair", "shaped", "weighted"]


def weighted(
    weights: ArrayLike, shape: tuple[int, ...], times: RecordTimes | None = None
) -> Callable[[Array, NDArray[np.int64]], tuple[Array, Array]]:
    """sum(weights * values) as a loss by patient. shape: of the values; InputError where the weights do not fit.

    times: where each patient has its own, and so the values are (samples, outputs).
    """
    array = _real(weights, "weights")
    try:
        spread = np.broadcast_to(array, shape)
    except ValueError:
        raise InputError(
            f"weights have shape {array.shape} (they weight the values, of shape {shape}: patients, times, outputs). "
            "Give an array that broadcasts to it."
        ) from None
    if not np.isfinite(array).all():
        raise InputError("weights are not finite (each value counts with its weight). Give 0 where one does not count.")

    def loss(values: Array, patients: NDArray[np.int64]) -> tuple[Array, Array]:
        if times is not None:
            slope = spread[times.rows(patients)]
            total = np.zeros(len(patients))
            np.add.at(total, times.among(patients), (slope * values).sum(axis=1))
            return total, slope
        slope = spread[patients]
        return (slope * values).reshape(len(values), -1).sum(axis=1), slope

    return loss


def pair(result: Any) -> tuple[Any, Any]:
    """The value and the slope that a loss returned; InputError if it did not return two things."""
    if not isinstance(result, tuple) or len(result) != 2:
        raise InputError(
            f"the loss returned a {type(result).__name__} (a value and its slope are needed). Return (value, slope)."
        )
    return result


def _real(given: Any, what: str) -> Array:
    """`given` as float64 of any shape."""
    array = np.asarray(given)
    if array.dtype.kind not in "iuf":
        raise InputError(f"{what} has type {array.dtype} (real numbers are needed). Give float64.")
    return array.astype(np.float64, copy=False)


def shaped(given: Any, shape: tuple[int, ...], what: str) -> Array:
    """The value or slope of a loss as float64; InputError unless it has this shape."""
    array = _real(given, f"the {what} of the loss")
    if array.shape != shape:
        raise InputError(
            f"the {what} of the loss has shape {array.shape} (it must be {shape}"
            f"{', one number' if shape == () else ', one a patient' if len(shape) == 1 else ', that of the values'}). "
            "See teorell.value_and_grad for what a loss returns."
        )
    return array


def finite(slope: Array, patients: NDArray[np.int64]) -> Array:
    """The slope (k, times, outputs), or (k, outputs), of the patients (k,); InputError where it is not finite."""
    bad = np.flatnonzero(~np.isfinite(slope).all(axis=tuple(range(1, slope.ndim))))
    if bad.size:
        raise InputError(
            f"the slope of the loss is not finite (for {count(bad.size, 'patient')}, the first is patient "
            f"{patients[bad[0]]}). Correct the loss, for example where it divides by values of 0."
        )
    return slope
