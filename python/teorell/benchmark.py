"""Patients per second and achieved error on this machine, beside whichever peers are installed: `teorell bench`.

Two built-in problems (reference_models.py): A, perfusion-limited, 20 states; B, permeability-limited with fast
binding, 34 states. Four oral doses of 100 mg in 48 h, 97 samples. The tools take turns in one run, so that a machine
that slows down slows all of them, and a ratio is formed within each round. The error needs no file: teorell computes
its own reference at rtol 1e-11, and tests/test_benchmark.py checks that reference by independent methods.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

import teorell as tl
from teorell import reference_models, solve
from teorell.doctor import processor, version
from teorell.expression import Expression, evaluate_all, leaves, symbol, topological

__all__ = [
    "PEERS", "Contender", "Problem", "Rates", "describe_machine", "errors", "main", "numbalsoda", "problem", "race",
    "reference", "rhs_source", "scipy_lsoda", "teorell",
]  # fmt: skip

FloatArray: TypeAlias = NDArray[np.float64]
Run: TypeAlias = Callable[[int, float, float], FloatArray]

TIMES: FloatArray = reference_models.TIMES
DOSE, DOSES, EVERY = reference_models.DOSE, len(reference_models.DOSES), reference_models.DOSES[1]  # mg, h
BETWEEN = (len(TIMES) - 1) // DOSES  # samples from one dose to the next
CHECKED = 20  # patients whose error is measured
METHOD = "rodas5p"


@dataclass(frozen=True)
class Problem:
    """One of the two problems. Each state, an amount in mg, is also an output, `outputs[k]` that of state k."""

    kind: str
    model: tl.Model
    outputs: tuple[str, ...]
    depot: int
    venous: int

    def patients(self, n: int) -> Mapping[str, FloatArray]:
        """The first n virtual patients, name -> (n,) values."""
        return _patients(self.kind, n)

    def matrix(self, n: int) -> FloatArray:
        """The same as an (n, parameters) matrix in the model's order."""
        patients = self.patients(n)
        return np.column_stack([patients[name] for name in self.model.parameter_names])

    def start(self, n: int) -> FloatArray:
        """(n, states) before the first dose."""
        initials = self.model.initials()
        exprs = [initials[name] for name in self.model.state_names]
        patients = self.patients(n)
        symbols: set[Expression] = set().union(*(leaves(expr) for expr in exprs))
        values = evaluate_all(exprs, {symbol: patients[symbol.name] for symbol in symbols})
        return np.column_stack([np.broadcast_to(value, (n,)) for value in values])


_drawn: dict[str, tuple[int, Mapping[str, FloatArray]]] = {}


def _patients(kind: str, n: int) -> Mapping[str, FloatArray]:
    """Views of the largest population drawn so far: drawing is slower than solving, and must not be timed."""
    if _drawn.get(kind, (0, {}))[0] < n:
        _drawn[kind] = n, reference_models.population(kind, n)
    return {name: column[:n] for name, column in _drawn[kind][1].items()}


@lru_cache(maxsize=2)
def problem(kind: str) -> Problem:
    """Problem "A" or "B"."""
    model = {"A": reference_models.problem_a, "B": reference_models.problem_b}[kind]()
    names = list(model.state_names)
    outputs = tuple(f"amount_{name}" for name in names)
    for name, output in zip(names, outputs, strict=True):
        model.output(output, symbol("state", name))
    return Problem(kind, model, outputs, names.index("STO"), names.index("VEN"))


def errors(values: FloatArray, exact: FloatArray, problem: Problem) -> tuple[float, float]:
    """The worst relative error of (patients, samples, states): of the venous state, and of all states but the depot.

    Below a thousandth of a curve's own maximum the error is relative to that. NaN counts as infinite.
    """
    magnitude = np.abs(exact)
    scale = np.maximum(magnitude, 1e-3 * magnitude.max(axis=1, keepdims=True))
    relative = np.abs(values - exact) / np.where(scale == 0.0, 1.0, scale)
    worst = np.where(np.isfinite(relative), relative, np.inf).max(axis=(0, 1))
    return float(worst[problem.venous]), float(np.delete(worst, problem.depot).max())


# What takes part -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Contender:
    """A tool on a problem. `run(n, rtol, atol)` solves the first n patients and returns (n, samples, states)."""

    name: str
    run: Run
    curve: Run | None = None
    """The same for one output alone where the tool can be asked for that: (n, samples, 1)."""


