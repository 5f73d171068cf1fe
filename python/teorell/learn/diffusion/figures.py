"""Every figure of a trained network, against people of the sampler that nothing was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from teorell.learn.diffusion.calibration import calibration
from teorell.learn.diffusion.cells import CELLS, rejected, rejection_rate
from teorell.learn.diffusion.drawing import draw
from teorell.learn.diffusion.drugs import DRUGS
from teorell.learn.diffusion.exposure import exposures, worst_quantile
from teorell.learn.diffusion.fidelity import (
    Share,
    correlation_error,
    discriminator,
    nearest_is_of_first,
    violation_rates,
    worst_ks,
)
from teorell.learn.diffusion.network import Denoiser
from teorell.learn.diffusion.physics import limits_of_people
from teorell.learn.diffusion.picture import pairs
from teorell.learn.diffusion.scaling import scaling, scaling_picture
from teorell.learn.diffusion.vectors import Rows, column, real_people
from teorell.learn.report import Figure, Report

if TYPE_CHECKING:
    from teorell.learn.diffusion.learner import DiffusionLearner

__all__ = ["REAL", "cell_figures", "exposure_figures", "fidelity_figures", "report"]

REAL = (8_000_001, 8_000_002, 8_000_003)  # seeds of people that nobody is trained on
ROUND = 1e-6  # tolerance after projection, of equalities and bounds
_NEAR = 20_000  # people of either kind that may be the nearest


def report(learner: DiffusionLearner, network: Denoiser) -> Report:
    """Figures of samples as they are, and projected; of neighbours, cells and simulated drugs."""
    one = learner.configuration
    n, steps = one.evaluated, one.steps
    real, other = (real_people(n, seed) for seed in REAL[:2])
    alone = draw(network, n, seed=1, steps=steps, project=False).rows
    valid = draw(network, n, seed=1, steps=steps).rows
    figures = [
        *fidelity_figures("real people", other, real, real),
        *fidelity_figures("samples", alone, real, other),
        *fidelity_figures("projected", valid, real, other, tolerance=ROUND),
        _nearest(learner, network, valid),
    ]
    for cell in CELLS if n >= 5000 else ():
        figures += cell_figures(network, cell, steps, people=n // 10, draws=20 * n)
    if n >= 5000:
        figures += exposure_figures(network, steps, n)
    figures += scaling(network, real)
    pictures = {
        "pairs": lambda: pairs(valid, real),
        "calibration": lambda: calibration(valid, real, other),
        "scaling": lambda: scaling_picture(figures),
    }
    title = f"diffusion: {n:,} people, training seed {one.training.seed}"
    return Report(title, tuple(figures), pictures)


def fidelity_figures(
    name: str, rows: Rows, real: Rows, other: Rows, tolerance: float | None = None
) -> list[Figure]:
    """Of people against real ones; other: real people too, for what chance alone makes of the
    distance of distributions.
    """
    n = len(rows)
    found = []
    goals = {False: "<= 0.55", True: "<= 0.56"} if tolerance is None else {}
    for more in (False, True):
        what = f"{name}: AUC, derived too" if more else f"{name}: discriminator's AUC"
        found.append(_of(what, discriminator(rows, real, more=more), n, goals.get(more, "")))
    distance, worst = worst_ks(rows, real)
    chance, _ = worst_ks(other, real)
    goal = "" if other is real else f"<= {chance + 0.005:.3f}"
    found.append(Figure(f"{name}: worst KS ({worst})", distance, n, goal=goal))
    error = correlation_error(rows, real)
    found.append(Figure(f"{name}: correlation error", error, n, goal="<= 0.012"))
    rates = violation_rates(limits_of_people(), rows, tolerance)
    goal = "<= 0.500" if tolerance is None else "0"
    for kind in ("any", "inequalities"):
        rate = Share(*(100.0 * each for each in rates[kind]))
        found.append(_of(f"{name}: violate {kind}, %", rate, n, goal))
    return found


def cell_figures(
    network: Denoiser, cell: Any, steps: int, *, people: int, draws: int
) -> list[Figure]:
    """Draws for a person of a cell, by rejection and by the network, and a discriminator."""
    rate = rejection_rate(cell, draws, REAL[2])
    drawn = draw(network, people, cell.wanted, seed=2, steps=steps)
    real = rejected(cell, people, REAL[0])
    n = min(people, len(real))
    cost = drawn.draws / people
    found = [Figure(f"{cell.name}: draws of the network", cost, people)]
    if rate.value:
        told = Share(*(1.0 / each if each else np.inf for each in (rate[0], rate[2], rate[1])))
        found.append(_of(f"{cell.name}: draws by rejection", told, draws))
    else:
        found.append(Figure(f"{cell.name}: draws by rejection, at least", 1 / rate.high, draws))
    if n >= 50:
        area = discriminator(drawn.rows[:n], real[:n])
        found.append(_of(f"{cell.name}: discriminator's AUC", area, n, "0.40 to 0.60"))
    return found


def exposure_figures(network: Denoiser, steps: int, n: int) -> list[Figure]:
    """The worst percentile of AUC and Cmax of two drugs, in %, and that of real people. All take
    one dose, so that the highest of all ages are those of infants.
    """
    people = [draw(network, n, seed=3, steps=steps).rows, *(real_people(n, k) for k in REAL[:2])]
    found = []
    for drug, cleared_by in DRUGS:
        all_of = [exposures(rows, drug, cleared_by) for rows in people]
        adults = [
            each[column(rows, "age") >= 18.0] for each, rows in zip(all_of, people, strict=True)
        ]
        for who, (made, real, other) in (("all ages", all_of), ("adults", adults)):
            chance = 100.0 * worst_quantile(other, real)
            worst = 100.0 * worst_quantile(made, real)
            goal = f"<= {chance + 3:.2f}"
            found += [
                Figure(f"{drug.name}, {who}: worst percentile, %", worst, len(made), goal=goal),
                Figure(f"{drug.name}, {who}: the same of real people, %", chance, len(other)),
            ]
    return found


def _nearest(learner: DiffusionLearner, network: Denoiser, rows: Rows) -> Figure:
    """Whether people are nearer to those of the training than to others."""
    count = min(_NEAR, learner.configuration.people)
    trained = learner.people.rows[:count]
    groups = (rows[:2000], trained, real_people(count, REAL[2]))
    points = [network.coordinates.encode(torch.from_numpy(each)).numpy() for each in groups]
    share = nearest_is_of_first(points[0], points[1], points[2])
    return _of("nearest neighbour is of the training", share, len(points[0]), "0.5 within interval")


def _of(what: str, share: Share, n: int, goal: str = "") -> Figure:
    return Figure(what, share.value, n, share.low, share.high, goal)
