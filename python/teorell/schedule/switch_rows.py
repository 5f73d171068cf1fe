"""When the conditions on time of a model change, as rows of the timeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.schedule.timeline_rows import SWITCH, SWITCHING, Piece

__all__ = ["SwitchTimes", "switch_rows"]


@dataclass(frozen=True)
class SwitchTimes:
    """When a condition on time changes: `before` up to `threshold`, `after` from there on.

    One on the time after a dose changes at the threshold where no dose has come in, and else at
    offset + slope * the time of the last arrival.
    """

    threshold: Array  # () or (patients,)
    before: float
    after: float
    parameter: int = -1  # the number of the one with the last arrival, if it is such a condition
    offset: Array = field(default_factory=lambda: np.zeros(()))  # () or (patients,)
    slope: float = 0.0

    def part(self, start: int, stop: int) -> SwitchTimes:
        """Of the patients start to stop - 1."""
        threshold, offset = (
            each[start:stop] if each.ndim else each for each in (self.threshold, self.offset)
        )
        return replace(self, threshold=threshold, offset=offset)

    def after_arrival(self, owner: NDArray[np.int64], arrival: Array) -> Array:
        """(n,) when it changes after these arrivals of patients `owner`."""
        offset = self.offset[owner] if self.offset.ndim else self.offset
        return np.asarray(offset + self.slope * arrival)


def switch_rows(switches: Sequence[SwitchTimes], patients: int) -> list[Piece]:
    """One row a patient and switch: at time 0 if the threshold is earlier.

    If it never comes, the row says `before` at time 0.
    """
    found = []
    for number, switch in enumerate(switches):
        threshold = np.broadcast_to(switch.threshold, (patients,))
        never, target = threshold == np.inf, np.full(patients, number)
        found.append(
            Piece(
                owner=np.arange(patients),
                time=np.where(never, 0.0, np.maximum(threshold, 0.0)),
                kind=SWITCH,
                target=target,
                value=np.where(never, switch.before, switch.after),
                role=SWITCHING,
                source=target,
                number=target,
                order=np.full(patients, -1.0),
            )
        )
    return found
