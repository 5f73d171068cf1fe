"""Forecasts of real people by weights that have only seen simulated ones, from two samples each.

python bench/learn_transformer_real.py [CHECKPOINT ...] [--data ../shared/data] [--people]

Theophylline (12 people) and warfarin (32) of nlmixr2data, people one by one, structure "first-1";
human studies of osp/ (plasma, adults, one compound given, no disease), their mean curves, structure
"first-2" for oral doses and "iv-2" for others. Beside these, for comparison: "first-2" for people,
the average over all oral structures of compartments for people, and the whole-body decoder for all.
All data are for checking alone.

Chosen before any result was looked at: noise 0.15. Theophylline: the sample nearest to 1 h, and of
the later ones the nearest to 5 h; warfarin: 9 and 24 h. A study of osp/ with n samples after its
first dose: those a quarter and half of the way through them (number n // 4 and n // 2 from 0; five
or more are needed). What is forecast is every later sample, each with its own noise.

Lines: log-RMSE over all later samples [95 % interval, people or studies drawn with replacement].
MAP, wide: the prior of the package. MAP, half: log parameters of the other half of the people, who
are told in full, are normal with their mean and standard deviation; clipped: standard deviations at
least 0.2 and at most 1. Weighed: the mean of draws of log concentrations; of averages the median
too. Averages over linear structures alone were added after the others had been seen. Bands are
those of a new measurement, its noise included.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from teorell.arrays import Array
from teorell.learn.metrics import resampled
from teorell.learn.trainer import load
from teorell.learn.transformer.averaging import averaged, chosen
from teorell.learn.transformer.decoding import centre, curves, to_logs
from teorell.learn.transformer.floors import last_value
from teorell.learn.transformer.given import studies_of
from teorell.learn.transformer.inference import Effort, answers, decoded
from teorell.learn.transformer.maximum import STANDARD, Normal, mode
from teorell.learn.transformer.network import LEVELS
from teorell.learn.transformer.priors import SPREADS
from teorell.learn.transformer.scores import within
from teorell.learn.transformer.structures import COMPARTMENTS, structure
from teorell.learn.transformer.studies import MOST_SAMPLES, Studies
from transformer_people import PEOPLE, Person, people_of, studies

NOISE = 0.15
CLIPPED = (0.2, 1.0)  # standard deviations of log parameters over people


def asked(people: list[Person], what: str, whole: bool = False) -> tuple[Studies, Array]:
    """Patients with their two samples (or all), asked for what follows; and where that is so.

    Rows of later samples are filled up with the last one; those do not count.
    """
    rows = [
        one.dose._replace(
            sample_time=one.times if whole else one.times[list(one.told)],
            concentration=one.values if whole else one.values[list(one.told)],
        )
        for one in people
    ]
    later = [len(one.times) - 1 - one.told[-1] for one in people]
    most = max(later)
    at = [np.minimum(one.told[-1] + 1 + np.arange(most), len(one.times) - 1) for one in people]
    given = studies_of(rows, structure(what), np.array([1.0]), NOISE, None)
    given = given._replace(
        study=np.arange(len(people)),
        query_time=np.stack([one.times[k] for one, k in zip(people, at, strict=True)]),
        query=np.stack([np.log(one.values[k]) for one, k in zip(people, at, strict=True)]),
    )
    return given, np.arange(most) < np.array(later)[:, None]


def by_map(given: Studies, prior: Normal) -> Array:
    logs = to_logs(mode(given, prior=prior).standard, given.weight)
    return curves(given.what(), logs, given.doses, given.query_time)


def half_priors(people: list[Person], what: str) -> Callable[[int, bool], Normal]:
    """The prior of people of one parity: mean and spread of the others, told in full."""
    found = mode(asked(people, what, whole=True)[0]).standard

    def prior(parity: int, clipped: bool) -> Normal:
        others = found[1 - parity :: 2]
        sd = others.std(axis=0, ddof=1)
        if clipped:
            sd = np.clip(sd * SPREADS, *CLIPPED) / SPREADS
        has = structure(what).mask() > 0
        return Normal(others.mean(axis=0), np.where(has, np.maximum(sd, 1e-3), 1.0))

    return prior


def by_half(people: list[Person], given: Studies, what: str, clipped: bool) -> Array:
    prior = half_priors(people, what)
    found = np.empty_like(given.query_time)
    for parity in (0, 1):
        rows = np.arange(parity, len(people), 2)
        found[rows] = by_map(given.rows(rows), prior(parity, clipped))
    return found


def by_network(
    network: Any, given: Studies, context: Array, count: int
) -> tuple[Array, Array, Array, Array]:
    """Of the first `count`: means of the direct head and weighed, quantiles of a measurement,
    effective sizes.
    """
    direct, posterior, prior = answers(network, given, context)
    first = torch.arange(count)
    known = given.rows(np.arange(count))
    found = decoded(posterior.rows(first), prior.rows(first), known, Effort())
    noise = NOISE * np.random.default_rng(0).standard_normal(found.values.shape)
    measured = found._replace(values=found.values + noise).quantiles(LEVELS)
    return direct.mean[:count], found.mean(), measured, found.effective


def beside(people: list[Person]) -> tuple[list[Person], Array]:
    """People with companions after them, told as their `told`; and rows of these, (rows, 3)."""
    helpers = []
    for one in (*people[:6:2], *people[1:6:2]):
        told = np.unique(np.linspace(0, len(one.times) - 1, MOST_SAMPLES).round().astype(int))
        helpers.append(one._replace(told=tuple(told)))
    n = len(people)
    context = np.full((n + len(helpers), 3), -1)
    context[0:n:2] = n + 3 + np.arange(3)  # of the other half
    context[1:n:2] = n + np.arange(3)
    return [*people, *helpers], context


def show(name: str, mean: Array, given: Studies, counts: Array, band: Array | None = None) -> None:
    square = np.where(counts, (mean - given.query) ** 2, 0.0).sum(axis=1)
    columns = [square, counts.sum(axis=1)]
    if band is not None:
        columns += [(within(band, given.query, low) * counts).sum(axis=1) for low in (0, 2)]
    sums = resampled(np.stack(columns, axis=1), given.study, draws=2000)
    rmse = np.sqrt(sums[:, 0] / sums[:, 1])
    low, high = np.quantile(rmse[1:], [0.025, 0.975])
    line = f"  {name:34s} {rmse[0]:.3f} [{low:.3f}, {high:.3f}]"
    if band is not None:
        line += f"  in 90 % and 50 %: {sums[0, 2] / sums[0, 1]:.0%}, {sums[0, 3] / sums[0, 1]:.0%}"
    print(line, flush=True)


def asked_beside(
    people: list[Person], what: str, companions: bool
) -> tuple[Studies, Array, Studies, Array]:
    """Patients and what counts; the same with companions, if there are to be, and their rows."""
    given, counts = asked(people, what)
    if not companions:
        return given, counts, given, np.full((len(people), 3), -1)
    more, context = beside(people)
    return given, counts, asked(more, what)[0], context


def forecasts(network: Any, people: list[Person], what: str, companions: bool = False) -> None:
    """The network's lines of one structure."""
    given, counts, wide, context = asked_beside(people, what, companions)
    direct, weighed, band, effective = by_network(network, wide, context, len(people))
    name = f"{what}{', beside three' if companions else ''}"
    show(f"direct head, {name}", direct, given, counts)
    show(f"weighed, {name}", weighed, given, counts, band)
    print(f"    effective sample size {np.median(effective):.0f}, least {effective.min():.0f}")


