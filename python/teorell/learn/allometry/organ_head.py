"""Organs of a species that was never seen: the hierarchy of power laws, and trajectories beyond it.

Every species is left out once: the networks of that fold are those of its figures, and all together
predict any other mass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from teorell.arrays import Array
from teorell.learn.allometry.organ_table import CLADES, Organs
from teorell.learn.allometry.power_law import Hierarchy, hierarchy
from teorell.learn.allometry.trajectory import Trajectory

__all__ = ["OrganConfiguration", "OrganPart", "half"]

GROUPS = 1 + max(CLADES.values())


def half(scores: Array, level: float) -> float:
    """Of the interval of a new species, in standard deviations: `scores` of others, with NaN."""
    return float(np.nanquantile(scores, level, method="higher"))


@dataclass(frozen=True)
class OrganConfiguration:
    """members: networks for each species left out, and as many with none left out.

    shrink: penalty of the mean squared residual, log10 squared. place: numbers that say which organ
    one is.
    """

    members: int = 4
    hidden: int = 8
    place: int = 3
    shrink: float = 5.0


class OrganPart:
    """The organs of some species, the power laws without each of them, and what is beyond these.

    Fold i leaves species i out; the last fold none.
    """

    def __init__(self, configuration: OrganConfiguration, organs: Organs) -> None:
        self.configuration, self.organs = configuration, organs
        self.folds = len(organs.species) + 1
        species, nodes, kinds = organs.logs.shape
        flat = organs.logs.reshape(species, nodes * kinds)
        group = np.tile(np.arange(kinds), nodes)
        self.laws: list[Hierarchy] = [
            hierarchy(organs.mass[kept], flat[kept], group)
            for kept in (np.arange(species) != fold for fold in range(self.folds))
        ]

    def network(self) -> Trajectory:
        """The trajectories, untrained."""
        adjacency = torch.from_numpy(self.organs.adjacency())
        c = self.configuration
        return Trajectory(adjacency, self.folds * c.members, GROUPS, c.hidden, c.place)

    def tensors(self) -> dict[str, Tensor]:
        """What the loss reads."""
        organs = self.organs
        laws = np.stack([self._law(fold, organs.mass) for fold in range(self.folds)], axis=1)
        seen = np.isfinite(organs.logs)
        wanted = np.where(seen[:, None], organs.logs[:, None] - laws, 0.0)
        trained = np.arange(len(organs.species))[:, None] != np.arange(self.folds)
        weights = seen[:, None] * trained[..., None, None]
        members = self.configuration.members
        return {
            "mass": torch.from_numpy(organs.mass).float(),
            "wanted": torch.from_numpy(wanted.repeat(members, axis=1)).float(),
            "weights": torch.from_numpy(weights.repeat(members, axis=1)).float(),
        }

    def loss(self, network: Trajectory, given: dict[str, Tensor]) -> Tensor:
        """Mean absolute residual of each model's organs, and its penalty, summed over models."""
        found = self._own_clade(network(given["mass"]))  # (species, models, organs, 2)
        error = (given["weights"] * (found - given["wanted"]).abs()).sum(dim=(0, 2, 3))
        error = error / given["weights"].sum(dim=(0, 2, 3))
        penalty = self.configuration.shrink * (found**2).mean(dim=(0, 2, 3))
        return (error + penalty).sum()

    def unseen(self, network: Trajectory) -> tuple[Array, Array]:
        """log10 of every species by what never saw it, and its standard deviation.

        Both are (species, organs, 2).
        """
        mean, spread = self._beyond(network, self.organs.mass)
        each = list(range(len(self.organs.species)))
        clade = np.array(self.organs.clade)
        mean, spread = mean[each, each, clade], spread[each, each, clade]
        law = np.stack([self._law(i, self.organs.mass[i : i + 1])[0] for i in each])
        sd = np.stack([self._sd(i, self.organs.mass[i : i + 1])[0] for i in each])
        return law + mean, np.hypot(sd, spread)

    def scores(self, network: Trajectory) -> Array:
        """How far every species was off where it was not seen, in standard deviations.

        (species, organs, 2), NaN where it is not known. Their quantiles are the halves of
        intervals: the hierarchy has one noise for all volumes and one for all flows, and some
        organs are off by many of it, so that quantiles of a normal would be too narrow.
        """
        mean, sd = self.unseen(network)
        found: Array = np.abs(self.organs.logs - mean) / sd
        return found

    def at(self, network: Trajectory, mass: Array, clade: int) -> tuple[Array, Array]:
        """log10 at rising log10 masses (points,), and its standard deviation: (points, organs, 2).

        By the networks with no species left out.
        """
        mean, spread = self._beyond(network, mass)
        last = self.folds - 1
        found = self._law(last, mass) + mean[:, last, clade]
        return found, np.hypot(self._sd(last, mass), spread[:, last, clade])

    def _beyond(self, network: Trajectory, mass: Array) -> tuple[Array, Array]:
        """What members of each fold have beyond the law: mean and standard deviation.

        (points, folds, clades, organs, 2).
        """
        with torch.no_grad():
            found = network(torch.from_numpy(mass).float()).double().numpy()
        shape = (len(mass), self.folds, self.configuration.members, *found.shape[2:])
        members = found.reshape(shape)
        return members.mean(axis=2), members.std(axis=2)

    def _own_clade(self, found: Tensor) -> Tensor:
        """(species, models, organs, 2) of (species, models, clades, organs, 2)."""
        clade = torch.tensor(self.organs.clade, device=found.device)
        return found[torch.arange(len(clade), device=found.device), :, clade]

    def _law(self, fold: int, mass: Array) -> Array:
        return self._shaped(self.laws[fold].mean(mass))

    def _sd(self, fold: int, mass: Array) -> Array:
        return self._shaped(self.laws[fold].sd(mass))

    def _shaped(self, flat: Array) -> Array:
        shaped: Array = flat.reshape(len(flat), len(self.organs.organs), -1)
        return shaped
