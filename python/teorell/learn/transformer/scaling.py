"""How errors fall with the number of samples of a patient, and with companions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from teorell.learn.report import Figure
from teorell.learn.transformer.figures import error, finished, forecasts, held_out
from teorell.learn.transformer.floors import population

if TYPE_CHECKING:
    from teorell.learn.transformer.learner import Transformer

__all__ = ["COMPANIONS", "SAMPLES", "scaling", "scaling_picture", "told", "with_companions"]

SAMPLES, COMPANIONS = (0, 1, 2, 4, 6), (0, 1, 2, 3)  # that errors are told by


def told(samples: int) -> str:
    """The name of a case of so many samples."""
    return f"{samples} sample{'' if samples == 1 else 's'}"


def with_companions(count: int) -> str:
    """The name of the case of two samples and so many companions."""
    many = f"{count} companion{'' if count == 1 else 's'}"
    return f"{told(2)}, {many}" if count else told(2)


def scaling(learner: Transformer, network: nn.Module, known: Collection[str]) -> list[Figure]:
    """Errors by the number of samples and of companions, of cases that are not known already."""
    asked = [(told(k), k, 0) for k in SAMPLES]
    asked += [(with_companions(k), 2, k) for k in COMPANIONS if k < learner.configuration.patients]
    found = []
    for name, samples, count in asked:
        if name in known:
            continue
        one = learner.configuration
        given = finished(held_out(learner, one.kinds, samples, one.evaluated))
        means = {
            who: each["mean"] for who, each in forecasts(learner, network, given, count).items()
        }
        for who, mean in (means | {"population": population(given)}).items():
            found.append(error(f"{name}: log-RMSE, {who}", mean - given.query, given))
    return found


def scaling_picture(figures: Iterable[Figure]) -> Any:
    """Log-RMSE of a report by the number of samples, and of companions beside two samples: a
    matplotlib Figure. ImportError without matplotlib.
    """
    import matplotlib.pyplot as plt

    from teorell.results.plot import COLOR, INK

    known = {one.what: one for one in figures}
    figure, panels = plt.subplots(1, 2, figsize=(7.0, 3.4), sharey=True, layout="constrained")
    asked: tuple[tuple[str, tuple[int, ...], Callable[[int], str]], ...] = (
        ("samples", SAMPLES, told),
        ("companions, 2 samples", COMPANIONS, with_companions),
    )
    for axes, (what, counts, name) in zip(panels, asked, strict=True):
        for who, color, style in (
            ("weighed", COLOR, "o-"), ("direct", INK, "o:"), ("population", INK, "x--"),
        ):  # fmt: skip
            there = [
                (k, known[key]) for k in counts if (key := f"{name(k)}: log-RMSE, {who}") in known
            ]
            x, y = [k for k, _ in there], np.array([one.value for _, one in there])
            ends = np.array([(one.low, one.high) for _, one in there]).T
            axes.errorbar(
                x, y, np.abs(ends - y), fmt=style, color=color, markersize=4, linewidth=1, label=who
            )
        axes.set(xlabel=what, xticks=counts)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set(ylabel="log-RMSE", ylim=(0, None))
    panels[0].legend(frameon=False, fontsize="small")
    return figure
