"""Two threads against one, taking turns: python bench/scaling.py

Each round runs both once on the same patients; the median of the rounds' ratios has to reach 1.9
for two threads.
"""

from __future__ import annotations

import argparse
import os

from teorell import benchmark
from teorell.engine import executors

FLOOR = 1.9


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--problem", nargs="+", choices=["A", "B"], default=["A", "B"])
    parser.add_argument(
        "--threads", nargs="+", type=int, default=[2], help="counts to compare with one thread"
    )
    parser.add_argument(
        "--patients", type=int, default=40_000, help="a round, on problem A; a third of it on B"
    )
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    print(benchmark.describe_machine())
    print(
        f"method {benchmark.METHOD}, rtol 1e-6, atol 1e-9 mg, 97 samples of one output, "
        f"{options.repeats} rounds; {executors.available_threads()} threads available, load "
        f"{os.getloadavg()[0]:.1f} at the start"
    )
    for kind in options.problem:
        problem = benchmark.problem(kind)
        n = options.patients if kind == "A" else options.patients // 3
        runs = {}
        for count in [1, *options.threads]:
            curve = benchmark.teorell(problem, threads=count).curve
            assert curve is not None
            runs[str(count)] = curve
        rates = benchmark.race(runs, 1e-6, 1e-9, repeats=options.repeats, patients=n)
        print(f"problem {kind}, {n:,} patients, 1 thread: {rates['1'].median:,.0f} patients/s")
        for count in options.threads:
            mine = rates[str(count)]
            ratio, least, greatest = mine.over(rates["1"])
            verdict = (
                f", floor {FLOOR} {'reached' if ratio >= FLOOR else 'MISSED'}" if count == 2 else ""
            )
            speed = f"{mine.median:,.0f} patients/s, {ratio:.2f} ({least:.2f}-{greatest:.2f}) times"
            print(f"  {count} threads: {speed}{verdict}")


if __name__ == "__main__":
    main()
