"""Fits: 500 subjects in seconds, theophylline against SciPy, and recovery of known truths as bias
and coverage.

python bench/fitting.py --data ../shared/data/nlmixr2data
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
import teorell as tl
from scipy.optimize import curve_fit
from scipy.stats import t as student
from teorell.doctor import report

FACTORS = (0.7, 1.4, 0.8, 1.3, 0.7)  # the starts, of the medians of the truth
TIMES = np.array([0.25, 0.5, 1, 2, 4, 6, 8, 12, 16, 24])


def one_compartment() -> tl.Model:
    model = tl.Model("oral, one compartment")
    ka, cl, v = model.parameters(ka=1.5, cl=3.0, v=30.0)
    depot, central = model.states("depot", "central")
    model.flow(depot, central, ka * depot)
    model.flow(central, None, cl / v * central)
    model.output("cp", central / v)
    return model


def two_compartments(saturable: bool) -> tl.Model:
    model = tl.Model("two compartments")
    v, q, v2 = model.parameters(v=50.0, q=5.0, v2=50.0)
    central, deep = model.states("central", "deep")
    if saturable:
        vm, km = model.parameters(vm=500.0, km=200.0)
        model.flow(central, None, vm * (central / v) / (km + central / v))
    else:
        cl = model.parameter("cl", 4.0)
        model.flow(central, None, cl / v * central)
    model.flow(central, deep, q / v * central)
    model.flow(deep, central, q / v2 * deep)
    model.output("cp", central / v)
    return model


def bateman(t: np.ndarray, ka: float, cl: float, v: float, dose: float) -> np.ndarray:
    return dose * ka / (v * (ka - cl / v)) * (np.exp(-cl / v * t) - np.exp(-ka * t))


def many(subjects: int, rounds: int) -> None:
    model, rng = one_compartment(), np.random.default_rng(1)
    truth = np.exp(np.log([1.2, 3.0, 30.0]) + 0.25 * rng.standard_normal((subjects, 3)))
    curves = np.array(
        [bateman(TIMES, *each, 100.0) for each in truth]
    ) + 0.05 * rng.standard_normal((subjects, TIMES.size))
    ids = np.arange(subjects)
    doses = pd.DataFrame({"ID": ids, "TIME": 0.0, "AMT": 100.0, "EVID": 1, "DV": np.nan})
    samples = pd.DataFrame(
        {
            "ID": np.repeat(ids, TIMES.size),
            "TIME": np.tile(TIMES, subjects),
            "AMT": 0.0,
            "EVID": 0,
            "DV": curves.ravel(),
        }
    )
    table = pd.concat([doses, samples]).sort_values(["ID", "TIME"])
    events = tl.EventTable(table, model)
    spent = []
    for _ in range(rounds):
        start = time.perf_counter()
        found = tl.fit(model, events, {"ka": 1.0, "cl": 2.0, "v": 20.0})
        spent.append(time.perf_counter() - start)
    print(f"{subjects} subjects, 10 samples, 4 numbers each, 5 starts: {np.median(spent):.2f} s "
    f"(median of {rounds}), "
          f"{int((~found.converged).sum())} not converged")  # fmt: skip


def theophylline(data: Path) -> None:
    frame = pd.read_csv(data / "theo_sd.csv").drop(columns="WT")
    frame["EVID"] = (frame["EVID"] == 101).astype(int)
    model = one_compartment()
    found = tl.fit(model, tl.EventTable(frame, model), {"ka": 1.5, "cl": 3.0, "v": 30.0})
    worst = 0.0
    for k, subject in enumerate(found.ids):
        mine = frame[subject == frame.ID]
        rows, dose = mine[mine.EVID == 0], float(mine.AMT.max())
        known, _ = curve_fit(
            lambda t, *x, d=dose: bateman(t, *np.exp(x), d),
            rows.TIME,
            rows.DV,
            p0=np.log([1.5, 3, 30]),
        )
        ours = np.array([found.estimates[name][k] for name in ("ka", "cl", "v")])
        worst = max(worst, float(np.abs(ours / np.exp(known) - 1.0).max()))
    flipped = sum(bool(each) for each in found.alternatives)
    print(f"theophylline, 12 subjects: largest difference to SciPy's fit of the closed form "
    f"{worst:.1e}; "
          f"flip-flop told for {flipped}")  # fmt: skip


SETS = {
    "Oral_1CPT": (
        one_compartment(),
        {"ka": "KA", "cl": "CL", "v": "V"},
        {1: "depot", 2: "central"},
    ),
    "Infusion_2CPT": (
        two_compartments(False),
        {"cl": "CL", "v": "V", "q": "Q", "v2": "V2"},
        {1: "central"},
    ),
    "Bolus_2CPTMM": (
        two_compartments(True),
        {"vm": "VM", "km": "KM", "v": "V", "q": "Q", "v2": "V2"},
        {1: "central"},
    ),
}


def recovery(data: Path, name: str) -> None:
    """The single dose of each of 120 subjects, proportional error: is the truth within the interval
    of 95 %?
    """
    model, columns, compartments = SETS[name]
    frame = pd.read_csv(data / f"{name}.csv.gz")
    frame = frame[frame.SD == 1]
    truth = frame.groupby("ID")[list(columns.values())].first()
    kept = frame[
        [c for c in ("ID", "TIME", "DV", "MDV", "AMT", "RATE", "EVID", "CMT") if c in frame]
    ]
    events = tl.EventTable(kept, model, compartments)
    start = {
        name: float(truth[column].median()) * factor
        for (name, column), factor in zip(columns.items(), FACTORS[: len(columns)], strict=True)
    }
    clock = time.perf_counter()
    found = tl.fit(model, events, start, error=tl.Proportional(), atol=1e-6)
    seconds = time.perf_counter() - clock
    told = sum(bool(each) for each in found.identifiability)
    print(f"{name}: {len(found.ids)} subjects in {seconds:.1f} s, {int((~found.converged).sum())} "
    f"not converged, "
          f"{told} not identified; residual error {np.median(found.error['cv']):.0%}")  # fmt: skip
    counts = np.bincount(found.subject)
    quantile = student.ppf(0.975, counts - len(start))
    for k, (parameter, column) in enumerate(columns.items()):
        error = np.log(found.estimates[parameter] / truth[column].to_numpy())
        sd = np.sqrt(found.covariance[:, k, k])
        inside = np.abs(error) <= quantile * sd
        print(f"  {parameter:4} bias {np.expm1(np.median(error)):+7.1%}, spread "
        f"{1.4826 * np.median(np.abs(error)):6.1%}, "
              f"coverage {inside.mean():.0%}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(__file__).resolve().parents[2] / "shared" / "data" / "nlmixr2data",
    )
    options = parser.parse_args()
    print(report())
    many(options.subjects, options.rounds)
    if not options.data.exists():
        print(f"SKIPPED: no data in {options.data} (give --data)")
        return
    theophylline(options.data)
    for name in SETS:
        recovery(options.data, name)


if __name__ == "__main__":
    main()