def averages(network: Any, people: list[Person], linear: bool, companions: bool) -> None:
    """Lines averaged over oral structures, and these by probability, the mean over people."""
    given, counts, wide, context = asked_beside(people, "first-1", companions)
    known = [each.name for each in COMPARTMENTS if not (linear and each.saturable)]
    what = chosen("oral", known)
    mean, median, band, size, shares = [], [], [], [], []
    for k, theirs in enumerate(context[: len(people)]):
        rows = np.append(k, theirs[theirs >= 0])
        here = np.full((len(rows), 3), -1)
        here[0, : len(rows) - 1] = np.arange(1, len(rows))
        found = averaged(network, wide.rows(rows), here, what, 1, Effort(), seed=len(what) * k)
        noise = NOISE * np.random.default_rng(k).standard_normal(found.whole.values.shape)
        mean.append(found.whole.mean()[0])
        median.append(found.whole.quantiles((0.5,))[0, :, 0])
        band.append(found.whole._replace(values=found.whole.values + noise).quantiles(LEVELS)[0])
        size.append(found.whole.effective[0])
        shares.append(found.probabilities[:, 0])
    name = f"{'linear ' if linear else ''}oral structures{', beside three' if companions else ''}"
    show(f"averaged over {name}", np.array(mean), given, counts, np.array(band))
    show("  ... the median", np.array(median), given, counts)
    print(f"    effective sample size {np.median(size):.0f}, least {min(size):.0f}")
    share = np.mean(shares, axis=0)
    print("    " + ", ".join(f"{what[k].name} {share[k]:.3f}" for k in np.argsort(-share)))
    print(f"    most probable of a person: {np.max(shares, axis=1).mean():.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("checkpoints", nargs="*", default=["transformer"])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--people", action="store_true", help="no studies of osp/")
    options = parser.parse_args()
    torch.set_num_threads(1)
    networks = {name: load(name)[1] for name in options.checkpoints}
    for name in PEOPLE:
        people = people_of(options.data, name)
        given, counts = asked(people, "first-1")
        print(f"\n{name}: {len(people)} people, {counts.sum()} later samples")
        show("last value", last_value(given), given, counts)
        show("MAP, wide, first-1", by_map(given, STANDARD), given, counts)
        for clipped in (False, True):
            told = f"MAP, half{', clipped' if clipped else ''}, first-1"
            show(told, by_half(people, given, "first-1", clipped), given, counts)
        for checkpoint, network in networks.items():
            print(f"  {checkpoint}")
            for what in ("first-1", "first-2"):
                for companions in (False, True):
                    forecasts(network, people, what, companions)
            for linear in (False, True):
                for companions in (False, True):
                    averages(network, people, linear, companions)
            forecasts(network, people, "oral-whole-body")
    for route, people in () if options.people else studies(options.data).items():
        what = "iv-2" if route == "iv" else "first-2"
        for compound in [None, *sorted({one.name for one in people})]:
            some = [one for one in people if compound in (None, one.name)]
            given, counts = asked(some, what)
            print(
                f"\nosp, {route}, {compound or 'all'}: {len(some)} studies, {counts.sum()} samples"
            )
            if compound is None:
                middle = curves(given.what(), centre(given.weight), given.doses, given.query_time)
                show("population", middle, given, counts)
            show("last value", last_value(given), given, counts)
            show(f"MAP, wide, {what}", by_map(given, STANDARD), given, counts)
            for checkpoint, network in networks.items():
                print(f"  {checkpoint}")
                forecasts(network, some, what)
                if compound is None:
                    forecasts(network, some, f"{route}-whole-body")


if __name__ == "__main__":
    main()
