"""How like two groups of people are: discriminators, distributions, correlations, neighbours."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch

from teorell.arrays import Array
from teorell.constraints import ConstraintSet, wilson
from teorell.constraints.violations import Z
from teorell.errors import InputError
from teorell.learn.diffusion.physics import violated
from teorell.learn.diffusion.vectors import (
    COLUMNS,
    FLOW_COLUMNS,
    MASS_COLUMNS,
    Rows,
    column,
)

__all__ = [
    "Share", "area_under_curve", "correlation_error", "derived", "discriminator",
    "nearest_is_of_first", "violation_rates", "worst_ks",
]  # fmt: skip

_ROUNDED = 5  # decimals of residuals of identities: rounding of the last bits is no sign


class Share(NamedTuple):
    """A share with its 95 % interval."""

    value: float
    low: float
    high: float


def area_under_curve(scores: Any, positive: Any) -> Share:
    """The area under the receiver's curve of scores, ties counted half, with its interval by
    Hanley & McNeil (1982), Radiology 143:29.
    """
    scores, positive = np.asarray(scores, float), np.asarray(positive, bool)
    a, b = int(positive.sum()), int((~positive).sum())
    if not a or not b:
        raise InputError("one group is empty (an area needs two). Give people of both.")
    _, first, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2.0  # mean rank of each value, from 1
    area = (ranks[first][positive].sum() - a * (a + 1) / 2.0) / (a * b)
    q1, q2 = area / (2.0 - area), 2.0 * area**2 / (1.0 + area)
    variance = area * (1 - area) + (a - 1) * (q1 - area**2) + (b - 1) * (q2 - area**2)
    half = Z * math.sqrt(max(variance, 0.0) / (a * b))
    return Share(float(area), max(0.0, float(area - half)), min(1.0, float(area + half)))


def derived(rows: Rows) -> Rows:
    """Rows with body mass index, surface, shares, and residuals of identities: (n, more)."""
    weight, output = column(rows, "body_weight"), column(rows, "cardiac_output")
    height = column(rows, "height")
    surface = np.sqrt(np.maximum(height * weight, 0.0))
    masses = np.stack([column(rows, name) for name in MASS_COLUMNS], 1)
    flows = np.stack([column(rows, name) for name in FLOW_COLUMNS], 1)
    with np.errstate(all="ignore"):
        more = [
            weight / height**2, surface, output / surface,
            np.round(masses.sum(1) / weight - 1, _ROUNDED),
            np.round(flows.sum(1) / output - 1, _ROUNDED),
            *(masses / weight[:, None]).T, *(flows / output[:, None]).T,
        ]  # fmt: skip
    return np.column_stack([rows, *more])


def discriminator(first: Rows, second: Rows, *, more: bool = False, seed: int = 0) -> Share:
    """How well gradient-boosted trees tell two groups of people: the area under the curve of those
    that they were not trained on, half of each; 0.5 is not at all.

    more: `derived` numbers too. ImportError without scikit-learn.
    """
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier
    except ImportError as error:
        raise ImportError(
            "no discriminator (scikit-learn is not installed). Run pip install 'teorell[learn]'."
        ) from error
    n = min(len(first), len(second))
    x = np.concatenate([first[:n], second[:n]])
    x = derived(x) if more else x
    y = np.repeat([0, 1], n)
    order = np.random.default_rng(seed).permutation(2 * n)
    train, test = order[:n], order[n:]
    trees = HistGradientBoostingClassifier(
        max_iter=200, learning_rate=0.08, max_leaf_nodes=15, min_samples_leaf=20,
        early_stopping=True, random_state=seed,
    )  # fmt: skip
    trees.fit(x[train], y[train])
    return area_under_curve(trees.predict_proba(x[test])[:, 1], y[test] == 1)


def worst_ks(first: Rows, second: Rows) -> tuple[float, str]:
    """The greatest distance of distribution functions over all columns, and whose it is."""
    found = [(_ks(a, b), name) for a, b, name in zip(first.T, second.T, COLUMNS, strict=True)]
    return max(found)


def _ks(a: Array, b: Array) -> float:
    """Kolmogorov and Smirnov's distance of two samples."""
    a, b = np.sort(a), np.sort(b)
    both = np.concatenate([a, b])
    below = [np.searchsorted(x, both, side="right") / len(x) for x in (a, b)]
    return float(np.abs(below[0] - below[1]).max())


def correlation_error(first: Rows, second: Rows) -> float:
    """The mean absolute difference of correlations of logarithms, over pairs of columns."""
    both = [np.corrcoef(np.log(np.maximum(rows[:, 1:], 1e-9)).T) for rows in (first, second)]
    pairs = np.triu_indices(len(both[0]), 1)
    return float(np.abs(both[0] - both[1])[pairs].mean())


def nearest_is_of_first(points: Array, first: Array, second: Array) -> Share:
    """The share of points whose nearest neighbour is in the first group, of two of one size:
    a half, unless the points were copied from one. Coordinates (n, size) of each.
    """
    if len(first) != len(second):
        raise InputError(
            f"groups of {len(first)} and {len(second)} (the larger one is nearer). Give as many."
        )
    near = [
        torch.cat([torch.cdist(some, to).min(1).values for some in _tensor(points).split(256)])
        for to in (_tensor(first), _tensor(second))
    ]
    closer = int((near[0] < near[1]).sum())
    return Share(closer / len(points), *wilson(closer, len(points)))


def violation_rates(
    constraints: ConstraintSet, rows: Rows, tolerance: float | None = None
) -> dict[str, Share]:
    """name -> the share of people that violate each constraint, with Wilson's interval; "any" of
    one at least, "inequalities" of one that is no equality.
    """
    found = violated(constraints, rows, tolerance)
    equal = {each.name for each in constraints.constraints if each.group == "identities"}
    unequal = [each for name, each in found.items() if name not in equal]
    found = found | {
        "inequalities": np.any(unequal, axis=0), "any": np.any(list(found.values()), axis=0),
    }  # fmt: skip
    return {
        name: Share(float(each.mean()), *wilson(int(each.sum()), len(rows)))
        for name, each in found.items()
    }


def _tensor(values: Array) -> torch.Tensor:
    return torch.as_tensor(np.asarray(values), dtype=torch.float32)
