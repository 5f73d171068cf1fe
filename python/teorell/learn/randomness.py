"""Random numbers by seed and step, and torch in a state where the same work has the same bits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

__all__ = ["INITIAL", "generator", "repeatable", "seeded"]

INITIAL = 1 << 32  # the "step" that initial weights are drawn by: after every step of a training


def generator(seed: int, step: int, stream: int = 0) -> np.random.Generator:
    """A NumPy generator for a step of a training, independent of those of other steps.

    stream: tells several generators of one step apart.
    """
    return np.random.default_rng(np.random.SeedSequence([seed, step, stream]))


@contextmanager
def seeded(seed: int, step: int, device: torch.device | None = None) -> Iterator[None]:
    """torch's own generators, seeded for a step; afterwards they are as they were before."""
    cuda = [device] if device is not None and device.type == "cuda" else []
    (key,) = np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(int(key >> np.uint64(1)))  # torch takes 63 bits of it, without a sign
        yield


@contextmanager
def repeatable(threads: int) -> Iterator[None]:
    """torch with so many threads and deterministic kernels; afterwards as it was before.

    An operation that has no deterministic kernel on this device raises RuntimeError.
    """
    before = torch.get_num_threads()
    algorithms = torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(algorithms)
