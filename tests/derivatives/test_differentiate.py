"""Gradients and sensitivities with NumPy alone: closed forms, adjointness, losses of every kind,
patients that fail.
"""

from __future__ import annotations

import re

import closed_form
import numpy as np
import pytest
import teorell as tl
from teorell.simulation.inputs import Input

TIMES = np.array([0.3, 1.1, 2.2, 3.7, 4.9, 6.1])
EXACT = {"rtol": 1e-11, "atol": 1e-12}
GRAMMAR = re.compile(r".+ \(.+\)\. .+[.?']", re.DOTALL)
CL = np.array([3.0, 5.0, 4.0])
LINES = [
    ("central", 2, {"amount": np.array([100.0, 50.0, 80.0]), "time": 0.5, "every": 2.5}),
    ("central", 1, {"amount": 60.0, "time": np.array([1.5, 0.0, 4.0]), "duration": 2.0}),
    ("central", 1, {"amount": 40.0, "time": 0.2, "rate": 25.0}),
    ("other", 1, {"amount": 10.0, "time": 0.1}),
]


@pytest.fixture(scope="module")
def model():
    return closed_form.model()


@pytest.fixture(scope="module")
def asked(model):
    return {
        "model": model,
        "parameters": {"cl": CL},
        "regimen": closed_form.regimen(LINES),
        "times": TIMES,
    }


def exact(kind, name, line=-1, parameters=None, lines=LINES, times=TIMES, patients=3):
    parameters = {"cl": CL, "v": 20.0, "k1": 0.1, "k2": 0.5, "tau": 2.6} | (parameters or {})
    return closed_form.derivative(Input(kind, name, line), parameters, lines, times, patients)


def sums(derivatives, weights):
    return (derivatives * weights).sum(axis=(1, 2))


def test_weights(asked):
    weights = np.random.default_rng(0).standard_normal((3, 6, 2))
    value, gradient = tl.value_and_grad(weights, **asked, **EXACT)
    values = tl.simulate(**asked, **EXACT).values
    assert value == pytest.approx(np.sum(weights * values), rel=1e-13)
    assert list(gradient.parameters) == ["cl", "v", "k1", "k2", "tau"]
    np.testing.assert_allclose(
        gradient.parameters["cl"], sums(exact("parameter", "cl"), weights), rtol=1e-6
    )
    for name in ("v", "k1", "k2", "tau"):  # not given: one number for all
        assert gradient.parameters[name].shape == ()
        expected = sums(exact("parameter", name), weights).sum()
        np.testing.assert_allclose(gradient.parameters[name], expected, rtol=1e-6, atol=1e-7)
    for number, (into, _, fields) in enumerate(LINES):
        record = gradient.doses[number]
        assert record.into == into
        for name in ("amount", "time", "every", "duration", "rate"):
            found = getattr(record, name)
            if name not in fields:
                assert found is None
                continue
            each = sums(exact("dose", name, number), weights)
            assert found.shape == np.shape(fields[name])
            np.testing.assert_allclose(
                found, each if found.ndim else each.sum(), rtol=1e-6, atol=1e-6
            )
    # A bolus at time 0 is the same as more at the start.
    start = [
        ("central", 1, {"amount": 0.0, "time": 0.0}),
        ("other", 1, {"amount": 0.0, "time": 0.0}),
    ]
    for number, name in enumerate(("central", "other")):
        expected = sums(exact("dose", "amount", number, lines=start), weights)
        np.testing.assert_allclose(gradient.initial[name], expected, rtol=1e-6, atol=1e-7)
    assert gradient.success.all()
    gradient.raise_for_status()
    assert repr(gradient) == (
        "<Gradient of 'closed form': 3 patients, 5 parameters, 4 lines of doses; all succeeded>"
    )


