"""The discrete adjoint and forward sensitivities of the core: against differences of the frozen
steps, against each other, against tight solutions, published sensitivities and closed forms; and
their bits."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import teorell as tl
from adjoint_case import Case, oral
from frozen_steps import Frozen, step_ends
from teorell.benchmark import reference_models
from teorell.engine import executors
from teorell.engine.batch import Tangents
from teorell.schedule.switch_rows import SwitchTimes

PROBLEMS = {"A": reference_models.problem_a, "B": reference_models.problem_b}
ORAL = tl.Regimen.bolus(100, into="STO", every=12, doses=4)


def problem(kind, patients, regimen=ORAL, times=reference_models.TIMES, **options):
    people = reference_models.population(kind, patients)
    return Case(PROBLEMS[kind](), people, regimen, times, patients, **options)


def chain(states=110):
    """A transit chain with a saturable end: many states, few of them nonlinear."""
    model = tl.Model("chain")
    k, vmax, km, back = model.parameters(k=40.0, vmax=20.0, km=5.0, back=3.0)
    names = [f"x{i}" for i in range(states)]
    x = [model.state(name, 50.0 if i == 0 else 0.0) for i, name in enumerate(names)]
    for i in range(states - 1):
        model.flow(x[i], x[i + 1], k * x[i] - (back * x[i + 1] if i % 3 == 0 else 0.0))
    model.flow(x[-1], None, vmax * x[-1] / (km + x[-1]))
    model.output("end", x[-1])
    early, middle, late = (states * part // 22 for part in (1, 12, 20))
    model.output("sum", x[early] * x[middle] + x[late])
    return model


# Exact for the computed solution
# --------------------------------------------------------------------------------------


def frozen_differences(case, doses, step=1e-4):
    """d (sum of all outputs) / d log of each parameter and amount, by Richardson's central
    differences.
    """
    times = case.times
    last, case.times = case.times[-1], np.array([1000.0])
    ends = step_ends(lambda attempts: case.solve(max_steps=attempts), last)
    case.times = times
    frozen = Frozen(case.model, ends, case.times)
    columns = [float(np.ravel(column)[0]) for column in case.columns]
    one = np.eye(len(columns) + len(doses))
    signs = np.concatenate([one, -one, one / 2, -one / 2]) * step  # one batch of all
    parameters = {
        name: value * (1 + signs[:, k])
        for k, (name, value) in enumerate(zip(case.names, columns, strict=True))
    }
    given = [
        (when, state, amount * (1 + signs[:, len(columns) + k]))
        for k, (when, state, amount) in enumerate(doses)
    ]
    totals = frozen.solve(parameters, given).sum(axis=(1, 2)).reshape(4, -1)
    wide, narrow = (totals[0] - totals[1]) / (2 * step), (totals[2] - totals[3]) / step
    return (4 * narrow - wide) / 3


@pytest.mark.parametrize("kind", ["A", "B", "chain", "oral", "in time"])
def test_gradient_is_that_of_the_frozen_steps(kind):
    times = np.linspace(0.0, 18.0, 19)
    if kind in PROBLEMS:
        case = problem(kind, 1, tl.Regimen.bolus(100, into="STO", every=12, doses=2), times)
        sto = case.states.index("STO")
        doses = [(0.0, sto, 100.0), (12.0, sto, 100.0)]
    elif kind == "chain":
        case, doses = (
            Case(
                chain(), None, tl.Regimen.bolus(30, into="x3", time=2.0), np.linspace(0.0, 4.0, 9)
            ),
            [(2.0, 3, 30.0)],
        )
    elif kind == "oral":
        case, doses = (
            Case(oral(), None, tl.Regimen.bolus(80, into="gut", time=1.0), times),
            [(1.0, 0, 80.0)],
        )
    else:
        model = tl.Model("in time")
        a, b = model.parameters(a=0.7, b=1.3)
        x, y = model.states("x", "y")
        model.initial(x, 2.0 * b)
        model.flow(x, y, a * x * (1.2 + tl.sin(b * model.time)) / (1.0 + 0.1 * x))
        model.rate(y, -0.3 * y * tl.exp(-0.1 * model.time))
        model.output("y", y * y + model.time * a)
        case, doses = Case(model, None, None, np.linspace(0.0, 6.0, 13)), []
    exact = frozen_differences(case, doses)
    gradient = case.pull_back(np.ones((1, len(case.times), len(case.outputs))))
    found = gradient.parameters[0] * [float(np.ravel(column)[0]) for column in case.columns]
    boluses = gradient.event_value.reshape(-1) * [amount for _, _, amount in doses]
    scale = np.abs(exact[: len(found)]).max()
    np.testing.assert_allclose(
        np.concatenate([found, boluses]) / scale, exact / scale, rtol=0, atol=1e-8
    )


@pytest.mark.parametrize("kind", ["A", "B", "chain"])
def test_forward_and_reverse_agree(kind):
    case = (
        problem(kind, 9)
        if kind in PROBLEMS
        else Case(chain(), {"k": np.linspace(20, 60, 5)}, None, [1.0, 3.0], 5)
    )
    weights = np.random.default_rng(1).normal(
        size=(case.patients, len(case.times), len(case.outputs))
    )
    reverse = case.pull_back(weights)
    raw, jacobian = case.push_forward(Tangents(np.eye(len(case.names))[:, None, :]))
    forward = np.einsum("itod,ito->id", jacobian, weights)
    np.testing.assert_allclose(
        case.scaled(forward), case.scaled(reverse.parameters), rtol=0, atol=1e-10
    )
    assert np.array_equal(raw.values, case.solve().values)


@pytest.mark.parametrize("kind", ["A", "B", "chain"])
def test_gradient_is_that_of_the_solution(kind):
    """Within 1e-5 of the largest: differences of solutions at rtol 1e-12, for the gradient at rtol
    1e-6.
    """
    case = problem(kind, 3) if kind in PROBLEMS else Case(chain(), None, None, [0.5, 1.0])
    found = case.pull_back(np.ones((case.patients, len(case.times), len(case.outputs)))).parameters
    one = np.eye(len(case.columns))
    factors = 1 + 1e-3 * np.concatenate([one, -one, one / 2, -one / 2])  # one batch of all
    columns = np.stack([np.broadcast_to(column, case.patients) for column in case.columns])
    others = {
        name: np.outer(factors[:, k], columns[k]).ravel() for k, name in enumerate(case.names)
    }
    tight = {"rtol": 1e-12, "atol": case.options["atol"] * 1e-5}
    many = Case(case.model, others, case.regimen, case.times, factors.shape[0] * case.patients)
    totals = many.solve(**tight).values.sum(axis=(1, 2)).reshape(4, len(one), case.patients)
    wide, narrow = (totals[0] - totals[1]) / 2e-3, (totals[2] - totals[3]) / 1e-3
    exact = ((4 * narrow - wide) / 3 / columns).T
    np.testing.assert_allclose(case.scaled(found), case.scaled(exact), rtol=0, atol=1e-5)


def test_robertson_sensitivities(shared):
    """Published values from CVODES, printed with five digits (cvsRoberts_FSA_dns)."""
    given = json.loads((shared / "data" / "reference" / "ivp_reference.json").read_text())["ROBER"][
        "sensitivities_cvodes"
    ]
    model = tl.Model("Robertson", time_unit="s")
    p1, p2, p3 = model.parameters(p1=0.04, p2=1e4, p3=3e7)
    a, b, c = model.state("a", 1.0), model.state("b"), model.state("c")
    model.rate(a, -p1 * a + p2 * b * c)
    model.rate(b, p1 * a - p2 * b * c - p3 * b * b)
    model.rate(c, p3 * b * b)
    case = Case(model, None, None, given["times"], rtol=1e-8, atol=np.full(3, 1e-14))
    _, jacobian = case.push_forward(Tangents(np.eye(3)[:, None, :]))
    expected = np.array(given["dy_dp"])
    scale = np.abs(expected).max(axis=1, keepdims=True)  # of each parameter
    np.testing.assert_allclose(
        jacobian[0] / scale, expected / scale, rtol=0, atol=given["tolerance_used_by_OSP"]
    )
    exact = np.empty((2, 3, 3))
    for k, value in enumerate((0.04, 1e4, 3e7)):
        sides = []
        for sign in (1, -1):
            columns = [*case.columns]
            columns[k] = np.asarray(value * (1 + sign * 1e-4))
            sides.append(case.solve(columns, rtol=1e-12, atol=np.full(3, 1e-18)).values[0])
        exact[:, :, k] = (sides[0] - sides[1]) / (2e-4 * value)
    np.testing.assert_allclose(jacobian[0] / scale, exact / scale, rtol=0, atol=1e-6)
    for state in range(3):
        weights = np.zeros((1, 2, 3))
        weights[0, 1, state] = 1.0
        np.testing.assert_allclose(
            case.pull_back(weights).parameters[0] / scale[1],
            jacobian[0, 1, state] / scale[1],
            rtol=0,
            atol=1e-10,
        )


# Events
# --------------------------------------------------------------------------------------------------


def busy(patients=6, **options):
    """Boluses, overlapping infusions and a switch, at times that differ between patients."""
    model = tl.Model("busy")
    ka, vmax, km, late = model.parameters(ka=1.2, vmax=9.0, km=30.0, late=7.3)
    gut, central, deep = model.states("gut", "central", "deep")
    model.flow(gut, central, ka * gut * tl.where(model.time < late, 1.0, 0.4))
    model.flow(central, None, vmax * central / (km + central))
    model.flow(central, deep, 0.5 * central - 0.2 * deep)
    model.output("cp", central)
    model.output("square", central * central / km)
    spread = np.linspace(0.0, 1.0, patients)
    regimen = (
        tl.Regimen.bolus(80 + 10 * spread, into="gut", time=0.5 + spread, every=5.0, doses=2)
        + tl.Regimen.infusion(40, into="central", duration=2.0 + spread, time=1.0)
        + tl.Regimen.infusion(30, into="central", duration=3.0, time=2.2 - spread)
        + tl.Regimen.bolus(5.0, into="central", time=4.0)
    )
    switches = [SwitchTimes(np.asarray(7.3 + spread), 1.0, 0.0)]
    parameters = {"vmax": 9.0 + spread, "late": 7.3 + spread}
    return Case(
        model,
        parameters,
        regimen,
        np.linspace(0.0, 12.0, 25),
        patients,
        switches=switches,
        **options,
    )


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("method", executors.METHODS)
def test_adjointness_through_events(before, method):
    """<J v, w> = <v, J' w> over parameters, amounts, rates and times of events."""
    case = busy(before=before, method=method)
    rng = np.random.default_rng(3)
    w = rng.normal(size=(6, 25, 2))
    rows = case.timeline.time.size
    v = Tangents(rng.normal(size=(2, 6, 4)), rng.normal(size=(2, rows)), rng.normal(size=(2, rows)))
    gradient = case.pull_back(w)
    _, derivative = case.push_forward(v)
    pushed = np.einsum("itod,ito->d", derivative, w)
    pulled = np.einsum("dip,ip->d", v.parameters, gradient.parameters)
    pulled += v.event_value @ gradient.event_value + v.event_time @ gradient.event_time
    np.testing.assert_allclose(pulled, pushed, rtol=1e-10)


