"""The two problems of the benchmark (reference_models.py), their patients, and how far a solution
is off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

import teorell as tl
from teorell import reference_models
from teorell.expression import Expression, evaluate_all, leaves, symbol

__all__ = [
    "BETWEEN", "CHECKED", "DOSE", "DOSES", "EVERY", "TIMES", "FloatArray", "Problem", "Run",
    "errors", "problem",
]  # fmt: skip

FloatArray: TypeAlias = NDArray[np.float64]
Run: TypeAlias = Callable[[int, float, float], FloatArray]
"""run(n, rtol, atol) solves the first n patients: (n, samples, states or outputs), mg or mg/L; atol
in mg.
"""

TIMES: FloatArray = reference_models.TIMES  # (97,) h
# mg, times, h
DOSE, DOSES, EVERY = reference_models.DOSE, len(reference_models.DOSES), reference_models.DOSES[1]
BETWEEN = (len(TIMES) - 1) // DOSES  # samples from one dose to the next
CHECKED = 20  # patients whose error is measured


@dataclass(frozen=True)
class Problem:
    """One of the two problems.

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
        """The same as an (n, parameters) matrix in the model's order."""
        patients = self.patients(n)
        return np.column_stack([patients[name] for name in self.model.parameter_names])

    def start(self, n: int) -> FloatArray:
        """(n, states) before the first dose."""
        initials = self.model.initials()
        exprs = [initials[name] for name in self.model.state_names]
        patients = self.patients(n)
        symbols: set[Expression] = set().union(*(leaves(expr) for expr in exprs))
        values = evaluate_all(exprs, {symbol: patients[symbol.name] for symbol in symbols})
        return np.column_stack([np.broadcast_to(value, (n,)) for value in values])


_drawn: dict[str, tuple[int, Mapping[str, FloatArray]]] = {}


def _patients(kind: str, n: int) -> Mapping[str, FloatArray]:
    """Views of the largest population drawn so far: drawing is slower than solving, and must not be
    timed.
    """
    if _drawn.get(kind, (0, {}))[0] < n:
        _drawn[kind] = n, reference_models.population(kind, n)
    return {name: column[:n] for name, column in _drawn[kind][1].items()}


@lru_cache(maxsize=2)
def problem(kind: str) -> Problem:
    """Problem "A" or "B"."""
    model = {"A": reference_models.problem_a, "B": reference_models.problem_b}[kind]()
    names = list(model.state_names)
    outputs = tuple(f"amount_{name}" for name in names)
    for name, output in zip(names, outputs, strict=True):
        model.output(output, symbol("state", name))
    return Problem(kind, model, outputs, names.index("STO"), names.index("VEN"))


def errors(values: FloatArray, exact: FloatArray, problem: Problem) -> tuple[float, float]:
    """The worst relative error of (patients, samples, states): of the venous state, and of all
    states but the depot.

    Below a thousandth of a curve's own maximum the error is relative to that. NaN counts as
    infinite.
    """
    magnitude = np.abs(exact)
    scale = np.maximum(magnitude, 1e-3 * magnitude.max(axis=1, keepdims=True))
    relative = np.abs(values - exact) / np.where(scale == 0.0, 1.0, scale)
    worst = np.where(np.isfinite(relative), relative, np.inf).max(axis=(0, 1))
    return float(worst[problem.venous]), float(np.delete(worst, problem.depot).max())
