"""A patient as a user gives one: doses, samples, covariates, all checked; made a row of Studies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from teorell.arrays import Array, is_number, numbers
from teorell.errors import InputError, suggestion
from teorell.learn.transformer.decoding import Doses
from teorell.learn.transformer.priors import PARAMETERS, REFERENCE_WEIGHT, WEIGHTS
from teorell.learn.transformer.regimens import MOST_DOSES
from teorell.learn.transformer.structures import STRUCTURES, Structure
from teorell.learn.transformer.studies import LIMITS, LONGER, MOST_SAMPLES, NOISE, Studies

__all__ = ["Patient", "ascending", "notes", "patient", "studies_of"]

COVARIATES = {"weight": (REFERENCE_WEIGHT, WEIGHTS, "kg")}


class Patient(NamedTuple):
    """One patient: times in h, amounts in mg, concentrations in mg/L."""

    dose_time: Array
    amount: Array
    duration: Array
    sample_time: Array
    concentration: Array
    weight: float


def patient(doses: Any, samples: Any, covariates: Any, who: str = "the patient") -> Patient:
    """Check one patient. Raises InputError for unknown columns, times that go back, and the like.

    doses: "time", "amount" and perhaps "duration"; samples: "time", "concentration", or None. Each
    a mapping or a DataFrame of columns of one length. covariates: "weight", or None.
    """
    given = _columns(doses, ("time", "amount"), ("duration",), f"doses of {who}")
    given.setdefault("duration", np.zeros(len(given["time"])))
    if not len(given["time"]):
        raise InputError(f"{who} has no dose (nothing would be measured). Give one.")
    if not (given["amount"] > 0).all():
        raise InputError(f"an amount of {who} is not above 0 (it is no dose). Leave it out.")
    if not (given["duration"] >= 0).all():
        raise InputError(f"a duration of {who} is below 0 (0 is at once). Give hours.")
    seen = _columns(
        {"time": (), "concentration": ()} if samples is None else samples,
        ("time", "concentration"), (), f"samples of {who}",
    )  # fmt: skip
    if not (seen["concentration"] >= 0).all():
        raise InputError(f"a concentration of {who} is below 0 (none is). Give mg/L.")
    values = {} if covariates is None else dict(covariates)
    for name, value in values.items():
        if name not in COVARIATES:
            raise InputError(
                f"unknown covariate {name!r} of {who} (the network was trained without it). "
                f"{suggestion(str(name), COVARIATES)}"
            )
        _, (low, high), unit = COVARIATES[name]
        if not is_number(value) or not low <= value <= high:
            raise InputError(
                f"{name} of {who} is {value!r} (trained on {low:g} to {high:g} {unit}). Give one "
                "in that range."
            )
    return Patient(
        given["time"], given["amount"], given["duration"], seen["time"], seen["concentration"],
        float(values.get("weight", REFERENCE_WEIGHT)),
    )  # fmt: skip


def studies_of(
    patients: list[Patient], what: Structure, times: Array, noise: float, limit: float | None
) -> Studies:
    """Patients of one study as the network takes them; the first is asked for at `times`.

    limit: of quantification, mg/L; None is the least that was trained on, below which forecasts
    are not told apart. A concentration below the limit counts as that, and needs one given.
    """
    for one in patients:
        if limit is None and (one.concentration == 0).any():
            raise InputError(
                "a concentration is 0 (its logarithm is none). Give limit=, the limit of "
                "quantification in mg/L; samples below it count by the chance of being there."
            )
    n = len(patients)
    doses = Doses(
        _wide([one.dose_time for one in patients], MOST_DOSES),
        _wide([one.amount for one in patients], MOST_DOSES),
        _wide([one.duration for one in patients], MOST_DOSES),
    )
    scale = np.nanmean(np.log(doses.amount), axis=1)
    least = np.full(n, np.log(limit)) if limit is not None else scale + np.log(LIMITS[0])
    for one, floor in zip(patients, least, strict=True):
        if limit is None and (one.concentration < np.exp(floor)).any():
            raise InputError(
                f"a concentration is {one.concentration.min():.3g} mg/L (nothing is told apart "
                f"below {np.exp(floor):.3g} after such doses: it would count as below a limit). "
                "Give limit=, the limit of quantification, or leave the sample out."
            )
    concentration = _wide([one.concentration for one in patients], MOST_SAMPLES)
    with np.errstate(divide="ignore"):
        level = np.log(concentration)
    return Studies(
        structure=np.full(n, STRUCTURES.index(what)),
        study=np.zeros(n, dtype=np.int64),
        logs=np.full((n, len(PARAMETERS)), np.nan),
        weight=np.array([one.weight for one in patients]),
        noise=np.full(n, noise),
        limit=least,
        doses=doses,
        sample_time=_wide([one.sample_time for one in patients], MOST_SAMPLES),
        sample=np.maximum(level, least[:, None]),
        below=level < least[:, None],
        query_time=np.tile(times, (n, 1)),
        query=np.full((n, len(times)), np.nan),
    )


def notes(given: Studies, noise: float) -> list[str]:
    """What lies outside the studies that the network was trained on, in sentences."""
    found = []
    doses = int(np.isfinite(given.doses.time).sum(axis=1).max())
    samples = int(np.isfinite(given.sample).sum(axis=1).max())
    last = max(float(np.nanmax(x)) for x in (given.doses.time, given.query_time))
    for what, value, most in (
        ("doses", doses, MOST_DOSES), ("samples", samples, MOST_SAMPLES),
        ("hours", last, LONGER[1]),
    ):  # fmt: skip
        if value > most:
            found.append(f"{value:g} {what} (the network was trained on {most:g} at most)")
    if not NOISE[0] <= noise <= NOISE[1]:
        found.append(f"noise {noise:g} (the network was trained on {NOISE[0]} to {NOISE[1]})")
    return found


def ascending(times: Any, what: str) -> Array:
    """Times in h as an array. Raises InputError for none finite, below 0, or that go back."""
    found = np.atleast_1d(numbers(times, f"times of {what}"))
    if (found < 0).any():
        raise InputError(f"a time of {what} is below 0 (where time begins). Give hours.")
    back = np.flatnonzero(np.diff(found) < 0)
    if back.size:
        k = int(back[0])
        raise InputError(
            f"times of {what} go back ({found[k]:g} h, then {found[k + 1]:g} h). Sort the rows by "
            "time."
        )
    return found


def _columns(given: Any, needed: Iterable[str], more: Iterable[str], what: str) -> dict[str, Array]:
    """Named columns of one length, as arrays."""
    if not isinstance(given, Mapping) and not hasattr(given, "columns"):
        raise InputError(
            f"{what} are a {type(given).__name__} (columns are needed). Give a mapping or a "
            "DataFrame."
        )
    names = list(given.keys())
    known = [*needed, *more]
    for name in names:
        if name not in known:
            raise InputError(
                f"unknown column {name!r} in {what} (it has no meaning here). "
                f"{suggestion(str(name), known)}"
            )
    for name in needed:
        if name not in names:
            raise InputError(f"{what} lack the column {name!r} (it is needed). Add it.")
    found = {"time": ascending(given["time"], what)}
    for name in names:
        if name == "time":
            continue
        values = np.atleast_1d(numbers(given[name], f"{name!r} in {what}"))
        if values.size != found["time"].size:
            raise InputError(
                f"{name!r} in {what} has {values.size} values (there are {found['time'].size} "
                "times). Give a number for each time."
            )
        found[name] = values
    return found


def _wide(rows: list[Array], least: int) -> Array:
    """Rows as one array, NaN at the ends; at least `least` columns."""
    found = np.full((len(rows), max(least, *map(len, rows))), np.nan)
    for to, row in zip(found, rows, strict=True):
        to[: len(row)] = row
    return found
