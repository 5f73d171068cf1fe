"""What each observation of a table says: a value, or an interval in which the value lies.

CENS and LIMIT mean what they mean in Monolix: CENS 1 is below DV, or between LIMIT and DV; CENS -1
is above DV, or between DV and LIMIT. BLQ 1, and a DV below LLOQ, are below LLOQ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.errors import InputError
from teorell.schedule.event_table import EventTable

__all__ = ["Observed", "observed_of"]


@dataclass(frozen=True, eq=False)
class Observed:
    """Observations, (rows,) each: they lie from low to high, which are equal where quantified."""

    y: Array  # DV, or the limit
    low: Array  # -inf below a limit
    high: Array  # inf above one
    floor: Array  # what all observations that can be lie above; -inf where none is asked for
    output: NDArray[np.int64]  # which of the outputs

    def of(self, rows: NDArray[np.intp]) -> Observed:
        """Some rows, which may repeat."""
        return Observed(
            self.y[rows], self.low[rows], self.high[rows], self.floor[rows], self.output[rows]
        )

    @property
    def censored(self) -> NDArray[np.int8]:
        """(rows,) 1 where a value is known to lie below a limit, -1 above one, else 0."""
        side = np.where(self.y == self.high, 1, -1)
        return np.where(self.low < self.high, side, 0).astype(np.int8)


def observed_of(
    table: EventTable, kept: NDArray[np.intp], output: NDArray[np.int64], truncated: bool
) -> tuple[NDArray[np.intp], Observed]:
    """The samples of a table that have a likelihood, of those kept, and what they say.

    output: (kept,) which output each is of. truncated: they are conditioned on lying above LLOQ, or
    LIMIT where a row has none. InputError, with the row, for what contradicts itself or says
    nothing.
    """
    dv, lloq, limit = table.dv[kept], table.lloq[kept], table.limit[kept]
    cens = table.cens[kept]
    with np.errstate(invalid="ignore"):
        below = (cens == 1) | ((cens == 0) & (dv < lloq))
        over = below & (dv > lloq)
    above = cens == -1
    edge = np.where(below & ~np.isnan(lloq), lloq, dv)
    rows = table.records[kept]
    _check(rows, edge, dv, below, above, over, np.isnan(lloq) & np.isnan(limit))
    interval = (below | above) & ~np.isnan(limit)
    wrong = interval & np.where(below, limit >= edge, limit <= edge)
    _refuse(
        wrong, rows, "LIMIT is not beyond the limit in DV", "it is the other end of an interval",
        "Give a LIMIT below DV with CENS 1, above it with CENS -1",
    )  # fmt: skip
    low = np.where(below, np.where(interval, limit, -np.inf), edge)
    high = np.where(above, np.where(interval, limit, np.inf), edge)
    floor = np.full(kept.size, -np.inf)
    if truncated:
        floor = np.where(np.isnan(lloq), limit, lloq)
        floor = np.where(np.isnan(floor) & below, edge, floor)
        _refuse(
            np.isnan(floor) | (above & np.isnan(lloq)), rows,
            "truncated=True and an observation has no limit", "above what does it have to lie?",
            "Give LLOQ",
        )  # fmt: skip
        _refuse(
            ~below & (edge < floor), rows, "truncated=True and an observation lies below LIMIT",
            "it could not have been seen", "Correct DV or LIMIT",
        )  # fmt: skip
    seen = Observed(edge, np.maximum(low, floor), high, floor, output)
    possible = np.flatnonzero(~below | (high > floor))
    return kept[possible], seen.of(possible)


def _check(
    rows: NDArray[np.intp],
    edge: Array,
    dv: Array,
    below: NDArray[np.bool_],
    above: NDArray[np.bool_],
    over: NDArray[np.bool_],
    bare: NDArray[np.bool_],
) -> None:
    """InputError for rows without a value or limit, and for those beyond their limit.

    bare: has the row neither LLOQ nor LIMIT? Then a DV of 0 is no limit, but a lost value.
    """
    _refuse(
        ~np.isfinite(edge) & ~below & ~above, rows, "an observation is not a number",
        "it would count", "Give DV a value, or MDV 1",
    )  # fmt: skip
    _refuse(
        below & (~np.isfinite(edge) | (bare & (dv == 0.0))), rows,
        "an observation below the limit of quantification has no limit", "DV is 0 or missing",
        "Give LLOQ, or the limit in DV",
    )  # fmt: skip
    _refuse(
        above & ~np.isfinite(edge), rows, "an observation above a limit has no limit",
        "DV is missing", "Give the limit in DV",
    )  # fmt: skip
    _refuse(
        over, rows, "an observation below the limit of quantification lies above it",
        "DV is above LLOQ", "Correct DV, LLOQ or the flag",
    )  # fmt: skip


def _refuse(
    bad: NDArray[np.bool_], rows: NDArray[np.intp], problem: str, why: str, remedy: str
) -> None:
    """InputError that names the first row of `bad`, if there is one."""
    if bad.any():
        raise InputError(f"{problem} (row {rows[np.argmax(bad)] + 1}: {why}). {remedy}.")
