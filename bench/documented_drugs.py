"""The documented drugs: every human study of the OSP model library, predicted against observed.

    python bench/documented_drugs.py [--data ../shared/data] [--misses] [--out FILE]

Every data set of `osp_model_library_observed.csv` whose molecule is a drug of `teorell.pbpk.DRUGS`,
and of which `osp_studies.csv` tells what was given: also racemates, given as two enantiomers, and
whole blood. The drugs' numbers come from other papers (clearances and volumes are means over
intravenous studies, and some of these may be among them); nothing is adjusted. The model and the
comparison are those of `osp_reproduction.py`. --out draws all of them.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from osp_reproduction import (
    SITES,
    Found,
    Study,
    curve,
    observations,
    refused,
    shares,
    simulated,
    table,
)
from teorell.pbpk import DRUGS
from teorell.tables import aligned

TICKS = {1 / 32: "1/32", 1 / 8: "1/8", 1 / 2: "1/2", 1.0: "1", 2.0: "2", 8.0: "8"}
MARKERS = {"iv": ("o", 0.18), "oral": ("s", -0.18), "both": ("D", 0.0)}
ENANTIOMERS = {
    "omeprazole": ("Esomeprazole", "R-omeprazole"),
    "warfarin": ("S-Warfarin", "R-Warfarin"),
}
POOR = "PM"  # in the name of a study of people without the enzyme


def studied(data: Path) -> tuple[list[Found], Counter]:
    """All studies of the library's drugs; reason -> how many are left out."""
    told = defaultdict(list)
    for row in table(data, "osp_studies.csv.gz"):
        told[row["dataset"]].append(row)
    chosen, left_out = [], Counter()
    for name, seen in observations(data).items():
        drug = DRUGS.get(seen[0]["molecule"].casefold())
        if drug is None:
            continue
        own = {drug.name, *(each.casefold() for each in ENANTIOMERS.get(drug.name, ()))}
        rows = list({row["compound"]: row for row in told[name]}.values())
        if not rows:
            left_out["not told what was given"] += 1
            continue
        if not all(row["compound"].casefold() in own for row in rows):
            left_out["with another drug"] += 1
            continue
        whole_blood = seen[0]["compartment"] == "Whole Blood"
        times, values = curve(seen, drug.molar_mass, whole_blood)
        doses = [dose for row in rows for dose in json.loads(row["doses"])]
        reason = refused(times, doses)
        if reason:
            left_out[reason] += 1
            continue
        values = values / (drug.ratio if whole_blood else 1.0)
        kinds = {"oral" if dose[0] == "Oral" else "iv" for dose in doses}
        route = kinds.pop() if len(kinds) == 1 else "both"
        target = {"compound": drug.name, "dataset": name, "target": ""}
        site = SITES[seen[0]["organ"]]
        chosen.append(Study(route, target, rows[0], drug, doses, times, values, site))
    return simulated(chosen), left_out


def report(found: list[Found], left_out: Counter) -> str:
    """Shares within 2-fold, of all and of each drug."""
    lines = [["drug", "route", "n", "AUC within 2-fold", "geometric mean", "Cmax within 2-fold"]]
    drugs = sorted({row.target["compound"] for row in found})
    for drug in ("all", *drugs):
        for route in ("all", *MARKERS):
            rows = [
                row
                for row in found
                if drug in ("all", row.target["compound"]) and route in ("all", row.route)
            ]
            if rows and (drug == "all" or route != "all"):
                lines.append([drug, route, *shares(rows)])
    why = ", ".join(f"{name} ({n})" for name, n in left_out.items())
    return f"{aligned(lines, left=(0, 1))}\n\nleft out: {why or 'none'}"


def misses(found: list[Found]) -> str:
    """AUC beyond 2-fold, a line each."""
    lines = [["AUC", "Cmax", "route", "reason", "data set"]]
    for row in sorted(found, key=lambda row: row.auc):
        if abs(math.log(row.auc)) >= math.log(2):
            name = row.target["dataset"]
            poor = "people without CYP2C19" if name.split("_")[-1].split(".")[-1] == POOR else ""
            lines.append([f"{row.auc:.2f}", f"{row.cmax:.2f}", row.route, poor, name])
    return aligned(lines, left=(2, 3, 4))


def draw(found: list[Found], out: Path) -> None:
    """Predicted over observed AUC and Cmax of each study, by drug."""
    from matplotlib.figure import Figure

    names = sorted({row.target["compound"] for row in found})
    figure = Figure(figsize=(9.0, 0.5 * len(names) + 2.0), layout="constrained")
    for axes, (k, title) in zip(
        figure.subplots(1, 2, sharey=True), ((3, "AUC"), (4, "Cmax")), strict=True
    ):
        for route, (marker, lift) in MARKERS.items():
            rows = [row for row in found if row.route == route]
            axes.scatter(
                [row[k] for row in rows],
                [names.index(row.target["compound"]) + lift for row in rows],
                marker=marker, s=22, alpha=0.6, label=route,
            )  # fmt: skip
        axes.axvspan(0.5, 2.0, alpha=0.12, color="gray", lw=0)
        axes.axvline(1.0, color="gray", lw=0.8)
        axes.set_xscale("log")
        axes.set_xticks(list(TICKS), list(TICKS.values()))
        axes.minorticks_off()
        axes.set_xlabel(f"{title}, predicted / observed")
    counts = Counter(row.target["compound"] for row in found)
    labels = [f"{name} ({counts[name]})" for name in names]
    figure.axes[0].set_yticks(np.arange(len(names)), labels)
    figure.axes[0].set_ylim(-0.6, len(names) - 0.4)
    figure.axes[0].legend(loc="best")
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--misses", action="store_true", help="list the misses")
    parser.add_argument("--out", type=Path, help="a picture of AUC and Cmax")
    options = parser.parse_args()
    results, without = studied(options.data)
    print(report(results, without))
    if options.misses:
        print("\n" + misses(results))
    if options.out is not None:
        draw(results, options.out)
