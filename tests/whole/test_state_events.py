"""Conditions on states: located crossings, their curves and derivatives against closed forms and
differences, the same bits however they are run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import teorell as tl
from teorell.model.expression import Expression

TIGHT: dict[str, Any] = {"rtol": 1e-11, "atol": 1e-13}
TIMES = np.array([0.4, 1.3, 2.0, 3.1])


def decay(condition: Callable[..., Expression]) -> tl.Model:
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


def test_areas_under_an_output_that_jumps() -> None:
    """The area is right; its derivative is that of a state, and refused for the output."""
    model = tl.Model("flag")
    k, thr = model.parameters(k=0.5, thr=1.0)
    x, above = model.state("x", 2.0), model.state("above")
    model.flow(x, None, k * x)
    model.flow(None, above, tl.where(x > thr, 1.0, 0.0))
    model.output("flag", tl.where(x > thr, 1.0, 0.0))
    model.output("above", above)
    reductions = [tl.AUC("flag", end=6.0)]
    solution = tl.simulate(model, None, None, [6.0], reductions=reductions)
    exact_area = np.log(2.0) / 0.5
    np.testing.assert_allclose(solution.reductions["auc_flag"], exact_area, rtol=1e-3)
    np.testing.assert_allclose(solution["above"], exact_area, rtol=1e-6)
    with pytest.raises(tl.InputError, match="Let a state of the model integrate it"):
        tl.jacobian(model, {"thr": 1.0}, None, [6.0], wrt=["thr"], reductions=reductions)
    slope = tl.jacobian(model, {"thr": 1.0}, None, [6.0], ["above"], wrt=["thr"], **TIGHT)
    np.testing.assert_allclose(slope.derivatives.ravel(), -2.0, rtol=1e-8)


def test_a_kink_at_which_a_state_stands() -> None:
    """max(x, 0) of a state that is empty and stays so for a while: no step, no NaN."""
    model = tl.Model("late")
    a, b = model.parameters(a=1.0, b=0.7)
    gut, x, y = model.state("gut", 1.0), model.state("x", signed=True), model.state("y")
    deep = model.state("deep", signed=True)
    model.flow(gut, x, a * gut)
    model.flow(x, deep, b * x)
    model.flow(None, y, tl.max(deep, 0.0) + tl.where(deep > 0.0, b * deep, 0.0))
    model.output("y", y)
    point = {"a": 1.0, "b": 0.7}
    jacobian = tl.jacobian(model, point, None, [3.0], wrt=["a", "b"], **TIGHT)
    _, gradient = tl.value_and_grad(np.ones((1, 1, 1)), model, point, None, [3.0], **TIGHT)
    for number, name in enumerate(point):
        ends = [
            tl.simulate(model, point | {name: point[name] + h}, None, [3.0], **TIGHT)["y"][0, 0]
            for h in (1e-5, -1e-5)
        ]
        slope = (ends[0] - ends[1]) / 2e-5
        np.testing.assert_allclose(jacobian.derivatives[0, 0, 0, number], slope, rtol=1e-7)
        np.testing.assert_allclose(gradient.parameters[name], slope, rtol=1e-7)


def test_a_kink_at_time_0_is_no_failure() -> None:
    """A distance that vanishes with the time, whatever the state: its side is noise at first."""
    values = []
    for size in (tl.abs, lambda expr: expr):
        model = tl.Model("product")
        k = model.parameter("k", 0.8)
        gut, x, y = model.state("gut", 1.0), model.state("x"), model.state("y")
        model.flow(gut, x, k * gut)
        model.flow(None, y, size(model.time * x / (1.0 + size(x))))
        model.output("y", y)
        solution = tl.simulate(model, {"k": [0.8, 0.0]}, None, [1.0, 5.0], rtol=1e-9, atol=1e-11)
        assert (solution.status == 0).all()
        values.append(solution.values)
    np.testing.assert_allclose(values[0], values[1], rtol=1e-7)


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
    assert programs.layout.scratch == programs.layout.g  # empty, as all behind
    assert programs.surfaces.tolist() == [0]


def one_state(rate: Callable[[Expression, Expression], Expression], **state: Any) -> Any:
    """The model x' = rate(x, time), as a function of times: its solution."""
    model = tl.Model("one state")
    x = model.state("x", **state)
    model.rate(x, rate(x, model.time))
    model.output("x", x)
    return lambda times, regimen=None, **options: tl.simulate(
        model, None, regimen, times, **options
    )


