"""What reductions cost: beyond a solve with one sample, and beside a curve of 97 samples reduced
with NumPy.

python bench/reductions.py --patients 20000
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import teorell as tl
from teorell import benchmark
from teorell.doctor import report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    print(report())
    n = options.patients
    problem = benchmark.problem("A")
    model, name = problem.model, problem.outputs[problem.venous]
    patients = problem.patients(n)
    regimen = tl.Regimen.bolus(benchmark.DOSE, into="STO", every=12.0, doses=2)
    last, grid = [24.0], np.linspace(0.0, 24.0, 97)
    asked = [
        tl.Cmax(name), tl.Tmax(name), tl.Cmin(name, start=12.0), tl.AUC(name), tl.TimeAbove(name,
        threshold=0.5),
    ]  # fmt: skip

    def on_a_grid() -> None:
        """What users do without reductions, from samples that are 15 minutes apart."""
        curves = tl.simulate(model, patients, regimen, grid, [name])[name]
        curves.max(axis=1), curves.argmax(axis=1), curves[:, 48:].min(axis=1)
        np.trapezoid(curves, grid, axis=1), (curves > 0.5).mean(axis=1)

    def solve(reductions: list[tl.Cmax]) -> tl.Solution:
        return tl.simulate(model, patients, regimen, last, [name], reductions=reductions)

    runs = {
        "one sample": lambda: solve([]),
        "Cmax": lambda: solve(asked[:1]),
        "AUC": lambda: solve(asked[3:4]),
        "five reductions": lambda: solve(asked),
        "97 samples and NumPy": on_a_grid,
        "gradient of one sample": lambda: gradient([]),
        "gradient of five reductions": lambda: gradient(asked),
    }

    def gradient(reductions: list[tl.Cmax]) -> None:
        weights = {
            f"{one.word}_{name}": 1.0 for one in reductions if one.word != "tmax"
        } or np.ones((1, 1, 1))
        tl.value_and_grad(weights, model, patients, regimen, last, [name], reductions=reductions)

    spent: dict[str, list[float]] = {each: [] for each in runs}
    for run in runs.values():
        run()
    for _ in range(options.rounds):
        for each, run in runs.items():
            start = time.perf_counter()
            run()
            spent[each].append(time.perf_counter() - start)
    print(f"A, {n} patients, 2 doses, rtol 1e-6, one output; medians of {options.rounds}")
    for each, seconds in spent.items():
        base = spent["gradient of one sample" if each.startswith("gradient") else "one sample"]
        ratio = np.median(np.array(seconds) / np.array(base))
        print(f"  {each:28} {np.median(seconds):6.2f} s, {ratio:.2f} of one sample")


if __name__ == "__main__":
    main()
