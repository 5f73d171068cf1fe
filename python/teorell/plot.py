"""One picture of a population: the median, the bands around it, what was observed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from teorell.errors import InputError, count
from teorell.parameters import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["bands", "plot"]

LEVELS = (5.0, 25.0, 50.0, 75.0, 95.0)
FEW = 8  # up to as many patients are drawn as single curves
COLOR, INK = "#1f6f8b", "#333333"


def bands(values: Array, levels: tuple[float, ...] = LEVELS) -> Array:
    """Percentiles over the patients at each time: (patients, times) -> (levels, times).

    NaN values are left out.
    """
    result = np.full((len(levels), values.shape[1]), np.nan)
    for k in range(values.shape[1]):  # one column at a time: no copy of a million curves
        column = values[:, k]
        column = column[np.isfinite(column)]
        if column.size:
            result[:, k] = np.percentile(column, levels)
    return result


def plot(
    times: ArrayLike,
    values: ArrayLike,
    *,
    label: str = "",
    time_label: str = "time",
    observed: tuple[ArrayLike, ArrayLike] | None = None,
    log: bool = False,
    color: str = COLOR,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Median line and 5-95 % and 25-75 % bands of values (patients, times); up to 8 patients as
    single curves.

    observed: (times, values) drawn as points. log: logarithmic axis, zeros and negative values left
    out. ax: where to draw; a new figure if None. Raises ImportError without matplotlib, InputError
    if shapes disagree.
    """
    t, curves = (
        np.asarray(times, dtype=np.float64),
        np.atleast_2d(np.asarray(values, dtype=np.float64)),
    )
    if t.ndim != 1 or curves.ndim != 2 or curves.shape[1] != t.size or not curves.size:
        raise InputError(
            f"times have shape {t.shape}, values {curves.shape} (they cannot be drawn). "
            "Give times of shape (times,) and values of shape (patients, times)."
        )
    if ax is None:
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError(
                "no picture (matplotlib is not installed). Run pip install 'teorell[plot]'."
            ) from error
        _, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")

    def shown(line: Array) -> Array:
        return np.where(line > 0.0, line, np.nan) if log else line

    if len(curves) <= FEW:
        for curve in curves:
            ax.plot(
                t, shown(curve), color=color, linewidth=1.6, alpha=1.0 if len(curves) == 1 else 0.8
            )
    else:
        low, lower, median, upper, high = (shown(line) for line in bands(curves))
        ax.fill_between(t, low, high, color=color, alpha=0.18, linewidth=0, label="5-95 %")
        ax.fill_between(t, lower, upper, color=color, alpha=0.32, linewidth=0, label="25-75 %")
        ax.plot(t, median, color=color, linewidth=2.0, label="median")
    if observed is not None:
        at, seen = (np.ravel(np.asarray(each, dtype=np.float64)) for each in observed)
        if at.shape != seen.shape:
            raise InputError(
                f"observed has {count(at.size, 'time')} and {count(seen.size, 'value')} (a point "
                "needs both). Give as many of each."
            )
        ax.plot(
            at,
            shown(seen),
            "o",
            color=INK,
            markersize=3.5,
            alpha=0.65,
            markeredgewidth=0,
            label="observed",
        )
    if log:
        ax.set_yscale("log")
    else:
        _, top = ax.get_ylim()
        if np.nanmin(curves, initial=0.0) >= 0.0 < top:
            ax.set_ylim(bottom=0.0)
    ax.set_xlabel(time_label, color=INK)
    ax.set_ylabel(label, color=INK)
    if title:
        ax.set_title(title, color=INK, loc="left")
    _tidy(ax)
    return ax


def _tidy(ax: Any) -> None:
    """Two axes, a faint grid behind, a legend without a frame."""
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color("#888888")
    ax.tick_params(colors=INK, which="both")
    ax.grid(True, which="major", color="#e4e4e4", linewidth=0.7)
    ax.set_axisbelow(True)
    ax.margins(x=0.01)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(frameon=False)
