"""A steady state is what a long train of doses leads to: random patients, and where there is none.

The random patients are those of bench/steady_states.py, a few of them.
"""

from __future__ import annotations

import importlib.util
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import teorell as tl
from teorell import Regimen
from teorell.engine.batch import NO_STEADY_STATE

BENCH = Path(__file__).parents[2] / "bench" / "steady_states.py"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("bench_steady_states", BENCH)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("rtol", [1e-6, 1e-8])
@pytest.mark.parametrize("kind", range(5))
def test_random_patients(bench, kind, rtol):
    found = bench.found(bench.KINDS[kind], 60, 7, rtol)
    assert not found.not_returning.any()
    assert not found.above_capacity.any()
    assert not found.missed.any()
    assert 0 < (found.status == NO_STEADY_STATE).sum() < 30


def saturable(linear=0.0):
    model = tl.Model("saturable")
    vmax, km = model.parameters(vmax=10.0, km=50.0)
    drug = model.state("drug")
    model.flow(drug, None, vmax * drug / (km + drug) + linear * drug)
    model.output("drug", drug)
    return model


def test_at_the_capacity():
    """Of an infusion at a rate r the amount settles at km r / (vmax - r), for r below vmax."""
    rates = np.array([1.0, 9.0, 9.99, 10.0, 10.001, 11.0, 1e3])
    regimen = Regimen.infusion(0, into="drug", rate=rates, steady_state=True)
    solution = tl.simulate(saturable(), {}, regimen, [0.0], rtol=1e-9, atol=1e-12)
    assert solution.status.tolist() == [0, 0, 0, 7, 7, 7, 7]
    np.testing.assert_allclose(
        solution["drug"][:3, 0], 50.0 * rates[:3] / (10.0 - rates[:3]), rtol=1e-6
    )
    doses = Regimen.bolus(12.0 * rates, into="drug", every=12, steady_state=True)
    assert tl.simulate(saturable(), {}, doses, [0.0]).status.tolist() == [0, 0, 0, 7, 7, 7, 7]


def test_a_slow_way_out_lifts_the_capacity():
    regimen = Regimen.bolus(12.0 * 20.0, into="drug", every=12, doses=2, steady_state=True)
    solution = tl.simulate(saturable(linear=1e-3), {}, regimen, [0.0, 12.0])
    assert solution.status[0] == 0
    np.testing.assert_allclose(solution["drug"][0, 1], solution["drug"][0, 0], rtol=1e-7)
    # on average as much leaves as is given
    assert 1e4 < solution["drug"][0, 0] < 2e4


def switch():
    """A state that holds itself up: at rest low or high, by where it begins."""
    model = tl.Model("switch")
    start, gain = model.parameters(start=0.0, gain=1.0)
    x = model.state("x")
    model.initial(x, start)
    model.flow(None, x, 0.02 + gain * x**4 / (1.0 + x**4))
    model.flow(x, None, 0.5 * x)
    model.output("x", x)
    return model


@pytest.mark.parametrize("given", ["rest", "doses"])
def test_of_two_steady_states_the_one_that_the_train_leads_to(given):
    starts = np.array([0.0, 0.3, 0.6, 0.7, 0.8, 0.9, 1.0, 3.0, 100.0])
    parameters, tight = {"start": starts}, {"rtol": 1e-9, "atol": 1e-12}
    if given == "rest":
        found = tl.simulate(switch(), parameters, None, [0.0], start="equilibrium", **tight)
        long = tl.simulate(switch(), parameters, None, [500.0], **tight)["x"]
    else:
        steady = Regimen.bolus(0.05, into="x", every=4, steady_state=True)
        train = Regimen.bolus(0.05, into="x", every=4, doses=201)
        found = tl.simulate(switch(), parameters, steady, [0.0], **tight)
        long = tl.simulate(switch(), parameters, train, [800.0], **tight)["x"]
    assert found.success.all()
    assert long.min() < 0.2
    assert long.max() > 1.5
    np.testing.assert_allclose(found["x"], long, rtol=1e-6)


def rhythm(period):
    model = tl.Model("rhythm")
    w = 2.0 * np.pi / period
    c = model.state("c")
    x, y = model.state("x", initial=1.0, signed=True), model.state("y", signed=True)
    model.rate(x, -w * y)
    model.rate(y, w * x)
    model.flow(c, None, 0.1 * (1.0 + 0.5 * x) * c)
    model.output("c", c)
    model.output("x", x)
    return model


