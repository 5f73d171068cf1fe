"""What any learned scaling is measured against: the methods of textbooks, and a Gaussian process.

Animals are log10 (drugs, 3), in the order of ANIMALS, NaN where not measured; clearance of
mL/min/kg, volume of L/kg. All return log10 in humans (drugs,), NaN where the method says nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from teorell.arrays import Array
from teorell.learn.allometry.drug_table import ANIMALS, WEIGHTS
from teorell.learn.allometry.linear import filled

__all__ = ["fixed_exponent", "gaussian_process", "rule_of_exponents", "simple_allometry"]

MASS = np.log10([WEIGHTS[name] for name in ANIMALS])  # kg
HUMAN = np.log10(WEIGHTS["human"])
EXPONENT = {"CL": 0.75, "VDss": 1.0}
BRAIN = {"rat": 0.005698, "dog": 0.007797, "monkey": 0.01999, "human": 0.02}
"""Brain, a share of the body mass: Brown 1997 (rat, dog), Davies & Morris 1993 (monkey, human)."""
LOWER, UPPER = 0.71, 1.0  # exponents between which life-span corrects, above which the brain
# Gaussian process: kernel width in log10 units of animals, its amplitude and noise (log10)
WIDTH, AMPLITUDE, NOISE = 2.0, 0.3, 0.35


def fixed_exponent(target: str, animals: Array) -> Array:
    """Every animal scaled by mass to the power 0.75 (CL) or 1 (VDss); their geometric mean."""
    scaled = animals + (EXPONENT[target] - 1) * (HUMAN - MASS)
    return _mean(scaled)


def simple_allometry(target: str, animals: Array) -> Array:
    """A power law through two animals or more (Boxenbaum 1982); fixed exponent for one."""
    law = _law(animals + MASS, HUMAN)[0] - HUMAN
    return np.where(np.isfinite(animals).sum(axis=1) > 1, law, fixed_exponent(target, animals))


def rule_of_exponents(animals: Array) -> Array:
    """Clearance by Mahmood & Balian 1996: simple, or of CL * life-span, or of CL * brain weight,
    as the exponent of the simple law is below 0.71, up to 1, or above.

    Life-span (years): 185.4 brain^0.636 body^-0.225, both kg (Sacher 1959).
    """
    total = animals + MASS
    simple, exponent = _law(total, HUMAN)
    brain = MASS + np.log10([BRAIN[name] for name in ANIMALS])
    human_brain = HUMAN + np.log10(BRAIN["human"])
    life = _life_span(brain, MASS)
    human_life = _life_span(human_brain, HUMAN)
    by_life = _law(total + life, HUMAN)[0] - human_life
    by_brain = _law(total + brain, HUMAN)[0] - human_brain
    chosen = np.where(exponent < LOWER, simple, np.where(exponent <= UPPER, by_life, by_brain))
    several = np.isfinite(animals).sum(axis=1) > 1
    return np.where(several, chosen - HUMAN, fixed_exponent("CL", animals))


def gaussian_process(target: str, animals: Array, human: Array, rows: NDArray[np.int64]) -> Array:
    """A Gaussian process of the three values about a fixed exponent, trained on `rows`."""
    x = filled(animals)
    base = fixed_exponent(target, animals)
    y = human - base
    square = ((x[:, None] - x[None, rows]) ** 2).sum(axis=-1)
    kernel = AMPLITUDE**2 * np.exp(-square / (2 * WIDTH**2))
    middle = y[rows].mean()
    inner = kernel[rows] + NOISE**2 * np.eye(kernel.shape[1])
    found: Array = base + middle + kernel @ np.linalg.solve(inner, y[rows] - middle)
    return found


def _law(logs: Array, at: float) -> tuple[Array, Array]:
    """Of each row the least-squares line against MASS, read at `at`; and its slope.

    NaN where fewer than two animals are known.
    """
    seen = np.isfinite(logs)
    n = np.maximum(seen.sum(axis=1), 1)
    values = np.where(seen, logs, 0.0)
    x = (seen * MASS).sum(axis=1) / n
    y = values.sum(axis=1) / n
    dx = np.where(seen, MASS - x[:, None], 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = (dx * values).sum(axis=1) / (dx**2).sum(axis=1)
    slope[seen.sum(axis=1) < 2] = np.nan
    found: Array = y + slope * (at - x)
    return found, slope


def _life_span(brain: Array | float, body: Array | float) -> Array:
    """log10 years, of log10 kg."""
    found: Array = np.asarray(np.log10(185.4) + 0.636 * brain - 0.225 * body)
    return found


def _mean(values: Array) -> Array:
    seen = np.isfinite(values)
    total = np.where(seen, values, 0.0).sum(axis=1)
    found: Array = np.where(seen.any(axis=1), total / np.maximum(seen.sum(axis=1), 1), np.nan)
    return found
