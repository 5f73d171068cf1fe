"""Memory and seconds of the gradient of 100,000 patients of problem A, all parameters: python bench/gradient_memory.py

The loss is the sum of 97 venous concentrations of everybody. Two ways, a fresh process each: teorell.value_and_grad in one
pass, which stores no values, and torch. As in million.py a first process draws the population, so that what counts is the
peak of the one that differentiates, less the parameters and what it returns: the gradient, and for torch the values.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from million import draw, peak_memory

WAYS = ("value_and_grad", "torch")


def differentiate(path: Path, n: int, threads: int, way: str) -> None:
    import numpy as np
    import teorell as tl
    from teorell import benchmark

    problem = benchmark.problem("A")
    with path.open("rb") as file:
        patients = {name: np.load(file) for name in problem.model.parameter_names}
    regimen = tl.Regimen.bolus(benchmark.DOSE, into="STO", every=benchmark.EVERY, doses=benchmark.DOSES)
    options: dict[str, Any] = {"rtol": 1e-6, "atol": 1e-9, "threads": threads, "samples": "before"}

    def one_pass(parameters: Mapping[str, Any]) -> tuple[Any, int]:
        _, gradient = tl.value_and_grad(1.0, problem.model, parameters, regimen, benchmark.TIMES, "venous", **options)
        gradient.raise_for_status()
        arrays = [*gradient.parameters.values(), *gradient.initial.values()]
        return gradient, sum(array.nbytes for array in arrays)

    def by_torch(parameters: Mapping[str, Any]) -> tuple[Any, int]:
        torch: Any = importlib.import_module("torch")
        tensors = {name: torch.from_numpy(column).requires_grad_() for name, column in parameters.items()}
        solution: Any = tl.simulate(problem.model, tensors, regimen, benchmark.TIMES, "venous", **options)
        solution.raise_for_status()
        solution.values.sum().backward()
        return (tensors, solution), sum(each.nbytes for each in (solution.values, *(x.grad for x in tensors.values())))

    run: Callable[[Mapping[str, Any]], tuple[Any, int]] = {"value_and_grad": one_pass, "torch": by_torch}[way]
    run({name: column[:64] for name, column in patients.items()})  # compiles
    before = peak_memory()
    begin = time.perf_counter()
    kept, outputs = run(patients)
    seconds = time.perf_counter() - begin
    inputs = sum(column.nbytes for column in patients.values())
    print(
        json.dumps({"seconds": seconds, "inputs": inputs, "outputs": outputs, "before": before, "peak": peak_memory()})
    )
    del kept  # lived until the peak was read


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--patients", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--way", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--child", nargs=2, metavar=("ROLE", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    n, threads = options.patients, options.threads
    if options.child:
        role, path = options.child
        return draw(Path(path), n) if role == "draw" else differentiate(Path(path), n, threads, role)
    from teorell import benchmark

    print(benchmark.describe_machine())
    print(
        f"{n:,} patients of A, 45 parameters, 97 samples of one output, rtol 1e-6, atol 1e-9 mg, threads: {threads}; "
        f"load {os.getloadavg()[0]:.1f} at the start"
    )
    if "torch" in options.way and not importlib.util.find_spec("torch"):
        print("not installed, so not measured: torch")
        options.way.remove("torch")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "patients.npy")
        command = [sys.executable, __file__, "--patients", str(n), "--threads", str(threads), "--child"]
        subprocess.run([*command, "draw", path], check=True)
        for way in options.way:
            answer = subprocess.run([*command, way, path], check=True, stdout=subprocess.PIPE, text=True).stdout
            report(way, json.loads(answer), n)


def report(way: str, found: Mapping[str, float], n: int) -> None:
    mega = {name: found[name] / 1e6 for name in ("inputs", "outputs", "before", "peak")}
    print(f"{way}: {found['seconds']:.1f} s, {n / found['seconds']:,.0f} patients/s")
    print(f"  peak {mega['peak']:,.0f} MB, inputs {mega['inputs']:,.0f}, outputs {mega['outputs']:,.0f}")
    print(f"  above inputs and outputs: {mega['peak'] - mega['inputs'] - mega['outputs']:,.0f} MB")
    print(
        f"    of which libraries and the model, before the run: {mega['before'] - mega['inputs']:,.0f} MB", flush=True
    )


if __name__ == "__main__":
    main()
