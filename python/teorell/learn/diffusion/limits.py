"""What is asked of a person: each of five numbers between two limits, a tensor (n, 5, 2).

A number that is known has its two limits equal; of one that is not told they are infinite.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["TOLD", "clamped", "height_limits", "index_limits", "limit_of", "told_of",
           "weight_limits"]  # fmt: skip

# years, m, kg, kg/m2, mL/min/1.73 m2
TOLD = ("age", "height", "body_weight", "body_mass_index", "gfr")


def limit_of(limits: Tensor, name: str) -> Tensor:
    """(n, 2) the limits of one of TOLD."""
    return limits[:, TOLD.index(name)]


def clamped(values: Tensor, limits: Tensor) -> Tensor:
    """(n,) values moved into limits (n, 2)."""
    return torch.minimum(torch.maximum(values, limits[:, 0]), limits[:, 1])


def height_limits(limits: Tensor) -> Tensor:
    """(n, 2) of the height, in m: its own, and those that follow from weight and mass index."""
    own, weight, index = (
        limit_of(limits, name) for name in ("height", "body_weight", "body_mass_index")
    )
    low = torch.sqrt(weight[:, 0].clamp(min=0.0) / index[:, 1])
    high = torch.sqrt(weight[:, 1] / index[:, 0].clamp(min=0.0))
    low = torch.nan_to_num(low, 0.0)  # infinity over infinity tells nothing
    return torch.stack([torch.maximum(own[:, 0], low), torch.minimum(own[:, 1], high)], 1)


def weight_limits(limits: Tensor, height: Tensor) -> Tensor:
    """(n, 2) of the weight, in kg, of people of a height in m."""
    own = limit_of(limits, "body_weight")
    index = limit_of(limits, "body_mass_index") * height[:, None] ** 2
    return torch.stack(
        [torch.maximum(own[:, 0], index[:, 0]), torch.minimum(own[:, 1], index[:, 1])], 1
    )


def index_limits(limits: Tensor, height: Tensor) -> Tensor:
    """(n, 2) of the body mass index, in kg/m2, of people of a height in m."""
    return weight_limits(limits, height) / height[:, None] ** 2


def told_of(rows: Tensor) -> Tensor:
    """(n, 5) the numbers TOLD of rows of people."""
    from teorell.learn.diffusion.vectors import column

    age, height, weight, gfr = (
        column(rows, name) for name in ("age", "height", "body_weight", "gfr")
    )
    return torch.stack([age, height, weight, weight / height**2, gfr], 1)