def test_losses_of_every_kind_agree(asked):
    observed = np.random.default_rng(1).uniform(0, 5, (3, 6, 2))

    def squares(values):
        return np.sum((values - observed) ** 2), 2 * (values - observed)

    def squares_of(values, patients):
        difference = values - observed[patients]
        return (difference**2).sum(axis=(1, 2)), 2 * difference

    value, gradient = tl.value_and_grad(squares, **asked, **EXACT)
    again, other = tl.value_and_grad(squares_of, **asked, **EXACT, by_patient=True)
    values = tl.simulate(**asked, **EXACT).values
    weighted, third = tl.value_and_grad(2 * (values - observed), **asked, **EXACT, wrt=["v"])
    assert value == pytest.approx(again, rel=1e-14)
    assert weighted == pytest.approx(np.sum(2 * (values - observed) * values), rel=1e-13)
    assert list(third.parameters) == ["v"]
    assert third.parameters["v"] == gradient.parameters["v"]
    for name in gradient.parameters:
        np.testing.assert_array_equal(gradient.parameters[name], other.parameters[name])
    np.testing.assert_array_equal(gradient.doses[1].time, other.doses[1].time)
    np.testing.assert_array_equal(gradient.initial["other"], other.initial["other"])
    expected = sums(exact("parameter", "cl"), 2 * (values - observed))
    np.testing.assert_allclose(gradient.parameters["cl"], expected, rtol=1e-6, atol=1e-6)


def test_nothing_depends_on_threads_or_on_other_patients(model):
    rng = np.random.default_rng(2)
    n = 203
    parameters = {"cl": rng.uniform(2, 8, n), "tau": rng.uniform(0, 3, n)}
    regimen = tl.Regimen.infusion(
        rng.uniform(1, 90, n), into="central", duration=1.5
    ) + tl.Regimen.bolus(5, into="other")
    weights = rng.standard_normal((n, 6, 2))
    seen = []

    def loss(values, patients):
        seen.append(patients)
        return (weights[patients] * values).sum(axis=(1, 2)), weights[patients]

    found = {}
    for threads in (1, 2, 5):
        found[threads] = [
            tl.value_and_grad(weights, model, parameters, regimen, TIMES, threads=threads),
            tl.value_and_grad(
                loss, model, parameters, regimen, TIMES, threads=threads, by_patient=True
            ),
        ]
        assert sorted(np.concatenate(seen).tolist()) == list(range(n))
        seen.clear()
    for value, gradient in (pair for pairs in found.values() for pair in pairs):
        first_value, first = found[1][0]
        assert value == first_value
        for name, expected in first.parameters.items():
            np.testing.assert_array_equal(gradient.parameters[name], expected)
        np.testing.assert_array_equal(gradient.doses[0].amount, first.doses[0].amount)
        assert gradient.doses[0].duration == first.doses[0].duration
    one = {name: column[100] for name, column in parameters.items()}
    amount = regimen.lines[0].amount[100]
    alone = tl.Regimen.infusion(amount, into="central", duration=1.5) + tl.Regimen.bolus(
        5, into="other"
    )
    _, gradient = tl.value_and_grad(weights[100:101], model, one, alone, TIMES)
    assert gradient.parameters["cl"] == found[1][0][1].parameters["cl"][100]
    assert gradient.parameters["tau"] == found[1][0][1].parameters["tau"][100]


def test_weights_broadcast(asked):
    spread = np.broadcast_to(np.arange(6.0)[:, None], (3, 6, 2))
    for weights in (np.arange(6.0)[:, None], np.ascontiguousarray(spread)):
        value, gradient = tl.value_and_grad(weights, **asked)
        expected, same = tl.value_and_grad(spread, **asked)
        assert value == expected
        np.testing.assert_array_equal(gradient.parameters["cl"], same.parameters["cl"])
    value, _ = tl.value_and_grad(1, **asked, outputs="cp")
    assert value == pytest.approx(tl.simulate(**asked, outputs="cp").values.sum(), rel=1e-14)