@pytest.mark.parametrize("row", range(8))
def test_event_derivatives_are_those_of_tight_solutions(row):
    """Values to 1e-8 and times within 10 rtol, by differences on both sides; no sample lies at an
    event here.
    """
    rtol = 1e-7
    case = busy(1, rtol=rtol, atol=np.full(3, 1e-10))
    case.times = np.linspace(0.05, 12.05, 25)
    gradient = case.pull_back(np.ones((1, 25, 2)))
    scale = np.abs(gradient.event_time).max()
    tight = {"rtol": 1e-12, "atol": np.full(3, 1e-13)}

    kind, value = case.timeline.kind, case.timeline.value
    # The rate of an infusion stands in two rows, that of its start and that of its end.
    rows = (
        np.flatnonzero((value == value[row]) & np.isin(kind, (1, 2)))
        if kind[row] in (1, 2)
        else [row]
    )

    def total(field, change):
        table = case.table(case.regimen)
        getattr(table, field)[[row] if field == "time" else rows] += change
        return case.solve(timeline=table, **tight).values.sum()

    for sign in (1, -1):  # one-sided, with Richardson's extrapolation
        start = total("time", 0.0)
        one, two, four = (sign * (total("time", sign * h) - start) / h for h in (1e-4, 2e-4, 4e-4))
        slope = (8 * one - 6 * two + four) / 3
        assert abs(slope - gradient.event_time[row]) < 10 * rtol * scale + 1e-7 * scale
    if kind[row] != 3:
        slope = (total("value", 1e-2) - total("value", -1e-2)) / 2e-2
        assert gradient.event_value[rows].sum() == pytest.approx(slope, rel=1e-5)


