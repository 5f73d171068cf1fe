"""Generated and real people side by side, in pairs of columns."""

from __future__ import annotations

from typing import Any

from teorell.learn.diffusion.vectors import Rows, column

__all__ = ["pairs"]

_PAIRS = (
    ("age", "height", "y", "m"), ("age", "mass_liver", "y", "kg"),
    ("body_weight", "mass_adipose", "kg", "kg"), ("age", "gfr", "y", "mL/min/1.73 m2"),
)  # fmt: skip
_SHOWN = 2000  # people of either kind


def pairs(rows: Rows, real: Rows) -> Any:
    """A matplotlib Figure, (2, 4) panels: real people above, generated ones below. ImportError
    without matplotlib.
    """
    from teorell.results.plot import COLOR, INK

    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "no picture (matplotlib is not installed). Run pip install 'teorell[plot]'."
        ) from error
    figure, axes = plt.subplots(
        2, len(_PAIRS), figsize=(11.0, 5.0), sharex="col", sharey="col", layout="constrained"
    )
    kinds = (("sampled", real, INK), ("generated", rows, COLOR))
    for line, (name, people, color) in zip(axes, kinds, strict=True):
        for panel, (x, y, of_x, of_y) in zip(line, _PAIRS, strict=True):
            some = people[:_SHOWN]
            panel.plot(column(some, x), column(some, y), ".", color=color, markersize=1.5)
            panel.set_title(f"{name}: {y.replace('_', ' ')}, {of_y}", fontsize=9)
            panel.spines[["top", "right"]].set_visible(False)
            if people is rows:
                panel.set_xlabel(f"{x.replace('_', ' ')}, {of_x}", fontsize=9)
    return figure
