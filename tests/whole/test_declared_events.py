"""Events that a model declares: states and levels that change where a condition becomes true."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import teorell as tl

TIGHT: dict[str, Any] = {"rtol": 1e-11, "atol": 1e-13}


def ball() -> tl.Model:
    """A ball dropped from a height: each bounce leaves it a part of its speed."""
    model = tl.Model("ball")
    e, g, height = model.parameters(e=0.8, g=9.81, height=2.0)
    x = model.state("x", height, signed=True)
    v = model.state("v", signed=True)
    model.rate(x, v)
    model.rate(v, -g)
    model.event(when=x < 0.0, then={v: -e * v})
    model.output("x", x)
    model.output("v", v)
    return model


def height_of_ball(e: float, g: float, height: float, time: float) -> float:
    at, speed = np.sqrt(2.0 * height / g), np.sqrt(2.0 * height * g)
    if time < at:
        return height - 0.5 * g * time**2
    while True:
        speed *= e
        if time < at + 2.0 * speed / g:
            return speed * (time - at) - 0.5 * g * (time - at) ** 2
        at += 2.0 * speed / g


BALLS = [(0.8, 9.81, 2.0), (0.5, 1.62, 1.0), (0.95, 9.81, 0.3)]
TIMES = np.array([0.2, 0.9, 1.7, 2.6, 3.3])


def test_a_bouncing_ball() -> None:
    model = ball()
    e, g, height = np.array(BALLS).T
    times = TIMES[:4]
    given = {"e": e, "g": g, "height": height}
    for options in ({}, TIGHT):
        solution = tl.simulate(model, given, None, times, **options)
        assert (solution.status == 0).all()
        exact = [[height_of_ball(*each, t) for t in times] for each in BALLS]
        np.testing.assert_allclose(
            solution["x"], exact, atol=30 * options.get("rtol", 1e-6), rtol=0.0
        )
    weights = np.random.default_rng(1).normal(size=(3, len(times), 2))
    weights[..., 1] = 0.0
    _, gradient = tl.value_and_grad(weights, model, given, None, times, **TIGHT)
    tangents = tl.jacobian(model, given, None, times, wrt=list(given), **TIGHT).derivatives
    for number, name in enumerate(given):
        for row, each in enumerate(BALLS):
            up, down = list(each), list(each)
            up[number] += 1e-6
            down[number] -= 1e-6
            slope = [
                (height_of_ball(*up, t) - height_of_ball(*down, t)) / 2e-6  # type: ignore[call-arg]
                for t in times
            ]
            np.testing.assert_allclose(
                tangents[row, :, 0, number], slope, rtol=1e-6, atol=1e-6 * np.abs(slope).max()
            )
        along = (weights[..., 0] * tangents[:, :, 0, number]).sum(axis=1)
        np.testing.assert_allclose(
            gradient.parameters[name], along, rtol=1e-10, atol=1e-10 * np.abs(along).max()
        )


def test_bounces_without_an_end() -> None:
    """The times of the bounces have a limit, beyond which there is no solution."""
    limit = np.sqrt(2.0 * 2.0 / 9.81) * (1.0 + 2.0 * 0.5 / 0.5)
    solution = tl.simulate(ball(), {"e": 0.5}, None, [1.0, 3.0])
    assert solution.status[0] == 8
    np.testing.assert_allclose(solution.failure_time, limit, rtol=1e-4)
    with pytest.raises(tl.SimulationError, match="condition x < 0"):
        solution.raise_for_status()


def thermostat() -> tl.Model:
    model = tl.Model("thermostat")
    k, heat, low, high = model.parameters(k=0.5, heat=5.0, low=1.0, high=2.0)
    x = model.state("x", 3.0)
    on = model.level("on")
    model.rate(x, heat * on - k * x)
    model.event(when=x < low, then={on: 1.0})
    model.event(when=x > high, then={on: 0.0})
    model.output("x", x)
    return model


def thermostat_at(k: float, heat: float, low: float, high: float, time: float) -> float:
    x, on = 3.0, 0.0
    while True:
        rest, goal = heat * on / k, high if on else low
        until = np.log((x - rest) / (goal - rest)) / k
        if time < until:
            return rest + (x - rest) * np.exp(-k * time)
        time, x, on = time - until, goal, 1.0 - on


def test_hysteresis() -> None:
    model = thermostat()
    point = {"k": 0.5, "heat": 5.0, "low": 1.0, "high": 2.0}
    times = np.array([1.0, 3.7, 6.1, 9.3, 20.1])
    solution = tl.simulate(model, point, None, times)
    exact = [thermostat_at(*point.values(), t) for t in times]
    np.testing.assert_allclose(solution["x"][0], exact, rtol=3e-5)
    tangents = tl.jacobian(model, point, None, times, wrt=list(point), **TIGHT).derivatives[0, :, 0]
    weights = np.ones((1, len(times), 1))
    _, gradient = tl.value_and_grad(weights, model, point, None, times, **TIGHT)
    for number, name in enumerate(point):
        ends = []
        for sign in (1.0, -1.0):
            moved = point | {name: point[name] + sign * 1e-6}
            ends.append([thermostat_at(*moved.values(), t) for t in times])
        slope = (np.array(ends[0]) - np.array(ends[1])) / 2e-6
        np.testing.assert_allclose(tangents[:, number], slope, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(gradient.parameters[name], tangents[:, number].sum(), rtol=1e-10)


def rescue() -> tl.Model:
    """A dose whenever the amount has fallen to a trough."""
    model = tl.Model("rescue")
    k, trough, dose = model.parameters(k=0.3, trough=0.5, dose=1.5)
    x = model.state("x")
    doses = model.level("doses")
    model.flow(x, None, k * x)
    model.event(when=x < trough, then={x: x + dose, doses: doses + 1.0})
    model.output("x", x)
    model.output("doses", doses)
    return model


def test_rescue_doses_and_the_time_of_the_first() -> None:
    """n equal doses at known times; by everything, the time of the dose that begins it included."""
    model = rescue()
    k, trough, dose, first, at = 0.3, 0.5, 1.5, 2.0, 1.0
    interval = np.log((trough + dose) / trough) / k
    start = np.log(first / trough) / k
    times = at + start + interval * np.array([0.5, 1.5, 4.5])

    def exact(k: float, trough: float, dose: float, first: float, at: float) -> np.ndarray:
        interval = np.log((trough + dose) / trough) / k
        since = times - at - np.log(first / trough) / k
        return (trough + dose) * np.exp(-k * (since % interval))

    regimen = tl.Regimen.bolus(first, into="x", time=at)
    given = {"k": k, "trough": trough, "dose": dose}
    solution = tl.simulate(model, given, regimen, times)
    # true from the start: there the event does not act
    np.testing.assert_allclose(solution["x"][0], exact(k, trough, dose, first, at), rtol=1e-5)
    np.testing.assert_allclose(solution["doses"][0], [1.0, 2.0, 5.0])
    weights = np.zeros((1, 3, 2))
    weights[0, :, 0] = [1.0, -0.4, 0.7]
    _, gradient = tl.value_and_grad(weights, model, given, regimen, times, **TIGHT)
    point = [k, trough, dose, first, at]
    found = [
        *[float(gradient.parameters[name]) for name in given],
        float(gradient.doses[0].amount),
        float(gradient.doses[0].time),
    ]
    for number, got in enumerate(found):
        up, down = list(point), list(point)
        up[number] += 1e-6
        down[number] -= 1e-6
        slope = ((exact(*up) - exact(*down)) / 2e-6) @ weights[0, :, 0]
        np.testing.assert_allclose(got, slope, rtol=1e-6)
    end = float(times[-1])
    options: dict[str, Any] = TIGHT | {
        "reductions": [tl.AUC("x", end=end), tl.Cmax("x", start=4.0, end=end)]
    }
    jacobian = tl.jacobian(model, given, regimen, times, wrt=list(given), **options)
    for number, name in enumerate(given):
        ends = []
        for sign in (1.0, -1.0):
            moved = given | {name: given[name] + sign * 1e-5}
            curve = tl.simulate(model, moved, regimen, times, **options)
            ends.append([float(each[0]) for each in curve.reductions.values()])
        slope = (np.array(ends[0]) - np.array(ends[1])) / 2e-5
        got = [each[0, number] for each in jacobian.of_reductions.values()]
        np.testing.assert_allclose(got, slope, rtol=1e-6, atol=1e-8)
    sums = {"auc_x": 1.0, "cmax_x": 0.5}
    _, back = tl.value_and_grad(sums, model, given, regimen, times, **options)
    for number, name in enumerate(given):
        along = sum(w * jacobian.of_reductions[key][0, number] for key, w in sums.items())
        np.testing.assert_allclose(back.parameters[name], along, rtol=1e-9)


def test_a_dose_can_make_a_condition_true() -> None:
    """An action at the time of a dose moves with it; several actions come one after the other."""
    model = tl.Model("chain")
    k = model.parameter("k", 0.4)
    x, y, z = model.state("x"), model.state("y"), model.state("z")
    model.flow(x, y, k * x)
    model.flow(y, None, 0.2 * y)
    model.event(when=x > 1.0, then={y: y + 0.5 * x, x: 0.5 * x})
    model.event(when=y > 0.7, then={z: z + y * y})
    for name, state in (("x", x), ("y", y), ("z", z)):
        model.output(name, state)

    def curve(amount: float, at: float) -> np.ndarray:
        regimen = tl.Regimen.bolus(amount, into="x", time=at)
        return tl.simulate(model, None, regimen, [2.0, 3.0], **TIGHT).values[0]

    found = curve(1.6, 1.0)
    np.testing.assert_allclose(found[0, 2], 0.8**2, rtol=1e-9)
    np.testing.assert_allclose(found[0, 0], 0.8 * np.exp(-0.4), rtol=1e-9)
    weights = np.random.default_rng(2).normal(size=(1, 2, 3))
    regimen = tl.Regimen.bolus(1.6, into="x", time=1.0)
    _, gradient = tl.value_and_grad(weights, model, None, regimen, [2.0, 3.0], **TIGHT)
    h = 1e-5
    by_amount = ((curve(1.6 + h, 1.0) - curve(1.6 - h, 1.0)) / (2 * h) * weights[0]).sum()
    by_time = ((curve(1.6, 1.0 + h) - curve(1.6, 1.0 - h)) / (2 * h) * weights[0]).sum()
    np.testing.assert_allclose(gradient.doses[0].amount, by_amount, rtol=1e-6)
    np.testing.assert_allclose(gradient.doses[0].time, by_time, rtol=1e-6)


def test_an_event_at_a_time() -> None:
    model = tl.Model("timed")
    a, k = model.parameters(a=1.5, k=0.5)
    x = model.state("x", 1.0)
    model.flow(x, None, k * x)
    model.event(when=model.time >= a, then={x: 2.0 * x})
    model.output("x", x)
    given = {"a": np.array([1.5, 0.5, 9.0])}
    solution = tl.simulate(model, given, None, [1.0, 2.0])
    exact = np.exp(-0.5 * np.array([1.0, 2.0])) * np.where(given["a"][:, None] <= [1, 2], 2.0, 1.0)
    np.testing.assert_allclose(solution["x"], exact, rtol=1e-6)
    weights = np.ones((3, 2, 1))
    _, gradient = tl.value_and_grad(weights, model, given, None, [1.0, 2.0], rtol=1e-10)
    np.testing.assert_allclose(gradient.parameters["a"], 0.0, atol=1e-9)


def test_samples_beside_an_action() -> None:
    """At the time of an action a sample sees what it left, or what was before it."""
    model = tl.Model("sides")
    k = model.parameter("k", 0.5)
    x, y = model.state("x", 1.0), model.state("y")
    model.flow(x, None, k * x)
    model.event(when=model.time >= 1.5, then={x: 2.0 * x, y: x})
    model.event(when=x < 0.25, then={y: y + 10.0})
    model.output("x", x)
    model.output("y", y)
    before = tl.simulate(model, None, None, [1.5], samples="before").values[0, 0]
    after = tl.simulate(model, None, None, [1.5]).values[0, 0]
    np.testing.assert_allclose(before, [np.exp(-0.75), 0.0], rtol=1e-6)
    np.testing.assert_allclose(after, [2.0 * np.exp(-0.75), np.exp(-0.75)], rtol=1e-6)
    late = tl.simulate(model, None, None, [1.5, 9.0]).values[0]
    np.testing.assert_allclose(late[1, 1], 10.0 + np.exp(-0.75), rtol=1e-6)


def test_bits_of_events() -> None:
    rng = np.random.default_rng(7)
    model = rescue()
    given = {"k": rng.uniform(0.1, 0.6, 19), "trough": rng.uniform(0.1, 0.6, 19)}
    regimen = tl.Regimen.bolus(2.0, into="x", time=0.5)
    times = np.linspace(0.0, 20.0, 9)
    whole = tl.simulate(model, given, regimen, times, threads=2)
    assert (whole.status == 0).all()
    interpreted = tl.simulate(model, given, regimen, times, executor="interpreter")
    assert whole.values.tobytes() == interpreted.values.tobytes()
    alone = tl.simulate(model, {n: v[11] for n, v in given.items()}, regimen, times[::2])
    assert alone.values[0].tobytes() == whole.values[11, ::2].tobytes()


def test_mistakes() -> None:
    model = tl.Model("mistakes")
    k = model.parameter("k", 1.0)
    x, y = model.state("x", 1.0), model.state("y")
    model.flow(x, y, k * x)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"when": x < 0.5, "then": {k: 2.0}}, r"changes parameter 'k'.*model.level"),
        ({"when": k < 0.5, "then": {x: 2.0}}, "never changes"),
        ({"when": x, "then": {x: 2.0}}, "no comparison"),
        ({"when": x < 0.5, "then": {}}, "without an action"),
        ({"when": x < 0.5, "then": None}, "without an action"),
        ({"when": x < 0.5, "then": {"z": 1.0}}, "unknown state 'z'"),
        ({"when": x < 0.5, "then": {x: 1.0, "x": 2.0}}, "changes 'x' twice"),
        ({"when": x < 0.5, "then": {x: float("nan")}}, "NaN|nan"),
    ]
    for given, message in wrong:
        with pytest.raises(tl.ModelError, match=message):
            model.event(**given)
    assert model.events == ()
    model.event(when=x < 0.5, then={"y": y + 1.0})
    assert "y becomes" in model.describe()


def test_mistakes_of_equalities_and_infusions() -> None:
    model = tl.Model("mistakes")
    x, on = model.state("x", 1.0), model.level("on")
    model.flow(x, None, x)
    wrong: list[tuple[Any, Any, str]] = [
        (x == 0.5, {on: 1.0}, "never found at it"),
        ((on == 1.0) & (2.0 * x == on), {on: 0.0}, "never found at it"),
        (x < 0.5, {x: tl.Infusion(1.0, 0.0)}, "must be above 0"),
        (x < 0.5, {x: tl.Infusion(1.0, "long")}, "duration of an infusion"),
        (x < 0.5, 3.0, "what an event does is a float"),
        (x < 0.5, tl.Regimen.bolus(1.0, "x", every=2.0, doses=2), "one dose, at the time"),
        (x < 0.5, tl.Regimen.bolus([1.0, 2.0], "x"), "one dose, at the time"),
        (x < 0.5, tl.Regimen.infusion(1.0, "x", duration="modelled"), "how long it runs"),
        (x < 0.5, tl.Regimen.bolus(1.0, "x") + tl.Regimen.bolus(2.0, "x"), "two doses into 'x'"),
        (x < 0.5, tl.Regimen.none(), "without an action"),
    ]
    for when, then, message in wrong:
        with pytest.raises(tl.ModelError, match=message):
            model.event(when=when, then=then)
    assert model.events == ()
    assert model.state_names == ("x", "on")


def test_an_equality_of_a_level() -> None:
    model = tl.Model("count")
    x, a, b = model.state("x", 1.0), model.level("a"), model.level("b")
    model.flow(x, None, x)
    model.event(when=x < 0.5, then={x: 1.0, a: a + 1.0})
    model.event(when=a == 2.0, then={b: b + 10.0})
    model.output("b", b)
    times = np.log(2.0) * np.array([1.5, 2.5, 4.5])
    np.testing.assert_allclose(tl.simulate(model, None, None, times)["b"][0], [0.0, 10.0, 10.0])


@pytest.mark.parametrize("as_regimen", [False, True])
def test_an_infusion_as_an_action(as_regimen: bool) -> None:
    """x falls to a trough; from there on it is infused for a while, and falls again."""
    model = tl.Model("infused")
    k, trough, amount, long = model.parameters(k=0.4, trough=0.5, amount=1.2, long=2.0)
    x = model.state("x", 2.0)
    model.flow(x, None, k * x)
    given = {x: tl.Infusion(amount, long)}
    regimen = tl.Regimen.infusion(1.2, into="x", duration=2.0)
    model.event(when=x < trough, then=regimen if as_regimen else given)
    model.output("x", x)
    times = np.array([2.0, 4.0, 5.4, 6.0, 7.0])
    point = {"k": 0.4, "trough": 0.5} | ({} if as_regimen else {"amount": 1.2, "long": 2.0})

    def exact(k: float, trough: float, amount: float = 1.2, long: float = 2.0) -> np.ndarray:
        at, rest = np.log(2.0 / trough) / k, amount / long / k
        during = rest + (trough - rest) * np.exp(-k * (times - at))
        top = rest + (trough - rest) * np.exp(-k * long)
        after = top * np.exp(-k * (times - at - long))
        early = 2.0 * np.exp(-k * times)
        return np.where(times < at, early, np.where(times < at + long, during, after))

    solution = tl.simulate(model, point, None, times)
    np.testing.assert_allclose(solution["x"][0], exact(**point), rtol=1e-5)
    tangents = tl.jacobian(model, point, None, times, wrt=list(point), **TIGHT).derivatives
    weights = np.random.default_rng(8).normal(size=(1, len(times), 1))
    _, gradient = tl.value_and_grad(weights, model, point, None, times, **TIGHT)
    for number, name in enumerate(point):
        ends = [exact(**(point | {name: point[name] + h})) for h in (1e-6, -1e-6)]
        np.testing.assert_allclose(
            tangents[0, :, 0, number], (ends[0] - ends[1]) / 2e-6, rtol=1e-7, atol=1e-8
        )
        along = (weights[0, :, 0] * tangents[0, :, 0, number]).sum()
        np.testing.assert_allclose(gradient.parameters[name], along, rtol=1e-10)


def test_an_infusion_that_begins_while_one_runs() -> None:
    """All of both is given, and they add up at a dose of the regimen."""
    model = tl.Model("again")
    x, y = model.state("x"), model.state("y")
    model.flow(x, None, 0.5 * x)
    model.event(when=x > 1.0, then={y: tl.Infusion(3.0, 4.0)})
    model.output("y", y)
    regimen = tl.Regimen.bolus(1.5, into="x", every=2.0, doses=2)
    regimen = regimen + tl.Regimen.infusion(1.0, into="y", duration=1.0)
    solution = tl.simulate(model, None, regimen, [1.0, 2.0, 3.0, 6.0, 9.0], rtol=1e-9)
    # from 2 on what is left of the first, 1.5, and 3 are given until 6
    np.testing.assert_allclose(solution["y"][0], [1.75, 2.5, 3.625, 7.0, 7.0], rtol=1e-8)


def by_scipy(p: dict[str, float], end: float) -> np.ndarray:
    """The states x, y, z and on of the model below at a time, by SciPy's location of events."""
    integrate = pytest.importorskip("scipy.integrate")

    def rates(_: float, u: Any, above: bool) -> list[float]:
        out = p["k"] * u[0] * (1.0 + 0.5 * u[3])
        return [-out, out - p["k"] * u[1], u[1] * (1.0 if above else 0.2) - 0.4 * u[2], 0.0]

    def low(_: float, u: Any) -> float:
        return float(p["low"] - u[0] - 0.5 * u[1])

    def high(_: float, u: Any) -> float:
        return float(u[2] - p["high"])

    def half(_: float, u: Any) -> float:
        return float(u[0] - 0.9)

    t, u = 0.0, np.array([1.5, 0.3, 0.0, 0.0])
    while True:
        above = bool(u[0] > 0.9) if abs(u[0] - 0.9) > 1e-9 else False
        for event, way in ((low, 1.0), (high, 1.0), (half, -1.0 if above else 1.0)):
            event.terminal, event.direction = True, way  # type: ignore[attr-defined]
        found = integrate.solve_ivp(
            lambda t, u, above=above: rates(t, u, above),
            (t, end),
            u,
            events=(low, high, half),
            method="DOP853",
            rtol=1e-11,
            atol=1e-13,
        )
        t, u = found.t[-1], found.y[:, -1].copy()
        if found.status != 1:
            return u
        which = next(k for k in range(3) if len(found.t_events[k]))
        if which == 0:
            u[0] += p["more"]
        elif which == 1:
            u[2:] = [0.3 * u[2], 1.0 - u[3]]


