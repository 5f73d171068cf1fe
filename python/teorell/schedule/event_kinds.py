"""What each record of an event table is, and what of the table has no use."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.cells import is_missing
from teorell.errors import InputError, InputWarning
from teorell.schedule.sheet import Sheet

__all__ = ["kinds_of", "unused_columns", "warn_of_unused"]

DATES = ("DATE", "DAT1", "DAT2", "DAT3")  # NONMEM adds them to TIME
DURATIONS = ("DUR", "TINF")  # nlmixr2's and Monolix's, in place of RATE
OF_A_DOSE = ("RATE", "ADDL", "SS")


def kinds_of(table: Sheet) -> tuple[NDArray[np.int64], Array]:
    """EVID and AMT of each row; InputError where they contradict each other."""
    amount, given = table.numbers("AMT", 0.0), table.numbers("EVID")
    table.refuse(amount < 0.0, "AMT", "an amount is zero or more", "Correct it.")
    rate, steady = table.numbers("RATE", 0.0), table.numbers("SS", 0.0)
    for_ever = (rate != 0.0) & (steady != 0.0)
    evid = np.where(np.isnan(given), (amount > 0.0) | for_ever, given)
    table.refuse(~np.isin(evid, (0, 1, 2, 3, 4)), "EVID", "it is 0, 1, 2, 3 or 4", "Correct it.")
    no_dose = np.isin(evid, (0, 2, 3))
    table.refuse(
        no_dose & (amount > 0.0),
        "AMT",
        "the record is no dose, by its EVID",
        "Give EVID 1 or 4, or AMT 0.",
    )
    for column in OF_A_DOSE:
        table.refuse(
            no_dose & (table.numbers(column, 0.0) != 0.0),
            column,
            "the record is no dose" if np.isnan(given).all() else "the record is no dose, by EVID",
            "Give an AMT above 0, or leave the cell empty.",
        )
    table.refuse(
        np.isin(evid, (1, 4)) & ~for_ever & ~table.given("AMT"),
        "AMT",
        "a dose has an amount",
        "Give it, or EVID 0 or 2.",
    )
    table.refuse(
        np.isin(evid, (1, 4)) & (amount == 0.0) & (rate > 0.0) & (steady == 0.0),
        "AMT",
        "when an infusion of nothing at this RATE ends is not known",
        "Give the amount.",
    )
    return evid.astype(np.int64), amount


def unused_columns(table: Sheet) -> tuple[str, ...]:
    """The columns without a use.

    InputError for one that would change what the rows mean: dates beside TIME, durations of
    infusions, routes of administration, and marks of rows to leave out.
    """
    used = set(table.names.values())
    ignored = tuple(name for name in table.columns if name not in used)
    for name in ignored:
        column = table.columns[name]
        cells = np.array([str(cell).strip().upper() for cell in column])
        filled = np.array([not is_missing(cell) for cell in column], np.bool_)
        if name.strip().upper() in DATES and len(set(cells)) > 1:
            raise InputError(
                f"the event table has a column {name} (TIME alone is read, counted from the start "
                "of each subject). Add the days to TIME, and leave it out."
            )
        if name.strip().upper() in DURATIONS:
            table.refuse(
                filled & ~np.isin(cells, ("0", "0.0")),
                name,
                "durations of infusions are not read",
                "Give RATE, the amount over the duration.",
            )
        if name.strip().upper() == "ADM" and len(set(cells[filled])) > 1:
            raise InputError(
                f"the event table has a column {name} (routes are not read, CMT is). Give the "
                "compartment of each dose as CMT."
            )
        if name.strip().upper() == "C":
            table.refuse(
                np.isin(cells, ("C", "#", "@")),
                name,
                "it marks rows to leave out",
                "Leave the row out of the table.",
            )
    return ignored


def warn_of_unused(table: Sheet, ignored: Sequence[str], evid: NDArray[np.int64]) -> None:
    """InputWarning of columns without a use, and of values on records without a use for them."""
    said = []
    if ignored:
        said.append(
            f"columns {', '.join(ignored)} of the event table are not used (they are neither "
            "columns of NONMEM's that are read nor parameters of the model; what they tell of a "
            "subject stays with results). Leave them out, or filter the warning."
        )
    dose = np.isin(evid, (1, 4))
    repeats = (table.numbers("ADDL", 0.0) != 0.0) | (table.numbers("SS", 0.0) != 0.0)
    observed = (evid != 0) & (table.numbers("MDV", flag=True) != 1.0)
    for column, unused, why in (
        ("II", dose & ~repeats, "ADDL and SS are 0"),
        ("DV", observed, "the record is no observation"),
    ):
        rows = unused & (table.numbers(column, 0.0) != 0.0)
        if rows.any():
            where = table.where(int(np.argmax(rows)), column)
            more = f", and of {int(rows.sum()) - 1} more" if rows.sum() > 1 else ""
            said.append(f"the value of {where}{more} is not used ({why}). Leave the cell empty.")
    for each in said:
        warnings.warn(each, InputWarning, stacklevel=3)
