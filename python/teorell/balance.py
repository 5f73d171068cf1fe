"""Does a model conserve mass? Flows do by construction; what can break the balance is a rate term."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from teorell.errors import ModelError
from teorell.expression import Expression, evaluate_all, symbol, to_text

if TYPE_CHECKING:
    from teorell.model import Model

__all__ = ["Conservation", "check_conservation", "draining_flows"]

_POINTS = 64
_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Conservation:
    """The total of `states` changes only by `inflows` and `outflows`, to `imbalance` (relative, largest seen)."""

    states: tuple[str, ...]
    inflows: tuple[str, ...]
    outflows: tuple[str, ...]
    imbalance: float
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        text = f"conserved over {len(self.states)} states to {self.imbalance:.0e} relative"
        text += f"; in: {', '.join(self.inflows) or 'none'}; out: {', '.join(self.outflows) or 'none'}"
        return "\n".join([text, *[f"warning: {warning}" for warning in self.warnings]])


def check_conservation(model: Model, states: tuple[str, ...], warn: bool = True) -> Conservation:
    """The balance over `states`; ModelError names the rate terms that break it. See Model.check_conservation.

    In the sum of the derivatives every flow inside cancels and every flow across the border is declared, so the
    sum of the rate terms must vanish by itself, relative to their own size.
    """
    inside = set(states)
    rates = [rate for rate in model.rates if rate.state in inside]
    values = _values([rate.rate for rate in rates], _points(model))
    for k, rate in enumerate(rates):
        if not np.isfinite(values[k]).any():
            raise ModelError(
                f"mass balance: the rate of {rate.state!r}, {to_text(rate.rate, limit=120)}, is not finite at any of "
                f"{_POINTS} positive points. Check its formula and the parameters' bounds."
            )
    values = values[:, np.isfinite(values).all(axis=0)] if rates else values
    imbalance = _relative(values)
    if rates and not imbalance <= _TOLERANCE:
        culprits = [rates[k] for k in _unbalanced(values)]
        terms = "; ".join(f"d {rate.state}/dt gets {to_text(rate.rate, limit=120)}" for rate in culprits)
        raise ModelError(
            f"mass is not conserved over {', '.join(states[:6])}{'...' if len(states) > 6 else ''}: rate terms add up "
            f"to a gain or loss ({terms}). Write each as a flow, with None for outside, or leave its state out."
        )
    crossing = [flow for flow in model.flows if (flow.source in inside) != (flow.sink in inside)]
    drains = draining_flows(model, inside)
    if warn:
        for drain in drains:
            warnings.warn(drain, stacklevel=3)
    return Conservation(
        states=states,
        inflows=tuple([str(flow) for flow in crossing if flow.sink in inside]),
        outflows=tuple([str(flow) for flow in crossing if flow.source in inside]),
        imbalance=imbalance,
        warnings=drains,
    )


def draining_flows(model: Model, inside: set[str]) -> tuple[str, ...]:
    """A sentence for each flow that takes from an empty state, which it would drive below zero."""
    found = []
    points = _points(model)
    for flow in model.flows:
        usual = np.abs(_values([flow.rate], points)[0])
        least = 1e-12 * np.max(usual, where=np.isfinite(usual), initial=0.0)
        for end, sign in ((flow.source, 1.0), (flow.sink, -1.0)):
            if end is None or end not in inside or model.state_info(end).signed:
                continue
            empty = {**points, symbol("state", end): np.zeros(_POINTS)}
            if np.any(sign * _values([flow.rate], empty)[0] > least):
                found.append(
                    f"flow {flow} ({to_text(flow.rate, limit=120)}) takes from {end!r} even when it is empty, and "
                    f"makes it negative. Let the rate vanish with {end!r}, or declare the state signed."
                )
    return tuple(found)


def _points(model: Model) -> dict[Expression, NDArray[np.float64]]:
    """Random values for every symbol: parameters within a factor of 2 of their default and their bounds."""
    random = np.random.default_rng(1937)
    points = {model.time: 10.0 ** random.uniform(-2.0, 3.0, _POINTS)}
    for name in model.parameter_names:
        info = model.parameter_info(name)
        values = (info.default or 0.5) * 2.0 ** random.uniform(-1.0, 1.0, _POINTS)
        points[symbol("parameter", name)] = np.clip(values, info.lower, info.upper)
    for name in model.state_names:
        points[symbol("state", name)] = 10.0 ** random.uniform(-1.0, 1.0, _POINTS)
    return points


def _values(exprs: list[Expression], points: dict[Expression, NDArray[np.float64]]) -> NDArray[np.float64]:
    """(expressions, points)"""
    rows: list[Any] = [np.broadcast_to(value, _POINTS) for value in evaluate_all(exprs, points)]
    return np.array(rows, dtype=np.float64).reshape(len(exprs), _POINTS)


def _relative(values: NDArray[np.float64]) -> float:
    """The largest |sum over terms| / sum over |terms|; infinite if no point is left to judge by."""
    if values.shape[0] == 0:
        return 0.0
    size = np.abs(values).sum(axis=0)
    ratio = np.abs(values.sum(axis=0)) / np.where(size > 0.0, size, 1.0)
    return float(ratio.max()) if ratio.size else float("inf")


def _unbalanced(values: NDArray[np.float64]) -> list[int]:
    """The terms left over when those that vanish, and pairs and triples that cancel, are taken away."""
    left = list(range(values.shape[0]))
    for size in (1, 2, 3):
        if size == 3 and len(left) > 60:
            break
        for group in itertools.combinations(list(left), size):
            if set(group) <= set(left):
                some = values[list(group)]
                if (not some.any()) if size == 1 else _relative(some) <= _TOLERANCE:
                    left = [k for k in left if k not in group]
    return left
