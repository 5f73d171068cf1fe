"""The bits of steady states and of their derivatives: the patient's own, whatever BLAS NumPy has,
whoever stands beside, on however many threads.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import teorell as tl
from teorell import Regimen

# What OpenBLAS takes for its processor: kernels without and with fused multiply-adds.
KERNELS = ("Prescott", "Haswell")


def chain(states, total=False):
    """Compartments in a row with a saturable way out; perhaps a total that nothing changes."""
    model = tl.Model("chain")
    k, vmax = model.parameters(k=1.0, vmax=30.0)
    row = [model.state(f"c{i}") for i in range(states)]
    for one, other in pairwise(row):
        model.flow(one, other, k * one - 0.3 * other)
    model.flow(row[-1], None, vmax * row[-1] / (50.0 + row[-1]))
    if total:
        amount = model.parameter("amount", 5.0)
        free, bound = model.states("free", "bound")
        model.initial(free, amount)
        model.flow(free, bound, 0.1 * row[0] * free - 0.2 * bound)
    return model


PATIENTS = 24
MODELS = {
    "many states": chain(14),
    "few states": chain(3),
    "a total": chain(3, total=True),
    "many states and a total": chain(12, total=True),
    "at rest": chain(4),
}


def numbers(name, which, **options):
    """Values (patients, times, outputs) and the gradient of their sum by each number (patients,),
    of some of the patients.
    """
    rng, model = np.random.default_rng(3), MODELS[name]
    given = {"k": rng.uniform(0.5, 2.0, PATIENTS), "vmax": rng.uniform(5.0, 40.0, PATIENTS)}
    amount, given = rng.uniform(1.0, 150.0, PATIENTS)[which], {
        key: value[which] for key, value in given.items()
    }  # fmt: skip
    if name == "at rest":
        regimen = Regimen.infusion(0, into="c0", rate=amount / 12, steady_state=True)
    else:
        regimen = Regimen.bolus(amount, into="c0", every=12, doses=2, steady_state=True)
    at, options = [0.0, 5.0], {"rtol": 1e-7, "atol": 1e-10, **options}
    values = tl.simulate(model, given, regimen, at, **options).values
    _, gradient = tl.value_and_grad(np.ones((1, 2, 1)), model, given, regimen, at, **options)
    return [values, *(gradient.parameters[key] for key in given)]


def everything():
    """All numbers of all models as bytes, in hexadecimal."""
    return "".join(
        each.tobytes().hex() for name in MODELS for each in numbers(name, np.arange(PATIENTS))
    )


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names of x86 kernels")
def test_whatever_blas_numpy_has():
    def told(kernel):
        code = "import test_steady_bits; print(test_steady_bits.everything())"
        run = subprocess.run(
            [sys.executable, "-c", code], cwd=Path(__file__).parent, text=True, check=True,
            capture_output=True, env={**os.environ, "OPENBLAS_CORETYPE": kernel},
        )  # fmt: skip
        return run.stdout

    one, other = map(told, KERNELS)
    assert len(one) > 10_000
    assert one == other


@pytest.mark.parametrize("name", MODELS)
def test_whoever_stands_beside(name):
    together = numbers(name, np.arange(PATIENTS), threads=2)
    found = np.isfinite(together[0]).all(axis=(1, 2))
    assert 12 < found.sum() < PATIENTS
    order = np.random.default_rng(1).permutation(PATIENTS)
    for which in (order, order[:1], order[1:2], order[2:5]):
        for one, expected in zip(numbers(name, which, threads=1), together, strict=True):
            np.testing.assert_array_equal(one, expected[which])