def test_a_sample_at_the_dose_takes_the_side_on_which_it_sees_it():
    """One compartment, bolus at 2: the sample at 2 sees it, and sees more of it decayed if it had
    come earlier.
    """
    model = tl.Model("decay")
    (k,) = model.parameters(k=0.3)
    (x,) = model.states("x")
    model.flow(x, None, k * x)
    regimen = tl.Regimen.bolus(10.0, into="x", time=2.0)
    after = Case(model, None, regimen, [2.0]).pull_back(np.ones((1, 1, 1)))
    assert after.event_time[0] == pytest.approx(0.3 * 10.0, rel=1e-12)
    assert after.event_value[0] == 1.0
    before = Case(model, None, regimen, [2.0], before=True).pull_back(np.ones((1, 1, 1)))
    assert before.event_time[0] == before.event_value[0] == 0.0


def test_a_dose_of_nothing_and_an_infusion_that_ends_on_a_sample():
    model = tl.Model("decay")
    (k,) = model.parameters(k=0.3)
    (x,) = model.states("x")
    model.flow(x, None, k * x)
    regimen = tl.Regimen.bolus(0.0, into="x", time=1.0)
    alone = Case(model, None, regimen, [3.0]).pull_back(np.ones((1, 1, 1)))
    assert alone.event_time[0] == 0.0
    assert alone.event_value[0] == pytest.approx(
        np.exp(-0.6), rel=1e-2
    )  # the steps are those of a solution that is zero
    both = Case(model, None, tl.Regimen.bolus(1.0, into="x") + regimen, [3.0]).pull_back(
        np.ones((1, 1, 1))
    )
    assert both.event_value[1] == pytest.approx(np.exp(-0.6), rel=1e-6)
    case = Case(model, None, tl.Regimen.infusion(10.0, into="x", duration=2.0), [2.0], rtol=1e-9)
    found = case.pull_back(np.ones((1, 1, 1)))
    exact = (1 - np.exp(-0.6)) / 0.3  # d x(2) / d rate
    assert found.event_value[0] == pytest.approx(exact, rel=1e-8)
    assert found.event_time[0] == pytest.approx(-5.0 * np.exp(-0.6), rel=1e-8)
    assert found.event_time[1] == pytest.approx(
        5.0, rel=1e-12
    )  # seen on the side on which the infusion had ended earlier


