"""What takes part in the benchmark: teorell, and its peers.

The peers solve right-hand sides generated from the same models.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

import teorell as tl
from teorell.benchmark.problems import (
    BETWEEN,
    CHECKED,
    DOSE,
    DOSES,
    EVERY,
    TIMES,
    FloatArray,
    Problem,
    Run,
)
from teorell.doctor import version
from teorell.engine import executors
from teorell.errors import count
from teorell.model.expression import Expression, topological

__all__ = [
    "METHOD", "PEERS", "Contender", "compiled", "numbalsoda", "reference", "rhs_source",
    "scipy_lsoda", "steps", "teorell",
]  # fmt: skip

METHOD = "rodas5p"


@dataclass(frozen=True)
class Contender:
    """A tool on a problem.

    `run(n, rtol, atol)` solves the first n patients and returns (n, samples, states).
    """

    name: str
    run: Run
    curve: Run | None = None
    """As `run`, for one output alone where the tool can be asked for that: (n, samples, 1)."""


def teorell(
    problem: Problem,
    *,
    executor: str | None = None,
    threads: int | None = 1,
    method: str = METHOD,
    isa: str | None = None,
) -> Contender:
    """Teorell itself, all it does for a user included: checks, packing of parameters, results.

    Without `executor`, `threads` or `isa` (v2, v3, v4, ...) it takes those that a user gets by
    default.
    """
    executor, _ = executors.choose_executor(executor)
    threads = threads or executors.available_threads()
    isa = isa or executors.selected_isa(None)

    def simulate(outputs: Sequence[str], n: int, rtol: float, atol: float) -> FloatArray:
        with _environment("TEORELL_ISA", isa):
            solution = tl.simulate(
                problem.model,
                problem.patients(n),
                _regimen(),
                TIMES,
                outputs=list(outputs),
                rtol=rtol,
                atol=atol,
                method=method,
                threads=threads,
                executor=executor,
                samples="before",
            )
        solution.raise_for_status()
        return np.asarray(solution.values)

    return Contender(
        f"teorell {executor.replace('_', ' ')}, {isa}, {count(threads, 'thread')}",
        lambda n, rtol, atol: simulate(problem.outputs, n, rtol, atol),
        lambda n, rtol, atol: simulate([problem.outputs[problem.venous]], n, rtol, atol),
    )


def _regimen() -> tl.Regimen:
    """The doses of the benchmark: DOSES boluses of DOSE mg, EVERY h apart."""
    return tl.Regimen.bolus(DOSE, into="STO", every=EVERY, doses=DOSES)


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Meanwhile the environment variable has this value."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def reference(problem: Problem, n: int = CHECKED) -> FloatArray:
    """Teorell's own solution at rtol 1e-11, atol 1e-14."""
    return teorell(problem, threads=None).run(n, 1e-11, 1e-14)


def steps(problem: Problem, rtol: float, atol: float, method: str = METHOD) -> tuple[float, float]:
    """Accepted and rejected steps of teorell, mean over the checked patients."""
    solution = tl.simulate(
        problem.model,
        problem.patients(CHECKED),
        _regimen(),
        TIMES,
        outputs=[problem.outputs[problem.venous]],
        rtol=rtol,
        atol=atol,
        method=method,
        samples="before",
    )
    return float(solution.steps.mean()), float(solution.rejected.mean())


_INFIX = {"add": "+", "sub": "-", "mul": "*"}
_CALLS = {"pow", "exp", "log", "sqrt", "tanh", "sin", "cos"}


def rhs_source(model: tl.Model) -> str:
    """Python source of `rhs(t, y, dy, p)`, which writes the derivatives into dy.

    Shared parts are computed once, and divisions are products with shared reciprocals, which made
    numbalsoda 13-18 % faster: as fast as from SymPy's `cse`, and no slower than with all that
    depends on parameters alone taken out.
    """
    derivatives = model.derivatives()
    exprs = [derivatives[name] for name in model.state_names]
    index = {("state", name): f"y[{k}]" for k, name in enumerate(model.state_names)}
    index |= {("parameter", name): f"p[{k}]" for k, name in enumerate(model.parameter_names)}
    text: dict[Expression, str] = {}
    reciprocals: dict[Expression, str] = {}
    lines = ["def rhs(t, y, dy, p):"]
    for node in topological(exprs):
        args = [text[arg] for arg in node.args]
        if node.op == "constant":
            text[node] = repr(node.value)
            continue
        if node.op == "time":
            text[node] = "t"
            continue
        if node.op in ("state", "parameter"):
            value = index[node.op, node.name]
        elif node.op == "div":
            below = node.args[1]
            if below not in reciprocals:
                reciprocals[below] = f"r{len(lines)}"
                lines.append(f"    {reciprocals[below]} = 1.0 / {args[1]}")
            value = f"{args[0]} * {reciprocals[below]}"
        elif node.op in _INFIX:
            value = f"{args[0]} {_INFIX[node.op]} {args[1]}"
        elif node.op == "neg":
            value = f"-{args[0]}"
        elif node.op in _CALLS:
            value = f"math.{node.op}({', '.join(args)})"
        else:
            raise NotImplementedError(
                f"operation {node.op!r}: the peers' source has no rule for it. Add one here."
            )
        text[node] = f"x{len(lines)}"
        lines.append(f"    x{len(lines)} = {value}")
    lines += [f"    dy[{k}] = {text[expr]}" for k, expr in enumerate(exprs)]
    return "\n".join(lines) + "\n"


