"""Processor time of a forecast: draws weighed through the package's solver, through SciPy's
solve_ivp, and MAP by exact gradients.

python bench/learn_transformer_speed.py [CHECKPOINT] [--patients 64] [--few 4]

The same draws are decoded both ways, at the same relative tolerance, 1e-5 (absolute 1e-9 mg). SciPy
has LSODA with the package's equations written out in Python, restarted at every dose; its figure is
of `few` patients and 256 draws each. Told too: the greatest difference of log concentrations
between the two above 1e-6 mg/L, and what is a forecast of one patient alone, with all checks.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch
from scipy.integrate import solve_ivp
from teorell.arrays import Array
from teorell.learn.trainer import load
from teorell.learn.transformer import forecast
from teorell.learn.transformer.decoding import RTOL, curves, to_logs
from teorell.learn.transformer.figures import SEED
from teorell.learn.transformer.inference import Effort, answers, decoded
from teorell.learn.transformer.maximum import mode
from teorell.learn.transformer.priors import PARAMETERS
from teorell.learn.transformer.structures import structure
from teorell.learn.transformer.studies import HELD_OUT, Studies, draw

DRAWS = 256


def by_scipy(logs: Array, amounts: Array, doses: Array, times: Array) -> Array:
    """log concentrations of "first-2", one patient, at times (rising) after doses."""
    value = dict(zip(PARAMETERS, np.exp(logs), strict=True))
    ka, k10 = value["ka"], value["cl"] / value["v"]
    k12, k21 = value["q"] / value["v"], value["q"] / value["v2"]

    def slope(_: float, y: Array) -> list[float]:
        depot, central, tissue = y
        moved = k12 * central - k21 * tissue
        return [-ka * depot, ka * depot - k10 * central - moved, moved]

    state, found = np.zeros(3), np.empty(len(times))
    ends = np.append(doses[1:], np.inf)
    for start, end, amount in zip(doses, ends, amounts, strict=True):
        state[0] += amount
        mine = (times >= start) & (times < end)
        until = min(end, times[-1])
        if until <= start:
            break
        at = np.append(times[mine], until)
        done: Any = solve_ivp(
            slope, (start, until), state, "LSODA", t_eval=np.unique(at), rtol=RTOL, atol=1e-9
        )
        found[mine] = done.y[1, : mine.sum()] / value["v"]
        state = done.y[:, -1].copy()
    return np.log(np.maximum(found, 1e-12))


def patients(count: int, name: str) -> Studies:
    given = draw(
        SEED, 8000, HELD_OUT, structures=(name,), kinds=("repeated", "irregular"),
        studies=-(-count // 4), patients=4, queries=8, samples=2,
    )  # fmt: skip
    return given.rows(np.isfinite(given.query).all(axis=1))


def timed(what: Any) -> tuple[float, Any]:
    """Seconds of the processor, the least of three, and what came out."""
    took = []
    for _ in range(3):
        begun = time.process_time()
        found = what()
        took.append(time.process_time() - begun)
    return min(took), found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("checkpoint", nargs="?", default="transformer")
    parser.add_argument("--patients", type=int, default=64)
    parser.add_argument("--few", type=int, default=4)
    options = parser.parse_args()
    torch.set_num_threads(1)
    name = "first-2"
    network = load(options.checkpoint)[1]
    given = patients(options.patients, name)
    n = len(given.weight)
    nobody = np.full((n, 1), -1)
    asked, (_, posterior, prior) = timed(lambda: answers(network, given, nobody))
    weighed, found = timed(lambda: decoded(posterior, prior, given, Effort()))
    found_map, _ = timed(lambda: mode(given))
    print(f"{name}, {n} patients at once, processor time a patient:")
    print(f"  network {1e3 * asked / n:.2f} ms")
    print(f"  weighing, {found.taken.mean():.0f} draws on average {1e3 * weighed / n:.2f} ms")
    print(f"  MAP with exact gradients, three starts {1e3 * found_map / n:.2f} ms")
    few = given.rows(np.arange(options.few))
    draws = found.draws[:DRAWS, : options.few]
    logs = to_logs(draws, few.weight).reshape(DRAWS * options.few, -1)
    times = np.concatenate([few.sample_time[:, :2], few.query_time], axis=1)
    many, at = few.doses.repeated(DRAWS), np.tile(times, (DRAWS, 1))
    ours, levels = timed(lambda: curves(structure(name), logs, many, at))
    begun = time.process_time()
    theirs = np.empty_like(levels)
    for k in range(len(logs)):
        order = np.argsort(at[k])
        has = np.isfinite(many.time[k])
        theirs[k, order] = by_scipy(logs[k], many.amount[k, has], many.time[k, has], at[k, order])
    scipy = time.process_time() - begun
    seen = levels > np.log(1e-6)
    apart = np.abs(levels - theirs)[seen].max()
    print(f"the same {DRAWS} draws of {options.few} patients, processor time a patient:")
    per = 1e3 / options.few
    print(f"  this solver {per * ours:.2f} ms; SciPy's LSODA {per * scipy:.0f} ms")
    print(f"  ratio {scipy / ours:.0f}; log concentrations differ by {apart:.1e} at most")
    doses = {"time": [0, 12, 24], "amount": [100, 100, 100]}
    samples = {"time": [2, 10], "concentration": [1.8, 0.9]}
    alone, one = timed(
        lambda: forecast(doses, samples, np.arange(25, 49, 3), checkpoint=options.checkpoint)
    )
    print(f"forecast() of one patient, all included: {1e3 * alone:.0f} ms, {one.draws} draws")


if __name__ == "__main__":
    main()
