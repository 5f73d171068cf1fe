"""Conditions: what a network is told of a person, and what a user asks for.

Each of age, height, weight, body mass index and filtration rate is told as an interval of shares of
the training people; a known number is an interval of no width, an unknown one is all of it. In
training an interval of width w is [u - w v, u - w v + w], cut to [0, 1], where u is the person's
share and v uniform. Its density is the same for all u inside, so that the people of an interval are
those of the population between its ends.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from teorell.errors import InputError, suggestion
from teorell.learn.diffusion.limits import TOLD
from teorell.physiology.checks import sex_of
from teorell.population.request import STAGES

__all__ = ["Shares", "asked_limits", "random_intervals", "span_of"]

_UNKNOWN, _KNOWN = 0.45, 0.3  # how often in training; else an interval
_GRID = 1001  # quantiles of the training people, and between them straight lines
UNITS = dict(zip(TOLD, ("years", "m", "kg", "kg/m2", "mL/min/1.73 m2"), strict=True))


class Shares(nn.Module):
    """The shares of the training people below a number of TOLD, and such numbers; buffers."""

    quantiles: Tensor  # (5, _GRID), float64

    def __init__(self) -> None:
        super().__init__()
        grid = torch.linspace(0, 1, _GRID, dtype=torch.float64)
        self.register_buffer("quantiles", grid.expand(len(TOLD), -1).clone())

    def fit(self, told: Tensor) -> None:
        """Take quantiles from the numbers TOLD (n, 5) of people."""
        grid = torch.linspace(0, 1, _GRID, dtype=torch.float64)
        self.quantiles.copy_(torch.stack([torch.quantile(x, grid) for x in told.unbind(1)]))

    def forward(self, told: Tensor) -> Tensor:
        """(n, 5) shares; infinities are 0 and 1."""
        ys = np.linspace(0, 1, _GRID)
        pairs = zip(told.unbind(1), self.quantiles, strict=True)
        found = [np.interp(x.numpy(), xs.numpy(), ys) for x, xs in pairs]
        return torch.from_numpy(np.stack(found, 1))

    def numbers(self, name: str, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """The numbers of one of TOLD that shares of the training people are below."""
        found = np.interp(shares, np.linspace(0, 1, _GRID), self.quantiles[TOLD.index(name)])
        return np.asarray(found)

    def least_and_most(self, name: str) -> tuple[float, float]:
        """Between which numbers the training people lie."""
        ends = self.quantiles[TOLD.index(name)]
        return float(ends[0]), float(ends[-1])


def random_intervals(
    shares: NDArray[np.float64], rng: np.random.Generator, narrowest: float = 1e-3
) -> NDArray[np.float64]:
    """(n, 5, 2) intervals that hold the shares (n, 5) of people, drawn as above; the logarithm of
    their width is uniform, from `narrowest` to 1.
    """
    kind = rng.random(shares.shape)
    width = np.exp(rng.uniform(math.log(narrowest), 0.0, shares.shape))
    low = shares - width * rng.random(shares.shape)
    interval = np.stack([np.maximum(low, 0.0), np.minimum(low + width, 1.0)], 2)
    interval = np.where((kind < _KNOWN)[..., None], shares[..., None], interval)
    return np.where((kind > 1.0 - _UNKNOWN)[..., None], np.array([0.0, 1.0]), interval)


def asked_limits(
    shares: Shares, **asked: Any
) -> tuple[float | None, dict[str, tuple[float, float]]]:
    """Sex (1 for women, 0, None for both) and limits by name of TOLD.

    asked: sex, age, height, weight, bmi, gfr; each a number or (least, most), gfr also a stage as
    in `tl.Population.sample`; None is not asked. InputError for what nobody of the training people
    is, for a range without anybody, and for sizes that contradict each other.
    """
    sex = asked.pop("sex", None)
    names = {"weight": "body_weight", "bmi": "body_mass_index"}
    found = {}
    for word, value in asked.items():
        if value is not None:
            name = names.get(word, word)
            found[name] = _range(word, value, UNITS[name], shares.least_and_most(name))
    _check_sizes(found)
    return None if sex is None else float(sex_of(sex)), found


def _range(word: str, given: Any, unit: str, ends: tuple[float, float]) -> tuple[float, float]:
    """(least, most) of what was asked for, cut to where there are training people."""
    if isinstance(given, str):
        if word != "gfr" or given.casefold() not in STAGES:
            known = STAGES if word == "gfr" else ()
            raise InputError(
                f"{word} is {given!r} (numbers of {unit} are needed). "
                f"{suggestion(given, known) if known else 'Give (least, most).'}"
            )
        given = STAGES[given.casefold()]
    pair = np.atleast_1d(np.asarray(given, dtype=object))
    if pair.shape not in ((1,), (2,)) or not all(_is_number(each) for each in pair):
        raise TypeError(
            f"{word} is {given!r} (a number or two of {unit} are needed). Give (least, most)."
        )
    low, high = float(pair[0]), float(pair[-1])
    if not low <= high:
        raise InputError(
            f"{word} goes from {low:g} to {high:g} (nobody is there). Give (least, most)."
        )
    if low > ends[1] or high < ends[0]:
        raise InputError(
            f"{word} is {span_of((low, high))} {unit} (the network was trained on people of "
            f"{span_of(ends)}). Ask for some of these."
        )
    return max(low, ends[0]), min(high, ends[1])


def _check_sizes(found: dict[str, tuple[float, float]]) -> None:
    """InputError where no height, weight and body mass index within their limits fit together."""
    if not {"height", "body_weight", "body_mass_index"} <= found.keys():
        return
    height, weight, index = (found[n] for n in ("height", "body_weight", "body_mass_index"))
    low, high = weight[0] / height[1] ** 2, weight[1] / height[0] ** 2
    if index[0] > high * (1 + 1e-9) or index[1] < low * (1 - 1e-9):
        raise InputError(
            f"bmi is {span_of(index)} kg/m2 (height and weight make it {span_of((low, high))}). "
            "Leave one of them out."
        )


def span_of(ends: tuple[float, float]) -> str:
    """Two numbers in words; one where they are equal."""
    low, high = (f"{each:.4g}" for each in ends)
    return low if low == high else f"{low} to {high}"


def _is_number(value: object) -> bool:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return number and math.isfinite(value)  # type: ignore[arg-type]
