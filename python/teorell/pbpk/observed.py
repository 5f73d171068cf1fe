"""Measured concentrations: read from a CSV file, and compared with what was simulated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from teorell.cells import is_missing, number_of
from teorell.errors import InputError, count
from teorell.results.nca import NCA, analyse
from teorell.results.plot import bands
from teorell.results.solution import Solution
from teorell.schedule.table_file import table_rows

__all__ = ["Observed", "comparison", "geometric_mean", "inside", "read_observed"]

VALUES = ("DV", "CONC", "CP")  # names of the column of concentrations; the first that is there
# doses of RxODE's and nlmixr's older tables have this EVID and higher ones, by compartment and kind
# (rxode2, 'Classic RxODE events')
CLASSIC = 101
CENSORED = ("CENS", "BLQ")  # columns that say that a concentration lies beyond a limit


@dataclass(frozen=True)
class Observed:
    """Measured concentrations, one a row."""

    patient: NDArray[np.str_]  # (rows,)
    time: NDArray[np.float64]  # (rows,) h
    value: NDArray[np.float64]  # (rows,) mg/L
    without_value: int = 0  # records that are no doses, left out because their value is missing

    def curves(self) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """(times, values), h and mg/L, of each patient, in the order of the file."""
        rows = [self.patient == patient for patient in dict.fromkeys(self.patient.tolist())]
        return [(self.time[row], self.value[row]) for row in rows]


def read_observed(path: Path) -> Observed:
    """Observations of a NONMEM-like CSV: ID (optional), TIME in h, DV or CONC in mg/L. Doses (EVID
    other than 0, or without EVID an AMT above 0) are left out, and records without a value (MDV,
    CENS, BLQ, below LLOQ, or an empty cell, ".", NA). Without ID all rows are one person's curve.

    Raises InputError for a file of another kind, missing columns, text where a number should be,
    several analytes, a time that goes back or comes twice in a curve, and a table without
    observations.
    """
    patient: list[str] = []
    at: list[float] = []
    places: list[str] = []
    seen, without = [], 0
    value = ""
    measured: dict[str, str] = {}  # of DVID, CMT: the first
    for line, row in _rows(path):
        where = f"{path}, line {line}"
        value = value or next(name for name in VALUES if name in row)
        if _is_dose(row, where):
            continue
        missing = _flag(row, "MDV", where, (0, 1)) != 0.0
        censored = any(_flag(row, name, where, (-1, 0, 1)) != 0.0 for name in CENSORED)
        if missing or censored or is_missing(row[value]) or _below(row, value, where):
            without += 1
            continue
        _check_one_analyte(row, measured, where)
        at.append(_number(row["TIME"], where, "TIME"))
        seen.append(_number(row[value], where, value))
        patient.append(_person(row, where))
        places.append(where)
    if not seen:
        raise InputError(
            f"{path}: no observations (every row is a dose or has no value). Check EVID and MDV."
        )
    latest: dict[str, float] = {}
    for one, time, place in zip(patient, at, places, strict=True):
        if time <= latest.get(one, -np.inf):
            whose = f"in the curve of {one}" if one else "without ID all rows are one curve"
            raise InputError(
                f"{place}: TIME is {time:g} after {latest[one]:g} ({whose}). Give each person and "
                "occasion an ID, and sort the rows."
            )
        latest[one] = time
    return Observed(np.array(patient), np.array(at), np.array(seen), without)


def _check_one_analyte(row: dict[str, str], measured: dict[str, str], where: str) -> None:
    """InputError for an observation of another analyte than the first."""
    for name in ("DVID", "YTYPE", "CMT"):
        if name not in row or is_missing(row[name]):
            continue
        first = measured.setdefault(name, row[name])
        if row[name] != first:
            raise InputError(
                f"{where}: {name} is {row[name]}, and {first} further up (plasma concentrations of "
                "one drug are compared). Leave the others out."
            )


def _person(row: dict[str, str], where: str) -> str:
    """Whose observation a row holds; "" in a table without ID. InputError where nobody is named."""
    if "ID" in row:
        if is_missing(row["ID"]):
            raise InputError(f"{where}: ID is {row['ID']!r} (whose is it?). Give a number or name.")
        return row["ID"]
    return ""


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV file that are not blank: the line of the file, and column -> cell; names of
    columns in upper case. TIME and one of `VALUES` are among them.
    """
    names, rows = table_rows(path)
    head = [name.upper() for name in names]
    _check_head(path, head)
    return [(line, dict(zip(head, cells, strict=True))) for line, cells in rows if any(cells)]


