"""The two problems of the benchmark, their patients, and how far a solution is off.

The models are those of reference_models.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

import teorell as tl
from teorell.benchmark.reference_models import DOSE, TIMES, population, problem_a, problem_b
from teorell.benchmark.reference_models import DOSES as DOSE_TIMES
from teorell.model.expression import Expression, evaluate_all, leaves, symbol

__all__ = [
    "BETWEEN", "CHECKED", "DOSE", "DOSES", "EVERY", "TIMES", "FloatArray", "Problem", "Run",
    "errors", "problem",
]  # fmt: skip

FloatArray: TypeAlias = NDArray[np.float64]
Run: TypeAlias = Callable[[int, float, float], FloatArray]
"""run(n, rtol, atol) solves the first n patients; atol in mg.

It returns (n, samples, states or outputs), in mg or mg/L.
"""

DOSES, EVERY = len(DOSE_TIMES), DOSE_TIMES[1]  # boluses of DOSE mg, h apart
BETWEEN = (len(TIMES) - 1) // DOSES  # samples from one dose to the next
CHECKED = 20  # patients whose error is measured


@dataclass(frozen=True)
class Problem:
    """One of the two problems, A and B.

    Each state, an amount in mg, is also an output, `outputs[k]` that of state k.
    """

    kind: str
    model: tl.Model
    outputs: tuple[str, ...]
    depot: int
    venous: int

    def patients(self, n: int) -> Mapping[str, FloatArray]:
        """The first n virtual patients, name -> (n,) values."""
        return _patients(self.kind, n)

    def matrix(self, n: int) -> FloatArray:
        """(n, parameters): the first n virtual patients, parameters in the model's order."""
        patients = self.patients(n)
        return np.column_stack([patients[name] for name in self.model.parameter_names])

    def start(self, n: int) -> FloatArray:
        """(n, states) the amounts in mg of the first n patients before the first dose."""
        initials = self.model.initials()
        exprs = [initials[name] for name in self.model.state_names]
        patients = self.patients(n)
        symbols: set[Expression] = set().union(*(leaves(expr) for expr in exprs))
        values = evaluate_all(exprs, {symbol: patients[symbol.name] for symbol in symbols})
        return np.column_stack([np.broadcast_to(value, (n,)) for value in values])


_drawn: dict[str, tuple[int, Mapping[str, FloatArray]]] = {}


def _patients(kind: str, n: int) -> Mapping[str, FloatArray]:
    """Views of the largest population drawn so far.

    Drawing is slower than solving, and must not be timed.
    """
    if _drawn.get(kind, (0, {}))[0] < n:
        _drawn[kind] = n, population(kind, n)
    return {name: column[:n] for name, column in _drawn[kind][1].items()}


@lru_cache(maxsize=2)
def problem(kind: str) -> Problem:
    """The problem of a kind, "A" or "B"."""
    model = {"A": problem_a, "B": problem_b}[kind]()
    names = list(model.state_names)
    outputs = tuple(f"amount_{name}" for name in names)
    for name, output in zip(names, outputs, strict=True):
        model.output(output, symbol("state", name))
    return Problem(kind, model, outputs, names.index("STO"), names.index("VEN"))


def errors(values: FloatArray, exact: FloatArray, problem: Problem) -> tuple[float, float]:
    """The worst relative error of the venous state, and of all states but the depot.

    values, exact: (patients, samples, states). Below a thousandth of a curve's own maximum the
    error is relative to that. NaN counts as infinite.
    """
    magnitude = np.abs(exact)
    scale = np.maximum(magnitude, 1e-3 * magnitude.max(axis=1, keepdims=True))
    relative = np.abs(values - exact) / np.where(scale == 0.0, 1.0, scale)
    worst = np.where(np.isfinite(relative), relative, np.inf).max(axis=(0, 1))
    return float(worst[problem.venous]), float(np.delete(worst, problem.depot).max())
