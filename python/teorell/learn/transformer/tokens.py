"""Patients as tokens: doses, samples and covariates as events at continuous times.

Concentrations are told relative to the patient's geometric mean dose; that dose itself is told
once, with the covariates, since a saturable elimination knows amounts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from teorell.arrays import Array
from teorell.learn.transformer.priors import REFERENCE_WEIGHT
from teorell.learn.transformer.regimens import MOST_DOSES
from teorell.learn.transformer.structures import STRUCTURES
from teorell.learn.transformer.studies import Studies

__all__ = ["APART", "FEATURES", "Tokens", "companions", "scale_of", "to_network", "tokens"]

PERIODS = 2 * np.pi / np.exp(np.linspace(np.log(0.02), np.log(3.0), 10))  # h, 314 down to 2
CENTRE, WIDTH = -4.5, 2.0  # of log concentrations over dose: near a dose in 90 L; a scale
_TIME = 2 * len(PERIODS) + 2
FEATURES = {"dose": _TIME + 3, "sample": 2 * _TIME + 3, "covariates": 6, "query": 2 * _TIME + 1}
"""Length of each kind of token."""
DECAYS = np.array([1.0, 3.0, 10.0, 30.0, 100.0])  # h, of what is left of an event
APART = len(DECAYS) + 3  # features of a query and a token


class Tokens(NamedTuple):
    """Features in float32; masks are True where there is a token."""

    dose: Tensor  # (patients, doses, features)
    has_dose: Tensor
    sample: Tensor  # (patients, samples, features)
    has_sample: Tensor
    covariates: Tensor  # (patients, features)
    query: Tensor  # (patients, queries, features)
    apart: Tensor  # (patients, queries, 1 + doses + samples, APART), from each token to each query
    context: Tensor  # (patients, context), rows of other patients; -1: none
    mask: Tensor  # (patients, PARAMETERS), those of the decoder
    decoder: Tensor  # (patients,), place in STRUCTURES


def tokens(given: Studies, context: NDArray[np.int64]) -> Tokens:
    """The tokens of patients; context: (patients, context), as `companions` gives them."""
    doses, scale = given.doses, scale_of(given)[:, None]
    oral = np.array([each.absorption != "iv" for each in STRUCTURES], float)[given.structure]
    route = oral[:, None, None]
    amount = np.log(doses.amount) - scale
    level = to_network(given.sample, scale)
    return Tokens(
        dose=_float(_time(doses.time), amount[..., None], doses.duration[..., None], route),
        has_dose=torch.from_numpy(np.isfinite(doses.time)),
        sample=_float(
            _time(given.sample_time), _time(_since(given, given.sample_time)), level[..., None],
            given.below[..., None].astype(float), route,
        ),
        has_sample=torch.from_numpy(np.isfinite(given.sample)),
        covariates=_float(
            np.log(given.weight / REFERENCE_WEIGHT)[:, None], (scale - np.log(100.0)) / 1.5,
            5.0 * given.noise[:, None], to_network(given.limit[:, None], scale), oral[:, None],
            np.isfinite(doses.time).sum(axis=1, keepdims=True) / MOST_DOSES,
        ),
        query=_float(_time(given.query_time), _time(_since(given, given.query_time)), route),
        apart=_float(_apart(given)),
        context=torch.from_numpy(context),
        mask=_float(np.stack([each.mask() for each in STRUCTURES])[given.structure]),
        decoder=torch.from_numpy(given.structure),
    )  # fmt: skip


def companions(
    study: NDArray[np.int64], rng: np.random.Generator, most: int, count: int | None = None
) -> NDArray[np.int64]:
    """Rows of other patients of each patient's study, (patients, most); -1 for none.

    count: how many, at most `most` and those there are; None draws it, 0 to `most`.
    """
    found = np.full((len(study), most), -1)
    for row, mine in enumerate(study):
        others = np.flatnonzero(study == mine)
        others = others[others != row]
        wanted = rng.integers(most + 1) if count is None else count
        chosen = rng.permutation(others)[:wanted]
        found[row, : len(chosen)] = chosen
    return found


def scale_of(given: Studies) -> Array:
    """The log of each patient's geometric mean dose, (patients,)."""
    found: Array = np.nanmean(np.log(given.doses.amount), axis=1)
    return found


def to_network(level: Array, scale: Array) -> Array:
    """Log concentrations as the network sees them; scale broadcasts."""
    found: Array = (level - scale - CENTRE) / WIDTH
    return found


def _since(given: Studies, times: Array) -> Array:
    """Hours since the last dose, at each time."""
    apart = times[:, :, None] - given.doses.time[:, None, :]
    apart = np.where(apart >= 0, apart, np.inf).min(axis=2)
    return np.where(np.isfinite(apart), apart, 0.0)


def _apart(given: Studies) -> Array:
    """Features of the hours from covariates (none), doses and samples to queries."""
    nothing = np.full((len(given.weight), 1), np.nan)
    event = np.concatenate([nothing, given.doses.time, given.sample_time], axis=1)
    hours = given.query_time[:, :, None] - event[:, None, :]
    late, early = np.maximum(hours, 0.0)[..., None], np.maximum(-hours, 0.0)[..., None]
    left = np.where(hours[..., None] >= 0, np.exp(-late / DECAYS), 0.0)
    past = (hours >= 0).astype(float)[..., None]
    found: Array = np.concatenate([past, np.log1p(late) / 3, np.log1p(early) / 3, left], axis=-1)
    return np.where(np.isnan(hours)[..., None], 0.0, found)


def _time(times: Array) -> Array:
    """Features of times (..., times) in h: waves, a logarithm, days."""
    t = np.nan_to_num(times)[..., None]
    waves = 2 * np.pi * t / PERIODS
    return np.concatenate([np.sin(waves), np.cos(waves), np.log1p(t) - 2.0, t / 72.0], axis=-1)


def _float(*parts: Array) -> Tensor:
    """Features side by side, 0 for NaN, in float32."""
    shape = np.broadcast_shapes(*(part.shape[:-1] for part in parts))
    wide = [np.broadcast_to(part, (*shape, part.shape[-1])) for part in parts]
    return torch.from_numpy(np.nan_to_num(np.concatenate(wide, axis=-1)).astype(np.float32))
