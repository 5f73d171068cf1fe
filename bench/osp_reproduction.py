"""Concentrations observed in people, reproduced from the compounds of the OSP model library.

    python bench/osp_reproduction.py [--data ../shared/data] [--misses]

Every study of `osp/targets_iv.csv` and `targets_oral.csv`, by one fixed configuration: the
compound by `teorell.io.osp.read_compound` with the processes of its study, the whole-body
model with Rodgers & Rowland, transit absorption of a dissolved dose, the reference man at
the study's weight, plasma of a vein of the arm, from which all of these studies drew blood. Many
inputs of the compounds were fitted to such data: this is reproduction, not prediction. AUC (linear
up, logarithmic down) and Cmax are over the observed samples, on both sides. Target A: no
transporter, no inactivation of the own enzyme, no inhibition by a metabolite.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import math
import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import teorell as tl
from teorell.io.osp import read_compound, read_entries
from teorell.pbpk import parameters_of, whole_body
from teorell.pbpk.drug import Drug
from teorell.physiology.reference_adults import BODY_WEIGHT
from teorell.results.nca import analyse
from teorell.tables import aligned

UNITS = {"mg/l": 1.0, "µg/ml": 1.0, "ng/ml": 1e-3, "µg/l": 1e-3, "pg/ml": 1e-6, "g/l": 1e3}
MOLAR = {"µmol/l": 1e-3, "nmol/l": 1e-6, "mmol/l": 1.0}
# where blood was drawn -> what the model has there
SITES = {
    "Peripheral Venous Blood": "cp_arm", "Venous Blood": "cp", "": "cp_arm", "Undefined": "cp_arm",
    "Arterial Blood": "cp_arterial",
}  # fmt: skip
OPTIONS = {"partition": "rodgers_rowland", "absorption": "transit"}


class Study(NamedTuple):
    """What was given to whom, and what was seen."""

    route: str
    target: dict[str, str]  # its row of a file of targets
    study: dict[str, str]  # its row of osp_studies.csv
    drug: Drug
    doses: list[list]  # as `regimen` takes them
    times: np.ndarray  # h
    values: np.ndarray  # mg/L
    site: str  # the output that was observed


class Found(NamedTuple):
    """Predicted over observed."""

    route: str
    target: dict[str, str]
    study: dict[str, str]
    auc: float
    cmax: float


def main(data: Path, misses: bool) -> None:
    """Print the shares within 2-fold."""
    found, left_out = studied(data)
    report(found, left_out)
    if misses:
        list_misses(found)


def studied(data: Path) -> tuple[list[Found], Counter]:
    """All studies, simulated at once; reason -> how many are left out."""
    entries = read_entries(data / "osp/osp_model_library_compounds.json")
    studies = {(row["dataset"], row["compound"]): row for row in table(data, "osp_studies.csv.gz")}
    observed = observations(data)
    chosen, left_out = [], Counter()
    for route in ("iv", "oral"):
        for target in table(data, f"targets_{route}.csv"):
            study = studies.get((target["dataset"], target["compound"]))
            if study is None or target["compound"] not in entries:
                left_out["two compounds, or no study"] += 1
                continue
            entry = entries[target["compound"]]
            seen = observed[target["dataset"]]
            times, values = curve(seen, entry["params"]["Molecular weight"][0])
            doses = json.loads(study["doses"])
            reason = refused(times, doses)
            if reason:
                left_out[reason] += 1
                continue
            processes = [each for each in json.loads(study["processes"]) if each is not None]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", tl.InputWarning)  # transporters are target B
                drug = read_compound(entry, processes=processes)
            site = SITES[seen[0]["organ"]]
            chosen.append(Study(route, target, study, drug, doses, times, values, site))
    return simulated(chosen), left_out


def observations(data: Path) -> dict[str, list[dict[str, str]]]:
    """Data set -> its samples."""
    observed = defaultdict(list)
    for row in table(data, "osp_model_library_observed.csv.gz"):
        observed[row["dataset"]].append(row)
    return observed


def refused(times: np.ndarray, doses: list[list]) -> str:
    """Why a study is left out, "" if it is not."""
    if len(times) < 2:
        return "no plasma curve"
    if not {dose[0] for dose in doses} <= {"Oral", "Intravenous", "IntravenousBolus"}:
        return "a route of its own"
    return ""


def simulated(chosen: Sequence[Study]) -> list[Found]:
    """Every study a patient of one call."""
    drugs = [each.drug for each in chosen]
    people = parameters_of(drugs, **OPTIONS)
    people["body_weight"] = np.array(
        [float(each.study["weight_kg"] or BODY_WEIGHT.man) for each in chosen]
    )
    sites = list(dict.fromkeys(SITES.values()))
    solution = tl.simulate(
        whole_body(drugs[0], **OPTIONS),
        people,
        [regimen(each.doses) for each in chosen],
        [each.times for each in chosen],
        outputs=sites,
        samples="before",  # blood is drawn before a dose of the same time
    )
    solution.raise_for_status()
    predicted = np.split(solution.values, solution.offsets[1:-1])
    found = []
    for each, curves in zip(chosen, predicted, strict=True):
        mine = curves[:, sites.index(each.site)]
        areas = [analyse(each.times, of)["auc_last"][0] for of in (mine, each.values)]
        auc, cmax = areas[0] / areas[1], mine.max() / each.values.max()
        found.append(Found(each.route, each.target, each.study, float(auc), float(cmax)))
    return found


def table(data: Path, name: str) -> list[dict[str, str]]:
    """The rows of a file of osp/."""
    path = data / "osp" / name
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def curve(
    rows: list[dict[str, str]], mass: float, whole_blood: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Times (h) and concentrations (mg/L) of the plasma of a data set, in order of time; the mean
    where several were seen at one time. mass: g/mol. whole_blood: of that instead.
    """
    wanted = ("Whole Blood",) if whole_blood else ("Plasma", "")
    seen: dict[float, list[float]] = defaultdict(list)
    for row in rows:
        unit = row["value_unit"].replace("\u03bc", "µ")
        factor = UNITS.get(unit, MOLAR[unit] * mass if unit in MOLAR else None)
        # urine apart
        if row["compartment"] not in wanted or factor is None or not row["value"]:
            continue
        hours = float(row["time"]) * {"h": 1.0, "day(s)": 24.0, "min": 1 / 60}[row["time_unit"]]
        if hours >= 0.0:
            seen[hours].append(float(row["value"]) * factor)
    times = np.array(sorted(seen))
    return times, np.array([np.mean(seen[time]) for time in times])


