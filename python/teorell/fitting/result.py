"""What a fit returns: estimates with their uncertainty, and how well the curves meet the data.

Also what the data cannot tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array, is_whole
from teorell.errors import InputError, suggestion
from teorell.packages import needed
from teorell.tables import WIDTH, wrapped

if TYPE_CHECKING:
    from teorell.fitting.profile import Profile

__all__ = ["Fit"]


@dataclass(frozen=True, eq=False)
class Fit:
    """Maximum likelihood estimates, or maximum a posteriori with priors, of each subject or of all.

    Problems are the subjects, or one. Standard errors are those of the inverse Fisher information,
    of parameters on the log scale by the delta method; with the residual error estimated they are
    scaled by n / (n - p), as in regression. What is at a bound has none, NaN; those of the others
    are with it held there, and `message` says so.
    """

    ids: NDArray[Any]  # (subjects,)
    names: tuple[str, ...]  # of the parameters
    estimates: Mapping[str, Array]  # name -> (problems,)
    standard_errors: Mapping[str, Array]  # name -> (problems,); infinite where the data do not tell
    # sd and cv of the residual error, sd_cp and the like of several outputs -> (problems,)
    error: Mapping[str, Array]
    objective: Array  # (problems,) -2 log likelihood, with the priors
    # (problems, p, p), on the scale of the search: logarithms of positive parameters
    covariance: Array
    correlation: Array  # (problems, p, p)
    # (problems, p) eigenvalues of the Fisher information on that scale, ascending; parameters that
    # are no logarithms in units that change predictions by about the size of observations
    spectrum: Array
    identifiability: tuple[str, ...]  # of each problem a sentence, "" where all is identified
    converged: NDArray[np.bool_]  # (problems,)
    message: tuple[str, ...]  # of each problem
    # of each problem other solutions of the same objective
    alternatives: tuple[tuple[Mapping[str, float], ...], ...]
    subject: NDArray[np.int64]  # (rows,) of the observations
    time: Array  # (rows,)
    observed: Array  # (rows,) the limit where below or above it
    below: NDArray[np.bool_]  # (rows,) below the limit of quantification
    predicted: Array  # (rows,)
    residuals: Array  # (rows,) in standard deviations of the residual error; NaN beyond a limit
    pooled: bool = False
    censored: Any = None  # (rows,) 1 below a limit, -1 above one, 0 quantified
    output: Any = None  # (rows,) the name of the output of which each observation is
    _profile: Any = None

    def profile(self, name: str, points: int = 15, width: float = 3.0) -> Profile:
        """The profile likelihood of a parameter: the best objective with it held elsewhere.

        It is held at `points` values, up to `width` standard errors away. Its 95 % interval ends
        where the objective has risen by 3.84. All points of all problems are one batch.
        """
        if name not in self.names:
            raise InputError(
                f"unknown parameter {name!r} (it was not estimated). {suggestion(name, self.names)}"
            )
        if not is_whole(points) or points < 3:
            raise InputError(
                f"a profile of {points!r} points (three are the least). Give a whole number."
            )
        if not 0.0 < width < np.inf:
            raise InputError(
                f"the width of a profile is {width!r} (in standard errors). Give a number above 0."
            )
        profile: Profile = self._profile(self, name, int(points), float(width))
        return profile

    def to_dataframe(self) -> Any:
        """A pandas DataFrame: a row a problem.

        Columns are the id, estimate and standard error of each parameter, the residual error,
        objective, converged. ImportError without pandas.
        """
        with needed("pandas", "DataFrame", "'teorell[frames]'"):
            import pandas as pd  # type: ignore[import-untyped,unused-ignore]
        columns: dict[str, Any] = {} if self.pooled else {"id": self.ids}
        for name in self.names:
            columns |= {name: self.estimates[name], f"{name}_se": self.standard_errors[name]}
        columns |= {(f"residual_{n}" if n in columns else n): x for n, x in self.error.items()}
        return pd.DataFrame(columns | {"objective": self.objective, "converged": self.converged})

    def summary(self) -> str:
        """The estimates as text of at most 80 columns, and what is to be known of them.

        A table that is wider is told in parts, under each other.
        """
        frame = self.to_dataframe()
        lines = []
        for part in _parts(frame, first=0 if self.pooled else 1):
            lines += [part, ""]
        lines.pop()
        for k, told in enumerate(self.message):
            if told != "converged":
                who = "all subjects" if self.pooled else f"subject {self.ids[k]}"
                lines.append(wrapped(f"{who}: {told}", 2))
        return "\n".join(lines)

    def plot(self) -> Any:
        """Observed against predicted, and residuals against time; returns the matplotlib Figure.

        ImportError without matplotlib.
        """
        from teorell.fitting.picture import picture

        return picture(
            time=self.time,
            observed=self.observed,
            predicted=self.predicted,
            residuals=self.residuals,
            seen=~self.below if self.censored is None else self.censored == 0,
        )

    def __repr__(self) -> str:
        problems = len(self.objective)
        bad = int((~self.converged).sum())
        whom = f"{len(self.ids)} subjects pooled" if self.pooled else f"{problems} subjects"
        return (
            f"<Fit of {whom}: {', '.join(self.names)}; "
            f"{f'{bad} not converged' if bad else 'all converged'}>"
        )


def _parts(frame: Any, first: int) -> list[str]:
    """A DataFrame as texts of at most 80 columns, the `first` columns repeated in each."""

    def text(columns: list[int]) -> str:
        shown = frame.iloc[:, columns]
        return str(shown.to_string(index=False, float_format=lambda x: f"{x:.4g}"))

    def fits(columns: list[int]) -> bool:
        return max(map(len, text(columns).splitlines())) <= WIDTH

    head, parts = list(range(first)), []
    current = list(head)
    every = list(range(first, frame.shape[1]))
    if fits(head + every):
        return [text(head + every)]
    for column in every:
        if len(current) > first and not fits([*current, column]):
            parts.append(text(current))
            current = list(head)
        current.append(column)
    return [*parts, text(current)]
