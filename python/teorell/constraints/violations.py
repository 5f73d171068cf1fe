"""How often constraints are violated in a population, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import copied, on_host
from teorell.html import html_table
from teorell.packages import needed
from teorell.patients import Patients

__all__ = ["Violations", "wilson"]

Z = 1.959963984540054  # of a two-sided 95 % interval


@dataclass(frozen=True, eq=False)
class Violations:
    """The share of patients that violate each constraint, and any, with 95 % Wilson intervals.

    `residuals[name]` (patients,): how far a patient is outside, in scales of the constraint, at
    most 0 inside; of an equality its size. They lie where they were computed.
    """

    residuals: Mapping[str, Any]
    violated: Mapping[str, NDArray[np.bool_]]  # name -> (patients,)
    groups: Mapping[str, str]  # name -> group
    people: Patients | None = None  # who the patients are, where it was told

    @property
    def ids(self) -> NDArray[Any]:
        """(patients,) ids of a population or an event table, else 0, 1, 2, ..."""
        return np.arange(self.any.size) if self.people is None else self.people.ids

    @property
    def any(self) -> NDArray[np.bool_]:
        """(patients,) True where a patient violates one at least."""
        result: NDArray[np.bool_] = np.any(list(self.violated.values()), axis=0)
        return result

    @property
    def rate(self) -> float:
        """The share of patients that violate one at least."""
        return float(self.any.mean())

    @property
    def rates(self) -> dict[str, float]:
        """name -> the share of patients that violate this constraint."""
        return {name: float(each.mean()) for name, each in self.violated.items()}

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """name -> the 95 % Wilson interval of its rate; "any" is that of `rate`."""
        every = {**self.violated, "any": self.any}
        return {name: wilson(int(each.sum()), each.size) for name, each in every.items()}

    def cpu(self) -> Violations:
        """The same with residuals as NumPy; of a device they are copied."""
        return replace(self, residuals={n: copied(each) for n, each in self.residuals.items()})

    def to_dataframe(self, patients: bool = False) -> Any:
        """A pandas DataFrame: a row a constraint, and `any`.

        Columns are group, rate, its interval, and the largest residual that is a number.
        patients: a row a patient instead: id, any, "violates ..." for each constraint, and the
        covariates, with units in `frame.attrs["units"]`. ImportError without pandas, InputError if
        a covariate has the name of another column.
        """
        with needed("pandas", "DataFrame", "'teorell[frames]'"):
            import pandas as pd  # type: ignore[import-untyped,unused-ignore]
        if patients:
            found = {"any": self.any}
            found |= {f"violates {name}": each for name, each in self.violated.items()}
            labels = {} if self.people is None else dict(self.people.covariates)
            units = {} if self.people is None else self.people.units
            if self.people is not None:
                self.people.check_names(dict.fromkeys(found, "a column of the report"))
            frame = pd.DataFrame({"id": self.ids, **found, **labels})
            frame.attrs["units"] = {name: unit for name, unit in units.items() if unit}
            return frame
        rows = []
        for name, each in {**self.violated, "any": self.any}.items():
            low, high = wilson(int(each.sum()), each.size)
            residuals = self.residuals.get(name, np.empty(0))
            sizes = on_host(residuals, "the residuals", "violations")
            worst = float(np.max(sizes, initial=-math.inf, where=~np.isnan(sizes)))
            worst = worst if worst > -math.inf else math.nan
            rows.append((name, self.groups.get(name, ""), float(each.mean()), low, high, worst))
        return pd.DataFrame(rows, columns=["constraint", "group", "rate", "low", "high", "worst"])

    def __repr__(self) -> str:
        worst = sorted(self.rates.items(), key=lambda item: -item[1])[:3]
        told = ", ".join(f"{name} {rate:.2%}" for name, rate in worst if rate) or "none"
        return f"<Violations: {self.rate:.2%} of {self.any.size} patients; {told}>"

    def _repr_html_(self) -> str:
        rows = [
            (name, self.groups.get(name, ""), f"{self.rates[name]:.2%}", f"{low:.2%} to {high:.2%}")
            for name, (low, high) in self.intervals.items()
            if name != "any"
        ]
        return html_table(repr(self), ("constraint", "group", "violated", "95 %"), rows)


def wilson(successes: int, n: int) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson, J. Am. Stat. Assoc. 22, 1927, 209)."""
    p, z2 = successes / n, Z * Z
    centre, half = p + z2 / (2 * n), Z * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    below = 0.0 if successes == 0 else (centre - half) / (1 + z2 / n)
    above = 1.0 if successes == n else (centre + half) / (1 + z2 / n)
    return below, above
