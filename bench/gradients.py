"""Gradients by all parameters of problems A and B: cost in forward solves, error, the peers. python
bench/gradients.py

The loss is the sum of the curves: of the venous concentration, and of all states. The contenders
take turns, round after round, and ratios are formed within each round. Peers (gradient_peers.py)
are measured where they are installed.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import teorell as tl
from gradient_peers import PEERS
from teorell import benchmark
from teorell.benchmark import FloatArray
from teorell.doctor import version

CHECKED = 8  # patients whose gradients are compared
TIGHT = 1e-12, 1e-15  # rtol, atol of the solves that differences are formed of
RELATIVE_STEP = 1e-3  # their error h^4, and the noise of the solves over h, are below 1e-8
REGIMEN = tl.Regimen.bolus(benchmark.DOSE, into="STO", every=benchmark.EVERY, doses=benchmark.DOSES)


@dataclass(frozen=True)
class Sum:
    """The sum of some outputs of a problem over the 97 samples, in several ways; each method but
    `jacobian` is a Run.

    `solve` returns the values, the others the gradient (n, parameters) of each patient's own sum.
    """

    problem: benchmark.Problem
    outputs: tuple[str, ...]

    def solve(self, n: int, rtol: float, atol: float) -> FloatArray:
        return np.asarray(self._simulate(self.problem.patients(n), rtol, atol).values)

    def torch(self, n: int, rtol: float, atol: float) -> FloatArray:
        """Leaf tensors through simulate, the sum, and its backward."""
        torch: Any = importlib.import_module("torch")
        tensors = {
            name: torch.from_numpy(x).requires_grad_()
            for name, x in self.problem.patients(n).items()
        }
        values: Any = self._simulate(tensors, rtol, atol).values
        values.sum().backward()
        return np.column_stack(
            [tensors[name].grad.numpy() for name in self.problem.model.parameter_names]
        )

    def value_and_grad(self, n: int, rtol: float, atol: float) -> FloatArray:
        patients, options = self.problem.patients(n), self._options(rtol, atol)
        _, gradient = tl.value_and_grad(
            1.0, self.problem.model, patients, REGIMEN, benchmark.TIMES, self.outputs, **options
        )
        gradient.raise_for_status()
        return np.column_stack(
            [gradient.parameters[name] for name in self.problem.model.parameter_names]
        )

    def jacobian(self, count: int) -> benchmark.Run:
        """Forward sensitivities by the first `count` parameters, (n, count)."""
        wrt = self.problem.model.parameter_names[:count]

        def run(n: int, rtol: float, atol: float) -> FloatArray:
            patients, options = self.problem.patients(n), self._options(rtol, atol)
            found = tl.jacobian(
                self.problem.model,
                patients,
                REGIMEN,
                benchmark.TIMES,
                self.outputs,
                wrt=wrt,
                **options,
            )
            found.raise_for_status()
            return np.asarray(found.derivatives.sum(axis=(1, 2)))

        return run

    def differences(self, n: int) -> FloatArray:
        """Central differences of tight solves, of fourth order: five points less the middle one."""
        names, h = self.problem.model.parameter_names, RELATIVE_STEP
        factors = 1.0 + h * np.array([-2.0, -1.0, 1.0, 2.0])
        weights = np.array([1.0, -8.0, 8.0, -1.0]) / (12.0 * h)
        base = self.problem.matrix(n)
        moved = np.broadcast_to(base[:, None, None, :], (n, len(names), 4, len(names))).copy()
        for k in range(len(names)):
            moved[:, k, :, k] *= factors
        columns = moved.reshape(-1, len(names)).T
        values = self._simulate(dict(zip(names, columns, strict=True)), *TIGHT, threads=None).values
        slopes: FloatArray = (
            np.asarray(values).sum(axis=(1, 2)).reshape(n, len(names), 4) @ weights / base
        )
        return slopes

    def _simulate(
        self, parameters: Mapping[str, Any], rtol: float, atol: float, **more: Any
    ) -> tl.Solution:
        options = self._options(rtol, atol) | more
        solution = tl.simulate(
            self.problem.model, parameters, REGIMEN, benchmark.TIMES, self.outputs, **options
        )
        solution.raise_for_status()
        return solution

    def _options(self, rtol: float, atol: float) -> dict[str, Any]:
        return {
            "rtol": rtol,
            "atol": atol,
            "method": benchmark.METHOD,
            "threads": 1,
            "samples": "before",
        }


def error(gradient: FloatArray, exact: FloatArray, problem: benchmark.Problem) -> float:
    """The worst |p (dG/dp - exact)| of any parameter and patient, relative to the patient's largest
    |p dG/dp|.

    gradient: (n, any number of the first parameters); exact: at least n patients, all parameters.
    """
    n, count = gradient.shape
    parameters, exact = problem.matrix(n), exact[:n]
    scale = np.abs(parameters * exact).max(axis=1)
    worst = np.abs(parameters[:, :count] * (gradient - exact[:, :count])).max(axis=1)
    return float((worst / scale).max())


def main() -> None:
    peers = (
        f"some of {', '.join(map(repr, PEERS))} (default: those installed); none to measure "
        "teorell alone"
    )
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--problem", nargs="+", choices=["A", "B"], default=["A", "B"])
    parser.add_argument("--rtol", type=float, default=1e-6)
    parser.add_argument("--atol", type=float, default=1e-9)
    parser.add_argument("--patients", type=int, default=512, help="at a time")
    parser.add_argument("--repeats", type=int, default=9, help="rounds")
    parser.add_argument(
        "--peers", nargs="*", choices=list(PEERS), default=list(PEERS), metavar="PEER", help=peers
    )
    parser.add_argument("--peer-patients", type=int, default=8, help="at a time")
    parser.add_argument("--peer-repeats", type=int, default=3, help="rounds")
    options = parser.parse_args()

    print(benchmark.describe_machine())
    print(
        f"one thread, method {benchmark.METHOD}, rtol {options.rtol:g}, atol {options.atol:g} mg; "
        f"four doses in 48 h, 97 samples; {options.patients} patients at a time, {options.repeats} "
        f"rounds, taking turns; load {os.getloadavg()[0]:.1f} at the start"
    )
    print(
        f"error: worst |p (dG/dp - exact)| of {CHECKED} patients, relative to the largest |p "
        f"dG/dp| of the patient; exact: five-point differences, relative step {RELATIVE_STEP:g}, "
        f"of teorell's solves at rtol {TIGHT[0]:g}"
    )
    if importlib.util.find_spec("torch"):
        importlib.import_module("torch").set_num_threads(1)
    else:
        print("not installed, so not measured: torch")
    for kind in options.problem:
        problem = benchmark.problem(kind)
        names = problem.model.parameter_names
        print(f"\nproblem {kind}: {len(problem.model.state_names)} states, {len(names)} parameters")
        print(f"{'':42}{'ms a patient':30}{'forward solves':22}error")
        venous = Sum(problem, ("venous",))
        exact = compare("venous concentration", venous, [1, 8, len(names)], options)
        compare("all states", Sum(problem, problem.outputs), [], options)
        race_peers(venous, exact, options)


def compare(
    title: str, task: Sum, directions: Sequence[int], options: argparse.Namespace
) -> FloatArray:
    """One row a way of computing the gradient; returns the exact one (CHECKED, parameters)."""
    problem, tolerances = task.problem, (options.rtol, options.atol)
    runs: dict[str, benchmark.Run] = {"solve": task.solve}
    if importlib.util.find_spec("torch"):
        runs["torch, forward and backward"] = task.torch
    runs["value_and_grad, one pass"] = task.value_and_grad
    for count in directions:
        runs[f"jacobian by {count}"] = task.jacobian(count)
    rates = benchmark.race(runs, *tolerances, repeats=options.repeats, patients=options.patients)
    exact = task.differences(CHECKED)
    print(title)
    for name, run in runs.items():
        mine = rates[name]
        line = f"  {name:40}{milliseconds(mine):30}"
        if name != "solve":
            cost, least, greatest = rates["solve"].over(mine)
            found = error(run(CHECKED, *tolerances), exact, problem)
            line += f"{f'{cost:.2f} ({least:.2f}-{greatest:.2f})':22}{found:.1e}"
        print(line, flush=True)
    adjoint, tight = task.value_and_grad(CHECKED, *tolerances), task.value_and_grad(CHECKED, *TIGHT)
    print(
        f"  the adjoint at rtol {TIGHT[0]:g} against the differences: "
        f"{error(tight, exact, problem):.1e}"
    )
    forward = task.jacobian(len(problem.model.parameter_names))(CHECKED, *tolerances)
    print(
        "  adjoint against forward sensitivities, the same steps: "
        f"{error(adjoint, forward, problem):.1e}"
    )
    return exact


def race_peers(task: Sum, exact: FloatArray, options: argparse.Namespace) -> None:
    """ms a patient of each peer, and how often teorell's one pass fits into it; each with its own
    number of patients.
    """
    missing = {
        PEERS[name][0] for name in options.peers if not importlib.util.find_spec(PEERS[name][0])
    }
    if missing:
        print(f"not installed, so not measured: {', '.join(sorted(missing))}")
    peers = {
        name: PEERS[name][1](task.problem)
        for name in options.peers
        if PEERS[name][0] not in missing
    }
    if not peers:
        return
    tolerances, ours = (options.rtol, options.atol), "teorell, value_and_grad"
    runs: dict[str, benchmark.Run] = {ours: task.value_and_grad, **peers}
    counts = {name: options.patients if name == ours else options.peer_patients for name in runs}
    errors = {
        name: error(run(counts[name], *tolerances)[:CHECKED], exact, task.problem)
        for name, run in runs.items()
    }
    speeds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(options.peer_repeats):
        for name, run in runs.items():
            begin = time.perf_counter()
            run(counts[name], *tolerances)
            speeds[name].append(counts[name] / (time.perf_counter() - begin))
    versions = ", ".join(
        f"{module} {version(module)}" for module in sorted({PEERS[name][0] for name in peers})
    )
    print(
        f"venous concentration; {versions}: {options.peer_patients} patients at a time, "
        f"{options.peer_repeats} rounds"
    )
    print(f"{'':42}{'ms a patient':30}{'times teorell':22}error")
    rates = {name: benchmark.Rates(tuple(speed), counts[name]) for name, speed in speeds.items()}
    for name, mine in rates.items():
        ratio, least, greatest = rates[ours].over(mine)
        times = "" if name == ours else f"{ratio:,.0f} ({least:,.0f}-{greatest:,.0f})"
        print(f"  {name:40}{milliseconds(mine):30}{times:22}{errors[name]:.1e}", flush=True)


def milliseconds(rates: benchmark.Rates) -> str:
    """A patient's, median (least-greatest) of the rounds."""
    times = (1e3 / rate for rate in (rates.median, max(rates.rounds), min(rates.rounds)))
    return "{} ({}-{})".format(
        *(f"{time:#.3g}" if time < 100.0 else f"{time:,.0f}" for time in times)
    )


if __name__ == "__main__":
    main()
