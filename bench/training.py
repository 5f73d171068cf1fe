"""Torch's forward and backward pass in forward solves, its steps kept and not; what a gradient
takes in memory; how long a network takes to compile. python bench/training.py

Process time of one thread, so that what else runs on the machine counts for little; solves and
gradients take turns, and ratios are formed within each round. The loss is the sum of the venous
concentrations, the gradient that by all parameters.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import teorell as tl
import torch
from teorell import benchmark
from teorell.derivatives.kept_memory import kept_memory

REGIMEN = tl.Regimen.bolus(benchmark.DOSE, into="STO", every=benchmark.EVERY, doses=benchmark.DOSES)
FEW, MANY = 20_000, 60_000  # patients of which memory is compared


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problem", nargs="*", default=["A", "B"])
    parser.add_argument("--patients", nargs="*", type=int, default=[64, 2000])
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(benchmark.describe_machine())
    for kind in options.problem:
        for patients in options.patients:
            compare(kind, patients, options.rounds)
    for kind in options.problem:
        memory(kind)
    regimens()
    network()


def seconds(run: Callable[[], object]) -> float:
    begin = time.process_time()
    run()
    return time.process_time() - begin


def compare(kind: str, patients: int, rounds: int) -> None:
    """Forward and backward in forward solves."""
    problem, usual = benchmark.problem(kind), kept_memory()
    people = {name: np.array(x) for name, x in problem.patients(patients).items()}
    tensors = {name: torch.from_numpy(x).requires_grad_() for name, x in people.items()}
    given = REGIMEN, benchmark.TIMES, "venous"

    def solve() -> None:
        tl.simulate(problem.model, people, *given, threads=1)

    def both() -> None:
        tl.simulate(problem.model, tensors, *given, threads=1).values.sum().backward()

    for name, limit in (("kept", usual), ("taken again", 0)):
        kept_memory(limit)
        both()
        ratios = sorted(seconds(both) / seconds(solve) for _ in range(rounds))
        print(
            f"{kind}, {patients} patients, steps {name}: {statistics.median(ratios):.2f} "
            f"({ratios[0]:.2f}-{ratios[-1]:.2f}) forward solves"
        )
    kept_memory(usual)


def memory(kind: str) -> None:
    """Bytes that each patient adds to the peak of a gradient, without its inputs and outputs."""
    problem, peaks = benchmark.problem(kind), []
    for patients in (1, FEW, MANY):  # the first compiles
        people = {name: np.array(x) for name, x in problem.patients(patients).items()}
        tracemalloc.start()
        _, gradient = tl.value_and_grad(
            1.0, problem.model, people, REGIMEN, benchmark.TIMES, "venous"
        )
        returned = [*gradient.parameters.values(), *gradient.initial.values()]
        returned += [gradient.status, gradient.failure_time, gradient.steps, gradient.rejected]
        returned.append(gradient.condition)
        peaks.append(tracemalloc.get_traced_memory()[1] - sum(x.nbytes for x in returned))
        tracemalloc.stop()
    growth = (peaks[2] - peaks[1]) / (MANY - FEW)
    print(f"{kind}: {growth:.0f} bytes a patient above inputs and outputs of a gradient")


def regimens(patients: int = 1024) -> None:
    """Random doses of each patient made ready, as columns and as a list of regimens."""
    draws = np.random.default_rng(0)
    owner = np.repeat(np.arange(patients), draws.integers(1, 12, patients))
    amount, at = draws.uniform(10, 100, owner.size), draws.uniform(0, 48, owner.size)

    def columns() -> None:
        given = tl.Regimen.columns(amount, "STO", at, patient=owner, patients=patients)
        given.table(("STO",))

    def listed() -> None:
        result = [tl.Regimen.none() for _ in range(patients)]
        for i, a, t in zip(owner, amount, at, strict=True):
            result[i] += tl.Regimen.bolus(a, "STO", time=t)

    columns()
    print(
        f"{patients} regimens of {owner.size} doses: {1e3 * seconds(columns):.1f} ms as columns, "
        f"{1e3 * seconds(listed):.0f} ms as a list"
    )


def network(hidden: tuple[int, ...] = (32, 32)) -> None:
    """From a model with a network of two inputs to the first gradient."""
    model = tl.Model("network")
    x, y = model.states("x", "y", signed=True)
    (term,) = tl.mlp(model, "net", [x, y], hidden=hidden)
    model.rate(x, y)
    model.rate(y, term - y)
    model.output("x", x)
    with tempfile.TemporaryDirectory() as empty:
        os.environ["TEORELL_CACHE"] = empty
        taken = seconds(lambda: tl.value_and_grad(1.0, model, None, None, [0.1], rtol=1e-3))
    print(f"a network 2-{'-'.join(map(str, hidden))}-1: {taken:.1f} s to the first gradient")


if __name__ == "__main__":
    main()
