"""`teorell fit MODEL TABLE --estimate ka=1 cl=3 v=30`: the command line of fits."""

from __future__ import annotations

import argparse
import runpy
import sys
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from teorell.cells import number_of
from teorell.errors import InputError, InputWarning, ModelError, count
from teorell.fitting.estimate import fit
from teorell.fitting.residual_error import Additive, Combined, Error, Proportional
from teorell.fitting.result import Fit
from teorell.model import Model
from teorell.progress import on_terminal
from teorell.schedule.event_table import EventTable
from teorell.tables import check_csv, check_folder, check_text, defused, wrapped

__all__ = ["add_parser", "run"]

ERRORS: dict[str, type[Error]] = {
    "additive": Additive,
    "proportional": Proportional,
    "combined": Combined,
}
MOST_STARTS = 1_000_000
TABLES = (".csv", ".tsv", ".txt", ".dat", ".xls", ".xlsx", ".parquet")  # endings that no model has
PACKED = (".gz", ".bz2", ".zip", ".xz", ".zst")  # endings of tables that pandas unpacks


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Declare `teorell fit` among the commands."""
    parser = commands.add_parser(
        "fit",
        help="a model to the observations of a table",
        description="Fit a model to the observations of a table.",
    )
    parser.add_argument(
        "model", type=Path, metavar="MODEL",
        help="a Python file that makes a teorell.Model called `model`",
    )  # fmt: skip
    parser.add_argument(
        "table", type=Path, metavar="TABLE",
        help="CSV as NONMEM has it: ID, TIME, AMT, EVID, DV, ...",
    )  # fmt: skip
    parser.add_argument(
        "--estimate", nargs="+", action="extend", required=True, metavar="NAME=START",
        help="parameters to estimate",
    )  # fmt: skip
    parser.add_argument(
        "--fixed", nargs="+", action="extend", default=[], metavar="NAME=VALUE",
        help="other parameters",
    )  # fmt: skip
    parser.add_argument(
        "--bounds", nargs="+", action="extend", default=[], metavar="NAME=LOW:HIGH",
        help="bounds of estimates; cl=0: has no upper one, e=:1 no lower one",
    )  # fmt: skip
    parser.add_argument(
        "--output", nargs="+", action="extend", default=[], metavar="OUTPUT",
        help="what was measured (default: the only output); of several DVID=OUTPUT or CMT=OUTPUT "
        "each, DVID= for rows to leave out",
    )  # fmt: skip
    parser.add_argument(
        "--error", choices=tuple(ERRORS), default="additive",
        help="how observations scatter (default: additive)",
    )  # fmt: skip
    parser.add_argument(
        "--pooled", action="store_true", help="one set of parameters for all subjects"
    )
    parser.add_argument(
        "--truncated", action="store_true",
        help="condition observations on lying above LLOQ (M2)",
    )  # fmt: skip
    parser.add_argument("--starts", type=int, default=5, help="points to start from (default: 5)")
    parser.add_argument("--seed", type=int, default=0, help="of the starts (default: 0)")
    parser.add_argument("--progress", action="store_true", help="draw a bar")
    parser.add_argument(
        "--out", type=Path, default=Path("teorell-fit"),
        help="folder for the files written (default: teorell-fit)",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Fit, print the summary, write the files. Returns 0, or 1 if a problem did not converge.

    Raises InputError for what cannot be used, and ImportError without pandas.
    """
    estimate, fixed = _pairs(options.estimate, "--estimate"), _pairs(options.fixed, "--fixed")
    both = [name for name in estimate if name in fixed]
    if both:
        raise InputError(
            f"{both[0]} is in --estimate and in --fixed (which is meant?). Leave it out of one."
        )
    if not 1 <= options.starts <= MOST_STARTS:
        raise InputError(
            f"--starts is {options.starts} (1 to {MOST_STARTS:,} are possible). Give one of these."
        )
    if options.seed < 0:
        raise InputError(f"--seed is {options.seed} (seeds are not negative). Give 0 or more.")
    output, bounds = _output(options.output), _bounds(options.bounds)
    check_folder(options.out, "--out")
    _check_files(options.model, options.table)
    import pandas  # noqa: F401 - the table, the summary and the files need it: said before any work

    model = _model(options.model)
    events = _table(options.table, model)
    found = fit(
        model, events, estimate, output, error=ERRORS[options.error](), pooled=options.pooled,
        fixed=fixed, bounds=bounds, truncated=options.truncated, starts=options.starts,
        seed=options.seed, progress=options.progress and on_terminal(),
    )  # fmt: skip
    print(f"{events}\n{options.error} error, {count(options.starts, 'start')}")
    if events.ignored:
        print(wrapped(f"columns without a use: {', '.join(events.ignored)}"))
    print(found.summary())
    for path in _write(found, options.out):
        print(f"written: {path}")
    return 0 if found.converged.all() else 1


def _output(given: Sequence[str]) -> str | dict[str, str | None] | None:
    """The argument `output` of teorell.fit. InputError for words that are neither of its forms."""
    if not given:
        return None
    if len(given) == 1 and "=" not in given[0]:
        return given[0]
    found: dict[str, str | None] = {}
    for each in given:
        key, parted, name = each.partition("=")
        if not parted or not key.strip():
            raise InputError(
                f"--output has {each!r} (which rows are of it?). Write it as 1=cp, by DVID or CMT."
            )
        if key.strip() in found:
            raise InputError(f"--output has {key.strip()} twice (which is meant?). Leave one out.")
        found[key.strip()] = name.strip() or None
    return found


