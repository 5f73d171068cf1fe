"""What the data say of the parameters, and what they cannot tell.

Both follow from the spectrum of the Fisher information. On the scale of logarithms the inverse
square root of an eigenvalue is the relative standard error of a product of powers of parameters,
the eigenvector's. Where it is above log 10 the data leave that product open by more than a factor
of ten.
"""

from __future__ import annotations

import numpy as np

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


def covariance(information: Array) -> Array:
    """(k, p, p) the inverse of an information.

    Variances are infinite for parameters in directions of which nothing is known.
    """
    result = np.empty_like(information)
    for k, each in enumerate(information):
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
        result[k] = inverse
    return result


def statements(information: Array, scale: Scale) -> tuple[Array, list[str]]:
    """Eigenvalues (k, p), ascending, and a sentence for each problem.

    The sentence says what the data do not identify; "" if all is.
    """
    unit = np.where(scale.logarithmic, 1.0, np.maximum(np.abs(scale.start), 1e-3))
    values, vectors = np.linalg.eigh(information * np.outer(unit, unit))
    told = []
    for spectrum, basis in zip(values, vectors.transpose(0, 2, 1), strict=True):
        parts = [
            _product(direction, scale)
            for each, direction in zip(spectrum, basis, strict=True)
            if each < OPEN**-2
        ]
        told.append(f"the data do not identify {' nor '.join(parts)}" if parts else "")
    return values, told


def _product(direction: Array, scale: Scale) -> str:
    """The combination that a direction changes, its largest part as it is."""
    direction = direction / direction[np.argmax(np.abs(direction))]
    shown = [
        (name, power)
        for name, power in zip(scale.names, direction, strict=True)
        if abs(power) > 0.1
    ]
    return " * ".join(
        name if abs(power - 1.0) < 0.05 else f"{name}^{power:.2g}" for name, power in shown
    )


def correlation(covariances: Array) -> Array:
    """(k, p, p) correlations from covariances."""
    size = np.sqrt(np.einsum("kii->ki", covariances))
    with np.errstate(invalid="ignore"):
        result: Array = covariances / (size[:, :, None] * size[:, None, :])
    return result
