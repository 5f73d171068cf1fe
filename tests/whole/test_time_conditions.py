"""Conditions on time of every form become ends of steps, or are found inside them and named; powers
of time whose slope is infinite at 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import teorell as tl
from teorell.model.expression import Expression

E = Expression
FORMS: dict[str, Callable[[E, E, E], E]] = {
    "t in [a, b)": lambda t, a, w: (a <= t) & (t < a + w),
    "quotient": lambda t, a, w: ((t - a) / w >= 0) & ((t - a) / w < 1),
    "abs": lambda t, a, w: tl.abs(t - a - w / 2) < w / 2,
    "not abs": lambda t, a, w: ~(tl.abs(t - a - w / 2) >= w / 2),
    "product": lambda t, a, w: (t - a) * (t - a - w) < 0,
    "positive product": lambda t, a, w: (t - a) * (a + w - t) > 0,
    "min": lambda t, a, w: tl.min(t - a, a + w - t) > 0,
    "max": lambda t, a, w: tl.max(a - t, t - a - w) < 0,
    "scaled": lambda t, a, w: (w * t > w * a) & (-w * t > -w * (a + w)),
    "shifted": lambda t, a, w: w / 2 - tl.abs(t - a - w / 2) > 0,
    "two quotients": lambda t, a, w: (t - a) / (t - a - w) < 0,
    "a clock": lambda t, a, w: (t > a) & (t < a + w),
}


def pulse(on: Callable[[E, E, E], E], clock: bool = False) -> tl.Model:
    model = tl.Model("pulse")
    a, w = model.parameters(a=500.0, w=1.0)
    y = model.state("y")
    time = model.time
    if clock:
        time = model.state("clock")
        model.rate(time, 1.0)
    model.flow(None, y, tl.where(on(time, a, w), 1000.0, 0.0))
    model.flow(y, None, 0.1 * y)
    model.output("y", y)
    return model


def area(a: float, w: float) -> float:
    """y at 502."""
    return 1e4 * (np.exp(-0.1 * (502.0 - a - w)) - np.exp(-0.1 * (502.0 - a)))


@pytest.mark.parametrize("form", FORMS)
def test_a_short_pulse_is_not_stepped_over(form: str) -> None:
    model = pulse(FORMS[form], clock=form == "a clock")
    a, w = np.array([500.0, 3.0, 490.0]), np.array([1.0, 0.2, 11.0])
    solution = tl.simulate(model, {"a": a, "w": w}, None, [502.0])
    assert (solution.status == 0).all()
    np.testing.assert_allclose(solution["y"][:, 0], area(a, w), rtol=1e-5, atol=1e-9)
    _, gradient = tl.value_and_grad(
        np.ones((3, 1, 1)), model, {"a": a, "w": w}, None, [502.0], rtol=1e-9
    )
    for name, slope in (
        ("a", (area(a + 1e-4, w) - area(a - 1e-4, w)) / 2e-4),
        ("w", (area(a, w + 1e-4) - area(a, w - 1e-4)) / 2e-4),
    ):
        np.testing.assert_allclose(gradient.parameters[name], slope, rtol=1e-6, atol=1e-9)
    assert ("max_step" in model.describe()) is False


def test_a_condition_that_is_looked_for_is_named() -> None:
    """sin(time) > level is found inside steps that are not longer than its waves."""
    model = tl.Model("waves")
    level = model.parameter("level", 0.5)
    x, y = model.state("x", 1.0), model.state("y")
    model.flow(x, None, 0.01 * x)
    model.flow(None, y, tl.where(tl.sin(model.time) > level, 1.0, 0.0))
    model.flow(None, y, tl.where(tl.sin(model.time) > 3.0 + x, 1.0, 0.0))
    model.output("y", y)
    described = model.describe()
    assert "max_step" in described
    assert "level < sin(time)" in described
    assert "3 + x < sin(time)" in described
    end = 8.0 * np.pi
    solution = tl.simulate(model, None, None, [end], max_step=0.8)
    np.testing.assert_allclose(solution["y"], 4.0 * (np.pi - 2.0 * np.arcsin(0.5)), rtol=1e-6)
    options: dict[str, Any] = {"max_step": 0.8, "rtol": 1e-9}
    jacobian = tl.jacobian(model, {"level": 0.5}, None, [end], wrt=["level"], **options)
    np.testing.assert_allclose(jacobian.derivatives, -8.0 / np.sqrt(0.75), rtol=1e-6)


def test_weibull_release() -> None:
    """Of shapes from 1 on the slope of the rate may be infinite at the start, the rate is not."""
    model = tl.Model("Weibull")
    a, b = model.parameters(a=2.0, b=1.0)
    d = model.state("d", 100.0)
    model.flow(d, None, b / a * tl.pow(model.time / a, b - 1.0) * d)
    model.output("d", d)
    shape = np.array([1.0, 1.2, 1.5, 1.9, 2.0, 3.1])
    solution = tl.simulate(model, {"b": shape}, None, [1.0])
    np.testing.assert_allclose(solution["d"][:, 0], 100.0 * np.exp(-(0.5**shape)), rtol=2e-6)
    shape = np.append(shape, [1.0001, 1.01])
    weights = np.ones((len(shape), 1, 1))
    exact = -100.0 * np.exp(-(0.5**shape)) * 0.5**shape * np.log(0.5)
    for rtol in (1e-4, 1e-6, 1e-9):
        _, gradient = tl.value_and_grad(weights, model, {"b": shape}, None, [1.0], rtol=rtol)
        # the slope of t^(b-1) by b, log(t) at b = 1, is followed as well from where t is 0
        np.testing.assert_allclose(gradient.parameters["b"], exact, rtol=30.0 * rtol)
        assert gradient.steps.max() < 300
    tangent = tl.jacobian(model, {"b": shape}, None, [1.0], wrt=["b"], rtol=1e-9)
    np.testing.assert_allclose(tangent.derivatives.ravel(), gradient.parameters["b"], rtol=1e-11)
    below = tl.simulate(model, {"b": 0.7}, None, [1.0])
    assert below.status[0] == 1
    with pytest.raises(tl.SimulationError, match="a Weibull shape below 1"):
        below.raise_for_status()


def test_release_that_begins_late() -> None:
    """From a lag on that is a parameter; the steps are small at its start alone."""
    model = tl.Model("late release")
    b, lag = model.parameters(b=1.0, lag=0.7)
    d = model.state("d", 100.0)
    u = tl.max(model.time - lag, 0.0)
    model.flow(d, None, tl.where(model.time < lag, 0.0, b * tl.pow(u, b - 1.0)) * d)
    model.output("d", d)
    times = np.array([0.5, 1.0, 3.0])
    late = np.maximum(times - 0.7, 1e-300)
    tangents = tl.jacobian(model, {"b": 1.0, "lag": 0.7}, None, times, wrt=["b", "lag"])
    exact = np.where(times > 0.7, 100.0 * np.exp(-late), 100.0)
    slope = np.where(times > 0.7, -exact * late * np.log(late), 0.0)
    np.testing.assert_allclose(tangents.derivatives[0, :, 0, 0], slope, rtol=3e-5)
    by_lag = np.where(times > 0.7, exact, 0.0)
    np.testing.assert_allclose(tangents.derivatives[0, :, 0, 1], by_lag, rtol=3e-5)


def test_a_scaled_time_and_a_parameter_that_changes() -> None:
    """w time < c, where w changes over time: on, off where it changes, on again, off."""
    model = tl.Model("scaled")
    w, c = model.parameters(w=0.5, c=3.0)
    y = model.state("y")
    model.flow(None, y, tl.where(w * model.time < c, 1.0, 0.0))
    model.output("y", y)
    steps = tl.stepwise([0.0, 4.0, 5.0], [0.5, 1.0, 0.25])
    times = [3.0, 4.5, 8.0, 13.0]
    point = {"w": steps, "c": 3.0}
    solution = tl.simulate(model, point, None, times)
    np.testing.assert_allclose(solution["y"][0], [3.0, 4.0, 7.0, 11.0], rtol=1e-9)
    tangent = tl.jacobian(model, point, None, times, wrt=["c"]).derivatives[0, :, 0, 0]
    np.testing.assert_allclose(tangent, [0.0, 0.0, 0.0, 4.0], atol=1e-9)
    _, gradient = tl.value_and_grad(np.ones((1, 4, 1)), model, point, None, times)
    np.testing.assert_allclose(gradient.parameters["c"], 4.0, rtol=1e-9)


def test_the_root_of_time() -> None:
    model = tl.Model("root")
    a = model.parameter("a", 2.0)
    d = model.state("d", 1.0)
    model.flow(d, None, tl.sqrt(model.time / a) * d)
    model.output("d", d)
    exact = np.exp(-(2.0 / 3.0) / np.sqrt(2.0))
    jacobian = tl.jacobian(model, {"a": 2.0}, None, [1.0], wrt=["a"], rtol=1e-8)
    np.testing.assert_allclose(jacobian.derivatives, exact * 2.0**-1.5 / 3.0, rtol=1e-6)
    np.testing.assert_allclose(tl.simulate(model, None, None, [1.0])["d"], exact, rtol=1e-6)
