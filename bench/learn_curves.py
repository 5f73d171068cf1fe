"""Human curves of ten drugs from their animals, by the shipped weights and by simple allometry.

python bench/learn_curves.py [--data ../shared/data]

Each drug by networks that never saw it. Observed: osp/ and nlmixr2data/ (GPL: for checking alone),
cvtdb/. AUC and Cmax are over the observed samples, on both sides.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import teorell as tl
from teorell.learn.allometry.anchors import simple_allometry
from teorell.learn.allometry.drug_table import shipped_animals
from teorell.learn.allometry.prediction import scaled, with_kinetics
from teorell.learn.metrics import bootstrap
from teorell.learn.report import Figure, Report
from teorell.pbpk import DRUGS, whole_body
from teorell.pbpk.chemicals import chemical
from teorell.results.nca import analyse

OPTIONS = {"partition": "rodgers_rowland"}
CURVES = (
    "alfentanil", "alprazolam", "omeprazole", "triazolam", "verapamil", "theophylline", "warfarin",
    "fluconazole", "sildenafil", "fentanyl",
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    curves(parser.parse_args().data)
