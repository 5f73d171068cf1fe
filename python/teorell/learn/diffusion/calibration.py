"""Whether generated people are spread as real ones: column by column, level by level."""

from __future__ import annotations

from typing import Any

import numpy as np

from teorell.arrays import Array
from teorell.learn.diffusion.vectors import COLUMNS, Rows

__all__ = ["LEVELS", "below", "calibration"]

LEVELS = np.linspace(0.005, 0.995, 199)


def below(rows: Rows, real: Rows) -> Array:
    """The share of people below the quantiles of real people at LEVELS, (columns, levels)."""
    edges = np.quantile(real, LEVELS, axis=0, method="inverted_cdf")
    found: Array = np.stack(
        [
            np.searchsorted(np.sort(x), edge, side="right") / len(x)
            for x, edge in zip(rows.T, edges.T, strict=True)
        ]
    )
    return found


def calibration(rows: Rows, real: Rows, other: Rows) -> Any:
    """`below` less what it is of the real people, all columns, as a matplotlib Figure: of generated
    people, and of other real ones, for what chance makes. ImportError without matplotlib.
    """
    from teorell.packages import needed
    from teorell.results.plot import COLOR, INK

    with needed("matplotlib", "picture", "'teorell[plot]'"):
        import matplotlib.pyplot as plt
    figure, panels = plt.subplots(1, 2, figsize=(8.0, 3.2), sharey=True, layout="constrained")
    own = below(real, real)
    for axes, (name, people) in zip(
        panels, (("generated", rows), ("other real people", other)), strict=True
    ):
        apart = 100 * (below(people, real) - own)
        worst = int(np.abs(apart).max(axis=1).argmax())
        axes.plot(100 * LEVELS, apart.T, color=INK, alpha=0.25, linewidth=0.6)
        axes.plot(100 * LEVELS, apart[worst], color=COLOR, label=COLUMNS[worst].replace("_", " "))
        axes.set(title=name, xlabel="real people below, %")
        axes.legend(frameon=False, fontsize="small")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("share below, points off")
    return figure
