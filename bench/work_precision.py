"""Speed against achieved error, rtol 1e-3 to 1e-9, of teorell and numbalsoda: python
bench/work_precision.py

Writes work_precision.csv and work_precision.png into the folder given, prints the table, and the
ratio of speeds at equal venous error, interpolated along each curve in logarithms.
"""

from __future__ import annotations

import argparse
import csv
import itertools
from pathlib import Path

import numpy as np
from teorell import benchmark
from teorell.engine import executors
from throughput import reference

FLOORS = {"A": 38.0, "B": 70.0}  # times numbalsoda at venous error 1e-5, AVX-512
DECADES = range(3, 10)


def speed_at(error: float, curve: list[tuple[float, float]]) -> float:
    """Patients per second at an error, by log-log interpolation of (error, patients/s); NaN outside
    the curve.

    Where the error does not fall with the tolerance, the fastest crossing counts, for every tool
    alike.
    """
    found = []
    for (e0, s0), (e1, s1) in itertools.pairwise(curve):
        if min(e0, e1) <= error <= max(e0, e1):
            part = 0.0 if e0 == e1 else np.log(error / e0) / np.log(e1 / e0)
            found.append(float(np.exp((1.0 - part) * np.log(s0) + part * np.log(s1))))
    return max(found, default=float("nan"))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--problem", nargs="+", choices=["A", "B"], default=["A", "B"])
    parser.add_argument(
        "--method", nargs="+", choices=executors.METHODS, default=list(executors.METHODS)
    )
    parser.add_argument("--isa", help="v2, v3, v4 (default: the best here)")
    parser.add_argument(
        "--error", type=float, default=1e-5, help="venous error at which speeds are compared"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.5, help="a contender's time in a round")
    parser.add_argument(
        "--reference",
        type=Path,
        help="folder with ref_A.npz and ref_B.npz (default: teorell's own)",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("bench-results"), help="folder of the CSV and the picture"
    )
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    print(benchmark.describe_machine())
    print(
        f"one thread, atol = rtol / 1000 mg, 97 samples of all states, {options.repeats} rounds, "
        f"taking turns; error: worst over {benchmark.CHECKED} patients against "
        f"{options.reference or 'teorell itself at rtol 1e-11'}"
    )
    rows: list[dict[str, object]] = []
    for kind in options.problem:
        rows += curves(benchmark.problem(kind), options)
    with (options.out / "work_precision.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    draw(rows, options.out / "work_precision.png")
    print(f"\nwritten: {options.out / 'work_precision.csv'}, {options.out / 'work_precision.png'}")


def curves(problem: benchmark.Problem, options: argparse.Namespace) -> list[dict[str, object]]:
    exact = reference(problem, options.reference)
    peer = benchmark.numbalsoda(problem)
    runs = {peer.name: peer.run}
    for method in options.method:
        contender = benchmark.teorell(problem, method=method, isa=options.isa)
        runs[f"{contender.name}, {method}"] = contender.run
    rows: list[dict[str, object]] = []
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    print(
        f"\nproblem {problem.kind}\n{'rtol':>6}  "
        f"{'':46}{'patients/s':>11}{'venous':>10}{'all states':>12}"
    )
    for decade in DECADES:
        rtol = 10.0**-decade
        rates = benchmark.race(
            runs, rtol, rtol / 1e3, repeats=options.repeats, seconds=options.seconds
        )
        for name, run in runs.items():
            venous, everything = benchmark.errors(
                run(benchmark.CHECKED, rtol, rtol / 1e3), exact, problem
            )
            speed = rates[name].median
            found[name].append((venous, speed))
            rows.append(
                {
                    "problem": problem.kind, "tool": name, "rtol": rtol,
                    "patients_per_second": round(speed, 1), "error_venous": venous,
                    "error_all_states": everything,
                }
            )  # fmt: skip
            print(
                f"{rtol:6.0e}  {name:46}{speed:11,.0f}{venous:10.1e}{everything:12.1e}", flush=True
            )
    for name, curve in found.items():
        if name == peer.name:
            continue
        for error in dict.fromkeys([1e-4, options.error, 1e-6, 1e-7, 1e-8]):
            ratio = speed_at(error, curve) / speed_at(error, found[peer.name])
            line = f"at venous error {error:.0e}: {name} is {ratio:.1f} times numbalsoda"
            if error == 1e-5:
                floor = FLOORS[problem.kind]
                line += (
                    f" (floor {floor:g} with AVX-512: {'reached' if ratio >= floor else 'MISSED'})"
                )
            print(
                line if np.isfinite(ratio) else f"at venous error {error:.0e}: not reached by both"
            )
    return rows


def draw(rows: list[dict[str, object]], path: Path) -> None:
    """One panel a problem: patients per second over venous error."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    kinds = list(dict.fromkeys(str(row["problem"]) for row in rows))
    figure, axes = plt.subplots(
        1, len(kinds), figsize=(5.2 * len(kinds), 4.2), squeeze=False, layout="constrained"
    )
    for axis, kind in zip(axes[0], kinds, strict=True):
        for tool in dict.fromkeys(row["tool"] for row in rows):
            mine = [row for row in rows if row["problem"] == kind and row["tool"] == tool]
            x, y = (
                [row["error_venous"] for row in mine],
                [row["patients_per_second"] for row in mine],
            )
            axis.loglog(x, y, marker="o", label=tool)
        axis.invert_xaxis()
        axis.set(
            title=f"problem {kind}",
            xlabel="worst relative venous error",
            ylabel="patients/s, one thread",
        )
        axis.grid(True, which="major", alpha=0.3)
    figure.legend(
        *axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8
    )
    figure.savefig(path, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