def test_jacobian(asked):
    wrt = ("cl", "tau", (0, "every"), (1, "duration"), (2, "rate"))
    found = tl.jacobian(**asked, wrt=wrt, **EXACT)
    solution = tl.simulate(**asked, **EXACT)
    assert isinstance(found, tl.Solution)
    np.testing.assert_array_equal(found.values, solution.values)
    assert found.derivatives.shape == (3, 6, 2, 5)
    assert found.wrt == wrt
    for k, key in enumerate(wrt):
        expected = (
            exact("parameter", key) if isinstance(key, str) else exact("dose", key[1], key[0])
        )
        np.testing.assert_allclose(found.derivatives[..., k], expected, rtol=1e-6, atol=1e-7)
    assert found.success.all()
    assert repr(found).startswith("<Jacobian of 'closed form': 3 patients, 6 times from 0.3 to 6.1")
    assert repr(found).endswith(
        "all succeeded; derivatives by cl, tau, (0, 'every'), (1, 'duration'), (2, 'rate')>"
    )
    for one in ("cl", (1, "duration")):
        alone = tl.jacobian(**asked, wrt=one, **EXACT)
        assert alone.wrt == (one,)
        np.testing.assert_array_equal(
            alone.derivatives[..., 0], found.derivatives[..., wrt.index(one)]
        )


def test_jvp_and_its_adjoint(asked):
    """<J x, w> = <x, J' w>, with tangents that differ by patient where the numbers do not."""
    rng = np.random.default_rng(3)
    weights = rng.standard_normal((3, 6, 2))
    tangents = {
        "cl": rng.standard_normal(3),
        "tau": -0.7,
        (0, "amount"): 0.3,
        (1, "time"): rng.standard_normal(3),
    }
    solution, derivative = tl.jvp(**asked, tangents=tangents)
    np.testing.assert_array_equal(solution.values, tl.simulate(**asked).values)
    _, gradient = tl.value_and_grad(weights, **asked)
    parts = [
        np.sum(gradient.parameters["cl"] * tangents["cl"]),
        gradient.parameters["tau"] * -0.7,
        np.sum(gradient.doses[0].amount) * 0.3,
        np.sum(gradient.doses[1].time * tangents[1, "time"]),
    ]
    forward = np.sum(weights * derivative)
    assert abs(forward - sum(parts)) < 1e-13 * (
        np.abs(weights * derivative).sum() + np.abs(parts).sum()
    )
    each = rng.standard_normal(3)
    _, by_patient = tl.jvp(**asked, tangents={"tau": each, (2, "rate"): 2 * each})
    jacobian = tl.jacobian(**asked, wrt=["tau", (2, "rate")]).derivatives @ [1.0, 2.0]
    np.testing.assert_allclose(by_patient, each[:, None, None] * jacobian, rtol=1e-12, atol=1e-14)


def test_tangents_by_patient_where_all_share_one_table():
    """Numbers for all, directions of each: one table of events, moved differently."""
    model = closed_form.model()
    parameters = {"k1": np.array([0.1, 0.2])}
    regimen = tl.Regimen.bolus(10, into="other", time=1.0)
    each = np.array([1.0, -2.0])
    tangents = {"tau": each, (0, "amount"): 0.5 * each, (0, "time"): each}
    _, derivative = tl.jvp(model, parameters, regimen, TIMES, tangents)
    jacobian = tl.jacobian(model, parameters, regimen, TIMES, wrt=list(tangents)).derivatives @ [
        1.0,
        0.5,
        1.0,
    ]
    np.testing.assert_allclose(derivative, each[:, None, None] * jacobian, rtol=1e-12, atol=1e-14)
    assert np.abs(derivative[:, -1, 1]).min() > 0.1


@pytest.mark.parametrize("samples", ["after", "before"])
def test_an_event_exactly_on_a_sample_is_differentiated_from_the_side_that_is_seen(model, samples):
    """The sample at 2: a bolus there, and the end of an infusion of rate amount / duration from 0.5
    on.
    """
    cl, v, amount, dose = 4.0, 20.0, 30.0, 100.0
    k, width = cl / v, 1.5
    regimen = tl.Regimen.infusion(amount, into="central", time=0.5, duration=width)
    regimen += tl.Regimen.bolus(dose, into="central", time=2.0)
    keys = [(0, "amount"), (0, "time"), (0, "duration"), (1, "amount"), (1, "time")]
    found = tl.jacobian(
        model, None, regimen, [2.0], "cp", wrt=keys, samples=samples, **EXACT
    ).derivatives[0, 0, 0]
    fraction = 1 - np.exp(-k * width)
    seen = samples == "after"
    running = amount / (width * v)  # the concentration that flows in per time
    expected = [
        fraction / (width * k * v),
        # After: start and end move together, what is inside decays for less time. Before: it flows
        # for less time.
        running * (fraction if seen else -np.exp(-k * width)),
        -running / width * fraction / k + (running if seen else 0.0),
        1 / v if seen else 0.0,
        dose * k / v if seen else 0.0,
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-12)
    weights = np.ones(1)
    _, gradient = tl.value_and_grad(
        weights, model, None, regimen, [2.0], "cp", samples=samples, **EXACT
    )
    first, second = gradient.doses
    np.testing.assert_allclose(
        [first.amount, first.time, first.duration, second.amount, second.time],
        expected,
        rtol=1e-8,
        atol=1e-12,
    )


