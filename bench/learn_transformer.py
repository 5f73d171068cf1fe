"""Forecasts of held-out drugs and patients: the tables of docs/learning.md.

python bench/learn_transformer.py [CHECKPOINT ...] [--out DIR] [--patients 480] [--samples 2 4]
    [--kinds ...] [--anchors FILE ...] [--only-floors]

CHECKPOINT: files of `teorell train transformer`, one for each training seed; what ships if none is
given. A case is a kind of regimen and a number of samples; kinds that the first checkpoint was
trained on are also told together, and those that it was not. Each line: log-RMSE [95 % interval,
studies drawn with replacement], CRPS, and the share in the bands of 90 % and 50 %, of
    last value, population: the last sample carried on, the curve of median parameters
    the anchors of `bench/learn_transformer_anchors.py`, where their files are given
    direct: the direct head; not weighed: draws of the posterior head as they come
    weighed: the forecast; MAP: true model and prior; floor: the Bayes floor
then paired ratios, and errors by hours after the last sample. MAP and floor need no network: they
are kept in DIR, and take 50 ms of the processor a patient; a network takes 15 to 20.
"""

from __future__ import annotations

import argparse
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from teorell.arrays import Array
from teorell.learn.metrics import resampled
from teorell.learn.trainer import load
from teorell.learn.transformer.figures import forecasts
from teorell.learn.transformer.floors import last_value, population
from teorell.learn.transformer.inference import Effort, answers, target_of, weighed_by_structure
from teorell.learn.transformer.learner import Transformer
from teorell.learn.transformer.network import LEVELS
from teorell.learn.transformer.regimens import KINDS
from teorell.learn.transformer.scores import AHEAD, ahead, quantile_scores, within
from teorell.learn.transformer.structures import COMPARTMENTS
from teorell.learn.transformer.studies import Studies
from teorell.learn.transformer.weighing import Weighed, weigh
from transformer_cases import Known, known, patients_of

PLAIN = Effort(draws=64, least=0.0, rounds=0)
HOURS = [f"{low:g} to {high:g} h" for low, high in pairwise(AHEAD)]
Case = dict[str, Array]
"""Name -> (patients, columns): sums over queries; "study" and "effective" are (patients, 1)."""


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


def squares(mean: Array, given: Studies) -> Array:
    """Squared errors of each patient: all, then by horizon; (patients, 1 + horizons)."""
    square, where = (mean - given.query) ** 2, ahead(given)
    parts = [square * (where == k) for k in range(len(HOURS))]
    return np.stack([part.sum(axis=1) for part in (square, *parts)], axis=1)


def bands(quantiles: Array, truth: Array) -> Array:
    """CRPS, and whether in the bands of 90 % and 50 %: (patients, 3)."""
    parts = (quantile_scores(quantiles, truth), within(quantiles, truth, 0))
    return np.stack([x.sum(axis=1) for x in (*parts, within(quantiles, truth, 2))], axis=1)


def scored(learner: Transformer, network: Any, of: Known, anchors: dict[str, Any]) -> Case:
    """All that is told of one case, patient by patient."""
    given = of.given
    found = forecasts(learner, network, given, 0)
    weighed = found["weighed"]
    means = {
        "last value": last_value(given),
        "population": population(given),
        **{name: anchor(given)[0] for name, anchor in anchors.items()},
        "direct": found["direct"]["mean"],
        "not weighed": not_weighed(network, given),
        "weighed": weighed["mean"],
        "MAP": of.curve,
        "floor": of.mean,
    }
    told = {name: squares(mean, given) for name, mean in means.items()}
    for name, quantiles in (
        *((name, anchor(given)[1]) for name, anchor in anchors.items()),
        ("direct", found["direct"]["quantiles"]),
        ("weighed", weighed["quantiles"]),
        ("floor", of.quantiles),
    ):
        told[name] = np.concatenate([told[name], bands(quantiles, given.query)], axis=1)
    where = ahead(given)
    counts = [np.full(len(where), where.shape[1]), *((where == k).sum(1) for k in range(4))]
    return told | {
        "study": given.study[:, None].astype(float),
        "effective": weighed["effective"][:, None],
        "draws": weighed["taken"][:, None],
        "floor error": (of.error**2).sum(axis=1)[:, None],
        "floor effective": of.effective[:, None],
        "counts": np.stack(counts, axis=1).astype(float),
    }


