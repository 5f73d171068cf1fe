"""How observations scatter about predictions: one kind, or one for each output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array, is_number
from teorell.errors import InputError, suggestion

__all__ = ["Additive", "Combined", "Error", "Proportional", "Scatter", "scatter_of"]


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
            number = is_number(value)
            if isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "iuf":
                number = True
            if value is not None and not (
                number and not isinstance(value, bool) and 0.0 <= value < np.inf
            ):
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


@dataclass(frozen=True, eq=False)
class Scatter:
    """The residual errors of the outputs that were measured, one each."""

    outputs: tuple[str, ...]
    errors: tuple[Error, ...]

    @property
    def estimated(self) -> tuple[tuple[int, str], ...]:
        """What is estimated: the number of the output, and sd or cv."""
        return tuple((j, name) for j, one in enumerate(self.errors) for name in one.estimated)

    def name(self, output: int, size: str) -> str:
        """How a size is told: sd, or sd_cp where there are other outputs."""
        return size if len(self.outputs) == 1 else f"{size}_{self.outputs[output]}"

    def variance(
        self, f: Array, logs: Array, output: NDArray[np.int64]
    ) -> tuple[Array, Array, Array]:
        """v (rows,), dv/df (rows,), and dv / d the logarithms (rows, estimated).

        f: (rows,) predictions of the outputs (rows,). logs: (rows, estimated).
        """
        if len(self.errors) == 1:
            return self.errors[0].variance(f, logs)
        v, v_of_f, v_of_logs = np.empty_like(f), np.empty_like(f), np.zeros_like(logs)
        for j, one in enumerate(self.errors):
            rows = np.flatnonzero(output == j)
            columns = np.flatnonzero([of == j for of, _ in self.estimated])
            v[rows], v_of_f[rows], v_of_logs[np.ix_(rows, columns)] = one.variance(
                f[rows], logs[np.ix_(rows, columns)]
            )
        return v, v_of_f, v_of_logs


def scatter_of(error: Any, outputs: tuple[str, ...]) -> Scatter:
    """The residual error of each output.

    error: None is teorell.Additive(); one kind is that of each output, with sizes of its own; or a
    mapping of outputs to kinds. InputError where it does not name all of them, and no other.
    """
    given = (
        error
        if isinstance(error, Mapping)
        else dict.fromkeys(outputs, Additive() if error is None else error)
    )
    for name, one in given.items():
        if name not in outputs:
            raise InputError(
                f"error names {name!r} (it was not measured). {suggestion(str(name), outputs)}"
            )
        if not isinstance(one, Error):
            raise TypeError(
                f"error is a {type(one).__name__} (how do observations scatter?). Give "
                "teorell.Additive()."
            )
    lost = [name for name in outputs if name not in given]
    if lost:
        raise InputError(
            f"error does not name {lost[0]!r} (how does it scatter?). Give teorell.Additive()."
        )
    return Scatter(outputs, tuple(given[name] for name in outputs))
