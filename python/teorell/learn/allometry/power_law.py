"""Power laws of organs against body mass: one by one, and as a hierarchy of exponents.

y = a + b x, both log10; y (species,) or (species, quantities), x (species,).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array

__all__ = ["EXPONENTS", "Hierarchy", "hierarchy", "power_law"]

EXPONENTS = (1.0, 0.75)  # of volumes and of flows: where the hierarchy's own are drawn to
TRUST = 0.05  # standard deviation of a group's exponent about these
SPREADS = (0.01, 0.03, 0.06, 0.1, 0.15, 0.25)  # of a quantity's exponent about its group's
NOISES = (0.03, 0.05, 0.08, 0.12, 0.18, 0.25, 0.35)  # log10, of a species about the law


def power_law(x: Array, y: Array, at: Array) -> Array:
    """Least squares through (x, y), read at `at`."""
    slope = ((x - x.mean()) @ (y - y.mean())) / ((x - x.mean()) ** 2).sum()
    found: Array = y.mean() + slope * (at - x.mean())
    return found


class Hierarchy(NamedTuple):
    """Power laws of some quantities, y = level + exponent (x - centre), with what is not known.

    All are (quantities,); noise, spread: log10 and of exponents, standard deviations.
    """

    centre: Array
    level: Array
    exponent: Array
    species: Array  # how many each is from
    breadth: Array  # sum of (x - centre)^2
    noise: Array
    spread: Array

    def mean(self, x: Array) -> Array:
        """(points, quantities) of x: (points,)."""
        found: Array = self.level + self.exponent * (x[:, None] - self.centre)
        return found

    def sd(self, x: Array) -> Array:
        """Of a new species there, the same shape."""
        variance = self.noise**2
        slope = variance * self.spread**2 / (variance + self.spread**2 * self.breadth)
        level = variance / np.maximum(self.species, 1)
        found: Array = np.sqrt(variance + level + slope * (x[:, None] - self.centre) ** 2)
        return found


def hierarchy(x: Array, y: Array, group: NDArray[np.int64]) -> Hierarchy:
    """Empirical Bayes: exponents of a group are normal about its own, which is normal about theory.

    x: (species,); y: (species, quantities), NaN: not known; group: (quantities,), places in
    EXPONENTS. Spread and noise of a group have the greatest marginal likelihood of a grid.
    """
    quantities = y.shape[1]
    fields = {name: np.zeros(quantities) for name in Hierarchy._fields}
    for each in np.unique(group):
        members = np.flatnonzero(group == each)
        data = []
        for q in members:
            seen = np.isfinite(y[:, q])
            fields["species"][q] = seen.sum()
            if seen.any():
                fields["centre"][q], fields["level"][q] = x[seen].mean(), y[seen, q].mean()
            dx, dy = x[seen] - fields["centre"][q], y[seen, q] - fields["level"][q]
            fields["breadth"][q] = dx @ dx
            data.append((dx, dy))
        theory = EXPONENTS[int(each)]
        across = sum(dx @ dx for dx, _ in data)
        pooled = sum(dx @ dy for dx, dy in data) / across if across else theory
        if len(x) > 2:
            spread, noise = max(
                ((s, n) for s in SPREADS for n in NOISES),
                key=lambda pair: _likelihood(data, float(pooled), *pair),
            )
        else:
            spread, noise = SPREADS[2], NOISES[4]
        # errors of a species are shared by its quantities: as if there were one alone
        doubt = noise**2 / max(((x - x.mean()) ** 2).sum(), 1e-12)
        own = (pooled * TRUST**2 + theory * doubt) / (TRUST**2 + doubt)
        for q, (dx, dy) in zip(members, data, strict=True):
            fields["exponent"][q] = own + dx @ (dy - own * dx) / (dx @ dx + noise**2 / spread**2)
        fields["noise"][members], fields["spread"][members] = noise, spread
    return Hierarchy(**fields)


def _likelihood(
    data: list[tuple[Array, Array]], slope: float, spread: float, noise: float
) -> float:
    """Marginal log-likelihood of deviations (dx, dy) of all quantities, less a constant.

    The covariance is noise^2 I + spread^2 dx dx', whose inverse and determinant are known.
    """
    total = 0.0
    for dx, dy in data:
        rest = dy - slope * dx
        ratio = spread**2 / noise**2
        across = 1.0 + ratio * (dx @ dx)
        total -= 0.5 * float(rest @ rest - ratio * (dx @ rest) ** 2 / across) / noise**2
        total -= 0.5 * float(len(dx) * np.log(noise**2) + np.log(across))
    return total