def test_sliding_ends_soon_and_names_the_condition() -> None:
    run = one_state(lambda x, t: tl.where(x < 1.0, 1.0, -1.0), signed=True)
    solution = run([0.5, 1.5])
    assert solution.status[0] == 8
    assert solution.steps[0] < 10
    np.testing.assert_allclose(solution.failure_time, 1.0, rtol=1e-9)
    np.testing.assert_allclose(solution["x"][0], [0.5, np.nan], rtol=1e-9)
    with pytest.raises(tl.SimulationError, match=r"status 8 at 1 h after .*; condition x < 1"):
        solution.raise_for_status()
    start = one_state(lambda x, t: tl.where(x < 1.0, 1.0, -1.0), signed=True, initial=1.0)([1.0])
    assert (start.status[0], start.failure_time[0]) == (8, 0.0)


def test_elimination_of_order_zero_ends_where_nothing_is_left() -> None:
    model = tl.Model("zero order")
    k = model.parameter("k", 0.8)
    x = model.state("x", 1.0)
    model.flow(x, None, k * tl.where(x > 0.0, 1.0, 0.0))
    model.output("x", x)
    regimen = tl.Regimen.bolus(0.5, into="x", time=2.0)
    solution = tl.simulate(model, None, regimen, [1.0, 1.5, 2.0, 2.5, 4.0])
    assert solution.status[0] == 0
    np.testing.assert_allclose(solution["x"][0], [0.2, 0.0, 0.5, 0.1, 0.0], atol=1e-8)


@pytest.mark.parametrize("way", [1.0, -1.0])
def test_a_start_on_the_threshold(way: float) -> None:
    """The side is that to which the state goes."""
    run = one_state(lambda x, t: way * tl.where(x > 1.0, 2.0, 1.0), signed=True, initial=1.0)
    solution = run([0.5, 1.0])
    rate = 2.0 if way > 0.0 else -1.0
    np.testing.assert_allclose(solution["x"][0], 1.0 + rate * np.array([0.5, 1.0]), atol=1e-12)


def test_a_threshold_passed_in_the_first_step_after_a_dose() -> None:
    """A dose ends just above a threshold; one just below it; one upon it."""
    model = decay(CONDITIONS["x > thr"])
    for off in (1e-13, 1e-9, 1e-6, 0.0, -1e-13, -1e-9):
        after = 2.5 + off
        regimen = tl.Regimen.bolus(after - 2.0 * np.exp(-0.06), into="x", time=0.3)
        given = {"thr": 2.5, "k": 1.0}
        solution = tl.simulate(model, given, regimen, [0.4], rtol=1e-10, atol=1e-13)
        assert solution.status[0] == 0
        until = max(0.0, np.log(after / 2.5))
        exact_value = min(after, 2.5) * np.exp(-0.2 * (0.1 - until))
        np.testing.assert_allclose(solution["x"][0, 0], exact_value, rtol=1e-9)


