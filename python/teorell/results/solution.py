"""What a simulation returns: labelled values, and a status for each patient.

Tables, pictures and analyses are made from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array, copied, is_on_device, on_host
from teorell.engine.batch import Infusions, Outcome
from teorell.errors import InputError, count, suggestion
from teorell.html import html_table
from teorell.patients import Patients
from teorell.results.failures import SimulationError, raise_failures

if TYPE_CHECKING:
    from typing import Self

    from teorell.results.nca import NCA

__all__ = ["SimulationError", "Solution"]


@dataclass(frozen=True, eq=False)
class Solution(Outcome):
    """Curves of a population, and how each patient's simulation went.

    Each output is in its declared unit. Where each patient had a list of times of its own, values
    is (samples, outputs), patient after patient: those of patient i are the rows offsets[i] to
    offsets[i + 1] - 1. Where times were an array (patients, times), values has its shape, and NaN
    where it has NaN.
    """

    # (patients, times, outputs), NumPy, or a torch tensor where one was given, or an array on the
    # device where they were computed; NaN after a failure
    values: Any
    times: Array  # (times,), (samples,) or (patients, times) in `time_unit`
    outputs: tuple[str, ...]
    model: str = ""  # its name
    time_unit: str = ""
    conditions: tuple[str, ...] = ()  # on states, where one made a patient fail
    units: tuple[str, ...] = ()  # of the outputs, "" where not declared
    # name -> what the user gave, () or (patients,) or Stepwise, in declared units
    parameters: Mapping[str, Any] | None = None
    # (patients + 1,) where each patient has a list of times of its own
    offsets: NDArray[np.int64] | None = None
    # name -> (patients,); NaN where a failure cut its window
    reductions: Mapping[str, Any] = field(default_factory=dict)
    reduction_units: Mapping[str, str] = field(default_factory=dict)  # "" where not known
    infusions: Infusions | None = None  # when they ran, for what samples cannot tell
    people: Patients | None = None  # who the patients are, where a population or table told it

    @property
    def time(self) -> Array:
        """(samples,) the time of each row of `values`; (times,) where patients share a grid, and
        (patients, times) where they were given so.
        """
        return self.times

    @property
    def patient(self) -> NDArray[np.int64]:
        """(samples,) the patient of each row of `values`; (patients,) where values has patients as
        its first dimension.
        """
        if self.offsets is None:
            return np.arange(self.status.size)
        return np.repeat(np.arange(self.status.size), np.diff(self.offsets))

    @property
    def ids(self) -> NDArray[Any]:
        """(patients,) ids of a population or an event table, else 0, 1, 2, ..."""
        return np.arange(self.status.size) if self.people is None else self.people.ids

    @property
    def covariates(self) -> Mapping[str, NDArray[Any]]:
        """What is known of the patients beside: name -> (patients,), numbers or text."""
        return {} if self.people is None else self.people.covariates

    @property
    def array(self) -> Array:
        """`values` as NumPy, (patients, times, outputs); of a tensor a view without derivative.

        InputError where they lie on a device.
        """
        result: Array = on_host(self.values, "the values")
        return result

    def cpu(self) -> Self:
        """The same with values, reductions and parameters as NumPy; of a device they are copied."""
        return replace(
            self,
            values=copied(self.values),
            reductions={name: copied(each) for name, each in self.reductions.items()},
            parameters=None
            if self.parameters is None
            else {name: copied(each) for name, each in self.parameters.items()},
        )

    def __getitem__(self, output: str) -> Any:
        """The curves of one output, (patients, times) or (samples,), a view, in its unit.

        InputError if there is no such output.
        """
        return self.values[..., self._number(output)]

    def __repr__(self) -> str:
        failed = int((self.status != 0).sum())
        parts = [count(self.status.size, "patient")]
        at = self.times[~np.isnan(self.times)]
        if at.size:
            span = f"{at.min():g} to {at.max():g} {self.time_unit}".rstrip()
            what = "time" if self.offsets is None and self.times.ndim == 1 else "sample"
            parts += [
                f"{count(at.size, what)} from {span}",
                f"outputs {', '.join(self.outputs)}",
            ]
        if self.reductions:
            parts.append(f"reductions {', '.join(self.reductions)}")
        went = f"{failed} failed" if failed else "all succeeded"
        return f"<{type(self).__name__} of {self.model!r}: {', '.join(parts)}; {went}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: each output's median of the patients' largest and last numbers."""
        rows = []
        for k, name in enumerate(self.outputs if self.times.size else ()):
            unit = self.units[k] if self.units else ""
            cells = [name, unit]
            here = self.offsets is None and not is_on_device(self.values)
            if here and np.isfinite(self.array[..., k]).any():
                done = self.array[self.status == 0, :, k]
                sums = [done.max(axis=1), done[:, -1]] if done.size else []
                cells += [f"{np.median(each):.4g}" for each in sums]
            rows.append(cells)
        return html_table(repr(self), ("output", "unit", "largest, median", "last, median"), rows)

    def raise_for_status(self) -> None:
        """Raise SimulationError if any patient failed.

        It says who, why, what to do, and what is unusual about them.
        """
        known = {
            name: each for name, each in (self.parameters or {}).items() if not is_on_device(each)
        }
        raise_failures("solution", self, known)

    def to_dataframe(self) -> Any:
        """A tidy pandas DataFrame: a row for each patient and time (none where a time is NaN).

        Columns are patient, time, and one for each output; where a population or an event table
        told who the patients are, id, and after the outputs their covariates. `patient` counts from
        0; after a failure values are NaN. Units are in `frame.attrs["units"]`. ImportError without
        pandas, InputError if two columns would have one name.
        """
        from teorell.results.frames import dataframe_of

        return dataframe_of(self)

    def reductions_to_dataframe(self) -> Any:
        """A pandas DataFrame of the reductions: a row a patient.

        Columns are patient and one for each reduction; where a population or an event table told
        who the patients are, id, and after the reductions their covariates. Units are in
        `frame.attrs["units"]`. ImportError without pandas, InputError if there are no reductions,
        or two columns would have one name.
        """
        from teorell.results.frames import dataframe_of_reductions

        return dataframe_of_reductions(self)

    def to_xarray(self) -> Any:
        """An xarray Dataset: a variable (patient, time) for each output, others (patient,).

        The others are reductions, status, failure_time, steps and rejected. Where a population or
        an event table told who the patients are, id and covariates are coordinates (patient,).
        Where each patient has times of its own, the outputs are (sample,), with coordinates
        sample_patient and time, or (patient, sample), with a coordinate time, as the times were
        given. Units are attributes, `units`. ImportError without xarray, InputError if two of
        these would have one name.
        """
        from teorell.results.frames import dataset_of

        return dataset_of(self)

    def nca(self, output: str | None = None) -> NCA:
        """Non-compartmental analysis of one output for each patient; see teorell.nca.

        It knows the curve by its samples, and when infusions ran: an NCAWarning says for how many
        patients samples are too far apart or end too early. output: None is the only one.
        InputError if there is no such output, or there are several and none is named.
        """
        from teorell.results.nca import analyse
        from teorell.results.nca_checks import PEAK, warn

        self._check_grid("a non-compartmental analysis")
        name, unit = self._one(output), self._unit(output)
        time = self.time_unit
        units = {
            "cmax": unit,
            "tmax": time,
            "half_life": time,
            "lambda_z": f"1/{time}" if time else "",
        }
        area = f"{unit} {time}" if unit and time else ""
        found = analyse(
            self.times,
            self.array[:, :, self._number(name)],
            units | {"auc_last": area, "auc_inf": area},
            self.infusions,
        )
        peak = self.reductions.get(f"cmax_{name}")  # where it was asked for: of the dense output
        if peak is not None:
            dense = on_host(peak, "the reductions")
            found.coarse[dense > (1.0 + PEAK) * found.cmax] = True
        warn(found.coarse, found.extrapolated, name, stacklevel=2)
        return replace(found, people=self.people)

    def plot(self, output: str | None = None, **options: Any) -> Any:
        """Draw one output as median and percentile bands; returns the matplotlib Axes.

        output: None is the only one. options: log=True for a logarithmic axis, observed=(times,
        values) for points, title, color, label, ax to draw into (see results/plot.py). ImportError
        without matplotlib.
        """
        from teorell.results.plot import plot

        self._check_grid("a plot")
        name, unit, time = self._one(output), self._unit(output), self.time_unit
        options.setdefault("label", f"{name} [{unit}]" if unit else name)
        options.setdefault("time_label", f"time [{time}]" if time else "time")
        return plot(self.times, self.array[:, :, self._number(name)], **options)

    def _number(self, output: str) -> int:
        """The place of an output among the outputs; InputError for an unknown name."""
        if output not in self.outputs:
            raise InputError(
                f"unknown output {output!r} (this solution does not hold it). "
                f"{suggestion(str(output), self.outputs)}"
            )
        return self.outputs.index(output)

    def _one(self, output: str | None) -> str:
        """The output that is meant; InputError for None where there are several."""
        if output is not None:
            return output
        if len(self.outputs) != 1:
            raise InputError(
                f"no output named (the solution holds {len(self.outputs)}). Name one of "
                f"{', '.join(self.outputs)}"
            )
        return self.outputs[0]

    def _unit(self, output: str | None) -> str:
        """The unit of the output that is meant, "" if it has none."""
        return self.units[self._number(self._one(output))] if self.units else ""

    def _check_grid(self, what: str) -> None:
        """InputError if each patient has times of its own; what: what needs one grid."""
        if self.offsets is not None or self.times.ndim == 2:
            raise InputError(
                f"{what} of samples that each patient has at times of its own (one grid is "
                "needed). Simulate on one grid, or take the values of a patient: "
                f"{'values[i]' if self.offsets is None else 'values[offsets[i]:offsets[i + 1]]'}."
            )
