"""What `teorell simulate` writes: patients and summary as CSV, the concentrations as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from teorell.pbpk.observed import Observed
from teorell.results.nca import NCA, Summary
from teorell.results.plot import bands, plot
from teorell.results.solution import Solution
from teorell.tables import write_csv

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["picture", "write_patients", "write_summary"]

SHOWN = ("body_weight", "cardiac_index", "fu", "clint", "ka")  # parameters in patients.csv


def write_patients(
    path: Path, solution: Solution, people: dict[str, NDArray[np.float64]], results: NCA
) -> Path:
    """A row a patient: body weight, the drug's parameters, status, steps and the results.

    people: name -> (patients,). Returns `path`.
    """
    columns: dict[str, NDArray[Any]] = {name: people[name] for name in SHOWN}
    columns |= {"status": solution.status, "steps": solution.steps}
    columns |= results.columns()
    rows = zip(range(len(solution.status)), *columns.values(), strict=True)
    return write_csv(path, ["patient", *columns], rows)


def write_summary(path: Path, summary: Summary) -> Path:
    """A row a quantity: unit, patients for whom it is defined, percentiles. Returns `path`."""
    head = ["quantity", "unit", "patients", *(f"p{p:g}" for p in summary.percentiles)]
    rows = zip(summary.quantities, summary.units, summary.counts, *summary.values.T, strict=True)
    return write_csv(path, head, rows)


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
            reached = high[np.isfinite(high)]
            if reached.size and reached.max() > 0.0:
                end = low[np.isfinite(low)][-1]
                axes.set_ylim(max(end / 3, reached.max() / 1e6), reached.max() * 2)
    figure.suptitle(title)
    return figure
