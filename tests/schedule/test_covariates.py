"""Parameters that change over time: against exact solutions, and their derivatives against
differences.
"""

from __future__ import annotations

import numpy as np
import pytest
import teorell as tl
from teorell import InputError, Regimen
from teorell.derivatives.differentiate import _numpy_problem
from teorell.derivatives.wrt import entry_of

TIGHT = {"rtol": 1e-11, "atol": 1e-13}
TIMES = np.array([0.0, 1.0, 3.9, 4.0, 4.5, 9.0, 10.0, 12.0])


def one_compartment():
    model = tl.Model("one compartment")
    cl, v, lag = model.parameters(cl=2.0, v=10.0, lag=0.0)
    central = model.state("central", 5.0 * v)
    model.flow(central, None, cl / v * central)
    model.output("cp", central / v)
    model.dosing(central, lag=lag)
    return model


def integral(times, starts, values):
    """Of a step function from 0 to each time."""
    ends = np.append(starts[1:], np.inf)
    return np.array(
        [
            sum(v * max(0.0, min(t, e) - s) for s, e, v in zip(starts, ends, values, strict=True))
            for t in times
        ]
    )


@pytest.mark.parametrize("executor", ["machine_code", "interpreter"])
def test_a_clearance_that_changes(executor):
    values = np.array([[2.0, 5.0, 1.0], [1.0, 1.0, 8.0], [3.0, 0.0, 2.0]])
    steps = tl.stepwise([0.0, 4.0, 9.5], values)
    solution = tl.simulate(
        one_compartment(), {"cl": steps}, None, TIMES, executor=executor, **TIGHT
    )
    for curve, own in zip(solution["cp"], values, strict=True):
        np.testing.assert_allclose(
            curve, 5.0 * np.exp(-integral(TIMES, np.array([0.0, 4.0, 9.5]), own) / 10.0), rtol=1e-9
        )


def test_a_patient_alone_has_the_same_bits():
    values = np.array([[2.0, 5.0, 1.0], [1.0, 1.0, 8.0], [3.0, 0.0, 2.0]])
    regimen = Regimen.bolus(50, into="central", every=3, doses=3)
    together = tl.simulate(
        one_compartment(), {"cl": tl.stepwise([0.0, 4.0, 9.5], values)}, regimen, TIMES
    )
    for i, own in enumerate(values):
        alone = tl.simulate(
            one_compartment(), {"cl": tl.stepwise([0.0, 4.0, 9.5], own)}, regimen, TIMES
        )
        np.testing.assert_array_equal(alone.values[0], together.values[i])


def test_one_schedule_for_patients_who_differ_otherwise():
    steps = tl.stepwise([0.0, 4.0], [2.0, 5.0])
    together = tl.simulate(
        one_compartment(), {"cl": steps, "v": [10.0, 20.0]}, None, TIMES, **TIGHT
    )
    expected = [
        5.0 * np.exp(-integral(TIMES, np.array([0.0, 4.0]), [2.0, 5.0]) / v) for v in (10.0, 20.0)
    ]
    np.testing.assert_allclose(together["cp"], expected, rtol=1e-9)


def test_rules_of_doses_take_the_value_at_the_record():
    steps = tl.stepwise([0.0, 4.0], [1.0, 3.0])
    parameters = {"lag": steps, "cl": 0.0}
    regimen = Regimen.bolus(10, "central", time=2.0) + Regimen.bolus(10, "central", time=6.0)
    at = [2.9, 3.1, 8.9, 9.1]
    found = tl.simulate(one_compartment(), parameters, regimen, at, **TIGHT)["cp"][0]
    np.testing.assert_allclose(found, [5.0, 6.0, 6.0, 7.0], rtol=1e-12)


@pytest.mark.parametrize("shared", [True, False])
def test_gradients_against_differences(shared):
    """By every value, by one that doses' lag takes, and by a parameter that stays; both ways."""
    model = one_compartment()
    rng = np.random.default_rng(0)
    starts = [0.0, 4.0, 9.5]
    cl = rng.uniform(1.0, 4.0, (3,) if shared else (2, 3))
    lag = np.array([0.5, 1.5])
    regimen = Regimen.bolus(60, "central", time=1.2) + Regimen.infusion(
        40, "central", duration=3.0, time=5.1
    )
    weights = rng.standard_normal((2, TIMES.size, 1))

    def given(cl, lag, v):
        return {"cl": tl.stepwise(starts, cl), "lag": tl.stepwise([0.0, 5.0], lag), "v": v}

    def loss(cl, lag, v):
        return float(
            (weights * tl.simulate(model, given(cl, lag, v), regimen, TIMES, **TIGHT).values).sum()
        )

    v = np.array([10.0, 14.0])
    _, gradient = tl.value_and_grad(weights, model, given(cl, lag, v), regimen, TIMES, **TIGHT)
    for name, point in {"cl": cl, "lag": lag, "v": v}.items():
        found = gradient.parameters[name].reshape(point.shape)
        for k in np.ndindex(point.shape):
            h, moved = 1e-4, {"cl": cl, "lag": lag, "v": v}
            values = []
            for s in (-2, -1, 1, 2):
                shifted = point.copy()
                shifted[k] += s * h
                values.append(loss(**(moved | {name: shifted})))
            expected = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * h)
            np.testing.assert_allclose(found[k], expected, rtol=1e-6, atol=1e-6)
    dots = {name: rng.standard_normal(gradient.parameters[name].shape) for name in ("cl", "lag")}
    run = _numpy_problem(model, given(cl, lag, v), regimen, TIMES, None, TIGHT)
    problem = run.by([entry_of(run, name) for name in dots])
    _, derivative, _ = problem.push_forward(problem.given, list(dots.values()))
    forward = (weights * derivative).sum()
    np.testing.assert_allclose(
        forward, sum((gradient.parameters[n] * d).sum() for n, d in dots.items()), rtol=1e-8
    )


