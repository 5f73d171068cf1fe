"""A million patients of problem A, 97 samples of one output: seconds and peak memory. python
bench/million.py

With --gradient: the gradient of the sum of all samples by all 45 parameters, the doses and the
initial states instead.

A first process draws the population and saves it, a second loads it and simulates: what the memory
figure counts is the second one's peak, its interpreter and libraries included, less the inputs and
the outputs themselves.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SECONDS, MEGABYTES = 30.0, 300.0


def peak_memory() -> float:
    """This process's peak resident memory in bytes.

    VmHWM, since Linux hands ru_maxrss of the parent down to a child; elsewhere getrusage (bytes on
    macOS).
    """
    status = Path("/proc/self/status")
    if status.exists():
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return 1024.0 * int(fields["VmHWM"].split()[0])
    peak = float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return peak if sys.platform == "darwin" else 1024.0 * peak


def draw(path: Path, n: int) -> None:
    import numpy as np
    from teorell import benchmark

    problem = benchmark.problem("A")
    patients = problem.patients(n)
    with path.open("wb") as file:
        for name in problem.model.parameter_names:
            np.save(file, np.ascontiguousarray(patients[name]))


def solve(path: Path, n: int, threads: int, gradient: bool) -> None:
    import numpy as np
    import teorell as tl
    from teorell import benchmark

    problem = benchmark.problem("A")
    with path.open("rb") as file:
        patients = {name: np.load(file) for name in problem.model.parameter_names}
    regimen = tl.Regimen.bolus(benchmark.DOSE, into="STO", every=benchmark.EVERY, doses=4)
    output = problem.outputs[problem.venous]

    def run(count: int) -> tl.Solution | tl.Gradient:
        people = {name: column[:count] for name, column in patients.items()}
        given: Any = (problem.model, people, regimen, benchmark.TIMES, [output])
        options: Any = {"rtol": 1e-6, "atol": 1e-9, "threads": threads, "samples": "before"}
        if gradient:
            return tl.value_and_grad(np.ones((1, 1, 1)), *given, **options)[1]
        return tl.simulate(*given, **options)

    run(64)  # compiles
    before = peak_memory()
    begin = time.perf_counter()
    solution = run(n)
    seconds = time.perf_counter() - begin
    solution.raise_for_status()
    inputs = sum(column.nbytes for column in patients.values())
    if isinstance(solution, tl.Gradient):
        outputs = sum(
            array.nbytes for array in (*solution.parameters.values(), *solution.initial.values())
        )
    else:
        outputs = solution.values.nbytes
    report = {
        "seconds": seconds, "inputs": inputs, "outputs": outputs, "before": before,
        "peak": peak_memory(), "steps": float(solution.steps.mean()),
        "machine": benchmark.describe_machine(),
    }  # fmt: skip
    print(json.dumps(report))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--patients", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--gradient", action="store_true")
    parser.add_argument("--child", nargs=2, metavar=("ROLE", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    n, threads = options.patients, options.threads
    if options.child:
        role, path = options.child
        return (
            draw(Path(path), n)
            if role == "draw"
            else solve(Path(path), n, threads, options.gradient)
        )
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--patients", str(n), "--threads", str(threads)]
        command += [*(["--gradient"] if options.gradient else []), "--child"]
        path = os.path.join(folder, "patients.npy")
        subprocess.run([*command, "draw", path], check=True)
        answer = subprocess.run(
            [*command, "solve", path], check=True, stdout=subprocess.PIPE, text=True
        ).stdout
    report = json.loads(answer)
    mega = {name: report[name] / 1e6 for name in ("inputs", "outputs", "before", "peak")}
    above = mega["peak"] - mega["inputs"] - mega["outputs"]
    full = n == 1_000_000 and not options.gradient
    print(report["machine"])
    print("gradient by all parameters" if options.gradient else "values")
    print(
        f"{n:,} patients of A, 97 samples of one output, rtol 1e-6, atol 1e-9 mg, {threads} threads"
    )
    print(f"{report['steps']:.0f} steps a patient, {n / report['seconds']:,.0f} patients/s")
    print(f"time: {report['seconds']:.1f} s" + verdict(report["seconds"], SECONDS, "s", full))
    print(
        f"memory: peak {mega['peak']:,.0f} MB, inputs {mega['inputs']:,.0f}, outputs "
        f"{mega['outputs']:,.0f}"
    )
    print(f"above inputs and outputs: {above:,.0f} MB" + verdict(above, MEGABYTES, "MB", True))
    own = mega["before"] - mega["inputs"]
    print(f"  of which Python, NumPy, LLVM and the model, before the run: {own:,.0f} MB")


def verdict(value: float, ceiling: float, unit: str, applies: bool) -> str:
    return (
        f", ceiling {ceiling:g} {unit} {'kept' if value <= ceiling else 'EXCEEDED'}"
        if applies
        else ""
    )


if __name__ == "__main__":
    main()
