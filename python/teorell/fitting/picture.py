"""Goodness of fit, as one picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.packages import needed
from teorell.results.plot import COLOR, INK

__all__ = ["picture"]


def picture(
    time: Array, observed: Array, predicted: Array, residuals: Array, seen: NDArray[np.bool_]
) -> Any:
    """Observed against predicted, and residuals against time, as a matplotlib Figure.

    All are (rows,); residuals in standard deviations. seen: the rows that are drawn, those whose
    value is known; of others there is no point. ImportError without matplotlib.
    """
    with needed("matplotlib", "picture", "'teorell[plot]'"):
        import matplotlib.pyplot as plt
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.0, 3.8), layout="constrained")
    shown = np.concatenate([observed[seen], predicted[seen]])
    shown = shown[np.isfinite(shown)]
    if shown.size:
        ends = [shown.min(), shown.max()]
        left.plot(ends, ends, color=INK, linewidth=1.0)
    else:
        told = "no observation lies within its limits"
        for axes in (left, right):
            axes.text(0.5, 0.6, told, ha="center", transform=axes.transAxes)
    left.plot(predicted[seen], observed[seen], "o", color=COLOR, alpha=0.6, markersize=4.0)
    left.set(xlabel="predicted", ylabel="observed")
    right.axhline(0.0, color=INK, linewidth=1.0)
    for level in (-1.96, 1.96):
        right.axhline(level, color=INK, linewidth=0.8, linestyle=":")
    right.plot(time[seen], residuals[seen], "o", color=COLOR, alpha=0.6, markersize=4.0)
    right.set(xlabel="time", ylabel="residual / standard deviation")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    return figure
