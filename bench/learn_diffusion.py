"""Every figure of docs/learning.md on virtual people from the diffusion model.

    python bench/learn_diffusion.py                       # shipped weights, variants, baselines
    python bench/learn_diffusion.py --parts headline --seeds 0 1 2      # trained anew, three seeds
    python bench/learn_diffusion.py --parts variants --steps 4000       # one network a variant

Each line has n, a 95 % interval where there is one, and the wall time of its part.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from teorell.constraints import wilson
from teorell.learn.diffusion.baselines import BASELINES
from teorell.learn.diffusion.cells import CELLS, Cell, valid_in
from teorell.learn.diffusion.drawing import draw
from teorell.learn.diffusion.fidelity import area_under_curve, violation_rates
from teorell.learn.diffusion.figures import (
    REAL,
    ROUND,
    cell_figures,
    exposure_figures,
    fidelity_figures,
)
from teorell.learn.diffusion.learner import DiffusionLearner
from teorell.learn.diffusion.physics import limits_of_people, projected, violated
from teorell.learn.diffusion.trajectory import curves_violated
from teorell.learn.diffusion.vectors import Rows, column, real_people, rows_of
from teorell.learn.report import Figure, Report
from teorell.learn.trainer import load, train
from teorell.population.population import Population

PARTS = ("headline", "constraints", "baselines", "cells", "donors", "exposure", "variants")
NETWORKS = {
    "raw, z-scored": {"coordinates": "raw", "penalty": 0.0},
    "raw, z-scored + penalty 0.1": {"coordinates": "raw", "penalty": 0.1},
    "raw, z-scored + penalty 10": {"coordinates": "raw", "penalty": 10.0},
    "log-ratios": {"penalty": 0.0},
    "log-ratios + penalty 10": {"penalty": 10.0},
    "raw, z-scored + trajectory 10": {"coordinates": "raw", "penalty": 0.0, "trajectory": 10.0},
    "log-ratios + trajectory 10": {"penalty": 0.0, "trajectory": 10.0},
}


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, torch {torch.__version__}, NumPy {np.__version__}; "
        f"load {os.getloadavg()[0]:.1f} at the start",
        flush=True,
    )
    n = options.people
    real, other = (real_people(n, seed) for seed in REAL[:2])
    names = (
        [("shipped", None)] if options.seeds is None else [(f"seed {k}", k) for k in options.seeds]
    )
    for name, seed in names:
        learner, network = load(options.weights) if seed is None else trained(options, seed=seed)
        steps = learner.configuration.steps
        if "headline" in options.parts:
            show(f"{name}: every figure", learner.report, network)
        if "constraints" in options.parts:
            show(f"{name}: each constraint", each_constraint, network, steps, n)
        if "cells" in options.parts:
            for cell in CELLS:
                show(
                    f"{name}: {cell.name}", cell_figures, network, cell, steps,
                    people=n // 10, draws=options.rejection,
                )  # fmt: skip
        if "donors" in options.parts:
            for cell in CELLS:
                show(f"{name}: {cell.name}", donors_apart, network, cell, steps, n // 10)
        if "exposure" in options.parts:
            show(f"{name}: simulated drugs", exposure_figures, network, steps, options.exposed)
    if "baselines" in options.parts:
        shipped = DiffusionLearner.configurations[options.config]
        # the sampler's own people alone: these distributions know no weights of the young
        learner = DiffusionLearner(replace(shipped, young=0.0))
        for kind in BASELINES:
            show(kind.name, of_baseline, kind, learner.people.rows, n, real, other)
    if "variants" in options.parts:
        for name in options.networks:
            learner, network = trained(options, seed=0, **NETWORKS[name])
            for title, rows in variants(name, network, learner.configuration.steps, n):
                tolerance = ROUND if "projected" in title else None
                show(title, fidelity_figures, title, rows, real, other, tolerance)
                if title == name:
                    show(title, rates_of, title, rows)
                show(title, rate_of_curves, title, rows)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--weights", default="diffusion", help="a checkpoint (default: shipped)")
    parser.add_argument("--seeds", type=int, nargs="+", help="train these instead of loading")
    parser.add_argument("--config", default="shipped", choices=("tiny", "shipped"))
    parser.add_argument("--steps", type=int, help="of training; default: the configuration's")
    parser.add_argument(
        "--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), help="of the variants"
    )
    parser.add_argument("--people", type=int, default=10_000)
    parser.add_argument("--exposed", type=int, default=50_000, help="people who are simulated")
    parser.add_argument("--rejection", type=int, default=400_000, help="draws by rejection")
    parser.add_argument("--folder", type=Path, help="keeps trainings, and goes on with them")
    return parser.parse_args()


def trained(options: argparse.Namespace, seed: int, **changes: Any) -> Any:
    """A learner and its network, trained as the options say."""
    one = replace(DiffusionLearner.configurations[options.config], **changes)
    steps = options.steps or one.training.steps
    one = replace(one, training=replace(one.training, seed=seed, steps=steps))
    told = "_".join(f"{name}-{value}" for name, value in changes.items())
    name = f"{options.config}_{steps}_{seed}_{told}"
    folder = None if options.folder is None else options.folder / name
    start = time.time(), time.process_time()
    found = train(DiffusionLearner(one), folder)
    weights = sum(x.numel() for x in found.network.parameters())
    print(
        f"-- trained: {told or 'as configured'}, seed {seed}, {steps:,} steps, "
        f"{weights:,} weights, "
        f"{time.time() - start[0]:.0f} s ({time.process_time() - start[1]:.0f} s of the processor)",
        flush=True,
    )
    return found.learner, found.network


def each_constraint(network: Any, steps: int, n: int) -> list[Figure]:
    """Violation rates of each constraint, of samples as they are and projected, of real people
    before and after those who violate are left out.
    """
    rows = draw(network, n, seed=1, steps=steps, project=False).rows
    valid = draw(network, n, seed=1, steps=steps).rows
    sampled = rows_of(Population.sample(n, seed=REAL[0]), REAL[0])
    return [
        *rates_of("sampler", sampled),
        *rates_of("samples", rows),
        *rates_of("samples, tolerance 1e-6", rows, ROUND),
        *rates_of("projected, tolerance 1e-6", valid, ROUND),
    ]


def rates_of(title: str, rows: Rows, tolerance: float | None = None) -> list[Figure]:
    """Rates in %, of constraints that anybody violates, the most often violated first, and how many
    constraints nobody does.
    """
    rates = violation_rates(limits_of_people(), rows, tolerance)
    some = sorted((x for x in rates if rates[x].value), key=lambda x: -rates[x].value)
    found = [
        Figure(f"{title}: {x}, %", *(100.0 * rates[x].value, len(rows)),
               *(100.0 * each for each in rates[x][1:]))
        for x in some
    ]  # fmt: skip
    most = 100.0 * wilson(0, len(rows))[1]
    return [*found, Figure(f"{title}: others, % each", 0.0, len(rows), 0.0, most)]


def rate_of_curves(title: str, rows: Rows) -> list[Figure]:
    """Whose simulated clearance is more than the liver's blood can bring, in %."""
    wrong = int(curves_violated(rows).sum())
    low, high = (100.0 * each for each in wilson(wrong, len(rows)))
    return [Figure(f"{title}: violate curves, %", 100.0 * wrong / len(rows), len(rows), low, high)]


