"""Concentrations observed in people, reproduced from the compounds of the OSP model library.

    python bench/osp_reproduction.py [--data ../shared/data] [--misses] [--documented] [--out FILE]

Every study of `osp/targets_iv.csv` and `targets_oral.csv`, by one fixed configuration: the
compound by `teorell.io.osp.read_compound` with the processes of its study, the whole-body
model with Rodgers & Rowland, transit absorption of a dissolved dose, the reference man at
the study's weight. Many inputs of the compounds were fitted to such data: this is reproduction, not
prediction. AUC (linear up, logarithmic down) and Cmax are over the observed samples, on both sides.
Target A: no transporter, no inactivation of the own enzyme, no inhibition by a metabolite. With
--documented the drugs are those of the library of teorell.pbpk, whose numbers come from other
papers (clearances and volumes are means over intravenous studies); --out draws all of them.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import math
import warnings
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import teorell as tl
from teorell.io.osp import read_compound, read_entries
from teorell.pbpk import DRUGS, parameters_of, whole_body
from teorell.pbpk.drug import Drug
from teorell.results.nca import analyse
from teorell.tables import aligned

UNITS = {"mg/l": 1.0, "µg/ml": 1.0, "ng/ml": 1e-3, "µg/l": 1e-3, "pg/ml": 1e-6, "g/l": 1e3}
MOLAR = {"µmol/l": 1e-3, "nmol/l": 1e-6, "mmol/l": 1.0}
TICKS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
OPTIONS = {"partition": "rodgers_rowland", "absorption": "transit"}


def main(data: Path, misses: bool, documented: bool, out: Path | None) -> None:
    """Print the shares within 2-fold."""
    found, left_out = studied(data, documented)
    report(found, left_out)
    if misses:
        list_misses(found)
    if out is not None:
        draw(found, out)


def studied(data: Path, documented: bool) -> tuple[list[tuple], Counter]:
    """All studies, simulated at once: (route, target, study, ratio of AUC, ratio of Cmax) of each;
    reason -> how many are left out.
    """
    entries = read_entries(data / "osp/osp_model_library_compounds.json")
    studies = {(row["dataset"], row["compound"]): row for row in table(data, "osp_studies.csv.gz")}
    observed = defaultdict(list)
    for row in table(data, "osp_model_library_observed.csv.gz"):
        observed[row["dataset"]].append(row)

    chosen, left_out = [], Counter()
    for route in ("iv", "oral"):
        for target in table(data, f"targets_{route}.csv"):
            study = studies.get((target["dataset"], target["compound"]))
            if study is None or target["compound"] not in entries:
                left_out["two compounds, or no study"] += 1
                continue
            times, values = curve(observed[target["dataset"]], entries[target["compound"]])
            if len(times) < 2:
                left_out["no plasma curve"] += 1
                continue
            kinds = {dose[0] for dose in json.loads(study["doses"])}
            if not kinds <= {"Oral", "Intravenous", "IntravenousBolus"}:
                left_out["a route of its own"] += 1
                continue
            processes = [each for each in json.loads(study["processes"]) if each is not None]
            if documented:
                name = target["compound"].casefold()
                if name not in DRUGS:
                    left_out["not in the library"] += 1
                    continue
                drug = DRUGS[name]
            else:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", tl.InputWarning)  # transporters are target B
                    drug = read_compound(entries[target["compound"]], processes=processes)
            chosen.append((route, target, study, drug, times, values))

    drugs: list[Drug] = [row[3] for row in chosen]
    people = parameters_of(drugs, **OPTIONS)
    people["body_weight"] = np.array([float(row[2]["weight_kg"] or 73.0) for row in chosen])
    solution = tl.simulate(
        whole_body(drugs[0], **OPTIONS),
        people,
        [regimen(json.loads(row[2]["doses"])) for row in chosen],
        [row[4] for row in chosen],
        outputs=["cp"],
        samples="before",  # blood is drawn before a dose of the same time
    )
    solution.raise_for_status()
    predicted = np.split(solution.values[:, 0], solution.offsets[1:-1])

    found = []
    for (route, target, study, _, times, values), curve_of in zip(chosen, predicted, strict=True):
        mine, theirs = (analyse(times, each)["auc_last"][0] for each in (curve_of, values))
        auc = mine / theirs
        found.append((route, target, study, float(auc), float(curve_of.max() / values.max())))
    return found, left_out


def table(data: Path, name: str) -> list[dict[str, str]]:
    """The rows of a file of osp/."""
    path = data / "osp" / name
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def curve(rows: list[dict[str, str]], entry: dict) -> tuple[np.ndarray, np.ndarray]:
    """Times (h) and concentrations (mg/L) of the plasma of a data set, in order of time; the mean
    where several were seen at one time.
    """
    mass = entry["params"]["Molecular weight"][0]
    seen: dict[float, list[float]] = defaultdict(list)
    for row in rows:
        unit = row["value_unit"].replace("\u03bc", "µ")
        factor = UNITS.get(unit, MOLAR[unit] * mass if unit in MOLAR else None)
        # whole blood and urine apart
        if row["compartment"] not in ("Plasma", "") or factor is None or not row["value"]:
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


def report(found: list[tuple], left_out: Counter) -> None:
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


def shares(rows: list[tuple]) -> list[str]:
    auc, cmax = (np.array([row[k] for row in rows]) for k in (3, 4))
    within = [f"{np.mean(np.abs(np.log(each)) < math.log(2)):.0%}" for each in (auc, cmax)]
    return [str(len(rows)), within[0], f"{np.exp(np.log(auc).mean()):.2f}", within[1]]


def list_misses(found: list[tuple]) -> None:
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


def draw(found: list[tuple], out: Path) -> None:
    """Predicted over observed AUC and Cmax of each study, by compound."""
    from matplotlib.figure import Figure

    names = sorted({row[1]["compound"] for row in found})
    figure = Figure(figsize=(9.0, 0.5 * len(names) + 2.0), layout="constrained")
    for axes, (k, title) in zip(figure.subplots(1, 2, sharey=True), ((3, "AUC"), (4, "Cmax")),
                                strict=True):  # fmt: skip
        for route, marker, lift in (("iv", "o", 0.15), ("oral", "s", -0.15)):
            rows = [row for row in found if row[0] == route]
            axes.scatter(
                [row[k] for row in rows],
                [names.index(row[1]["compound"]) + lift for row in rows],
                marker=marker, s=22, alpha=0.6, label=route,
            )  # fmt: skip
        axes.axvspan(0.5, 2.0, alpha=0.12, color="gray", lw=0)
        axes.axvline(1.0, color="gray", lw=0.8)
        axes.set_xscale("log")
        axes.set_xticks(TICKS, [f"{each:g}" for each in TICKS])
        axes.minorticks_off()
        axes.set_xlabel(f"{title}, predicted / observed")
    figure.axes[0].set_yticks(range(len(names)), names)
    figure.axes[0].legend(loc="best")
    figure.savefig(out, dpi=110)


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
    parser.add_argument("--documented", action="store_true", help="drugs of the library")
    parser.add_argument("--out", type=Path, help="a picture of AUC and Cmax")
    options = parser.parse_args()
    main(options.data, options.misses, options.documented, options.out)
