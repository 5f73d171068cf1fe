"""`teorell bench`: patients per second and achieved error on this machine, beside whichever peers
are installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
from collections.abc import Sequence

import numpy as np

import teorell as tl
from teorell import solve
from teorell.benchmark.contenders import METHOD, PEERS, Contender, reference, teorell
from teorell.benchmark.problems import CHECKED, Problem, errors, problem
from teorell.benchmark.rates import race
from teorell.doctor import processor
from teorell.errors import count

__all__ = ["describe_machine", "main"]


def describe_machine() -> str:
    """Processor, instruction set in use, system, versions: one line."""
    return (
        f"{processor()}, {count(os.cpu_count() or 1, 'processor')}, {platform.system()}; "
        f"instruction set {solve.selected_isa(None)}; teorell {tl.__version__}, Python "
        f"{platform.python_version()}, NumPy {np.__version__}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """`teorell bench`: print patients per second and achieved error of teorell and of the peers
    found.
    """
    parser = argparse.ArgumentParser(
        prog="teorell bench", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--problem", choices=["A", "B"], action="append", help="one problem alone (default: both)"
    )
    parser.add_argument(
        "--rtol", type=float, default=1e-6, help="relative tolerance (default 1e-6)"
    )
    parser.add_argument(
        "--atol", type=float, help="absolute tolerance in mg (default: a thousandth of rtol)"
    )
    parser.add_argument(
        "--threads", type=int, help="threads of teorell's second row (default: all there are)"
    )
    parser.add_argument(
        "--patients",
        type=int,
        default=0,
        help="patients a round (default: --seconds worth of them)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=1.0,
        help="time a round of each tool is to take (default 1)",
    )
    parser.add_argument("--repeats", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--no-peers", action="store_true", help="teorell alone")
    options = parser.parse_args(argv)
    if options.repeats < 1 or options.patients < 0 or options.seconds <= 0.0:
        parser.error("--repeats and --seconds must be positive and --patients not negative.")
    rtol, atol = options.rtol, options.rtol * 1e-3 if options.atol is None else options.atol
    threads = options.threads or solve.available_threads()
    peers = (
        []
        if options.no_peers
        else [name for name in PEERS if importlib.util.find_spec(PEERS[name][0])]
    )
    missing = [] if options.no_peers else [name for name in PEERS if name not in peers]

    print(describe_machine())
    print(
        f"method {METHOD}, rtol {rtol:g}, atol {atol:g} mg; four oral doses in 48 h, 97 samples of "
        f"every state; median of {count(options.repeats, 'round')} (least-greatest), tools taking "
        "turns"
    )
    print(
        f"error: the worst relative error over {CHECKED} patients and all samples, against "
        "teorell's own run at rtol 1e-11\n(not an independent reference; the project's tests "
        "compare that with SciPy's Radau)"
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


def _report(
    case: Problem, field: list[Contender], rtol: float, atol: float, options: argparse.Namespace
) -> None:
    model = case.model
    print(
        f"\nproblem {case.kind}: {len(model.state_names)} states, {len(model.parameter_names)} "
        "parameters"
    )
    print(
        f"{'':36}{'patients/s':>12}{'':22}{'error venous':>14}{'all states':>12}  of the first "
        "row's speed"
    )
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
