"""Linear algebra of many small matrices by the core: one order of operations, so the same bits
whatever BLAS NumPy has.
"""

from __future__ import annotations

import numpy as np

from teorell import _core
from teorell.arrays import Array

__all__ = ["eigenvalues", "least_singular_value", "solved"]


def solved(matrices: Array, right: Array) -> Array:
    """(k, m) the solutions of k linear systems (k, m, m); NaN where there is none."""
    result = np.array(right, np.float64, order="C")
    _core.solve_matrices(matrices=np.array(matrices, np.float64, order="C"), right=result)
    return result


def eigenvalues(matrices: Array) -> tuple[Array, Array]:
    """(k, m) the real and the imaginary parts of the eigenvalues of (k, m, m) matrices.

    In conjugate pairs; NaN where none were found, as of a matrix that is not finite.
    """
    real, imaginary = np.empty((2, *matrices.shape[:2]))
    used = np.array(matrices, np.float64, order="C")
    _core.find_eigenvalues(matrices=used, real=real, imaginary=imaginary)
    return real, imaginary


def least_singular_value(matrix: Array) -> float:
    """Of a matrix (rows, columns) of no more rows than columns."""
    rotated = np.array(matrix, np.float64, order="C")
    _core.orthogonalise_rows(matrix=rotated)
    return float(np.sqrt((rotated**2).sum(axis=1)).min())
