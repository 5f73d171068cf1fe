"""Conditions on states: located crossings, their curves and derivatives against closed forms and
differences, the same bits however they are run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import teorell as tl

TIGHT: dict[str, Any] = {"rtol": 1e-11, "atol": 1e-13}
TIMES = np.array([0.4, 1.3, 2.0, 3.1])


def decay(condition: Callable[..., tl.Expression]) -> tl.Model:
    """x' = -k x above a threshold, a fifth of it below."""
    model = tl.Model("switching decay")
    k, thr = model.parameters(k=1.0, thr=1.0)
    x = model.state("x", initial=2.0)
    model.flow(x, None, k * x * condition(x, thr))
    model.output("x", x)
    return model


def exact(k: float, thr: float, times: np.ndarray) -> np.ndarray:
    at = np.log(2.0 / thr) / k
    return np.where(times < at, 2.0 * np.exp(-k * times), thr * np.exp(-0.2 * k * (times - at)))


CONDITIONS = {
    "x > thr": lambda x, thr: tl.where(x > thr, 1.0, 0.2),
    "thr <= x": lambda x, thr: tl.where(thr <= x, 1.0, 0.2),
    "not x < thr": lambda x, thr: tl.where(~(x < thr), 1.0, 0.2),
    "log": lambda x, thr: tl.where(tl.log(x) > tl.log(thr), 1.0, 0.2),
    "quotient": lambda x, thr: tl.where(x / thr > 1.0, 1.0, 0.2),
    "product": lambda x, thr: tl.where(x * x > thr * thr, 1.0, 0.2),
    "and": lambda x, thr: tl.where((x > thr) & (x > 0.5 * thr), 1.0, 0.2),
    "or": lambda x, thr: tl.where((x > thr) | (x > 3.0), 1.0, 0.2),
    "sum": lambda x, thr: 0.2 + 0.8 * (x > thr),
    "twice": lambda x, thr: tl.where(x > thr, 0.5, 0.1) + tl.where(x < thr, 0.1, 0.5),
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_rate_that_switches_at_a_threshold(name: str) -> None:
    model = decay(CONDITIONS[name])
    k, thr = np.array([1.0, 0.7, 2.3]), np.array([1.0, 1.6, 0.3])
    for options in (TIGHT, {"rtol": 1e-6, "atol": 1e-9}):
        solution = tl.simulate(model, {"k": k, "thr": thr}, None, TIMES, **options)
        assert (solution.status == 0).all()
        for row in range(3):
            np.testing.assert_allclose(
                solution["x"][row], exact(k[row], thr[row], TIMES), rtol=10 * options["rtol"]
            )
    loss = np.ones((3, len(TIMES), 1))
    _, gradient = tl.value_and_grad(loss, model, {"k": k, "thr": thr}, None, TIMES, **TIGHT)
    tangents = tl.jacobian(
        model, {"k": k, "thr": thr}, None, TIMES, wrt=["k", "thr"], **TIGHT
    ).derivatives[:, :, 0]
    for number, moved in enumerate(("k", "thr")):
        step = 1e-6
        for row in range(3):
            ends = []
            for sign in (1.0, -1.0):
                point = {"k": k[row], "thr": thr[row]}
                point[moved] += sign * step
                ends.append(exact(point["k"], point["thr"], TIMES))
            slope = (ends[0] - ends[1]) / (2.0 * step)
            np.testing.assert_allclose(tangents[row, :, number], slope, rtol=1e-7, atol=1e-8)
        np.testing.assert_allclose(
            gradient.parameters[moved], tangents[:, :, number].sum(axis=1), rtol=1e-11
        )


def pulses() -> tl.Model:
    """Conditions of every kind: jumps, kinks, combined, of time and state."""
    model = tl.Model("everything")
    a, b, c = model.parameters(a=0.9, b=0.55, c=0.3)
    x = model.state("x", initial=1.0, signed=True)
    y = model.state("y", initial=0.2, signed=True)
    t = model.time
    model.rate(x, a * tl.sin(2.0 * t) - b * y + 0.3 * tl.max(x - y, c) - 0.2 * tl.abs(y - 0.1))
    z = model.state("z", initial=0.3, signed=True)
    model.rate(y, tl.where((x > b) & ~(x > 0.2 * t), 1.0, -0.4 * a) * (0.5 + c) - 0.3 * y)
    model.rate(y, tl.where(x * x < 0.3 + 0.1 * z, b, tl.min(x, 0.2)))
    model.rate(z, tl.where((z < c) | (x > 0.1), x - z, 2.0 * x - z))
    model.output("x", x)
    model.output("y", y)
    model.output("z", z)
    return model


def test_gradients_of_many_conditions_against_differences() -> None:
    model = pulses()
    point = {"a": 0.9, "b": 0.55, "c": 0.3}
    times = np.linspace(0.3, 9.0, 12)

    def curve(**moved: float) -> np.ndarray:
        solution = tl.simulate(model, point | moved, None, times, rtol=1e-12, atol=1e-14)
        assert solution.status[0] == 0
        return solution.values[0]

    derivatives = tl.jacobian(
        model, point, None, times, wrt=list(point), rtol=1e-11, atol=1e-13
    ).derivatives[0]
    scale = np.abs(derivatives).max()
    rng = np.random.default_rng(3)
    weights = rng.normal(size=(1, len(times), 3))
    _, gradient = tl.value_and_grad(weights, model, point, None, times, rtol=1e-11, atol=1e-13)
    for number, name in enumerate(point):
        h = 1e-5
        slope = (curve(**{name: point[name] + h}) - curve(**{name: point[name] - h})) / (2.0 * h)
        np.testing.assert_allclose(derivatives[..., number], slope, atol=1e-6 * scale)
        along = (weights[0] * derivatives[..., number]).sum()
        np.testing.assert_allclose(gradient.parameters[name], along, atol=1e-10 * scale)


def test_bits_do_not_depend_on_batch_threads_or_executor() -> None:
    model = pulses()
    rng = np.random.default_rng(5)
    given = {name: rng.uniform(0.2, 1.1, 21) for name in ("a", "b", "c")}
    regimen = tl.Regimen.bolus(0.4, into="x", every=2.5, doses=3)
    times = np.linspace(0.0, 8.0, 9)
    whole = tl.simulate(model, given, regimen, times, threads=2)
    assert (whole.status == 0).all()
    assert np.isfinite(whole.values).all()
    interpreted = tl.simulate(model, given, regimen, times, executor="interpreter", threads=1)
    assert whole.values.tobytes() == interpreted.values.tobytes()
    assert (whole.steps == interpreted.steps).all()
    for row in (0, 7, 20):
        alone = tl.simulate(model, {n: v[row] for n, v in given.items()}, regimen, times[::2])
        assert alone.values[0].tobytes() == whole.values[row, ::2].tobytes()
        assert alone.steps[0] == whole.steps[row]
    weights = np.ones((21, 9, 3))
    value, gradient = tl.value_and_grad(weights, model, given, regimen, times, threads=2)
    _, back = tl.value_and_grad(
        weights, model, given, regimen, times, threads=1, executor="interpreter"
    )
    np.testing.assert_allclose(value, whole.values.sum(), rtol=1e-14)
    for name in given:
        assert gradient.parameters[name].tobytes() == back.parameters[name].tobytes()


def test_doses_that_jump_over_a_threshold() -> None:
    """The rate that holds after a dose is that of the state after it; by amount and time of it."""
    model = decay(CONDITIONS["x > thr"])

    def curve(amount: float, at: float) -> np.ndarray:
        regimen = tl.Regimen.bolus(amount, into="x", time=at)
        return tl.simulate(model, {"thr": 0.6}, regimen, TIMES, **TIGHT).values[0, :, 0]

    regimen = tl.Regimen.bolus(1.5, into="x", time=1.7)
    weights = np.ones((1, len(TIMES), 1))
    _, gradient = tl.value_and_grad(weights, model, {"thr": 0.6}, regimen, TIMES, **TIGHT)
    h = 1e-5
    by_amount = (curve(1.5 + h, 1.7) - curve(1.5 - h, 1.7)).sum() / (2 * h)
    by_time = (curve(1.5, 1.7 + h) - curve(1.5, 1.7 - h)).sum() / (2 * h)
    np.testing.assert_allclose(gradient.doses[0].amount, by_amount, rtol=1e-7)
    np.testing.assert_allclose(gradient.doses[0].time, by_time, rtol=1e-7)


def test_there_and_back_inside_one_step() -> None:
    """A parabola dips below a threshold for a while that no step would end in."""
    model = tl.Model("dip")
    depth, late = model.parameters(depth=0.01, late=500.0)
    x, y = model.state("x", signed=True), model.state("y")
    speed = model.state("speed", signed=True)
    model.initial(speed, -2.0 * late * 4e-6)
    model.initial(x, late**2 * 4e-6 - depth)
    model.rate(x, speed)
    model.rate(speed, 8e-6)
    model.flow(None, y, tl.where(x < 0.0, 1.0, 0.0))
    model.output("y", y)
    below = np.array([1e-4, 0.01])
    solution = tl.simulate(model, {"depth": below}, None, [900.0])
    np.testing.assert_allclose(solution["y"][:, 0], 2.0 * np.sqrt(below / 4e-6), rtol=1e-6)
    _, gradient = tl.value_and_grad(np.ones((2, 1, 1)), model, {"depth": below}, None, [900.0])
    np.testing.assert_allclose(gradient.parameters["depth"], 500.0 / np.sqrt(below), rtol=1e-5)


def test_kinks_have_the_slope_of_their_side() -> None:
    """max and min of states cost accuracy of no derivative at a loose tolerance."""
    model = tl.Model("kinks")
    k, floor = model.parameters(k=0.7, floor=0.5)
    x, y = model.state("x", 2.0), model.state("y")
    model.flow(x, None, k * x)
    model.flow(None, y, tl.max(x - floor, 0.0) + tl.min(x, floor) + 0.3 * tl.abs(x - floor))
    model.output("y", y)
    tangent = tl.jacobian(model, {"k": 0.7, "floor": 0.5}, None, [6.0], wrt=["k", "floor"])
    at, end = np.log(4.0) / 0.7, 6.0

    def area(k: float, floor: float) -> float:
        at = np.log(2.0 / floor) / k
        above = (2.0 - floor) / k - floor * at
        below = floor * (end - at) - (floor - 2.0 * np.exp(-k * end)) / k
        whole = (2.0 - 2.0 * np.exp(-k * end)) / k
        return whole + 0.3 * (above + below)

    h = 1e-6
    slopes = [
        (area(0.7 + h, 0.5) - area(0.7 - h, 0.5)) / (2 * h),
        (area(0.7, 0.5 + h) - area(0.7, 0.5 - h)) / (2 * h),
    ]
    assert 0.0 < at < end
    np.testing.assert_allclose(tangent.derivatives[0, 0, 0], slopes, rtol=2e-6)


def test_models_without_conditions_on_states_have_no_surface() -> None:
    from teorell.lowering import lower

    model = tl.Model("time alone")
    k = model.parameter("k", 1.0)
    x = model.state("x", 1.0)
    model.flow(x, None, k * tl.where(model.time < 2.0, 1.0, 0.5) * x)
    model.output("x", tl.where(x > 0.5, x, 0.0))
    programs = lower(model)
    assert programs.conditions == ()
    assert programs.layout.n_surfaces == 0
    assert programs.layout.temp == programs.layout.g
    assert programs.surfaces.tolist() == [0]
