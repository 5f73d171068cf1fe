"""Goodness of fit, as one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from teorell.plot import COLOR, INK

if TYPE_CHECKING:
    from teorell.fitting.result import Fit

__all__ = ["picture"]


def picture(fit: Fit) -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "no picture (matplotlib is not installed). Run pip install 'teorell[plot]'."
        ) from error
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.0, 3.8), layout="constrained")
    seen = ~fit.below
    ends = [
        min(fit.observed[seen].min(), fit.predicted[seen].min()),
        max(fit.observed.max(), fit.predicted.max()),
    ]
    left.plot(ends, ends, color=INK, linewidth=1.0)
    left.plot(fit.predicted[seen], fit.observed[seen], "o", color=COLOR, alpha=0.6, markersize=4.0)
    left.set(xlabel="predicted", ylabel="observed")
    right.axhline(0.0, color=INK, linewidth=1.0)
    for level in (-1.96, 1.96):
        right.axhline(level, color=INK, linewidth=0.8, linestyle=":")
    right.plot(fit.time[seen], fit.residuals[seen], "o", color=COLOR, alpha=0.6, markersize=4.0)
    right.set(xlabel="time", ylabel="residual / standard deviation")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    return figure
