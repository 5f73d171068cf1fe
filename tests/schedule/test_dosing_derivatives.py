"""Derivatives by the numbers of doses and by the rules of doses: those of closed forms, and
differences.
"""

from __future__ import annotations

import numpy as np
import pytest
import teorell as tl
from dosing_case import regimen_of
from teorell import InputError
from teorell.schedule.given_doses import dose_table
from two_states import (
    DEFAULTS,
    MODEL,
    STEP,
    TIGHT,
    TIMES,
    exact,
    of_patient,
    rules_of_central,
    rules_of_gut,
)

PARAMETERS = {
    "lag": np.array([0.5, 1.25]), "f": np.array([0.75, 0.4]), "rate": 9.0,
    "duration": np.array([1.5, 2.25]), "k": 0.3, "c0": np.array([3.0, 8.0]),
}  # fmt: skip
LINES = [
    ("bolus", "gut", 3, {"amount": 80.0, "time": np.array([0.5, 1.0]), "every": 3.3}),
    ("duration", "central", 1, {"amount": 50.0, "time": 2.2, "duration": np.array([4.0, 2.0])}),
    (
        "rate",
        "central",
        2,
        {"amount": np.array([30.0, 45.0]), "time": 1.1, "rate": 12.0, "every": 4.0},
    ),
    ("modelled rate", "gut", 2, {"amount": 40.0, "time": 3.7, "every": np.array([2.0, 2.5])}),
    ("modelled duration", "central", 2, {"amount": 40.0, "time": 4.4, "every": 2.5}),
]
WITH_RESETS = [
    *LINES,
    ("reset", "", 1, {"time": np.array([7.6, 8.8])}),
    ("bolus", "central", 2, {"amount": 20.0, "time": 10.1, "every": 5.0}),
    ("reset", "", 1, {"time": 16.2}),
    ("rate", "gut", 1, {"amount": 20.0, "time": 17.0, "rate": 11.0}),
]
HISTORIES = {"doses": LINES, "resets": WITH_RESETS}


def derivative(key, lines, parameters=PARAMETERS):
    """d exact / d a parameter, or (line, field): (patients, times, 2), each patient by its own
    number.
    """
    parameters, lines = dict(parameters), [(*one[:3], dict(one[3])) for one in lines]
    place, name = (parameters, key) if isinstance(key, str) else (lines[key[0]][3], key[1])
    place[name] = np.asarray(place[name]) + 1j * STEP
    return exact(parameters, lines, 2).imag / STEP


def keys_of(lines):
    return [*PARAMETERS, *((number, name) for number, one in enumerate(lines) for name in one[3])]


@pytest.mark.parametrize("lines", HISTORIES.values(), ids=HISTORIES.keys())
def test_jacobian_is_that_of_the_closed_form(lines):
    keys = keys_of(lines)
    found = tl.jacobian(MODEL, PARAMETERS, regimen_of(lines), TIMES, wrt=keys, **TIGHT)
    np.testing.assert_allclose(found.values, exact(PARAMETERS, lines, 2).real, rtol=1e-8, atol=1e-9)
    for number, key in enumerate(keys):
        expected = derivative(key, lines)
        assert np.abs(expected).max() > 1e-3, key
        np.testing.assert_allclose(
            found.derivatives[..., number], expected, rtol=1e-6, atol=1e-6, err_msg=str(key)
        )


@pytest.mark.parametrize("lines", HISTORIES.values(), ids=HISTORIES.keys())
def test_gradient_is_that_of_the_closed_form(lines):
    weights = np.random.default_rng(5).standard_normal((2, TIMES.size, 2))
    _, gradient = tl.value_and_grad(weights, MODEL, PARAMETERS, regimen_of(lines), TIMES, **TIGHT)
    for key in keys_of(lines):
        found = (
            gradient.parameters[key]
            if isinstance(key, str)
            else getattr(gradient.doses[key[0]], key[1])
        )
        each = (derivative(key, lines) * weights).sum(axis=(1, 2))
        np.testing.assert_allclose(
            found, each if found.ndim else each.sum(), rtol=1e-6, atol=1e-6, err_msg=str(key)
        )
    for number, (kind, into, _, fields) in enumerate(lines):
        assert gradient.doses[number].into == into
        if kind == "reset":
            assert gradient.doses[number].amount is None
        for name in ("every", "duration", "rate"):
            assert (getattr(gradient.doses[number], name) is None) == (name not in fields)