def together(cases: list[Case]) -> Case:
    """Several cases as one; their studies are others."""
    shift = 1e6 * np.arange(len(cases))
    joined = {name: np.concatenate([case[name] for case in cases]) for name in cases[0]}
    studies = [case["study"] + by for case, by in zip(cases, shift, strict=True)]
    return joined | {"study": np.concatenate(studies)}


def interval(values: Array, form: str = ".3f") -> str:
    """The first, and the 95 % interval of the others."""
    low, high = np.nanquantile(values[1:], [0.025, 0.975])
    return f"{values[0]:{form}} [{low:{form}}, {high:{form}}]"


def show(title: str, case: Case) -> None:
    """The lines of a case."""
    study, counts = case["study"][:, 0], case["counts"]
    names = [name for name, x in case.items() if name != "counts" and x.shape[1] > 1]
    wide = np.concatenate([*(case[name] for name in names), counts], axis=1)
    sums = resampled(wide, study)
    n = sums[:, -5]
    end, places = 0, {}
    for name in names:
        places[name] = end
        end += case[name].shape[1]
    print(f"\n### {title}, n = {len(study)}")
    rmse = {name: np.sqrt(sums[:, at] / n) for name, at in places.items()}
    for name, at in places.items():
        line = f"  {name:12s} {interval(rmse[name])}"
        if case[name].shape[1] > 5:
            crps, wide_, half = (sums[:, at + 5 + k] / n for k in range(3))
            line += f"  CRPS {interval(crps)}  90 % {interval(100 * wide_, '.1f')}"
            line += f"  50 % {interval(100 * half, '.1f')}"
        print(line)
    for other in ("MAP", "floor"):
        print(f"  weighed / {other} {interval(rmse['weighed'] / rmse[other])}")
    for k, hours in enumerate(HOURS):
        count = sums[:, end + 1 + k]
        if count[0]:
            with np.errstate(invalid="ignore", divide="ignore"):
                parts = [
                    f"{name} {interval(np.sqrt(sums[:, places[name] + 1 + k] / count))}"
                    for name in ("direct", "weighed", "MAP", "floor")
                ]
            print(f"  {hours} after the last sample ({count[0]:.0f}): {', '.join(parts)}")
    size, error = case["effective"][:, 0], np.sqrt(case["floor error"].sum() / n[0])
    print(
        f"  effective sample size {np.median(size):.0f} (10th percentile "
        f"{np.quantile(size, 0.1):.0f}, {(size < 100).mean():.1%} under 100) of "
        f"{case['draws'].mean():.0f} draws; floor: {error:.3f} Monte Carlo error, "
        f"{(case['floor effective'] < 200).mean():.1%} under 200",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("checkpoints", nargs="*", default=["transformer"])
    parser.add_argument("--out", type=Path, default=Path("build/evaluated_transformer"))
    parser.add_argument("--patients", type=int, default=480)
    parser.add_argument("--samples", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--anchors", nargs="*", default=[])
    parser.add_argument("--only-floors", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    names = tuple(each.name for each in COMPARTMENTS)
    cases: dict[tuple[str, int], Known] = {}
    for samples in options.samples:
        for kind in options.kinds:
            begun = time.process_time()
            given = patients_of(names, (kind,), samples, options.patients)
            cases[kind, samples] = known(options.out, given)
            took = time.process_time() - begun
            print(f"{kind}, {samples} samples: MAP and floor, {took:.0f} s", flush=True)
    if options.only_floors:
        return
    anchors: dict[str, Any] = {}
    if options.anchors:
        from learn_transformer_anchors import read

        anchors = {anchor.name: anchor for anchor in map(read, options.anchors)}
    for checkpoint in options.checkpoints:
        learner, network = load(checkpoint)
        if not isinstance(learner, Transformer):
            parser.error(f"{checkpoint} is a {learner.name}, not a transformer")
        trained = learner.configuration.kinds
        print(f"\n## {checkpoint}, seed {learner.training.seed}; trained on {', '.join(trained)}")
        for samples in options.samples:
            begun = time.process_time()
            found = {
                kind: scored(learner, network, cases[kind, samples], anchors)
                for kind in options.kinds
            }
            print(
                f"processor time of the network and its draws: {time.process_time() - begun:.0f} s"
            )
            for title, kinds in (
                ("trained on", [kind for kind in found if kind in trained]),
                ("never trained on", [kind for kind in found if kind not in trained]),
            ):
                if len(kinds) > 1:
                    both = together([found[kind] for kind in kinds])
                    show(f"regimens {title} ({', '.join(kinds)}), {samples} samples", both)
            for kind, case in found.items():
                show(f"{kind}, {samples} samples", case)


if __name__ == "__main__":
    main()
