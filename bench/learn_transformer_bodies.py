"""Whole-body truth: the forecast by the whole-body decoder against two compartments.

python bench/learn_transformer_bodies.py [CHECKPOINT ...] [--patients 480] [--samples 2 4]

Held-out drugs and bodies of the whole-body model, intravenous and oral, regimens that the
checkpoint was trained on. MAP, 2 compartments: "iv-2" or "first-2" with the prior that such a
modeller would have who knows what drugs are like: log parameters are normal with the mean and
standard deviation of fits to 96 whole-body patients of each route, of other drugs, six samples
each; MAP, wide: with the package's prior of compartments. Weighed, 2 compartments: the forecast
with that decoder. Lines: log-RMSE [95 % interval, studies drawn with replacement], paired ratios.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from teorell.arrays import Array
from teorell.learn.metrics import resampled
from teorell.learn.trainer import load
from teorell.learn.transformer.decoding import curves, to_logs
from teorell.learn.transformer.figures import SEED, forecasts
from teorell.learn.transformer.maximum import STANDARD, Normal, mode
from teorell.learn.transformer.scores import within
from teorell.learn.transformer.structures import BODIES, STRUCTURES, structure
from teorell.learn.transformer.studies import HELD_OUT, MOST_SAMPLES, Studies, draw

KNOWN = 96  # patients of a route that the modeller's prior is of
APART = 5000  # step of the stream that these are drawn from
GOALS = {2: 0.85, 4: 0.75}


def patients(what: Any, kinds: tuple[str, ...], count: int, samples: int, step: int) -> Studies:
    given = draw(
        SEED, step, HELD_OUT, structures=(what.name,), kinds=kinds, studies=-(-count // 4),
        patients=4, queries=8, samples=samples,
    )  # fmt: skip
    return given.rows(np.isfinite(given.query).all(axis=1))


def simpler(given: Studies) -> Studies:
    """The same patients, taken for two compartments."""
    name = "iv-2" if given.what().absorption == "iv" else "first-2"
    return given._replace(structure=np.full(len(given.weight), STRUCTURES.index(structure(name))))


def by_map(given: Studies, prior: Normal) -> Array:
    logs = to_logs(mode(given, prior=prior).standard, given.weight)
    found = curves(given.what(), logs, given.doses, given.query_time)
    return np.maximum(found, given.limit[:, None])


def modeller(given: Studies) -> Normal:
    """Mean and standard deviation of fits of two compartments to patients told in full."""
    found = mode(simpler(given)).standard
    has = simpler(given).what().mask() > 0
    return Normal(found.mean(axis=0), np.where(has, found.std(axis=0, ddof=1), 1.0))


def lines(title: str, means: dict[str, Array], bands: Array, given: Studies, goal: float) -> None:
    square = [((mean - given.query) ** 2).sum(axis=1) for mean in means.values()]
    covered = [within(bands, given.query, low).sum(axis=1) for low in (0, 2)]
    count = np.full(len(given.study), given.query.shape[1])
    sums = resampled(np.stack([*square, *covered, count], axis=1), given.study)
    rmse = dict(zip(means, np.sqrt(sums[:, : len(means)] / sums[:, -1:]).T, strict=True))
    print(f"\n### {title}, n = {len(given.study)}")

    def told(name: str, x: Array) -> None:
        low, high = np.quantile(x[1:], [0.025, 0.975])
        print(f"  {name:32s} {x[0]:.3f} [{low:.3f}, {high:.3f}]", flush=True)

    for name, x in rmse.items():
        told(name, x)
    told(f"weighed / MAP, 2 comp. (goal {goal})", rmse["weighed"] / rmse["MAP, 2 compartments"])
    for k, share in ((-3, 90), (-2, 50)):
        told(f"weighed, in {share} % band", sums[:, k] / sums[:, -1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("checkpoints", nargs="*", default=["transformer"])
    parser.add_argument("--patients", type=int, default=480)
    parser.add_argument("--samples", type=int, nargs="+", default=[2, 4])
    options = parser.parse_args()
    torch.set_num_threads(1)
    for checkpoint in options.checkpoints:
        learner, network = load(checkpoint)
        kinds = learner.configuration.kinds
        print(f"\n## {checkpoint}, seed {learner.training.seed}")
        priors = {
            what: modeller(patients(what, kinds, KNOWN, MOST_SAMPLES, APART)) for what in BODIES
        }
        for samples in options.samples:
            parts: list[tuple[Studies, dict[str, Array], Array, Array]] = []
            for what in BODIES:
                count = -(-options.patients // len(BODIES))
                given = patients(what, kinds, count, samples, APART + 1 + samples)
                given = given._replace(study=given.study + 100_000 * len(parts))
                simple = simpler(given)
                found = forecasts(learner, network, given, 0)
                means = {
                    "MAP, 2 compartments": by_map(simple, priors[what]),
                    "MAP, 2 compartments, wide": by_map(simple, STANDARD),
                    "weighed, 2 compartments": forecasts(learner, network, simple, 0)["weighed"][
                        "mean"
                    ],
                    "direct": found["direct"]["mean"],
                    "weighed": found["weighed"]["mean"],
                }
                parts.append(
                    (given, means, found["weighed"]["quantiles"], found["weighed"]["effective"])
                )
                size = parts[-1][-1]
                lines(f"{what.name}, {samples} samples", means, parts[-1][2], given, GOALS[samples])
                low = (size < 100).mean()
                print(f"  effective sample size {np.median(size):.0f}, {low:.1%} under 100")
            query = np.concatenate([part[0].query for part in parts])
            study = np.concatenate([part[0].study for part in parts])
            whole = parts[0][0]._replace(query=query, study=study)
            means = {name: np.concatenate([p[1][name] for p in parts]) for name in parts[0][1]}
            bands = np.concatenate([part[2] for part in parts])
            lines(f"whole body, {samples} samples", means, bands, whole, GOALS[samples])


if __name__ == "__main__":
    main()
