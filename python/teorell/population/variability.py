"""Log-normal parameters of people, correlated if told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.errors import InputError, suggestion
from teorell.physiology.variation import log_sd
from teorell.population.draws import normals, uniforms

__all__ = ["log_normal"]

STREAM = 0x7E0  # apart from the seeds of bodies: the same seed may be given to both


def log_normal(
    n: int,
    parameters: Mapping[str, tuple[float, float]],
    correlations: Mapping[tuple[str, str], float],
    seed: int,
) -> dict[str, NDArray[np.float64]]:
    """Log-normal numbers of n people, name -> (n,), from name -> (median, coefficient of
    variation). InputError for what is no distribution.
    """
    if not parameters:
        raise InputError("no parameter to vary (nothing is drawn). Name one.")
    names = list(parameters)
    pairs = [_checked(name, parameters[name]) for name in names]
    factor = _factor(names, correlations)
    key = int(np.random.SeedSequence([STREAM, seed]).generate_state(1, np.uint64)[0])
    blocks = [normals(each) @ factor.T for each in uniforms(key, n, 2 * len(names))]
    z = np.concatenate(blocks)
    return {
        name: median * np.exp(log_sd(cv) * z[:, k])
        for k, (name, (median, cv)) in enumerate(zip(names, pairs, strict=True))
    }


def _checked(name: str, given: Any) -> tuple[float, float]:
    try:
        median, cv = (float(each) for each in given)
    except (TypeError, ValueError):
        raise InputError(
            f"{name!r} is {given!r} (a median and a coefficient of variation are needed). Give two "
            "numbers."
        ) from None
    if not (math.isfinite(median) and median > 0.0 and math.isfinite(cv) and cv >= 0.0):
        raise InputError(
            f"{name!r} has the median {median:g} and the coefficient of variation {cv:g} (a "
            "log-normal number is above 0, its variation 0 or more). Correct them."
        )
    return median, cv


def _factor(names: list[str], correlations: Mapping[tuple[str, str], float]) -> NDArray[np.float64]:
    """The Cholesky factor of the correlations of logarithms."""
    matrix = np.eye(len(names))
    told: set[frozenset[str]] = set()
    for pair, value in correlations.items():
        if not isinstance(pair, tuple) or len(pair) != 2 or pair[0] == pair[1]:
            raise InputError(
                f"a correlation of {pair!r} (two names of parameters are needed). Give (name, "
                "name)."
            )
        for name in pair:
            if name not in names:
                raise InputError(
                    f"a correlation of {name!r} (it does not vary). {suggestion(str(name), names)}"
                )
        if frozenset(pair) in told:
            raise InputError(
                f"the correlation of {pair} is told twice (which is meant?). Leave one out."
            )
        told.add(frozenset(pair))
        if not (math.isfinite(value) and -1.0 <= value <= 1.0):
            raise InputError(f"the correlation of {pair} is {value} (-1 to 1). Correct it.")
        i, j = (names.index(name) for name in pair)
        matrix[i, j] = matrix[j, i] = value
    least = np.linalg.eigvalsh(matrix)[0]
    if least < -1e-10:
        raise InputError(
            f"the correlations contradict each other (no numbers have them all; the least "
            f"eigenvalue is {least:.2g}). Make them smaller."
        )
    values, vectors = np.linalg.eigh(matrix)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    return np.asarray(root @ vectors.T, np.float64)
