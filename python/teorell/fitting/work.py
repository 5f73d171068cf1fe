"""The problems of a fit: a likelihood of each subject, or of all, at any point of the search."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.fitting.data import Data
from teorell.fitting.levenberg import minimise
from teorell.fitting.profile import Profile, interval
from teorell.fitting.residual_error import Error, likelihood
from teorell.fitting.result import Fit
from teorell.fitting.scale import Scale

__all__ = ["Work"]

HALF_LOG_TWO_PI = 0.9189385332046727


@dataclass(frozen=True, eq=False)
class Work:
    """The problems of a fit: what is searched, and the objective at any point.

    A point (q,) is the p parameters, on their scale, then the logarithms of the residual error.
    """

    data: Data
    scale: Scale
    error: Error
    pooled: bool

    @property
    def problems(self) -> int:
        """How many: one a subject, or one of all."""
        return 1 if self.pooled else self.data.subjects

    @property
    def low(self) -> Array:
        """(q,) the lower bounds of points."""
        return np.append(self.scale.low, np.full(len(self.error.estimated), np.log(1e-9)))

    @property
    def high(self) -> Array:
        """(q,) the upper bounds of points."""
        return np.append(self.scale.high, np.full(len(self.error.estimated), np.log(1e3)))

    def starts(self, n: int, seed: int) -> Array:
        """(n, q) the points from which each problem starts."""
        points = self.scale.starts(n, seed)
        return np.concatenate([points, np.full((n, len(self.error.estimated)), np.log(0.2))], 1)

    @cached_property
    def sizes(self) -> Array:
        """(problems,) the mean size of observations: in it sd is told while it is searched.

        So no subject depends on others.
        """
        total = np.add.reduceat(np.abs(self.data.y), self.data.offsets[:-1])
        mean = (
            np.array([total.sum() / self.data.y.size]) if self.pooled else total / self.data.counts
        )
        return np.where(mean > 0.0, mean, 1.0)

    def logs(self, which: NDArray[np.int64], points: Array) -> Array:
        """(k, estimated) the logarithms of the estimated residual error.

        which: the problems (k,), at points (k, q).
        """
        logs = np.array(points[:, len(self.scale.names) :])
        if "sd" in self.error.estimated:
            logs[:, self.error.estimated.index("sd")] += np.log(self.sizes[which])
        return logs

    def subjects(self, which: NDArray[np.int64]) -> NDArray[np.int64]:
        """The subjects of problems (k,), one after the other."""
        return np.tile(np.arange(self.data.subjects), len(which)) if self.pooled else which

    def predict(
        self, which: NDArray[np.int64], points: Array
    ) -> tuple[Array, Array, NDArray[np.int64]]:
        """Predictions (rows,), slopes by points (rows, p), and the problem of each row.

        which: the problems (k,), at points (k, q).
        """
        p = len(self.scale.names)
        each = self.data.subjects if self.pooled else 1
        values = self.scale.values(points[:, :p])
        subjects = self.subjects(which)
        f, slopes = self.data.predict(subjects, np.repeat(values, each, axis=0))
        owner = np.repeat(np.repeat(np.arange(len(which)), each), self.data.counts[subjects])
        return f, slopes * self.scale.slope(values)[owner], owner

    def evaluate(self, which: NDArray[np.int64], points: Array) -> tuple[Array, Array, Array]:
        """The objective (k,) of problems (k,) at points (k, q), its gradient and information.

        The objective is the negative log likelihood, with the priors. gradient: (k, q),
        information: (k, q, q).
        """
        p = len(self.scale.names)
        f, slopes, owner = self.predict(which, points)
        rows = self.data.rows(self.subjects(which))
        value, gradient, information = likelihood(
            self.error,
            y=self.data.y[rows],
            below=self.data.below[rows],
            limit=self.data.limit[rows],
            f=f,
            slopes=slopes,
            logs=self.logs(which, points)[owner],
            owner=owner,
            problems=len(which),
        )
        mean, sd = self.scale.prior.T
        away = (points[:, :p] - mean) / sd
        gradient[:, :p] += away / sd
        information[:, range(p), range(p)] += 1.0 / sd**2
        known = np.isfinite(sd)
        constant = np.log(sd[known]).sum() + HALF_LOG_TWO_PI * known.sum()
        return value + 0.5 * (away * away).sum(axis=1) + constant, gradient, information

    def profile(self, result: Fit, name: str, points: int, width: float) -> Profile:
        """The profile likelihood of a parameter about a result; see Fit.profile."""
        k, problems = self.scale.names.index(name), self.problems
        best = self._point(result)
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

    def _point(self, result: Fit) -> Array:
        """(problems, q) the points at which a result lies."""
        values = np.array([result.estimates[each] for each in self.scale.names]).T
        positive = np.where(self.scale.logarithmic, values, 1.0)
        at = np.where(self.scale.logarithmic, np.log(positive), values)
        units = {"sd": self.sizes, "cv": np.ones(self.problems)}
        logs = [np.log(result.error[each] / units[each]) for each in self.error.estimated]
        return np.concatenate([at, np.array(logs).T.reshape(self.problems, -1)], 1)
