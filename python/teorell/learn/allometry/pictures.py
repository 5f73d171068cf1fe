"""Pictures of neural allometry: drugs that were never seen, organs along body mass."""

from __future__ import annotations

from typing import Any

import numpy as np

from teorell.learn.allometry.drug_head import DrugHead, DrugPart
from teorell.learn.allometry.drug_table import TARGETS, measured
from teorell.learn.allometry.organ_head import OrganPart, half
from teorell.learn.allometry.organ_table import QUANTITIES
from teorell.learn.allometry.trajectory import HIGHEST, LOWEST, Trajectory
from teorell.results.plot import COLOR, INK

__all__ = ["drugs_picture", "organs_picture"]

SHOWN = (("liver", "volume"), ("brain", "volume"), ("kidney", "flow"), ("plasma", "flow"))
UNITS = {"CL": "mL/min/kg", "VDss": "L/kg", "volume": "L", "flow": "mL/min"}
PRIMATES = 2


def drugs_picture(part: DrugPart, network: DrugHead) -> Any:
    """Predicted against observed, each drug by networks that never saw it, with twofold lines."""
    plt = _pyplot()
    figure, panels = plt.subplots(1, 2, figsize=(9.0, 4.2), layout="constrained")
    for axes, target in zip(panels, TARGETS, strict=True):
        logs = part.drugs.of(target)
        rows = np.isfinite(logs[:, 0]) & (measured(logs) >= 2)
        predicted, observed = 10 ** part.unseen(network, target)[rows], 10 ** logs[rows, 0]
        ends = np.array(
            [min(predicted.min(), observed.min()), max(predicted.max(), observed.max())]
        )
        for factor, style in ((0.5, ":"), (1.0, "-"), (2.0, ":")):
            axes.loglog(ends, factor * ends, style, color=INK, linewidth=1.0)
        axes.loglog(predicted, observed, "o", color=COLOR, alpha=0.6, markersize=4.0)
        unit = UNITS[target]
        axes.set(xlabel=f"predicted {target}, {unit}", ylabel=f"observed {target}, {unit}")
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def organs_picture(part: OrganPart, network: Trajectory) -> Any:
    """Four quantities from 10 g to 5 t, 90 % bands, and the species that they were learned from."""
    plt = _pyplot()
    figure, panels = plt.subplots(1, 4, figsize=(12.0, 3.2), layout="constrained")
    mass = np.linspace(LOWEST, HIGHEST, 60)
    mean, sd = part.at(network, mass, PRIMATES)
    reach = half(part.scores(network), 0.9) * sd
    for axes, (organ, quantity) in zip(panels, SHOWN, strict=True):
        place = part.organs.organs.index(organ), QUANTITIES.index(quantity)
        node, kind = place
        middle, far = mean[:, node, kind], reach[:, node, kind]
        axes.fill_between(
            10**mass, 10 ** (middle - far), 10 ** (middle + far), color=COLOR, alpha=0.25
        )
        axes.loglog(10**mass, 10**middle, color=COLOR)
        axes.loglog(10**part.organs.mass, 10 ** part.organs.logs[:, node, kind], "o", color=INK)
        axes.set(xlabel="body mass, kg", ylabel=f"{organ}: {quantity}, {UNITS[quantity]}")
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "no picture (matplotlib is not installed). Run pip install 'teorell[plot]'."
        ) from error
    return plt