def regimen(doses: list[list]) -> tl.Regimen:
    """Of [kind, mg, start h, duration h, formulation]."""
    lines = []
    for kind, amount, start, duration, _ in doses:
        if kind == "Oral":
            lines.append(tl.Regimen.bolus(amount, into="stomach_lumen", time=start))
        elif duration:
            lines.append(tl.Regimen.infusion(amount, into="venous", duration=duration, time=start))
        else:
            lines.append(tl.Regimen.bolus(amount, into="venous", time=start))
    whole = lines[0]
    for line in lines[1:]:
        whole = whole + line
    return whole


def report(found: list[Found], left_out: Counter) -> None:
    """Shares within 2-fold, by route and target, and by compound."""
    head = ["route", "sets", "n", "AUC within 2-fold", "geometric mean", "Cmax within 2-fold"]
    lines = [head]
    for route in ("iv", "oral"):
        for name, wanted in (("target A", ("A",)), ("others", ("B",)), ("all", ("A", "B"))):
            rows = [row for row in found if row[0] == route and row[1]["target"] in wanted]
            if rows:
                lines.append([route, name, *shares(rows)])
    print(aligned(lines, left=(0, 1)))
    lines = [["compound", "route", *head[2:]]]
    for compound, route in sorted({(row[1]["compound"], row[0]) for row in found}):
        rows = [row for row in found if (row[1]["compound"], row[0]) == (compound, route)]
        lines.append([compound, route, *shares(rows)])
    print("\n" + aligned(lines, left=(0, 1)))
    print("\nleft out:", ", ".join(f"{name} ({n})" for name, n in left_out.items()) or "none")


def shares(rows: list[Found]) -> list[str]:
    auc, cmax = (np.array([row[k] for row in rows]) for k in (3, 4))
    within = [f"{np.mean(np.abs(np.log(each)) < math.log(2)):.0%}" for each in (auc, cmax)]
    return [str(len(rows)), within[0], f"{np.exp(np.log(auc).mean()):.2f}", within[1]]


def list_misses(found: list[Found]) -> None:
    """Target A beyond 2-fold in AUC, a line each, with what is known of the reason, and the ratio
    of AUC that a prototype had: of PK-Sim's structure (intravenous), or perfusion-limited (oral).
    """
    lines = [["AUC", "Cmax", "prototype", "reason", "data set"]]
    for route, target, study, auc, cmax in found:
        if target["target"] == "A" and abs(math.log(auc)) >= math.log(2):
            theirs = target.get("auc_r_4") or target["auc_r"]
            lines.append(
                [f"{auc:.2f}", f"{cmax:.2f}", theirs, reason(route, study, auc, float(theirs)),
                 target["dataset"]]
            )  # fmt: skip
    print("\nmisses of target A, predicted / observed:")
    print(aligned(lines, left=(3, 4)))


def reason(route: str, study: dict[str, str], auc: float, theirs: float) -> str:
    """What the model has not, of what the study had."""
    if "UGT1A9" in study["processes"]:
        return "UGT1A9 of the kidney is not in the model"
    if abs(math.log(theirs)) >= math.log(2):
        return "the compound or the study: a prototype misses it too"
    if route == "oral":
        dissolved = "a tablet, taken as dissolved; " if "Weibull" in study["formulations"] else ""
        return dissolved + ("gut wall escaped" if auc > 1.0 else "gut wall, or a slow absorber")
    return "clearance of these people is lower" if auc < 1.0 else "distribution"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--misses", action="store_true", help="list the misses of target A")
    options = parser.parse_args()
    main(options.data, options.misses)
