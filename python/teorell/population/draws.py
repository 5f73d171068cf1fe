"""Random numbers by seed and person: those of person i depend on nothing else.

The Philox generator of NumPy counts; each person has a fixed number of uniforms of its stream.
Normals are made of two uniforms each (Box & Muller 1958, Ann Math Stat 29:610-611).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import is_whole
from teorell.errors import InputError

__all__ = ["PEOPLE", "check_count", "check_seed", "evenly", "normals", "rounds", "uniforms"]

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


def evenly(
    blocks: Iterable[NDArray[np.float64]], place: NDArray[np.int64], places: int
) -> Iterator[NDArray[np.float64]]:
    """Blocks of uniforms whose first number lies in the person's own of `places` equal parts of
    [0, 1), which `rounds` tells.
    """
    start = 0
    for block in blocks:
        block[:, 0] = (place[start : start + len(block)] + block[:, 0]) / places
        start += len(block)
        yield block


def rounds(seed: int, people: int, places: int) -> NDArray[np.int64]:
    """A place in [0, places) for each person, (people,): all places once, in random order, then all
    again in another order, and so on.

    The place of a person depends on the seed, the person's number and `places`. So what is placed
    comes as often as it should, where independent draws come by chance up to a few times more or
    less, which moves quantiles in thin tails.
    """
    stream = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(1,))))
    orders = stream.random((-(-people // places), places)).argsort(axis=1, kind="stable")
    return orders.ravel()[:people].astype(np.int64, copy=False)


def normals(uniform: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard normals, (n, k), of uniforms (n, 2 k)."""
    radius = np.sqrt(-2.0 * np.log1p(-uniform[:, ::2]))
    return np.asarray(radius * np.cos(2.0 * np.pi * uniform[:, 1::2]), np.float64)
