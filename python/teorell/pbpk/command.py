"""`teorell simulate`: virtual adults taking a drug."""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.errors import InputError
from teorell.pbpk import DRUGS, virtual_adults, whole_body
from teorell.pbpk.observed import Observed, comparison, geometric_mean, inside, read_observed
from teorell.pbpk.report import picture, write_patients, write_summary
from teorell.progress import on_terminal
from teorell.results.nca import NCA, NCAWarning
from teorell.results.solution import Solution
from teorell.schedule.regimen import Regimen
from teorell.simulate import simulate
from teorell.tables import check_folder, wrapped

__all__ = [
    "Observed",
    "add_parser",
    "comparison",
    "geometric_mean",
    "grid",
    "inside",
    "picture",
    "read_observed",
    "run",
]

QUANTITIES = ("cmax", "tmax", "auc_inf", "half_life")
SAMPLES = 241
LARGEST = 1_000_000_000  # what a number on the command line may be at most


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Declare `teorell simulate` among the commands."""
    parser = commands.add_parser(
        "simulate",
        help="virtual adults taking a drug, whole-body model",
        description="Simulate virtual adults taking a drug, by a whole-body PBPK model.",
    )
    parser.add_argument(
        "drug", type=str.lower, nargs="?", default="theophylline", choices=tuple(DRUGS),
        metavar="DRUG", help=f"one of {', '.join(DRUGS)} (default: theophylline)",
    )  # fmt: skip
    parser.add_argument(
        "--route", choices=("oral", "iv"), default="oral",
        help="iv is a short infusion (default: oral)",
    )  # fmt: skip
    parser.add_argument("--dose", type=float, help="mg (default: a usual dose of the drug)")
    parser.add_argument(
        "--patients", type=int, default=1000, help="number of virtual adults (default: 1000)"
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="of the virtual population (default: 1)"
    )
    parser.add_argument("--hours", type=float, default=48.0, help="simulated time (default: 48)")
    parser.add_argument("--threads", type=int, help="default: all processors this process may use")
    parser.add_argument(
        "--executor", choices=("machine_code", "interpreter"),
        help="default: the faster one that works",
    )  # fmt: skip
    parser.add_argument(
        "--observed", type=Path, help="CSV with columns ID, TIME and DV (or CONC) to compare with"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("teorell-results"),
        help="folder for the files written (default: teorell-results)",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Simulate, print the summary, write the files. Returns 0.

    Raises InputError for a request that cannot be served, before any work, and SimulationError for
    patients that failed, after the files are written.
    """
    drug, iv = DRUGS[options.drug], options.route == "iv"
    usual = drug.iv_dose if iv else drug.oral_dose
    dose = options.dose if options.dose is not None else usual
    if dose is None:
        raise InputError(
            f"no usual dose of {drug.name} is known (the library tells none). Give --dose in mg."
        )
    _check(options, dose)
    observed = read_observed(options.observed) if options.observed else None
    if iv:
        regimen = Regimen.infusion(dose, into="venous", duration=drug.iv_duration)
    else:
        regimen = Regimen.bolus(dose, into="stomach_lumen")

    how = f"{dose:g} mg over {drug.iv_duration * 60:g} min" if iv else f"{dose:g} mg by mouth"
    adults = f"{options.patients:,} virtual adult{'' if options.patients == 1 else 's'}"
    print(f"{adults}, {drug.name}, {how}, {options.hours:g} h")
    people = virtual_adults(options.patients, options.seed, drug)
    start = time.perf_counter()
    solution = simulate(
        whole_body(drug), people, regimen, grid(options.hours, drug.iv_duration if iv else 0.0),
        outputs=["cp"], threads=options.threads, executor=options.executor, progress=on_terminal(),
    )  # fmt: skip
    seconds = time.perf_counter() - start
    print(
        f"{seconds:.2f} s, {options.patients / seconds:,.0f} patients/s with building the model\n"
    )

    results = _analysed(solution)
    summary = results.summary(quantities=QUANTITIES)
    print(summary)
    if observed is not None:
        print(f"\n{comparison(solution, results, observed)}")
    options.out.mkdir(parents=True, exist_ok=True)
    written = [
        write_patients(options.out / "patients.csv", solution, people, results),
        write_summary(options.out / "summary.csv", summary),
    ]
    try:
        figure = picture(solution, f"{drug.name}, {how}, {adults}", observed)
    except ImportError:
        print(
            "teorell: no picture (matplotlib is not installed). Run pip install 'teorell[plot]'.",
            file=sys.stderr,
        )
    else:
        written.append(options.out / "concentration.png")
        figure.savefig(written[-1], dpi=150)
    print("\n" + wrapped("wrote " + ", ".join(str(path) for path in written)))
    solution.raise_for_status()
    return 0


def _analysed(solution: Solution) -> NCA:
    """The non-compartmental analysis of cp; what the samples cannot tell is said on stderr."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", NCAWarning)
        results = solution.nca("cp")
    for warning in caught:
        print(f"teorell: {warning.message}", file=sys.stderr)
    return results


def grid(hours: float, infusion: float = 0.0) -> NDArray[np.float64]:
    """Sample times, h, from 0 to `hours`, dense at the start, with the end of an infusion of
    `infusion` hours.
    """
    times = hours * np.linspace(0.0, 1.0, SAMPLES) ** 3
    return np.union1d(times, [infusion] if 0.0 < infusion < hours else [])


def _check(options: argparse.Namespace, dose: float) -> None:
    """InputError for numbers of the command line that are out of range; dose: mg."""
    for name, value in (
        ("--patients", options.patients),
        ("--hours", options.hours),
        ("--dose", dose),
    ):
        if not value > 0:
            raise InputError(f"{name} is {value:g} (nothing would happen). Give a number above 0.")
        if value > LARGEST:
            raise InputError(
                f"{name} is {value:.6g} (that is too large). Give {LARGEST:,} at most."
            )
    if options.seed < 0:
        raise InputError(f"--seed is {options.seed} (seeds are not negative). Give 0 or more.")
    if options.threads is not None and not 1 <= options.threads <= LARGEST:
        raise InputError(
            f"--threads is {options.threads} (one thread is the least). Give 1 to {LARGEST:,}."
        )
    needed, there = 8 * SAMPLES * options.patients, _memory()
    if needed > there:
        raise InputError(
            f"--patients is {options.patients:,} (their curves take {needed / 1e9:,.0f} GB, the "
            f"machine has {there / 1e9:,.0f}). Ask for fewer, or use teorell.simulate_to."
        )
    check_folder(options.out, "--out")


def _memory() -> float:
    """The bytes of memory of this machine; infinite where the system does not say."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return float("inf")
