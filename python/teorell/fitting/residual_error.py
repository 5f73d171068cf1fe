"""How observations scatter about predictions, and what that makes of a likelihood.

The likelihood of each problem comes with its slope and its Fisher information. Observations are
normal about the prediction f with variance v(f, sigma). With residual e = y - f a row adds

    (e^2 / v + log v) / 2                       to the negative log likelihood
    f' f'^T / v + v' v'^T / (2 v^2)             to the expected information

A value below the limit of quantification L adds -log Phi((L - f) / sqrt(v)), the method M3 of Beal
(2001), J. Pharmacokinet. Pharmacodyn. 28:481-504.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.errors import InputError

__all__ = ["Additive", "Combined", "Error", "Proportional", "likelihood"]

LOG_TWO_PI = 1.8378770664093453


@dataclass(frozen=True)
class Error:
    """The variance v = sd^2 + (cv f)^2 about a prediction f.

    What is None is estimated, what is 0 is not there.
    """

    sd: float | None = 0.0
    cv: float | None = 0.0

    def __post_init__(self) -> None:
        for name in ("sd", "cv"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and 0.0 <= value < np.inf):
                raise InputError(
                    f"{name} of the residual error is {value!r} (it is a size). Give a number "
                    "above 0, or None."
                )
        if self.sd == 0.0 and self.cv == 0.0:
            raise InputError(
                "the residual error is 0 (then no prediction is ever right). Give sd or cv above "
                "0, or None."
            )

    @property
    def estimated(self) -> tuple[str, ...]:
        """Which of sd and cv are estimated."""
        return tuple(name for name in ("sd", "cv") if getattr(self, name) is None)

    def variance(self, f: Array, logs: Array) -> tuple[Array, Array, Array]:
        """v (rows,), dv/df (rows,), and dv / d the logarithms (rows, estimated).

        f: (rows,) predictions. logs: (rows, estimated) logarithms of what is estimated.
        """
        sizes = {name: np.exp(logs[:, k]) for k, name in enumerate(self.estimated)}
        sd = sizes.get("sd", np.asarray(0.0 if self.sd is None else self.sd))
        cv = sizes.get("cv", np.asarray(0.0 if self.cv is None else self.cv))
        parts = {"sd": sd**2 + 0.0 * f, "cv": (cv * f) ** 2}
        by_logs = [2.0 * parts[name] for name in self.estimated]
        return (
            parts["sd"] + parts["cv"],
            2.0 * cv**2 * f,
            np.stack(by_logs, 1) if by_logs else np.zeros((f.size, 0)),
        )


class Additive(Error):
    """The same scatter everywhere: v = sd^2, in the unit of the output. sd: None is estimated."""

    def __init__(self, sd: float | None = None) -> None:
        super().__init__(sd=sd, cv=0.0)


class Proportional(Error):
    """Scatter in proportion to the prediction: v = (cv f)^2. cv: None is estimated."""

    def __init__(self, cv: float | None = None) -> None:
        super().__init__(sd=0.0, cv=cv)


class Combined(Error):
    """Scatter everywhere and in proportion: v = sd^2 + (cv f)^2; what is None is estimated."""

    def __init__(self, sd: float | None = None, cv: float | None = None) -> None:
        super().__init__(sd=sd, cv=cv)


def likelihood(
    error: Error,
    y: Array,
    below: NDArray[np.bool_],
    limit: Array,
    f: Array,
    slopes: Array,
    logs: Array,
    owner: NDArray[np.int64],
    problems: int,
) -> tuple[Array, Array, Array]:
    """The negative log likelihood (problems,), its gradient and its Fisher information.

    y, f, limit: (rows,) observations, predictions, limits of quantification; below: (rows,) is the
    observation below the limit? slopes: (rows, p) df/d phi; logs: (rows, q - p) logarithms of the
    estimated error; owner: (rows,) the problem of each row. gradient: (problems, q), information:
    (problems, q, q). Infinite where a prediction is not a number, or where none has a scatter.
    """
    v, v_of_f, v_of_logs = error.variance(f, logs)
    q = slopes.shape[1] + logs.shape[1]
    f_dot = np.concatenate([slopes, np.zeros_like(v_of_logs)], 1)
    v_dot = np.concatenate([v_of_f[:, None] * slopes, v_of_logs], 1)
    with np.errstate(all="ignore"):
        e = y - f
        value = 0.5 * (e * e / v + np.log(v) + LOG_TWO_PI)
        gradient = -(e / v)[:, None] * f_dot + (0.5 / v * (1.0 - e * e / v))[:, None] * v_dot
        first, second = f_dot / np.sqrt(v)[:, None], v_dot / (np.sqrt(2.0) * v)[:, None]
        if below.any():
            z = (limit - f) / np.sqrt(v)
            log_phi, hazard = _normal(z)
            z_dot = -f_dot / np.sqrt(v)[:, None] - (0.5 * z / v)[:, None] * v_dot
            value = np.where(below, -log_phi, value)
            gradient = np.where(below[:, None], -hazard[:, None] * z_dot, gradient)
            curvature = np.sqrt(np.maximum(hazard * (hazard + z), 0.0))
            first = np.where(below[:, None], curvature[:, None] * z_dot, first)
            second = np.where(below[:, None], 0.0, second)
    bad = ~np.isfinite(value)
    value, gradient = np.where(bad, np.inf, value), np.where(bad[:, None], 0.0, gradient)
    parts = np.where(bad[:, None, None], 0.0, np.stack([first, second], 1))
    total, slope = np.zeros(problems), np.zeros((problems, q))
    information = np.zeros((problems, q, q))
    np.add.at(total, owner, value)
    np.add.at(slope, owner, gradient)
    np.add.at(information, owner, np.einsum("rki,rkj->rij", parts, parts))
    return total, slope, information


def _normal(z: Array) -> tuple[Array, Array]:
    """log Phi(z), and phi(z) / Phi(z)."""
    special = _special()
    log_phi: Array = special.log_ndtr(z)
    return log_phi, np.exp(-0.5 * z * z - 0.5 * LOG_TWO_PI - log_phi)


def _special() -> Any:
    try:
        from scipy import special
    except ImportError as error:
        raise ImportError(
            "no values below the limit (scipy is not installed). Run pip install scipy."
        ) from error
    return special
