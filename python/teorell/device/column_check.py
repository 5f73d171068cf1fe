"""Numbers on a device checked where they lie: finite, and within their bounds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from teorell.device.arrays import DeviceArray
from teorell.device.driver import LEGACY_STREAM
from teorell.device.memory import Memory
from teorell.device.over import go_over

__all__ = ["unfit_columns"]


def unfit_columns(
    columns: Sequence[DeviceArray],
    lower: Sequence[float],
    upper: Sequence[float],
    *,
    missing: bool = False,
) -> NDArray[np.uint64]:
    """(columns,) how many numbers of each are not finite or out of bounds.

    columns: of one device, () or (patients,). missing: NaN will do. A few numbers come back, none
    of the columns.
    """
    device = columns[0].device
    driver, patients = device.driver, max(each.size for each in columns)
    streams = [each.stream for each in columns if each.stream is not None]
    stream = streams[0] if streams else LEGACY_STREAM
    bad = np.zeros(len(columns), np.uint64)
    with driver.current(device.number), Memory(device) as memory:
        for other in {*streams} - {stream}:
            driver.order(other, stream)
        steps = [0 if each.ndim == 0 else each.strides[0] // 8 for each in columns]
        places = memory.send(
            [
                np.array([each.address for each in columns], np.uint64),
                np.array(steps, np.int64),
                np.array(lower, np.float64),
                np.array(upper, np.float64),
                bad,
            ],
            stream,
            "bounds of the columns",
        )
        given = [patients, len(columns), missing, *places]
        go_over(device, "column_check.cuh", "check_columns", patients, given, stream)
        driver.read(bad, places[-1], stream)
    return bad
