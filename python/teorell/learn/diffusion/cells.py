"""Rare people: what a conditional network costs for each, beside drawing until one fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.constraints import wilson
from teorell.learn.diffusion.drawing import Wanted, fits
from teorell.learn.diffusion.fidelity import Share
from teorell.learn.diffusion.physics import limits_of_people
from teorell.learn.diffusion.vectors import Rows, quantities_of, rows_of
from teorell.population.population import Population

__all__ = ["CELLS", "Cell", "rejected", "rejection_rate", "valid_in"]

_MOST_BMI = 150.0  # kg/m2: nobody is above
_MONTH = 1.0 / 12.0  # years
_AT_ONCE = 50_000


@dataclass(frozen=True)
class Cell:
    """People to be found. near: what `tl.Population.sample` is asked for, where the rest of the
    conditions leaves so few that drawing them all would take too long. A month wider than the cell,
    since the sampler puts those who were measured in the month of an end at that very end.
    """

    name: str
    wanted: Wanted
    near: Mapping[str, Any] = field(default_factory=dict)


CELLS = (
    Cell(
        "woman over 75, BMI over 35",
        Wanted(1.0, {"age": (75.0, 80.0), "body_mass_index": (35.0, _MOST_BMI)}),
        {"sex": "female", "age": (75.0 - _MONTH, 80.0)},
    ),
    Cell(
        "woman over 65, BMI over 30, eGFR 45-60",
        Wanted(
            1.0,
            {"age": (65.0, 80.0), "body_mass_index": (30.0, _MOST_BMI), "gfr": (45.0, 60.0)},
        ),
        {"sex": "female", "age": (65.0 - _MONTH, 80.0)},
    ),
    Cell(
        "child of 4",
        Wanted(None, {"age": (4.0, 5.0)}),
        {"age": (4.0 - _MONTH, 5.0 + _MONTH)},
    ),
    Cell("newborn, first month", Wanted(None, {"age": (0.0, _MONTH)}), {"age": (0.0, 2 * _MONTH)}),
)


def rejected(cell: Cell, n: int, seed: int) -> Rows:
    """n people of a cell, valid: drawn by `tl.Population.sample` near it, and kept if they fit."""
    found: list[Rows] = []
    have, size = 0, _AT_ONCE
    for k in range(60):
        people = rows_of(Population.sample(size, seed=seed + k, **dict(cell.near)), seed + k)
        good = people[valid_in(cell, people)]
        found.append(good)
        have += len(good)
        if have >= n:
            break
    return np.concatenate(found)[:n]


def rejection_rate(cell: Cell, draws: int, seed: int) -> Share:
    """The share of people of the sampler, asked for nothing, who fit a cell and are valid."""
    hits = 0
    for start in range(0, draws, _AT_ONCE):
        size = min(_AT_ONCE, draws - start)
        people = rows_of(Population.sample(size, seed=seed + start), seed)
        hits += int(valid_in(cell, people).sum())
    return Share(hits / draws, *wilson(hits, draws))


def valid_in(cell: Cell, people: Rows) -> NDArray[np.bool_]:
    """(n,) whether people are of a cell, and satisfy `plausible()`."""
    good = fits(people, cell.wanted.bounds(known=False))
    if cell.wanted.female is not None:
        good &= people[:, 0] == cell.wanted.female
    some = np.flatnonzero(good)
    if some.size:
        good[some] = ~limits_of_people().violations(quantities_of(people[some])).any
    return good