def test_two_thresholds_at_once() -> None:
    """Two states that pass their thresholds together: each has its own time of doing so."""
    model = tl.Model("twins")
    a, b = model.parameters(a=1.0, b=1.0)
    x, z, y = model.state("x", 2.0), model.state("z", 2.0), model.state("y")
    model.flow(x, None, a * x)
    model.flow(z, None, b * z)
    model.flow(None, y, tl.where(x > 1.0, 0.0, 1.0) + tl.where(z > 1.0, 0.0, 2.0))
    model.output("y", y)
    jacobian = tl.jacobian(model, {"a": 1.0, "b": 1.0}, None, [2.0], wrt=["a", "b"], **TIGHT)
    at = np.log(2.0)
    np.testing.assert_allclose(jacobian.derivatives[0, 0, 0], [at, 2.0 * at], rtol=1e-9)
    value, gradient = tl.value_and_grad(
        np.ones((1, 1, 1)), model, {"a": 1.0, "b": 1.0}, None, [2.0], **TIGHT
    )
    np.testing.assert_allclose(value, 3.0 * (2.0 - at), rtol=1e-9)
    np.testing.assert_allclose(gradient.parameters["b"], 2.0 * at, rtol=1e-9)


def test_an_equality_holds_where_it_stays() -> None:
    model = tl.Model("equality")
    x, flag, y = model.state("x"), model.state("flag", 1.0), model.state("y")
    model.rate(x, 1.0)
    model.rate(y, tl.where(x == 1.0, 100.0, 0.0) + tl.where(flag == 1.0, 1.0, 0.0))
    model.output("y", y)
    regimen = tl.Regimen.bolus(1.0, into="flag", time=2.0)
    solution = tl.simulate(model, None, regimen, [0.5, 1.0, 3.0])
    np.testing.assert_allclose(solution["y"][0], [0.5, 1.0, 2.0], rtol=1e-9)


def test_a_threshold_that_is_touched() -> None:
    """A parabola that touches zero is never below it; one a little lower is, for a while."""
    model = tl.Model("graze")
    low = model.parameter("low", 0.0)
    x, v, y = model.state("x", signed=True), model.state("v", -2.0, signed=True), model.state("y")
    model.initial(x, 1.0 - low)
    model.rate(x, v)
    model.rate(v, 2.0)
    model.rate(y, tl.where(x <= 0.0, 1.0, 0.0))
    model.output("y", y)
    low_by = np.array([-1e-3, 0.0, 1e-3, 0.04])
    solution = tl.simulate(model, {"low": low_by}, None, [3.0], rtol=1e-8)
    assert (solution.status == 0).all()
    exact_values = 2.0 * np.sqrt(np.maximum(low_by, 0.0))
    np.testing.assert_allclose(solution["y"][:, 0], exact_values, rtol=1e-6, atol=1e-9)


def test_thousands_of_crossings_are_counted_and_then_given_up() -> None:
    model = tl.Model("oscillator")
    w = model.parameter("w", 300.0)
    x, v, y = model.state("x", 1.0, signed=True), model.state("v", signed=True), model.state("y")
    model.rate(x, w * v)
    model.rate(v, -w * x)
    model.rate(y, tl.where(x > 0.0, 1.0, 0.0))
    model.output("y", y)
    options = {"rtol": 1e-5, "executor": "machine_code"}
    solution = tl.simulate(model, {"w": [300.0, 3000.0]}, None, [12.0], **options)
    assert solution.status.tolist() == [0, 8]
    np.testing.assert_allclose(solution["y"][0, 0], 6.0, rtol=1e-3)
    assert 9.0 < solution.failure_time[1] < 11.0
    with pytest.raises(tl.SimulationError, match="condition 0 < x"):
        solution.raise_for_status()


def test_a_root_in_the_branch_of_its_condition() -> None:
    """The branch has no value beyond its condition, where a step would look."""
    run = one_state(lambda x, t: -tl.where(x > 0.0, tl.sqrt(x), 0.0), initial=1.0)
    solution = run([1.0, 1.9, 3.0])
    assert solution.status[0] == 0
    np.testing.assert_allclose(solution["x"][0], [0.25, 0.0025, 0.0], rtol=2e-4, atol=1e-8)


