"""Random numbers by seed and person: those of person i depend on nothing else.

The Philox generator of NumPy counts; each person has a fixed number of uniforms of its stream.
Normals are made of two uniforms each (Box & Muller 1958, Ann Math Stat 29:610-611).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import is_whole
from teorell.errors import InputError

__all__ = ["PEOPLE", "check_count", "check_seed", "normals", "uniforms"]

PEOPLE = 16384  # drawn at once: their columns stay in cache


def check_seed(seed: object) -> int:
    """A seed as an int; InputError for a negative one, TypeError for what is no whole number."""
    if not is_whole(seed):
        raise TypeError(f"seed is {seed!r} (a whole number is needed). Give one, such as 1.")
    if seed < 0:
        raise InputError(f"seed is {seed} (it counts from 0). Give a whole number of 0 or more.")
    return int(seed)


def check_count(n: object) -> int:
    """A number of people; InputError below 1, TypeError for what is no whole number."""
    if not is_whole(n):
        raise TypeError(f"n is {n!r} (it counts people). Give a whole number.")
    if n < 1:
        raise InputError(f"n is {n} (a population has at least one person). Give 1 or more.")
    return int(n)


def uniforms(seed: int, people: int, each: int) -> Iterator[NDArray[np.float64]]:
    """Uniforms in [0, 1), (k, each) of the next k people, until all are done."""
    stream = np.random.Generator(np.random.Philox(seed))
    for start in range(0, people, PEOPLE):
        yield stream.random((min(PEOPLE, people - start), each))


def normals(uniform: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard normals, (n, k), of uniforms (n, 2 k)."""
    radius = np.sqrt(-2.0 * np.log1p(-uniform[:, ::2]))
    return np.asarray(radius * np.cos(2.0 * np.pi * uniform[:, 1::2]), np.float64)
