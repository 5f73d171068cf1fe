"""How far samples are off by the number of the sampler's steps, whatever a network was told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from teorell.learn.diffusion.drawing import draw
from teorell.learn.diffusion.fidelity import correlation_error, discriminator, worst_ks
from teorell.learn.diffusion.network import Denoiser
from teorell.learn.diffusion.vectors import Rows
from teorell.learn.report import Figure

__all__ = ["STEPS", "scaling", "scaling_picture"]

STEPS = (5, 10, 20, 40)
AUC, KS, CORRELATION = "discriminator's AUC", "worst KS", "correlation error"


def scaling(network: Denoiser, real: Rows) -> list[Figure]:
    """Of as many people as there are real ones, drawn in STEPS steps and not projected."""
    found, n = [], len(real)
    for steps in STEPS:
        rows = draw(network, n, seed=1, steps=steps, project=False).rows
        area = discriminator(rows, real)
        found += [
            Figure(_name(AUC, steps), area.value, n, area.low, area.high),
            Figure(_name(KS, steps), worst_ks(rows, real)[0], n),
            Figure(_name(CORRELATION, steps), correlation_error(rows, real), n),
        ]
    return found


def scaling_picture(figures: Iterable[Figure]) -> Any:
    """What `scaling` found, of a report: a matplotlib Figure. ImportError without matplotlib."""
    from teorell.packages import needed
    from teorell.results.plot import COLOR, INK

    with needed("matplotlib", "picture", "'teorell[plot]'"):
        import matplotlib.pyplot as plt
    known = {one.what: one.value for one in figures}
    figure, panels = plt.subplots(1, 3, figsize=(9.0, 3.0), layout="constrained")
    for axes, (what, best, goal) in zip(
        panels, ((AUC, 0.5, 0.55), (KS, 0.0, None), (CORRELATION, 0.0, 0.012)), strict=True
    ):
        values = np.array([known[_name(what, steps)] for steps in STEPS])
        axes.plot(STEPS, values, "o-", color=COLOR)
        if goal is not None:
            axes.axhline(goal, color=INK, linewidth=0.8, linestyle=":")
        axes.set(
            xscale="log",
            xlabel="steps of sampling",
            title=what,
            ylim=(min(best, values.min()), None),
        )
        axes.set_xticks(STEPS, [str(steps) for steps in STEPS])
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _name(what: str, steps: int) -> str:
    return f"{steps} steps of sampling: {what}"
