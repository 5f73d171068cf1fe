"""From noise to people: the second-order solver of Karras et al. (2022), algorithm 1, without
churn, with people held where they must be.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from teorell.learn.diffusion.network import Denoiser

__all__ = ["MOST_NOISE", "noise_levels", "sampled"]

MOST_NOISE, LEAST_NOISE, BEND = 40.0, 0.005, 7.0  # of data of variance 1
_AT_ONCE = 4096  # people, which bounds the memory


def noise_levels(steps: int) -> Tensor:
    """(steps + 1,) standard deviations of the noise, falling, the last 0 (equation 5 there)."""
    place = torch.linspace(0.0, 1.0, steps, dtype=torch.float64)
    first, last = MOST_NOISE ** (1 / BEND), LEAST_NOISE ** (1 / BEND)
    return torch.cat([(first + place * (last - first)) ** BEND, torch.zeros(1)])


@torch.no_grad()
def sampled(
    network: Denoiser,
    female: Tensor,
    intervals: Tensor,
    *,
    steps: int,
    seed: int,
    held: Callable[[Tensor, Tensor, Tensor, float], Tensor] | None = None,
) -> Tensor:
    """(n, size) coordinates, float64, of people of a sex (n,) and intervals (n, 5, 2).

    held: what every denoised guess becomes, of (guess, female, rows, noise), float64 and (n,) the
    places of the people; None leaves it as it is.
    """
    draws = torch.Generator().manual_seed(seed)
    parts = []
    for places in torch.arange(len(female)).split(_AT_ONCE):
        x = torch.randn(len(places), network.coordinates.size, generator=draws, dtype=torch.float64)
        parts.append(_solved(network, x, female, intervals, places, noise_levels(steps), held))
    return torch.cat(parts)


def _solved(
    network: Denoiser,
    x: Tensor,
    female: Tensor,
    intervals: Tensor,
    places: Tensor,
    levels: Tensor,
    held: Callable[[Tensor, Tensor, Tensor, float], Tensor] | None,
) -> Tensor:
    sex, told = female[places].float(), intervals[places].float()

    def guess(at: Tensor, noise: float) -> Tensor:
        wide = torch.full((len(at),), noise)
        found = network(at.float(), wide, sex, told).double()
        return found if held is None else held(found, female[places], places, noise)

    x = x * levels[0]
    for noise, less in zip(levels[:-1].tolist(), levels[1:].tolist(), strict=True):
        slope = (x - guess(x, noise)) / noise
        ahead = x + (less - noise) * slope
        if less > 0:
            slope = (slope + (ahead - guess(ahead, less)) / less) / 2
            ahead = x + (less - noise) * slope
        x = ahead
    return x
