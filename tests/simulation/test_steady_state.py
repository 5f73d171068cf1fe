"""Steady state: against closed forms, against many simulated intervals, and its derivatives against
differences.
"""

from __future__ import annotations

import numpy as np
import pytest
import teorell as tl
from teorell import InputError, Regimen
from teorell.engine.batch import NO_STEADY_STATE

TIGHT = {"rtol": 1e-10, "atol": 1e-13}
TIMES = np.linspace(0.0, 30.0, 61)


def one_compartment(**rules):
    model = tl.Model("one compartment")
    cl, v, ka, lag, f, d = model.parameters(cl=1.1, v=20.0, ka=1.5, lag=0.0, f=0.7, d=3.0)
    depot, central = model.states("depot", "central")
    auc = model.state("auc")
    model.flow(depot, central, ka * depot)
    model.flow(central, None, cl / v * central)
    model.rate(auc, central / v)
    model.output("cp", central / v)
    model.output("auc", auc)
    named = {"lag": lag, "f": f, "d": d}
    if rules:
        model.dosing(central, **{rule: named[name] for rule, name in rules.items()})
    return model


def saturable():
    model = tl.Model("saturable")
    vmax, km, v, ka = model.parameters(vmax=10.0, km=2.0, v=20.0, ka=1.0)
    depot, central = model.states("depot", "central")
    model.flow(depot, central, ka * depot)
    model.flow(central, None, vmax * (central / v) / (km + central / v))
    model.output("cp", central / v)
    return model


def periodic_infusion(t, amount, width, every, k):
    """The amount at time t after a dose, t in [0, every), when an infusion over `width` starts
    every `every` for ever.
    """
    rate, total = amount / width, np.zeros_like(t)
    running = int(np.ceil(width / every))
    for j in range(running):
        age = t + j * every
        on = rate / k * (1.0 - np.exp(-k * age))
        off = rate / k * (1.0 - np.exp(-k * width)) * np.exp(-k * (age - width))
        total += np.where(age < width, on, off)
    after = rate / k * (np.exp(k * width) - 1.0)
    return total + after * np.exp(-k * (t + running * every)) / (1.0 - np.exp(-k * every))


