"""What a search has found, as a Fit.

Of each problem the best start, and what is to be said of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.fitting.identifiability import correlation, covariance, statements, structural
from teorell.fitting.levenberg import Found
from teorell.fitting.result import Fit
from teorell.fitting.work import Work

__all__ = ["fit_of"]

# objectives that agree, and parameters that differ, of other solutions
SAME_OBJECTIVE, OTHER_POINT = 1e-5, 1e-2


def fit_of(work: Work, found: Found, starts: int) -> Fit:
    """What was found from so many starts of each problem, as a Fit."""
    scale, data, problems = work.scale, work.data, work.problems
    everyone, p = np.arange(problems), len(scale.names)
    same, best = _best(found.value.reshape(starts, problems))
    chosen = best * problems + everyone
    points, objective = found.points[chosen], found.value[chosen]
    values, logs = scale.values(points[:, :p]), work.logs(everyone, points)
    of_parameters = structural(found.information[chosen], p)
    covariances = covariance(of_parameters) * _correction(work, p)[:, None, None]
    spectrum, told = statements(of_parameters, scale)
    errors = np.sqrt(np.einsum("kii->ki", covariances)) * scale.slope(values)
    predicted, residuals = _residuals(work, points)
    others = [_others(work, found, same, int(best[k]), k) for k in range(problems)]
    finite = np.isfinite(objective)
    good = found.converged[chosen] & finite
    messages = (
        _message(work, bool(good[k]), bool(finite[k]), told[k], others[k]) for k in range(problems)
    )
    named = work.error.estimated
    error = {
        name: np.exp(logs[:, named.index(name)]) if size is None else np.full(problems, size)
        for name, size in (("sd", work.error.sd), ("cv", work.error.cv))
        if size != 0.0
    }
    return Fit(
        ids=data.ids,
        names=scale.names,
        estimates=dict(zip(scale.names, values.T, strict=True)),
        standard_errors=dict(zip(scale.names, errors.T, strict=True)),
        error=error,
        objective=2.0 * objective,
        covariance=covariances,
        correlation=correlation(covariances),
        spectrum=spectrum,
        identifiability=tuple(told),
        converged=good,
        message=tuple(messages),
        alternatives=tuple(others),
        subject=np.repeat(np.arange(data.subjects), data.counts),
        time=data.times,
        observed=data.y,
        below=data.below,
        predicted=predicted,
        residuals=residuals,
        pooled=work.pooled,
        _profile=work.profile,
    )


def _best(value: Array) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Which starts have the least objective of their problem, and the first of these (problems,).

    value: (starts, problems).
    """
    best = np.argmin(np.where(np.isfinite(value), value, np.inf), axis=0)
    least = value[best, np.arange(value.shape[1])]
    with np.errstate(invalid="ignore"):
        same = value - least <= SAME_OBJECTIVE * np.maximum(np.abs(least), 1.0)
    return same, np.argmax(same, axis=0)


def _correction(work: Work, p: int) -> Array:
    """(problems,) n / (n - p), as in regression, where the residual error is estimated; else 1."""
    if not work.error.estimated:
        return np.ones(work.problems)
    counts = np.array([work.data.counts.sum()]) if work.pooled else work.data.counts
    corrections: Array = np.where(counts > p, counts / np.maximum(counts - p, 1), 1.0)
    return corrections


def _residuals(work: Work, points: Array) -> tuple[Array, Array]:
    """Predictions (rows,), and residuals (rows,) in standard deviations of the residual error.

    points: (problems, q). Residuals are NaN below the limit of quantification.
    """
    everyone = np.arange(work.problems)
    f, _, owner = work.predict(everyone, points)
    rows = work.data.rows(work.subjects(everyone))
    variance = work.error.variance(f, work.logs(everyone, points)[owner])[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = (work.data.y[rows] - f) / np.sqrt(variance)
    return f, np.where(work.data.below[rows], np.nan, scaled)


def _others(
    work: Work, found: Found, same: NDArray[np.bool_], best: int, k: int
) -> tuple[dict[str, float], ...]:
    """Other solutions of problem k that have the same objective as its start `best`.

    same: (starts, problems) is the objective the least?
    """
    p, problems = len(work.scale.names), work.problems
    kept = [found.points[best * problems + k, :p]]
    for s in np.flatnonzero(same[:, k]):
        point = found.points[s * problems + k, :p]
        other = all(np.abs(point - x).max() > OTHER_POINT for x in kept)
        if found.converged[s * problems + k] and other:
            kept.append(point)
    return tuple(
        dict(zip(work.scale.names, work.scale.values(x[None])[0].tolist(), strict=True))
        for x in kept[1:]
    )


def _message(
    work: Work, good: bool, finite: bool, told: str, others: tuple[dict[str, float], ...]
) -> str:
    """What is to be said of one problem, "converged" if nothing is.

    good: has it converged? finite: has it a likelihood? told: what the data do not identify.
    """
    parts = []
    if not finite:
        zero = (
            ", or a prediction is 0, where a proportional error is 0 too (teorell.Combined has a "
            "floor)"
        )
        failed = "no start has a likelihood: a simulation failed"
        return failed + zero if work.error.sd == 0.0 else failed
    if not good:
        parts.append("not converged")
    if told:
        parts.append(told)
    elif others:
        solutions = "; ".join(", ".join(f"{n} {v:.4g}" for n, v in each.items()) for each in others)
        parts.append(
            f"other solutions have the same objective ({solutions}): flip-flop, if rates have "
            "changed places"
        )
    return "; ".join(parts) or "converged"
