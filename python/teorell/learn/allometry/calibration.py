"""Whether intervals hold what they say, of drugs and of species that were never seen."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.learn.allometry.drug_head import DrugPart
from teorell.learn.allometry.drug_table import TARGETS, measured
from teorell.learn.allometry.organ_head import OrganPart, half

__all__ = ["BANDS", "calibration", "calibration_picture", "covered", "organs_covered"]

BANDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


def covered(part: DrugPart, unseen: Array, target: str, level: float) -> NDArray[np.bool_]:
    """Whether each drug lies in the interval that others with as many animals give, (drugs,)."""
    error = np.abs(unseen - part.drugs.of(target)[:, 0])
    animals = measured(part.drugs.of(target))
    found = np.zeros(len(error), dtype=bool)
    for drug in np.flatnonzero(np.isfinite(error) & (animals >= 1)):
        others = np.isfinite(error) & (animals == animals[drug])
        others[drug] = False
        found[drug] = error[drug] <= np.quantile(error[others], level, method="higher")
    return found


def organs_covered(scores: Array, level: float) -> NDArray[np.bool_]:
    """Whether each organ lies in the interval that other species give, as scores (`OrganPart`)."""
    most = [half(np.delete(scores, i, axis=0), level) for i in range(len(scores))]
    found: NDArray[np.bool_] = scores <= np.array(most)[:, None, None]
    return found


def calibration(drugs: DrugPart, organs: OrganPart, network: Any) -> dict[str, Array]:
    """The share of drugs, and of organs, inside their intervals of BANDS."""
    found = {}
    for target in TARGETS:
        logs, unseen = drugs.drugs.of(target), drugs.unseen(network.drugs, target)
        rows = np.isfinite(logs[:, 0]) & (measured(logs) >= 1)
        inside = [covered(drugs, unseen, target, level)[rows].mean() for level in BANDS]
        found[target] = np.array(inside)
    scores = organs.scores(network.organs)
    seen = np.isfinite(scores)
    found["organs"] = np.array([organs_covered(scores, level)[seen].mean() for level in BANDS])
    return found


def calibration_picture(drugs: DrugPart, organs: OrganPart, network: Any) -> Any:
    """`calibration` as a matplotlib Figure. ImportError without matplotlib."""
    from teorell.packages import needed
    from teorell.results.plot import COLOR, INK

    with needed("matplotlib", "picture", "'teorell[plot]'"):
        import matplotlib.pyplot as plt
    figure, axes = plt.subplots(figsize=(4.2, 4.0), layout="constrained")
    axes.plot([0, 100], [0, 100], color=INK, linewidth=0.6, linestyle=":")
    level = 100 * np.array(BANDS)
    for (name, shares), style in zip(
        calibration(drugs, organs, network).items(), ("o-", "s--", "x:"), strict=True
    ):
        color = INK if name == "organs" else COLOR
        axes.plot(level, 100 * shares, style, color=color, markersize=4, linewidth=1, label=name)
    axes.set(xlabel="interval, %", ylabel="unseen drugs and organs inside, %")
    axes.legend(frameon=False, fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
