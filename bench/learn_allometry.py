"""Figures of neural allometry, trained here; `learn_curves.py` has those of human curves.

python bench/learn_allometry.py [--seeds 0 1 2] [--data ../shared/data] [PART ...]

Parts: drugs (leave-drugs-out and organs of six species, for each seed), ten (organs of ten species
and breeds of PK-Sim, GPL: for checking alone), continuum (64 synthetic species whose exponent
breaks), end (drug networks trained with human curves in the loss, through the solver, and without;
only if asked for).
"""

from __future__ import annotations

import argparse
import platform
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from teorell.learn.allometry.drug_head import DrugConfiguration, DrugPart
from teorell.learn.allometry.drug_table import TARGETS, measured, shipped_animals
from teorell.learn.allometry.learner import Allometry, drug_figures, organ_figures
from teorell.learn.allometry.organ_head import OrganConfiguration, OrganPart
from teorell.learn.allometry.organ_table import organs_of
from teorell.learn.allometry.power_law import power_law
from teorell.learn.allometry.trajectory import Trajectory
from teorell.learn.configuration import Training
from teorell.learn.learner import Learner
from teorell.learn.metrics import bootstrap
from teorell.learn.report import Figure, Report
from teorell.learn.trainer import train

OPTIONS = {"partition": "rodgers_rowland"}


@dataclass(frozen=True)
class Only:
    training: Training


class Part(Learner):
    """The trainer for a part alone: its network, tensors and loss."""

    name, version = "part", 1

    def __init__(
        self, part: object, steps: int, seed: int, rate: float = 0.01, decay: float = 0.0
    ) -> None:
        super().__init__(
            Only(Training(steps=steps, learning_rate=rate, warmup=5, clip=0.0, check_every=0,
                          seed=seed, weight_decay=decay))
        )  # fmt: skip
        self.part, self.tensors = part, part.tensors()

    def network(self) -> torch.nn.Module:
        return self.part.network()

    def batch(self, step: int) -> object:
        return self.tensors

    def loss(self, network: torch.nn.Module, batch: object) -> torch.Tensor:
        return self.part.loss(network, batch)

    def report(self, network: torch.nn.Module) -> Report:
        raise NotImplementedError


def drugs(seeds: list[int]) -> None:
    """Train the shipped configuration with each seed; every figure of it."""
    for seed in seeds:
        configuration = Allometry.configurations["shipped"]
        training = replace(configuration.training, seed=seed)
        start = time.perf_counter()
        learner = Allometry(replace(configuration, training=training))
        found = train(learner)
        print(f"\nseed {seed}, trained in {time.perf_counter() - start:.0f} s (wall)")
        print(learner.report(found.network), flush=True)


def end_to_end(seeds: list[int]) -> None:
    """Networks of drugs with the error of human curves in the loss, and without: what both say of
    drugs that they never saw, as values and as simulated curves.
    """
    for seed in seeds:
        for weight in (0.0, 1.0):
            part = DrugPart(DrugConfiguration(curves=weight), shipped_animals(), seed)
            start = time.process_time()
            network = train(Part(part, 200, seed, decay=0.02)).network
            seconds = time.process_time() - start
            unseen = {target: part.unseen(network, target) for target in TARGETS}
            figures = [each for target in TARGETS for each in drug_figures(part, network, target)
                       if "network" in each.what]  # fmt: skip
            rows = part.curves.rows
            logs = (torch.from_numpy(unseen[target][rows]) for target in TARGETS)
            least = np.minimum(*(measured(part.drugs.of(target))[rows] for target in TARGETS))
            with torch.no_grad():
                apart = part.curves.of(torch.arange(len(rows)), *logs).numpy()[least >= 1]
            low, high = bootstrap(lambda i, e=apart: float(10 ** e[i].mean()), len(apart))
            value = float(10 ** apart.mean())
            figures.append(Figure("simulated curves: fold error", value, len(apart), low, high))
            title = f"\nseed {seed}, weight of curves {weight:g}, {seconds:.0f} s of the processor"
            print(Report(title, tuple(figures)), flush=True)


def ten(data: Path, seeds: list[int]) -> None:
    """Organs of ten species and breeds of PK-Sim, each left out once."""
    organs = organs_of(pksim(data / "osp_validator" / "pksim_physiology_long.csv.gz"))
    for seed in seeds:
        part = OrganPart(OrganConfiguration(), organs)
        start = time.perf_counter()
        network = train(Part(part, 200, seed)).network
        seconds = time.perf_counter() - start
        title = f"\nten species and breeds, seed {seed}, trained in {seconds:.0f} s (wall)"
        figures = [one._replace(goal=one.goal.replace("0.97", "1.02"))
                   for one in organ_figures(part, network)]  # fmt: skip
        print(Report(title, tuple(figures)), flush=True)


