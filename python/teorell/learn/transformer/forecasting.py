"""`forecast`: a patient's doses and samples in, concentrations with intervals out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from teorell.arrays import Array
from teorell.errors import InputError
from teorell.learn.trainer import load
from teorell.learn.transformer.averaging import averaged, chosen
from teorell.learn.transformer.decoding import to_logs
from teorell.learn.transformer.given import ascending, notes, patient, studies_of
from teorell.learn.transformer.inference import Effort
from teorell.learn.transformer.network import LEVELS
from teorell.learn.transformer.structures import Structure
from teorell.learn.transformer.weighing import Weighed
from teorell.tables import aligned

__all__ = ["Forecast", "forecast"]

MOST_COMPANIONS = 3  # as trained: studies of four
SHOWN = 0.01  # probability from which a structure is printed


@dataclass(frozen=True)
class Forecast:
    """Concentrations (without noise of measurement) at times, from weighed draws of a posterior.

    times: (times,), h; median, lower, upper: (times,), mg/L, the band of 90 %; quantiles: (times,
    levels), mg/L, at `levels`; direct: (times, levels), the same by the direct head, not weighed.
    parameters: name -> geometric mean and standard deviation of the natural log, weighed; of
    several structures: structure -> such a mapping, of those with a weight.
    structures: name -> posterior probability; evidence: name -> natural log of the probability
    density of the samples under it, and the Monte Carlo standard error of that log.
    effective: the effective sample size of the `draws`, of all structures together; below 100 the
    bands are rough. notes: what lies outside what the network was trained on.
    """

    times: Array
    median: Array
    lower: Array
    upper: Array
    quantiles: Array
    direct: Array
    parameters: dict[str, Any]
    structures: dict[str, float]
    evidence: dict[str, tuple[float, float]]
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
        likely = sorted(self.structures.items(), key=lambda one: -one[1])
        shown = [f"{name} {share:.2f}" for name, share in likely if share >= SHOWN]
        if len(shown) < len(likely):
            shown.append(f"{len(likely) - len(shown)} below {SHOWN:g}")
        names = ["structures: " + ", ".join(shown)] if len(likely) > 1 else []
        return "\n".join([aligned(rows), *names, told, *self.notes])


def forecast(
    doses: Any,
    samples: Any,
    times: Any,
    *,
    covariates: Any = None,
    structure: str | Sequence[str] = "first-2",
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
        saturable), or "oral-whole-body", "iv-whole-body"; or a tuple of several, of one route; or
        "oral" or "iv" for all structures of compartments of that route. Of several the forecast is
        averaged by their posterior probabilities, which companions count for too; before, saturable
        ones together have a tenth. "first-2" if nothing is said: a route is never guessed, nor a
        structure chosen unasked.
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
    learner, network = _loaded(str(checkpoint))
    what = chosen(structure, learner.configuration.decoders)
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
    if what[0].absorption != "iv" and any(one.duration.any() for one in people):
        raise InputError(
            f"doses have a duration (structure {structure!r} absorbs them). Take an 'iv' structure,"
            " or 'iv' for all."
        )
    given = studies_of(people, what[0], asked, noise, limit)
    context = np.full((len(people), MOST_COMPANIONS), -1)
    context[0, : len(companions)] = np.arange(1, len(people))
    direct, each, found, probable = averaged(network, given, context, what, 1, effort, seed)
    if not found.effective[0] > 0:
        raise InputError(
            f"no draw of {structure!r} comes near these samples (all weights are 0). Look at units "
            "(mg, L, h), or take another structure."
        )
    bands = np.exp(found.quantiles(LEVELS)[0])
    names = [one.name for one in what]
    parameters: dict[str, Any] = {
        one.name: _parameters(one, of, given.weight[:1])
        for one, of in zip(what, each, strict=True)
        if of.effective[0] > 0
    }
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
        parameters=parameters if len(what) > 1 else parameters[names[0]],
        structures=dict(zip(names, probable[:, 0].tolist(), strict=True)),
        evidence={
            name: (float(one.log_evidence[0]), float(one.evidence_error()[0]))
            for name, one in zip(names, each, strict=True)
        },
        effective=float(found.effective[0]),
        draws=int(found.taken[0]),
        notes=tuple(said),
    )


def _parameters(what: Structure, found: Weighed, weight: Array) -> dict[str, tuple[float, float]]:
    """Geometric means and standard deviations of logs of one patient."""
    logs = to_logs(found.draws, weight)[:, 0, list(what.places)]
    weights = found.weights[:, 0]
    middle = weights @ logs
    spread = np.sqrt(weights @ (logs - middle) ** 2)
    return {
        name: (float(np.exp(m)), float(s))
        for name, m, s in zip(what.parameters, middle, spread, strict=True)
    }


def _loaded(checkpoint: str) -> Any:
    """A learner and its network."""
    learner, network = load(checkpoint)
    if learner.name != "transformer":
        raise InputError(
            f"{checkpoint} is a {learner.name} (a transformer is needed). Give one of those."
        )
    return learner, network
