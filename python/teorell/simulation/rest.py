"""Whether a point where all rates are zero is one of rest: what is near it comes back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.model import Model
from teorell.model.declarations import LONG_AGO
from teorell.model.evaluate import evaluate_all
from teorell.model.expression import derivative, symbol

__all__ = ["rests"]

ROUNDING = 1e-9  # what a part of an eigenvalue may be by rounding, of the largest


def rests(
    model: Model, columns: tuple[Array, ...], states: Array, kept: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """(records,) Do small changes of the kept states die out, without a swing that stays?

    columns: a parameter each, () or (records,). states: (states, records). A solver that is
    L-stable damps a swing in its long steps, so the flow cannot tell; the Jacobian can. A change
    that nothing moves (a total) may stay.
    """
    from teorell.engine.dense import eigenvalues, solved

    jacobian = _jacobian(model, columns, states, kept)
    size = np.abs(states[kept].T) + 1e-6 * np.abs(states[kept].T).max(axis=1, keepdims=True) + 1e-30
    scaled = jacobian * size[:, None, :] / size[:, :, None]
    diagonal = np.einsum("kii->ki", scaled)
    # Where this matrix dies out, so does the other (Berman & Plemmons 1994, chapter 6).
    over = -np.abs(scaled)
    np.einsum("kii->ki", over)[...] = -diagonal
    slowness = solved(over, np.ones(diagonal.shape))
    with np.errstate(invalid="ignore"):
        result: NDArray[np.bool_] = np.asarray((slowness > 0.0).all(axis=1))
    doubtful = np.flatnonzero(~result)
    real, imaginary = eigenvalues(scaled[doubtful])
    with np.errstate(invalid="ignore"):
        size = np.sqrt(real**2 + imaginary**2)
        least = ROUNDING * size.max(axis=1, keepdims=True, initial=0.0)
        swings = (np.abs(imaginary) > least) & (real > -1e-8 * size)
        result[doubtful] = ~(swings | ~(real <= least)).any(axis=1)
    return result


def _jacobian(
    model: Model, columns: tuple[Array, ...], states: Array, kept: NDArray[np.bool_]
) -> Array:
    """(records, kept, kept) the derivatives of the rates of the kept states by them."""
    names = np.array(model.state_names)
    rates = model.derivatives()
    values = {symbol("state", name): states[k] for k, name in enumerate(names)}
    named = zip(model.parameter_names, columns, strict=True)
    values |= {symbol("parameter", name): column for name, column in named}
    values |= {symbol("after_dose", name): np.array(LONG_AGO) for name in names}
    entries = [
        derivative(rates[row], symbol("state", column))
        for row in names[kept]
        for column in names[kept]
    ]
    found = evaluate_all(entries, values)
    shape = np.zeros(states.shape[1])
    table = np.array(np.broadcast_arrays(*found, shape)[:-1])
    n = int(kept.sum())
    return np.ascontiguousarray(table.reshape(n, n, -1).transpose(2, 0, 1))
