"""What a fit works on: subjects, their doses and observations, and predictions of them.

Predictions are of any choice of subjects, with sensitivities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.errors import InputError, count, suggestion
from teorell.model import Model
from teorell.rows import offsets_of, spread
from teorell.schedule.covariates import Stepwise
from teorell.schedule.event_table import EventTable
from teorell.schedule.record_times import RecordTimes
from teorell.schedule.regimen import dose_table
from teorell.simulation.given import problem_of
from teorell.simulation.inputs import Input

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
        counts: NDArray[np.int64] = np.diff(self.offsets)
        return counts

    def rows(self, subjects: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of some subjects, which may repeat."""
        return spread(self.offsets[subjects], self.counts[subjects])

    def predict(self, subjects: NDArray[np.int64], values: Array) -> tuple[Array, Array]:
        """Predictions (rows,) of some subjects, NaN after a failure, and derivatives (rows, p).

        values: (subjects, p), of the estimated parameters.
        """
        arrays = [np.ascontiguousarray(column) for column in values.T]
        given = {name: self._chosen(value, subjects) for name, value in self.known.items()}
        given |= dict(zip(self.estimated, arrays, strict=True))
        at = RecordTimes(self.times, self.offsets, self.order).of(subjects)
        regimen = self.regimen.of(subjects)
        problem = problem_of(self.model, given, regimen, at, [self.output], **self.options)
        problem = problem.by([Input("parameter", name) for name in self.estimated])
        raw, derivatives, _ = problem.jacobian(problem.given)
        return raw.values[:, 0], derivatives[:, 0, :]

    def _chosen(self, value: Any, subjects: NDArray[np.int64]) -> Any:
        """The values of a known parameter for some subjects."""
        if isinstance(value, Stepwise):
            return value if value.patients == 1 else value.of(subjects)
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
    chosen = _output(model, output)
    _check_parameters(model, observations, estimated, known)
    kept, below, limit = _kept(observations)
    owner = observations.times.patient[kept]
    counts = np.bincount(owner, minlength=observations.patients)
    if not kept.size or (counts == 0).any():
        who = f"subject {observations.ids[np.argmax(counts == 0)]}" if kept.size else "any subject"
        raise InputError(
            f"there is no observation of {who} (nothing can be fitted). Leave such subjects out."
        )
    order = observations.times.order
    return Data(
        model=model,
        output=chosen,
        estimated=tuple(estimated),
        known={**observations.parameters, **known},
        regimen=dose_table(observations.regimen, model.state_names, observations.patients),
        times=observations.times.times[kept],
        order=None if order is None else order[kept],
        offsets=offsets_of(counts),
        y=np.where(below[kept], limit[kept], observations.dv[kept]),
        below=below[kept],
        limit=limit[kept],
        ids=observations.ids,
        options=options,
    )


def _output(model: Model, given: str | None) -> str:
    """The output that was measured; None is the only one. InputError where there is none."""
    names = model.output_names
    if given is None and len(names) != 1:
        raise InputError(
            f"no output named (model {model.name!r} has {len(names)}). Name one of "
            f"{', '.join(names)}."
        )
    chosen = names[0] if given is None else given
    if chosen not in names:
        raise InputError(
            f"unknown output {chosen!r} (model {model.name!r} does not declare it). "
            f"{suggestion(chosen, names)}"
        )
    return chosen


def _check_parameters(
    model: Model, observations: EventTable, estimated: Sequence[str], known: Mapping[str, Any]
) -> None:
    """InputError for names that the model has not, and for those whose value is given twice."""
    for name in (*estimated, *known):
        if name not in model.parameter_names:
            raise InputError(
                f"unknown parameter {name!r} (model {model.name!r} does not declare it). "
                f"{suggestion(name, model.parameter_names)}"
            )
    for name in estimated:
        if name in known or name in observations.parameters:
            where = "fixed too" if name in known else "a column of the table too"
            raise InputError(
                f"parameter {name!r} is estimated and {where} (which is meant?). Leave it out of "
                "one."
            )


def _kept(observations: EventTable) -> tuple[NDArray[np.intp], NDArray[np.bool_], Array]:
    """Which samples count; of all samples, which are below the limit of quantification, and it.

    InputError for a sample that counts without a value.
    """
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
    return kept, below, limit


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
