"""What event tables and steady states cost: reading, and beyond the same doses given as regimens;
intervals saved.

python bench/event_tables.py --patients 100000
"""

from __future__ import annotations

import argparse
import time
from unittest import mock

import numpy as np
import teorell as tl
from teorell import benchmark
from teorell.doctor import report
from teorell.engine import solve as core
from teorell.engine import steady


def timed(action):
    start = time.perf_counter()
    result = action()
    return time.perf_counter() - start, result


def attempts(run) -> int:
    """Steps, rejected ones included, of the solve and of the search for steady states that a run
    makes, with tangents or without.
    """
    counted = []

    def spy(function, count):
        def call(*arguments, **options):
            found = function(*arguments, **options)
            counted.append(int(count(found).sum()))
            return found

        return call

    with (
        mock.patch.object(core, "solve", spy(core.solve, lambda raw: raw.steps + raw.rejected)),
        mock.patch.object(
            steady,
            "find_steady_states",
            spy(steady.find_steady_states, lambda found: found.attempts),
        ),
    ):
        run()
    return sum(counted)


def table(n: int) -> dict[str, np.ndarray]:
    """Four doses of 100 mg 12 h apart in one record, and 8 observations, of each patient."""
    times = np.array([0.0, 1, 2, 4, 8, 12, 24, 36, 48])
    dose = np.arange(9) == 0
    columns = {"TIME": times, "EVID": dose * 1, "AMT": dose * 100.0, "CMT": np.where(dose, "STO",
    "VEN"),
               "II": dose * 12.0, "ADDL": dose * 3}  # fmt: skip
    return {"ID": np.repeat(np.arange(n), 9)} | {
        name: np.tile(column, n) for name, column in columns.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(report())
    n, rounds = options.patients, options.rounds
    problem = benchmark.problem("A")
    patients, output = problem.patients(n), [problem.outputs[problem.venous]]
    given = table(n)
    reading, events = timed(lambda: tl.EventTable(given, problem.model))
    regimen = tl.Regimen.bolus(benchmark.DOSE, into="STO", every=12.0, doses=4)
    own = [tl.Regimen.bolus(benchmark.DOSE, into="STO", every=12.0, doses=4)] * n
    grid = events.times.times[:8]
    runs = {
        "one regimen": lambda: tl.simulate(problem.model, patients, regimen, grid, output),
        "a list of regimens": lambda: tl.simulate(problem.model, patients, own, grid, output),
        "event table": lambda: tl.simulate(
            problem.model, patients, events.regimen, events.times, output
        ),
    }
    for run in runs.values():
        run()
    spent = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            spent[name].append(timed(run)[0])
    print(f"A, {n} patients, 4 doses, 8 samples, rtol 1e-6; reading the table: {reading:.2f} s")
    for name, each in spent.items():
        ratio = np.median(np.array(each) / np.array(spent["one regimen"]))
        print(
            f"  {name:20} {np.median(each):6.2f} s, {ratio:.3f} of one regimen (median of {rounds})"
        )
    frame_out, _ = timed(lambda: runs["event table"]().to_dataframe())
    beyond = reading + frame_out - np.median(spent["one regimen"])
    print(f"  in and out (reading, events, DataFrame) beyond the solve: {beyond:.2f} s")

    print(
        "steady state of 2,000 patients against 12 simulated intervals: time (median, least - "
        "greatest), attempted steps (those with tangents cost more)"
    )
    for kind in "AB":
        problem = benchmark.problem(kind)
        few = problem.patients(2_000)
        for every in (12.0, 24.0):
            given = tl.Regimen.bolus(100, into="STO", every=every, steady_state=True)
            twelve = tl.Regimen.bolus(100, into="STO", every=every, doses=12)
            runs = {
                "steady": lambda p=problem, r=given, f=few: tl.simulate(p.model, f, r, [0.0]),
                "twelve": lambda p=problem, r=twelve, f=few, e=every: tl.simulate(
                    p.model, f, r, [12 * e]
                ),
            }
            work = {name: attempts(run) for name, run in runs.items()}
            ratios = [timed(runs["steady"])[0] / timed(runs["twelve"])[0] for _ in range(rounds)]
            print(f"  {kind}, every {every:g} h: {np.median(ratios):.2f} ({min(ratios):.2f} - "
            f"{max(ratios):.2f}), "
                  f"{work['steady'] / work['twelve']:.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
