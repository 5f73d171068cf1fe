"""Problems as functions of numbers: values and derivatives against a closed form, and against each
other.
"""

from __future__ import annotations

import math

import closed_form
import numpy as np
import pytest
import teorell as tl
from teorell.schedule.given_doses import dose_table
from teorell.simulation.given import problem_of
from teorell.simulation.inputs import Input

TIMES = np.array([0.3, 1.1, 2.2, 3.7, 4.9, 6.1, 7.3, 9.7, 12.4])
EXACT = {"rtol": 1e-11, "atol": 1e-12}
PARAMETERS = {
    "cl": np.array([3.0, 5.0, 4.0]),
    "v": 18.0,
    "tau": np.array([2.1, 3.3, 0.2]),
    "k1": 0.15,
}
LINES = [
    (
        "central",
        3,
        {"amount": np.array([100.0, 50.0, 80.0]), "time": 0.5, "every": np.array([3.0, 2.5, 4.5])},
    ),
    (
        "central",
        1,
        {"amount": 60.0, "time": np.array([1.5, 0.0, 4.0]), "duration": np.array([2.0, 4.0, 0.75])},
    ),
    (
        "central",
        2,
        {"amount": np.array([30.0, 40.0, 70.0]), "time": 0.2, "every": 2.0, "rate": 12.5},
    ),
    ("other", 2, {"amount": 10.0, "time": np.array([0.1, 0.6, 2.0]), "every": 5.0}),
]


@pytest.fixture(scope="module")
def problem():
    return problem_of(closed_form.model(), PARAMETERS, closed_form.regimen(LINES), TIMES, **EXACT)


def exact(entry, parameters=PARAMETERS, lines=LINES, times=TIMES, patients=3):
    return closed_form.derivative(entry, parameters, lines, times, patients)


def test_inputs_are_all_that_was_given(problem):
    assert [(entry.name, entry.line) for entry in problem.inputs] == [
        ("cl", -1), ("v", -1), ("k1", -1), ("tau", -1), ("amount", 0), ("time", 0), ("every", 0),
        ("amount", 1), ("time", 1), ("duration", 1), ("amount", 2), ("time", 2), ("every", 2),
        ("rate", 2), ("amount", 3), ("time", 3), ("every", 3),
    ]  # fmt: skip
    assert problem.given[0] is PARAMETERS["cl"]
    assert [array.shape for array in problem.given[:5]] == [(3,), (), (), (3,), (3,)]
    assert problem.shape(3) == (3, 9, 2)


def test_values(problem):
    raw = problem.solve(problem.given)
    expected = closed_form.values(PARAMETERS, LINES, TIMES, 3).real
    np.testing.assert_allclose(raw.values, expected, rtol=1e-8, atol=1e-9)


def test_jacobian_is_that_of_the_closed_form(problem):
    raw, derivatives, _ = problem.jacobian(problem.given)
    np.testing.assert_array_equal(raw.values, problem.solve(problem.given).values)
    for k, entry in enumerate(problem.inputs):
        expected = exact(entry)
        assert np.abs(expected).max() > 0.01
        np.testing.assert_allclose(
            derivatives[..., k], expected, rtol=1e-6, atol=1e-7, err_msg=str(entry)
        )


def test_gradient_is_that_of_the_closed_form_in_the_shape_of_the_input(problem):
    cotangent = np.random.default_rng(1).standard_normal((3, 9, 2))
    gradients, raw = problem.pull_back(problem.given, cotangent)
    assert (raw.status == 0).all()
    for entry, array, found in zip(problem.inputs, problem.given, gradients, strict=True):
        each = (exact(entry) * cotangent).sum(axis=(1, 2))
        expected = each if array.ndim else each.sum()
        assert found.shape == array.shape
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6, err_msg=str(entry))


@pytest.mark.parametrize("executor", ["machine_code", "interpreter"])
@pytest.mark.parametrize("seed", range(3))
def test_the_two_ways_are_adjoint(seed, executor):
    """Both differentiate the same computed solution: equal to rounding, at any tolerance."""
    rng = np.random.default_rng(seed)
    problem = problem_of(
        closed_form.model(),
        PARAMETERS,
        closed_form.regimen(LINES),
        TIMES,
        rtol=1e-4,
        executor=executor,
    )
    cotangent = rng.standard_normal((3, 9, 2))
    direction = [rng.standard_normal(array.shape) for array in problem.given]
    _, derivative, _ = problem.push_forward(problem.given, direction)
    gradients, _ = problem.pull_back(problem.given, cotangent)
    parts = [np.sum(g * d) for g, d in zip(gradients, direction, strict=True)]
    size = np.abs(derivative * cotangent).sum() + np.abs(parts).sum()
    assert abs(np.sum(derivative * cotangent) - sum(parts)) < 1e-13 * size


