"""Every figure of neural allometry: trained here, or from the shipped weights.

python bench/learn_allometry.py [--seeds 0 1 2] [--data ../shared/data] [PART ...]

Parts: drugs (leave-drugs-out and organs of six species, for each seed), ten (organs of ten species
and breeds of PK-Sim, GPL: for checking alone), continuum (64 synthetic species whose exponent
breaks), curves (human curves of eight drugs, AUC and Cmax, beside simple allometry).
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import teorell as tl
import torch
from teorell.learn.allometry.anchors import simple_allometry
from teorell.learn.allometry.drug_table import shipped_animals
from teorell.learn.allometry.learner import Allometry, organ_figures
from teorell.learn.allometry.organ_head import OrganConfiguration, OrganPart
from teorell.learn.allometry.organ_table import organs_of
from teorell.learn.allometry.power_law import power_law
from teorell.learn.allometry.prediction import scaled, with_kinetics
from teorell.learn.allometry.trajectory import Trajectory
from teorell.learn.configuration import Training
from teorell.learn.learner import Learner
from teorell.learn.metrics import bootstrap
from teorell.learn.report import Figure, Report
from teorell.learn.trainer import train
from teorell.pbpk import DRUGS, whole_body
from teorell.pbpk.chemicals import chemical
from teorell.results.nca import analyse

OPTIONS = {"partition": "rodgers_rowland"}


@dataclass(frozen=True)
class Only:
    training: Training


class Part(Learner):
    """The trainer for a part alone: its network, tensors and loss."""

    name, version = "part", 1

    def __init__(self, part: object, steps: int, seed: int, rate: float = 0.01) -> None:
        super().__init__(
            Only(Training(steps=steps, learning_rate=rate, warmup=5, clip=0.0, check_every=0,
                          seed=seed, weight_decay=0.0))
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


CURVES = (
    "alfentanil", "alprazolam", "omeprazole", "triazolam", "verapamil", "theophylline", "warfarin",
    "fentanyl",
)  # fmt: skip
RACEMATES = ("omeprazole", "verapamil")  # osp/ tells the dose of each of two enantiomers
LATEST, LEAST = 12.0, 4  # h until the first sample; samples


def curves(data: Path) -> None:
    """Human curves after intravenous doses, from animals: AUC and Cmax over the samples."""
    animals = shipped_animals()
    names = [name.casefold() for name in animals.names]
    rows, table = [], pd.read_csv(Path(__file__).parents[1] / ANIMAL_TABLE)
    for name in CURVES:
        place = names.index(name)
        drug = DRUGS[name] if name in DRUGS else chemical(name)
        row = table.iloc[[place]]
        simple = {}
        for target in ("CL", "VDss"):
            logs = animals.of(target)[place : place + 1, 1:]
            simple[target] = float(10 ** simple_allometry(target, logs)[0])
        volume = None if np.isnan(simple["VDss"]) else simple["VDss"]
        classic = with_kinetics(drug, simple["CL"], volume)
        studies = observed(data, name)
        for kind, one in (("network", scaled(drug, row)), ("simple allometry", classic)):
            rows += [(name, kind, *errors(one, study)) for study in studies]
    found = pd.DataFrame(rows, columns=["drug", "method", "AUC", "Cmax", "studies"])
    print("\nhuman curves, predicted / observed, geometric mean over studies of a drug")
    each = found.groupby(["drug", "method"])[["AUC", "Cmax"]].agg(
        lambda x: 10 ** np.log10(x).mean()
    )
    print(each.unstack().round(2).to_string())
    print(found.groupby("drug").studies.sum().floordiv(2).to_string())
    figures = []
    for quantity in ("AUC", "Cmax"):
        for method in ("network", "simple allometry"):
            error = np.abs(np.log10(each.xs(method, level="method")[quantity].to_numpy()))
            low, high = bootstrap(lambda i, e=error: float(10 ** e[i].mean()), len(error))
            what = f"{quantity}: GMFE over drugs, {method}"
            figures.append(Figure(what, float(10 ** error.mean()), len(error), low, high))
    print(Report("", tuple(figures)), flush=True)


ANIMAL_TABLE = "python/teorell/learn/allometry/data/animal_pk.csv.gz"
UNITS = {"mg/l": 1.0, "µg/ml": 1.0, "ng/ml": 1e-3, "µg/l": 1e-3, "pg/ml": 1e-6}
HOURS = {"h": 1.0, "min": 1 / 60, "day(s)": 24.0}


class Study(NamedTuple):
    """One observed curve after one dose: mg, h (0: a bolus), kg, h, mg/L of plasma."""

    dose: float
    duration: float
    weight: float
    times: np.ndarray
    seen: np.ndarray
    into: str = "venous"


def observed(data: Path, name: str) -> list[Study]:
    """Curves of a drug: intravenous ones of osp/ (adults), oral ones of nlmixr2data/ (adults), and
    intravenous ones of cvtdb/, newborns all.
    """
    if name in ("theophylline", "warfarin"):
        return [*oral(data, name)]
    if name == "fentanyl":
        return [*newborns(data, name)]
    studies = pd.read_csv(data / "osp" / "osp_studies.csv.gz").drop_duplicates("dataset")
    studies = studies.set_index("dataset")
    points = pd.read_csv(data / "osp" / "osp_model_library_observed.csv.gz")
    points = points[(points.molecule.str.casefold() == name) & (points.compartment == "Plasma")]
    points = points[points.route.astype(str).str.casefold().str.startswith("iv")]
    found = []
    for dataset, rows in points.groupby("dataset"):
        if dataset not in studies.index or "_PM" in dataset:  # poor metabolisers
            continue
        doses = json.loads(studies.loc[dataset, "doses"])
        unit = rows.value_unit.iloc[0]
        factor = rows.mol_weight.iloc[0] / 1000 if unit == "µmol/l" else UNITS.get(unit)
        hours = rows.time * rows.time_unit.map(HOURS)
        if factor is None or hours.min() > LATEST or len(doses) != 1:
            continue  # a later dose of several, or an infusion after a bolus
        values = (rows.value * factor).groupby(hours).mean()
        values = values[(values.index > 0) & (values > 0)]
        dose = doses[0][1] * (2 if name in RACEMATES else 1)
        if len(values) >= LEAST:
            weight = float(studies.loc[dataset, "weight_kg"])
            weight = 73.0 if np.isnan(weight) else weight
            found.append(Study(dose, doses[0][3] or 0.0, weight, *curve(values)))
    return found


def oral(data: Path, name: str) -> Iterator[Study]:
    """A subject a study."""
    file = "theo_sd.csv" if name == "theophylline" else "warfarin.csv"
    table = pd.read_csv(data / "nlmixr2data" / file).rename(columns=str.upper)
    for _, rows in table.groupby("ID"):
        dose = float(rows.AMT.max())
        seen = rows[(rows.EVID == 0) & (rows.TIME > 0)]
        if "DVID" in seen:
            seen = seen[seen.DVID == "cp"]
        values = seen.groupby("TIME").DV.mean()
        if len(values) >= LEAST:
            yield Study(dose, 0.0, float(rows.WT.iloc[0]), *curve(values), "stomach_lumen")


def newborns(data: Path, name: str) -> Iterator[Study]:
    """Those of cvtdb, scaled by their weight alone."""
    table = pd.read_csv(data / "cvtdb" / "cvt.csv.gz", low_memory=False)
    table = table[(table.species == "human") & (table.dosed_chem_name == name) & (table.conc > 0)]
    for _, rows in table.groupby("fk_series_id"):
        values = rows.groupby("time_hr").conc.mean()
        weight = float(rows.weight_kg.iloc[0])
        if len(values) >= LEAST:
            dose = float(rows.dose_level_normalized.iloc[0]) * weight
            yield Study(dose, 1 / 60, weight, *curve(values))


def curve(values: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    return values.index.to_numpy(dtype=float), values.to_numpy(dtype=float)


def errors(drug: object, study: Study) -> tuple[float, float, int]:
    """Predicted over observed AUC and Cmax, both over the samples; and 1, to be counted."""
    given = {"into": study.into}
    regimen = (
        tl.Regimen.infusion(study.dose, duration=study.duration, **given)
        if study.duration
        else tl.Regimen.bolus(study.dose, **given)
    )
    person = {"body_weight": study.weight}
    solution = tl.simulate(whole_body(drug, **OPTIONS), person, regimen, study.times, ["cp"])
    found = solution.values[0, :, 0]
    mine, theirs = (analyse(study.times, each)["auc_last"][0] for each in (found, study.seen))
    return float(mine / theirs), float(found.max() / study.seen.max()), 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=["drugs", "ten", "continuum", "curves"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    options = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, one thread")
    for part in options.parts:
        if part == "drugs":
            drugs(options.seeds)
        elif part == "ten":
            ten(options.data, options.seeds)
        elif part == "continuum":
            continuum(options.seeds)
        else:
            curves(options.data)


if __name__ == "__main__":
    main()
