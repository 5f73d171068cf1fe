"""Does every steady state that is told exist, and is every one found? 20,000 random patients.

Five saturable, target-mediated and peripheral models; half-lives to two years, loads from 1 % to
120 % of what can be eliminated. A status 0 must return to itself after one more interval to 1e-5 of
the dose; no load above capacity may have status 0, none below 99 % of it status 7.

python bench/steady_states.py --patients 20000 --rtol 1e-6
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass

import numpy as np
import teorell as tl
from teorell.doctor import report

YEAR = 8766.0  # h
INTERVALS = np.array([6.0, 8.0, 12.0, 24.0, 48.0, 168.0])  # h
KINDS = ("bolus", "oral, peripheral", "infusion", "target-mediated", "infusion, peripheral")
NO_STEADY_STATE = 7
RETURNS = 1e-5  # of the dose


@dataclass(frozen=True)
class Found:
    """What was found for the patients of one kind, (n,) each."""

    load: np.ndarray  # of what can be eliminated
    status: np.ndarray
    moved: np.ndarray  # in one more interval, of the dose
    seconds: float

    @property
    def not_returning(self) -> np.ndarray:
        """Status 0, and another state one interval later."""
        return (self.status == 0) & ~(self.moved <= RETURNS)

    @property
    def above_capacity(self) -> np.ndarray:
        """Status 0, though more is given than can leave."""
        return (self.status == 0) & (self.load >= 1.0)

    @property
    def missed(self) -> np.ndarray:
        """No steady state was found, though there is one."""
        return (self.status != 0) & (self.load <= 0.99)

    def __str__(self) -> str:
        counts = [
            int(each.sum())
            for each in (
                self.status == 0, self.status == NO_STEADY_STATE, self.not_returning,
                self.above_capacity, self.missed,
            )
        ]  # fmt: skip
        worst = np.max(self.moved[self.status == 0], initial=0.0)
        return " ".join(f"{each:8}" for each in counts) + f" {worst:9.1e} {self.seconds:8.1f}"


def saturable(oral: bool, peripheral: bool) -> tl.Model:
    """Michaelis-Menten elimination of an amount, with a depot, with a deep compartment."""
    model = tl.Model("saturable")
    vmax, km = model.parameters(vmax=10.0, km=50.0)
    central = model.state("central")
    model.flow(central, None, vmax * central / (km + central))
    if oral:
        ka = model.parameter("ka", 1.0)
        depot = model.state("depot")
        model.flow(depot, central, ka * depot)
        model.output("depot", depot)
    if peripheral:
        k12, k21 = model.parameters(k12=0.1, k21=0.1)
        deep = model.state("deep")
        model.flow(central, deep, k12 * central - k21 * deep)
        model.output("deep", deep)
    model.output("central", central)
    return model


def target_mediated() -> tl.Model:
    """A drug that leaves with its target alone: as much, at most, as target is synthesised."""
    model = tl.Model("target-mediated")
    kon, koff, ksyn, kdeg, kint = model.parameters(kon=1.0, koff=0.1, ksyn=1.0, kdeg=0.1, kint=0.1)
    drug, free, bound = model.states("drug", "free", "bound")
    model.initial(free, ksyn / kdeg)
    binding = kon * drug * free - koff * bound
    model.rate(drug, -binding)
    model.rate(free, ksyn - kdeg * free - binding)
    model.rate(bound, binding - kint * bound)
    for state in (drug, free, bound):
        model.output(state.name, state)
    return model


def loguniform(rng: np.random.Generator, low: float, high: float, n: int) -> np.ndarray:
    """(n,) log-uniform numbers."""
    return np.exp(rng.uniform(np.log(low), np.log(high), n))


def population(kind: str, n: int, rng: np.random.Generator):
    """A model, the parameters of n patients, their regimen, intervals, amounts and loads."""
    every, load = rng.choice(INTERVALS, n), rng.uniform(0.01, 1.2, n)
    if kind == "target-mediated":
        ranges = {"kon": (0.01, 10.0), "koff": (1e-3, 1.0), "ksyn": (0.1, 10.0),
                  "kdeg": (5e-3, 0.5), "kint": (5e-3, 0.5)}  # fmt: skip
        given = {name: loguniform(rng, *limits, n) for name, limits in ranges.items()}
        amount, model, into = load * given["ksyn"] * every, target_mediated(), "drug"
    else:
        oral, peripheral = "oral" in kind, "peripheral" in kind
        given = {"vmax": loguniform(rng, 1.0, 100.0, n)}
        amount = load * given["vmax"] * every
        given["km"] = amount * loguniform(rng, 0.05, 20.0, n)
        if peripheral:
            given["k21"] = np.log(2.0) / loguniform(rng, 24.0, 2.0 * YEAR, n)
            given["k12"] = given["k21"] * loguniform(rng, 0.1, 10.0, n)
        if oral:
            given["ka"] = loguniform(rng, 0.1, 4.0, n)
        model, into = saturable(oral, peripheral), "depot" if oral else "central"
    steady = {"every": every, "doses": 2, "steady_state": True}
    if "infusion" in kind:
        width = every * rng.uniform(0.05, 1.5, n)
        regimen = tl.Regimen.infusion(amount, into, duration=width, **steady)
    else:
        regimen = tl.Regimen.bolus(amount, into, **steady)
    return model, given, regimen, every, amount, load


def found(kind: str, n: int, seed: int, rtol: float = 1e-6) -> Found:
    """The steady states of n random patients of a kind, and where they are an interval later."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    model, given, regimen, every, amount, load = population(kind, n, rng)
    start = time.perf_counter()
    solution = tl.simulate(
        model, given, regimen, [[0.0, each] for each in every], rtol=rtol, atol=1e-3 * rtol
    )
    seconds = time.perf_counter() - start
    values = solution.values.reshape(n, 2, -1)
    moved = np.abs(values[:, 1] - values[:, 0]).max(axis=1) / amount
    return Found(load, solution.status, moved, seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rtol", type=float, default=1e-6)
    options = parser.parse_args()
    print(report())
    print(f"{options.patients} patients, rtol {options.rtol:g} and a hundredth of it")
    print(f"{'':38} status 0 status 7 unstable  too much   missed     worst  seconds")
    wrong = 0
    for kind in KINDS:
        for rtol in (options.rtol, options.rtol / 100.0):
            one = found(kind, options.patients // len(KINDS), options.seed, rtol)
            print(f"{kind:24} rtol {rtol:7.0e}  {one}")
            wrong += int((one.not_returning | one.above_capacity | one.missed).sum())
    print(f"{wrong} wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
