"""Neural allometry as a learner: its configuration, the two heads together, every figure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from teorell.arrays import Array
from teorell.learn.allometry.anchors import (
    fixed_exponent,
    gaussian_process,
    rule_of_exponents,
    simple_allometry,
)
from teorell.learn.allometry.calibration import calibration_picture, covered, organs_covered
from teorell.learn.allometry.drug_head import DrugConfiguration, DrugPart
from teorell.learn.allometry.drug_table import TARGETS, measured, shipped_animals
from teorell.learn.allometry.linear import ridge, ridge_mean
from teorell.learn.allometry.organ_head import OrganConfiguration, OrganPart
from teorell.learn.allometry.organ_table import shipped_organs
from teorell.learn.allometry.power_law import power_law
from teorell.learn.allometry.scaling import scaling, scaling_picture
from teorell.learn.configuration import Training
from teorell.learn.learner import Learner
from teorell.learn.metrics import bootstrap
from teorell.learn.report import Figure, Report

__all__ = ["Allometry", "AllometryConfiguration", "drug_figures", "organ_figures", "rivals"]

GOALS = {
    ("CL", 2): ("<= 2.00", "<= 0.98"), ("CL", 3): ("<= 1.82", ""),
    ("VDss", 2): ("<= 1.70", "<= 0.97"), ("VDss", 3): ("<= 1.53", ""),
}  # fmt: skip
LEVELS = (0.5, 0.9)  # of intervals
LEAST = 3  # species that a power law is fitted to


def _training(steps: int) -> Training:
    """clip=0: one length of the gradient of all networks side by side would mix them."""
    return Training(
        steps=steps, learning_rate=0.01, weight_decay=0.02, warmup=5, clip=0.0, check_every=0
    )


@dataclass(frozen=True)
class AllometryConfiguration:
    """How drugs and organs are learned, and the training of both."""

    training: Training = field(default_factory=lambda: _training(200))
    drugs: DrugConfiguration = field(default_factory=DrugConfiguration)
    organs: OrganConfiguration = field(default_factory=OrganConfiguration)


class Heads(nn.Module):
    """Networks of drugs and of organs; they share no weights."""

    def __init__(self, drugs: nn.Module, organs: nn.Module) -> None:
        super().__init__()
        self.drugs, self.organs = drugs, organs


class Allometry(Learner):
    """Organs along body mass; human clearance and volume from animals. Trained on what ships."""

    name = "allometry"
    version = 2  # 2: a Gaussian of all that is known of a drug is in the mean below the networks
    configurations: ClassVar = {
        "tiny": AllometryConfiguration(
            _training(30), DrugConfiguration(folds=4, members=1), OrganConfiguration(members=1)
        ),
        "shipped": AllometryConfiguration(),
    }

    def __init__(self, configuration: AllometryConfiguration) -> None:
        super().__init__(configuration)
        seed = configuration.training.seed
        self.drugs = DrugPart(configuration.drugs, shipped_animals(), seed)
        self.organs = OrganPart(configuration.organs, shipped_organs())
        self._batch: Any = None

    def network(self) -> nn.Module:
        return Heads(self.drugs.network(), self.organs.network())

    def batch(self, step: int) -> Any:
        """All there is, in every step; noise is drawn by the loss."""
        if self._batch is None:
            self._batch = {"drugs": self.drugs.tensors(), "organs": self.organs.tensors()}
        return self._batch

    def loss(self, network: Any, batch: Any) -> Tensor:
        drugs = self.drugs.loss(network.drugs, batch["drugs"])
        organs = self.organs.loss(network.organs, batch["organs"])
        return drugs + organs

    def report(self, network: Any) -> Report:
        from teorell.learn.allometry.pictures import drugs_picture, organs_picture

        figures = (
            *(one for target in TARGETS for one in drug_figures(self.drugs, network.drugs, target)),
            *organ_figures(self.organs, network.organs),
            *scaling(self.drugs.drugs, self.training.seed),
        )
        pictures = {
            "calibration": lambda: calibration_picture(self.drugs, self.organs, network),
            "scaling": lambda: scaling_picture(figures, len(self.drugs.drugs.names)),
            "drugs": lambda: drugs_picture(self.drugs, network.drugs),
            "organs": lambda: organs_picture(self.organs, network.organs),
        }
        return Report("neural allometry: drugs and species that were never seen", figures, pictures)


def rivals(part: DrugPart, target: str) -> dict[str, Array]:
    """log10 in humans (drugs,) by each anchor; those that learn do so on the other folds."""
    logs = part.drugs.of(target)
    animals, human = logs[:, 1:], logs[:, 0]
    usable = np.isfinite(human) & (measured(logs) >= 2)
    learned = {
        "ridge": np.full(len(human), np.nan),
        "Gaussian process": np.full(len(human), np.nan),
    }
    for fold in range(part.folds):
        mine = part.fold == fold
        rows = usable & ~mine
        weights = ridge(animals[rows], human[rows])
        learned["ridge"][mine] = ridge_mean(weights, animals[mine])
        found = gaussian_process(target, animals, human, np.flatnonzero(rows))
        learned["Gaussian process"][mine] = found[mine]
    fixed = {"simple allometry": simple_allometry(target, animals)}
    if target == "CL":
        fixed["rule of exponents"] = rule_of_exponents(animals)
    return fixed | {"fixed exponent": fixed_exponent(target, animals)} | learned


def drug_figures(part: DrugPart, network: Any, target: str) -> list[Figure]:
    """GMFE of drugs that were never seen, beside that of the anchors, and coverage."""
    logs = part.drugs.of(target)
    human = logs[:, 0]
    found = {"network": part.unseen(network, target)} | rivals(part, target)
    figures = []
    for least in (2, 3):
        rows = np.isfinite(human) & (measured(logs) >= least)
        errors = {name: np.abs(x[rows] - human[rows]) for name, x in found.items()}
        gmfe_goal, ratio_goal = GOALS[target, least]
        what = f"{target}, {least} species" + (" or more" if least == 2 else "")
        for name, error in errors.items():
            goal = gmfe_goal if name == "network" else ""
            figures.append(_geometric(f"{what}: GMFE, {name}", error, goal))
        paired = errors["network"] - errors["ridge"]
        figures.append(_geometric(f"{what}: network / ridge", paired, ratio_goal))
    rows = np.isfinite(human) & (measured(logs) >= 1)
    for level in LEVELS:
        share = float(covered(part, found["network"], target, level)[rows].mean())
        figures.append(Figure(f"{target}: inside {level:.0%} intervals", share, int(rows.sum())))
    return figures


def organ_figures(part: OrganPart, network: Any) -> list[Figure]:
    """GMFE of the organs of species that were never seen, beside a power law, and coverage."""
    organs = part.organs
    mean, _ = part.unseen(network)
    law = np.full(organs.logs.shape, np.nan)
    species = np.arange(len(organs.species))
    for i, node, kind in np.ndindex(*organs.logs.shape):
        others = (species != i) & np.isfinite(organs.logs[:, node, kind])
        if others.sum() >= LEAST:
            y = organs.logs[others, node, kind]
            law[i, node, kind] = power_law(organs.mass[others], y, organs.mass[i : i + 1])[0]
    seen = np.isfinite(organs.logs) & np.isfinite(law)
    groups = np.broadcast_to(species[:, None, None], seen.shape)[seen]
    own, other = (np.abs(x - organs.logs)[seen] for x in (mean, law))
    head = f"organs of a species left out of {len(species)}"
    figures = [
        _geometric(f"{head}: GMFE, network", own, groups=groups),
        _geometric(f"{head}: GMFE, power law", other, groups=groups),
        _geometric(f"{head}: network / power law", own - other, "<= 0.97", groups),
    ]
    scores = part.scores(network)
    for level in LEVELS:
        share = float(organs_covered(scores, level)[seen].mean())
        figures.append(Figure(f"organs: inside {level:.0%} intervals", share, int(seen.sum())))
    return figures


def _geometric(what: str, logs: Array, goal: str = "", groups: Array | None = None) -> Figure:
    """10 ** mean of log10 errors, or of their differences, with its interval."""

    def statistic(rows: NDArray[np.int64]) -> float:
        return float(10 ** logs[rows].mean())

    low, high = bootstrap(statistic, len(logs), groups=groups)
    return Figure(what, statistic(np.arange(len(logs))), len(logs), low, high, goal)
