"""People drawn from a network: as wanted, projected, and drawn again where they do not fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from teorell.constraints import ConstraintSet
from teorell.errors import InputError
from teorell.learn.diffusion.conditions import span_of
from teorell.learn.diffusion.limits import TOLD, told_of
from teorell.learn.diffusion.network import Denoiser
from teorell.learn.diffusion.physics import limits_of_people, projected, violated
from teorell.learn.diffusion.ratios import Ratios
from teorell.learn.diffusion.sampler import sampled
from teorell.learn.diffusion.scores import MOST
from teorell.learn.diffusion.vectors import COLUMNS, Rows, column

__all__ = ["Drawn", "Wanted", "draw", "fits"]

ROUNDS = 40  # of drawing again who is not as asked for, or not valid
_LEAST_RATE = 0.02  # taken of the share that fits, for the size of the next round
_LITTLE = 0.1  # noise below which guesses are projected
_AGE = TOLD.index("age")
_CLOSE = 1e-9  # relative, what an interval's ends may be missed by


@dataclass(frozen=True)
class Wanted:
    """Who is asked for: sex (1 for women, None for both), and limits of numbers of TOLD."""

    female: float | None = None
    limits: Mapping[str, tuple[float, float]] | None = None

    def bounds(self, *, known: bool) -> Tensor:
        """(5, 2) limits, infinite where nothing is asked; known: of the known numbers alone."""
        found = torch.tensor([[-np.inf, np.inf]] * len(TOLD), dtype=torch.float64)
        for name, (low, high) in (self.limits or {}).items():
            if low == high or not known:
                found[TOLD.index(name)] = torch.tensor([low, high], dtype=torch.float64)
        return found

    def held(self) -> tuple[str, ...]:
        """What a projection must not move, so that people stay as asked for."""
        asked = set(self.limits or {})
        if "body_mass_index" in asked:
            asked |= {"height", "body_weight"}
        return tuple(sorted(asked - {"body_mass_index", "age"}))

    def __str__(self) -> str:
        words = [] if self.female is None else ["women" if self.female else "men"]
        for name, (low, high) in (self.limits or {}).items():
            words.append(f"{name.replace('_', ' ')} {span_of((low, high))}")
        return ", ".join(words) or "anybody"


@dataclass(frozen=True)
class Drawn:
    """rows: (n, columns) people; draws: how many were drawn for them."""

    rows: Rows
    draws: int


def draw(
    network: Denoiser,
    n: int,
    wanted: Wanted | None = None,
    *,
    seed: int,
    steps: int,
    constraints: ConstraintSet | None = None,
    project: bool = True,
) -> Drawn:
    """n people of a network as wanted.

    project: guesses of little noise and samples are projected onto the constraints (`plausible()`
    unless told otherwise), and who is not valid then is drawn again; False takes samples as they
    are. InputError where nobody of the first rounds is as wanted.
    """
    wanted = wanted or Wanted()
    limits = constraints or limits_of_people()
    whole = wanted.bounds(known=False)
    kept: list[Rows] = []
    draws = have = 0
    size = n
    for number in range(ROUNDS):
        rows = _round(network, size, wanted, limits if project else None, seed, number, steps)
        draws += size
        good = fits(rows, whole)
        if project and good.any():
            rows, found = projected(limits, rows[good], wanted.held())
            good = found & fits(rows, whole)
            good &= ~np.any(list(violated(limits, rows, 1e-6).values()), axis=0)
        kept.append(rows[good])
        have += int(good.sum())
        if have >= n:
            return Drawn(np.concatenate(kept)[:n], draws)
        if not have and number >= 3:
            _refuse(limits, rows, wanted, draws)
        rate = max(have / draws, _LEAST_RATE)
        size = int(np.clip(1.1 * (n - have) / rate, 64, 20_000))
    raise InputError(
        f"{have} of {n} people were found in {draws} draws ({wanted}: too rare for the network). "
        "Ask for fewer, or for wider ranges."
    )


def _round(
    network: Denoiser,
    size: int,
    wanted: Wanted,
    limits: ConstraintSet | None,
    seed: int,
    number: int,
    steps: int,
) -> Rows:
    """Rows of `size` people drawn once; limits: what guesses are projected onto."""
    (key,) = np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)
    draws = torch.Generator().manual_seed(int(key >> np.uint64(1)))
    told = network.shares(wanted.bounds(known=False).T).T  # (5, 2)
    intervals = told.expand(size, -1, -1)
    if wanted.female is None:
        with torch.no_grad():
            chance = torch.sigmoid(network.sex(told[None].float()))[0].double()
        female = (torch.rand(size, generator=draws, dtype=torch.float64) < chance).double()
    else:
        female = torch.full((size,), wanted.female, dtype=torch.float64)
    known = wanted.bounds(known=True).expand(size, -1, -1)
    coordinates = network.coordinates
    low, high = wanted.bounds(known=False)[_AGE]
    if set(wanted.limits or {}) <= {"age"} and low < high and isinstance(coordinates, Ratios):
        # ages are as those of the training people, whom a network meets too few newborns among
        uniform = torch.rand(size, generator=draws, dtype=torch.float64)
        known, intervals = known.clone(), intervals.clone()
        known[:, _AGE] = coordinates.ages(female, torch.stack([low, high]), uniform)[:, None]
        intervals[:, _AGE] = network.shares(known[:, :, 0])[:, _AGE, None]

    def held(guess: Tensor, sex: Tensor, places: Tensor, noise: float) -> Tensor:
        guess = guess.clamp(-2 * MOST, 2 * MOST)
        if known.isfinite().any():
            guess = coordinates.held(guess, sex, known[places])
        if limits is None or noise >= _LITTLE:
            return guess
        rows = coordinates.decode(guess, sex).numpy()
        near = np.flatnonzero(fits(rows, known[places]))  # others are beyond help
        if near.size:
            moved, found = projected(limits, rows[near], wanted.held())
            some = found & (moved != rows[near]).any(axis=1)
            guess[near[some]] = coordinates.encode(torch.from_numpy(moved[some]))
        return guess

    start = int(torch.randint(1 << 62, (1,), generator=draws))
    z = sampled(network, female, intervals, steps=steps, seed=start, held=held)
    rows = np.array(coordinates.decode(z, female).numpy())
    for name, (low, high) in (wanted.limits or {}).items():
        if low == high and name in COLUMNS:  # known, and met to rounding: now to the bit
            told = column(rows, name)
            told[np.abs(told - low) <= _CLOSE * low] = low
    return rows


def fits(rows: Rows, bounds: Tensor) -> NDArray[np.bool_]:
    """(n,) whether people are within bounds (5, 2) or (n, 5, 2), and are numbers."""
    told = told_of(torch.from_numpy(rows)).numpy()
    low, high = bounds[..., 0].numpy(), bounds[..., 1].numpy()
    close = _CLOSE * np.abs(told)
    good = (told >= low - close) & (told <= high + close)
    return np.asarray(good.all(axis=1) & np.isfinite(rows).all(axis=1))


def _refuse(limits: ConstraintSet, rows: Rows, wanted: Wanted, draws: int) -> None:
    """InputError for a condition that nobody fits: what stands in the way most often."""
    rates = {name: float(each.mean()) for name, each in violated(limits, rows).items()}
    worst = max(rates, key=lambda name: rates[name])
    why = "no training people are like that"
    if rates[worst] > 0.5:
        why = f"the {worst} of {rates[worst]:.0%} is out of its range"
    raise InputError(
        f"nobody of {draws} draws fits {wanted} and {limits.name!r} ({why}). Ask for wider ranges, "
        "or for less at once."
    )
