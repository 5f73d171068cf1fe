"""Does a model conserve mass?

Flows do by construction; what can break the balance is a rate term.
"""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.errors import ModelError, count
from teorell.model.declarations import Rate
from teorell.model.equations import Equations
from teorell.model.expression import Expression, evaluate_all, leaves, symbol, to_text

__all__ = ["Conservation", "check_conservation", "draining_flows", "integrals"]

_POINTS = 64
_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Conservation:
    """What check_conservation found: over which states mass is conserved, and how exactly.

    The total of `states` changes only by `inflows` and `outflows`, to `imbalance` (relative, the
    largest seen). `left_out`: integrals that are no part of the total. `warnings`: a sentence for
    each flow that drains an empty state.
    """

    states: tuple[str, ...]
    inflows: tuple[str, ...]
    outflows: tuple[str, ...]
    imbalance: float
    warnings: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"conserved over {count(len(self.states), 'state')} "
        text += f"to {self.imbalance:.0e} relative" if self.imbalance else "exactly"
        text += (
            f"; in: {', '.join(self.inflows) or 'none'}; out: {', '.join(self.outflows) or 'none'}"
        )
        if self.left_out:
            text += f"; left out, as mere integrals: {', '.join(self.left_out)}"
        return "\n".join([text, *[f"warning: {warning}" for warning in self.warnings]])


def check_conservation(
    model: Equations, states: tuple[str, ...] | None = None, warn: bool = True
) -> Conservation:
    """The balance of mass over `states`; ModelError names the rate terms that break it.

    states: names; None is all but integrals that would break it. Model.check_conservation says what
    is checked.

    In the sum of the derivatives every flow inside cancels and every flow across the border is
    declared, so the sum of the rate terms must vanish by itself, relative to their own size.
    """
    chosen = model.state_names if states is None else states
    rates, values = _rates(model, chosen)
    left_out: tuple[str, ...] = ()
    if not _relative(values) <= _TOLERANCE:
        culprits = [rates[k] for k in _unbalanced(values)]
        if states is None:
            guilty = {rate.state for rate in culprits}
            left_out = tuple([name for name in integrals(model) if name in guilty])
        kept = tuple([name for name in chosen if name not in left_out])
        values = _rates(model, kept)[1]
        if not left_out or not kept or not _relative(values) <= _TOLERANCE:
            terms = "; ".join(
                f"d {rate.state}/dt gets {to_text(rate.rate, limit=120)}" for rate in culprits
            )
            raise ModelError(
                "mass is not conserved over "
                f"{', '.join(chosen[:6])}{'...' if len(chosen) > 6 else ''} (rate terms add up to "
                f"a gain or loss: {terms}). Write each as a flow, with None for outside, or leave "
                "its state out."
            )
        chosen = kept
    inside = set(chosen)
    crossing = [flow for flow in model.flows if (flow.source in inside) != (flow.sink in inside)]
    drains = draining_flows(model, inside)
    if warn:
        for drain in drains:
            warnings.warn(drain, stacklevel=3)
    return Conservation(
        states=chosen,
        inflows=tuple([str(flow) for flow in crossing if flow.sink in inside]),
        outflows=tuple([str(flow) for flow in crossing if flow.source in inside]),
        imbalance=_relative(values),
        warnings=drains,
        left_out=left_out,
    )


def integrals(model: Equations) -> tuple[str, ...]:
    """States that only add something up, such as an AUC.

    No flow touches them and no equation reads them.
    """
    used = {end for flow in model.flows for end in (flow.source, flow.sink)}
    for expr in model.derivatives().values():
        used |= {leaf.name for leaf in leaves(expr) if leaf.op == "state"}
    return tuple([name for name in model.state_names if name not in used])


def _rates(model: Equations, states: tuple[str, ...]) -> tuple[list[Rate], NDArray[np.float64]]:
    """The rate terms of `states`, and their values (terms, points) where all are finite."""
    inside = set(states)
    rates = [rate for rate in model.rates if rate.state in inside]
    values = _values([rate.rate for rate in rates], _points(model))
    for k, rate in enumerate(rates):
        if not np.isfinite(values[k]).any():
            raise ModelError(
                f"the balance of mass is unknown (the rate of {rate.state!r}, "
                f"{to_text(rate.rate, limit=120)}, is not finite at any of {_POINTS} positive "
                "points). Check its formula and the parameters' bounds."
            )
    return rates, values[:, np.isfinite(values).all(axis=0)] if rates else values


def draining_flows(model: Equations, inside: set[str]) -> tuple[str, ...]:
    """A sentence for each flow that takes from an empty state, which it would drive below zero."""
    sentences = []
    points = _points(model)
    for flow in model.flows:
        usual = np.abs(_values([flow.rate], points)[0])
        least = 1e-12 * np.max(usual, where=np.isfinite(usual), initial=0.0)
        for end, sign in ((flow.source, 1.0), (flow.sink, -1.0)):
            if end is None or end not in inside or model.state_info(end).signed:
                continue
            empty = {**points, symbol("state", end): np.zeros(_POINTS)}
            if np.any(sign * _values([flow.rate], empty)[0] > least):
                sentences.append(
                    f"flow {flow} ({to_text(flow.rate, limit=120)}) takes from {end!r} even when "
                    f"it is empty, and makes it negative. Let the rate vanish with {end!r}, or "
                    "declare the state signed."
                )
    return tuple(sentences)


def _points(model: Equations) -> dict[Expression, NDArray[np.float64]]:
    """(64,) random values for every symbol, the same at each call.

    Parameters lie within a factor of 2 of their default, and within their bounds.
    """
    random = np.random.default_rng(1937)
    points = {symbol("time", "time"): 10.0 ** random.uniform(-2.0, 3.0, _POINTS)}
    for name in model.parameter_names:
        info = model.parameter_info(name)
        values = (info.default or 0.5) * 2.0 ** random.uniform(-1.0, 1.0, _POINTS)
        points[symbol("parameter", name)] = np.clip(values, info.lower, info.upper)
    for name in model.state_names:
        points[symbol("state", name)] = 10.0 ** random.uniform(-1.0, 1.0, _POINTS)
    for name in model.state_names:
        points[symbol("after_dose", name)] = 10.0 ** random.uniform(-1.0, 2.0, _POINTS)
    return points


def _values(
    exprs: list[Expression], points: dict[Expression, NDArray[np.float64]]
) -> NDArray[np.float64]:
    """(expressions, points): the values of `exprs` at points, an array for each symbol."""
    rows: list[Any] = [np.broadcast_to(value, _POINTS) for value in evaluate_all(exprs, points)]
    return np.array(rows, dtype=np.float64).reshape(len(exprs), _POINTS)


def _relative(values: NDArray[np.float64]) -> float:
    """The largest |sum over terms| / sum over |terms| of values (terms, points).

    Infinite if no point is left to judge by.
    """
    if values.shape[0] == 0:
        return 0.0
    size = np.abs(values).sum(axis=0)
    ratio = np.abs(values.sum(axis=0)) / np.where(size > 0.0, size, 1.0)
    return float(ratio.max()) if ratio.size else float("inf")


def _unbalanced(values: NDArray[np.float64]) -> list[int]:
    """The rows of `values` (terms, points) that nothing balances.

    Terms that vanish, and pairs and triples that cancel, are taken away.
    """
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
