"""The call of the core for steady states: the fixed points of the flows of one dosing interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from teorell import _core
from teorell.arrays import Array
from teorell.engine.batch import Batch, Options
from teorell.engine.core_arguments import core_arguments, core_code, core_model

if TYPE_CHECKING:
    from teorell.lowering import Programs

__all__ = ["Attractors", "Search", "find_steady_states"]


@dataclass(frozen=True, eq=False)
class Search:
    """What is looked for in k flows of n states, of which m are kept."""

    inside: NDArray[np.int64]  # (k, n) the row of events with which each state comes in
    kept: NDArray[np.int32]  # (m,) the states that have a steady state; others start at zero
    start: Array  # (k, m) the initial states, from which a long train of doses starts
    least: Array  # (m,) below this size an error counts as absolute
    positive: NDArray[np.uint8]  # (m,) 1: the state cannot be negative
    rhythmic: NDArray[np.uint8]  # (k,) 1: states may oscillate by themselves
    totals: bool  # may something keep its value?


@dataclass(frozen=True, eq=False)
class Attractors:
    """The fixed points that a long train of doses leads to, as the core finds them."""

    states: Array  # (k, m) NaN where there is none
    status: NDArray[np.int32]  # (k,) 0, or why there is none
    projection: Array  # (k, m, m) on what keeps its value
    keeps: NDArray[np.uint8]  # (k,) 1: something does
    attempts: NDArray[np.int64]  # (k,) steps of the solver, rejected ones too


def find_steady_states(
    batch: Batch, tangent_programs: Programs, search: Search, **options: Any
) -> Attractors:
    """The fixed points of flows.

    batch: a patient a flow, each with events of its own and one sample at its end; its programs
    have all states as outputs, as `tangent_programs`, the same with forward sensitivities, have.
    options: those of `Options`.
    """
    given = Options(**options)
    k, m = search.start.shape
    found = Attractors(
        states=np.empty((k, m)),
        status=np.empty(k, np.int32),
        projection=np.zeros((k, m, m)),
        keeps=np.empty(k, np.uint8),
        attempts=np.zeros(k, np.int64),
    )
    _core.find_steady_states(
        core_model(batch.programs),
        core_model(tangent_programs),
        **core_arguments(batch, given),
        tangent_code=core_code(tangent_programs, given),
        search={**vars(search), **vars(found)},
    )
    return found
