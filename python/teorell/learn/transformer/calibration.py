"""Whether bands hold what they say: shares of the truth in central bands, by their level."""

from __future__ import annotations

from typing import Any

import numpy as np

from teorell.arrays import Array
from teorell.learn.metrics import resampled
from teorell.learn.transformer.figures import BANDS, Case
from teorell.learn.transformer.network import LEVELS

__all__ = ["calibration", "held"]

HALF = len(LEVELS) // 2
OWN = tuple(1 - 2 * level for level in LEVELS[:HALF])  # the bands that the direct head tells


def held(case: Case) -> dict[str, tuple[tuple[float, ...], Array]]:
    """Who -> bands, and the share of the truth in each: (3, bands), the share and its 95 % interval
    by studies drawn with replacement. Ends count as inside, as in `table`.
    """
    direct, weighed = case.heads["direct"]["quantiles"], case.heads["weighed"]["fine"]
    floor = case.floor["quantiles"]
    ends = {
        "weighed": (BANDS, weighed[..., : len(BANDS)], weighed[..., len(BANDS) :]),
        "direct": (OWN, direct[..., :HALF], direct[..., :HALF:-1]),
        "floor": (OWN, floor[..., :HALF], floor[..., :HALF:-1]),
    }
    truth = case.given.query[..., None]
    found = {}
    for who, (bands, low, high) in ends.items():
        inside = ((low <= truth) & (truth <= high)).mean(axis=1)  # (patients, bands)
        counted = np.column_stack([inside, np.ones(len(inside))])
        sums = resampled(counted, case.given.study)
        shares = sums[:, :-1] / sums[:, -1:]
        interval = np.quantile(shares[1:], [0.025, 0.975], axis=0)
        found[who] = bands, np.concatenate([shares[:1], interval])
    return found


def calibration(cases: list[Case]) -> Any:
    """A matplotlib Figure, a panel a case. ImportError without matplotlib."""
    import matplotlib.pyplot as plt

    from teorell.results.plot import COLOR, INK

    figure, panels = plt.subplots(
        1, len(cases), figsize=(3.0 * len(cases), 3.4), sharey=True, layout="constrained"
    )
    for axes, case in zip(np.atleast_1d(panels), cases, strict=True):
        axes.plot([0, 100], [0, 100], color=INK, linewidth=0.6, linestyle=":")
        for who, (bands, shares) in held(case).items():
            level, (share, low, high) = 100 * np.array(bands), 100 * shares
            if who == "weighed":
                axes.fill_between(level, low, high, color=COLOR, alpha=0.25, linewidth=0)
                axes.plot(level, share, color=COLOR, label="weighed, 95 % interval")
            else:
                marker = {"direct": "o", "floor": "x"}[who]
                axes.plot(level, share, marker, color=INK, markersize=4, label=who)
        axes.set(title=case.name, xlabel="band, %")
        axes.title.set_fontsize("small")
        axes.spines[["top", "right"]].set_visible(False)
    first = np.atleast_1d(panels)[0]
    first.set_ylabel("truth inside, %")
    first.legend(frameon=False, fontsize="small")
    return figure