@pytest.mark.parametrize("rtol", [1e-3, 1e-6, 1e-9])
def test_a_rhythm_of_the_interval_is_kept_and_another_has_no_steady_state(rtol):
    options = {"rtol": rtol, "atol": 1e-3 * rtol}
    regimen = Regimen.bolus(100, into="c", every=24, steady_state=True)
    kept = tl.simulate(rhythm(24.0), None, regimen, [0.0], **options)
    assert kept.status[0] == 0
    np.testing.assert_allclose(kept["x"][0, 0], 1.0, rtol=1e-12)
    np.testing.assert_allclose(kept["c"][0, 0], 100.0 / (1.0 - np.exp(-2.4)), rtol=20 * rtol)
    for period in (23.0, 48.0, 96.0, 30.0):
        assert tl.simulate(rhythm(period), None, regimen, [0.0], **options).status[0] == 7
    resting = tl.simulate(rhythm(24.0), None, None, [0.0], start="equilibrium", **options)
    assert resting.status[0] == 7


def test_an_unstable_point_is_none():
    """Growth beyond a threshold: x = 1 is a point at rest that everything leaves."""
    model = tl.Model("threshold")
    start = model.parameter("start", 1.0)
    x = model.state("x")
    model.initial(x, start)
    model.rate(x, x * (x - 1.0))
    model.output("x", x)
    found = tl.simulate(model, {"start": [0.0, 0.5, 1.5]}, None, [0.0], start="equilibrium")
    assert found.status[:2].tolist() == [0, 0]
    assert found.status[2] != 0
    np.testing.assert_allclose(found["x"][:2, 0], 0.0, atol=1e-8)


def test_a_solver_that_fails_says_so():
    regimen = Regimen.bolus(10, into="drug", every=12, steady_state=True)
    assert tl.simulate(saturable(), {}, regimen, [0.0], max_steps=2).status[0] == 4


def chain():
    """Twelve compartments in a row, at the end an enzyme whose total nothing changes."""
    model = tl.Model("chain")
    k, total, leaves = model.parameters(k=1.0, total=5.0, leaves=1.0)
    row = [model.state(f"c{i}") for i in range(12)]
    free, bound = model.states("free", "bound")
    model.initial(free, total)
    for one, other in pairwise(row):
        model.flow(one, other, k * one - 0.3 * other)
    model.flow(row[0], None, 0.1 * leaves * row[0])
    binding = 0.5 * row[-1] * free - 0.2 * bound
    model.rate(free, 0.3 * leaves * bound - binding)
    model.rate(bound, binding - 0.3 * leaves * bound)
    model.flow(row[-1], None, binding + 0.2 * bound - 0.2 * bound)
    for state in (row[0], row[5], row[-1], free):
        model.output(state.name, state)
    model.output("total", free + bound)
    return model


def test_many_states_and_a_total():
    given = {"k": [0.8, 1.0, 2.0], "total": [4.0, 5.0, 20.0]}
    regimen = Regimen.bolus(10, into="c0", every=12, doses=2, steady_state=True)
    options = {"rtol": 1e-9, "atol": 1e-12}
    solution = tl.simulate(chain(), given, regimen, [0.0, 12.0], **options)
    assert solution.success.all()
    np.testing.assert_allclose(solution.values[:, 1], solution.values[:, 0], rtol=1e-7)
    np.testing.assert_allclose(solution["total"][:, 0], given["total"], rtol=1e-10)
    train = Regimen.bolus(10, into="c0", every=12, doses=2001)
    long = tl.simulate(chain(), given, train, [24000.0], **options)
    np.testing.assert_allclose(solution.values[:, 0], long.values[:, 0], rtol=1e-6)
    alone = tl.simulate(chain(), {"k": 1.0, "total": 5.0}, regimen, [0.0, 12.0], **options)
    np.testing.assert_array_equal(alone.values[0], solution.values[1])


def test_many_states_and_no_way_out():
    model = chain()
    regimen = Regimen.bolus(10, into="c0", every=12, steady_state=True)
    solution = tl.simulate(model, {"leaves": [1.0, 0.0]}, regimen, [0.0])
    assert solution.status.tolist() == [0, NO_STEADY_STATE]
