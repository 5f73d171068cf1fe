"""From model text to first result, with an empty cache and a filled one: python
bench/compile_time.py

Each figure is the median over fresh processes: the model is built from source (problem B, or the
110-state model of this file), one patient is simulated for 24 h. The import of teorell is timed
apart.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import teorell as tl

CEILINGS = {"B": 0.5, "110 states": 2.0}  # s
ORGANS = {  # volume in L, blood flow in L/h
    "adipose": (15.0, 16.2), "bone": (10.0, 13.1), "brain": (1.4, 35.6), "heart": (0.33, 12.5),
    "kidney": (0.31, 54.6), "muscle": (28.0, 59.6), "skin": (2.6, 18.1), "spleen": (0.18, 9.4),
    "gut": (1.2, 47.1), "liver": (1.8, 14.4), "rest": (3.1, 31.5),
}  # fmt: skip


def large_model() -> tl.Model:
    """Three compounds, which compete for an enzyme, in eleven organs of three spaces, lung, blood,
    gut: 110 states.

    A drug, its inhibitor and a metabolite; it resembles no real drug.
    """
    import teorell as tl

    model = tl.Model("three compounds")
    volume = {o: model.parameter(f"V_{o}", v, unit="L") for o, (v, _) in ORGANS.items()}
    flow = {o: model.parameter(f"Q_{o}", q, unit="L/h") for o, (_, q) in ORGANS.items()}
    v_art, v_ven, v_lung = model.parameters(V_arterial=1.8, V_venous=3.7, V_lung=0.53)
    total = sum(flow.values(), start=0.0 * v_art)
    ka, kge = model.parameters(ka=1.2, kge=2.5)
    cells = {}
    for c, compound in enumerate(("drug", "inhibitor", "metabolite")):
        fu = model.parameter(f"fu_{compound}", 0.1 * (c + 1))
        psv = model.parameter(f"wall_{compound}", 200.0 / (c + 1), unit="1/h")
        psc = model.parameter(f"membrane_{compound}", 20.0 * (c + 1), unit="1/h")
        art, ven, lung = model.states(
            *(f"{compound}_{place}" for place in ("arterial", "venous", "lung"))
        )
        c_art, c_ven = art / v_art, ven / v_ven
        model.flow(ven, lung, total * c_ven)
        model.flow(
            lung, art, total * lung / (v_lung * model.parameter(f"Kp_lung_{compound}", 2.0 + c))
        )
        blood = {}
        for o in ORGANS:
            kp = model.parameter(f"Kp_{o}_{compound}", 1.0 + 0.3 * len(o) + c)
            blood[o], between, inside = model.states(
                *(f"{compound}_{o}_{space}" for space in "vic")
            )
            cv, ci, cc = (
                blood[o] / (0.1 * volume[o]),
                between / (0.2 * volume[o]),
                inside / (0.7 * volume[o] * kp),
            )
            model.flow(art, blood[o], flow[o] * c_art)
            model.flow(blood[o], between, psv * volume[o] * fu * (cv - ci))
            model.flow(between, inside, psc * volume[o] * fu * (ci - cc))
            cells[compound, o] = inside, fu * cc
        for o in ORGANS:
            cv = blood[o] / (0.1 * volume[o])
            portal = flow["spleen"] + flow["gut"] if o == "liver" else 0.0
            model.flow(
                blood[o], blood["liver"] if o in ("spleen", "gut") else ven, (flow[o] + portal) * cv
            )
        filtered = model.parameter(f"GFR_{compound}", 7.5) * fu
        model.flow(blood["kidney"], None, filtered * blood["kidney"] / (0.1 * volume["kidney"]))
        model.output(f"cp_{compound}", c_ven)
    stomach, lumen = model.states("stomach", "lumen")
    model.flow(stomach, lumen, kge * stomach)
    model.flow(lumen, cells["drug", "gut"][0], ka * lumen)
    vmax, km, ki = model.parameters(Vmax=20.0, Km=0.08, Ki=0.02)
    for o, share in (("liver", 1.0), ("gut", 0.1)):
        (drug, cu), (_, inhibitor), (metabolite, _) = (
            cells[c, o] for c in ("drug", "inhibitor", "metabolite")
        )
        model.flow(drug, metabolite, share * vmax * cu / (km * (1.0 + inhibitor / ki) + cu))
    assert len(model.state_names) == 110, len(model.state_names)
    return model


def child(which: str, executor: str | None) -> None:
    begin = time.perf_counter()
    import numpy as np
    import teorell as tl

    imported = time.perf_counter()
    if which == "B":
        from teorell.benchmark import reference_models

        imported = time.perf_counter()
        model, depot = reference_models.problem_b(), "STO"
    else:
        model, depot = large_model(), "stomach"
    built = time.perf_counter()
    regimen = tl.Regimen.bolus(100.0, into=depot)

    def simulate() -> tl.Solution:
        return tl.simulate(model, None, regimen, np.linspace(0.0, 24.0, 25), executor=executor)

    simulate().raise_for_status()
    first = time.perf_counter()
    simulate()
    second = time.perf_counter()
    times = {
        "import": imported - begin,
        "model": built - imported,
        "first": first - imported,
        "again": second - first,
    }
    print(json.dumps(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--executor", choices=["machine_code", "interpreter"])
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(options.child, options.executor)
    from teorell import benchmark

    print(benchmark.describe_machine())
    print(
        f"median of {options.repeats} processes, ms; 'first result' is from model text on, import "
        "apart"
    )
    print(f"{'':24}{'import':>8}{'model':>8}{'first result':>14}{'same again':>12}")
    extra = ["--executor", options.executor] if options.executor else []
    for which, ceiling in CEILINGS.items():
        runs: dict[str, list[dict[str, float]]] = {"cold": [], "cached": []}
        for _ in range(options.repeats):
            with tempfile.TemporaryDirectory() as cache:
                for state in runs:
                    command = [sys.executable, __file__, "--child", which, *extra]
                    environment = {**os.environ, "TEORELL_CACHE": cache}
                    done = subprocess.run(
                        command, env=environment, check=True, stdout=subprocess.PIPE, text=True
                    )
                    runs[state].append(json.loads(done.stdout))
        for state, found in runs.items():
            ms = {key: 1e3 * statistics.median(run[key] for run in found) for key in found[0]}
            line = f"{which + ', ' + state:24}{ms['import']:8.0f}{ms['model']:8.0f}"
            line += f"{ms['first']:14.0f}{ms['again']:12.1f}"
            if state == "cold":
                line += (
                    f"  ceiling {1e3 * ceiling:g} "
                    f"{'kept' if ms['first'] <= 1e3 * ceiling else 'EXCEEDED'}"
                )
            print(line, flush=True)


if __name__ == "__main__":
    main()
