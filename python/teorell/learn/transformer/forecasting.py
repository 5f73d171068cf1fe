"""`forecast`: a patient's doses and samples in, concentrations with intervals out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from teorell.arrays import Array
from teorell.errors import InputError, suggestion
from teorell.learn.trainer import load
from teorell.learn.transformer.decoding import to_logs
from teorell.learn.transformer.given import ascending, notes, patient, studies_of
from teorell.learn.transformer.inference import Effort, answers, decoded
from teorell.learn.transformer.network import LEVELS
from teorell.learn.transformer.structures import structure as structure_of
from teorell.tables import aligned

__all__ = ["Forecast", "forecast"]

MOST_COMPANIONS = 3  # as trained: studies of four


@dataclass(frozen=True)
class Forecast:
    """Concentrations (without noise of measurement) at times, from weighed draws of a posterior.

    times: (times,), h; median, lower, upper: (times,), mg/L, the band of 90 %; quantiles: (times,
    levels), mg/L, at `levels`; direct: (times, levels), the same by the direct head, not weighed.
    parameters: name -> geometric mean and standard deviation of the natural log, weighed.
    effective: the effective sample size of the `draws`; below 100 the bands are rough. notes: what
    lies outside what the network was trained on.
    """

    times: Array
    median: Array
    lower: Array
    upper: Array
    quantiles: Array
    direct: Array
    parameters: dict[str, tuple[float, float]]
    effective: float
    draws: int
    notes: tuple[str, ...] = ()
    levels: tuple[float, ...] = LEVELS

    def __str__(self) -> str:
        rows = [("h", "mg/L", "5 %", "95 %")] + [
            tuple(f"{x:.4g}" for x in row)
            for row in zip(self.times, self.median, self.lower, self.upper, strict=True)
        ]
        told = f"effective sample size {self.effective:.0f} of {self.draws} draws"
        return "\n".join([aligned(rows), told, *self.notes])


def forecast(
    doses: Any,
    samples: Any,
    times: Any,
    *,
    covariates: Any = None,
    structure: str = "first-2",
    noise: float = 0.15,
    limit: float | None = None,
    companions: Sequence[tuple[Any, Any, Any]] = (),
    checkpoint: Any = "transformer",
    effort: Effort = Effort(),  # noqa: B008, a named tuple of numbers
    seed: int = 0,
) -> Forecast:
    """Forecast a patient's concentrations at `times` from doses and 0 or more samples.

    doses: mapping or DataFrame of "time" (h), "amount" (mg) and, for "iv" structures, "duration"
        (h, 0 at once); samples: of "time", "concentration" (mg/L), or None; times: (times,), h.
    covariates: {"weight": kg}, 70 if not given.
    structure: the decoder, such as "iv-1", "first-2", "transit-1-mm" (absorption, compartments,
        saturable), or "oral-whole-body", "iv-whole-body".
    noise: standard deviation of the log of a measured concentration.
    limit: of quantification, mg/L; samples below it, 0 too, count by the chance of being there, and
        forecasts are not told below it. None: a millionth of the dose in a litre.
    companions: up to three (doses, samples, covariates) of other patients of the same drug.
    checkpoint: a file of `teorell train transformer`; "transformer" is what ships with the package.
    effort: draws, and the effective sample size they are to have.

    Draws of the posterior head are weighed by the exact likelihood times prior; what the prior is,
    and limits: docs/transformer.md. The same arguments have the same result.
    Raises InputError for unknown columns, covariates and structures, covariates outside the range
    of training, times that go back, and what is no number.
    """
    what = structure_of(structure)
    asked = ascending(times, "the forecast")
    if not asked.size:
        raise InputError("no times (a forecast is at times). Give at least one, in h.")
    if not (np.isfinite(noise) and noise > 0):
        raise InputError(f"noise is {noise} (a standard deviation of logs). Give 0.15, say.")
    if limit is not None and not (np.isfinite(limit) and limit > 0):
        raise InputError(f"limit is {limit} (a concentration in mg/L). Give one above 0.")
    if len(companions) > MOST_COMPANIONS:
        raise InputError(
            f"{len(companions)} companions (trained on {MOST_COMPANIONS} at most). Give fewer."
        )
    people = [patient(doses, samples, covariates)]
    people += [patient(*one, who=f"companion {k}") for k, one in enumerate(companions)]
    if what.absorption != "iv" and any(one.duration.any() for one in people):
        raise InputError(
            f"doses have a duration (structure {structure!r} absorbs them). Take an 'iv' structure."
        )
    learner, network = _loaded(str(checkpoint))
    known = learner.configuration.decoders
    if structure not in known:
        raise InputError(
            f"structure {structure!r} (this checkpoint was trained without it). "
            f"{suggestion(structure, known)}"
        )
    given = studies_of(people, what, asked, noise, limit)
    context = np.full((len(people), MOST_COMPANIONS), -1)
    context[0, : len(companions)] = np.arange(1, len(people))
    direct, posterior, prior = answers(network, given, context)
    mine = given.rows(np.array([0]))
    first = slice(0, 1)
    found = decoded(
        type(posterior)(*(x[first] for x in posterior)), type(prior)(*(x[first] for x in prior)),
        mine, effort, seed,
    )  # fmt: skip
    if not found.effective[0] > 0:
        raise InputError(
            f"no draw of {structure!r} comes near these samples (all weights are 0). Look at units "
            "(mg, L, h), or take another structure."
        )
    bands = np.exp(found.quantiles(LEVELS)[0])
    logs = to_logs(found.draws, mine.weight)[:, 0, list(what.places)]
    weights = found.weights[:, 0]
    middle = weights @ logs
    spread = np.sqrt(weights @ (logs - middle) ** 2)
    said = notes(given, noise)
    if found.effective[0] < effort.least:
        said.append(f"the effective sample size is below {effort.least:g}: the bands are rough")
    return Forecast(
        asked,
        median=bands[:, LEVELS.index(0.5)],
        lower=bands[:, 0],
        upper=bands[:, -1],
        quantiles=bands,
        direct=np.exp(direct.quantiles[0]),
        parameters={
            name: (float(np.exp(m)), float(s))
            for name, m, s in zip(what.parameters, middle, spread, strict=True)
        },
        effective=float(found.effective[0]),
        draws=int(found.taken[0]),
        notes=tuple(said),
    )


def _loaded(checkpoint: str) -> Any:
    """A learner and its network."""
    learner, network = load(checkpoint)
    if learner.name != "transformer":
        raise InputError(
            f"{checkpoint} is a {learner.name} (a transformer is needed). Give one of those."
        )
    return learner, network
