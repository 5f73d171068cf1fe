"""Clearance and volume in humans from animals: small networks, each a residual on linear models.

One jackknife: of drugs in n folds, the networks of fold i never saw its drugs. They predict these
drugs where figures are wanted, and all of them together predict a new one. How far they were off on
drugs that they had not seen is the interval (jackknife+, Barber et al. 2021).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from teorell.arrays import Array
from teorell.learn.allometry.curves import CurveError
from teorell.learn.allometry.drug_table import TARGETS, Drugs, measured, shipped_humans
from teorell.learn.allometry.linear import (
    gaussian,
    gaussian_mean,
    ridge,
    ridge_mean,
    structure_prior,
)
from teorell.learn.allometry.structure import DESCRIPTORS
from teorell.learn.randomness import generator

__all__ = ["DrugConfiguration", "DrugHead", "DrugPart", "Residuals", "jackknife_mean"]

SCALE = 0.3  # log10: how large a residual of unit output is
FEATURES = 14 + len(DESCRIPTORS)


@dataclass(frozen=True)
class DrugConfiguration:
    """folds: of drugs; more than there are drugs is one each. members: networks of each fold.

    shrink: penalty of the mean squared residual, log10 squared. noise: of the standardised inputs,
    drawn in every step. curves: weight of the error of human curves in the loss, through the solver
    (`curves.py`), on `pairs` of a network and a drug in every step; 0 is without, as shipped.
    """

    folds: int = 40
    members: int = 12
    hidden: int = 12
    shrink: float = 1.0
    noise: float = 0.6
    curves: float = 0.0
    pairs: int = 128


class Residuals(nn.Module):
    """`models` networks of one hidden layer, side by side; at first each is 0 everywhere."""

    def __init__(self, models: int, inputs: int, hidden: int) -> None:
        super().__init__()
        self.into = nn.Parameter(torch.randn(models, inputs, hidden) / math.sqrt(inputs))
        self.bias = nn.Parameter(torch.zeros(models, 1, hidden))
        self.out = nn.Parameter(torch.zeros(models, hidden, 1))
        self.shift = nn.Parameter(torch.zeros(models, 1, 1))
        self.bend = nn.Tanh()

    def forward(self, x: Tensor) -> Tensor:
        """Residuals (models, drugs) of x: (drugs, inputs) or (models, drugs, inputs)."""
        hidden = self.bend(x @ self.into + self.bias)
        found: Tensor = SCALE * (hidden @ self.out + self.shift)[..., 0]
        return found


class Fit(NamedTuple):
    """Weights of ridge; mean and covariance of the two Gaussians."""

    ridge: Array
    gaussian: tuple[Array, Array]
    wide: tuple[Array, Array]


class DrugHead(nn.Module):
    """Residual networks of both targets. The linear models below them, and the scales of inputs,
    are found again from the shipped table: that is exact, and quick.
    """

    def __init__(self, folds: int, configuration: DrugConfiguration) -> None:
        super().__init__()
        models = folds * configuration.members
        for target in TARGETS:
            setattr(self, target, Residuals(models, FEATURES, configuration.hidden))

    def of(self, target: str) -> Residuals:
        """The networks of "CL" or "VDss"."""
        found: Residuals = getattr(self, target)
        return found


class DrugPart:
    """The drugs of a training table, their folds, and what the networks read of them."""

    def __init__(self, configuration: DrugConfiguration, drugs: Drugs, seed: int) -> None:
        self.configuration, self.drugs, self.seed = configuration, drugs, seed
        self.folds = min(configuration.folds, len(drugs.names))
        order = generator(seed, 0, stream=1).permutation(len(drugs.names))
        self.fold = np.empty(len(drugs.names), dtype=np.int64)
        self.fold[order] = np.arange(len(drugs.names)) % self.folds
        self.prior = _prior(drugs)
        self._linear: dict[str, list[Fit]] = {}

    def network(self) -> DrugHead:
        """The networks, untrained."""
        return DrugHead(self.folds, self.configuration)

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """What the loss reads, for each target."""
        return {target: self._tensors(target) for target in TARGETS}

    def loss(self, network: DrugHead, given: dict[str, dict[str, Tensor]]) -> Tensor:
        """Mean absolute residual of each model's drugs, and its penalty, summed over all models."""
        total, logs = torch.zeros(()), {}
        for target, data in given.items():
            x = data["x"].expand(self.folds * self.configuration.members, -1, -1)
            if network.training:
                x = x + self.configuration.noise * torch.randn(x.shape, device=x.device)
            found = network.of(target)(x)
            error = (data["weights"] * (found - data["wanted"]).abs()).sum(dim=1)
            error = error / data["weights"].sum(dim=1)
            total = total + (error + self.configuration.shrink * (found**2).mean(dim=1)).sum()
            logs[target] = data["human"] - data["wanted"] + found
        if self.configuration.curves:
            weights = {target: data["weights"] for target, data in given.items()}
            apart = self.curves(logs, weights, self.configuration.pairs)
            total = total + self.configuration.curves * len(found) * apart
        return total

    @cached_property
    def curves(self) -> CurveError:
        """The human curves of the training drugs."""
        return CurveError(self.drugs)

    def linear(self, target: str, asked: Drugs) -> Array:
        """The mean of three linear models by the training drugs of each fold, (folds, drugs):
        ridge, a Gaussian of the same values, a Gaussian of all that is known of a drug.
        """
        animals = asked.of(target)[:, 1:]
        known = _known_of(target, asked, self._prior_of(asked))[:, 1:]
        return np.array(
            [
                ridge_mean(fit.ridge, animals)
                + gaussian_mean(*fit.gaussian, animals)
                + gaussian_mean(*fit.wide, known)
                for fit in self._fits(target)
            ]
        ) / len(Fit._fields)

    def _fits(self, target: str) -> list[Fit]:
        """What each fold says without its drugs. Found once."""
        if target not in self._linear:
            logs = self.drugs.of(target)
            known = _known_of(target, self.drugs, self.prior)
            several = (measured(logs) >= 2) & np.isfinite(logs[:, 0])
            self._linear[target] = []
            for each in range(self.folds):
                kept = self.fold != each
                rows = several & kept
                weights = ridge(logs[rows, 1:], logs[rows, 0])
                self._linear[target].append(
                    Fit(weights, gaussian(logs[kept]), gaussian(known[kept]))
                )
        return self._linear[target]

    def _prior_of(self, asked: Drugs) -> Array:
        """The structure prior of drugs; that of the training drugs is known."""
        return self.prior if asked.structure is self.drugs.structure else _prior(asked)

    def inputs(self, target: str, asked: Drugs) -> Array:
        """What the networks read of drugs, standardised by the training drugs: (drugs, inputs)."""
        own = _inputs(target, self.drugs, self.prior, self.drugs)
        found = _inputs(target, asked, self._prior_of(asked), self.drugs)
        standard: Array = (found - own.mean(axis=0)) / (own.std(axis=0) + 1e-9)
        return standard

    def predictions(self, network: DrugHead, target: str, asked: Drugs) -> Array:
        """log10 in humans by the mean of each fold's members, (folds, drugs)."""
        asked = asked.without_humans()
        x = torch.from_numpy(self.inputs(target, asked)).float()
        with torch.no_grad():
            found = network.of(target)(x).double().numpy()
        members = self.configuration.members
        residual: Array = found.reshape(self.folds, members, -1).mean(axis=1)
        return self.linear(target, asked) + residual

    def unseen(self, network: DrugHead, target: str) -> Array:
        """log10 of the training drugs, each by the networks that never saw it: (drugs,)."""
        found = self.predictions(network, target, self.drugs)
        mine: Array = found[self.fold, np.arange(len(self.fold))]
        return mine

    def _tensors(self, target: str) -> dict[str, Tensor]:
        logs = self.drugs.of(target)
        usable = np.isfinite(logs[:, 0]) & (measured(logs) >= 1)
        wanted = np.where(usable, logs[:, 0] - self.linear(target, self.drugs), 0.0)
        members = self.configuration.members
        shape = (self.folds, members, len(usable))
        draws = generator(self.seed, 0, stream=2).poisson(1.0, shape)  # a bootstrap of each model
        seen = usable & (self.fold != np.arange(self.folds)[:, None])
        weights = draws * seen[:, None]
        return {
            "x": torch.from_numpy(self.inputs(target, self.drugs)).float(),
            "human": torch.from_numpy(np.where(usable, logs[:, 0], 0.0)).float(),
            "wanted": torch.from_numpy(wanted.repeat(members, axis=0)).float(),
            "weights": torch.from_numpy(weights.reshape(-1, len(usable))).float(),
        }


