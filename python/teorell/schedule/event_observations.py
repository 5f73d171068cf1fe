"""What an event table says of its observations: values, and those that a limit censors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.errors import InputError
from teorell.schedule.sheet import Sheet

__all__ = ["Observations", "observations_of"]


@dataclass(frozen=True, eq=False)
class Observations:
    """Columns of the observation records, (samples,) each."""

    dv: Array  # NaN where it is missing
    mdv: NDArray[np.bool_]  # DV is missing, and nothing is known of it
    # 0: DV was measured; 1: it lies below a limit, LLOQ or else DV; -1: above the limit DV
    cens: NDArray[np.int8]
    limit: Array  # where cens is 1 the other, lower end of the interval; NaN: none
    lloq: Array  # NaN where it is missing
    dvid: NDArray[Any] | None  # what was measured, as the table says it; None: no such column


def observations_of(table: Sheet, seen: NDArray[np.intp]) -> Observations:
    """The observations of some rows. InputError, with row and column, for what does not fit."""
    if "BLQ" in table.names and "CENS" in table.names:
        raise InputError(
            f"columns {table.names['BLQ']} and {table.names['CENS']} of the event table both say "
            "what is below a limit (which is meant?). Leave one out."
        )
    cens = _flags(table, "CENS", (-1, 0, 1)) if "CENS" in table.names else _flags(table, "BLQ")
    dv, limit = table.numbers("DV"), table.numbers("LIMIT")
    missing = table.numbers("MDV", flag=True)
    table.refuse(
        ~np.isnan(missing) & ~np.isin(missing, (0, 1)), "MDV", "it is 0 or 1", "Correct it."
    )
    observed = np.zeros(table.rows, np.bool_)
    observed[seen] = True
    table.refuse(
        ~observed & (missing == 0.0) & table.given("DV") & (dv != 0.0),
        "DV",
        "MDV 0 says that it was observed, but the record is no observation",
        "Give the observation a row of its own, with EVID 0.",
    )
    upper = np.where(np.isnan(table.numbers("LLOQ")), dv, table.numbers("LLOQ"))
    table.refuse(
        observed & (cens == 1) & (limit >= upper),
        "LIMIT",
        "it is the lower end of an interval whose upper end is no higher",
        "Correct it.",
    )
    absent = np.isnan(dv) & (cens == 0)
    return Observations(
        dv=dv[seen],
        mdv=np.where(np.isnan(missing), absent, missing != 0.0)[seen],
        cens=cens.astype(np.int8)[seen],
        limit=limit[seen],
        lloq=table.numbers("LLOQ")[seen],
        dvid=table.columns[table.names["DVID"]][seen] if "DVID" in table.names else None,
    )


def _flags(table: Sheet, column: str, known: tuple[int, ...] = (0, 1)) -> Array:
    """A column of a few whole numbers, 0 where it is missing."""
    values = table.numbers(column, 0.0, flag=True)
    choice = f"{', '.join(map(str, known[:-1]))} or {known[-1]}"
    table.refuse(~np.isin(values, known), column, f"it is {choice}", "Correct it.")
    return values