def teorell(
    problem: Problem,
    *,
    executor: str | None = None,
    threads: int | None = 1,
    method: str = METHOD,
    isa: str | None = None,
) -> Contender:
    """Teorell itself, all it does for a user included: checks, packing of parameters, results.

    Without `executor`, `threads` or `isa` (v2, v3, v4, ...) it takes those that a user gets by default.
    """
    executor, _ = solve.choose_executor(executor)
    threads = threads or solve.available_threads()
    isa = isa or solve.selected_isa(None)

    def simulate(outputs: Sequence[str], n: int, rtol: float, atol: float) -> FloatArray:
        with _environment("TEORELL_ISA", isa):
            solution = tl.simulate(
                problem.model, problem.patients(n), _regimen(), TIMES, outputs=list(outputs), rtol=rtol, atol=atol,
                method=method, threads=threads, executor=executor, samples="before",
            )  # fmt: skip
        solution.raise_for_status()
        return np.asarray(solution.values)

    return Contender(
        f"teorell {executor.replace('_', ' ')}, {isa}, {_count(threads, 'thread')}",
        lambda n, rtol, atol: simulate(problem.outputs, n, rtol, atol),
        lambda n, rtol, atol: simulate([problem.outputs[problem.venous]], n, rtol, atol),
    )


def _regimen() -> tl.Regimen:
    return tl.Regimen.bolus(DOSE, into="STO", every=EVERY, doses=DOSES)


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
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
        problem.model, problem.patients(CHECKED), _regimen(), TIMES, outputs=[problem.outputs[problem.venous]],
        rtol=rtol, atol=atol, method=method, samples="before",
    )  # fmt: skip
    return float(solution.steps.mean()), float(solution.rejected.mean())


_INFIX = {"add": "+", "sub": "-", "mul": "*"}
_CALLS = {"pow", "exp", "log", "sqrt", "tanh", "sin", "cos"}


