"""Steady states of models with events: fixed points in closed form, their derivatives, and what
has none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import teorell as tl

TIGHT: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-12}
EVERY = 12.0
TIMES = np.array([0.5, 3.0, 11.0])


def train(model: tl.Model, amount: float, doses: int, **options: Any) -> np.ndarray:
    regimen = tl.Regimen.bolus(amount, into="x", every=EVERY, doses=doses)
    times = (doses - 1) * EVERY + TIMES
    return tl.simulate(model, None, regimen, times, **options).values


def test_rescue_doses_in_every_interval() -> None:
    """x falls to a trough, is raised, and falls until the next dose: x = c (x + dose)."""
    model = tl.Model("rescue")
    k, trough, extra = model.parameters(k=0.3, trough=0.5, extra=1.0)
    x, number = model.state("x"), model.level("number")
    model.flow(x, None, k * x)
    model.event(when=x < trough, then={x: x + extra, number: number + 1.0})
    model.output("x", x)

    def exact(k: float, trough: float, extra: float, dose: float, every: float) -> np.ndarray:
        c = (trough + extra) / trough * np.exp(-k * every)
        top = dose / (1.0 - c)
        at = np.log(top / trough) / k
        late = (trough + extra) * np.exp(-k * (TIMES - at))
        return np.where(at > TIMES, top * np.exp(-k * TIMES), late)

    point = {"k": 0.3, "trough": 0.5, "extra": 1.0}
    numbers = [*point.values(), 9.2, EVERY]
    regimen = tl.Regimen.bolus(9.2, into=x, every=EVERY, steady_state=True)
    plain = tl.simulate(model, point, regimen, TIMES)
    assert plain.status[0] == 0
    np.testing.assert_allclose(plain["x"][0], exact(*numbers), rtol=1e-5)
    weights = np.random.default_rng(4).normal(size=(1, 3, 1))
    _, gradient = tl.value_and_grad(weights, model, point, regimen, TIMES, **TIGHT)
    tangents = tl.jacobian(model, point, regimen, TIMES, wrt=list(point), **TIGHT).derivatives
    found = [float(gradient.parameters[name]) for name in point]
    found += [float(gradient.doses[0].amount), float(gradient.doses[0].every)]
    for place, got in enumerate(found):
        ends = []
        for sign in (1.0, -1.0):
            moved = list(numbers)
            moved[place] += sign * 1e-6
            ends.append(exact(*moved))
        slope = (ends[0] - ends[1]) / 2e-6
        np.testing.assert_allclose(got, slope @ weights[0, :, 0], rtol=1e-6)
        if place < len(point):
            np.testing.assert_allclose(tangents[0, :, 0, place], slope, rtol=1e-6, atol=1e-8)


def test_a_dose_that_makes_a_condition_true_in_every_interval() -> None:
    """What is above a cap is lost: at steady state the dose fills up to it."""
    model = tl.Model("cap")
    k, cap = model.parameters(k=0.1, cap=5.0)
    x = model.state("x")
    model.flow(x, None, k * x)
    model.event(when=x > cap, then={x: cap})
    model.output("x", x)
    regimen = tl.Regimen.bolus(4.9, into=x, every=EVERY, steady_state=True)
    solution = tl.simulate(model, {"k": [0.1, 0.5]}, regimen, TIMES, **TIGHT)
    below = 4.9 / (1.0 - np.exp(-0.5 * EVERY)) * np.exp(-0.5 * TIMES)
    np.testing.assert_allclose(solution["x"], [5.0 * np.exp(-0.1 * TIMES), below], rtol=1e-8)
    tangents = tl.jacobian(model, None, regimen, TIMES, wrt=["k", "cap"], **TIGHT).derivatives
    exact = np.exp(-0.1 * TIMES)
    np.testing.assert_allclose(tangents[0, :, 0, 0], -TIMES * 5.0 * exact, rtol=1e-8)
    np.testing.assert_allclose(tangents[0, :, 0, 1], exact, rtol=1e-8)


def test_a_level_that_turns_in_every_interval() -> None:
    """As a long train of doses leads to, by the events at its end."""
    model = tl.Model("valve")
    k, high, low = model.parameters(k=0.4, high=4.0, low=1.0)
    x, y = model.state("x"), model.state("y")
    open_ = model.level("open")
    model.flow(x, y, k * x)
    model.flow(y, None, (0.05 + 0.3 * open_) * y)
    model.event(when=x > high, then={open_: 1.0})
    model.event(when=x < low, then={open_: 0.0})
    model.output("x", x)
    model.output("y", y)
    model.output("open", open_)
    regimen = tl.Regimen.bolus(6.0, into="x", every=EVERY, steady_state=True)
    solution = tl.simulate(model, None, regimen, TIMES, **TIGHT)
    assert solution.status[0] == 0
    np.testing.assert_allclose(solution.values, train(model, 6.0, 60, **TIGHT), rtol=1e-7)
    # from a patient who has had no dose: the valve never opens
    few = tl.Regimen.bolus(3.0, into="x", every=EVERY, steady_state=True)
    closed = tl.simulate(model, None, few, TIMES, **TIGHT)
    np.testing.assert_allclose(closed.values, train(model, 3.0, 60, **TIGHT), rtol=1e-7, atol=1e-9)
    _, gradient = tl.value_and_grad(np.ones((1, 3, 3)), model, None, regimen, TIMES, **TIGHT)
    ends = [
        tl.simulate(model, {"low": 1.0 + h}, regimen, TIMES, **TIGHT).values.sum()
        for h in (1e-5, -1e-5)
    ]
    np.testing.assert_allclose(gradient.parameters["low"], (ends[0] - ends[1]) / 2e-5, rtol=1e-6)


@pytest.mark.parametrize("amount", [2.0, 4.0, 5.5])
def test_a_latch_keeps_what_the_train_has_left_in_it(amount: float) -> None:
    """On from the second dose of 4 on, and from the first of 5.5; never of doses of 2."""
    model = tl.Model("latch")
    x, on = model.state("x"), model.level("on")
    model.flow(x, None, (0.1 + 0.3 * on) * x)
    model.event(when=x > 5.0, then={on: 1.0})
    model.output("x", x)
    model.output("on", on)
    regimen = tl.Regimen.bolus(amount, into="x", every=EVERY, steady_state=True)
    solution = tl.simulate(model, None, regimen, TIMES, **TIGHT)
    assert solution.status[0] in (0, 7)
    if solution.status[0] == 0:
        np.testing.assert_allclose(solution.values, train(model, amount, 40, **TIGHT), rtol=1e-7)


def test_equilibrium_without_an_event_and_rates_that_switch() -> None:
    model = tl.Model("rest")
    k, thr = model.parameters(k=0.5, thr=1.0)
    x = model.state("x")
    model.flow(None, x, 1.0 + tl.where(x > thr, 0.5, 0.0))
    model.flow(x, None, k * x)
    model.event(when=x > 10.0, then={x: 0.0})
    model.output("x", x)
    solution = tl.simulate(model, {"thr": [1.0, 2.5]}, None, [0.0, 1.0], start="equilibrium")
    np.testing.assert_allclose(solution["x"], [[3.0, 3.0], [2.0, 2.0]], rtol=1e-6)


def test_what_has_no_steady_state_is_told() -> None:
    relaxes = tl.Model("relaxes")
    x = relaxes.state("x")
    relaxes.flow(None, x, 1.0)
    relaxes.event(when=x > 3.0, then={x: 0.0})
    assert tl.simulate(relaxes, None, None, [1.0], start="equilibrium").status[0] in (7, 8)

    timed = tl.Model("timed")
    z = timed.state("z")
    timed.flow(z, None, z)
    timed.event(when=timed.time > 3.0, then={z: 0.0})
    with pytest.raises(tl.InputError, match="an event of model 'timed' depends on time"):
        tl.simulate(timed, None, tl.Regimen.bolus(1.0, "z", every=1.0, steady_state=True), [1.0])
