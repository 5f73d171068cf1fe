"""A set of constraints and people for the tests of devices, and projections compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import teorell as tl

__all__ = ["N", "adults", "people", "same_projection"]

N = 300


def adults() -> tl.ConstraintSet:
    """An equality, two bounds, one bound with a barrier, one that bends, one held quantity."""
    c = tl.ConstraintSet("adults")
    weight, fat, rest = c.quantities("weight", "fat", "rest", unit="kg")
    height = c.quantity("height", unit="m", fixed=True)
    c.equal("masses", fat + rest, weight, group="identities")
    c.between("BMI", weight / height**2, 18.5, 35.0, group="size", source="NHANES")
    c.at_least("fat", fat, 0.1 * weight, barrier=0.1)
    c.at_most("log", tl.log(weight), 4.6)
    return c


def people(n: int = N) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    made = {"weight": (75.0, 14.0), "fat": (16.0, 6.0), "rest": (58.0, 8.0), "height": (1.7, 0.1)}
    return {name: rng.normal(mean, sd, n) for name, (mean, sd) in made.items()}


def same_projection(there: Any, here: Any) -> None:
    """Bit by bit."""
    assert list(there.values) == list(here.values)
    for name, each in here.values.items():
        np.testing.assert_array_equal(there.cpu().values[name], each, err_msg=name)
    for name in ("steps", "distance", "success"):
        np.testing.assert_array_equal(getattr(there, name), getattr(here, name), err_msg=name)
    assert there.active.keys() == here.active.keys()
    for name, each in here.active.items():
        np.testing.assert_array_equal(there.active[name], each, err_msg=name)