def rhs_source(model: tl.Model) -> str:
    """Python source of `rhs(t, y, dy, p)`, which writes the derivatives into dy.

    Shared parts are computed once, and divisions are products with shared reciprocals, which made numbalsoda 13-18 %
    faster: as fast as from SymPy's `cse`, and no slower than with all that depends on parameters alone taken out.
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
            raise NotImplementedError(f"operation {node.op!r}: the peers' source has no rule for it. Add one here.")
        text[node] = f"x{len(lines)}"
        lines.append(f"    x{len(lines)} = {value}")
    lines += [f"    dy[{k}] = {text[expr]}" for k, expr in enumerate(exprs)]
    return "\n".join(lines) + "\n"


def _compiled(model: tl.Model) -> Callable[..., None]:
    namespace: dict[str, Any] = {"math": importlib.import_module("math")}
    exec(rhs_source(model), namespace)
    function: Callable[..., None] = namespace["rhs"]
    return function


def numbalsoda(problem: Problem) -> Contender:
    """LSODA in C++ around a right-hand side compiled by numba, the loop over patients and doses compiled too."""
    numba = importlib.import_module("numba")
    package = importlib.import_module("numbalsoda")
    rhs = numba.cfunc(package.lsoda_sig, error_model="numpy")(_compiled(problem.model))
    address, lsoda, depot = rhs.address, package.lsoda, problem.depot

    def loop(parameters: FloatArray, start: FloatArray, rtol: float, atol: float) -> tuple[FloatArray, bool]:
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
    rhs, states = _compiled(problem.model), len(problem.model.state_names)

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
                    raise RuntimeError(f"SciPy failed on problem {problem.kind} at rtol {rtol:g}: {part.message}")
                out[i, first + 1 : first + BETWEEN + 1] = part.y.T[1:]
        return out

    return Contender(f"SciPy {version('scipy')} LSODA, Python", run)


PEERS: dict[str, tuple[str, Callable[[Problem], Contender]]] = {
    "numbalsoda": ("numbalsoda", numbalsoda),
    "scipy": ("scipy", scipy_lsoda),
}
"""Name -> (module that must be installed, how to make the contender)."""


# The race ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rates:
    """Patients per second of one contender, one figure a round, and the number of patients in a round."""

    rounds: tuple[float, ...]
    patients: int

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    def over(self, other: Rates) -> tuple[float, float, float]:
        """Median, least and greatest of the ratios within each round."""
        ratios = [mine / theirs for mine, theirs in zip(self.rounds, other.rounds, strict=True)]
        return statistics.median(ratios), min(ratios), max(ratios)


def race(
    runs: Mapping[str, Run], rtol: float, atol: float, *, repeats: int = 3, seconds: float = 1.0, patients: int = 0
) -> dict[str, Rates]:
    """Let the contenders take turns, `repeats` rounds; each solves about `seconds` worth of patients, or `patients`.

    A first round, in which everything is compiled and the patients are drawn, is not counted.
    """
    counts: dict[str, int] = {}
    for name, run in runs.items():
        n = patients or 2
        if not patients:
            run(n, rtol, atol)
        while not patients:
            taken = _seconds(run, n, rtol, atol)
            if taken >= seconds / 4.0:
                n = max(1, int(n * seconds / taken))
                break
            n = max(n + 1, int(n * min(10.0, seconds / max(taken, 1e-6))))
        counts[name] = n
    for name, run in runs.items():
        run(counts[name], rtol, atol)
    rounds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            rounds[name].append(counts[name] / _seconds(run, counts[name], rtol, atol))
    return {name: Rates(tuple(rounds[name]), counts[name]) for name in runs}


def _seconds(run: Run, n: int, rtol: float, atol: float) -> float:
    begin = time.perf_counter()
    run(n, rtol, atol)
    return time.perf_counter() - begin


def describe_machine() -> str:
    """Processor, instruction set in use, system, versions: one line."""
    return (
        f"{processor()}, {_count(os.cpu_count() or 1, 'processor')}, {platform.system()}; instruction set "
        f"{solve.selected_isa(None)}; teorell {tl.__version__}, Python {platform.python_version()}, "
        f"NumPy {np.__version__}"
    )


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def main(argv: Sequence[str] | None = None) -> int:
    """`teorell bench`: print patients per second and achieved error of teorell and of the peers found."""
    parser = argparse.ArgumentParser(prog="teorell bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--problem", choices=["A", "B"], action="append", help="one problem alone (default: both)")
    parser.add_argument("--rtol", type=float, default=1e-6, help="relative tolerance (default 1e-6)")
    parser.add_argument("--atol", type=float, help="absolute tolerance in mg (default: a thousandth of rtol)")
    parser.add_argument("--threads", type=int, help="threads of teorell's second row (default: all there are)")
    parser.add_argument("--patients", type=int, default=0, help="patients a round (default: --seconds worth of them)")
    parser.add_argument("--seconds", type=float, default=1.0, help="time a round of each tool is to take (default 1)")
    parser.add_argument("--repeats", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--no-peers", action="store_true", help="teorell alone")
    options = parser.parse_args(argv)
    if options.repeats < 1 or options.patients < 0 or options.seconds <= 0.0:
        parser.error("--repeats and --seconds must be positive and --patients not negative.")
    rtol, atol = options.rtol, options.rtol * 1e-3 if options.atol is None else options.atol
    threads = options.threads or solve.available_threads()
    peers = [] if options.no_peers else [name for name in PEERS if importlib.util.find_spec(PEERS[name][0])]
    missing = [] if options.no_peers else [name for name in PEERS if name not in peers]

    print(describe_machine())
    print(
        f"method {METHOD}, rtol {rtol:g}, atol {atol:g} mg; four oral doses in 48 h, 97 samples of every state; "
        f"median of {_count(options.repeats, 'round')} (least-greatest), tools taking turns"
    )
    print(
        f"error: the worst relative error over {CHECKED} patients and all samples, against teorell's own run at rtol "
        "1e-11\n(not an independent reference; the project's tests compare that with SciPy's Radau)"
    )
    if missing:
        print(f"not installed, so not measured: {', '.join(missing)}")
    for kind in options.problem or ["A", "B"]:
        case = problem(kind)
        first = teorell(case)
        others = [teorell(case, threads=threads)] if threads > 1 else []
        if solve.choose_executor()[0] != "interpreter":
            others.append(teorell(case, executor="interpreter"))
        others += [PEERS[name][1](case) for name in peers]
        _report(case, [first, *others], rtol, atol, options)
    return 0


def _report(case: Problem, field: list[Contender], rtol: float, atol: float, options: argparse.Namespace) -> None:
    model = case.model
    print(f"\nproblem {case.kind}: {len(model.state_names)} states, {len(model.parameter_names)} parameters")
    print(f"{'':36}{'patients/s':>12}{'':22}{'error venous':>14}{'all states':>12}  of the first row's speed")
    exact = reference(case)
    rates = race(
        {contender.name: contender.run for contender in field}, rtol, atol,
        repeats=options.repeats, seconds=options.seconds, patients=options.patients,
    )  # fmt: skip
    for contender in field:
        mine = rates[contender.name]
        venous, everything = errors(contender.run(CHECKED, rtol, atol), exact, case)
        spread = f"({min(mine.rounds):,.0f}-{max(mine.rounds):,.0f})"
        share = mine.over(rates[field[0].name])[0]
        text = f"{share:.2f}" if share >= 0.1 else f"1/{1.0 / share:.1f}"
        accuracy = f"{venous:14.1e}{everything:12.1e}"
        print(f"{contender.name:36}{mine.median:12,.0f}  {spread:20}{accuracy}  {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
