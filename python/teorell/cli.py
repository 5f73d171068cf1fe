"""The command line: `teorell simulate`, `teorell fit`, `teorell doctor`, `teorell bench`."""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from teorell.errors import InputError, ModelError, count, suggestion
from teorell.nca import NCA, nca
from teorell.pbpk import DRUGS, Drug, virtual_adults, whole_body
from teorell.plot import bands, plot
from teorell.regimen import Regimen
from teorell.simulate import simulate
from teorell.solution import SimulationError, Solution

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "Observed",
    "comparison",
    "geometric_mean",
    "grid",
    "inside",
    "main",
    "picture",
    "read_observed",
]

QUANTITIES = ("cmax", "tmax", "auc_inf", "half_life")
SAMPLES = 241
BAR = 40  # characters


@dataclass(frozen=True)
class Observed:
    """Measured concentrations, one a row."""

    patient: NDArray[np.str_]  # (rows,)
    time: NDArray[np.float64]  # (rows,) h
    value: NDArray[np.float64]  # (rows,) mg/L

    def curves(self) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """(times, values), h and mg/L, of each patient, in the order of the file."""
        rows = [self.patient == patient for patient in dict.fromkeys(self.patient.tolist())]
        return [(self.time[row], self.value[row]) for row in rows]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    The exit code: 0, 1 if patients failed, 2 if the request was wrong, 130 after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["bench"]:
        from teorell.benchmark import main as bench

        return bench(arguments[1:])
    try:
        if arguments[:1] == ["fit"]:
            from teorell.fitting.command import main as fit

            return fit(arguments[1:])
        options = _parser().parse_args(arguments)
        if options.command == "doctor":
            from teorell.doctor import report

            print(report())
            return 0
        return _simulate(options)
    except SimulationError as error:
        print(f"teorell: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nteorell: interrupted", file=sys.stderr)
        return 130
    except (InputError, ModelError, OSError) as error:
        print(f"teorell: error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    def drug(name: str) -> Drug:
        if name.lower() not in DRUGS:
            raise argparse.ArgumentTypeError(
                f"unknown drug {name!r} (it is not built in). {suggestion(name, DRUGS)}"
            )
        return DRUGS[name.lower()]

    parser = argparse.ArgumentParser(
        prog="teorell", description="Simulate virtual populations with PBPK models."
    )
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="simulate | fit | doctor | bench"
    )
    run = commands.add_parser("simulate", help="virtual adults taking a drug, whole-body model")
    run.add_argument(
        "drug", type=drug, nargs="?", default="theophylline", help=f"{' or '.join(DRUGS)}"
    )
    run.add_argument(
        "--route",
        choices=("oral", "iv"),
        default="oral",
        help="iv is a short infusion (default: oral)",
    )
    run.add_argument("--dose", type=float, help="mg (default: a usual dose of the drug)")
    run.add_argument(
        "--patients", type=int, default=1000, help="number of virtual adults (default: 1000)"
    )
    run.add_argument("--seed", type=int, default=1, help="of the virtual population (default: 1)")
    run.add_argument("--hours", type=float, default=24.0, help="simulated time (default: 24)")
    run.add_argument("--threads", type=int, help="default: all processors this process may use")
    run.add_argument(
        "--executor",
        choices=("machine_code", "interpreter"),
        help="default: the faster one that works",
    )
    run.add_argument(
        "--observed",
        type=Path,
        help="CSV with columns ID, TIME and DV (or CONC) to draw and compare",
    )
    run.add_argument(
        "--out", type=Path, default=Path("teorell-results"), help="folder for the files written"
    )
    commands.add_parser("fit", help="a model to the observations of a table", add_help=False)
    commands.add_parser("doctor", help="what this installation found, and what it will use")
    commands.add_parser("bench", help="patients per second on this machine", add_help=False)
    return parser


def _simulate(options: argparse.Namespace) -> int:
    drug: Drug = options.drug
    iv = options.route == "iv"
    dose = options.dose if options.dose is not None else drug.iv_dose if iv else drug.oral_dose
    for name, value in (
        ("--patients", options.patients),
        ("--hours", options.hours),
        ("--dose", dose),
    ):
        if not 0 < value < np.inf:
            raise InputError(f"{name} is {value:g} (nothing would happen). Give a number above 0.")
    if options.seed < 0:
        raise InputError(f"--seed is {options.seed} (seeds are not negative). Give 0 or more.")
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
        outputs=["cp"], threads=options.threads, executor=options.executor, progress=bar(),
    )  # fmt: skip
    seconds = time.perf_counter() - start
    print(
        f"{seconds:.2f} s, {options.patients / seconds:,.0f} patients/s with building the model\n"
    )

    results = solution.nca("cp")
    print(results.summary(quantities=QUANTITIES))
    if observed is not None:
        print(f"\n{comparison(solution, results, observed)}")
    options.out.mkdir(parents=True, exist_ok=True)
    written = [_write_patients(options.out / "patients.csv", solution, people, results)]
    written.append(_write_summary(options.out / "summary.csv", results))
    title = f"{drug.name}, {how}, {adults}"
    try:
        figure = picture(solution, title, observed)
    except ImportError:
        print(
            "\nno picture (matplotlib is not installed). Run pip install 'teorell[plot]'.",
            file=sys.stderr,
        )
    else:
        written.append(options.out / "concentration.png")
        figure.savefig(written[-1], dpi=150)
    print("\nwrote " + ", ".join(str(path) for path in written))
    solution.raise_for_status()
    return 0


def grid(hours: float, infusion: float = 0.0) -> NDArray[np.float64]:
    """Sample times, h, from 0 to `hours`, dense at the start, with the end of an infusion of
    `infusion` hours.
    """
    times = hours * np.linspace(0.0, 1.0, SAMPLES) ** 2
    return np.union1d(times, [infusion] if 0.0 < infusion < hours else [])


