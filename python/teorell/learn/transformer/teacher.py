"""The physics term: what the solver knows of organs teaches the trunk of the direct head.

No sample is ever of an organ, so the network could not learn of them from what it is asked. In
training it also tells the concentrations in a few organs, where the truth is the whole-body model;
forecasts do not use them.
"""

from __future__ import annotations

import numpy as np

from teorell.arrays import Array
from teorell.learn.transformer.decoding import curves
from teorell.learn.transformer.structures import STRUCTURES
from teorell.learn.transformer.studies import Studies

__all__ = ["ORGANS", "organs"]

ORGANS = ("liver", "muscle", "adipose", "brain")
"""Where a drug is cleared; the largest; one that holds lipophilic drugs; and one that is quick."""


def organs(given: Studies) -> Array:
    """Log concentrations (patients, queries, ORGANS), mg/L, not below the limit of quantification.

    NaN where the truth is no whole-body model, or the solver gave up.
    """
    found = np.full((*given.query_time.shape, len(ORGANS)), np.nan)
    for place in np.unique(given.structure):
        what, rows = STRUCTURES[place], given.structure == place
        if what.is_body:
            part = given.rows(rows)
            names = tuple(f"c_{organ}" for organ in ORGANS)
            found[rows] = curves(what, part.logs, part.doses, part.query_time, names)
    return np.maximum(found, given.limit[:, None, None])