# Bits, memory, failures
# -------------------------------------------------------------------------------------------------


def bits(gradient):
    return [
        getattr(gradient, name).tobytes()
        for name in ("parameters", "initial", "event_value", "event_time")
    ]


def test_bits_do_not_depend_on_how_it_is_computed():
    case = problem("B", 37, times=np.linspace(0, 20, 41))
    w = np.random.default_rng(2).normal(size=(37, 41, 1))
    one = bits(case.pull_back(w, threads=1))
    assert one == bits(case.pull_back(w, threads=3))
    assert one == bits(case.pull_back(w, executor="interpreter"))
    assert one == bits(case.pull_back(w, recorded_steps=16))
    assert one == bits(case.pull_back(lambda values, patients: w[patients]))
    fused = [build["name"] for build in executors.instruction_sets() if build["fma"]]
    assert all(one == bits(case.pull_back(w, isa=isa)) for isa in fused)


def test_bits_do_not_depend_on_batch_mates():
    case = busy(23)
    w = np.random.default_rng(2).normal(size=(23, 25, 2))
    whole = case.pull_back(w)
    order = np.random.default_rng(5).permutation(23)
    moved = busy(23)
    moved.columns = [column[order] if column.ndim else column for column in case.columns]
    rows = case.timeline.time.size // 23
    table = case.timeline
    shuffled = {
        name: np.ascontiguousarray(getattr(table, name).reshape(23, rows)[order].reshape(-1))
        for name in ("time", "kind", "target", "value", "role", "source", "number")
    }
    moved.timeline = replace(table, **shuffled)
    other = moved.pull_back(w[order])
    assert np.array_equal(other.parameters, whole.parameters[order])
    assert np.array_equal(
        other.event_time.reshape(23, rows), whole.event_time.reshape(23, rows)[order]
    )


