"""Simulated studies, a function of seed, step and stream alone: drugs, patients, doses, samples.

A study is a few patients of one drug, one structure and one kind of regimen. No two streams share
a random number, so training (0) and held-out studies (1 and more) share no drug and no patient.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.learn.randomness import generator
from teorell.learn.transformer.decoding import Doses, centre, curves
from teorell.learn.transformer.priors import PARAMETERS, TAU, WEIGHTS, WITHIN
from teorell.learn.transformer.regimens import MOST_DOSES, regimens
from teorell.learn.transformer.structures import STRUCTURES, Structure, structure

__all__ = ["HELD_OUT", "MOST_SAMPLES", "TRAINING", "Studies", "draw"]

MOST_SAMPLES = 6  # a patient
TRAINING, HELD_OUT = 0, 1  # streams
NOISE = (0.05, 0.3)  # standard deviation of a measured log, uniform
HORIZONS = (12.0, 120.0)  # h, log-uniform: how long a study is that evaluates
LONGER = (12.0, 240.0)  # and one that is trained on
LIMITS = (1e-6, 1e-4)  # limit of quantification over nominal dose, 1/L, log-uniform


class Studies(NamedTuple):
    """Patients, those of a study side by side. What has no value is NaN.

    Concentrations are natural logarithms of mg/L.
    """

    structure: NDArray[np.int64]  # (patients,), place in STRUCTURES
    study: NDArray[np.int64]  # (patients,)
    logs: Array  # (patients, PARAMETERS), the truth
    weight: Array  # (patients,), kg
    noise: Array  # (patients,), standard deviation of a measured log
    limit: Array  # (patients,), log of the limit of quantification
    doses: Doses  # (patients, MOST_DOSES) each
    sample_time: Array  # (patients, MOST_SAMPLES), h
    sample: Array  # (patients, MOST_SAMPLES), log measured; the limit where it is below
    below: NDArray[np.bool_]  # (patients, MOST_SAMPLES)
    query_time: Array  # (patients, queries), h
    query: Array  # (patients, queries), log of the truth, not below the limit

    def rows(self, which: NDArray[np.int64] | NDArray[np.bool_]) -> Studies:
        """Some of the patients."""
        return Studies(
            *(x.rows(which) if isinstance(x, Doses) else x[which] for x in self)  # type: ignore[arg-type]
        )

    def what(self) -> Structure:
        """The structure of all patients, which must be one."""
        (place,) = np.unique(self.structure)
        return STRUCTURES[int(place)]


def draw(
    seed: int,
    step: int,
    stream: int,
    *,
    structures: tuple[str, ...],
    kinds: tuple[str, ...],
    studies: int,
    patients: int,
    queries: int,
    samples: int | None = None,
    groups: int | None = None,
    always: tuple[str, ...] = (),
    horizons: tuple[float, float] = HORIZONS,
) -> Studies:
    """Studies of a step; `studies` of each of `groups` structures drawn from `structures`.

    kinds: of regimens, each study has one. patients: of a study. samples: of each patient; None
    draws 0 to MOST_SAMPLES, few more often. groups: None takes every structure. always: structures
    beside those drawn, as many studies of each. horizons: h, the shortest and longest study.
    A patient that the solver gave up has NaN in `query`, and no sample.
    """
    rng = generator(seed, step, stream)
    chosen = np.arange(len(structures))
    if groups is not None and groups < len(structures):
        chosen = np.sort(rng.choice(len(structures), groups, replace=False))
    parts = [
        _of_one(rng, structure(name), kinds, studies, patients, queries, samples, horizons)
        for name in (*(structures[i] for i in chosen), *always)
    ]
    for k, part in enumerate(parts):
        parts[k] = part._replace(study=part.study + k * studies)
    doses = Doses(*(np.concatenate(x) for x in zip(*(p.doses for p in parts), strict=True)))
    joined = {
        name: np.concatenate([getattr(p, name) for p in parts])
        for name in Studies._fields
        if name != "doses"
    }
    return Studies(doses=doses, **joined)


def _of_one(
    rng: np.random.Generator, what: Structure, kinds: tuple[str, ...], studies: int, patients: int,
    queries: int, samples: int | None, horizons: tuple[float, float],
) -> Studies:  # fmt: skip
    """Studies of one structure."""
    n = studies * patients
    study = np.repeat(np.arange(studies), patients)
    weight = np.clip(np.exp(rng.normal(np.log(72.0), 0.22, n)), *WEIGHTS)
    drug = TAU * rng.standard_normal((studies, len(PARAMETERS)))
    logs = centre(weight) + drug[study] + WITHIN * rng.standard_normal((n, len(PARAMETERS)))
    nominal = np.exp(rng.normal(np.log(100.0), 1.2, studies))  # mg
    horizon = np.exp(_logs(rng, horizons, studies))
    noise = rng.uniform(*NOISE, studies)[study]
    limit = (np.log(nominal) + _logs(rng, LIMITS, studies))[study]
    infused = np.where(rng.random(studies) < 0.5, 0.0, rng.uniform(0.25, 3.0, studies))
    times, amounts = np.empty((2, n, MOST_DOSES))
    for k in range(studies):
        rows = study == k
        kind = kinds[rng.integers(len(kinds))]
        times[rows], amounts[rows] = regimens(kind, rng, patients, horizon[k])
    amounts *= nominal[study, None]
    duration = np.where(np.isfinite(times), infused[study, None], np.nan)
    doses = Doses(times, amounts, duration if what.absorption == "iv" else 0.0 * duration)

    until = horizon[study, None]
    early = np.exp(rng.uniform(np.log(0.25), np.log(24.0), (n, MOST_SAMPLES)))
    late = rng.uniform(0.1, 1.0, (n, MOST_SAMPLES)) * until
    sample_time = np.minimum(np.where(rng.random(early.shape) < 0.6, early, late), until)
    sample_time.sort(axis=1)
    query_time = np.maximum(rng.uniform(0.0, 1.0, (n, queries)) * until, 0.05)
    levels = curves(what, logs, doses, np.concatenate([sample_time, query_time], axis=1))
    measured = levels[:, :MOST_SAMPLES] + noise[:, None] * rng.standard_normal(early.shape)
    below = measured < limit[:, None]
    chances = np.array([2, 2, 2, 2, 2, 1, 1]) / 12  # of 0, 1, ... samples
    count = rng.choice(MOST_SAMPLES + 1, n, p=chances) if samples is None else np.full(n, samples)
    kept = rng.random(early.shape).argsort(axis=1).argsort(axis=1) < count[:, None]
    kept &= np.isfinite(levels).all(axis=1, keepdims=True)
    return Studies(
        structure=np.full(n, STRUCTURES.index(what)),
        study=study,
        logs=logs,
        weight=weight,
        noise=noise,
        limit=limit,
        doses=doses,
        sample_time=np.where(kept, sample_time, np.nan),
        sample=np.where(kept, np.maximum(measured, limit[:, None]), np.nan),
        below=below & kept,
        query_time=query_time,
        query=np.maximum(levels[:, MOST_SAMPLES:], limit[:, None]),
    )


def _logs(rng: np.random.Generator, bounds: tuple[float, float], count: int) -> Array:
    """Logarithms, uniform between those of the bounds."""
    low, high = np.log(bounds)
    return rng.uniform(float(low), float(high), count)