def saturable():
    """Michaelis-Menten elimination: no closed form, so differences have to do."""
    model = tl.Model("saturable")
    vmax, km, ka = model.parameters(vmax=6.0, km=10.0, ka=1.1)
    p = dict(
        zip(
            ("lag", "f", "rate", "duration"),
            model.parameters(lag=0.6, f=0.7, rate=9.0, duration=2.5),
            strict=True,
        )
    )
    gut, central = model.states("gut", "central")
    model.flow(gut, central, ka * gut)
    model.flow(central, None, vmax * central / (km + central))
    model.output("central", central)
    model.dosing(gut, **rules_of_gut(p))
    model.dosing(central, **rules_of_central(p))
    return model


def test_gradient_of_a_nonlinear_model_is_that_of_differences():
    model, tight = saturable(), {"rtol": 1e-10, "atol": 1e-11}
    weights = np.random.default_rng(6).standard_normal((1, TIMES.size, 1))
    parameters = {"lag": 0.6, "f": 0.7, "rate": 9.0, "duration": 2.5}
    lines = [
        (*one[:3], {name: of_patient(value, 0) for name, value in one[3].items()})
        for one in WITH_RESETS
    ]
    _, gradient = tl.value_and_grad(weights, model, parameters, regimen_of(lines), TIMES, **tight)
    jacobian = tl.jacobian(model, parameters, regimen_of(lines), TIMES,
    wrt=(keys := [k for k in keys_of(lines) if k in
                           parameters or not isinstance(k, str)]), **tight)  # fmt: skip
    forward = np.einsum("itod,ito->d", jacobian.derivatives, weights)

    def value(key, change):
        moved, there = dict(parameters), [(*one[:3], dict(one[3])) for one in lines]
        place, name = (moved, key) if isinstance(key, str) else (there[key[0]][3], key[1])
        place[name] = place[name] + change
        return np.sum(weights * tl.simulate(model, moved, regimen_of(there), TIMES, **tight).values)

    for number, key in enumerate(keys):
        found = (
            gradient.parameters[key]
            if isinstance(key, str)
            else getattr(gradient.doses[key[0]], key[1])
        )
        np.testing.assert_allclose(found, forward[number], rtol=1e-9, atol=1e-9)
        one, two = ((value(key, h) - value(key, -h)) / (2 * h) for h in (1e-3, 2e-3))
        np.testing.assert_allclose(
            found, (4 * one - two) / 3, rtol=1e-5, atol=1e-5, err_msg=str(key)
        )


def test_gradients_have_the_same_bits_alone():
    weights = np.random.default_rng(7).standard_normal((2, TIMES.size, 2))
    lines = [
        (*one[:3], {f: np.broadcast_to(v, 2) for f, v in one[3].items()}) for one in WITH_RESETS
    ]
    parameters = {name: np.broadcast_to(value, 2) for name, value in PARAMETERS.items()}
    _, together = tl.value_and_grad(weights, MODEL, parameters, regimen_of(lines), TIMES)
    for patient in range(2):
        mine = {name: value[[patient]] for name, value in parameters.items()}
        alone = regimen_of(
            [(*one[:3], {f: v[[patient]] for f, v in one[3].items()}) for one in lines]
        )
        _, apart = tl.value_and_grad(weights[[patient]], MODEL, mine, alone, TIMES)
        for name, bar in apart.parameters.items():
            if name in parameters:
                assert bar[0] == together.parameters[name][patient], name
        for number, one in enumerate(lines):
            for name in one[3]:
                bar = getattr(apart.doses[number], name)
                assert bar[0] == getattr(together.doses[number], name)[patient], (number, name)


def test_a_list_and_a_table_have_the_gradient_of_the_regimen():
    """By parameters: their doses are no inputs."""
    weights = np.random.default_rng(7).standard_normal((2, TIMES.size, 2))
    lines = [
        (*one[:3], {f: np.broadcast_to(v, 2) for f, v in one[3].items()}) for one in WITH_RESETS
    ]
    _, expected = tl.value_and_grad(weights, MODEL, PARAMETERS, regimen_of(lines), TIMES)
    as_list = [
        regimen_of([(*one[:3], {f: v[k] for f, v in one[3].items()}) for one in lines])
        for k in range(2)
    ]
    for regimen in (as_list, dose_table(as_list, MODEL.state_names, 2)):
        _, gradient = tl.value_and_grad(weights, MODEL, PARAMETERS, regimen, TIMES)
        for name in PARAMETERS:
            np.testing.assert_array_equal(gradient.parameters[name], expected.parameters[name])