def test_doses_of_nothing_have_derivatives_by_their_amounts(model):
    """Something else is there: where all states are 0 no error limits the steps, and derivatives
    are those of long ones.
    """
    lines = [
        ("central", 1, {"amount": 0.0, "time": 1.0}),
        ("central", 1, {"amount": 0.0, "time": 1.5, "duration": 2.0}),
        ("other", 1, {"amount": np.array([0.0, 10.0, 0.0]), "time": np.full(3, 0.7)}),
        ("central", 1, {"amount": 10.0, "time": 0.0}),
        ("other", 1, {"amount": 10.0, "time": 0.0}),
    ]
    asked = model, {"cl": CL}, closed_form.regimen(lines), TIMES
    _, gradient = tl.value_and_grad(1.0, *asked, **EXACT)
    for number in range(3):
        each = exact("dose", "amount", number, lines=lines).sum(axis=(1, 2))
        found = gradient.doses[number].amount
        np.testing.assert_allclose(found, each if found.ndim else each.sum(), rtol=1e-6)
    assert gradient.doses[0].time == 0.0
    assert gradient.doses[1].duration == 0.0
    np.testing.assert_array_equal(gradient.doses[2].time == 0.0, [True, False, True])
    # By the rate that it is given, nothing takes no time: a bolus of nothing.
    regimen = tl.Regimen.infusion(0.0, into="central", rate=5.0, time=1.0) + closed_form.regimen(
        lines[3:]
    )
    _, gradient = tl.value_and_grad(1.0, model, {"cl": CL}, regimen, TIMES, **EXACT)
    each = exact("dose", "amount", 0, lines=lines[:1]).sum()
    assert gradient.doses[0].amount == pytest.approx(each, rel=1e-6)
    assert np.isnan(gradient.doses[0].rate)


def test_no_regimen_and_lists_of_regimens(model):
    _, gradient = tl.value_and_grad(1.0, model, {"cl": CL}, None, TIMES)
    assert gradient.doses == ()
    each = [tl.Regimen.bolus(10, into="other"), None, tl.Regimen.bolus(5, into="central")]
    _, gradient = tl.value_and_grad(1.0, model, {"cl": CL}, each, TIMES, **EXACT)
    expected = -5 / 20.0**2 * np.sum(TIMES * np.exp(-CL[2] / 20 * TIMES))
    np.testing.assert_allclose(gradient.parameters["cl"], [0.0, 0.0, expected], rtol=1e-6)
    with pytest.raises(tl.InputError, match="by the doses of a list of regimens"):
        _ = gradient.doses
    with pytest.raises(tl.InputError, match="doses of a list of regimens"):
        tl.jacobian(model, {"cl": CL}, each, TIMES, wrt=(0, "amount"))


def blow_up():
    """x' = g x^2 from 1: 1 / (1 - g t), infinite at 1 / g."""
    model = tl.Model("blow up")
    (g,) = model.parameters(g=0.1)
    x = model.state("x", 1.0)
    model.rate(x, g * x * x)
    model.output("x", x)
    return model


