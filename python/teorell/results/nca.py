"""Non-compartmental analysis: what a concentration curve says without a model.

Definitions and numbers are in nca_curves.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from teorell.arrays import Array, is_tensor, real_numbers
from teorell.engine.batch import Infusions
from teorell.errors import InputError
from teorell.patients import Patients
from teorell.results.frames import pandas
from teorell.results.nca_checks import NCAWarning, missed_ends, warn
from teorell.results.nca_curves import analysed

__all__ = ["NCA", "NCAWarning", "Summary", "analyse", "nca"]

CHUNK = 2048  # patients worked on at once: their columns stay in cache


@dataclass(frozen=True)
class NCA:
    """The results for every patient, (patients,) each; NaN where a quantity is not defined.

    Concentrations and times are in the units of the curves: areas in concentration times time,
    `lambda_z` in 1/time.
    """

    cmax: Array  # the largest concentration
    tmax: Array  # the first time of it
    auc_last: Array  # area from the first sample to the last positive concentration
    auc_inf: Array  # auc_last + last positive concentration / lambda_z
    half_life: Array  # ln 2 / lambda_z
    lambda_z: Array  # minus the terminal slope of the logarithm, > 0
    extrapolated: Array  # the fraction of auc_inf behind the last positive concentration
    r2_adjusted: Array  # of the terminal regression
    points: Array  # the number of points of the terminal regression
    units: dict[str, str] = field(default_factory=dict, kw_only=True)  # quantity -> unit, if known
    # are samples too far apart for cmax or auc_last?
    coarse: NDArray[np.bool_] = field(
        default_factory=lambda: np.zeros(0, np.bool_), kw_only=True, repr=False
    )

    people: Patients | None = field(default=None, kw_only=True, repr=False)  # who the patients are

    def __getitem__(self, name: str) -> Array:
        """The results called `name`, shape (patients,); InputError if there is none."""
        if name not in self.columns():
            raise InputError(
                f"unknown quantity {name!r} (it is no result). Choose from "
                f"{', '.join(self.columns())}."
            )
        result: Array = getattr(self, name)
        return result

    def columns(self) -> dict[str, Array]:
        """Quantity -> results of shape (patients,): what a DataFrame is made of."""
        return {f.name: getattr(self, f.name) for f in fields(self) if not f.kw_only}

    def to_dataframe(self) -> Any:
        """A pandas DataFrame, one row a patient, one column a quantity; where it is known who the
        patients are, id before and covariates after them. Units are in `frame.attrs["units"]`.

        ImportError without pandas, InputError if two columns would have one name.
        """
        labels = {} if self.people is None else self.people.columns()
        if self.people is not None:
            self.people.check_names(dict.fromkeys(self.columns(), "a result"))
        first = {"id": labels.pop("id")} if labels else {}
        frame = pandas().DataFrame({**first, **self.columns(), **labels}).rename_axis("patient")
        units = {**self.units, **({} if self.people is None else self.people.units)}
        frame.attrs["units"] = {name: unit for name, unit in units.items() if unit}
        return frame

    def summary(
        self,
        percentiles: Sequence[float] = (5, 25, 50, 75, 95),
        quantities: Sequence[str] = ("cmax", "tmax", "auc_last", "auc_inf", "half_life"),
    ) -> Summary:
        """Percentiles (0 to 100) of quantities over the patients for whom each is defined.

        The table says how many these are. quantities: names of results, as in `columns()`.
        InputError for an unknown name or a percentile outside 0 to 100.
        """
        if not all(0 <= p <= 100 for p in percentiles):
            raise InputError(
                f"percentiles are {list(percentiles)} (each must lie in 0 to 100). Correct them."
            )
        values = np.full((len(quantities), len(percentiles)), np.nan)
        counts = np.zeros(len(quantities), np.int64)
        for row, name in enumerate(quantities):
            defined = self[name][np.isfinite(self[name])]
            counts[row] = defined.size
            if defined.size:
                values[row] = np.percentile(defined, percentiles)
        units = tuple(self.units.get(name, "") for name in quantities)
        return Summary(tuple(quantities), units, tuple(percentiles), counts, values)


@dataclass(frozen=True)
class Summary:
    """Percentiles of each quantity over a population; print it for a table."""

    quantities: tuple[str, ...]
    units: tuple[str, ...]
    percentiles: tuple[float, ...]
    counts: NDArray[np.int64]  # (quantities,) patients for whom the quantity is defined
    values: Array  # (quantities, percentiles)

    def __str__(self) -> str:
        head = ["", "patients", *(f"{p:g} %" for p in self.percentiles)]
        rows = [
            [
                f"{name} [{unit}]" if unit else name,
                str(count),
                *("-" if np.isnan(v) else f"{v:.4g}" for v in row),
            ]
            for name, unit, count, row in zip(
                self.quantities, self.units, self.counts, self.values, strict=True
            )
        ]
        widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
        lines = []
        for name, *numbers in [head, *rows]:
            cells = [text.rjust(width) for text, width in zip(numbers, widths[1:], strict=True)]
            lines.append("  ".join([name.ljust(widths[0]), *cells]).rstrip())
        return "\n".join(lines)

    def to_dataframe(self) -> Any:
        """A pandas DataFrame, one row a quantity. ImportError without pandas."""
        columns = {"unit": self.units, "patients": self.counts}
        columns |= {f"{p:g} %": self.values[:, column] for column, p in enumerate(self.percentiles)}
        return pandas().DataFrame(columns, index=list(self.quantities))


def nca(times: ArrayLike, values: ArrayLike, units: dict[str, str] | None = None) -> NCA:
    """Analyse concentration curves, each by itself.

    times: (times,), ascending. values: (patients, times), or (times,) for one curve. units:
    quantity -> unit, for the tables. The whole curve is analysed, from the first sample on, as
    after one dose: nothing is extrapolated back to time 0, and with several doses `auc_inf` is that
    of all. A curve with a NaN (a patient whose simulation failed) or an infinite value has NaN
    results. A concentration of zero or less is below quantification: it enters areas as it is, but
    the curve ends at the last positive one. A single sample has no area: NaN. An NCAWarning says
    for how many curves the samples are too far apart, or end too early (see results/nca_checks.py).
    Raises InputError if shapes disagree, if times are not finite and ascending, and for what is no
    number: texts, dates, booleans, masked values.
    """
    found = analyse(_plain(times), _plain(values), units)
    warn(found.coarse, found.extrapolated, None, stacklevel=2)
    return found


def _plain(given: Any) -> Any:
    """The array of a tensor on the CPU, if it has no derivative that would be lost."""
    plain = is_tensor(given) and not given.requires_grad and given.device.type == "cpu"
    return given.numpy() if plain else given


def analyse(
    times: ArrayLike,
    values: ArrayLike,
    units: dict[str, str] | None = None,
    infusions: Infusions | None = None,
) -> NCA:
    """The same as `nca`, without its warning: whoever calls it says what `coarse` means.

    infusions: when they ran, where that is known.
    """
    t = real_numbers(times, "the array of times")
    curves = np.atleast_2d(real_numbers(values, "the array of concentrations"))
    if t.ndim != 1 or t.size == 0 or curves.ndim != 2 or curves.shape[1] != t.size:
        raise InputError(
            f"times have shape {t.shape}, values {curves.shape} (a row of values needs a time for "
            "each). Give times of shape (times,) and values of shape (patients, times)."
        )
    if not np.isfinite(t).all() or (np.diff(t) < 0.0).any():
        raise InputError(
            "times are not finite and ascending (areas would be meaningless). Sort the samples by "
            "time."
        )
    results = np.full((sum(not f.kw_only for f in fields(NCA)), len(curves)), np.nan)
    far_apart = np.zeros(len(curves), np.bool_)
    with np.errstate(all="ignore"):
        for start in range(0, len(curves), CHUNK):
            part = slice(start, start + CHUNK)
            columns, far_apart[part] = analysed(t, np.ascontiguousarray(curves[part].T))
            for row, result in enumerate(columns):
                results[row, part] = result
        if infusions is not None:
            names = [f.name for f in fields(NCA)]
            cmax, auc = (results[names.index(name)] for name in ("cmax", "auc_last"))
            far_apart |= missed_ends(t, curves, infusions, cmax, auc)
    return NCA(*results, units=dict(units or {}), coarse=far_apart)
