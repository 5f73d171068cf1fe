"""Measured concentrations: read from a CSV file, and compared with what was simulated."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from teorell.errors import InputError, count
from teorell.results.nca import NCA, analyse
from teorell.results.plot import bands
from teorell.results.solution import Solution
from teorell.tables import check_csv

__all__ = ["Observed", "comparison", "geometric_mean", "inside", "read_observed"]

VALUES = ("DV", "CONC", "CP")  # names of the column of concentrations; the first that is there
CENSORED = ("CENS", "BLQ")  # columns that say that a concentration lies beyond a limit
MISSING = ("", ".", "NA", "NAN")  # cells without a value, in upper case


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
    other than 0) are left out, and records without a value (MDV, CENS, BLQ, or an empty cell, ".",
    NA). Without ID all rows are one person's curve.

    Raises InputError for a file of another kind, missing columns, text where a number should be,
    and a table without observations.
    """
    check_csv(path)
    patient: list[str] = []
    at: list[float] = []
    places: list[str] = []
    seen, without = [], 0
    value = ""
    measured: dict[str, str] = {}  # of DVID, CMT: the first
    for line, row in _rows(path):
        where = f"{path}, line {line}"
        value = value or next(name for name in VALUES if name in row)
        if _number(row.get("EVID", ""), where, "EVID", 0.0) != 0.0:
            continue
        missing = _number(row.get("MDV", ""), where, "MDV", 0.0) != 0.0
        censored = any(_number(row.get(name, ""), where, name, 0.0) != 0.0 for name in CENSORED)
        if missing or censored or _is_missing(row[value]):
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
    back = np.flatnonzero(np.diff(at) <= 0.0)
    if back.size and not any(patient):
        k = int(back[0]) + 1
        raise InputError(
            f"{places[k]}: TIME is {at[k]:g} after {at[k - 1]:g} (without ID all rows are one "
            "person's curve). Add a column ID, or sort the rows."
        )
    return Observed(np.array(patient), np.array(at), np.array(seen), without)


def _check_one_analyte(row: dict[str, str], measured: dict[str, str], where: str) -> None:
    """InputError for an observation of another analyte than the first."""
    for name in ("DVID", "CMT"):
        if name not in row or _is_missing(row[name]):
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
        if _is_missing(row["ID"]):
            raise InputError(f"{where}: ID is {row['ID']!r} (whose is it?). Give a number or name.")
        return row["ID"]
    return ""


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a CSV file that are not blank: the line of the file, and column -> cell; names of
    columns in upper case. TIME and one of `VALUES` are among them.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            head = [name.strip().upper() for name in next(reader, [])]
            _check_head(path, head)
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) < len(head) or any(cell.strip() for cell in cells[len(head) :]):
                    raise InputError(
                        f"{path}, line {reader.line_num}: {count(len(cells), 'cell')} (the header "
                        f"has {len(head)}). Correct the line."
                    )
                row = {name: cell.strip() for name, cell in zip(head, cells, strict=False)}
                yield reader.line_num, row
    except csv.Error as error:
        raise InputError(f"{path} is no CSV file ({error}). Save the table as CSV.") from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not text in UTF-8 ({error.reason}). Save the table as CSV in UTF-8."
        ) from None


def _check_head(path: Path, head: list[str]) -> None:
    """InputError unless the names of the columns, in upper case, tell what is needed."""
    if not any(head):
        raise InputError(f"{path} is empty (no rows, not even a header). Give a table.")
    twice = [name for name in head if name and head.count(name) > 1]
    if twice:
        raise InputError(f"{path}: two columns {twice[0]} (which is meant?). Rename one.")
    if "TIME" not in head or not any(name in head for name in VALUES):
        found = ", ".join(name for name in head if name)
        raise InputError(
            f"{path}: no columns TIME and DV or CONC (found {found}). Rename the columns."
        )


def _is_missing(cell: str) -> bool:
    return cell.upper() in MISSING


def _number(cell: str, where: str, column: str, missing: float | None = None) -> float:
    """The cell as a finite number; `missing` for one without a value, if that is not None."""
    if missing is not None and _is_missing(cell):
        return missing
    try:
        number = float(cell)
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
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
