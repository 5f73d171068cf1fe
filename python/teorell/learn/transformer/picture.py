"""Six held-out patients: samples, the true curve, forecasts with bands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from teorell.learn.transformer.decoding import curves
from teorell.learn.transformer.figures import forecasts, held_out
from teorell.learn.transformer.network import LEVELS
from teorell.learn.transformer.structures import STRUCTURES

if TYPE_CHECKING:
    from teorell.learn.transformer.learner import Transformer

__all__ = ["picture"]

POINTS = 120  # of a curve


def picture(learner: Transformer, network: nn.Module) -> Any:
    """A matplotlib Figure. ImportError without matplotlib."""
    import matplotlib.pyplot as plt

    from teorell.results.plot import COLOR, INK

    given = held_out(learner, learner.configuration.kinds, 2, 6)
    rows = np.linspace(0, len(given.weight) - 1, 6).astype(int)
    given = given.rows(rows)
    last = np.nanmax(given.query_time, axis=1, keepdims=True)
    times = last * np.linspace(0.005, 1.0, POINTS)
    given = given._replace(query_time=times, query=np.full_like(times, np.nan))
    found = forecasts(learner, network, given, 0)
    figure, axes = plt.subplots(2, 3, figsize=(9.0, 5.0), layout="constrained")
    for k, ax in enumerate(axes.flat):
        one = given.rows(np.array([k]))
        truth = curves(one.what(), one.logs, one.doses, one.query_time)[0]
        band = np.exp(found["weighed"]["quantiles"][k])
        half = LEVELS.index(0.5)
        ax.fill_between(times[k], band[:, 0], band[:, -1], color=COLOR, alpha=0.25, linewidth=0)
        ax.plot(times[k], band[:, half], color=COLOR, label="weighed, 90 % band")
        direct = np.exp(found["direct"]["quantiles"][k, :, half])
        ax.plot(times[k], direct, color=INK, linewidth=0.8, linestyle=":", label="direct head")
        floor = np.exp(one.limit[0])
        ax.plot(times[k], np.maximum(np.exp(truth), floor), color=INK, label="truth")
        ax.plot(one.sample_time[0], np.exp(one.sample[0]), "o", color=INK, label="samples")
        ax.set(yscale="log", title=STRUCTURES[one.structure[0]].name)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0, 0].legend(frameon=False, fontsize="small")
    for ax in axes[1]:
        ax.set_xlabel("h")
    for ax in axes[:, 0]:
        ax.set_ylabel("mg/L")
    return figure
