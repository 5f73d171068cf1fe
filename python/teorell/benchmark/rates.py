"""The race: contenders take turns in one run.

So a machine that slows down slows all of them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass

from teorell.benchmark.problems import Run

__all__ = ["Rates", "race"]

BATCH = 1000  # patients


@dataclass(frozen=True)
class Rates:
    """How fast one contender was: patients per second, one figure a round.

    `patients` is the number of patients in a round.
    """

    rounds: tuple[float, ...]
    patients: int

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    def over(self, other: Rates) -> tuple[float, float, float]:
        """Median, least and greatest of the ratios within each round."""
        ratios = [mine / theirs for mine, theirs in zip(self.rounds, other.rounds, strict=True)]
        return statistics.median(ratios), min(ratios), max(ratios)


def race(
    runs: Mapping[str, Run],
    rtol: float,
    atol: float,
    *,
    repeats: int = 3,
    seconds: float = 1.0,
    patients: int = 0,
) -> dict[str, Rates]:
    """Let the contenders take turns, `repeats` rounds; name -> Rates.

    Each solves about `seconds` worth of patients a round, or `patients`. A first round, in which
    everything is compiled and the patients are drawn, is not counted.
    """
    counts: dict[str, int] = {}
    for name, run in runs.items():
        n = patients or 2
        if not patients:
            run(n, rtol, atol)
        while not patients:
            taken = _seconds(run, n, rtol, atol)
            if taken >= seconds / 4.0:
                n = max(1, int(n * seconds / taken))
                break
            n = max(n + 1, int(n * min(10.0, seconds / max(taken, 1e-6))))
        counts[name] = n
    for name, run in runs.items():
        run(counts[name], rtol, atol)
    rounds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            rounds[name].append(counts[name] / _seconds(run, counts[name], rtol, atol))
    return {name: Rates(tuple(rounds[name]), counts[name]) for name in runs}


def _seconds(run: Run, n: int, rtol: float, atol: float) -> float:
    """Wall-clock seconds for n patients, in batches.

    A batch's results fit into memory that the process already has: the pages of a fresh array can
    take the operating system longer than the fastest contender takes to fill them.
    """
    begin = time.perf_counter()
    for first in range(0, n, BATCH):
        run(min(BATCH, n - first), rtol, atol)
    return time.perf_counter() - begin