def _check_head(path: Path, head: list[str]) -> None:
    """InputError unless the names of the columns, in upper case, tell what is needed."""
    twice = [name for name in head if name and head.count(name) > 1]
    if twice:
        raise InputError(f"{path}: two columns {twice[0]} (which is meant?). Rename one.")
    if "TIME" not in head or not any(name in head for name in VALUES):
        found = ", ".join(name for name in head if name)
        raise InputError(
            f"{path}: no columns TIME and DV or CONC (found {found}). Rename the columns."
        )
    values = [name for name in VALUES if name in head]
    if len(values) > 1:
        raise InputError(
            f"{path}: columns {' and '.join(values)} (which has the concentrations?). Leave the "
            "other out."
        )


def _is_dose(row: dict[str, str], where: str) -> bool:
    """Is the record no observation, by its EVID? Without one a dose has an AMT above 0."""
    if is_missing(row.get("EVID", "")):
        return _number(row.get("AMT", ""), where, "AMT", 0.0) > 0.0
    number = _number(row["EVID"], where, "EVID", 0.0)
    if number >= CLASSIC and number == int(number):
        return True
    return _flag(row, "EVID", where, (0, 1, 2, 3, 4)) != 0.0


def _below(row: dict[str, str], value: str, where: str) -> bool:
    """Does a value lie below the limit of quantification of its row?"""
    limit = _number(row.get("LLOQ", ""), where, "LLOQ", -np.inf)
    return _number(row[value], where, value) < limit


def _flag(row: dict[str, str], column: str, where: str, known: tuple[int, ...]) -> float:
    """A cell that holds one of a few whole numbers; 0 where it is missing."""
    number = _number(row.get(column, ""), where, column, 0.0)
    if number not in known:
        raise InputError(
            f"{where}: {column} is {row[column]} (it is one of {', '.join(map(str, known))}). "
            "Correct the line."
        )
    return number


def _number(cell: str, where: str, column: str, missing: float | None = None) -> float:
    """The cell as a finite number; `missing` for one without a value, if that is not None."""
    if missing is not None and is_missing(cell):
        return missing
    number = number_of(cell)
    if number is None or not np.isfinite(number):
        raise InputError(f"{where}: {column} is {cell!r} (a number is needed). Correct the line.")
    return number


def comparison(solution: Solution, results: NCA, observed: Observed) -> str:
    """Observed against simulated: geometric means of Cmax and AUC, and the points within the 5-95 %
    band.
    """
    seen = []
    for when, value in observed.curves():
        order = np.argsort(when, kind="stable")
        seen.append(analyse(when[order], value[order]))  # people cannot be sampled once more
    people = "1 person" if len(seen) == 1 else f"{len(seen)} people"
    missing = observed.without_value
    left_out = f" ({count(missing, 'record')} without a value left out)" if missing else ""
    lines = [f"observed: {people}, {count(observed.value.size, 'sample')}{left_out}"]
    for name, unit in (("cmax", "mg/L"), ("auc_inf", "mg h/L")):
        there = geometric_mean(np.concatenate([each[name] for each in seen]))
        here = geometric_mean(results[name])
        measured, simulated = ("-" if np.isnan(x) else f"{x:.3g} {unit}" for x in (there, here))
        ratio = "-" if np.isnan(here / there) else f"{here / there:.2f}"
        lines.append(
            f"{name}: observed {measured}, simulated {simulated} (geometric means), ratio {ratio}"
        )
    share = inside(solution, observed)
    if np.isnan(share):
        lines.append("within the 5-95 % band: no point lies within the simulated time")
    else:
        lines.append(f"within the 5-95 % band: {100 * share:.0f} % of the points")
    return "\n".join(lines)


def inside(solution: Solution, observed: Observed) -> float:
    """The fraction of observed points within the 5-95 % band, of those after the dose and within
    the simulated time; NaN if there is none of these.
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
