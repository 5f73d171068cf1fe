"""One picture of a population: the median, the bands around it, what was observed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from teorell.arrays import Array, check_flag, real_numbers
from teorell.errors import InputError, count
from teorell.packages import needed

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
    """Draw values (patients, times): their median, and bands of 5-95 % and 25-75 %.

    Up to 8 patients are drawn as single curves. observed: (times, values) drawn as points. log:
    logarithmic axis, zeros and negative values left out. ax: where to draw; a new figure if None.
    Raises ImportError without matplotlib, InputError if shapes disagree.
    """
    check_flag(log, "log")
    t = real_numbers(times, "the array of times")
    curves = np.atleast_2d(real_numbers(values, "the array of values"))
    if t.ndim != 1 or curves.ndim != 2 or curves.shape[1] != t.size or not curves.size:
        raise InputError(
            f"times have shape {t.shape}, values {curves.shape} (they cannot be drawn). "
            "Give times of shape (times,) and values of shape (patients, times)."
        )
    if ax is None:
        with needed("matplotlib", "picture", "'teorell[plot]'"):
            import matplotlib.pyplot as plt
        _, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")

    _draw_curves(ax, t, curves, color, log)
    if observed is not None:
        _draw_points(ax, *observed, log)
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


def _shown(line: Array, log: bool) -> Array:
    """The values that are drawn: on a logarithmic axis those above 0, others are NaN."""
    return np.where(line > 0.0, line, np.nan) if log else line


def _draw_curves(ax: Axes, t: Array, curves: Array, color: str, log: bool) -> None:
    """The curves (patients, times), or bands of them where they are many."""
    if len(curves) <= FEW:
        alpha = 1.0 if len(curves) == 1 else 0.8
        for curve in curves:
            ax.plot(t, _shown(curve, log), color=color, linewidth=1.6, alpha=alpha)
        return
    low, lower, median, upper, high = (_shown(line, log) for line in bands(curves))
    ax.fill_between(t, low, high, color=color, alpha=0.18, linewidth=0, label="5-95 %")
    ax.fill_between(t, lower, upper, color=color, alpha=0.32, linewidth=0, label="25-75 %")
    ax.plot(t, median, color=color, linewidth=2.0, label="median")


def _draw_points(ax: Axes, times: ArrayLike, values: ArrayLike, log: bool) -> None:
    """What was observed; InputError where times and values are not as many."""
    at, seen = (np.ravel(real_numbers(each, "what was observed")) for each in (times, values))
    if at.shape != seen.shape:
        raise InputError(
            f"observed has {count(at.size, 'time')} and {count(seen.size, 'value')} (a point "
            "needs both). Give as many of each."
        )
    ax.plot(
        at,
        _shown(seen, log),
        "o",
        color=INK,
        markersize=3.5,
        alpha=0.65,
        markeredgewidth=0,
        label="observed",
    )


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