def variants(name: str, network: Any, steps: int, n: int) -> Iterator[tuple[str, Rows]]:
    """Samples of one network as they are, projected, and without those who violate."""
    limits = limits_of_people()
    rows = draw(network, 2 * n, seed=1, steps=steps, project=False).rows
    yield name, rows[:n]
    moved, found = projected(limits, rows[:n])
    print(f"   projection finds {found.sum():,} of {n:,}")
    yield f"{name}, projected", moved[found]
    if name.startswith("log"):  # guesses in raw columns are too far off: projections take minutes
        yield f"{name}, projected in sampling", draw(network, n, seed=1, steps=steps).rows
    valid = rows[~np.any(list(violated(limits, rows).values()), axis=0)][:n]
    print(f"   rejection keeps {len(valid):,} of the first {2 * n:,}")
    if len(valid) >= n // 4:
        yield f"{name}, rejection", valid


def donors_apart(network: Any, cell: Cell, steps: int, n: int) -> list[Figure]:
    """The discriminator of a cell, tested on real people whose NHANES donors it has not seen: few
    were measured in a rare cell, and the sampler's blur about each is narrow, so that real people
    stand in clumps which any discriminator finds, whatever the network does. Mean of four halves.

    Reads the sampler's own numbers, and stops if these are no longer what it draws by.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from teorell.population.donors import chosen, donors
    from teorell.population.draws import evenly, rounds, uniforms
    from teorell.population.request import requested
    from teorell.population.sample import EACH

    asked = {name: cell.near.get(name) for name in ("age", "sex", "bmi", "gfr")}
    likes = chosen(requested("human", **asked), True)
    rows = likes.rows
    people, donor = [], []
    for seed in range(REAL[0], REAL[0] + 20):
        some = rows_of(Population.sample(30_000, seed=seed, **cell.near), seed)
        turns = rounds(seed, len(some), rows.size)
        blocks = evenly(uniforms(seed, len(some), EACH), turns, rows.size)
        first = np.concatenate([block[:, 0] for block in blocks]) * likes.edges[-1]
        at = np.searchsorted(likes.edges, first, side="right")
        places = rows[np.minimum(at, rows.size - 1)]
        off = column(some, "age") - donors().age[places]
        if not ((off > -1e-9) & (off < 1 / 12 + 1e-9)).all():
            raise SystemExit("these are not the donors: the sampler draws by other numbers")
        good = valid_in(cell, some)
        people.append(some[good])
        donor.append(places[good])
        if sum(map(len, people)) >= n:
            break
    real, donor = np.concatenate(people)[:n], np.concatenate(donor)[:n]
    made = draw(network, len(real), cell.wanted, seed=2, steps=steps).rows
    rng, known, areas = np.random.default_rng(0), np.unique(donor), []
    for _ in range(4):
        mine = np.isin(donor, rng.permutation(known)[: len(known) // 2])
        half = rng.random(len(made)) < 0.5
        trees = HistGradientBoostingClassifier(
            max_iter=200, learning_rate=0.08, max_leaf_nodes=15, early_stopping=True, random_state=0
        )
        x, y = np.concatenate([real[mine], made[half]]), np.repeat([1, 0], [mine.sum(), half.sum()])
        trees.fit(x, y)
        x = np.concatenate([real[~mine], made[~half]])
        y = np.repeat([1, 0], [(~mine).sum(), (~half).sum()])
        areas.append(area_under_curve(trees.predict_proba(x)[:, 1], y == 1).value)
    return [
        Figure(f"{cell.name}: donors", len(known), len(real)),
        Figure(f"{cell.name}: AUC, donors apart", float(np.mean(areas)), len(real), min(areas),
               max(areas), "0.40 to 0.60; least and greatest"),
    ]  # fmt: skip


def of_baseline(kind: Any, people: Rows, n: int, real: Rows, other: Rows) -> Any:
    rows = kind(people).sample(real[:n, 0].copy(), seed=1)
    return fidelity_figures(kind.name, rows, real, other)


def show(title: str, work: Any, *given: Any, **more: Any) -> None:
    start = time.time(), time.process_time()
    found = work(*given, **more)
    report = found if isinstance(found, Report) else Report(title, tuple(found))
    wall, own = time.time() - start[0], time.process_time() - start[1]
    print(f"{report}\n   {wall:.0f} s ({own:.0f} s of the processor)\n", flush=True)


if __name__ == "__main__":
    main()