def test_extrema_at_a_crossing() -> None:
    """The largest amount is reached where an input stops at a threshold of another state."""
    model = tl.Model("stops")
    k, thr = model.parameters(k=0.5, thr=0.4)
    clock, x = model.state("clock"), model.state("x")
    model.flow(None, clock, 1.0 - k * clock)
    model.flow(None, x, tl.where(clock < thr, 1.0 + clock, 0.0))
    model.flow(x, None, 0.1 * x)
    model.output("x", x)
    reductions = [tl.Cmax("x", end=6.0), tl.AUC("x", end=6.0)]
    options: dict[str, Any] = {"rtol": 1e-11, "atol": 1e-13, "reductions": reductions}
    point = {"k": 0.5, "thr": 0.4}
    jacobian = tl.jacobian(model, point, None, [6.0], wrt=["k", "thr"], **options)
    for number, name in enumerate(point):
        found = []
        for sign in (1.0, -1.0):
            moved = point | {name: point[name] + sign * 1e-5}
            solution = tl.simulate(model, moved, None, [6.0], **options)
            found.append([float(each[0]) for each in solution.reductions.values()])
        slope = (np.array(found[0]) - np.array(found[1])) / 2e-5
        got = [each[0, number] for each in jacobian.of_reductions.values()]
        np.testing.assert_allclose(got, slope, rtol=1e-6)
    weights = {"cmax_x": 1.0, "auc_x": 0.3}
    _, gradient = tl.value_and_grad(weights, model, point, None, None, **options)
    for number, name in enumerate(point):
        along = sum(w * jacobian.of_reductions[key][0, number] for key, w in weights.items())
        np.testing.assert_allclose(gradient.parameters[name], along, rtol=1e-10)


def relay_by_scipy(w: float, d: float, thr: float, push: float, end: float) -> np.ndarray:
    """The state of the relay below at a time, stopped and started anew at each crossing."""
    integrate = pytest.importorskip("scipy.integrate")

    def rates(_: float, y: Any, side: float) -> list[float]:
        force = -w * y[0] * (1.0 + 0.1 * y[0] ** 2) - push * side
        return [w * y[1] - d * y[0], force]

    def distance(_: float, y: Any, side: float) -> float:
        return float(side * (y[0] ** 2 - thr))

    distance.terminal, distance.direction = True, -1.0  # type: ignore[attr-defined]
    t, state, side = 0.0, np.array([1.0, 0.0]), 1.0
    while t < end:
        found = integrate.solve_ivp(
            rates, (t, end), state, events=distance, args=(side,), rtol=1e-11, atol=1e-13
        )
        t, state = found.t[-1], found.y[:, -1]
        side = -side if found.status == 1 else side
    return state


def test_against_the_events_of_scipy() -> None:
    model = tl.Model("relay")
    w, d, thr, push = model.parameters(w=2.0, d=0.3, thr=0.2, push=1.0)
    x, v = model.state("x", 1.0, signed=True), model.state("v", signed=True)
    model.rate(x, w * v - d * x)
    model.rate(v, -w * x * (1.0 + 0.1 * x * x) + push * tl.where(x * x > thr, -1.0, 1.0))
    model.output("x", x)
    model.output("v", v)
    rng = np.random.default_rng(11)
    given = {
        "w": rng.uniform(1.0, 3.0, 6),
        "d": rng.uniform(0.1, 0.5, 6),
        "thr": rng.uniform(0.2, 0.4, 6),
        "push": rng.uniform(0.1, 0.3, 6),
    }
    solution = tl.simulate(model, given, None, [2.0, 4.0], rtol=1e-9, atol=1e-11)
    assert (solution.status == 0).all()
    for row, point in enumerate(zip(*given.values(), strict=True)):
        for which, end in enumerate((2.0, 4.0)):
            exact_state = relay_by_scipy(*map(float, point), end)
            np.testing.assert_allclose(solution.values[row, which], exact_state, atol=2e-8)