def test_patients_that_fail():
    growth = np.array([0.1, 0.6, 0.2])
    times = np.array([1.0, 2.0, 3.0])
    curves = 1 / (1 - growth[:, None] * times)
    slopes = times * curves**2
    good = [0, 2]
    asked = blow_up(), {"g": growth}, None, times

    def plain(values):
        return np.nansum(values), np.where(np.isnan(values), np.nan, 1.0)

    def by_patient(values, patients):
        assert set(patients.tolist()) <= set(good)
        return values.sum(axis=(1, 2)), np.ones_like(values)

    for loss, options in ((np.ones(1), {}), (by_patient, {"by_patient": True}), (plain, {})):
        value, gradient = tl.value_and_grad(loss, *asked, **EXACT, **options)
        sampled = curves[1, 0] if loss is plain else 0.0  # before the failure
        assert value == pytest.approx(curves[good].sum() + sampled, rel=1e-8)
        np.testing.assert_allclose(
            gradient.parameters["g"][good], slopes[good].sum(axis=1), rtol=1e-6
        )
        assert gradient.parameters["g"][1] == 0.0
        assert gradient.initial["x"][1] == 0.0
        np.testing.assert_array_equal(gradient.success, [True, False, True])
        assert "1 failed" in repr(gradient)
        with pytest.raises(tl.SimulationError, match=r"1 of 3 patients failed") as caught:
            gradient.raise_for_status()
        assert caught.value.patients.tolist() == [1]
    jacobian = tl.jacobian(*asked, wrt="g", **EXACT)
    np.testing.assert_array_equal(np.isnan(jacobian.derivatives[..., 0]), np.isnan(jacobian.values))
    assert np.isnan(jacobian.derivatives[1, 1:]).all()
    np.testing.assert_allclose(jacobian.derivatives[good, :, 0, 0], slopes[good], rtol=1e-6)
    with pytest.raises(tl.SimulationError):
        jacobian.raise_for_status()


def of_shape(*shape, fill=1.0):
    return lambda values, patients=None: (0.0, np.full(shape, fill))


BAD = {
    "weights of another shape": (np.ones((3, 5, 2)), {}, "weights have shape (3, 5, 2)"),
    "weights of more dimensions": (np.ones((1, 3, 6, 2)), {}, "weights have shape"),
    "weights that are NaN": (np.nan, {}, "weights are not finite"),
    "weights that are words": ("all", {}, "weights has type <U3"),
    "no slope": (lambda values: values.sum(), {}, "the loss returned a float64"),
    "value of a shape": (lambda values: (values.sum(axis=0), values), {},
    "value of the loss has shape (6, 2)"), "value that is None": (lambda values: (None, values), {},
    "value of the loss has type object"), "complex value": (lambda values: (1j, values), {},
    "has type complex128"), "slope of a shape": (of_shape(3, 6), {},
    "slope of the loss has shape (3, 6) (it must be (3, 6, 2), that of the"),
    "slope that is NaN": (of_shape(3, 6, 2, fill=np.nan), {},
    "not finite (for 3 patients, the first is patient 0)"), "value of patients": (
        lambda values, of: (values.sum(), values), {"by_patient": True},
        "(it must be (3,), one a patient)",
    ),
    "slope of patients": (lambda values, of: (of, values[0]), {"by_patient": True},
    "slope of the loss has shape (6, 2)"), "NaN of patients": (lambda values, of: (of,
    values * np.nan), {"by_patient": True}, "slope of the loss is not finite"),
    "unknown parameter": (1.0, {"wrt": ["cll"]}, "Did you mean 'cl'?"), "twice": (1.0,
    {"wrt": ["cl", "cl"]}, "name one twice"), "nothing": (1.0, {"wrt": []},
    "nothing to differentiate by"), "an option": (1.0, {"rtol": 1.0}, "rtol is 1.0"),
}  # fmt: skip


@pytest.mark.parametrize(("loss", "options", "words"), BAD.values(), ids=BAD.keys())
def test_bad_losses(asked, loss, options, words):
    with pytest.raises(tl.InputError) as caught:
        tl.value_and_grad(loss, **asked, **options)
    assert words in str(caught.value)
    assert GRAMMAR.fullmatch(str(caught.value)), caught.value


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("cll", "Did you mean 'cl'?"),
        ((4, "amount"), "unknown line 4 of the regimen"),
        ((-1, "amount"), "unknown line -1"),
        ((0, "duration"), "unknown field 'duration'"),
        ((1, "every"), "unknown field 'every'"),
        (3, "3 is no number to differentiate by"),
    ],
)
def test_bad_names(asked, key, words):
    for ask in (
        lambda: tl.jacobian(**asked, wrt=[key]),
        lambda: tl.jvp(**asked, tangents={key: 1.0}),
    ):
        with pytest.raises(tl.InputError) as caught:
            ask()
        assert words in str(caught.value)
        assert GRAMMAR.fullmatch(str(caught.value)), caught.value