@pytest.mark.parametrize(("patients", "values"), [(3, 2), (1000, 2), (1, 3), (1000, 3)])
def test_values_that_patients_share_are_no_patients(patients, values):
    """d exp(-k t) / dk, with k given in several equal steps to several patients."""
    model = tl.Model("decay")
    k, scale = model.parameters(k=1.0, scale=1.0)
    x = model.state("x", 1.0)
    model.flow(x, None, k * x)
    model.output("y", scale * x)
    steps = tl.stepwise(np.arange(float(values)), np.ones(values))
    at = np.array([0.5, 1.5, 3.0])
    given = {"k": steps, "scale": np.ones(patients)}
    found = tl.jacobian(model, given, None, at, wrt=["k"], **TIGHT).derivatives[..., 0, 0]
    assert found.shape == (patients, 3)
    assert (found == found[0]).all()
    np.testing.assert_allclose(found[0], -at * np.exp(-at), rtol=1e-9)


def test_forward_derivatives_by_a_parameter_that_changes():
    """In all its values at once, and in a direction."""
    model, values = one_compartment(), np.array([[2.0, 5.0], [1.0, 3.0]])
    given = {"cl": tl.stepwise([0.0, 4.0], values), "v": 10.0}
    jacobian = tl.jacobian(model, given, None, TIMES, wrt=["cl", "v"], **TIGHT)
    np.testing.assert_allclose(
        jacobian.derivatives[..., 0], jacobian.values * -TIMES[None, :, None] / 10.0, rtol=1e-7
    )
    _, by_first = tl.jvp(model, given, None, TIMES, {"cl": [1.0, 0.0, 1.0, 0.0]}, **TIGHT)
    before = np.minimum(TIMES, 4.0)[None, :, None]
    np.testing.assert_allclose(by_first, jacobian.values * -before / 10.0, rtol=1e-7)
    with pytest.raises(InputError, match="there are 4 values of it"):
        tl.jvp(model, given, None, TIMES, {"cl": [1.0, 0.0]}, **TIGHT)


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="do not ascend"):
        tl.stepwise([0.0, 0.0], [1.0, 2.0])
    with pytest.raises(InputError, match="each value needs its time"):
        tl.stepwise([0.0, 1.0], [1.0, 2.0, 3.0])
    with pytest.raises(InputError, match="finite"):
        tl.stepwise([0.0, 1.0], [1.0, np.nan])
    hidden = np.ma.masked_array([[1.0, 2.0]], [[False, True]])
    for values in (hidden, hidden[0]):
        with pytest.raises(InputError, match="values of a stepwise parameter has masked"):
            tl.stepwise([0.0, 1.0], values)


def test_a_condition_on_time_that_depends_on_a_parameter_that_changes():
    """It changes when the time passes what the parameter is then."""
    model = tl.Model("windowed")
    tau = model.parameter("tau", 3.0)
    x = model.state("x", 1.0)
    model.flow(x, None, tl.where(model.time < tau, 0.1, 0.2) * x)
    tau_by_time = tl.stepwise([0.0, 1.0, 4.0], [1.5, 2.0, 6.0])
    solution = tl.simulate(model, {"tau": tau_by_time}, None, [1.9, 4.0, 8.0])
    # until 2, and from 4 to 6
    exact = np.exp([-0.19, -0.2 - 0.4, -0.2 - 0.4 - 0.2 - 0.4])
    np.testing.assert_allclose(solution["x"][0], exact, rtol=1e-6)


def test_a_failure_is_told_where_a_parameter_changes():
    model = tl.Model("growth")
    rate, cl = model.parameters(rate=0.0, cl=1.0)
    x = model.state("x", 1.0)
    model.rate(x, rate * x * x - cl * x)
    given = {"rate": [0.0, 9.0], "cl": tl.stepwise([0.0, 5.0], [0.1, 0.2])}
    with pytest.raises(tl.SimulationError, match="1 of 2 patients failed"):
        tl.simulate(model, given, None, [0.0, 9.0]).raise_for_status()