def test_forward_bits_do_not_depend_on_the_executor():
    case = busy(11)
    v = Tangents(np.random.default_rng(0).normal(size=(3, 11, 4)))
    one = case.push_forward(v)[1]
    assert np.array_equal(one, case.push_forward(v, executor="interpreter", threads=2)[1])


def test_failed_patients_have_no_gradient_and_no_effect():
    model = tl.Model("blow up")
    (rate,) = model.parameters(rate=0.1)
    x = model.state("x", 1.0)
    model.rate(x, rate * x * x)
    case = Case(model, {"rate": np.array([0.1, 5.0, 0.2])}, None, [0.5, 1.0], 3, rtol=1e-10)
    weights = np.ones((3, 2, 1))
    weights[1] = np.nan  # what a loss makes of missing values
    found = case.pull_back(weights)
    assert found.status.tolist()[0::2] == [0, 0]
    assert found.status[1] != 0
    exact = [sum(t / (1 - r * t) ** 2 for t in (0.5, 1.0)) for r in (0.1, 0.2)]
    np.testing.assert_allclose(found.parameters[[0, 2], 0], exact, rtol=1e-8)
    assert found.parameters[1, 0] == found.initial[1, 0] == 0.0
    _, derivative = case.push_forward(Tangents(np.ones((1, 1, 1))))
    assert np.isnan(derivative[1, 1])
    np.testing.assert_allclose(derivative[[0, 2], :, 0, 0].sum(axis=1), exact, rtol=1e-8)


def test_branches_that_are_not_taken_give_no_nan():
    """sqrt has an infinite derivative at 0, in a branch that `where` does not take there."""
    model = tl.Model("branches")
    a, b = model.parameters(a=0.5, b=2.0)
    x, y = model.state("x", 1.0), model.state("y", 0.0)
    model.flow(x, None, a * x)
    model.rate(y, tl.where(y > 0.5, b * tl.sqrt(y - 0.5), 0.0) + a * tl.max(x - 2.0, 0.0))
    model.output("both", x + y)
    case = Case(model, None, None, [1.0], rtol=1e-9)
    found = case.pull_back(np.ones((1, 1, 1))).parameters[0]
    np.testing.assert_allclose(found, [-np.exp(-0.5), 0.0], rtol=1e-8)


def test_errors_of_a_loss_stop_the_run():
    case = problem("A", 200)

    def wrong(values, patients):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        case.pull_back(wrong, threads=2)