def test_rules_of_tensors():
    torch = pytest.importorskip("torch")
    weights = np.random.default_rng(9).standard_normal((2, TIMES.size, 2))
    _, expected = tl.value_and_grad(weights, MODEL, PARAMETERS, regimen_of(WITH_RESETS), TIMES)
    tensors = {
        name: torch.tensor(value, dtype=torch.float64, requires_grad=True)
        for name, value in PARAMETERS.items()
    }
    at = torch.tensor(WITH_RESETS[5][3]["time"], requires_grad=True)
    lines = [*WITH_RESETS[:5], ("reset", "", 1, {"time": at}), *WITH_RESETS[6:]]
    values = tl.simulate(MODEL, tensors, regimen_of(lines), TIMES).values
    (values * torch.tensor(weights)).sum().backward()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor.grad.numpy(), expected.parameters[name])
    np.testing.assert_array_equal(at.grad.numpy(), expected.doses[5].time)


def test_rules_of_patients_and_one_schedule():
    """The regimen has one number for all; its gradient is the sum of those of the patients."""
    weights = np.random.default_rng(8).standard_normal((2, TIMES.size, 2))
    lines = [(*one[:3], {f: of_patient(v, 0) for f, v in one[3].items()}) for one in LINES]
    for parameters in (PARAMETERS, {"k": np.array([0.2, 0.3])}):
        _, gradient = tl.value_and_grad(
            weights, MODEL, parameters, regimen_of(lines), TIMES, **TIGHT
        )
        for key in [*parameters, (0, "amount"), (2, "rate"), (3, "every"), (4, "time")]:
            found = (
                gradient.parameters[key]
                if isinstance(key, str)
                else getattr(gradient.doses[key[0]], key[1])
            )
            each = (derivative(key, lines, parameters) * weights).sum(axis=(1, 2))
            np.testing.assert_allclose(
                found, each if found.ndim else each.sum(), rtol=1e-6, atol=1e-6
            )
        of_lag = (derivative("lag", lines, {"lag": DEFAULTS["lag"]} | parameters) * weights).sum(
            axis=(1, 2)
        )
        found = gradient.parameters["lag"]
        np.testing.assert_allclose(
            found, of_lag if found.ndim else of_lag.sum(), rtol=1e-6, atol=1e-6
        )


def test_no_derivative_by_a_modelled_duration_of_zero():
    """As by a given one: the dose is a bolus there."""
    regimen = regimen_of([("modelled duration", "central", 1, {"amount": 40.0, "time": 1.0})])
    parameters = {"duration": np.array([0.0, 2.0])}
    _, gradient = tl.value_and_grad(np.ones((2, TIMES.size, 2)), MODEL, parameters, regimen, TIMES)
    assert np.isnan(gradient.parameters["duration"]).tolist() == [True, False]
    assert np.isfinite(gradient.parameters["lag"])
    with pytest.raises(
        InputError,
        match=r"no derivative by the duration or rate of an infusion into 'central' .* 1 record",
    ):
        tl.jacobian(MODEL, parameters, regimen, TIMES, wrt="duration")
    tl.jacobian(MODEL, parameters, regimen, TIMES, wrt=["lag", "f"])


def test_derivatives_by_amount_and_bioavailability_of_nothing():
    """An infusion of nothing at a rate takes no time: a little more is a bolus of that."""
    lines = [("rate", "central", 1, {"amount": np.array([0.0, 20.0]), "time": 1.0, "rate": 8.0})]
    # a solution of zero would ask for no small steps
    parameters = {"f": np.array([1.0, 0.0]), "lag": 0.5, "c0": 10.0}
    found = tl.jacobian(
        MODEL, parameters, regimen_of(lines), TIMES, wrt=[(0, "amount"), "f"], **TIGHT
    )
    decay = np.where(TIMES > 1.5, np.exp(-DEFAULTS["k"] * (TIMES - 1.5)), 0.0)
    np.testing.assert_allclose(found.derivatives[0, :, 1, 0], decay, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found.derivatives[1, :, 1, 1], 20.0 * decay, rtol=1e-7, atol=1e-9)
    assert not found.derivatives[0, :, :, 1].any()
    assert not found.derivatives[1, :, :, 0].any()