def pksim(path: Path) -> pd.DataFrame:
    """Volumes and flows of organs as `organs_of` reads them; of people, one man of 25 to 40."""
    table = pd.read_csv(path)
    table = table[table.model == "4Comp"]
    man = (table.species == "Human") & table.gender.astype(str).str.upper().str.startswith("MALE")
    case = table[man & table.age_y.between(25, 40)].case.iloc[0]
    table = table[(table.species != "Human") | (table.case == case)]
    volumes = (table.parameter == "Volume") & table["sub"].isna()
    flows = table.parameter == "Blood flow rate"
    names = (
        "Bone", "Brain", "Fat", "Gonads", "Heart", "Kidney", "Liver", "Lung", "Muscle", "Pancreas",
        "Skin", "Spleen", "Stomach", "SmallIntestine", "LargeIntestine", "VenousBlood",
        "ArterialBlood", "PortalVein",
    )  # fmt: skip
    rows = []
    for quantity, chosen in (("volume", volumes), ("flow", flows)):
        part = table[chosen & table.organ.isin(names)]
        for (species, _, organ), group in part.groupby(["species", "case", "organ"]):
            value = group.value_internal_units.astype(float).max()
            if value > 0:
                weight = np.log10(group.weight_kg.iloc[0])
                rows.append((species.lower(), weight, organ.lower(), quantity, np.log10(value)))
    found = pd.DataFrame(rows, columns=["species", "weight", "organ", "quantity", "value"])
    found = found.groupby(["species", "organ", "quantity"], as_index=False).mean()
    return found.assign(value=10**found.value, weight=10**found.weight)


class Continuum:
    """Synthetic species whose exponent goes from .85 to .60 at one mass; data sets side by side."""

    below, above, place, noise = 0.85, 0.60, 0.5, 0.05  # place: log10 kg

    def __init__(self, species: int, sets: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.mass = np.sort(rng.uniform(np.log10(0.02), np.log10(500.0), species))
        truth = self.below * self.mass
        truth += (self.above - self.below) * np.maximum(self.mass - self.place, 0.0)
        self.y = truth[:, None] + self.noise * rng.standard_normal((species, sets))
        self.law = np.stack([power_law(self.mass, y, self.mass) for y in self.y.T], axis=1)

    def network(self) -> Trajectory:
        return Trajectory(torch.zeros(1, 1), self.y.shape[1], 1, 8, 1)

    def tensors(self) -> dict[str, torch.Tensor]:
        wanted = torch.from_numpy(self.y - self.law).float()
        return {"mass": torch.from_numpy(self.mass).float(), "wanted": wanted}

    def loss(self, network: Trajectory, given: dict[str, torch.Tensor]) -> torch.Tensor:
        found = network(given["mass"])[:, :, 0, 0, 1]  # (species, sets)
        error = ((found - given["wanted"]) ** 2).mean(dim=0) / self.noise**2
        return error.sum()

    def exponents(self, network: Trajectory) -> np.ndarray:
        """Of each set the exponent below and above, the mass of the break (log10 kg), and by how
        much the data prefer it to one line (BIC), (sets, 4).
        """
        with torch.no_grad():
            beyond = network(torch.from_numpy(self.mass).float())[:, :, 0, 0, 1].double().numpy()
        found = []
        for curve, y in zip((self.law + beyond).T, self.y.T, strict=True):
            breaks = np.linspace(self.mass[0] + 0.5, self.mass[-1] - 0.5, 81)
            fits = [self._segments(curve, each) for each in breaks]
            best = int(np.argmin([rest for _, rest in fits]))
            low, step = fits[best][0][1:]
            one = ((y - power_law(self.mass, y, self.mass)) ** 2).sum()
            two = self._segments(y, breaks[best])[1]
            n = len(y)
            found.append((low, low + step, breaks[best], n * np.log(one / two) - 2 * np.log(n)))
        return np.array(found)

    def _segments(self, y: np.ndarray, at: float) -> tuple[np.ndarray, float]:
        design = np.column_stack(
            [np.ones_like(self.mass), self.mass, np.maximum(self.mass - at, 0)]
        )
        weights = np.linalg.lstsq(design, y, rcond=None)[0]
        return weights, float(((y - design @ weights) ** 2).sum())


def continuum(seeds: list[int], sets: int = 30, species: int = 64) -> None:
    """The break in the exponent, from a neural ODE alone: no one tells it that there is one."""
    for seed in seeds:
        problem = Continuum(species, sets, seed)
        start = time.perf_counter()
        network = train(Part(problem, 400, seed, rate=0.02)).network
        found = problem.exponents(network)
        error = np.abs(found[:, :2] - (problem.below, problem.above)).max(axis=1)
        place = np.abs(found[:, 2] - problem.place)
        print(
            f"\ncontinuum, seed {seed}: {sets} data sets of {species} species, "
            f"{time.perf_counter() - start:.0f} s (wall)\n"
            f"break found (BIC) in {np.mean(found[:, 3] > 0):.0%}; mean exponents "
            f"{found[:, 0].mean():.3f} and {found[:, 1].mean():.3f} (truth {problem.below}, "
            f"{problem.above})\nlargest error of both: median {np.median(error):.3f}, 95th "
            f"percentile {np.quantile(error, 0.95):.3f}, within 0.04 in {np.mean(error < 0.04):.0%}"
            f"; place within {np.median(place):.2f} decades (median)",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=["drugs", "ten", "continuum"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    options = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, one thread")
    for part in options.parts:
        if part == "drugs":
            drugs(options.seeds)
        elif part == "ten":
            ten(options.data, options.seeds)
        elif part == "end":
            end_to_end(options.seeds)
        elif part == "continuum":
            continuum(options.seeds)
        else:
            parser.error(f"unknown part {part}: drugs, ten, continuum or end")


if __name__ == "__main__":
    main()
