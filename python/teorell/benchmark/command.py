"""`teorell bench`: patients per second and achieved error on this machine, beside whichever peers
are installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import teorell as tl
from teorell.doctor import processor
from teorell.errors import InputError, count
from teorell.simulation.settings import solver_options
from teorell.tables import aligned, wrapped

if TYPE_CHECKING:
    from teorell.benchmark.contenders import Contender
    from teorell.benchmark.problems import Problem

__all__ = ["add_parser", "describe_machine", "main", "run"]

HEAD = ("", "patients/s", "spread", "venous", "all", "speed")
LARGEST = 1_000_000_000  # what a number on the command line may be at most


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Declare `teorell bench` among the commands."""
    _declare(
        commands.add_parser(
            "bench",
            help="patients per second on this machine",
            description="Patients per second and achieved error on this machine.",
        )
    )


def _declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of `teorell bench`, and the function that does it."""
    parser.add_argument(
        "--problem", choices=["A", "B"], action="append", help="one problem alone (default: both)"
    )
    parser.add_argument(
        "--rtol", type=float, default=1e-6, help="relative tolerance (default: 1e-6)"
    )
    parser.add_argument(
        "--atol", type=float, help="absolute tolerance in mg (default: a thousandth of rtol)"
    )
    parser.add_argument(
        "--threads", type=int, help="threads of teorell's second row (default: all there are)"
    )
    parser.add_argument(
        "--patients", type=int, default=0, help="patients a round (default: --seconds of them)"
    )
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="time of a round of each tool (default: 1)"
    )
    parser.add_argument("--repeats", type=int, default=3, help="rounds (default: 3)")
    parser.add_argument("--no-peers", action="store_true", help="teorell alone")
    parser.set_defaults(run=run)


def main(argv: Sequence[str] | None = None) -> int:
    """`teorell bench` alone; argv: its arguments, None is those of the process.

    Returns 0; exits with code 2 where the arguments are wrong.
    """
    parser = argparse.ArgumentParser(prog="teorell bench")
    _declare(parser)
    options = parser.parse_args(argv)
    try:
        return run(options)
    except InputError as error:
        parser.error(str(error))


def run(options: argparse.Namespace) -> int:
    """Print patients per second and achieved error of teorell and of the peers found. Returns 0.

    Raises InputError for options that cannot be used, before anything is measured.
    """
    from teorell.benchmark.contenders import METHOD, PEERS, teorell
    from teorell.benchmark.problems import CHECKED, problem
    from teorell.engine import executors

    rtol, atol = options.rtol, options.rtol * 1e-3 if options.atol is None else options.atol
    kinds = options.problem or ["A", "B"]
    _check(options, kinds)
    for kind in kinds:
        solver_options(problem(kind).model, rtol=rtol, atol=atol, threads=options.threads)
    threads = executors.available_threads() if options.threads is None else options.threads
    wanted = [] if options.no_peers else list(PEERS)
    peers = [name for name in wanted if importlib.util.find_spec(PEERS[name][0])]
    missing = [name for name in wanted if name not in peers]

    print(wrapped(describe_machine()))
    print(
        wrapped(
            f"method {METHOD}, rtol {rtol:g}, atol {atol:g} mg; four oral doses in 48 h, 97 "
            f"samples of every state; median of {count(options.repeats, 'round')} (and how far "
            "from it the farthest is), tools taking turns; speed beside the first row's"
        )
    )
    print(
        wrapped(
            f"errors: the worst relative one over {CHECKED} patients and all samples, of the "
            "venous blood and of all states, against teorell's own run at rtol 1e-11 (not an "
            "independent reference; the project's tests compare that with SciPy's Radau)"
        )
    )
    if missing:
        print(wrapped(f"not installed, so not measured: {', '.join(missing)}"))
    for kind in kinds:
        case = problem(kind)
        first = teorell(case)
        others = [teorell(case, threads=threads)] if threads > 1 else []
        if executors.choose_executor()[0] != "interpreter":
            others.append(teorell(case, executor="interpreter"))
        others += [PEERS[name][1](case) for name in peers]
        print(
            f"\nproblem {case.kind}: {len(case.model.state_names)} states, "
            f"{len(case.model.parameter_names)} parameters",
            flush=True,
        )
        rows = _measured(case, [first, *others], rtol, atol, options)
        print(aligned([HEAD, *rows], left=(0, 2)), flush=True)
    return 0


def describe_machine() -> str:
    """Processor, instruction set in use, system, versions: one line."""
    from teorell.engine import executors

    return (
        f"{processor()}, {count(os.cpu_count() or 1, 'processor')}, {platform.system()}; "
        f"instruction set {executors.selected_isa(None)}; teorell {tl.__version__}, Python "
        f"{platform.python_version()}, NumPy {np.__version__}"
    )


def _check(options: argparse.Namespace, kinds: Sequence[str]) -> None:
    """InputError for numbers of the command line that are out of range; kinds: the problems."""
    for name, value, least in (
        ("--repeats", options.repeats, 1),
        ("--patients", options.patients, 0),
        ("--threads", 1 if options.threads is None else options.threads, 1),
    ):
        if not least <= value <= LARGEST:
            raise InputError(
                f"{name} is {value} ({least} is the least, {LARGEST:,} the most). Give a number "
                "between."
            )
    if not 0.0 < options.seconds <= LARGEST:
        raise InputError(
            f"--seconds is {options.seconds:g} (a round takes time). Give a number above 0, such "
            "as 1."
        )
    if len(set(kinds)) < len(kinds):
        raise InputError("a --problem is given twice (it is measured once). Leave one out.")


def _measured(
    case: Problem, field: list[Contender], rtol: float, atol: float, options: argparse.Namespace
) -> list[tuple[str, ...]]:
    """A row a contender, as `HEAD` names its cells: median patients per second, how far the
    farthest round is from it, errors, and the speed beside the first contender's.
    """
    from teorell.benchmark.contenders import reference
    from teorell.benchmark.problems import CHECKED, errors
    from teorell.benchmark.rates import race
    from teorell.engine import executors

    exact = reference(case)
    rates = race(
        {contender.name: contender.run for contender in field}, rtol, atol,
        repeats=options.repeats, seconds=options.seconds, patients=options.patients,
    )  # fmt: skip
    rows: list[tuple[str, ...]] = []
    for contender in field:
        mine = rates[contender.name]
        venous, everything = errors(contender.run(CHECKED, rtol, atol), exact, case)
        spread = max(abs(rate / mine.median - 1.0) for rate in mine.rounds)
        share = mine.over(rates[field[0].name])[0]
        rows.append(
            (
                # all have the instruction set that the first line of the output names
                contender.name.replace(f", {executors.selected_isa(None)}", ""),
                f"{mine.median:,.0f}",
                f"({100.0 * spread:.0f} %)",
                f"{venous:.1e}",
                f"{everything:.1e}",
                f"{share:.2f}" if share >= 0.1 else f"1/{1.0 / share:.0f}",
            )
        )
    return rows
