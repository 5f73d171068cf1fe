"""Non-compartmental analysis: what a concentration curve says without a model.

Definitions follow Gabrielsson and Weiner, Pharmacokinetic and Pharmacodynamic Data Analysis, 5th
ed. (2016), ch. 2.8 (also Gabrielsson and Weiner, Methods Mol. Biol. 929 (2012) 377-389): the area
by the linear trapezoid while the curve rises or is level and by the logarithmic one while it falls
('linear-up log-down'), the terminal slope by log-linear regression on the last points, as many (3
or more, all after the maximum) as give the best adjusted R2; if several are within 1e-4 of the
best, the most points.
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
from teorell.results.nca_checks import NCAWarning, coarse, missed_ends, warn

__all__ = ["NCA", "NCAWarning", "Summary", "analyse", "nca"]

CHUNK = 2048  # patients worked on at once: their columns stay in cache
TIE = 1e-4  # adjusted R2 closer than this to the best one counts as equal


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
        frame = _pandas().DataFrame({**first, **self.columns(), **labels}).rename_axis("patient")
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
        return _pandas().DataFrame(columns, index=list(self.quantities))


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
            columns, far_apart[part] = _analyse(t, np.ascontiguousarray(curves[part].T))
            for row, result in enumerate(columns):
                results[row, part] = result
        if infusions is not None:
            names = [f.name for f in fields(NCA)]
            cmax, auc = (results[names.index(name)] for name in ("cmax", "auc_last"))
            far_apart |= missed_ends(t, curves, infusions, cmax, auc)
    return NCA(*results, units=dict(units or {}), coarse=far_apart)


def _analyse(t: Array, c: Array) -> tuple[tuple[Array, ...], NDArray[np.bool_]]:
    """The columns of `NCA` for curves c of shape (times, patients), and which are `coarse`."""
    positive = c > 0.0
    top = np.argmax(c, axis=0)
    cmax = np.max(c, axis=0)
    broken = ~np.isfinite(c).all(axis=0)
    last = len(t) - 1 - np.argmax(positive[::-1], axis=0)  # meaningless where nothing is positive
    nothing = ~positive.any(axis=0)
    c_last = np.take_along_axis(c, last[None], axis=0)[0]
    auc = _area(t, c, last)
    lambda_z, r2, points = _terminal(t, c, positive, top, last)
    tail = c_last / lambda_z
    tmax, auc_inf = t[top], auc + tail
    half_life, extrapolated = np.log(2.0) / lambda_z, tail / auc_inf
    far_apart = coarse(t, c, top, auc, _area_of_half(t, c, last)) & ~broken
    results = (cmax, tmax, auc, auc_inf, half_life, lambda_z, extrapolated, r2, points)
    for result in results:
        result[broken] = np.nan
    tmax[nothing] = np.nan
    auc[nothing & ~broken] = 0.0
    auc[np.where(nothing, t[-1], t[last]) <= t[0]] = np.nan  # one sample has no area
    return results, far_apart


def _area_of_half(t: Array, c: Array, last: NDArray[np.intp]) -> Array:
    """(patients,) the area of every second sample, the first and the last positive one too."""
    place = np.arange(len(t))
    kept = (place[:, None] % 2 == 0) | (place[:, None] == last)
    area, at, value = np.zeros(c.shape[1]), np.full(c.shape[1], t[0]), np.array(c[0])
    for k in range(1, len(t)):
        used = kept[k] & (k <= last)
        area += np.where(used, (t[k] - at) * _mean(value, c[k]), 0.0)
        at, value = np.where(used, t[k], at), np.where(used, c[k], value)
    return area


def _area(t: Array, c: Array, last: NDArray[np.intp]) -> Array:
    """(patients,) the area under c (times, patients) up to sample `last` (patients,).

    Linear up, log down.
    """
    area = np.zeros(c.shape[1])
    for k in range(len(t) - 1):
        area += np.where(k < last, (t[k + 1] - t[k]) * _mean(c[k], c[k + 1]), 0.0)
    return area


def _mean(first: Array, second: Array) -> Array:
    """The mean between two samples: linear up, logarithmic down."""
    falls = (second < first) & (second > 0.0)
    drop = first - second
    # log1p of the relative drop: no cancellation where the curve is nearly level
    mean: Array = np.where(
        falls, drop / np.log1p(drop / np.where(falls, second, 1.0)), 0.5 * (first + second)
    )
    return mean


def _terminal(
    t: Array, c: Array, positive: NDArray[np.bool_], top: NDArray[np.intp], last: NDArray[np.intp]
) -> tuple[Array, Array, Array]:
    """lambda_z, adjusted R2 and number of points of the best terminal regression, (patients,) each.

    NaN where there is none. c, positive: (times, patients); top, last: sample of the maximum, of
    the last positive concentration, (patients,). Sums run from the last sample backwards, about the
    last point, where the logarithm and the time are 0.
    """
    patients = c.shape[1]
    log_last = np.log(np.take_along_axis(c, last[None], axis=0)[0])
    n, sx, sy, sxx, sxy, syy = np.zeros((6, patients))
    slope, points = np.full((2, patients), np.nan)
    # the best R2 so far, and that of the chosen number of points
    top_r2, best = np.full((2, patients), -np.inf)
    for k in range(len(t) - 1, 0, -1):
        used = positive[k] & (k > top) & (k <= last)
        if not used.any():
            continue
        x = np.where(used, t[k] - t[last], 0.0)
        y = np.where(used, np.log(np.where(used, c[k], 1.0)) - log_last, 0.0)
        n += used
        sx += x
        sy += y
        sxx += x * x
        sxy += x * y
        syy += y * y
        vx, vy, cov = sxx - sx * sx / n, syy - sy * sy / n, sxy - sx * sy / n
        r2 = 1.0 - (1.0 - cov * cov / (vx * vy)) * (n - 1.0) / (n - 2.0)
        better = used & (n >= 3) & (vx > 0.0) & (cov < 0.0) & (r2 >= top_r2 - TIE)
        slope = np.where(better, cov / vx, slope)
        points = np.where(better, n, points)
        best = np.where(better, r2, best)
        top_r2 = np.where(better, np.maximum(top_r2, r2), top_r2)
    return -slope, np.where(np.isnan(points), np.nan, best), points


def _pandas() -> Any:
    try:
        import pandas as pd  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise ImportError(
            "no DataFrame (pandas is not installed). Run pip install 'teorell[frames]'."
        ) from error
    return pd
