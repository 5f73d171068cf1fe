"""`fit`: a model to observations, by maximum likelihood with exact sensitivities; all subjects and
starts as one batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.errors import InputError
from teorell.event_table import EventTable
from teorell.fitting.data import Data, data_of, enough
from teorell.fitting.identifiability import correlation, covariance, statements, structural
from teorell.fitting.levenberg import Found, minimise
from teorell.fitting.profile import Profile, interval
from teorell.fitting.residual_error import Additive, Error, likelihood
from teorell.fitting.result import Fit
from teorell.fitting.scale import LogNormal, Scale, scale_of
from teorell.fitting.scipy_search import check, search
from teorell.model import Model
from teorell.parameters import Array
from teorell.progress import Progress, reporting

__all__ = ["fit"]

# objectives that agree, and parameters that differ, of other solutions
SAME_OBJECTIVE, OTHER_POINT = 1e-5, 1e-2


def fit(
    model: Model,
    observations: EventTable,
    estimate: Mapping[str, float],
    output: str | None = None,
    *,
    error: Error | None = None,
    pooled: bool = False,
    fixed: Mapping[str, Any] | None = None,
    priors: Mapping[str, LogNormal] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    starts: int = 5,
    seed: int = 0,
    optimizer: str | None = None,
    progress: bool | Progress | None = None,
    **options: Any,
) -> Fit:
    """Fit a model to the observations of an event table, each subject by itself or all pooled.

    estimate: names of parameters and where to start. Those that start above 0, and whose bounds are
        not negative, are searched as logarithms.
    output: what was measured; None is the only output. error: teorell.Additive() (the default),
        Proportional() or Combined(); what they are not given is estimated. Values below the limit
        of quantification (BLQ with LLOQ) count by the probability of being there (M3).
    fixed: other parameters, numbers or (subjects,).
    priors: name -> teorell.LogNormal, which makes it a maximum a posteriori.
    bounds: name -> (low, high), within those of the model.
    starts: how many points to start from: the one given, and others about it drawn with `seed`.
    optimizer: None is Fisher scoring of all subjects and starts at once; "L-BFGS-B" and "SLSQP" are
        SciPy's, one problem after the other, with the same exact gradients.
    options: those of teorell.simulate (rtol, threads, ...).

    Raises InputError, before any work, for what does not fit together. A problem that does not
    converge has its message.
    """
    chosen = Additive() if error is None else error
    if not isinstance(chosen, Error):
        raise TypeError(
            f"error is a {type(chosen).__name__} (how do observations scatter?). Give "
            "teorell.Additive()."
        )
    if isinstance(starts, bool) or not isinstance(starts, int) or starts < 1:
        raise InputError(
            f"starts is {starts!r} (one is the least). Give a whole number of 1 or more."
        )
    if optimizer is not None:
        check(optimizer)
    scale = scale_of(model, estimate, bounds or {}, priors or {})
    data = data_of(model, observations, output, scale.names, dict(fixed or {}), options)
    free = len(scale.names) + len(chosen.estimated) - int(np.isfinite(scale.prior[:, 1]).sum())
    enough(data, free, pooled)
    work = _Work(data, scale, chosen, pooled)
    first = np.repeat(work.starts(starts, seed), work.problems, axis=0)

    def evaluate(which: NDArray[np.int64], points: Array) -> tuple[Array, Array, Array]:
        return work.evaluate(which % work.problems, points)

    if optimizer is not None:
        return _result(work, search(optimizer, evaluate, first, work.low, work.high), starts)
    with reporting(progress, len(first)) as report:
        found = minimise(evaluate, first, work.low, work.high, progress=report)
    return _result(work, found, starts)


@dataclass(frozen=True, eq=False)
class _Work:
    data: Data
    scale: Scale
    error: Error
    pooled: bool

    @property
    def problems(self) -> int:
        return 1 if self.pooled else self.data.subjects

    @property
    def low(self) -> Array:
        return np.append(self.scale.low, np.full(len(self.error.estimated), np.log(1e-9)))

    @property
    def high(self) -> Array:
        return np.append(self.scale.high, np.full(len(self.error.estimated), np.log(1e3)))

    def starts(self, n: int, seed: int) -> Array:
        """(n, q)"""
        points = self.scale.starts(n, seed)
        return np.concatenate([points, np.full((n, len(self.error.estimated)), np.log(0.2))], 1)

    @cached_property
    def sizes(self) -> Array:
        """(problems,) of the observations: what sd is told in while it is searched, so that no
        subject depends on others.
        """
        total = np.add.reduceat(np.abs(self.data.y), self.data.offsets[:-1])
        mean = (
            np.array([total.sum() / self.data.y.size]) if self.pooled else total / self.data.counts
        )
        return np.where(mean > 0.0, mean, 1.0)

    def logs(self, which: NDArray[np.int64], points: Array) -> Array:
        """(k, estimated): the logarithms of what is estimated of the residual error, in problems
        (k,).
        """
        logs = np.array(points[:, len(self.scale.names) :])
        if "sd" in self.error.estimated:
            logs[:, self.error.estimated.index("sd")] += np.log(self.sizes[which])
        return logs

    def subjects(self, which: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of problems (k,): their subjects, one after the other."""
        return np.tile(np.arange(self.data.subjects), len(which)) if self.pooled else which

    def predict(
        self, which: NDArray[np.int64], points: Array
    ) -> tuple[Array, Array, NDArray[np.int64]]:
        """Of problems (k,) at points (k, q): predictions (rows,), slopes by points (rows, p), the
        problem of each row.
        """
        p = len(self.scale.names)
        each = self.data.subjects if self.pooled else 1
        values = self.scale.values(points[:, :p])
        subjects = self.subjects(which)
        f, slopes = self.data.predict(subjects, np.repeat(values, each, axis=0))
        owner = np.repeat(np.repeat(np.arange(len(which)), each), self.data.counts[subjects])
        return f, slopes * self.scale.slope(values)[owner], owner

    def evaluate(self, which: NDArray[np.int64], points: Array) -> tuple[Array, Array, Array]:
        p = len(self.scale.names)
        f, slopes, owner = self.predict(which, points)
        rows = self.data.rows(self.subjects(which))
        value, gradient, information = likelihood(
            self.error, self.data.y[rows], self.data.below[rows], self.data.limit[rows], f, slopes,
            self.logs(which, points)[owner], owner, len(which),
        )  # fmt: skip
        mean, sd = self.scale.prior.T
        away = (points[:, :p] - mean) / sd
        gradient[:, :p] += away / sd
        information[:, range(p), range(p)] += 1.0 / sd**2
        known = np.isfinite(sd)
        constant = np.log(sd[known]).sum() + 0.9189385332046727 * known.sum()
        return value + 0.5 * (away * away).sum(axis=1) + constant, gradient, information

    def profile(self, result: Fit, name: str, points: int, width: float) -> Profile:
        """See Fit.profile."""
        k, problems = self.scale.names.index(name), self.problems
        values = np.array([result.estimates[each] for each in self.scale.names]).T
        at = np.where(
            self.scale.logarithmic, np.log(np.where(self.scale.logarithmic, values, 1.0)), values
        )
        units = {"sd": self.sizes, "cv": np.ones(problems)}
        logs = [np.log(result.error[each] / units[each]) for each in self.error.estimated]
        best = np.concatenate([at, np.array(logs).T.reshape(problems, -1)], 1)
        sd = np.sqrt(result.covariance[:, k, k])
        sd = np.where(np.isfinite(sd), sd, np.log(10.0))
        offsets = np.linspace(-width, width, points)
        grid = np.clip(
            best[:, k, None] + sd[:, None] * offsets, self.scale.low[k], self.scale.high[k]
        )
        start = np.repeat(best[:, None], points, axis=1)
        start[:, :, k] = grid
        held = np.zeros((problems * points, best.shape[1]), np.bool_)
        held[:, k] = True
        which = np.repeat(np.arange(problems), points)
        found = minimise(
            lambda of, where: self.evaluate(which[of], where),
            start.reshape(-1, best.shape[1]),
            self.low,
            self.high,
            held,
        )
        rise = 2.0 * found.value.reshape(problems, points) - result.objective[:, None]
        low, high = interval(grid, rise)
        if self.scale.logarithmic[k]:
            grid, low, high = np.exp(grid), np.exp(low), np.exp(high)
        return Profile(name, grid, rise, low, high)


