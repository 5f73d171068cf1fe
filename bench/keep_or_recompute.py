"""Should the adjoint keep the stages of a step, or compute them again? Both, in microseconds a step
of a group of lanes.

    python bench/keep_or_recompute.py

Computing again is the machine code `stages`. Keeping is the memory traffic alone: the stages, the
state and the factors written by the forward solve and read in reverse, for a whole patient or for
one interval between doses; it also needs all lanes of a group at one step, which costs what the
shortest patients wait for the longest.
"""

from __future__ import annotations

import ctypes
import platform
import time

import numpy as np
from teorell.benchmark import reference_models
from teorell.engine import executors, step_code
from teorell.engine.step_code import FUNCTIONS
from teorell.lowering.recent import programs_of

STEPS = {"A": 236, "B": 421}  # accepted steps of a patient at rtol 1e-6
ROUNDS = 50


def least(action) -> float:
    """The least time of an action, in seconds."""
    best = np.inf
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        action()
        best = min(best, time.perf_counter() - begin)
    return best


def recompute(kind: str) -> tuple[float, int]:
    """Seconds to compute the stages of one step of a group of lanes, and the doubles that keeping
    them would take.
    """
    model = {"A": reference_models.problem_a, "B": reference_models.problem_b}[kind]()
    programs = programs_of(model, model.output_names, (), "vjp")
    build = executors.instruction_sets()[0]
    width, at = build["register_width"], programs.layout
    buffer = np.zeros(at.slots * width + 8)
    first = -buffer.ctypes.data // 8 % 8
    workspace = buffer[first : first + at.slots * width].reshape(-1, width)
    workspace[at.const : at.const + at.n_const] = programs.constants[:, None]
    workspace[at.coef : at.coef + at.n_coef] = workspace[at.yn : at.yn + at.n] = 1.0
    workspace[at.scalar + 2] = 0.1  # h
    code = step_code.machine_code(programs, "rodas5p", build["name"])
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(code.addresses[FUNCTIONS.index("stages")])
    address, calls = workspace[at.scalar :].ctypes.data, 200

    def run() -> None:
        for _ in range(calls):
            function(address)

    return least(run) / calls, (9 * at.n + at.n_lu) * width


def keep(doubles: int, steps: int) -> float:
    """Seconds to write and read back what a step keeps, in a tape of some steps."""
    tape, step = np.zeros((steps, doubles)), np.ones(doubles)
    total = np.zeros(doubles)
    backwards = tape[::-1]

    def write() -> None:
        tape[:] = step

    def read() -> None:
        np.add.reduce(backwards, axis=0, out=total)

    return (least(write) + least(read)) / steps


if __name__ == "__main__":
    best = executors.instruction_sets()[0]["name"]
    print(f"{platform.processor() or platform.machine()}, {best}, one thread")
    for kind, steps in STEPS.items():
        again, doubles = recompute(kind)
        size = doubles * steps * 8 / 1e6
        whole, part = (keep(doubles, count) * 1e6 for count in (steps, steps // 4))
        print(
            f"{kind}: computed again {again * 1e6:.2f} us; kept for a patient ({size:.1f} MB) "
            f"{whole:.2f} us, for one of four intervals {part:.2f} us"
        )
