"""How the error of drugs that were never seen falls with the number of drugs learned from.

Of the linear models below the networks alone: networks of each size would be trainings of their
own. With all drugs the networks stand beside them, in `drug_figures`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from teorell.arrays import Array
from teorell.learn.allometry.drug_head import DrugConfiguration, DrugPart
from teorell.learn.allometry.drug_table import TARGETS, Drugs, measured
from teorell.learn.metrics import bootstrap
from teorell.learn.report import Figure

__all__ = ["scaling", "scaling_picture"]

SHARES = (0.125, 0.25, 0.5, 1.0)  # of the drugs of the table
FOLDS = 10


def scaling(drugs: Drugs, seed: int, folds: int = FOLDS) -> list[Figure]:
    """GMFE of drugs with two animals or more; each drug by models that never saw it, of `folds`.

    The smaller tables are parts of the larger ones, drawn by `seed`.
    """
    order = np.random.default_rng(seed).permutation(len(drugs.names))
    found = []
    for share in SHARES:
        rows = np.sort(order[: round(share * len(order))])
        part = DrugPart(DrugConfiguration(folds=folds), _rows(drugs, rows), seed)
        for target in TARGETS:
            logs = drugs.of(target)
            judged = np.isfinite(logs[:, 0]) & (measured(logs) >= 2)
            error = np.abs(_unseen(part, drugs, rows, target) - logs[:, 0])[judged]

            def statistic(which: Any, error: Array = error) -> float:
                return float(10 ** error[which].mean())

            low, high = bootstrap(statistic, len(error))
            value = statistic(np.arange(len(error)))
            found.append(Figure(_name(target, len(rows)), value, len(error), low, high))
    return found


def scaling_picture(figures: Iterable[Figure], drugs: int) -> Any:
    """What `scaling` found of a table of so many drugs, of a report, and the networks with all: a
    matplotlib Figure. ImportError without matplotlib.
    """
    from teorell.packages import needed
    from teorell.results.plot import COLOR, INK

    with needed("matplotlib", "picture", "'teorell[plot]'"):
        import matplotlib.pyplot as plt
    known = {one.what: one for one in figures}
    sizes = [round(share * drugs) for share in SHARES]
    figure, panels = plt.subplots(1, 2, figsize=(7.0, 3.2), layout="constrained")
    for axes, target in zip(panels, TARGETS, strict=True):
        points = [known[_name(target, size)] for size in sizes]
        y = np.array([one.value for one in points])
        ends = np.array([(one.low, one.high) for one in points], dtype=float).T
        axes.errorbar(sizes, y, np.abs(ends - y), fmt="o-", color=COLOR, label="linear models")
        whole = known[f"{target}, 2 species or more: GMFE, network"]
        axes.plot(sizes[-1:], [whole.value], "s", color=INK, label="with the networks")
        axes.set(xscale="log", xlabel="drugs learned from", ylabel=f"{target}: GMFE")
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False, fontsize="small")
    return figure


def _unseen(part: DrugPart, drugs: Drugs, rows: Any, target: str) -> Array:
    """log10 of all drugs: those of the part by the fold without them, others by the mean of all."""
    every = part.linear(target, drugs.without_humans())
    found: Array = every.mean(axis=0)
    found[rows] = every[part.fold, rows]
    return found


def _rows(drugs: Drugs, rows: Any) -> Drugs:
    """Some of the drugs."""
    names, smiles = (tuple(each[i] for i in rows) for each in (drugs.names, drugs.smiles))
    arrays = (drugs.mass, drugs.CL, drugs.VDss, drugs.unbound, drugs.structure)
    return Drugs(names, smiles, *(each[rows] for each in arrays))


def _name(target: str, drugs: int) -> str:
    return f"{target}, linear models of {drugs} drugs: GMFE"