def _result(work: _Work, found: Found, starts: int) -> Fit:
    scale, data, problems = work.scale, work.data, work.problems
    p = len(scale.names)
    value = found.value.reshape(starts, problems)
    best = np.argmin(np.where(np.isfinite(value), value, np.inf), axis=0)
    # Of several of the same objective the one from the first start.
    least = value[best, np.arange(problems)]
    with np.errstate(invalid="ignore"):
        same = value - least <= SAME_OBJECTIVE * np.maximum(np.abs(least), 1.0)
    best = np.argmax(same, axis=0)
    chosen = best * problems + np.arange(problems)
    points, information = found.points[chosen], found.information[chosen]
    values = scale.values(points[:, :p])
    counts = np.array([data.counts.sum()]) if work.pooled else data.counts
    of_parameters = structural(information, p)
    correction = (
        np.where(counts > p, counts / np.maximum(counts - p, 1), 1.0)
        if work.error.estimated
        else np.ones(problems)
    )
    covariances = covariance(of_parameters) * correction[:, None, None]
    spectrum, told = statements(of_parameters, scale)
    errors = np.sqrt(np.einsum("kii->ki", covariances)) * scale.slope(values)
    everyone = np.arange(problems)
    f, _, owner = work.predict(everyone, points)
    rows = data.rows(work.subjects(everyone))
    logs = work.logs(everyone, points)
    variance = work.error.variance(f, logs[owner])[0]
    below = data.below[rows]
    with np.errstate(invalid="ignore", divide="ignore"):
        residuals = np.where(below, np.nan, (data.y[rows] - f) / np.sqrt(variance))
    others = [_others(found, work, value, same, k, int(best[k]), starts) for k in range(problems)]
    good = found.converged[chosen] & np.isfinite(found.value[chosen])
    sizes = {"sd": work.error.sd, "cv": work.error.cv}
    error = {
        name: np.exp(logs[:,
        work.error.estimated.index(name)]) if size is None else np.full(problems, size) for name,
        size in sizes.items() if size != 0.0
    }  # fmt: skip
    return Fit(
        data.ids, scale.names, dict(zip(scale.names, values.T, strict=True)), dict(zip(scale.names,
        errors.T, strict=True)), error, 2.0 * found.value[chosen], covariances,
        correlation(covariances), spectrum, tuple(told), good, tuple(_message(work, bool(good[k]),
        bool(np.isfinite(found.value[chosen[k]])), told[k], others[k])
              for k in range(problems)),
        tuple(others), np.repeat(np.arange(data.subjects), data.counts), data.times, data.y,
        data.below, f, residuals, work.pooled, work.profile,
    )  # fmt: skip


def _others(
    found: Found, work: _Work, value: Array, same: NDArray[np.bool_], k: int, best: int, starts: int
) -> tuple[dict[str, float], ...]:
    """Other solutions of one problem with the same objective."""
    p, problems = len(work.scale.names), work.problems
    kept = [found.points[best * problems + k, :p]]
    for s in range(starts):
        point = found.points[s * problems + k, :p]
        if (
            same[s, k]
            and found.converged[s * problems + k]
            and all(np.abs(point - x).max() > OTHER_POINT for x in kept)
        ):
            kept.append(point)
    return tuple(
        dict(zip(work.scale.names, work.scale.values(x[None])[0].tolist(), strict=True))
        for x in kept[1:]
    )


def _message(
    work: _Work, good: bool, finite: bool, told: str, others: tuple[dict[str, float], ...]
) -> str:
    parts = []
    if not finite:
        zero = work.error.sd == 0.0
        return "no start has a likelihood: a simulation failed" + (
            ", or a prediction is 0, where a proportional error is 0 too (teorell.Combined has a "
            "floor)"
            if zero
            else ""
        )
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
