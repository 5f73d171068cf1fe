"""What the physics term of the forecasting transformer brings: the same training with and without,
by hours after the last sample.

python bench/learn_transformer_physics.py OUT [--steps 1000] [--seed 0] [--physics 0.3]
    [--patients 960] [--samples 2]

OUT: a folder for the two trainings, which go on where they were interrupted. Held-out drugs and
people of the whole-body model, and compartments beside them; samples within 72 h, doses for up to
240 h. Each line: log-RMSE of the direct head without and with, and the ratio with / without
[95 % interval, studies drawn with replacement]; then the same over queries above the limit of
quantification alone.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from teorell.arrays import Array
from teorell.learn.metrics import bootstrap
from teorell.learn.randomness import generator
from teorell.learn.trainer import train
from teorell.learn.transformer.decoding import curves
from teorell.learn.transformer.figures import SEED
from teorell.learn.transformer.inference import answers
from teorell.learn.transformer.learner import Transformer
from teorell.learn.transformer.studies import HELD_OUT, MOST_SAMPLES, Studies, draw

AFTER = (6.0, 24.0, 72.0, 168.0)  # h after the last sample
SAMPLED = (0.5, 72.0)  # h, when samples are taken, log-uniform
LENGTH = 240.0  # h, as long as studies of trainings
STEP = 4000  # of the stream of held-out studies: drugs of no other table


def studies_of(
    names: tuple[str, ...], kinds: tuple[str, ...], patients: int, samples: int
) -> Studies:
    """Held-out patients, asked for at AFTER; at least `patients` of them."""
    given = draw(
        SEED, STEP + samples, HELD_OUT, structures=names, kinds=kinds,
        studies=-(-patients // (4 * len(names))), patients=4, queries=len(AFTER), samples=samples,
        horizons=(LENGTH, LENGTH),
    )  # fmt: skip
    rng = generator(SEED, STEP, HELD_OUT + 1)
    n = len(given.weight)
    times = np.full((n, MOST_SAMPLES), np.nan)
    low, high = np.log(SAMPLED)
    times[:, :samples] = np.sort(np.exp(rng.uniform(low, high, (n, samples))), axis=1)
    queries = times[:, samples - 1, None] + np.array(AFTER)
    level = np.full((n, MOST_SAMPLES), np.nan)
    truth = np.empty((n, len(AFTER)))
    for place in np.unique(given.structure):
        rows = given.structure == place
        part = given.rows(rows)
        both = np.concatenate([times[rows, :samples], queries[rows]], axis=1)
        found = curves(part.what(), part.logs, part.doses, both)
        level[rows, :samples], truth[rows] = found[:, :samples], found[:, samples:]
    level += given.noise[:, None] * rng.standard_normal(level.shape)
    limit = given.limit[:, None]
    given = given._replace(
        sample_time=times, sample=np.maximum(level, limit), below=level < limit,
        query_time=queries, query=np.maximum(truth, limit),
    )  # fmt: skip
    return given.rows(np.isfinite(truth).all(axis=1) & np.isfinite(level[:, :samples]).all(axis=1))


def direct(network: Any, given: Studies) -> Array:
    """Errors of the direct head, (patients, AFTER)."""
    nobody = np.full((len(given.weight), 1), -1)
    return answers(network, given, nobody)[0].mean - given.query


def line(after: int, without: Array, within: Array, given: Studies, counts: Array) -> str:
    """One horizon, over the rows where `counts`."""

    def rmse(errors: Array, rows: Any) -> float:
        return float(np.sqrt(np.mean(errors[rows, after][counts[rows, after]] ** 2)))

    def ratio(rows: Any) -> float:
        return rmse(within, rows) / rmse(without, rows)

    n = len(given.weight)
    rows = np.arange(n)
    low, high = bootstrap(ratio, n, groups=given.study, draws=1000)
    return (
        f"{rmse(without, rows):.3f}  {rmse(within, rows):.3f}  {ratio(rows):.3f} "
        f"[{low:.3f}, {high:.3f}]  n = {int(counts[:, after].sum())}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--physics", type=float, default=0.3)
    parser.add_argument("--patients", type=int, default=960)
    parser.add_argument("--samples", type=int, default=2)
    options = parser.parse_args()
    shipped = Transformer.configurations["shipped"]
    training = replace(
        shipped.training, steps=options.steps, seed=options.seed, check_every=options.steps
    )
    networks = {}
    for name, physics in (("without", 0.0), ("with", options.physics)):
        learner = Transformer(replace(shipped, training=training, physics=physics))
        networks[name] = train(learner, options.out / name).network
    print(f"{options.steps} steps each, seed {options.seed}, physics {options.physics}")
    print("hours after the last sample: without, with, ratio")
    for what, names in (("whole body", shipped.bodies), ("compartments", shipped.structures)):
        given = studies_of(names, shipped.kinds, options.patients, options.samples)
        without, within = (direct(networks[name], given) for name in ("without", "with"))
        everything = np.ones(given.query.shape, bool)
        above = given.query > given.limit[:, None]
        for place, hours in enumerate(AFTER):
            for told, counts in (("all", everything), ("above the limit", above)):
                found = line(place, without, within, given, counts)
                print(f"{what}, {hours:g} h, {told}: {found}", flush=True)


if __name__ == "__main__":
    main()
