"""The problems of a fit: a likelihood of each subject, or of all, at any point of the search."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.fitting.data import Data
from teorell.fitting.levenberg import minimise
from teorell.fitting.likelihood import likelihood
from teorell.fitting.priors import Priors
from teorell.fitting.profile import Profile, grid_of, interval
from teorell.fitting.residual_error import Scatter
from teorell.fitting.result import Fit
from teorell.fitting.scale import Scale

__all__ = ["Work"]

# The least and the greatest residual error: sd in the mean size of observations, cv as it is.
FLOOR, CEILING, FIRST = 1e-9, 1e3, 0.2


@dataclass(frozen=True, eq=False)
class Work:
    """The problems of a fit: what is searched, and the objective at any point.

    A point (q,) is the p parameters, on their scale, then the logarithms of the residual error.
    """

    data: Data
    scale: Scale
    scatter: Scatter
    priors: Priors
    pooled: bool

    @property
    def problems(self) -> int:
        """How many: one a subject, or one of all."""
        return 1 if self.pooled else self.data.subjects

    @property
    def low(self) -> Array:
        """(q,) the lower bounds of points."""
        return np.append(self.scale.low, np.full(len(self.scatter.estimated), np.log(FLOOR)))

    @property
    def high(self) -> Array:
        """(q,) the upper bounds of points."""
        return np.append(self.scale.high, np.full(len(self.scatter.estimated), np.log(CEILING)))

    @property
    def logarithmic(self) -> NDArray[np.bool_]:
        """(q,) which coordinates of points are logarithms."""
        return np.append(self.scale.logarithmic, np.ones(len(self.scatter.estimated), np.bool_))

    def starts(self, n: int, seed: int) -> Array:
        """(n * problems, q) the points from which problems start, all problems n times."""
        everyone = np.arange(self.problems)
        errors = np.full((self.problems, len(self.scatter.estimated)), np.log(FIRST))
        first = np.append(np.tile(self.scale.start, (self.problems, 1)), errors, axis=1)
        unit = np.ones((self.problems, len(self.scale.names)))
        if ((self.scale.start == 0.0) & ~self.scale.logarithmic).any() and n > 1:
            unit = self.units(everyone, first)
        points = self.scale.starts(n, seed, unit)
        tiled = np.broadcast_to(errors, (n, *errors.shape))
        return np.concatenate([points, tiled], axis=2).reshape(n * self.problems, -1)

    def units(self, which: NDArray[np.int64], points: Array) -> Array:
        """(k, p) by how much parameters change predictions by about the size of observations.

        Of problems (k,) at points (k, q); 1 of those that are searched as logarithms.
        """
        p, logs = len(self.scale.names), self.scale.logarithmic
        unit = np.ones((len(which), p))
        if logs.all():
            return unit
        f, _, owner = self.predict(which, points)
        seen = self.data.seen.of(self.data.rows(self.subjects(which)))
        v = self.scatter.variance(f, self.logs(which, points)[owner], seen.output)[0]
        with np.errstate(all="ignore"):
            signal = np.bincount(owner, seen.y**2 / v, len(which))[:, None]
            alone = np.einsum("kii->ki", self.evaluate(which, points)[2])[:, :p]
            size = np.maximum(np.sqrt(np.maximum(signal, 1.0) / alone), np.abs(points[:, :p]))
        return np.where(~logs & np.isfinite(size), size, unit)

    @cached_property
    def sizes(self) -> Array:
        """(problems, outputs) the mean size of observations: in it sd is told while it is searched.

        So no subject depends on others.
        """
        columns = []
        for j in range(len(self.data.outputs)):
            of = self.data.seen.output == j
            y = np.where(of, np.abs(self.data.seen.y), 0.0)
            total = np.add.reduceat(y, self.data.offsets[:-1])
            counts = np.bincount(self.data.owner[of], minlength=self.data.subjects)
            if self.pooled:
                total, counts = np.array([total.sum()]), np.array([counts.sum()])
            mean = total / np.maximum(counts, 1)
            columns.append(np.where(mean > 0.0, mean, 1.0))
        return np.stack(columns, 1)

    def logs(self, which: NDArray[np.int64], points: Array) -> Array:
        """(k, estimated) the logarithms of the estimated residual error.

        which: the problems (k,), at points (k, q).
        """
        logs = np.array(points[:, len(self.scale.names) :])
        for k, (output, name) in enumerate(self.scatter.estimated):
            if name == "sd":
                logs[:, k] += np.log(self.sizes[which, output])
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
        seen = self.data.seen.of(self.data.rows(self.subjects(which)))
        variance = self.scatter.variance(f, self.logs(which, points)[owner], seen.output)
        found = likelihood(seen, f, slopes, variance, owner, len(which))
        values = self.scale.values(points[:, :p])
        return self.priors.add(which, points, values, self.scale.slope(values), found)

    def profile(self, result: Fit, name: str, points: int, width: float) -> Profile:
        """The profile likelihood of a parameter about a result; see Fit.profile."""
        k, problems = self.scale.names.index(name), self.problems
        best, everyone = self._point(result), np.arange(self.problems)
        sd = np.sqrt(result.covariance[:, k, k])
        open_ended = np.where(
            self.scale.logarithmic[k], np.log(10.0), self.units(everyone, best)[:, k]
        )
        with np.errstate(divide="ignore"):
            alone = 1.0 / np.sqrt(self.evaluate(everyone, best)[2][:, k, k])
        # At a bound there is no standard error: what is known of the parameter alone.
        sd = np.where(np.isnan(sd), alone, sd)
        sd = np.where(np.isfinite(sd), sd, open_ended)
        grid = grid_of(best[:, k], sd, points, width, self.scale.low[k], self.scale.high[k])
        start = np.repeat(best[:, None], points, axis=1)
        start[:, :, k] = grid
        held = np.zeros((problems * points, best.shape[1]), np.bool_)
        held[:, k] = True
        which = np.repeat(everyone, points)
        found = minimise(
            lambda of, where: self.evaluate(which[of], where),
            start.reshape(-1, best.shape[1]),
            self.low,
            self.high,
            held,
            logarithmic=self.logarithmic,
            sizes=len(self.scatter.estimated),
        )
        rise = 2.0 * found.value.reshape(problems, points) - result.objective[:, None]
        low, high = interval(grid, rise)
        if self.scale.logarithmic[k]:
            grid, low, high = (
                np.exp(grid),
                np.where(np.isfinite(low), np.exp(low), low),
                np.exp(high),
            )
        return Profile(name, grid, rise, low, high)

    def _point(self, result: Fit) -> Array:
        """(problems, q) the points at which a result lies."""
        values = np.array([result.estimates[each] for each in self.scale.names]).T
        positive = np.where(self.scale.logarithmic, values, 1.0)
        at = np.where(self.scale.logarithmic, np.log(positive), values)
        logs = [
            np.log(result.error[self.scatter.name(output, name)])
            - (np.log(self.sizes[:, output]) if name == "sd" else 0.0)
            for output, name in self.scatter.estimated
        ]
        return np.concatenate([at, np.array(logs).T.reshape(self.problems, -1)], 1)
