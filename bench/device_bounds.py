"""What bounds the speed of a device, from counts: python bench/device_bounds.py

Counts what one attempted step of one patient of A and B loads, stores and computes, forward and
with its gradient, interpreted and emitted, in the programs and in the loops of the C++ headers that
run them; multiplies by the steps that the problem takes, and divides what devices can do by it.
Then what threads can ask memory for at a time. docs/cuda_speed.md has the formulas and the sources
of the devices' numbers. Nothing is measured here but the number of steps.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import teorell as tl
from teorell.benchmark import reference_models
from teorell.device.emitted import emitted
from teorell.lowering import Programs, instructions, lower

STAGES = 8
PAIRS = STAGES * (STAGES - 1) // 2  # of a stage and an earlier one
PLAIN = 6  # stages of Rodas5P whose y_i is not y_{i-1} + u_{i-1}
DEVICES = {"H100 SXM": 3.35e12, "H200 SXM": 4.8e12}  # bytes/s of their memory
MULTIPROCESSORS, FP64_PEAK = 132, 34e12  # operations/s, two of a fused multiply-add
LATENCY = 600e-9  # s from a load to its number, from the device's memory: a guess
OPERANDS = 2  # loads of a thread of the interpreter that are on their way at a time: a guess
TIMES = np.linspace(0.0, 48.0, 97)


class Count(NamedTuple):
    """Of one patient: float64 loaded, stored; arithmetic instructions in double precision."""

    loads: int
    stores: int
    arithmetic: int

    def __add__(self, other: object) -> Count:
        assert isinstance(other, Count)
        return Count(*(a + b for a, b in zip(self, other, strict=True)))

    def times(self, factor: int) -> Count:
        return Count(*(factor * each for each in self))

    @property
    def bytes(self) -> int:
        return 8 * (self.loads + self.stores)


def of_text(text: str, name: str) -> Count:
    """Of a function of the emitted text, and of the functions that it is cut into."""
    loads = stores = arithmetic = 0
    for body in re.findall(rf"static void {name}(?:_\d+)?\(.*?\n    \}}\n", text, re.DOTALL):
        loads += len(re.findall(r" = (?:w|block|z)\[\d+\];", body))
        stores += body.count("w.put(") + body.count("block.put(")
        arithmetic += len(re.findall(r"const V v\d+ = (?!\w+\[\d+\];)", body))
    return Count(loads, stores, arithmetic)


def interpreted(programs: Programs, names: list[str]) -> Count:
    """Of programs whose values all lie in the workspace."""
    loads = stores = arithmetic = 0
    for name in names:
        for item in instructions(getattr(programs, name)):
            products = len(item.plus) + len(item.minus)
            loads += len(item.operands) + 2 * products
            stores += 1
            arithmetic += max(products, 1)
    return Count(loads, stores, arithmetic)


def finish(n: int) -> Count:
    """The error norm: yn, atol and top are read, ynew is stored; a division counts ten."""
    return Count(3 * n, n, 20 * n)


def emitted_step(programs: Programs, text: str) -> Count:
    """FusedStep: y and u of a stage are held, the u of earlier stages are read."""
    n = programs.layout.n
    start = Count(2 * n, n, n)
    combine = Count(PAIRS * n + (STAGES - 1) * n, STAGES * n, 2 * PAIRS * n)
    stage = of_text(text, "stage")
    return start + of_text(text, "factor") + combine + stage.times(STAGES) + finish(n)


def interpreted_step(programs: Programs) -> Count:
    n = programs.layout.n
    start = Count(2 * n, 2 * n, n)
    combine = Count(PAIRS * n + STAGES * n, 2 * STAGES * n, 2 * PAIRS * n)
    stage = interpreted(programs, ["rhs", "solve"])
    ends = Count(2 * n, 0, 0)  # finish reads y and u
    factor = interpreted(programs, ["jacobian_lu", "df_dt"])
    return start + factor + combine + stage.times(STAGES) + finish(n) + ends


def reverse_step(programs: Programs, stage: Count, second: Count) -> Count:
    """adjoint.hpp: stage values, what is gathered for w_i, the stages down, the end."""
    n, entries, outputs = programs.layout.n, len(programs.entries), len(programs.output_states)
    values = Count((STAGES + 1) * n, 2 * STAGES * n, (PAIRS + STAGES) * n)
    kept = Count(STAGES * entries, STAGES * entries, 0)
    gather = Count(2 * PAIRS * n, STAGES * n, 2 * PAIRS * n)
    moments = Count(4 * STAGES * outputs, STAGES * outputs, 3 * STAGES * outputs)
    passed = Count(2 * 3 * n, 3 * n, 3 * n)
    weights = Count(2 * STAGES * entries, entries, STAGES * entries)
    end = Count((1 + PLAIN) * n, n, PLAIN * n)
    return values + kept + gather + moments + stage.times(STAGES) + passed + weights + second + end


def attempts(kind: str, patients: int = 2000) -> float:
    """Mean number of attempted steps of a patient."""
    model = reference_models.problem_a() if kind == "A" else reference_models.problem_b()
    regimen = tl.Regimen.bolus(100.0, into="STO", every=12.0, doses=4)
    drawn = reference_models.population(kind, patients)
    solution = tl.simulate(model, drawn, regimen, TIMES, rtol=1e-6, samples="before", threads=1)
    return float((solution.steps + solution.rejected).mean())


def in_flight(threads: int, loads: int) -> float:
    """Bytes/s that so many threads of each multiprocessor can ask for, each for some loads at a
    time.
    """
    return MULTIPROCESSORS * threads * loads * 8 / LATENCY


def print_in_flight(attempts_of_a: float, bytes_of_a: int) -> None:
    print(
        f"\nA forward, interpreter, where {OPERANDS} loads of a thread are on their way for "
        f"{LATENCY * 1e9:.0f} ns:"
    )
    for blocks in (3, 4):
        rate = in_flight(128 * blocks, OPERANDS)
        print(
            f"    {blocks} blocks of 128: {rate / 1e12:.2f} TB/s, "
            f"{rate / (bytes_of_a * attempts_of_a):,.0f} patients/s"
        )


def main() -> None:
    clock = FP64_PEAK / (MULTIPROCESSORS * 64 * 2)
    print(f"clock that {FP64_PEAK / 1e12:.0f} TFLOP/s mean: {clock / 1e9:.2f} GHz\n")
    print(
        f"{'':30}{'attempts':>9}{'loads':>8}{'stores':>8}{'kB':>7}{'float64':>9}"
        f"{'arithmetic':>13}" + "".join(f"{name:>13}" for name in DEVICES)
    )
    for kind in ("A", "B"):
        model = reference_models.problem_a() if kind == "A" else reference_models.problem_b()
        programs, vjp = lower(model), lower(model, derivatives="vjp")
        text, number = emitted(vjp, "rodas5p"), attempts(kind)
        fast, slow = emitted_step(programs, text), interpreted_step(programs)
        back = reverse_step(vjp, of_text(text, "stage_reverse"), of_text(text, "second_vjp"))
        slow_back = reverse_step(
            vjp,
            interpreted(vjp, ["solve_transposed", "stage_vjp"]),
            interpreted(vjp, ["second_vjp"]),
        )
        rows = {
            "forward, emitted": fast,
            "forward, interpreter": slow,
            "gradient, emitted": fast + fast + back,
            "gradient, interpreter": slow + slow + slow_back,
        }
        for what, count in rows.items():
            # 64 results in double precision a clock and multiprocessor
            computing = MULTIPROCESSORS * 64 * clock / (count.arithmetic * number)
            bounds = [rate / (count.bytes * number) for rate in DEVICES.values()]
            print(
                f"{kind + ', ' + what:30}{number:9.1f}{count.loads:8}{count.stores:8}"
                f"{count.bytes / 1000:7.1f}{count.arithmetic:9}{computing:13,.0f}"
                + "".join(f"{bound:13,.0f}" for bound in bounds)
            )
        if kind == "A":
            of_a = number, slow.bytes
    print_in_flight(*of_a)


if __name__ == "__main__":
    main()