def test_bad_tangents(asked, model):
    for tangent, words in (
        ([1.0, 2.0], "has 2 values (there are 3 patients)"),
        (np.nan, "not finite"),
    ):
        with pytest.raises(tl.InputError, match=re.escape(words)):
            tl.jvp(**asked, tangents={"cl": tangent})
    regimen = tl.Regimen.infusion(1, into="central", duration=[0.0, 1.0])
    with pytest.raises(
        tl.InputError, match="so short that it is a bolus, for 1 record, the first is of patient 0"
    ):
        tl.jacobian(model, None, regimen, TIMES, wrt=(0, "duration"))


def test_what_a_loss_raises_comes_through(asked):
    class OfTheUser(Exception):
        pass

    def loss(values, patients=None):
        raise OfTheUser

    for by_patient in (True, False):
        with pytest.raises(OfTheUser):
            tl.value_and_grad(loss, **asked, by_patient=by_patient)


def test_tensors_go_to_torch(asked, model):
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="hold torch tensors"):
        tl.value_and_grad(1.0, model, {"cl": torch.tensor(3.0)}, None, TIMES)


@pytest.mark.parametrize(("patients", "values"), [(1, 2), (3, 2), (40, 2), (1, 3), (40, 3)])
def test_values_over_time_are_not_patients(patients, values):
    """dx/dt = -k x, c = e x: d c / d k = -e t exp(-k t), whatever number of values k has."""
    m = tl.Model("m")
    k, e = m.parameters(k=1.0, e=1.0)
    (x,) = m.states("x")
    m.flow(x, None, k * x)
    m.output("c", x * e)
    times = np.array([0.5, 1.5, 3.0])
    given = {
        "k": tl.stepwise(np.arange(float(values)), np.ones(values)),
        "e": np.linspace(1.0, 2.0, patients),
    }
    regimen = tl.Regimen.bolus(np.linspace(1.0, 3.0, patients), "x")
    options = {"rtol": 1e-10, "atol": 1e-12}
    found = tl.jacobian(m, given, regimen, times, wrt=["k", (0, "amount")], **options)
    size = (given["e"] * np.linspace(1.0, 3.0, patients))[:, None]
    decay = np.exp(-times)
    np.testing.assert_allclose(found.derivatives[:, :, 0, 0], -size * times * decay, rtol=1e-7)
    np.testing.assert_allclose(
        found.derivatives[:, :, 0, 1], given["e"][:, None] * decay, rtol=1e-7
    )
    both = {"k": 1.0, (0, "amount"): np.arange(float(patients))}
    _, one = tl.jvp(m, given, regimen, times, tangents=both, **options)
    expected = (
        found.derivatives[..., 0] + found.derivatives[..., 1] * np.arange(patients)[:, None, None]
    )
    np.testing.assert_allclose(one, expected, rtol=1e-9, atol=1e-14)


def test_masks_and_arguments_of_another_kind_are_told():
    m = tl.Model("m")
    k = m.parameter("k", 1.0)
    x = m.state("x", 1.0)
    m.flow(x, None, k * x)
    given = (m, None, None, [0.0, 1.0])
    hidden = np.ma.masked_array([[[1.0], [1.0]]], [[[False], [True]]])
    with pytest.raises(tl.InputError, match="masked elements"):
        tl.value_and_grad(hidden, *given)
    with pytest.raises(tl.InputError, match="slope of the loss has masked elements"):
        tl.value_and_grad(lambda values: (values.sum(), hidden), *given)
    with pytest.raises(TypeError, match=r"wrt is None .by what is to be differentiated"):
        tl.jacobian(*given, wrt=None)
    with pytest.raises(TypeError, match=r"tangents are a list .each number has its own"):
        tl.jvp(*given, ["k"])
    with pytest.raises(TypeError, match=r"by_patient is 'no'"):
        tl.value_and_grad(np.ones(1), *given, by_patient="no")
