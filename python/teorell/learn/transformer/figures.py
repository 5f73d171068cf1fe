"""The figures of a trained network, on studies of drugs and patients that it never saw.

All errors are of natural logs of concentrations, not below the limit of quantification of each
study: there prediction and truth count as that limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import nn

from teorell.arrays import Array
from teorell.learn.metrics import bootstrap, coverage, rmse
from teorell.learn.randomness import generator
from teorell.learn.report import Figure
from teorell.learn.transformer.floors import floor, last_value, maximum, population
from teorell.learn.transformer.inference import Effort, answers, decoded, weighed_by_structure
from teorell.learn.transformer.network import LEVELS
from teorell.learn.transformer.scores import crps
from teorell.learn.transformer.studies import HELD_OUT, Studies, draw
from teorell.learn.transformer.tokens import companions

if TYPE_CHECKING:
    from teorell.learn.transformer.learner import Transformer

__all__ = [
    "BANDS", "SEED", "Case", "case", "error", "finished", "forecasts", "held_out", "table",
]  # fmt: skip

SEED = 20260218  # of studies of evaluations, the same for every training seed
BOOTSTRAPS = 500
BANDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)  # central ones, of a calibration
FINE = tuple(0.5 + side * band / 2 for side in (-1, 1) for band in BANDS)
"""The lower, then the upper ends of BANDS, as levels of quantiles."""


class Case(NamedTuple):
    """Held-out patients, what was forecast of them, and what it is measured against."""

    name: str
    given: Studies
    heads: dict[str, dict[str, Array]]  # as `forecasts` has them; weighed with FINE too
    by_map: Array  # (patients, queries)
    floor: dict[str, Array]  # as `weighed_by_structure` has it


def held_out(learner: Transformer, kinds: tuple[str, ...], samples: int, patients: int) -> Studies:
    """Studies of the held-out stream, at least `patients` patients, all structures alike."""
    one = learner.configuration
    studies = -(-patients // (one.patients * len(one.structures)))
    step = 1000 + samples  # other numbers of samples are other studies, and not those of step 0
    return draw(
        SEED, step, HELD_OUT, structures=one.structures, kinds=kinds, studies=studies,
        patients=one.patients, queries=one.queries, samples=samples,
    )  # fmt: skip


def forecasts(
    learner: Transformer, network: nn.Module, given: Studies, companions_count: int,
    levels: tuple[float, ...] = LEVELS,
) -> dict[str, dict[str, Array]]:  # fmt: skip
    """ "direct" and "weighed": "mean", "quantiles"; "weighed" also "effective" and "taken".

    levels: of the quantiles of the weighed draws; those of the direct head are LEVELS.
    """
    rng = generator(SEED, 0, HELD_OUT)
    context = companions(given.study, rng, learner.configuration.patients - 1, companions_count)
    direct, posterior, known = answers(network, given, context)

    def one(rows: Any, part: Studies, effort: Effort) -> Any:
        which = torch.from_numpy(rows)
        return decoded(posterior.rows(which), known.rows(which), part, effort)

    weighed = weighed_by_structure(given, one, Effort(), levels)
    return {"direct": direct._asdict(), "weighed": weighed}


def case(
    name: str, learner: Transformer, network: nn.Module, kinds: tuple[str, ...], samples: int,
    companions_count: int,
) -> Case:  # fmt: skip
    """Forecasts, MAP and floor of as many patients as the configuration says."""
    given = finished(held_out(learner, kinds, samples, learner.configuration.evaluated))
    heads = forecasts(learner, network, given, companions_count, (*LEVELS, *FINE))
    quantiles = heads["weighed"]["quantiles"]
    own, fine = np.split(quantiles, [len(LEVELS)], axis=-1)
    heads["weighed"] |= {"quantiles": own, "fine": fine}
    by_map, about = maximum(given)
    return Case(name, given, heads, by_map, floor(given, about))


def finished(given: Studies) -> Studies:
    """Those that the solver finished."""
    return given.rows(np.flatnonzero(np.isfinite(given.query).all(axis=1)))


def table(of: Case) -> list[Figure]:
    """One case: log-RMSE of the heads and of what they are measured against, ratios, coverage."""
    name, given, found, best = of.name, of.given, of.heads, of.floor
    means = {
        "direct": found["direct"]["mean"],
        "weighed": found["weighed"]["mean"],
        "MAP": of.by_map,
        "floor": best["mean"],
        "population": population(given),
        "last value": last_value(given),
    }
    errors = {who: x - given.query for who, x in means.items()}
    figures = [error(f"{name}: log-RMSE, {who}", e, given) for who, e in errors.items()]
    for other, goal in (("MAP", "<= 0.95"), ("floor", "<= 1.08")):
        figures.append(
            _ratio(f"{name}: weighed / {other}", errors["weighed"], errors[other], given, goal)
        )
    for who in ("direct", "weighed", "floor"):
        q = best["quantiles"] if who == "floor" else found[who]["quantiles"]
        what = f"{name}: {who}"
        for low, share, goal in ((0, 0.9, "0.87 to 0.93"), (2, 0.5, "0.46 to 0.54")):
            aim = goal if who == "weighed" else ""
            figures.append(_covered(f"{what}, in {share:.0%} band", q, low, given, aim))
        figures.append(Figure(f"{what}, CRPS", crps(q, given.query), given.query.size))
    effective = found["weighed"]["effective"]
    n = len(effective)
    figures += [
        Figure(f"{name}: effective sample size, median", float(np.median(effective)), n),
        Figure(
            f"{name}: effective sample size, 10th percentile", float(np.quantile(effective, 0.1)), n
        ),
        Figure(f"{name}: draws a patient", float(found["weighed"]["taken"].mean()), n),
        Figure(f"{name}: floor, Monte Carlo error", rmse(best["error"], 0.0 * best["error"]), n),
        Figure(
            f"{name}: floor, share of patients under 200",
            float((best["effective"] < 200).mean()),
            n,
        ),
    ]
    return figures


def error(what: str, apart: Array, given: Studies) -> Figure:
    """The log-RMSE of errors (patients, queries)."""

    def one(rows: Any) -> float:
        return float(np.sqrt(np.mean(apart[rows] ** 2)))

    return _figure(what, one, given, "")


def _ratio(what: str, apart: Array, other: Array, given: Studies, goal: str) -> Figure:
    def one(rows: Any) -> float:
        return float(np.sqrt(np.mean(apart[rows] ** 2) / np.mean(other[rows] ** 2)))

    return _figure(what, one, given, goal)


def _covered(what: str, quantiles: Array, low: int, given: Studies, goal: str) -> Figure:
    def one(rows: Any) -> float:
        band = quantiles[rows]
        return coverage(band[..., low], band[..., -1 - low], given.query[rows])

    return _figure(what, one, given, goal)


def _figure(what: str, one: Any, given: Studies, goal: str) -> Figure:
    """A statistic of rows of patients, with an interval from studies drawn with replacement."""
    n = len(given.weight)
    low, high = bootstrap(one, n, groups=given.study, draws=BOOTSTRAPS)
    return Figure(what, one(np.arange(n)), n, low, high, goal)
