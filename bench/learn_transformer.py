"""Forecasts of held-out drugs and patients by regimen and number of samples: the table of
docs/learning.md.

python bench/learn_transformer.py [CHECKPOINT] [--patients 2000] [--samples 2 4] [--kinds ...]

CHECKPOINT: a file of `teorell train transformer`; what ships if it is not given. Each line is a
case: log-RMSE [95 % interval, studies drawn with replacement] of the direct head, of draws of the
posterior head decoded by the solver but not weighed, of weighed draws, of MAP with the true model
and prior, and of the Bayes floor, with its Monte Carlo error. 2,000 patients take minutes a case.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from teorell.arrays import Array
from teorell.learn.metrics import bootstrap, rmse
from teorell.learn.trainer import load
from teorell.learn.transformer.figures import forecasts, held_out
from teorell.learn.transformer.floors import floor, last_value, maximum, population
from teorell.learn.transformer.inference import (
    Effort,
    answers,
    target_of,
    weighed_by_structure,
)
from teorell.learn.transformer.learner import Transformer
from teorell.learn.transformer.network import LEVELS
from teorell.learn.transformer.regimens import KINDS, UNSEEN
from teorell.learn.transformer.studies import Studies
from teorell.learn.transformer.weighing import Weighed, weigh

PLAIN = Effort(draws=64, least=0.0, rounds=0)


def not_weighed(network: Any, given: Studies) -> Array:
    """The mean log concentration of draws of the posterior head as they come."""
    nobody = np.full((len(given.weight), 1), -1)
    posterior = answers(network, given, nobody)[1]

    def one(rows: Any, part: Studies, effort: Effort) -> Weighed:
        mine, target = posterior.rows(torch.from_numpy(rows)), target_of(part)

        def as_drawn(z: Array, which: Any) -> tuple[Array, Array]:
            own = mine.rows(torch.from_numpy(which)).log_density(torch.from_numpy(z))
            return own.numpy(), target(z, which)[1]

        return weigh(mine, as_drawn, **effort._asdict())

    return weighed_by_structure(given, one, PLAIN, LEVELS)["mean"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("checkpoint", nargs="?", default="transformer")
    parser.add_argument("--patients", type=int, default=2000)
    parser.add_argument("--samples", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    learner, network = load(options.checkpoint)
    if not isinstance(learner, Transformer):
        parser.error(f"{options.checkpoint} is a {learner.name}, not a transformer")
    print("structures:", ", ".join(learner.configuration.structures))
    unseen = [kind for kind in UNSEEN if kind not in learner.configuration.kinds]
    for kind in options.kinds:
        seen = "never trained on" if kind in unseen else "trained on"
        for samples in options.samples:
            given = held_out(learner, (kind,), samples, options.patients)
            given = given.rows(np.flatnonzero(np.isfinite(given.query).all(axis=1)))
            found = forecasts(learner, network, given, 0)
            curve, about = maximum(given)
            best = floor(given, about)
            means = {
                "last value": last_value(given),
                "population": population(given),
                "direct": found["direct"]["mean"],
                "not weighed": not_weighed(network, given),
                "weighed": found["weighed"]["mean"],
                "MAP": curve,
                "floor": best["mean"],
            }
            print(f"\n{kind} ({seen}), {samples} samples, n = {len(given.weight)}")
            for who, mean in means.items():
                error = mean - given.query

                def one(rows: Any, error: Array = error) -> float:
                    return float(np.sqrt(np.mean(error[rows] ** 2)))

                low, high = bootstrap(one, len(error), groups=given.study, draws=500)
                print(f"  {who:12s} {one(slice(None)):.3f} [{low:.3f}, {high:.3f}]")
            effective = found["weighed"]["effective"]
            print(
                f"  effective sample size {np.median(effective):.0f} (10th percentile "
                f"{np.quantile(effective, 0.1):.0f}); floor: {rmse(best['error'], 0 * curve):.3f} "
                f"Monte Carlo error, {(best['effective'] < 200).mean():.1%} under 200",
                flush=True,
            )


if __name__ == "__main__":
    main()
