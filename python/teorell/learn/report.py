"""What an evaluation found: figures with intervals, and pictures; as text and as files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from teorell.packages import needed
from teorell.tables import aligned, write_csv

__all__ = ["Figure", "Report", "learning_curve"]


class Figure(NamedTuple):
    """One number: what it is, its value, how many it is of, its 95 % interval, the goal."""

    what: str
    value: float
    n: int
    low: float | None = None
    high: float | None = None
    goal: str = ""


@dataclass(frozen=True)
class Report:
    """Figures, in order, and pictures by file name: each a function that draws one."""

    title: str
    figures: tuple[Figure, ...]
    pictures: Mapping[str, Callable[[], Any]] = field(default_factory=dict)

    def __str__(self) -> str:
        rows = [("", "value", "95 %", "n", "goal")] + [
            (
                one.what,
                f"{one.value:.3f}",
                "" if one.low is None else f"[{one.low:.3f}, {one.high:.3f}]",
                f"{one.n:,}",
                one.goal,
            )
            for one in self.figures
        ]
        return f"{self.title}\n{aligned(rows)}"

    def write(self, folder: Path) -> list[Path]:
        """Write figures.csv and the pictures; returns the paths. ImportError without matplotlib."""
        folder.mkdir(parents=True, exist_ok=True)
        written = [write_csv(folder / "figures.csv", Figure._fields, self.figures)]
        for name, draw in self.pictures.items():
            written.append(folder / f"{name}.png")
            draw().savefig(written[-1], dpi=120)
        return written


def learning_curve(losses: Any, held_out: Any) -> Any:
    """The loss of each step and that of held-out data (NaN: not computed), as a matplotlib Figure.

    Both are (steps,). ImportError without matplotlib.
    """
    import numpy as np

    from teorell.results.plot import COLOR, INK

    with needed("matplotlib", "picture", "'teorell[plot]'"):
        import matplotlib.pyplot as plt
    losses, held_out = np.asarray(losses), np.asarray(held_out)
    figure, axes = plt.subplots(figsize=(6.0, 3.4), layout="constrained")
    steps = 1 + np.arange(losses.size)
    axes.plot(steps, losses, color=COLOR, alpha=0.5, linewidth=0.8, label="batches")
    seen = np.isfinite(held_out)
    if seen.any():
        axes.plot(steps[seen], held_out[seen], color=INK, linewidth=1.5, label="held out")
    axes.set(xlabel="step", ylabel="loss")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
