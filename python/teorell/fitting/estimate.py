"""`fit`: a model to observations, by maximum likelihood with exact sensitivities.

All subjects and starts are one batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.errors import InputError
from teorell.fitting.data import data_of, enough
from teorell.fitting.levenberg import minimise
from teorell.fitting.outcome import fit_of
from teorell.fitting.residual_error import Additive, Error
from teorell.fitting.result import Fit
from teorell.fitting.scale import LogNormal, scale_of
from teorell.fitting.scipy_search import check, search
from teorell.fitting.work import Work
from teorell.model import Model
from teorell.progress import Progress, reporting
from teorell.schedule.event_table import EventTable

__all__ = ["fit"]

_Work = Work  # pickles of fits name it so


def fit(
    model: Model,
    observations: EventTable,
    estimate: Mapping[str, float],
    output: str | None = None,
    *,
    error: Error | None = None,
    pooled: bool = False,
    fixed: Mapping[str, Any] | None = None,
    priors: Mapping[str, LogNormal] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    starts: int = 5,
    seed: int = 0,
    optimizer: str | None = None,
    progress: bool | Progress | None = None,
    **options: Any,
) -> Fit:
    """Fit a model to the observations of an event table, each subject by itself or all pooled.

    estimate: names of parameters and where to start. Those that start above 0, and whose bounds are
        not negative, are searched as logarithms.
    output: what was measured; None is the only output. error: teorell.Additive() (the default),
        Proportional() or Combined(); what they are not given is estimated. Values below the limit
        of quantification (BLQ with LLOQ) count by the probability of being there (M3).
    fixed: other parameters, numbers or (subjects,).
    priors: name -> teorell.LogNormal, which makes it a maximum a posteriori.
    bounds: name -> (low, high), within those of the model.
    starts: how many points to start from: the one given, and others about it drawn with `seed`.
    optimizer: None is Fisher scoring of all subjects and starts at once; "L-BFGS-B" and "SLSQP" are
        SciPy's, one problem after the other, with the same exact gradients.
    options: those of teorell.simulate (rtol, threads, ...).

    Raises InputError, before any work, for what does not fit together. A problem that does not
    converge has its message.
    """
    chosen = Additive() if error is None else error
    if not isinstance(chosen, Error):
        raise TypeError(
            f"error is a {type(chosen).__name__} (how do observations scatter?). Give "
            "teorell.Additive()."
        )
    if isinstance(starts, bool) or not isinstance(starts, int) or starts < 1:
        raise InputError(
            f"starts is {starts!r} (one is the least). Give a whole number of 1 or more."
        )
    if optimizer is not None:
        check(optimizer)
    scale = scale_of(model, estimate, bounds or {}, priors or {})
    data = data_of(model, observations, output, scale.names, dict(fixed or {}), options)
    free = len(scale.names) + len(chosen.estimated) - int(np.isfinite(scale.prior[:, 1]).sum())
    enough(data, free, pooled)
    work = Work(data, scale, chosen, pooled)
    first = np.repeat(work.starts(starts, seed), work.problems, axis=0)

    def evaluate(which: NDArray[np.int64], points: Array) -> tuple[Array, Array, Array]:
        return work.evaluate(which % work.problems, points)

    if optimizer is not None:
        return fit_of(work, search(optimizer, evaluate, first, work.low, work.high), starts)
    with reporting(progress, len(first)) as report:
        found = minimise(evaluate, first, work.low, work.high, progress=report)
    return fit_of(work, found, starts)
