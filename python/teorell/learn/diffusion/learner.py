"""The learner of people: denoising in coordinates, and what physiology says of the denoised.

The loss is that of Karras et al. (2022) with the weights of their table 1, plus the penalties of
`plausible()` on denoised people, where there is little noise (a physics-informed loss, as in
Bastek et al. (2025), arXiv 2403.14404), plus the cross-entropy of the sex by what is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from teorell.errors import InputError
from teorell.learn.configuration import Training
from teorell.learn.diffusion.conditions import Shares, random_intervals
from teorell.learn.diffusion.limits import TOLD, told_of
from teorell.learn.diffusion.network import COORDINATES, Denoiser
from teorell.learn.diffusion.physics import limits_of_people, penalties
from teorell.learn.diffusion.ratios import Ratios
from teorell.learn.diffusion.raw import Raw
from teorell.learn.diffusion.training_people import TrainingPeople, training_people
from teorell.learn.diffusion.vectors import column, real_people
from teorell.learn.learner import Learner
from teorell.learn.randomness import generator

if TYPE_CHECKING:
    from teorell.learn.report import Report

__all__ = ["TRAINING_SEED", "Diffusion", "DiffusionLearner"]

TRAINING_SEED = 7_000_000  # plus the training's seed: of the training people; nobody else has it


@dataclass(frozen=True)
class Diffusion:
    """people: of the training; young: the share of them that is drawn by age, so that there are
    enough newborns and children (`training_people.py`). coordinates: "ratios" or "raw". width,
    depth: of the network.
    batch: people a step. log_noise, log_noise_sd: the noise of training is log-normal.
    penalty: weight of the constraints, of `penalty_people` people a step at most who have less
    noise than `little_noise`.
    edge, narrowest: how far into the tails conditions are told apart: the normal deviate of their
    ends, and the share of people in the narrowest interval.
    trajectory: weight of constraints on simulated curves (`trajectory.py`), of `trajectory_people`
    people a step. project: whether guesses and samples are projected; steps: of the sampler.
    evaluated: people that figures are of.
    """

    training: Training = field(default_factory=Training)
    people: int = 100_000
    young: float = 0.0
    coordinates: str = "ratios"
    width: int = 128
    depth: int = 3
    batch: int = 512
    log_noise: float = -0.7
    log_noise_sd: float = 1.3
    penalty: float = 0.1
    penalty_people: int = 128
    little_noise: float = 0.5
    edge: float = 3.0
    narrowest: float = 1e-3
    trajectory: float = 0.0
    trajectory_people: int = 16
    project: bool = True
    steps: int = 18
    evaluated: int = 10_000

    def __post_init__(self) -> None:
        if self.coordinates not in COORDINATES:
            raise InputError(
                f"coordinates are {self.coordinates!r} (there are none such). "
                f"Give one of {', '.join(COORDINATES)}."
            )
        least = {"people": 2, "width": 2, "depth": 1, "batch": 2, "steps": 2, "evaluated": 30}
        for name, few in least.items():
            if getattr(self, name) < few:
                raise InputError(
                    f"{name} is {getattr(self, name)} (too few: at least {few}). Give more."
                )


class DiffusionLearner(Learner):
    """Constrained diffusion over people's vectors."""

    name = "diffusion"
    version = 2
    configurations: ClassVar[Mapping[str, Diffusion]] = {
        "tiny": Diffusion(
            Training(steps=300, learning_rate=3e-3, warmup=30, average=0.98, check_every=100),
            people=4000,
            width=64,
            depth=2,
            batch=256,
            steps=10,
            evaluated=600,
        ),
        "shipped": Diffusion(
            Training(
                steps=12_000,
                learning_rate=2e-3,
                weight_decay=1e-4,
                warmup=200,
                average=0.999,
                check_every=500,
            ),
            people=150_000,
            young=1 / 3,
            penalty=10.0,
            penalty_people=48,
            edge=3.5,
            steps=30,
        ),
    }
    configuration: Diffusion

    def network(self) -> Denoiser:
        one = self.configuration
        return Denoiser(one.coordinates, one.width, one.depth, one.edge)

    @cached_property
    def fitted(self) -> tuple[Ratios | Raw, Shares]:
        """Coordinates and shares, of the training people."""
        coordinates, shares = COORDINATES[self.configuration.coordinates](), Shares()
        rows = torch.from_numpy(self.people.rows)
        odds = self.people.odds(column(self.people.rows, "age"))
        coordinates.fit(rows, torch.from_numpy(odds))
        shares.fit(told_of(rows))
        return coordinates, shares

    @cached_property
    def people(self) -> TrainingPeople:
        one = self.configuration
        return training_people(one.people, TRAINING_SEED + 100 * self.training.seed, one.young)

    @cached_property
    def _data(self) -> tuple[Tensor, Any, Tensor]:
        """Of the training people: coordinates, shares (n, 5) and sex."""
        coordinates, shares = self.fitted
        rows = torch.from_numpy(self.people.rows)
        z: Tensor = coordinates.encode(rows)
        return z.float(), shares(told_of(rows)).numpy(), rows[:, 0].float()

    def batch(self, step: int) -> dict[str, Tensor]:
        rng = generator(self.training.seed, step)
        z, shares, female = self._data
        places = rng.integers(0, len(z), self.configuration.batch)
        intervals = random_intervals(shares[places], rng, self.configuration.narrowest)
        counts = self._counts(places, intervals)
        return self._batch(z[places], female[places], intervals, counts, rng)

    def _counts(self, places: Any, intervals: Any) -> Any:
        """(n,) what each counts for, over what the oldest person would who is as told. Among people
        of one interval only ratios of weights matter; where all are newborns each counts fully.
        """
        people, ends = self.people, intervals[:, TOLD.index("age")]
        age = column(people.rows, "age")[places]
        oldest = np.maximum(self.fitted[1].numbers("age", ends[:, 1]), age)
        known = ends[:, 0] == ends[:, 1]
        return np.where(known, 1.0, people.odds(age) / people.odds(oldest))

    def held_out(self) -> dict[str, Tensor]:
        return self._held_out

    @cached_property
    def _held_out(self) -> dict[str, Tensor]:
        coordinates, shares = self.fitted
        rng = generator(self.training.seed, 1 << 31)
        n = max(self.configuration.batch, 2000)
        rows = torch.from_numpy(real_people(n, TRAINING_SEED - 1 - self.training.seed))
        told = shares(told_of(rows)).numpy()
        intervals = random_intervals(told, rng, self.configuration.narrowest)
        z, female = coordinates.encode(rows).float(), rows[:, 0].float()
        return self._batch(z, female, intervals, np.ones(n), rng)

    def _batch(
        self, z: Tensor, female: Tensor, intervals: Any, counts: Any, rng: Any
    ) -> dict[str, Tensor]:
        one = self.configuration
        noise = torch.from_numpy(rng.standard_normal(len(z))).float()
        noise = torch.exp(noise * one.log_noise_sd + one.log_noise)
        normal = torch.from_numpy(rng.standard_normal(z.shape)).float()
        return {
            "clean": z, "female": female, "noise": noise, "normal": normal,
            "intervals": torch.from_numpy(intervals).float(),
            "counts": torch.from_numpy(counts).float(),
        }  # fmt: skip

    def loss(self, network: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        assert isinstance(network, Denoiser)
        if not network.fitted:  # the weights of a checkpoint bring what they were trained with
            for mine, other in zip((network.coordinates, network.shares), self.fitted, strict=True):
                mine.load_state_dict(other.state_dict())
            network.fitted.fill_(True)
        clean, noise, female = batch["clean"], batch["noise"], batch["female"]
        counts = batch["counts"]
        noisy = clean + noise[:, None] * batch["normal"]
        guess = network(noisy, noise, female, batch["intervals"])
        weight = counts * (noise**2 + 1) / noise**2
        loss = (weight * ((guess - clean) ** 2).mean(1)).mean()
        odds = network.sex(batch["intervals"])
        loss = loss + nn.functional.binary_cross_entropy_with_logits(odds, female, counts)
        total: Tensor = loss + self._physics(network, guess, female, noise)
        return total

    def _physics(self, network: Denoiser, guess: Tensor, female: Tensor, noise: Tensor) -> Tensor:
        """The weighed penalties of denoised people, each the mean of a person."""
        one = self.configuration
        found = torch.zeros((), device=guess.device)
        asked = torch.nonzero(noise < one.little_noise)[: one.penalty_people, 0]
        if not (one.penalty or one.trajectory) or not len(asked):
            return found
        rows = network.coordinates.decode(guess[asked].double(), female[asked].double())
        if one.penalty:
            found = found + one.penalty * penalties(limits_of_people(), rows).mean().float()
        if one.trajectory:
            from teorell.learn.diffusion.trajectory import trajectory_penalty

            some = rows[: one.trajectory_people]
            found = found + one.trajectory * trajectory_penalty(some).float()
        return found

    def report(self, network: nn.Module) -> Report:
        from teorell.learn.diffusion.figures import report

        assert isinstance(network, Denoiser)
        return report(self, network)