def bar() -> Callable[[int, int], None]:
    """A progress callback that draws a bar on stderr."""

    def draw(done: int, total: int) -> None:
        full = BAR * done // total
        end = "\n" if done >= total else ""
        print(
            f"\r[{'#' * full}{'.' * (BAR - full)}] {done:,}/{total:,}",
            end=end,
            file=sys.stderr,
            flush=True,
        )

    return draw


def picture(solution: Solution, title: str, observed: Observed | None = None) -> Figure:
    """Median and bands of the output cp (mg/L), linear and logarithmic.

    ImportError without matplotlib.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 4.2), layout="constrained")
    points = None if observed is None else (observed.time, observed.value)
    for axes, log in zip(figure.subplots(1, 2), (False, True), strict=True):
        plot(
            solution.times, solution["cp"], label="plasma concentration [mg/L]",
            time_label="time [h]", observed=points, log=log, ax=axes,
        )  # fmt: skip
        # the first minutes rise from nothing: they would stretch the axis over many decades
        if log:
            low, high = bands(solution["cp"], (5.0, 95.0))
            axes.set_ylim(max(low[-1] / 3, high.max() / 1e6), high.max() * 2)
    figure.suptitle(title)
    return figure


def read_observed(path: Path) -> Observed:
    """Observations of a NONMEM-like CSV: ID (optional), TIME in h, DV or CONC in mg/L. Doses and
    MDV are left out.

    Raises InputError for missing columns, text where a number should be, and a table without
    observations.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = [
            {(key or "").strip().upper(): value for key, value in row.items()}
            for row in csv.DictReader(file)
        ]
    columns = set(rows[0]) if rows else set()
    value = next((name for name in ("DV", "CONC", "CP") if name in columns), None)
    if value is None or "TIME" not in columns:
        found = ", ".join(sorted(columns)) or "no rows"
        raise InputError(
            f"{path}: no columns TIME and DV or CONC (found {found}). Rename the columns."
        )
    patient, at, seen = [], [], []
    for number, row in enumerate(rows, start=2):
        try:
            flags = [float(row.get(name) or 0.0) for name in ("EVID", "MDV")]
            if any(flags) or (row[value] or "").strip() in ("", "."):
                continue
            at.append(float(row["TIME"]))
            seen.append(float(row[value]))
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{path}, line {number}: {error} (a number is needed). Correct the line."
            ) from None
        patient.append((row.get("ID") or "").strip())
    if not seen:
        raise InputError(
            f"{path}: no observations (every row is a dose or has no value). Check EVID and MDV."
        )
    return Observed(np.array(patient), np.array(at), np.array(seen))


def comparison(solution: Solution, results: NCA, observed: Observed) -> str:
    """Observed against simulated: geometric means of Cmax and AUC, and the points within the 5-95 %
    band.
    """
    seen = []
    for when, value in observed.curves():
        order = np.argsort(when, kind="stable")
        seen.append(nca(when[order], value[order]))
    people = "1 person" if len(seen) == 1 else f"{len(seen)} people"
    lines = [f"observed: {people}, {count(observed.value.size, 'sample')}"]
    for name, unit in (("cmax", "mg/L"), ("auc_inf", "mg h/L")):
        there = geometric_mean(np.concatenate([each[name] for each in seen]))
        here = geometric_mean(results[name])
        ratio = f"ratio {here / there:.2f}"
        lines.append(
            f"{name}: observed {there:.3g}, simulated {here:.3g} {unit} (geometric means), {ratio}"
        )
    lines.append(f"within the 5-95 % band: {100 * inside(solution, observed):.0f} % of the points")
    return "\n".join(lines)


def inside(solution: Solution, observed: Observed) -> float:
    """The fraction of observed points within the 5-95 % band, of those after the dose and within
    the simulated time.
    """
    used = (observed.time > 0.0) & (observed.time <= solution.times[-1])
    low, high = bands(solution["cp"], (5.0, 95.0))
    at, value = observed.time[used], observed.value[used]
    within = (value >= np.interp(at, solution.times, low)) & (
        value <= np.interp(at, solution.times, high)
    )
    return float(within.mean()) if within.size else float("nan")


def geometric_mean(values: NDArray[np.float64]) -> float:
    """The geometric mean of those `values` that are finite and positive; NaN if none is."""
    used = values[np.isfinite(values) & (values > 0.0)]
    return float(np.exp(np.log(used).mean())) if used.size else float("nan")


def _write_patients(
    path: Path, solution: Solution, people: dict[str, NDArray[np.float64]], results: NCA
) -> Path:
    """A row a patient: body weight, the drug's parameters, status and the results."""
    shown = ("body_weight", "cardiac_index", "fu", "clint", "ka")
    columns: dict[str, NDArray[Any]] = {name: people[name] for name in shown}
    columns |= {"status": solution.status, "steps": solution.steps}
    columns |= results.columns()
    return _write(
        path,
        ["patient", *columns],
        zip(range(len(solution.status)), *columns.values(), strict=True),
    )


def _write_summary(path: Path, results: NCA) -> Path:
    summary = results.summary(quantities=QUANTITIES)
    head = ["quantity", "unit", "patients", *(f"p{p:g}" for p in summary.percentiles)]
    rows = zip(summary.quantities, summary.units, summary.counts, *summary.values.T, strict=True)
    return _write(path, head, rows)


def _write(path: Path, head: Sequence[str], rows: object) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(rows)  # type: ignore[arg-type]
    return path


if __name__ == "__main__":
    raise SystemExit(main())
