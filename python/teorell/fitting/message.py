"""What is to be said of a problem of a fit, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.fitting.work import CEILING, FLOOR, Work

__all__ = ["ended", "message"]


def ended(points: Array, gradient: Array, low: Array, high: Array) -> NDArray[np.int8]:
    """-1 where points (k, q) have ended at their lower bound, 1 at the upper, else 0.

    There they would go on: the gradient (k, q) of the objective points outwards.
    """
    at_low = (points <= low) & (gradient > 0.0)
    at_high = (points >= high) & (gradient < 0.0)
    return at_high.astype(np.int8) - at_low.astype(np.int8)


def message(
    work: Work,
    good: bool,
    finite: bool,
    told: str,
    side: NDArray[np.int8],
    values: Array,
    others: Sequence[Mapping[str, float]],
) -> str:
    """What is to be said of one problem, "converged" if nothing is.

    good: has it converged? finite: has it a likelihood? told: what the data do not identify. side:
    (q,) what has ended at a bound; values: (p,) of the parameters.
    """
    if not finite:
        zero = (
            ", or a prediction is 0, where a proportional error is 0 too (teorell.Combined has a "
            "floor)"
        )
        failed = "no start has a likelihood: a simulation failed, or a prediction is no number"
        return failed + zero if any(one.sd == 0.0 for one in work.scatter.errors) else failed
    parts = [] if good else ["not converged"]
    parts += [*_bounds(work, side, values), *_sizes(work, side)]
    if told:
        parts.append(told)
    elif others:
        solutions = "; ".join(", ".join(f"{n} {v:.4g}" for n, v in each.items()) for each in others)
        parts.append(
            f"other solutions have the same objective ({solutions}): flip-flop, if rates have "
            "changed places"
        )
    return "; ".join(parts) or "converged"


def _bounds(work: Work, side: NDArray[np.int8], values: Array) -> list[str]:
    """Of each parameter that has ended at a bound, a sentence."""
    parts = []
    for k, name in enumerate(work.scale.names):
        if not side[k]:
            continue
        low = side[k] < 0
        if work.scale.far[k, 0 if low else 1]:
            where = "runs to 0: it is searched above 0" if low else "runs off: it has no end"
            parts.append(
                f"{name} {where} ({values[k]:.3g}, the standard errors are those with it held)"
            )
        else:
            parts.append(
                f"{name} is at its {'lower' if low else 'upper'} bound {values[k]:.6g} (the "
                "standard errors are those with it held there)"
            )
    return parts


def _sizes(work: Work, side: NDArray[np.int8]) -> list[str]:
    """Of each size of the residual error that has ended at its floor or ceiling, a sentence."""
    parts, scatter = [], work.scatter
    ends = dict(zip(scatter.estimated, side[len(work.scale.names) :], strict=True))
    for (output, name), at in ends.items():
        if not at:
            continue
        one = scatter.errors[output]
        others = [ends.get((output, each), 0) for each in ("sd", "cv") if getattr(one, each) != 0.0]
        unit = " of the mean observation" if name == "sd" else ""
        if at > 0:
            told = f"its ceiling ({CEILING:g}{unit}: the curve does not meet the data"
        elif all(end < 0 for end in others):
            told = f"its floor ({FLOOR:g}{unit}: the curve meets the data exactly"
        else:
            told = f"its floor ({FLOOR:g}{unit}: the data do not show it"
        parts.append(f"{scatter.name(output, name)} of the residual error is at {told})")
    return parts