def compiled(model: tl.Model) -> Callable[..., None]:
    """`rhs(t, y, dy, p)` of a model as Python: y and dy are (states,), p (parameters,)."""
    namespace: dict[str, Any] = {"math": importlib.import_module("math")}
    exec(rhs_source(model), namespace)
    function: Callable[..., None] = namespace["rhs"]
    return function


def numbalsoda(problem: Problem) -> Contender:
    """LSODA in C++ around a right-hand side compiled by numba.

    The loop over patients and doses is compiled too.
    """
    numba = importlib.import_module("numba")
    package = importlib.import_module("numbalsoda")
    rhs = numba.cfunc(package.lsoda_sig, error_model="numpy")(compiled(problem.model))
    address, lsoda, depot = rhs.address, package.lsoda, problem.depot

    def loop(
        parameters: FloatArray, start: FloatArray, rtol: float, atol: float
    ) -> tuple[FloatArray, bool]:
        out = np.zeros((parameters.shape[0], len(TIMES), start.shape[1]))
        good = True
        for i in range(parameters.shape[0]):
            y = start[i].copy()
            out[i, 0] = y
            for dose in range(DOSES):
                y[depot] += DOSE
                grid = EVERY * dose + np.linspace(0.0, EVERY, BETWEEN + 1)
                part, success = lsoda(address, y, grid, data=parameters[i], rtol=rtol, atol=atol)
                good = good and success
                out[i, BETWEEN * dose + 1 : BETWEEN * (dose + 1) + 1] = part[1:]
                y = part[BETWEEN].copy()
        return out, good

    jitted = numba.njit(loop)

    def run(n: int, rtol: float, atol: float) -> FloatArray:
        out, good = jitted(problem.matrix(n), problem.start(n), rtol, atol)
        if not good:
            raise RuntimeError(f"numbalsoda failed on problem {problem.kind} at rtol {rtol:g}.")
        return np.asarray(out)

    return Contender(f"numbalsoda {version('numbalsoda')} (LSODA, numba)", run)


def scipy_lsoda(problem: Problem) -> Contender:
    """SciPy's LSODA around a right-hand side in plain Python."""
    solve_ivp = importlib.import_module("scipy.integrate").solve_ivp
    rhs, states = compiled(problem.model), len(problem.model.state_names)

    def run(n: int, rtol: float, atol: float) -> FloatArray:
        out = np.empty((n, len(TIMES), states))
        out[:, 0] = problem.start(n)
        for i, row in enumerate(problem.matrix(n).tolist()):

            def derivative(t: float, y: FloatArray, p: list[float] = row) -> list[float]:
                dy = [0.0] * states
                rhs(t, y.tolist(), dy, p)
                return dy

            for first in range(0, len(TIMES) - 1, BETWEEN):
                y, grid = out[i, first].copy(), TIMES[first : first + BETWEEN + 1]
                y[problem.depot] += DOSE
                part = solve_ivp(derivative, grid[[0, -1]], y, "LSODA", grid, rtol=rtol, atol=atol)
                if not part.success:
                    raise RuntimeError(
                        f"SciPy failed on problem {problem.kind} at rtol {rtol:g}: {part.message}"
                    )
                out[i, first + 1 : first + BETWEEN + 1] = part.y.T[1:]
        return out

    return Contender(f"SciPy {version('scipy')} LSODA, Python", run)


PEERS: dict[str, tuple[str, Callable[[Problem], Contender]]] = {
    "numbalsoda": ("numbalsoda", numbalsoda),
    "scipy": ("scipy", scipy_lsoda),
}
"""Name -> (module that must be installed, how to make the contender)."""