def _check_files(model: Path, table: Path) -> None:
    """InputError unless the one can be a Python file, and the other a table."""
    kinds = model.suffix.lower(), table.suffix.lower()
    if kinds[0] in TABLES and kinds[1] == ".py":
        raise InputError(
            f"MODEL is {model} and TABLE is {table} (they have changed places). Write teorell fit "
            f"{table} {model}."
        )
    if kinds[0] in TABLES:
        raise InputError(
            f"MODEL is {model}, a table (a Python file is needed). Give one that makes `model`."
        )
    if kinds[1] == ".py":
        raise InputError(f"TABLE is {table}, a Python file (a table is needed). Give a CSV file.")
    check_text(model, "a Python file", "Give a Python file that makes `model`.")
    if kinds[1] not in PACKED:
        check_csv(table)


def _model(path: Path) -> Model:
    """The teorell.Model called `model` that a Python file makes. InputError where it makes none."""
    try:
        model = runpy.run_path(str(path)).get("model")
    except SyntaxError as error:
        place = f"line {error.lineno} of {error.filename}"
        raise InputError(
            f"{path} is not Python ({place}: {error.msg}). Correct the file."
        ) from None
    except (InputError, ModelError) as error:
        raise InputError(f"{path}, line {_line(error, path)}: {error}") from None
    except SystemExit as error:
        raise InputError(
            f"{path} ended the program in line {_line(error, path)} (SystemExit). Let it make "
            "`model` and go on."
        ) from None
    except MemoryError:
        raise
    except Exception as error:
        told = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(
            f"{path} stopped in line {_line(error, path)} ({told}). Correct the file."
        ) from None
    if not isinstance(model, Model):
        raise InputError(
            f"{path} makes no teorell.Model called `model` (what is to be fitted?). Let it make "
            "one."
        )
    return model


def _line(error: BaseException, path: Path) -> int:
    """The line of the file at `path` in which an exception arose, the innermost call of it."""
    lines = [
        frame.lineno or 0
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(path)
    ]
    return lines[-1] if lines else 1


def _table(path: Path, model: Model) -> EventTable:
    """The events of a table for a model. InputError, with the path, for a table that is none."""
    try:
        with warnings.catch_warnings():
            # `ignored` says it in the summary
            warnings.filterwarnings("ignore", "columns .* are not used", InputWarning)
            return EventTable(path, model)
    except InputError as error:
        told = str(error)
        raise InputError(told if told.startswith(str(path)) else f"{path}: {told}") from None


def _pairs(given: Sequence[str], option: str) -> dict[str, float]:
    """name -> number of words NAME=NUMBER. InputError for others, and for a name given twice."""
    found: dict[str, float] = {}
    for each in given:
        name, _, value = each.partition("=")
        name = name.strip()
        number = number_of(value)
        if not name or number is None or not np.isfinite(number):
            raise InputError(
                f"{option} has {each!r} (a name and a number are needed). Write it as cl=3.0."
            )
        if name in found:
            raise InputError(f"{option} has {name} twice (which is meant?). Leave one out.")
        found[name] = number
    return found


def _bounds(given: Sequence[str]) -> dict[str, tuple[float, float]]:
    """name -> bounds of words NAME=LOW:HIGH, infinite where an end is left out.

    InputError for others, and for a name given twice.
    """
    found: dict[str, tuple[float, float]] = {}
    for each in given:
        name, _, ends = each.partition("=")
        name, low, parted, high = (part.strip() for part in (name, *ends.partition(":")))
        least, most = number_of(low or -np.inf), number_of(high or np.inf)
        pair = np.nan if least is None else least, np.nan if most is None else most
        if not (name and parted and (low or high)) or np.isnan(pair).any():
            raise InputError(
                f"--bounds has {each!r} (a name and two numbers are needed). Write it as "
                "cl=0.1:20, or cl=0.1: without an upper bound."
            )
        if name in found:
            raise InputError(f"--bounds has {name} twice (which is meant?). Leave one out.")
        found[name] = pair
    return found


def _write(found: Fit, folder: Path) -> list[Path]:
    """Write estimates, residuals and, with matplotlib, the picture; returns the paths."""
    import pandas as pd

    folder.mkdir(parents=True, exist_ok=True)
    estimates, residuals, picture = (
        folder / name for name in ("estimates.csv", "residuals.csv", "fit.png")
    )
    _defused(found.to_dataframe()).to_csv(estimates, index=False)
    rows = {
        "id": np.asarray(found.ids)[found.subject], "time": found.time, "output": found.output,
        "observed": found.observed, "below": found.below, "censored": found.censored,
        "predicted": found.predicted, "residual": found.residuals,
    }  # fmt: skip
    _defused(pd.DataFrame(rows)).to_csv(residuals, index=False)
    written = [estimates, residuals]
    try:
        found.plot().savefig(picture, dpi=120)
    except ImportError as error:
        print(f"teorell: {error}", file=sys.stderr)
        return written
    return [*written, picture]


def _defused(frame: Any) -> Any:
    """A DataFrame whose text and column names no spreadsheet runs."""
    text = frame.select_dtypes(exclude=["number", "bool"])
    cells = {name: text[name].map(defused) for name in text}
    return frame.assign(**cells).rename(columns=defused)
