"""Patients per second of teorell and numbalsoda on problems A and B, in one run: python
bench/throughput.py

One thread each. The contenders take turns, round after round; a ratio is formed within each round,
and its median, least and greatest are printed beside the floor it has to reach. bench/README.md
says how to install numbalsoda.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import fma_peak
import numpy as np
from teorell import benchmark
from teorell.engine import executors

FLOORS = {  # times numbalsoda, by instruction set, executor and problem
    ("v4", "machine_code"): {"A": 25.0, "B": 42.0},
    ("v4", "interpreter"): {"A": 15.0, "B": 25.0},
    ("v3", "machine_code"): {"A": 13.0, "B": 23.0},
}


def reference(problem: benchmark.Problem, folder: Path | None) -> benchmark.FloatArray:
    """ref_A.npz or ref_B.npz of the folder (SciPy's Radau at rtol 1e-12), else teorell's own at
    rtol 1e-11.
    """
    if folder is None:
        return benchmark.reference(problem)
    with np.load(folder / f"ref_{problem.kind}.npz") as file:
        order = [list(file["states"]).index(name) for name in problem.model.state_names]
        exact: benchmark.FloatArray = file["Y"][:, :, order]
    return exact


def main() -> None:
    builds = [build["name"] for build in executors.instruction_sets()]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--problem", nargs="+", choices=["A", "B"], default=["A", "B"])
    parser.add_argument(
        "--isa", nargs="+", choices=builds, default=builds, help=f"default {' '.join(builds)}"
    )
    parser.add_argument("--executor", nargs="+", choices=["machine_code", "interpreter"])
    parser.add_argument("--rtol", type=float, default=1e-6)
    parser.add_argument("--atol", type=float, default=1e-9)
    parser.add_argument("--repeats", type=int, default=7, help="rounds")
    parser.add_argument("--seconds", type=float, default=1.0, help="a contender's time in a round")
    parser.add_argument(
        "--reference",
        type=Path,
        help="folder with ref_A.npz and ref_B.npz (default: teorell's own)",
    )
    options = parser.parse_args()
    chosen = options.executor or ["machine_code", "interpreter"]

    print(benchmark.describe_machine())
    rates = {isa: fma_peak.measure(isa) for isa in options.isa}
    peaks = ", ".join(f"{isa} {rate:.1f}" for isa, rate in rates.items() if rate is not None)
    print(f"measured double-precision FMA peak of one core, GFLOP/s: {peaks or 'none'}")
    print(
        f"one thread, method {benchmark.METHOD}, rtol {options.rtol:g}, atol {options.atol:g} mg; "
        "four doses in 48 h, 97 samples of all states ('venous': of that output alone); "
        f"{options.repeats} rounds, taking turns; load {os.getloadavg()[0]:.1f} at the start"
    )
    where = options.reference or "teorell itself at rtol 1e-11"
    print(
        f"error: worst relative error over {benchmark.CHECKED} patients, venous / all states, "
        f"against {where}"
    )
    for kind in options.problem:
        compare(benchmark.problem(kind), chosen, options)


def compare(problem: benchmark.Problem, chosen: list[str], options: argparse.Namespace) -> None:
    tolerances = options.rtol, options.atol
    peer = benchmark.numbalsoda(problem)
    runs, floors = {peer.name: peer.run}, {}
    venous = None
    for isa in options.isa:
        for executor in chosen:
            contender = benchmark.teorell(problem, executor=executor, isa=isa)
            runs[contender.name] = contender.run
            floors[contender.name] = FLOORS.get((isa, executor), {}).get(problem.kind)
            if venous is None and contender.curve is not None:
                venous = contender.name + ", venous"
                runs[venous] = contender.curve
                floors[venous] = None
    exact = reference(problem, options.reference)
    rates = benchmark.race(runs, *tolerances, repeats=options.repeats, seconds=options.seconds)
    print(f"\nproblem {problem.kind}: {len(problem.model.state_names)} states")
    print(f"{'':46}{'patients/s':>11}{'':18}{'error':18}  times numbalsoda")
    for name, run in runs.items():
        mine = rates[name]
        spread = f"  ({min(mine.rounds):,.0f}-{max(mine.rounds):,.0f})"
        line = f"{name:46}{mine.median:11,.0f}{spread:18}"
        error = (
            ""
            if name == venous
            else "{:.1e} / {:.1e}".format(
                *benchmark.errors(run(benchmark.CHECKED, *tolerances), exact, problem)
            )
        )
        line += f"{error:18}"
        if run is not peer.run:
            ratio, least, greatest = mine.over(rates[peer.name])
            line += f"  {ratio:.1f} ({least:.1f}-{greatest:.1f})"
            floor = floors[name]
            if floor is not None:
                line += f", floor {floor:g} {'reached' if ratio >= floor else 'MISSED'}"
        print(line, flush=True)
    steps = benchmark.steps(problem, *tolerances)
    print(
        f"teorell's steps a patient: {steps[0]:.0f} accepted, {steps[1]:.1f} rejected (mean of "
        f"{benchmark.CHECKED})"
    )


if __name__ == "__main__":
    main()