def test_one_direction_is_a_sum_of_the_jacobian(problem):
    _, derivatives, _ = problem.jacobian(problem.given)
    rng = np.random.default_rng(2)
    direction = [
        None if k % 3 == 0 else rng.standard_normal(array.shape)
        for k, array in enumerate(problem.given)
    ]
    _, derivative, _ = problem.push_forward(problem.given, direction)
    expected = sum(
        derivatives[..., k] * np.broadcast_to(dot, 3)[:, None, None]
        for k, dot in enumerate(direction)
        if dot is not None
    )
    np.testing.assert_allclose(derivative, expected, rtol=1e-12, atol=1e-13)
    _, still, _ = problem.push_forward(problem.given, [None] * len(direction))
    assert not still.any()


def test_a_gradient_does_not_depend_on_the_order_of_patients():
    """Sums over patients are exactly rounded; what is a patient's own has the
    same bits anywhere.
    """
    rng = np.random.default_rng(3)
    n = 50
    cl, amount, start = rng.uniform(2, 8, n), rng.uniform(10, 90, n), rng.uniform(0, 3, n)
    cotangent = rng.standard_normal((n, 9, 2))
    found = {}
    for name, order in {"as given": np.arange(n), "mixed": rng.permutation(n)}.items():
        lines = [("central", 2, {"amount": amount[order], "time": start[order], "every": 4.0})]
        problem = problem_of(
            closed_form.model(), {"cl": cl[order], "v": 20.0}, closed_form.regimen(lines), TIMES
        )
        gradients, _ = problem.pull_back(problem.given, cotangent[order])
        found[name] = [g[np.argsort(order)] if g.ndim else g for g in gradients]
    for one, other in zip(*found.values(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_other_numbers_are_as_if_they_had_been_given(problem):
    """Also for another number of patients than at first."""
    cl = np.array([3.5, 2.5])
    lines = [
        (into, doses, {name: np.ravel(f)[0] + 0.25 for name, f in fields.items()})
        for into, doses, fields in LINES
    ]
    parameters = {"cl": cl, "v": 21.0, "k1": 0.2, "tau": 1.9}
    arrays = [
        np.asarray(
            parameters[entry.name]
            if entry.kind == "parameter"
            else lines[entry.line][2][entry.name]
        )
        for entry in problem.inputs
    ]
    anew = problem_of(closed_form.model(), parameters, closed_form.regimen(lines), TIMES, **EXACT)
    np.testing.assert_array_equal(problem.solve(arrays).values, anew.solve(anew.given).values)
    cotangent = np.random.default_rng(4).standard_normal((2, 9, 2))
    for one, other in zip(
        problem.pull_back(arrays, cotangent)[0],
        anew.pull_back(anew.given, cotangent)[0],
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("name", "line", "value", "words"),
    [
        ("cl", -1, np.array([1.0, np.nan, 2.0]), "parameter 'cl' is not finite"),
        ("fraction", -1, np.array(1.5), "'fraction' is above its upper bound 1"),
        ("cl", -1, np.ones(2), "every array holds one value a patient"),
        ("amount", 0, np.array([1.0, -1.0, 2.0]), "amount into 'x' is -1 for patient 1"),
        ("every", 0, np.array(0.0), "every into 'x' is 0"),
        ("rate", 1, np.array(0.0), "rate into 'x' is 0"),
        ("time", 1, np.array(np.inf), "time into 'x' is not finite"),
    ],
)
def test_values_are_checked_where_they_are_given(name, line, value, words):
    model = tl.Model("decay")
    cl = model.parameter("cl", 1.0)
    fraction = model.parameter("fraction", 0.5, lower=0.0, upper=1.0)
    x = model.state("x")
    model.flow(x, None, cl * fraction * x)
    regimen = tl.Regimen.bolus([1, 2, 3], into="x", every=2, doses=2) + tl.Regimen.infusion(
        1, into="x", rate=2
    )
    problem = problem_of(model, {"cl": 1.0, "fraction": 0.5}, regimen, [1.0])
    arrays = list(problem.given)
    arrays[[(entry.name, entry.line) for entry in problem.inputs].index((name, line))] = value
    for ask in (
        problem.solve,
        problem.jacobian,
        lambda arrays: problem.pull_back(arrays, np.zeros((3, 1, 1))),
        lambda arrays: problem.push_forward(arrays, [None] * len(arrays)),
    ):
        with pytest.raises(tl.InputError, match=words):
            ask(arrays)


def test_short_infusions_have_no_derivative_by_duration():
    """Not zero in silence: NaN in a gradient, an error where a direction changes it."""
    lines = [
        (
            "central",
            1,
            {"amount": np.array([60.0, 60.0]), "time": 1.0, "duration": np.array([0.0, 2.0])},
        )
    ]
    problem = problem_of(
        closed_form.model(), {"v": 18.0}, closed_form.regimen(lines), TIMES, **EXACT
    )
    (v, amount, time, duration), _ = problem.pull_back(problem.given, np.ones((2, 9, 2)))
    bolus = [("central", 1, {"amount": 60.0, "time": 1.0})]
    infusion = [("central", 1, {"amount": 60.0, "time": 1.0, "duration": 2.0})]
    args = {"v": 18.0}, TIMES
    for entry, found in ((Input("parameter", "v"), v), (Input("dose", "time", 0), time)):
        expected = [exact(entry, args[0], each, args[1], 1).sum() for each in (bolus, infusion)]
        assert found == pytest.approx(sum(expected), rel=1e-6)
    entry = Input("dose", "amount", 0)
    np.testing.assert_allclose(
        amount,
        [exact(entry, args[0], each, args[1], 1).sum() for each in (bolus, infusion)],
        rtol=1e-6,
    )
    assert np.isnan(duration[0])
    assert duration[1] == pytest.approx(
        exact(Input("dose", "duration", 0), args[0], infusion, args[1], 1).sum(), rel=1e-6
    )
    problem.push_forward(problem.given, [None, None, None, np.array([0.0, 1.0])])
    with pytest.raises(tl.InputError, match="no derivative by the duration"):
        problem.push_forward(problem.given, [None, None, None, np.ones(())])


def test_a_list_of_regimens_is_as_each_patient_alone():
    """Patients with different numbers of events: parameters, through switches too."""
    regimens = [
        closed_form.regimen([(*line[:2], {k: np.ravel(f)[0] for k, f in line[2].items()})])
        for line in LINES
    ]
    regimens = [regimens[3], None, regimens[0] + regimens[3], regimens[1]]
    tau, cl = np.array([2.1, 3.3, 0.2, 4.0]), np.array([3.0, 5.0, 4.0, 2.0])
    problem = problem_of(closed_form.model(), {"cl": cl, "tau": tau, "k1": 0.2}, regimens, TIMES)
    assert [entry.name for entry in problem.inputs] == ["cl", "k1", "tau"]
    cotangent = np.random.default_rng(5).standard_normal((4, 9, 2))
    gradients, _ = problem.pull_back(problem.given, cotangent)
    _, derivatives, _ = problem.jacobian(problem.given)
    k1 = 0.0
    for patient, regimen in enumerate(regimens):
        parameters = {"cl": cl[patient], "tau": tau[patient], "k1": 0.2}
        alone = problem_of(closed_form.model(), parameters, regimen, TIMES)
        alone = alone.by(problem.inputs)
        of_one, _ = alone.pull_back(alone.given, cotangent[patient : patient + 1])
        assert of_one[0] == gradients[0][patient]
        assert of_one[2] == gradients[2][patient]
        k1 += float(of_one[1])
        np.testing.assert_array_equal(alone.jacobian(alone.given)[1][0], derivatives[patient])
    assert gradients[1] == pytest.approx(k1, rel=1e-15)
    assert derivatives[0, :, 1, 2].any()
    twice = problem.repeat(2)
    assert twice.patients_of([(), (), ()]) == 8
    arrays = [np.tile(array, 2) if array.ndim else array for array in problem.given]
    np.testing.assert_array_equal(
        twice.solve(arrays).values[4:], problem.solve(problem.given).values
    )


def test_a_switch_that_never_moves():
    """2 tau - 1 below zero: k2 holds from the start, and tau has no influence."""
    entry = Input("parameter", "tau")
    lines = [("other", 1, {"amount": 10.0, "time": 0.25})]
    parameters = {"tau": np.array([0.2, 1.5])}
    problem = problem_of(
        closed_form.model(), parameters, closed_form.regimen(lines), TIMES, **EXACT
    ).by([entry])
    _, derivatives, _ = problem.jacobian(problem.given)
    assert not derivatives[0].any()
    expected = exact(entry, parameters, lines, TIMES, 2)
    np.testing.assert_allclose(derivatives[..., 0], expected, rtol=1e-6, atol=1e-8)
    (tau,), _ = problem.pull_back(problem.given, np.ones((2, 9, 2)))
    assert tau[0] == 0.0
    assert tau[1] == pytest.approx(expected[1].sum(), rel=1e-6)


def test_one_schedule_where_a_switch_differs_between_patients():
    lines = [
        (into, doses, {f: np.ravel(value)[0] for f, value in fields.items()})
        for into, doses, fields in LINES
    ]
    problem = problem_of(
        closed_form.model(), PARAMETERS, closed_form.regimen(lines), TIMES, **EXACT
    )
    cotangent = np.random.default_rng(4).standard_normal((3, 9, 2))
    gradients, _ = problem.pull_back(problem.given, cotangent)
    _, derivatives, _ = problem.jacobian(problem.given)
    for k, (entry, array) in enumerate(zip(problem.inputs, problem.given, strict=True)):
        expected = exact(entry, lines=lines)
        np.testing.assert_allclose(
            derivatives[..., k], expected, rtol=1e-6, atol=1e-7, err_msg=str(entry)
        )
        each = (expected * cotangent).sum(axis=(1, 2))
        np.testing.assert_allclose(
            gradients[k], each if array.ndim else each.sum(), rtol=1e-6, atol=1e-6
        )


def test_a_threshold_of_minus_infinity():
    """Its slope is infinite, its switch is at time 0 and stays there."""
    model = tl.Model("late")
    p, k = model.parameters(p=1.0, k=0.3)
    x = model.state("x", 5.0)
    model.flow(x, None, tl.where(model.time < 3 * tl.log(p), k, 2 * k) * x)
    problem = problem_of(model, {"p": np.array([0.0, 2.0])}, None, [4.0], **EXACT)
    _, derivatives, _ = problem.jacobian(problem.given)
    threshold = 3 * np.log(2.0)
    expected = 5.0 * np.exp(-0.3 * threshold - 0.6 * (4.0 - threshold)) * 0.3 * 3 / 2.0
    np.testing.assert_allclose(derivatives[:, 0, 0, 0], [0.0, expected], rtol=1e-8)
    (gradient,), _ = problem.pull_back(problem.given, np.ones((2, 1, 1)))
    np.testing.assert_allclose(gradient, [0.0, expected], rtol=1e-8)


def test_the_number_of_patients_from_shapes(problem):
    n = len(problem.inputs)
    assert problem.patients_of([()] * n) == 1
    assert problem.patients_of([(), (7,)] + [()] * (n - 2)) == 7
    assert problem.by(problem.inputs[:2]).patients_of([(), ()]) == 3  # other numbers hold three
    assert problem.repeat(2).regimen is problem.regimen


def test_a_table_of_doses_that_all_patients_share():
    model = closed_form.model()
    regimen = closed_form.regimen([("central", 2, {"amount": 50.0, "time": 0.5, "every": 3.0})])
    cl = np.array([3.0, 4.0, 5.0])
    shared = problem_of(
        model, {"cl": cl}, dose_table(regimen, model.state_names, 3), TIMES, **EXACT
    )
    assert shared.patients_of([(3,)]) == 3
    expected = problem_of(model, {"cl": np.tile(cl, 2)}, regimen, TIMES, **EXACT)
    found = shared.repeat(2).solve([np.tile(cl, 2)]).values
    np.testing.assert_array_equal(found, expected.solve(expected.given).values)


@pytest.mark.parametrize("executor", ["machine_code", "interpreter"])
def test_no_step_is_longer_than_max_step(executor: str) -> None:
    """A pulse that the steps pass over is met by steps that are shorter than it."""
    model = tl.Model("pulse")
    k = model.parameter("k", 0.1)
    y = model.state("y")
    model.flow(None, y, 1000.0 * tl.exp(-((model.time - 500.0) ** 2)))
    model.flow(y, None, k * y)
    model.output("y", y)
    free = tl.simulate(model, None, None, [510.0], executor=executor)
    bounded = tl.simulate(model, None, None, [510.0], max_step=0.7, executor=executor)
    exact = 1000.0 * math.sqrt(math.pi) * math.exp(-0.1 * 10.0 + 0.1**2 / 4.0)
    assert abs(free["y"][0, 0] / exact - 1.0) > 0.5  # else this tests nothing
    np.testing.assert_allclose(bounded["y"], exact, rtol=2e-6)
    assert 510.0 / 0.7 <= bounded.steps[0] < 1000
    with pytest.raises(tl.InputError, match="Leave max_step out"):
        tl.simulate(constant_input(), None, None, [1.0], start="equilibrium", max_step=1.0)


def constant_input() -> tl.Model:
    model = tl.Model("turnover")
    y = model.state("y")
    model.flow(None, y, 1.0)
    model.flow(y, None, 0.1 * y)
    model.output("y", y)
    return model
