"""What a fit works on: subjects, their doses and observations; predictions of any choice of them,
with sensitivities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.covariates import Stepwise
from teorell.dose_table import spread
from teorell.errors import InputError, count, suggestion
from teorell.event_table import EventTable
from teorell.model import Model
from teorell.parameters import Array
from teorell.problem import Input, problem_of
from teorell.record_times import RecordTimes
from teorell.regimen import dose_table

__all__ = ["Data", "data_of", "enough"]


@dataclass(frozen=True, eq=False)
class Data:
    """Observations of subjects: those of subject i are rows offsets[i] to offsets[i + 1] - 1."""

    model: Model
    output: str
    estimated: tuple[str, ...]
    known: Mapping[str, Any]  # other parameters: numbers, (subjects,), Stepwise
    regimen: Any  # a DoseTable
    times: Array  # (rows,)
    order: NDArray[np.int64] | None
    offsets: NDArray[np.int64]
    y: Array  # (rows,)
    below: NDArray[np.bool_]  # (rows,) below the limit of quantification
    limit: Array  # (rows,)
    ids: NDArray[Any]  # (subjects,)
    options: Mapping[str, Any]  # of simulate

    @property
    def subjects(self) -> int:
        return len(self.ids)

    @property
    def counts(self) -> NDArray[np.int64]:
        """(subjects,) observations of each."""
        return np.diff(self.offsets)

    def rows(self, subjects: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of some subjects, which may repeat."""
        return spread(self.offsets[subjects], self.counts[subjects])

    def predict(self, subjects: NDArray[np.int64], values: Array) -> tuple[Array, Array]:
        """Predictions (rows,) of some subjects, NaN after a failure, and derivatives (rows, p);
        values: (subjects, p).
        """
        arrays = [np.ascontiguousarray(column) for column in values.T]
        given = {name: self._chosen(value, subjects) for name, value in self.known.items()}
        given |= dict(zip(self.estimated, arrays, strict=True))
        rows = self.rows(subjects)
        offsets = np.append(0, np.cumsum(self.counts[subjects]))
        order = None if self.order is None else self.order[rows]
        at = RecordTimes(self.times[rows], offsets, order)
        doses = np.diff(self.regimen.offsets)[subjects]
        which = spread(self.regimen.offsets[:-1][subjects], doses)
        regimen = self.regimen.rows(which, np.append(0, np.cumsum(doses)))
        problem = problem_of(self.model, given, regimen, at, [self.output], **self.options)
        problem = problem.by([Input("parameter", name) for name in self.estimated])
        raw, derivatives, _ = problem.jacobian(problem.given)
        return raw.values[:, 0], derivatives[:, 0, :]

    def _chosen(self, value: Any, subjects: NDArray[np.int64]) -> Any:
        if isinstance(value, Stepwise):
            if value.patients == 1:
                return value
            counts = np.diff(value.offsets)[subjects]
            rows = spread(value.offsets[:-1][subjects], counts)
            order = None if value.order is None else value.order[rows]
            return Stepwise(
                value.values[rows], value.times[rows], np.append(0, np.cumsum(counts)), order
            )
        return np.asarray(value)[subjects] if np.ndim(value) else value


def data_of(
    model: Model,
    observations: EventTable,
    output: str | None,
    estimated: Sequence[str],
    known: Mapping[str, Any],
    options: Any,
) -> Data:
    """The observations of a table, without those that DV does not hold (MDV).

    InputError for what does not fit.
    """
    if not isinstance(observations, EventTable):
        raise TypeError(
            f"observations are a {type(observations).__name__} (doses are needed too). Give a "
            "teorell.EventTable."
        )
    names = model.output_names
    if output is None and len(names) != 1:
        raise InputError(
            f"no output named (model {model.name!r} has {len(names)}). Name one of "
            f"{', '.join(names)}."
        )
    chosen = names[0] if output is None else output
    if chosen not in names:
        raise InputError(
            f"unknown output {chosen!r} (model {model.name!r} does not declare it). "
            f"{suggestion(chosen, names)}"
        )
    for name in (*estimated, *known):
        if name not in model.parameter_names:
            raise InputError(
                f"unknown parameter {name!r} (model {model.name!r} does not declare it). "
                f"{suggestion(name, model.parameter_names)}"
            )
    of_table = dict(observations.parameters)
    for name in estimated:
        if name in known or name in of_table:
            where = "fixed too" if name in known else "a column of the table too"
            raise InputError(
                f"parameter {name!r} is estimated and {where} (which is meant?). Leave it out of "
                "one."
            )
    below = observations.blq & ~observations.mdv
    kept = np.flatnonzero(~observations.mdv)
    lost = kept[np.isnan(observations.dv[kept]) & ~below[kept]]
    if lost.size:
        raise InputError(
            f"an observation is not a number (row {observations.records[lost[0]]}). Give DV a "
            "value, or MDV 1."
        )
    limit = np.where(np.isnan(observations.lloq), observations.dv, observations.lloq)
    unknown = kept[below[kept] & np.isnan(limit[kept])]
    if unknown.size:
        raise InputError(
            "an observation below the limit of quantification has no limit (row "
            f"{observations.records[unknown[0]]}). Give LLOQ, or the limit in DV."
        )
    owner = observations.times.patient[kept]
    counts = np.bincount(owner, minlength=observations.patients)
    if not kept.size or (counts == 0).any():
        who = (
            "any subject"
            if not kept.size
            else f"subject {observations.ids[np.argmax(counts == 0)]}"
        )
        raise InputError(
            f"there is no observation of {who} (nothing can be fitted). Leave such subjects out."
        )
    order = observations.times.order
    return Data(
        model, chosen, tuple(estimated), {**of_table, **known},
        dose_table(observations.regimen, model.state_names, observations.patients),
        observations.times.times[kept], None if order is None else order[kept], np.append(0,
        np.cumsum(counts)), np.where(below[kept], limit[kept], observations.dv[kept]), below[kept],
        limit[kept], observations.ids, options,
    )  # fmt: skip


def enough(data: Data, parameters: int, pooled: bool) -> None:
    """InputError where a problem has fewer observations than numbers to estimate."""
    counts = np.array([data.counts.sum()]) if pooled else data.counts
    few = np.flatnonzero(counts < parameters)
    if few.size:
        who = "all subjects together have" if pooled else f"subject {data.ids[few[0]]} has"
        raise InputError(
            f"{who} {count(int(counts[few[0]]), 'observation')} for "
            f"{count(parameters, 'parameter')} (they cannot be told apart). Estimate fewer, give "
            "priors, or pool the subjects."
        )