def test_against_the_location_of_events_by_scipy() -> None:
    model = tl.Model("two events and a rate")
    k, low, high, more = model.parameters(k=0.5, low=0.5, high=0.3, more=0.7)
    x, y, z = model.state("x", 1.5), model.state("y", 0.3), model.state("z")
    on = model.level("on")
    model.flow(x, y, k * x * (1.0 + 0.5 * on))
    model.flow(y, None, k * y)
    model.flow(None, z, y * tl.where(x > 0.9, 1.0, 0.2))
    model.flow(z, None, 0.4 * z)
    model.event(when=x + 0.5 * y < low, then={x: x + more})
    model.event(when=z > high, then={z: 0.3 * z, on: 1.0 - on})
    for name, state in (("x", x), ("y", y), ("z", z), ("on", on)):
        model.output(name, state)
    rng = np.random.default_rng(12)
    given = {
        "k": rng.uniform(0.3, 0.9, 3),
        "low": rng.uniform(0.4, 0.7, 3),
        "high": rng.uniform(0.15, 0.35, 3),
        "more": rng.uniform(0.3, 1.0, 3),
    }
    solution = tl.simulate(model, given, None, [3.0, 8.0], rtol=1e-10, atol=1e-12)
    assert (solution.status == 0).all()
    for row in range(3):
        point = {name: float(each[row]) for name, each in given.items()}
        for which, end in enumerate((3.0, 8.0)):
            np.testing.assert_allclose(solution.values[row, which], by_scipy(point, end), atol=2e-8)
    weights = rng.normal(size=(3, 2, 4))
    weights[..., 3] = 0.0
    _, gradient = tl.value_and_grad(weights, model, given, None, [3.0, 8.0], **TIGHT)
    tangents = tl.jacobian(model, given, None, [3.0, 8.0], wrt=list(given), **TIGHT).derivatives
    for number, name in enumerate(given):
        along = (weights * tangents[..., number]).sum(axis=(1, 2))
        size = np.abs(weights * tangents[..., number]).sum(axis=(1, 2)).max()
        np.testing.assert_allclose(gradient.parameters[name], along, atol=1e-10 * size)
        ends = [
            tl.simulate(model, given | {name: given[name] + h}, None, [3.0, 8.0], **TIGHT).values
            for h in (1e-6, -1e-6)
        ]
        slope = (weights * (ends[0] - ends[1])).sum(axis=(1, 2)) / 2e-6
        np.testing.assert_allclose(along, slope, rtol=1e-6, atol=1e-6 * size)


def test_thousands_of_events_between_two_doses() -> None:
    """4,000 are counted right; beyond 5,000, each a crossing and an action, they have no end."""
    model = tl.Model("clock")
    speed = model.parameter("speed", 1.0)
    x, ticks = model.state("x"), model.level("ticks")
    model.flow(None, x, speed)
    model.event(when=x > 1.0, then={x: x - 1.0, ticks: ticks + 1.0})
    model.output("x", x)
    model.output("ticks", ticks)
    solution = tl.simulate(model, {"speed": [4000.5, 6000.5]}, None, [1.0])
    assert solution.status.tolist() == [0, 8]
    np.testing.assert_allclose(solution.values[0, 0], [0.5, 4000.0], rtol=1e-6)
    with pytest.raises(tl.SimulationError, match=r"(?s)without an end.*condition 1 < x"):
        solution.raise_for_status()
    _, gradient = tl.value_and_grad(np.array([[[1.0, 0.0]]]), model, {"speed": 4000.5}, None, [1.0])
    np.testing.assert_allclose(gradient.parameters["speed"], 1.0, rtol=1e-9)