def jackknife_mean(found: Array) -> Array:
    """The prediction of a new drug (drugs,), from those of all folds (folds, drugs)."""
    mean: Array = found.mean(axis=0)
    return mean


def _prior(drugs: Drugs) -> Array:
    """log10 CL, VDss, fu of humans by structure alone, (drugs, 3); NaN without a structure."""
    found = np.full((len(drugs.names), 3), np.nan)
    known = np.isfinite(drugs.structure).all(axis=1)
    if known.any():
        _, mass, structure, values = shipped_humans()
        found[known] = structure_prior(
            drugs.structure[known], drugs.mass[known], structure, mass, values
        )
    return found


def _known_of(target: str, drugs: Drugs, prior: Array) -> Array:
    """(drugs, values): human and animals, unbound fractions, the animals' other target, structure.

    NaN is not known; of humans CL or VDss, the first value, alone.
    """
    other = next(each for each in TARGETS if each != target)
    columns = (drugs.of(target), drugs.unbound, drugs.of(other)[:, 1:], drugs.structure, prior)
    return np.column_stack(columns)


def _inputs(target: str, drugs: Drugs, prior: Array, train: Drugs) -> Array:
    """(drugs, inputs): animals' mean and differences, unbound fractions, the other target of the
    animals, structure. What is missing is the mean of the training drugs; no human CL or VDss.
    """
    animals = drugs.of(target)[:, 1:]
    other = next(each for each in TARGETS if each != target)
    seen = np.isfinite(animals)
    mean = _mean(animals)
    unbound = drugs.unbound[:, 0]
    columns = [
        np.where(np.isfinite(mean), mean, np.nanmean(train.of(target)[:, 1:])),
        *np.where(seen, animals - mean[:, None], 0.0).T,
        *seen.T,
        np.where(np.isfinite(unbound), unbound, np.nanmean(train.unbound[:, 0])),
        np.isfinite(unbound),
        np.nan_to_num(unbound - _mean(drugs.unbound[:, 1:])),
        _known(_mean(drugs.of(other)[:, 1:]), np.nanmean(train.of(other)[:, 1:])),
        *_known(drugs.structure, np.nanmean(train.structure, axis=0)).T,
        *_known(prior, np.array(_middle())).T,
    ]
    return np.column_stack(columns).astype(float)


def _middle() -> list[float]:
    """log10 CL, VDss, fu of humans, the mean of all drugs that the prior knows."""
    return [float(x) for x in np.nanmean(shipped_humans()[3], axis=0)]


def _known(values: Array, otherwise: Any) -> Array:
    found: Array = np.where(np.isfinite(values), values, otherwise)
    return found


def _mean(values: NDArray[Any]) -> Array:
    """The mean over what is known of each row, NaN where nothing is."""
    seen = np.isfinite(values)
    n = seen.sum(axis=1)
    total = np.where(seen, values, 0.0).sum(axis=1)
    found: Array = np.where(n > 0, total / np.maximum(n, 1), np.nan)
    return found
