"""What a fit returns: estimates with their uncertainty, and how well the curves meet the data.

Also what the data cannot tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.errors import InputError, suggestion

if TYPE_CHECKING:
    from teorell.fitting.profile import Profile

__all__ = ["Fit"]


@dataclass(frozen=True, eq=False)
class Fit:
    """Maximum likelihood estimates, or maximum a posteriori with priors, of each subject or of all.

    Problems are the subjects, or one. Standard errors are those of the inverse Fisher information,
    of parameters on the log scale by the delta method; with the residual error estimated they are
    scaled by n / (n - p), as in regression.
    """

    ids: NDArray[Any]  # (subjects,)
    names: tuple[str, ...]  # of the parameters
    estimates: Mapping[str, Array]  # name -> (problems,)
    standard_errors: Mapping[str, Array]  # name -> (problems,); infinite where the data do not tell
    error: Mapping[str, Array]  # sd and cv of the residual error -> (problems,)
    objective: Array  # (problems,) -2 log likelihood, with the priors
    # (problems, p, p), on the scale of the search: logarithms of positive parameters
    covariance: Array
    correlation: Array  # (problems, p, p)
    spectrum: Array  # (problems, p) eigenvalues of the Fisher information on that scale, ascending
    identifiability: tuple[str, ...]  # of each problem a sentence, "" where all is identified
    converged: NDArray[np.bool_]  # (problems,)
    message: tuple[str, ...]  # of each problem
    # of each problem other solutions of the same objective
    alternatives: tuple[tuple[Mapping[str, float], ...], ...]
    subject: NDArray[np.int64]  # (rows,) of the observations
    time: Array  # (rows,)
    observed: Array  # (rows,) the limit where below it
    below: NDArray[np.bool_]  # (rows,) below the limit of quantification
    predicted: Array  # (rows,)
    residuals: Array  # (rows,) in standard deviations of the residual error; NaN below the limit
    pooled: bool = False
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
        profile: Profile = self._profile(self, name, points, width)
        return profile

    def to_dataframe(self) -> Any:
        """A pandas DataFrame: a row a problem.

        Columns are the id, estimate and standard error of each parameter, the residual error,
        objective, converged. ImportError without pandas.
        """
        try:
            import pandas as pd  # type: ignore[import-untyped,unused-ignore]
        except ImportError as error:
            raise ImportError(
                "no DataFrame (pandas is not installed). Run pip install 'teorell[frames]'."
            ) from error
        columns: dict[str, Any] = {} if self.pooled else {"id": self.ids}
        for name in self.names:
            columns |= {name: self.estimates[name], f"{name}_se": self.standard_errors[name]}
        columns |= dict(self.error)
        return pd.DataFrame(columns | {"objective": self.objective, "converged": self.converged})

    def summary(self) -> str:
        """The estimates as text, and what is to be known of them."""
        frame = self.to_dataframe()
        lines = [frame.to_string(index=False, float_format=lambda x: f"{x:.4g}")]
        for k, told in enumerate(self.message):
            if told != "converged":
                lines.append(
                    f"{'all subjects' if self.pooled else f'subject {self.ids[k]}'}: {told}"
                )
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
            below=self.below,
        )

    def __repr__(self) -> str:
        problems = len(self.objective)
        bad = int((~self.converged).sum())
        whom = f"{len(self.ids)} subjects pooled" if self.pooled else f"{problems} subjects"
        return (
            f"<Fit of {whom}: {', '.join(self.names)}; "
            f"{f'{bad} not converged' if bad else 'all converged'}>"
        )
