"""What one step costs and what bounds it: python bench/operations.py

Counts the instructions of the machine code of a Rodas5P step of one lane group, part by part, for
problems A and B, and holds the time of a step, inferred from a run on one thread, against the time
that its arithmetic would take at the measured peak of fused multiply-adds (bench/fma_peak.py).
"""

from __future__ import annotations

import re
import time
from collections import Counter

import fma_peak
import llvmlite.binding as llvm
import numpy as np
import teorell as tl
from teorell.benchmark import reference_models
from teorell.engine import executors, step_code
from teorell.engine.compile import llvm_machine, target_for
from teorell.lowering import Programs, lower

PARTS = {
    "factor": "LU",
    "combine": "stage combinations",
    "stage": "rhs and solve",
    "finish": "error norm",
}
ARITHMETIC = re.compile(r"v?(fn?madd|fn?msub|fml|mul|add|sub|div|sqrt)\w*p?d?$")
TIMES, DOSES = np.linspace(0.0, 48.0, 97), {"into": "STO", "every": 12.0, "doses": 4}


def instructions(assembly: str) -> dict[str, Counter[str]]:
    """Instructions by function: all, arithmetic (packed), divisions, stack accesses."""
    counts: dict[str, Counter[str]] = {}
    name = ""
    for line in assembly.splitlines():
        label = re.match(r"^_?(\w+):", line)
        if label:
            name = label.group(1)
            counts[name] = Counter()
        elif name and re.match(r"^\t[a-z]", line):
            operation = line.split()[0]
            packed = operation.endswith("pd")
            counts[name]["all"] += 1
            counts[name]["arithmetic"] += packed and bool(ARITHMETIC.match(operation[:-2]))
            counts[name]["divisions"] += "div" in operation and packed
            counts[name]["stack"] += "(%rsp)" in line
    return counts


def machine_instructions(programs: Programs, isa: str) -> dict[str, Counter[str]]:
    target = target_for(isa)
    source = step_code.emit(programs, executors.tableau("rodas5p"), target)
    return instructions(llvm_machine(target).emit_assembly(llvm.parse_assembly(source)))


def main() -> None:
    isa = executors.selected_isa(None)
    width = next(b["register_width"] for b in executors.instruction_sets() if b["name"] == isa)
    peak = fma_peak.measure(isa)  # GFLOP/s
    print(
        f"instruction set {isa}, {width} lanes; peak of fused multiply-adds {peak:.1f} GFLOP/s on "
        "one core"
    )
    for kind, model in (("A", reference_models.problem_a()), ("B", reference_models.problem_b())):
        programs = lower(model)
        counts = machine_instructions(programs, isa)
        total: Counter[str] = Counter()
        print(
            f"\n{kind}: one step of {width} patients   instructions  arithmetic  divisions  stack"
        )
        for part, label in PARTS.items():
            rows: Counter[str] = Counter()
            for name, row in counts.items():
                if name.startswith(part):
                    rows.update({key: n * (8 if part == "stage" else 1) for key, n in row.items()})
            total.update(rows)
            print(
                f"   {label:30s} {rows['all']:9d} {rows['arithmetic']:11d} {rows['divisions']:10d} "
                f"{rows['stack']:6d}"
            )
        print(
            f"   {'all':30s} {total['all']:9d} {total['arithmetic']:11d} {total['divisions']:10d} "
            f"{total['stack']:6d}"
        )
        patients = 4000 if kind == "A" else 1500
        parameters = reference_models.population(kind, patients)
        regimen = tl.Regimen.bolus(100.0, **DOSES)  # type: ignore[arg-type]
        seconds = []
        for _ in range(5):
            start = time.process_time()
            solution = tl.simulate(model, parameters, regimen, TIMES, samples="before", threads=1)
            seconds.append(time.process_time() - start)
        attempts = float((solution.steps + solution.rejected).sum())
        step = sorted(seconds)[len(seconds) // 2] / attempts * width
        bound = total["arithmetic"] * 2 * width / (peak * 1e9)
        print(f"   {1e9 * step:.0f} ns a step, everything included;", end=" ")
        print(f"its arithmetic at the peak: {1e9 * bound:.0f} ns, {100 * bound / step:.0f} %")
        print(f"   {attempts / patients:.0f} attempted steps,", end=" ")
        print(f"{1e6 * step * attempts / patients / width:.1f} us a patient")


if __name__ == "__main__":
    main()
