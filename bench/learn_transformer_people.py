"""Forecasts of people whose organs differ in more than the whole-body decoder knows.

python bench/learn_transformer_people.py [CHECKPOINT] [--patients 400] [--samples 2 4]

The decoder of "oral-whole-body" and "iv-whole-body" knows a body's size, its fat, its cardiac index
and filtration; other organs are the reference man's. Here the same held-out drugs and doses are
given to bodies of the decoder, and to adults of tl.Population with all of their organs, flows and
haematocrit. Each line: log-RMSE and share in the 90 % band of weighed forecasts
[95 % interval, studies drawn with replacement].
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import teorell as tl
from teorell.arrays import Array
from teorell.learn.metrics import bootstrap, coverage
from teorell.learn.randomness import generator
from teorell.learn.trainer import load
from teorell.learn.transformer.decoding import LEAST, RTOL, centre
from teorell.learn.transformer.figures import SEED, forecasts
from teorell.learn.transformer.priors import PARAMETERS, WEIGHTS
from teorell.learn.transformer.structures import STRUCTURES, Structure
from teorell.learn.transformer.studies import HELD_OUT, MOST_SAMPLES, Studies, draw

STEP = 7000  # of the stream of held-out studies: drugs of no other table
MORE = ("mass_share_", "flow_share_", "haematocrit")  # what the decoder's bodies have alike


def people_of(n: int) -> Any:
    """Adults within the weights that the network was trained on."""
    some = tl.Population.sample(3 * n, seed=SEED)
    weight, age = some["body_weight"], some["age"]
    return some[np.flatnonzero((weight > WEIGHTS[0]) & (weight < WEIGHTS[1]) & (age >= 18))[:n]]


def levels(what: Structure, given: Studies, body: dict[str, Array]) -> Array:
    """log concentrations at samples, then queries, of these bodies."""
    times = np.concatenate([given.sample_time, given.query_time], axis=1)
    order = np.argsort(times, axis=1)
    doses = given.doses
    duration = doses.duration if what.absorption == "iv" else None
    regimen = tl.Regimen.columns(doses.amount, what.into, doses.time, duration=duration)
    found = tl.simulate(
        what.model, what.values(given.logs) | body, regimen, np.take_along_axis(times, order, 1),
        what.output, threads=1, rtol=RTOL,
    ).values[..., 0]  # fmt: skip
    back = np.argsort(order, axis=1)
    return np.log(np.maximum(np.take_along_axis(found, back, axis=1), LEAST))


def measured(given: Studies, bodies: dict[str, Array], samples: int) -> Studies:
    """The same patients with what is measured, and asked for, of these bodies."""
    rng = generator(SEED, STEP, HELD_OUT + 1)
    n = len(given.weight)
    times = np.exp(rng.uniform(np.log(0.25), np.log(24.0), (n, MOST_SAMPLES)))
    times.sort(axis=1)
    given = given._replace(sample_time=times)
    found = np.empty((n, MOST_SAMPLES + given.query_time.shape[1]))
    for place in np.unique(given.structure):
        rows = given.structure == place
        body = {name: x[rows] for name, x in bodies.items()}
        found[rows] = levels(STRUCTURES[place], given.rows(rows), body)
    noisy = found[:, :MOST_SAMPLES] + given.noise[:, None] * rng.standard_normal(times.shape)
    limit = given.limit[:, None]
    spread = np.linspace(0, MOST_SAMPLES - 1, samples).round()  # early ones and late ones
    seen = np.isin(np.arange(MOST_SAMPLES), spread)
    given = given._replace(
        sample=np.where(seen, np.maximum(noisy, limit), np.nan), below=(noisy < limit) & seen,
        query=np.maximum(found[:, MOST_SAMPLES:], limit),
    )  # fmt: skip
    return given.rows(np.isfinite(found).all(axis=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("checkpoint", nargs="?", default="transformer")
    parser.add_argument("--patients", type=int, default=400)
    parser.add_argument("--samples", type=int, nargs="+", default=[2, 4])
    options = parser.parse_args()
    learner: Any
    learner, network = load(options.checkpoint)
    one = learner.configuration
    for samples in options.samples:
        given = draw(
            SEED, STEP + samples, HELD_OUT, structures=one.bodies, kinds=one.kinds,
            studies=-(-options.patients // (one.patients * len(one.bodies))),
            patients=one.patients, queries=one.queries, samples=0,
        )  # fmt: skip
        people = people_of(len(given.weight))
        weight = np.asarray(people["body_weight"])
        logs = given.logs - centre(given.weight) + centre(weight)
        for name, column in (
            ("size", "body_weight"), ("cardiac", "cardiac_index"), ("fat", "mass_share_adipose"),
        ):  # fmt: skip
            logs[:, PARAMETERS.index(name)] = np.log(people[column])
        given = given._replace(logs=logs, weight=weight)
        body = {name: np.asarray(people[name]) for name in people if name.startswith(MORE)}
        body = {name: x for name, x in body.items() if name in STRUCTURES[-1].model.parameter_names}
        for who, bodies in (("the decoder's bodies", {}), ("people", body)):
            mine = measured(given, bodies, samples)
            found = forecasts(learner, network, mine, 0)["weighed"]
            errors, bands = found["mean"] - mine.query, found["quantiles"]

            def rmse(rows: Any, errors: Array = errors) -> float:
                return float(np.sqrt(np.mean(errors[rows] ** 2)))

            def inside(rows: Any, bands: Array = bands, mine: Studies = mine) -> float:
                return coverage(bands[rows][..., 0], bands[rows][..., -1], mine.query[rows])

            n = len(mine.weight)
            told = []
            for figure in (rmse, inside):
                low, high = bootstrap(figure, n, groups=mine.study, draws=500)
                told.append(f"{figure(np.arange(n)):.3f} [{low:.3f}, {high:.3f}]")
            print(f"{samples} samples, {who}, n = {n}: log-RMSE {told[0]}, in band {told[1]}",
                  flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
