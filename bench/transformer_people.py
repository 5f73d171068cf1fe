"""Real people and studies that forecasts are compared with, and which two samples are told.

All data are for checking alone. What is told and why: `learn_transformer_real.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from teorell.arrays import Array
from teorell.learn.transformer.given import Patient

PEOPLE = {"theophylline": ("theo_sd.csv", 1.0, 5.0), "warfarin": ("warfarin.csv", 9.0, 24.0)}
ADULT, REFERENCE_KG, LEAST = 18.0, 73.0, 5
UNITS = {"mg/l": 1.0, "µg/ml": 1.0, "ng/ml": 1e-3, "µg/l": 1e-3, "pg/ml": 1e-6}


class Person(NamedTuple):
    """Doses and weight, all samples, and which two of these are told."""

    name: str
    dose: Patient  # without samples
    times: Array
    values: Array
    told: tuple[int, ...]


def people_of(data: Path, name: str) -> list[Person]:
    """Those of whom something is left to forecast after the second sample."""
    file, near, then = PEOPLE[name]
    table = pd.read_csv(data / "nlmixr2data" / file).rename(columns=str.upper)
    if "DVID" in table:
        table = table[table.DVID == "cp"]
    found = []
    for one, rows in table.groupby("ID"):
        seen = rows[(rows.EVID == 0) & (rows.TIME > 0) & (rows.DV > 0)].groupby("TIME").DV.mean()
        times, values = seen.index.to_numpy(float), seen.to_numpy(float)
        first = int(np.abs(times[:-2] - near).argmin())
        second = first + 1 + int(np.abs(times[first + 1 : -1] - then).argmin())
        dose = rows[rows.EVID > 0].iloc[0]
        found.append(Person(str(one), _once(dose.AMT, dose.WT), times, values, (first, second)))
    return found


def _once(amount: float, weight: float) -> Patient:
    zero, none = np.zeros(1), np.empty(0)
    return Patient(zero, np.array([float(amount)]), zero, none, none, float(weight))


def studies(data: Path) -> dict[str, list[Person]]:
    """Route -> mean curves of human studies; names are those of compounds."""
    listed = pd.read_csv(data / "osp" / "osp_studies.csv.gz")
    listed = listed[(listed.age_y >= ADULT) & (listed.compounds_given == 1) & ~listed.disease]
    points = pd.read_csv(data / "osp" / "osp_model_library_observed.csv.gz")
    points = points[(points.compartment == "Plasma") & points.value.notna()]
    by_set = dict(iter(points.groupby("dataset")))
    found: dict[str, list[Person]] = {"oral": [], "iv": []}
    for row in listed.drop_duplicates("dataset").itertuples():
        doses = json.loads(row.doses)
        kinds = {dose[0] for dose in doses}
        route = "oral" if kinds == {"Oral"} else "iv"
        seen = by_set.get(row.dataset)
        if seen is None or not kinds <= {"Oral", "Intravenous", "IntravenousBolus"}:
            continue
        if (route == "iv" and "Oral" in kinds) or set(seen.molecule) != {row.compound}:
            continue
        if not doses:
            continue
        start = np.array([dose[2] for dose in doses], float)
        duration = np.array([dose[3] or 0.0 for dose in doses], float)
        amount = np.array([dose[1] for dose in doses], float)
        unit = seen.value_unit.iloc[0].replace("\u03bc", "µ")
        factor = seen.mol_weight.iloc[0] / 1000 if unit == "µmol/l" else UNITS[unit]
        hours = seen.time * seen.time_unit.map({"h": 1.0, "day(s)": 24.0})
        level = (seen.value * factor).groupby(hours).mean()
        level = level[(level.index > start.min()) & (level > 0)]
        n = len(level)
        weight = REFERENCE_KG if np.isnan(row.weight_kg) else row.weight_kg
        if n < LEAST or not (amount > 0).all() or not 30 <= weight <= 150 or start.min() < 0:
            continue
        dose = Patient(start, amount, duration, np.empty(0), np.empty(0), float(weight))
        times, values = level.index.to_numpy(float), level.to_numpy(float)
        found[route].append(Person(row.compound, dose, times, values, (n // 4, n // 2)))
    return found
