"""What the data say of the parameters, and what they cannot tell.

Both follow from the spectrum of the Fisher information. On the scale of logarithms the inverse
square root of an eigenvalue is the relative standard error of a product of powers of parameters,
the eigenvector's. Where it is above log 10 the data leave that product open by more than a factor
of ten. Parameters that are searched as they are count in units that change predictions by about the
size of observations.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.fitting.scale import Scale

__all__ = ["correlation", "covariance", "statements", "structural"]

OPEN = np.log(10.0)


def structural(information: Array, p: int) -> Array:
    """(k, p, p) the information of the first p parameters when all are estimated.

    information: (k, q, q), of which the last q - p are those of the residual error.
    """
    a, b, d = information[:, :p, :p], information[:, :p, p:], information[:, p:, p:]
    if not b.shape[2]:
        return a
    return a - b @ np.linalg.pinv(d, hermitian=True) @ b.transpose(0, 2, 1)


def covariance(information: Array, free: NDArray[np.bool_]) -> Array:
    """(k, p, p) the inverse of an information, of what is free (k, p); NaN of the rest.

    Variances are infinite for parameters in directions of which nothing is known.
    """
    result = np.full_like(information, np.nan)
    for k, of in enumerate(free):
        place = np.ix_(of, of)
        each = information[k][place]
        size = np.sqrt(np.maximum(np.diag(each), 0.0))
        unit = np.where(size > 0.0, size, 1.0)
        values, vectors = np.linalg.eigh(each / np.outer(unit, unit))
        known = values > 1e-10 * max(values.max(initial=0.0), 1e-300)
        inverse = (
            (vectors * np.where(known, 1.0 / np.where(known, values, 1.0), 0.0))
            @ vectors.T
            / np.outer(unit, unit)
        )
        lost = (np.abs(vectors[:, ~known]) > 1e-3).any(axis=1) | (size == 0.0)
        inverse[lost, :], inverse[:, lost] = np.nan, np.nan
        inverse[lost, lost] = np.inf
        result[k][place] = inverse
    return result


def statements(
    information: Array, scale: Scale, unit: Array, free: NDArray[np.bool_]
) -> tuple[Array, list[str]]:
    """Eigenvalues (k, p), ascending, and a sentence for each problem.

    The sentence says what the data do not identify; "" if all is. unit: (k, p) of parameters that
    are searched as they are, 1 of logarithms. free: (k, p) which are not at a bound; NaN stands
    last for the others.
    """
    spectrum, told = np.full(unit.shape, np.nan), []
    for k, each in enumerate(information * (unit[:, :, None] * unit[:, None, :])):
        of = np.flatnonzero(free[k])
        values, vectors = np.linalg.eigh(each[np.ix_(of, of)])
        spectrum[k, : of.size] = values
        parts = [
            _combination(direction, scale, unit[k], of)
            for value, direction in zip(values, vectors.T, strict=True)
            if value < OPEN**-2
        ]
        told.append(f"the data do not identify {' nor '.join(parts)}" if parts else "")
    return spectrum, told


def _combination(direction: Array, scale: Scale, unit: Array, of: NDArray[np.intp]) -> str:
    """What a direction of parameters `of` changes, its largest part as it is.

    A product of powers of those that are searched as logarithms, a sum of others.
    """
    direction = direction / direction[np.argmax(np.abs(direction))]
    shown = [(int(k), part) for k, part in zip(of, direction, strict=True) if abs(part) > 0.1]
    logs = [bool(scale.logarithmic[k]) for k, _ in shown]
    names = [scale.names[k] for k, _ in shown]
    if all(logs):
        return " * ".join(
            name if abs(power - 1.0) < 0.05 else f"{name}^{power:.2g}"
            for name, (_, power) in zip(names, shown, strict=True)
        )
    if any(logs):
        return f"{', '.join(names[:-1])} and {names[-1]} from each other"
    size = unit[max(shown, key=lambda each: abs(each[1]))[0]]
    sums = [f"{part * unit[k] / size:.2g} {scale.names[k]}" for k, part in shown]
    return " + ".join(sums).replace("+ -", "- ") if len(names) > 1 else names[0]


def correlation(covariances: Array) -> Array:
    """(k, p, p) correlations from covariances."""
    size = np.sqrt(np.einsum("kii->ki", covariances))
    with np.errstate(invalid="ignore"):
        result: Array = covariances / (size[:, :, None] * size[:, None, :])
    return result