@pytest.mark.parametrize("cl", [0.05, 1.1, 30.0])
def test_bolus(cl):
    model = one_compartment()
    regimen = Regimen.bolus(100, into="central", every=12, steady_state=True)
    solution = tl.simulate(model, {"cl": cl}, regimen, TIMES, **TIGHT)
    k = cl / 20.0
    expected = 100.0 / 20.0 / (1.0 - np.exp(-k * 12.0)) * np.exp(-k * TIMES)
    np.testing.assert_allclose(solution["cp"][0], expected, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(
        solution["auc"][0], (expected[0] - expected) / k, rtol=1e-8, atol=1e-9
    )
    assert solution["auc"][0, 0] == 0.0


@pytest.mark.parametrize("lag", [0.0, 2.5, 11.0])
@pytest.mark.parametrize("width", [0.5, 5.0, 12.0, 13.0, 24.0, 41.0])
def test_infusions_shorter_and_longer_than_their_interval(width, lag):
    model = one_compartment(lag="lag")
    regimen = Regimen.infusion(
        100, into="central", duration=width, every=12, doses=4, steady_state=True
    )
    solution = tl.simulate(model, {"lag": lag}, regimen, TIMES, **TIGHT)
    expected = periodic_infusion((TIMES - lag) % 12.0, 100.0, width, 12.0, 1.1 / 20.0) / 20.0
    np.testing.assert_allclose(solution["cp"][0], expected, rtol=2e-9)


def test_a_lag_brings_earlier_doses_forward():
    model = one_compartment(lag="lag", bioavailability="f")
    regimen = Regimen.bolus(100, into="central", every=12, doses=3, steady_state=True)
    solution = tl.simulate(model, {"lag": [0.0, 4.0, 11.9]}, regimen, TIMES + 1e-3, **TIGHT)
    k = 1.1 / 20.0
    for curve, lag in zip(solution["cp"], (0.0, 4.0, 11.9), strict=True):
        age = (TIMES + 1e-3 - lag) % 12.0
        np.testing.assert_allclose(
            curve, 3.5 / (1.0 - np.exp(-k * 12.0)) * np.exp(-k * age), rtol=1e-8
        )


def test_an_infusion_that_has_run_for_ever_ends_at_its_time():
    model = one_compartment()
    regimen = Regimen.infusion(0, into="central", rate=[10.0, 30.0], steady_state=True, time=5.0)
    solution = tl.simulate(model, {}, regimen, [4.0, 5.0, 6.0], **TIGHT)
    np.testing.assert_allclose(solution["cp"][:, 1], [10.0 / 1.1, 30.0 / 1.1], rtol=1e-9)
    np.testing.assert_allclose(
        solution["cp"][:, 2], solution["cp"][:, 1] * np.exp(-1.1 / 20.0), rtol=1e-9
    )
    assert (solution["cp"][:, 0] == 0.0).all()


@pytest.mark.parametrize("regimen", [
    Regimen.bolus(60, into="depot", every=12, doses=2, steady_state=True),
    Regimen.infusion(60, into="central", duration=5, every=12, doses=2, steady_state=True),
    Regimen.infusion(60, into="central", duration=15, every=12, doses=2, steady_state=True),
])  # fmt: skip
def test_saturable_elimination_agrees_with_simulated_intervals(regimen):
    model, (line,) = saturable(), regimen.lines
    parameters = {"vmax": np.array([8.0, 10.0, 30.0])}
    at = np.linspace(0.0, 12.0, 25)
    solution = tl.simulate(model, parameters, regimen, at, **TIGHT)
    make = Regimen.bolus if line.duration is None else Regimen.infusion
    more = {} if line.duration is None else {"duration": line.duration}
    many = make(60, into=line.into, every=12, doses=102, **more)
    simulated = tl.simulate(model, parameters, many, 1200.0 + at, **TIGHT)
    np.testing.assert_allclose(solution.values, simulated.values, rtol=1e-8)


def test_adding_to_what_is_there():
    """SS = 2 of a linear model: the sum of both curves."""
    model = one_compartment()
    first = Regimen.bolus(100, into="depot", every=24, doses=2, steady_state=True)
    second = Regimen.bolus(50, into="central", time=7, every=8, doses=4, steady_state="add")
    together = tl.simulate(model, {}, first + second, TIMES, outputs="cp", **TIGHT)
    alone = [
        tl.simulate(model, {}, one, TIMES, outputs="cp", **TIGHT).values for one in (first, second)
    ]
    np.testing.assert_allclose(together.values, sum(alone), rtol=1e-8, atol=1e-12)


def test_replacing_drops_what_was_there_and_what_was_to_come():
    model = one_compartment(lag="lag")
    before = Regimen.bolus(500, into="depot", every=4, doses=9) + Regimen.infusion(
        70, into="central", duration=30
    )
    steady = Regimen.bolus(100, into="central", time=10, every=12, steady_state=True)
    given = tl.simulate(model, {}, before + steady, TIMES[TIMES >= 10], outputs="cp", **TIGHT)
    alone = tl.simulate(model, {}, steady, TIMES[TIMES >= 10], outputs="cp", **TIGHT)
    np.testing.assert_allclose(given.values, alone.values, rtol=1e-9)


def binding(output="drug"):
    """An enzyme whose total nothing changes, besides what is given and leaves."""
    model = tl.Model("binding")
    kon, koff, kel, total = model.parameters(kon=0.5, koff=0.2, kel=0.3, total=5.0)
    drug, free, bound = model.states("drug", "free", "bound")
    model.initial(free, total)
    association = kon * drug * free - koff * bound
    model.rate(drug, -association - kel * drug)
    model.rate(free, -association)
    model.rate(bound, association)
    model.output(output, drug)
    model.output("total", free + bound)
    return model


def test_a_total_that_nothing_changes_is_kept():
    model = binding()
    regimen = Regimen.bolus(4, into="drug", every=6, doses=2, steady_state=True)
    many = Regimen.bolus(4, into="drug", every=6, doses=201)
    at = np.linspace(0.0, 6.0, 13)
    solution = tl.simulate(model, {"total": [1.0, 5.0]}, regimen, at, **TIGHT)
    simulated = tl.simulate(model, {"total": [1.0, 5.0]}, many, 199 * 6 + at, **TIGHT)
    np.testing.assert_allclose(
        solution["total"], np.broadcast_to([[1.0], [5.0]], (2, 13)), rtol=1e-9
    )
    np.testing.assert_allclose(solution["drug"], simulated["drug"], rtol=1e-8)


def test_what_cannot_leave_has_no_steady_state():
    model = one_compartment()
    regimen = Regimen.bolus(100, into="central", every=12, steady_state=True, time=2)
    solution = tl.simulate(model, {"cl": [1.0, 0.0, 2.0]}, regimen, [1.0, 3.0])
    assert solution.status.tolist() == [0, NO_STEADY_STATE, 0]
    assert solution.failure_time[1] == 2.0
    assert np.isnan(solution.values[1, 1]).all()
    assert np.isfinite(solution.values[[0, 2]]).all()
    with pytest.raises(tl.SimulationError, match="no steady state"):
        solution.raise_for_status()


def test_a_steady_state_after_the_last_sample_plays_no_part():
    model = one_compartment()
    regimen = Regimen.bolus(100, into="central", every=12, steady_state=True, time=20)
    solution = tl.simulate(model, {"cl": [1.0, 0.0]}, regimen, [1.0, 3.0])
    assert solution.status.tolist() == [0, 0]
    at_once = tl.simulate(model, {"cl": [1.0, 0.0]}, regimen, [20.0])
    assert at_once.status.tolist() == [0, NO_STEADY_STATE]
    assert np.isnan(at_once["cp"][1, 0])


def test_equations_with_the_time_have_none():
    model = tl.Model("circadian")
    x = model.state("x")
    model.flow(x, None, (1.0 + tl.sin(model.time)) * x)
    with pytest.raises(InputError, match="depends on time"):
        tl.simulate(model, {}, Regimen.bolus(1, into=x, every=12, steady_state=True), [1.0])


@pytest.mark.parametrize("width", [0.0, 5.0, 31.0])
@pytest.mark.parametrize("lag", [11.999999, 12.0, 17.0, 24.0, 30.5])
def test_a_lag_as_long_as_the_interval_or_longer(lag, width):
    """As a long train of doses gives it, of which those on their way have not come in yet."""
    model = one_compartment(lag="lag")
    give = Regimen.infusion if width else Regimen.bolus
    more = {"duration": width} if width else {}
    steady = give(100, into="central", every=12, doses=2, steady_state=True, time=1.0, **more)
    train = give(100, into="central", every=12, doses=102, **more)
    lags = {"lag": [1.0, lag]}
    found = tl.simulate(model, lags, steady, 1.0 + TIMES, outputs="cp", **TIGHT)
    expected = tl.simulate(model, lags, train, 1200.0 + TIMES, outputs="cp", **TIGHT)
    np.testing.assert_allclose(found["cp"], expected["cp"], rtol=1e-8)


def test_a_patient_alone_has_the_same_bits():
    model = saturable()
    vmax = np.array([8.0, 9.0, 10.0, 30.0, 60.0])
    regimen = Regimen.bolus(
        [60.0, 50, 40, 30, 20], into="depot", every=12, doses=2, steady_state=True
    )
    together = tl.simulate(model, {"vmax": vmax}, regimen, TIMES)
    for i in range(5):
        alone = tl.simulate(model, {"vmax": vmax[i : i + 1]}, regimen.part(i, i + 1), TIMES)
        np.testing.assert_array_equal(alone.values[0], together.values[i])


def test_records_followed_in_blocks_have_the_same_bits(monkeypatch):
    vmax = np.linspace(8.0, 60.0, 20)
    regimen = Regimen.bolus(40.0, into="depot", every=12, doses=2, steady_state=True)
    together = tl.simulate(saturable(), {"vmax": vmax}, regimen, TIMES).values
    monkeypatch.setattr("teorell.simulation.steady_state.BLOCK", 7)
    np.testing.assert_array_equal(
        tl.simulate(saturable(), {"vmax": vmax}, regimen, TIMES).values, together
    )


def test_equilibrium_without_doses():
    model = tl.Model("turnover")
    kin, kout, ke = model.parameters(kin=10.0, kout=0.5, ke=0.1)
    response, copy = model.states("response", "copy")
    model.flow(None, response, kin)
    model.flow(response, None, kout * response)
    model.rate(copy, ke * (response - copy))
    solution = tl.simulate(
        model, {"kout": [0.5, 2.0]}, None, [0.0, 7.0], start="equilibrium", **TIGHT
    )
    expected = np.array([[20.0, 20.0], [5.0, 5.0]])
    np.testing.assert_allclose(solution.values, np.stack([expected, expected], axis=1), rtol=1e-9)


GRADIENT_CASES = {
    "a long lag": (one_compartment(lag="lag"), {"cl": 0.7, "lag": 20.0},
                   lambda z: Regimen.bolus(z[0], "central", every=z[1], doses=2,
                   steady_state=True), [80.0, 9.0]),
    "a long lag of infusions": (one_compartment(lag="lag"), {"cl": 0.7, "lag": 20.0},
                                lambda z: Regimen.infusion(z[0], "central", duration=z[1],
                                every=z[2], doses=2, steady_state=True), [80.0, 14.0, 9.0]),
    "a total": (binding("cp"), {"total": 5.0, "kel": 0.3},
                lambda z: Regimen.bolus(z[0], "drug", every=z[1], steady_state=True), [4.0, 6.0]),
    "bolus": (one_compartment(lag="lag", bioavailability="f"), {"cl": 0.7, "lag": 2.0, "f": 0.6},
              lambda z: Regimen.bolus(z[0], "central", time=3.0 + z[1], every=z[2], doses=2,
              steady_state=True), [80.0, 0.5, 9.0]),
    "infusion": (one_compartment(lag="lag", bioavailability="f"), {"cl": 0.7, "lag": 2.0, "f": 0.6},
                 lambda z: Regimen.infusion(z[0], "central", duration=z[1], every=z[2], doses=2,
                 steady_state=True), [80.0, 14.0, 9.0]),
    "rate": (one_compartment(lag="lag", bioavailability="f"), {"cl": 0.7, "lag": 2.0, "f": 0.6},
             lambda z: Regimen.infusion(z[0], "central", rate=z[1], every=z[2], doses=2,
             steady_state=True), [80.0, 10.0, 9.0]),
    "modelled": (one_compartment(duration="d", bioavailability="f"), {"cl": 0.7, "d": 13.0,
    "f": 0.6},
                 lambda z: Regimen.infusion(z[0], "central", duration="modelled", every=z[1],
                 steady_state=True), [80.0, 9.0]),
    "for ever": (saturable(), {"vmax": 12.0, "km": 1.5},
                 lambda z: Regimen.infusion(0, "central", rate=z[0], time=4.0, steady_state=True),
                 [6.0]),
    "saturable": (saturable(), {"vmax": 12.0, "km": 1.5},
                  lambda z: Regimen.bolus(z[0], "depot", every=z[1], doses=2, steady_state=True),
                  [60.0, 11.0]),
    "added": (saturable(), {"vmax": 12.0, "km": 1.5},
              lambda z: Regimen.bolus(z[0], "depot", doses=1)
              + Regimen.bolus(z[0], "depot", time=z[1], every=14.0, steady_state="add"), [40.0,
              5.0]),
}  # fmt: skip


@pytest.mark.parametrize("name", GRADIENT_CASES)
def test_gradients_against_differences(name):
    model, parameters, regimen_of, numbers = GRADIENT_CASES[name]
    at = np.array([0.7, 4.3, 8.1, 12.9, 19.3])
    weights = np.array([1.0, -0.5, 0.8, 0.3, 1.2])[None, :, None]
    keys, point = list(parameters), np.array([*parameters.values(), *numbers])

    def loss(z):
        given = dict(zip(keys, z[: len(keys)], strict=True))
        solution = tl.simulate(
            model, given, regimen_of(z[len(keys) :]), at, outputs="cp", rtol=1e-12, atol=1e-14
        )
        return float((weights * solution.values).sum())

    steps = 1e-4 * point
    expected = []
    for k, h in enumerate(steps):
        moved = [
            loss(point + np.where(np.arange(len(point)) == k, s * h, 0.0)) for s in (-2, -1, 1, 2)
        ]
        expected.append((moved[0] - 8 * moved[1] + 8 * moved[2] - moved[3]) / (12 * h))
    regimen = regimen_of(point[len(keys) :])
    _, gradient = tl.value_and_grad(
        weights, model, parameters, regimen, at, outputs="cp", rtol=1e-11, atol=1e-13
    )
    _, *found = (0.0, *(float(gradient.parameters[key]) for key in keys))
    scale = np.abs(point * expected).max()
    np.testing.assert_allclose(np.array(found) * point[: len(keys)],
    expected[: len(keys)] * point[: len(keys)],
                               atol=1e-6 * scale)  # fmt: skip
    # By the numbers of the regimen, through forward sensitivities too.
    wrt = [*keys, *((0, field) for field in ("amount", "every", "duration", "rate", "time")
                    if getattr(regimen.lines[0], field) is not None
                    and (field != "every" or regimen.lines[0].has_interval))]  # fmt: skip
    jacobian = tl.jacobian(
        model, parameters, regimen, at, outputs="cp", wrt=wrt, rtol=1e-11, atol=1e-13
    )
    forward = (weights[..., None] * jacobian.derivatives).sum(axis=(0, 1, 2))
    backward = [
        float(
            gradient.parameters[key] if isinstance(key, str) else getattr(gradient.doses[0], key[1])
        )
        for key in wrt
    ]
    np.testing.assert_allclose(backward, forward, rtol=1e-7, atol=1e-9 * np.abs(forward).max())
    if name != "added":
        of_numbers = np.array([regimen_derivative(gradient.doses[0], regimen_of, point[len(keys) :],
        k)
                               for k in range(len(numbers))])  # fmt: skip
        np.testing.assert_allclose(
            of_numbers * numbers, np.array(expected[len(keys) :]) * numbers, atol=1e-6 * scale
        )


def regimen_derivative(doses, regimen_of, numbers, k):
    """d loss / d numbers[k] by the chain rule through the one field that it moves."""
    moved = regimen_of(numbers + np.eye(len(numbers))[k]).lines[0]
    line = regimen_of(numbers).lines[0]
    total = 0.0
    for field in ("amount", "time", "every", "duration", "rate"):
        if getattr(line, field) is not None and getattr(doses, field) is not None:
            total += float(getattr(doses, field)) * float(
                getattr(moved, field) - getattr(line, field)
            )
    return total


def test_totals_move_with_the_volumes_that_weigh_them():
    """Two concentrations exchange, faster while there is drug: both end at the mean by volume."""
    model = tl.Model("two volumes")
    p = {"v1": 2.0, "v2": 3.0, "q": 0.7, "a0": 5.0, "b0": 1.0}
    v1, v2, q, a0, b0 = model.parameters(**p)
    a, b = model.state("a", a0), model.state("b", b0)
    drug = model.state("drug")
    model.rate(a, -q * (1 + drug) * (a - b) / v1)
    model.rate(b, q * (1 + drug) * (a - b) / v2)
    model.flow(drug, None, 0.3 * drug)
    mean = (2.0 * 5.0 + 3.0) / 5.0
    expected = [(5.0 - mean) / 5.0, (1.0 - mean) / 5.0, 0.0, 0.4, 0.6]
    for regimen, start in (
        (Regimen.bolus(10.0, into=drug, every=6.0, steady_state=True), "initial"),
        (None, "equilibrium"),
    ):
        given = (model, p, regimen, [0.0, 3.0], "a")
        found = tl.jacobian(*given, wrt=list(p), start=start, **TIGHT)
        np.testing.assert_allclose(found.values[0, :, 0], mean, rtol=1e-9)
        np.testing.assert_allclose(found.derivatives[0, :, 0], [expected] * 2, rtol=1e-8, atol=1e-9)
        _, gradient = tl.value_and_grad(np.ones((1, 2, 1)), *given, start=start, **TIGHT)
        for name, slope in zip(p, expected, strict=True):
            np.testing.assert_allclose(
                gradient.parameters[name], 2.0 * slope, rtol=1e-8, atol=1e-9, err_msg=name
            )


def test_gradients_of_totals_that_a_bound_drug_takes_part_in():
    """A receptor as concentrations in two volumes: nonlinear flows, against differences."""
    model = tl.Model("bound")
    p = {"v1": 2.0, "v2": 3.0, "kon": 0.2}
    v1, v2, kon = model.parameters(**p)
    drug, complex_ = model.states("drug", "bound")
    free, deep = model.state("free", 5.0), model.state("deep", 1.0)
    binding, exchange = kon * drug * free - 0.1 * complex_, 0.7 * (free - deep)
    model.rate(drug, -v1 * binding)
    model.rate(complex_, binding)
    model.rate(free, -binding - exchange / v1)
    model.rate(deep, exchange / v2)
    model.flow(drug, None, 0.3 * drug)
    regimen = Regimen.bolus(20.0, into=drug, every=6.0, steady_state=True)
    weights = np.random.default_rng(1).standard_normal((1, 3, 4))

    def value(**moved):
        found = tl.simulate(model, p | moved, regimen, [0.0, 1.0, 3.0], **TIGHT)
        return (found.values * weights).sum()

    _, gradient = tl.value_and_grad(weights, model, p, regimen, [0.0, 1.0, 3.0], **TIGHT)
    tangents = tl.jacobian(model, p, regimen, [0.0, 1.0, 3.0], wrt=list(p), **TIGHT).derivatives
    for number, (name, at) in enumerate(p.items()):
        one, two = (
            (value(**{name: at + h}) - value(**{name: at - h})) / (2 * h)
            for h in (1e-3 * at, 2e-3 * at)
        )
        found = gradient.parameters[name]
        np.testing.assert_allclose(found, (4 * one - two) / 3, rtol=1e-6, err_msg=name)
        forward = (tangents[..., number] * weights).sum()
        np.testing.assert_allclose(found, forward, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("lag", [0.0, 0.5, 12.0, 30.0])
def test_a_later_record_is_a_longer_lag(lag):
    """All doses of the train come so much later, at a lag of no or of whole intervals too, where
    one comes in at the time of the record.
    """
    model = tl.Model("saturable with a lag")
    vmax, km, late = model.parameters(vmax=20.0, km=20.0, late=lag)
    body = model.state("body")
    model.flow(body, None, vmax * body / (km + body))
    model.dosing(body, lag=late)
    regimen = Regimen.bolus(100.0, into=body, time=0.2, every=12.0, doses=4, steady_state=True)
    at = [2.5, 5.0, 11.0, 12.6, 30.0]
    keys = ["late", (0, "time")]
    found = tl.jacobian(model, {"late": lag}, regimen, at, wrt=keys, **TIGHT).derivatives
    assert np.abs(found).max() > 1.0
    np.testing.assert_allclose(found[..., 0], found[..., 1], rtol=1e-7)
    _, gradient = tl.value_and_grad(np.ones((1, 5, 1)), model, {"late": lag}, regimen, at, **TIGHT)
    np.testing.assert_allclose(gradient.parameters["late"], found[..., 0].sum(), rtol=1e-9)


def test_the_status_is_that_of_the_core():
    assert tl.STATUS[NO_STEADY_STATE].startswith("no steady state")
