"""What a search has found, as a Fit.

Of each problem the best start, and what is to be said of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.fitting.identifiability import correlation, covariance, statements, structural
from teorell.fitting.levenberg import Found
from teorell.fitting.message import ended, message
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
    values = scale.values(points[:, :p])
    side = ended(points, found.gradient[chosen], work.low, work.high)
    free, unit = side == 0, work.units(everyone, points)
    information = found.information[chosen] * (free[:, :, None] & free[:, None, :])
    of_parameters = structural(information, p)
    covariances = covariance(of_parameters, free[:, :p]) * _correction(work, free)[:, None, None]
    spectrum, told = statements(of_parameters, scale, unit, free[:, :p])
    errors = np.sqrt(np.einsum("kii->ki", covariances)) * scale.slope(values)
    predicted, residuals = _residuals(work, points)
    others = [_others(work, found, same, int(best[k]), k, unit[k]) for k in range(problems)]
    finite = np.isfinite(objective)
    good = found.converged[chosen] & finite
    messages = tuple(
        message(work, bool(good[k]), bool(finite[k]), told[k], side[k], values[k], others[k])
        for k in range(problems)
    )
    return Fit(
        ids=data.ids,
        names=scale.names,
        estimates=dict(zip(scale.names, values.T, strict=True)),
        standard_errors=dict(zip(scale.names, errors.T, strict=True)),
        error=_errors(work, points),
        objective=2.0 * objective,
        covariance=covariances,
        correlation=correlation(covariances),
        spectrum=spectrum,
        identifiability=tuple(told),
        converged=good,
        message=messages,
        alternatives=tuple(others),
        subject=data.owner,
        time=data.times,
        observed=data.seen.y,
        below=data.seen.censored == 1,
        predicted=predicted,
        residuals=residuals,
        pooled=work.pooled,
        censored=data.seen.censored,
        output=np.array(data.outputs)[data.seen.output],
        _profile=work.profile,
    )


def _errors(work: Work, points: Array) -> dict[str, Array]:
    """The sizes of the residual error at points (problems, q), those that are known too."""
    logs, scatter = work.logs(np.arange(work.problems), points), work.scatter
    error = {}
    for output, one in enumerate(scatter.errors):
        for name, size in (("sd", one.sd), ("cv", one.cv)):
            if size is None:
                values = np.exp(logs[:, scatter.estimated.index((output, name))])
            else:
                values = np.full(work.problems, float(size))
            if size != 0.0:
                error[scatter.name(output, name)] = values
    return error


def _best(value: Array) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Which starts have the least objective of their problem, and the first of these (problems,).

    value: (starts, problems).
    """
    best = np.argmin(np.where(np.isfinite(value), value, np.inf), axis=0)
    least = value[best, np.arange(value.shape[1])]
    with np.errstate(invalid="ignore"):
        same = value - least <= SAME_OBJECTIVE * np.maximum(np.abs(least), 1.0)
    return same, np.argmax(same, axis=0)


def _correction(work: Work, free: NDArray[np.bool_]) -> Array:
    """(problems,) n / (n - p), as in regression, where the residual error is estimated; else 1.

    free: (problems, q) what is not at a bound; p counts such parameters.
    """
    k = len(work.scale.names)
    p = free[:, :k].sum(axis=1)
    counts = np.array([work.data.counts.sum()]) if work.pooled else work.data.counts
    scaled = (counts > p) & free[:, k:].any(axis=1)
    corrections: Array = np.where(scaled, counts / np.maximum(counts - p, 1), 1.0)
    return corrections


def _residuals(work: Work, points: Array) -> tuple[Array, Array]:
    """Predictions (rows,), and residuals (rows,) in standard deviations of the residual error.

    points: (problems, q). Residuals are NaN below and above limits.
    """
    everyone = np.arange(work.problems)
    f, _, owner = work.predict(everyone, points)
    seen = work.data.seen  # the rows of all subjects, in their order
    variance = work.scatter.variance(f, work.logs(everyone, points)[owner], seen.output)[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = (seen.y - f) / np.sqrt(variance)
    return f, np.where(seen.censored != 0, np.nan, scaled)


def _others(
    work: Work, found: Found, same: NDArray[np.bool_], best: int, k: int, unit: Array
) -> tuple[dict[str, float], ...]:
    """Other solutions of problem k that have the same objective as its start `best`.

    same: (starts, problems) is the objective the least? unit: (p,) of parameters.
    """
    p, problems = len(work.scale.names), work.problems
    kept = [found.points[best * problems + k, :p]]
    for s in np.flatnonzero(same[:, k]):
        point = found.points[s * problems + k, :p]
        other = all((np.abs(point - x) / unit).max() > OTHER_POINT for x in kept)
        if found.converged[s * problems + k] and other:
            kept.append(point)
    return tuple(
        dict(zip(work.scale.names, work.scale.values(x[None])[0].tolist(), strict=True))
        for x in kept[1:]
    )
