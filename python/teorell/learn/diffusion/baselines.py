"""What a network is measured against: simpler distributions of people, fitted to the same.

Each is fitted to rows of people, and gives rows for sexes (n,) and a seed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor

from teorell.arrays import Array
from teorell.learn.diffusion.ratios import Ratios, logarithms, rows_of_logarithms
from teorell.learn.diffusion.raw import Raw
from teorell.learn.diffusion.scores import MOST, Scores
from teorell.learn.diffusion.vectors import Rows

__all__ = ["BASELINES", "Baseline", "Copula", "Gaussian", "Mixture", "Residuals"]


class Baseline(ABC):
    """A distribution of people by sex."""

    name: str

    @abstractmethod
    def __init__(self, rows: Rows) -> None: ...

    @abstractmethod
    def sample(self, female: Array, seed: int) -> Rows:
        """(n, columns) people of sexes (n,), 1 or 0."""


class Gaussian(Baseline):
    """Normal in raw columns, by sex."""

    name = "Gaussian of raw columns"

    def __init__(self, rows: Rows) -> None:
        self.raw = Raw()
        self.raw.fit(torch.from_numpy(rows))
        z = self.raw.encode(torch.from_numpy(rows)).numpy()
        self.roots = [_root(z[rows[:, 0] == sex]) for sex in (0, 1)]

    def sample(self, female: Array, seed: int) -> Rows:
        z = _normal(female, self.roots, seed)
        return np.asarray(self.raw.decode(torch.from_numpy(z), torch.from_numpy(female)).numpy())


class Copula(Baseline):
    """A Gaussian copula of logarithms and log-ratios with their own distributions, by sex."""

    name = "Gaussian copula of log-ratios"

    def __init__(self, rows: Rows) -> None:
        values, female = logarithms(torch.from_numpy(rows)), torch.from_numpy(rows[:, 0])
        self.scores = Scores(values.shape[1])
        self.scores.fit(values, female)
        z = self.scores(values, female).numpy()
        self.roots = [_root(z[rows[:, 0] == sex]) for sex in (0, 1)]

    def sample(self, female: Array, seed: int) -> Rows:
        z = torch.from_numpy(_normal(female, self.roots, seed)).clamp(-MOST, MOST)
        return _rows(self.scores.inverse(z, torch.from_numpy(female)), female)


class Residuals(Baseline):
    """Normal in the coordinates of the network, which know regressions on age: what it adds."""

    name = "Gaussian in the network's coordinates"

    def __init__(self, rows: Rows) -> None:
        self.ratios = Ratios()
        self.ratios.fit(torch.from_numpy(rows))

    def sample(self, female: Array, seed: int) -> Rows:
        z = np.random.default_rng(seed).standard_normal((len(female), self.ratios.size))
        rows = self.ratios.decode(torch.from_numpy(z), torch.from_numpy(female))
        return np.asarray(rows.numpy())


class Mixture(Baseline):
    """Twenty normal distributions of logarithms and log-ratios, by sex (scikit-learn)."""

    name = "log-Gaussian mixture, 20 parts"
    parts, fitted_to = 20, 10_000  # people of a sex

    def __init__(self, rows: Rows) -> None:
        from sklearn.mixture import GaussianMixture

        values = logarithms(torch.from_numpy(rows)).numpy()
        self.mean, self.sd = values.mean(0), values.std(0)
        standard = (values - self.mean) / self.sd
        self.mixtures = [
            GaussianMixture(self.parts, reg_covar=1e-5, max_iter=40, tol=1e-2, random_state=0).fit(
                standard[rows[:, 0] == sex][: self.fitted_to]
            )
            for sex in (0, 1)
        ]

    def sample(self, female: Array, seed: int) -> Rows:
        values = np.empty((len(female), len(self.mean)))
        for sex, mixture in enumerate(self.mixtures):
            some = female == sex
            mixture.set_params(random_state=np.random.RandomState(seed))
            found, _ = mixture.sample(int(some.sum()))
            values[some] = found[np.random.default_rng(seed).permutation(len(found))]
        values = values * self.sd + self.mean
        values[:, 0] = np.maximum(values[:, 0], 1e-4)  # years
        return _rows(torch.from_numpy(values), female)


BASELINES: tuple[type[Baseline], ...] = (Gaussian, Copula, Mixture, Residuals)


def _root(z: Array) -> tuple[Array, Array]:
    """Mean, and a root of the covariance."""
    root = np.linalg.cholesky(np.cov(z.T) + 1e-9 * np.eye(z.shape[1]))
    return z.mean(0), np.asarray(root, np.float64)


def _normal(female: Array, roots: list[tuple[Array, Array]], seed: int) -> Array:
    z = np.random.default_rng(seed).standard_normal((len(female), len(roots[0][0])))
    found = np.empty_like(z)
    for sex, (mean, root) in enumerate(roots):
        found[female == sex] = z[female == sex] @ root.T + mean
    return found


def _rows(values: Tensor, female: Array) -> Rows:
    return np.asarray(rows_of_logarithms(values, torch.from_numpy(female)).numpy())
