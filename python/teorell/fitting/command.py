"""`teorell fit MODEL.py TABLE.csv --estimate ka=1 cl=3 v=30`: the command line of fits."""

from __future__ import annotations

import argparse
import runpy
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from teorell.errors import InputError
from teorell.event_table import EventTable
from teorell.fitting.estimate import fit
from teorell.fitting.residual_error import Additive, Combined, Error, Proportional
from teorell.fitting.result import Fit
from teorell.model import Model

__all__ = ["main"]

ERRORS: dict[str, type[Error]] = {
    "additive": Additive,
    "proportional": Proportional,
    "combined": Combined,
}


def main(arguments: Sequence[str]) -> int:
    """Fit, print the summary, write the files.

    The exit code: 0, or 1 if a problem did not converge.
    """
    options = _parser().parse_args(arguments)
    model = _model(options.model)
    events = EventTable(options.table, model)
    found = fit(
        model, events, _pairs(options.estimate, "--estimate"), options.output,
        error=ERRORS[options.error](), pooled=options.pooled, fixed=_pairs(options.fixed,
        "--fixed"), starts=options.starts, seed=options.seed, progress=options.progress or None,
    )  # fmt: skip
    print(f"{events}, {options.error} error, {options.starts} starts")
    print(found.summary())
    for path in _write(found, options.out):
        print(f"written: {path}")
    return 0 if found.converged.all() else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="teorell fit", description="Fit a model to the observations of a table."
    )
    parser.add_argument(
        "model", type=Path, help="a Python file that makes a teorell.Model called `model`"
    )
    parser.add_argument(
        "table", type=Path, help="CSV as NONMEM has it: ID, TIME, AMT, EVID, DV, ..."
    )
    parser.add_argument(
        "--estimate", nargs="+", required=True, metavar="NAME=START", help="parameters to estimate"
    )
    parser.add_argument(
        "--fixed", nargs="+", default=[], metavar="NAME=VALUE", help="other parameters"
    )
    parser.add_argument("--output", help="what was measured (default: the only output)")
    parser.add_argument(
        "--error", choices=tuple(ERRORS), default="additive", help="how observations scatter"
    )
    parser.add_argument(
        "--pooled", action="store_true", help="one set of parameters for all subjects"
    )
    parser.add_argument("--starts", type=int, default=5, help="points to start from (default: 5)")
    parser.add_argument("--seed", type=int, default=0, help="of the starts (default: 0)")
    parser.add_argument("--progress", action="store_true", help="draw a bar")
    parser.add_argument(
        "--out", type=Path, default=Path("teorell-fit"), help="folder for the files written"
    )
    return parser


def _model(path: Path) -> Model:
    if not path.exists():
        raise InputError(
            f"there is no file {path} (a model is needed). Give a Python file that makes `model`."
        )
    model = runpy.run_path(str(path)).get("model")
    if not isinstance(model, Model):
        raise InputError(
            f"{path} makes no teorell.Model called `model` (what is to be fitted?). Let it make "
            "one."
        )
    return model


def _pairs(given: Sequence[str], what: str) -> dict[str, float]:
    found = {}
    for each in given:
        name, _, value = each.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise InputError(
                f"{what} has {each!r} (a name and a number are needed). Write it as cl=3.0."
            ) from None
    return found


def _write(found: Fit, folder: Path) -> list[Path]:
    import pandas as pd

    folder.mkdir(parents=True, exist_ok=True)
    estimates, residuals, picture = (
        folder / name for name in ("estimates.csv", "residuals.csv", "fit.png")
    )
    found.to_dataframe().to_csv(estimates, index=False)
    rows = {
        "id": np.asarray(found.ids)[found.subject], "time": found.time, "observed": found.observed,
        "below": found.below, "predicted": found.predicted, "residual": found.residuals,
    }  # fmt: skip
    pd.DataFrame(rows).to_csv(residuals, index=False)
    written = [estimates, residuals]
    try:
        found.plot().savefig(picture, dpi=120)
        written.append(picture)
    except ImportError:  # no matplotlib, no picture
        pass
    return written
