"""`fit`: a model to observations, by maximum likelihood with exact sensitivities.

All subjects and starts are one batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array, check_flag, is_whole
from teorell.errors import InputError
from teorell.fitting.data import data_of, enough
from teorell.fitting.levenberg import minimise
from teorell.fitting.outcome import fit_of
from teorell.fitting.priors import LogNormal, Normal, priors_of
from teorell.fitting.residual_error import Error, scatter_of
from teorell.fitting.result import Fit
from teorell.fitting.scale import scale_of
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
    output: str | Mapping[Any, str | None] | None = None,
    *,
    error: Error | Mapping[str, Error] | None = None,
    pooled: bool = False,
    fixed: Mapping[str, Any] | None = None,
    priors: Mapping[Any, LogNormal | Normal] | None = None,
    bounds: Mapping[str, tuple[float | None, float | None]] | None = None,
    truncated: bool = False,
    starts: int = 5,
    seed: int = 0,
    optimizer: str | None = None,
    progress: bool | Progress | None = None,
    **options: Any,
) -> Fit:
    """Fit a model to the observations of an event table, each subject by itself or all pooled.

    estimate: names of parameters and where to start. Those that start above 0, and whose lower
        bound, if they have bounds, is 0 or more, are searched as logarithms, others as they are.
    output: what was measured; None is the only output. Of several in one table: DVID or CMT -> the
        name of an output, or None for rows to leave out; DVID that is the name itself needs none.
    error: teorell.Additive() (the default), Proportional() or Combined(), of each output by itself,
        or output -> one of these; what they are not given is estimated. Values beyond a limit (BLQ
        with LLOQ, or CENS with the limit in DV, and LIMIT) count by the probability of being there.
    fixed: other parameters, numbers or (subjects,).
    priors: name -> teorell.LogNormal or Normal, which makes it a maximum a posteriori; a tuple of
        names -> one with a covariance.
    bounds: name -> (low, high), within those of the model; None for none.
    truncated: observations are conditioned on lying above LLOQ, or LIMIT where a row has none;
        those that lie below it are left out (M2).
    starts: how many points to start from: the one given, and others about it drawn with `seed`.
    optimizer: None is Fisher scoring of all subjects and starts at once; "L-BFGS-B" and "SLSQP" are
        SciPy's, one problem after the other, with the same exact gradients.
    options: those of teorell.simulate (rtol, threads, ...).

    Raises InputError, before any work, for what does not fit together. A problem that does not
    converge, or ends at a bound, has its message.
    """
    if not isinstance(model, Model):
        raise TypeError(
            f"model is a {type(model).__name__} (equations are needed). Give a teorell.Model."
        )
    for what, number, least in (("starts", starts, 1), ("seed", seed, 0)):
        if not is_whole(number) or number < least:
            raise InputError(
                f"{what} is {number!r} ({least} is the least). Give a whole number of {least} or "
                "more."
            )
    check_flag(pooled, "pooled")
    check_flag(truncated, "truncated")
    if optimizer is not None:
        check(optimizer)
    scale = scale_of(model, estimate, bounds or {})
    data = data_of(model, observations, output, scale.names, dict(fixed or {}), truncated, options)
    scatter = scatter_of(error, data.outputs)
    problems = 1 if pooled else data.subjects
    known = priors_of(priors, scale.names, scale.logarithmic.tolist(), problems)
    enough(data, len(scale.names) + len(scatter.estimated) - known.known, scatter, pooled)
    work = Work(data, scale, scatter, known, pooled)
    first = work.starts(starts, seed)

    def evaluate(which: NDArray[np.int64], points: Array) -> tuple[Array, Array, Array]:
        return work.evaluate(which % work.problems, points)

    with reporting(progress, len(first), "searches") as report:
        if optimizer is None:
            found = minimise(
                evaluate,
                first,
                work.low,
                work.high,
                progress=report,
                logarithmic=work.logarithmic,
                sizes=len(scatter.estimated),
            )
        else:
            found = search(
                optimizer, evaluate, first, work.low, work.high, work.logarithmic, report
            )
    return fit_of(work, found, starts)
