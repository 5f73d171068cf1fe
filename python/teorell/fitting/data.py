"""What a fit works on: subjects, their doses and observations, and predictions of them.

Predictions are of any choice of subjects, with sensitivities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array, check_bounds, numbers
from teorell.errors import InputError, count, suggestion
from teorell.fitting.analytes import analytes
from teorell.fitting.observations import Observed, observed_of
from teorell.fitting.residual_error import Scatter
from teorell.model import Model
from teorell.rows import offsets_of, spread
from teorell.schedule.covariates import Stepwise
from teorell.schedule.event_table import EventTable
from teorell.schedule.given_doses import dose_table
from teorell.schedule.record_times import RecordTimes
from teorell.simulation.given import problem_of
from teorell.simulation.inputs import Input
from teorell.simulation.settings import check_options

__all__ = ["Data", "data_of", "enough"]

# arguments of teorell.simulate that a fit takes from its table, and numbers that it has no use for
OF_THE_TABLE = ("parameters", "regimen", "times", "outputs", "reductions")


@dataclass(frozen=True, eq=False)
class Data:
    """Observations of subjects: those of subject i are rows offsets[i] to offsets[i + 1] - 1."""

    model: Model
    outputs: tuple[str, ...]  # that were measured
    estimated: tuple[str, ...]
    known: Mapping[str, Any]  # other parameters: numbers, (subjects,), Stepwise
    regimen: Any  # a DoseTable
    times: Array  # (rows,)
    order: NDArray[np.int64] | None
    offsets: NDArray[np.int64]
    seen: Observed  # (rows,)
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

    @property
    def owner(self) -> NDArray[np.intp]:
        """(rows,) the subject of each observation."""
        return np.repeat(np.arange(self.subjects), self.counts)

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
        problem = problem_of(self.model, given, regimen, at, list(self.outputs), **self.options)
        problem = problem.by([Input("parameter", name) for name in self.estimated])
        raw, derivatives, _ = problem.jacobian(problem.given)
        output = self.seen.output[self.rows(subjects)]
        each = np.arange(len(output))
        return raw.values[each, output], derivatives[each, output, :]

    def _chosen(self, value: Any, subjects: NDArray[np.int64]) -> Any:
        """The values of a known parameter for some subjects."""
        if isinstance(value, Stepwise):
            return value if value.patients == 1 else value.of(subjects)
        return np.asarray(value)[subjects] if np.ndim(value) else value


def data_of(
    model: Model,
    observations: EventTable,
    output: Any,
    estimated: Sequence[str],
    known: Mapping[str, Any],
    truncated: bool,
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
    for name in OF_THE_TABLE:
        if name in options:
            raise TypeError(
                f"{name} is no option of a fit (predictions are of the table's doses and times). "
                "Leave it out."
            )
    check_options(options)
    given = _known(model, observations, estimated, known)
    kept = np.flatnonzero(~observations.mdv)
    if not kept.size:
        raise InputError(
            "there is no observation of any subject (nothing can be fitted). Give DV where EVID is "
            "0, or MDV 0."
        )
    outputs, which = analytes(model, observations, output, kept)
    kept, which = kept[which >= 0], which[which >= 0]
    kept, seen = observed_of(observations, kept, which, truncated)
    counts = np.bincount(observations.times.patient[kept], minlength=observations.patients)
    if not kept.size or (counts == 0).any():
        who = f"subject {observations.ids[np.argmax(counts == 0)]}" if kept.size else "any subject"
        raise InputError(
            f"there is no observation of {who} (nothing can be fitted). Leave such subjects out."
        )
    order = observations.times.order
    return Data(
        model=model,
        outputs=outputs,
        estimated=tuple(estimated),
        known=given,
        regimen=dose_table(observations.regimen, model.state_names, observations.patients),
        times=observations.times.times[kept],
        order=None if order is None else order[kept],
        offsets=offsets_of(counts),
        seen=seen,
        ids=observations.ids,
        options=options,
    )


def _known(
    model: Model, observations: EventTable, estimated: Sequence[str], fixed: Mapping[str, Any]
) -> dict[str, Any]:
    """The parameters that are not estimated: columns of the table, and those that are fixed.

    InputError for names that the model has not, for those whose value is given twice, and for
    values that are not one number, or one a subject.
    """
    for name in (*estimated, *fixed):
        if name not in model.parameter_names:
            raise InputError(
                f"unknown parameter {name!r} (model {model.name!r} does not declare it). "
                f"{suggestion(name, model.parameter_names)}"
            )
    columns = observations.parameters
    for one, other, names in (
        ("estimated", "fixed", set(estimated) & set(fixed)),
        ("estimated", "a column of the table", set(estimated) & set(columns)),
        ("fixed", "a column of the table", set(fixed) & set(columns)),
    ):
        if names:
            raise InputError(
                f"parameter {min(names)!r} is {one} and {other} too (which is meant?). Leave it "
                "out of one."
            )
    known = {**columns, **fixed}
    return {name: _checked(model, observations, name, value) for name, value in known.items()}


def _checked(model: Model, observations: EventTable, name: str, value: Any) -> Any:
    """A parameter that is not estimated. InputError unless it is one number, or one a subject."""
    info = model.parameter_info(name)
    steps = isinstance(value, Stepwise)
    array = value.values if steps else numbers(value, f"fixed {name!r}")
    long = value.patients if steps else array.size
    if long != observations.patients and not (steps and long == 1) and (steps or array.ndim):
        raise InputError(
            f"fixed {name!r} has {count(long, 'value')}, the table "
            f"{count(observations.patients, 'subject')} (one number, or one a subject). Give as "
            "many."
        )
    check_bounds(name, array, info.lower, info.upper)
    return value if steps else (array if array.ndim else float(array))


def enough(data: Data, parameters: int, scatter: Scatter, pooled: bool) -> None:
    """InputError where a problem has fewer observations than numbers to estimate.

    Also where it has none of an output whose residual error is to be estimated.
    """
    counts = np.array([data.counts.sum()]) if pooled else data.counts
    few = np.flatnonzero(counts < parameters)
    if few.size:
        who = "all subjects together have" if pooled else f"subject {data.ids[few[0]]} has"
        raise InputError(
            f"{who} {count(int(counts[few[0]]), 'observation')} for "
            f"{count(parameters, 'parameter')} (they cannot be told apart). Estimate fewer, give "
            "priors, or pool the subjects."
        )
    for j in {j for j, _ in scatter.estimated}:
        of = np.bincount(data.owner[data.seen.output == j], minlength=data.subjects)
        if not (of.any() if pooled else of.all()):
            raise InputError(
                f"subject {data.ids[np.argmin(of)]} has no observation of {data.outputs[j]!r} (its "
                "residual error cannot be told). Give the error a size, or pool the subjects."
            )
