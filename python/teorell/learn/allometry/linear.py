"""What the network is a residual on: ridge, a Gaussian with missing values, kernels of structure.

Everything is log10. `animals` is (drugs, 3), NaN where a species was not measured.
"""

from __future__ import annotations

import numpy as np

from teorell.arrays import Array

__all__ = ["filled", "gaussian", "gaussian_mean", "ridge", "ridge_mean", "structure_prior"]

RIDGE = 0.1  # penalty of squared weights, as in the measurements that the goals are from
ROUNDS = 25  # of expectation and maximisation: the likelihood changes no digit that matters
SHRINK = 0.015  # share of each variance added to it in a round
WIDTH, NUGGET = 4.0, 0.5  # of the kernel of standardised descriptors, of a unit amplitude
SAME_MASS = 0.011  # g/mol: a structure of this mass is taken for the same drug


def filled(animals: Array) -> Array:
    """(drugs, 6): values, the drug's mean where a species is missing; and which were measured.

    Rows without any species are 0.
    """
    seen = np.isfinite(animals)
    mean = np.nan_to_num(animals).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
    return np.column_stack([np.where(seen, animals, mean[:, None]), seen])


def ridge(animals: Array, human: Array) -> Array:
    """Weights (7,) of ridge regression; all values of `human` are known."""
    design = _design(animals)
    penalty = RIDGE * np.eye(design.shape[1])
    penalty[0, 0] = 0.0
    found = np.linalg.solve(design.T @ design + penalty, design.T @ human)
    return found.astype(np.float64)


def ridge_mean(weights: Array, animals: Array) -> Array:
    """Predictions (drugs,) of ridge regression."""
    found: Array = _design(animals) @ weights
    return found


def _design(animals: Array) -> Array:
    return np.column_stack([np.ones(len(animals)), filled(animals)])


def gaussian(values: Array) -> tuple[Array, Array]:
    """Mean (d,) and covariance (d, d) of rows (n, d) with missing values, by EM.

    Dempster, Laird, Rubin 1977; variances are inflated a little in each round.
    """
    n, d = values.shape
    seen = np.isfinite(values)
    mean, spread = np.nanmean(values, axis=0), np.diag(np.nanvar(values, axis=0) + 1e-3)
    patterns, which = np.unique(seen, axis=0, return_inverse=True)
    which = which.ravel()
    both = patterns[:, :, None] & patterns[:, None, :]
    rows = np.bincount(which)
    zeroed = np.where(seen, values, 0.0)
    for _ in range(ROUNDS):
        # of each pattern the covariance of what is seen, and 1 of what is not: its inverse there
        inverse = np.linalg.inv(np.where(both, spread, np.eye(d)))
        slopes = np.where(both, inverse, 0.0) @ spread  # (patterns, seen, all)
        apart = np.where(seen, zeroed - mean, 0.0)
        full = np.where(seen, values, mean + np.einsum("ni,nij->nj", apart, slopes[which]))
        rest = spread - spread @ slopes
        hidden = ~patterns[:, :, None] & ~patterns[:, None, :]
        unknown = (rows[:, None, None] * np.where(hidden, rest, 0.0)).sum(axis=0)
        mean = full.mean(axis=0)
        spread = ((full - mean).T @ (full - mean) + unknown) / n
        spread += SHRINK * np.diag(np.diag(spread))
    return mean, spread


def gaussian_mean(mean: Array, spread: Array, animals: Array) -> Array:
    """The expected first value (drugs,) of rows whose other values are `animals`."""
    found = np.full(len(animals), mean[0])
    seen = np.isfinite(animals)
    for pattern in np.unique(seen, axis=0):
        rows = np.flatnonzero((seen == pattern).all(axis=1))
        given = 1 + np.flatnonzero(pattern)
        slopes = np.linalg.solve(spread[np.ix_(given, given)], spread[given, 0])
        found[rows] += (animals[np.ix_(rows, given - 1)] - mean[given]) @ slopes
    return found


def structure_prior(
    structure: Array, mass: Array, known: Array, known_mass: Array, values: Array
) -> Array:
    """log10 CL, VDss and fu in humans (drugs, 3), from structure alone; NaN where it is not known.

    structure, known: (drugs, k), (rows, k); values: (rows, 3) of other drugs. A drug that is itself
    among these is predicted without them.
    """
    middle, scale = known.mean(axis=0), known.std(axis=0)
    a, b = (structure - middle) / scale, (known - middle) / scale
    kernel, inner = _kernel(a, b), _kernel(b, b)
    same = (np.abs(mass[:, None] - known_mass) < SAME_MASS) | (kernel > 1 - 1e-9)
    found = np.empty((len(structure), values.shape[1]))
    for column in range(values.shape[1]):
        rows = np.isfinite(values[:, column])
        y = values[rows, column]
        inverse = np.linalg.inv(inner[np.ix_(rows, rows)] + NUGGET * np.eye(rows.sum()))
        weights = inverse @ (y - y.mean())
        found[:, column] = y.mean() + kernel[:, rows] @ weights
        for drug, out in enumerate(same[:, rows]):
            if out.any():  # the regression without these rows, from that with them
                part = inverse[:, out] @ np.linalg.solve(inverse[np.ix_(out, out)], weights[out])
                found[drug, column] = y.mean() + kernel[drug, rows] @ (weights - part)
    return found


def _kernel(a: Array, b: Array) -> Array:
    """exp(-|a - b|^2 / 2 width^2), (rows of a, rows of b)."""
    square = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    found: Array = np.exp(-np.maximum(square, 0) / (2 * WIDTH**2))
    return found
