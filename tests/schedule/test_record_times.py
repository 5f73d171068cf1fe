"""Sample times of each patient's own, and samples that lie between events of one time."""

from __future__ import annotations

import numpy as np
import pytest
import teorell as tl
from compartments import oral
from teorell import InputError, Regimen
from teorell.schedule.dose_table import DoseTable
from teorell.schedule.record_times import RecordTimes, ragged_times

MODEL = oral(ka=1.2, cl=2.0, v=10.0, amounts=True)
GRID = np.linspace(0.0, 30.0, 61)
CL = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
REGIMEN = Regimen.bolus(100, "gut", every=8, doses=4) + Regimen.infusion(
    30, "central", duration=5, time=3
)


def ragged(seed=0, patients=5):
    rng = np.random.default_rng(seed)
    return [
        np.sort(rng.choice(61, size=rng.integers(0, 12), replace=True)) for _ in range(patients)
    ]


@pytest.mark.parametrize("executor", ["machine_code", "interpreter"])
@pytest.mark.parametrize("samples", ["before", "after"])
def test_samples_are_those_of_a_grid(samples, executor):
    chosen = ragged()
    whole = tl.simulate(MODEL, {"cl": CL}, REGIMEN, GRID, samples=samples, executor=executor)
    own = tl.simulate(
        MODEL, {"cl": CL}, REGIMEN, [GRID[k] for k in chosen], samples=samples, executor=executor
    )
    assert own.values.shape == (sum(map(len, chosen)), 2)
    for i, k in enumerate(chosen):
        rows = slice(own.offsets[i], own.offsets[i + 1])
        np.testing.assert_array_equal(own.values[rows], whole.values[i, k])
        np.testing.assert_array_equal(own.time[rows], GRID[k])
        assert (own.patient[rows] == i).all()


def test_a_patient_without_samples_and_one_that_fails():
    model = tl.Model("growth")
    rate, x0 = model.parameters(rate=0.0, x0=1.0)
    x = model.state("x", x0)
    model.rate(x, rate * x * x)
    own = tl.simulate(model, {"rate": [0.0, 1.0, 0.5]}, None, [[], [0.5, 2.0], [0.0, 1.0]])
    np.testing.assert_allclose(own.values[[0, 2, 3], 0], [2.0, 1.0, 2.0], rtol=1e-5)
    assert np.isnan(own.values[1, 0])
    assert [bool(s) for s in own.status] == [False, True, False]


def test_gradients_are_those_of_a_grid_with_weights_where_samples_are():
    chosen = ragged(3)
    rng = np.random.default_rng(1)
    own_weights = rng.standard_normal((sum(map(len, chosen)), 2))
    weights, row = np.zeros((5, 61, 2)), 0
    for i, k in enumerate(chosen):
        for place in k:
            weights[i, place] += own_weights[row]
            row += 1
    value, expected = tl.value_and_grad(weights, MODEL, {"cl": CL}, REGIMEN, GRID)
    times = [GRID[k] for k in chosen]
    losses = {
        "weights": own_weights,
        "function": lambda values: ((own_weights * values).sum(), own_weights),
    }
    for loss in losses.values():
        got, gradient = tl.value_and_grad(loss, MODEL, {"cl": CL}, REGIMEN, times)
        np.testing.assert_allclose(got, value, rtol=1e-12)
        for name in ("cl", "v", "ka"):
            np.testing.assert_allclose(
                gradient.parameters[name], expected.parameters[name], rtol=1e-11
            )
        np.testing.assert_allclose(gradient.doses[0].amount, expected.doses[0].amount, rtol=1e-11)
    jacobian = tl.jacobian(MODEL, {"cl": CL}, REGIMEN, times, wrt=["cl"])
    per_patient = np.zeros(5)
    np.add.at(
        per_patient,
        jacobian.patient,
        (own_weights[..., None] * jacobian.derivatives).sum(axis=(1, 2)),
    )
    np.testing.assert_allclose(per_patient, expected.parameters["cl"], rtol=1e-9)


def test_a_loss_by_patient_gets_the_rows_of_its_patients():
    times = [GRID[k] for k in ragged(5)]
    at = ragged_times(times)

    def loss(values, patients):
        assert len(values) == sum(len(times[i]) for i in patients)
        total = np.zeros(len(patients))
        np.add.at(total, at.among(patients), (values**2).sum(axis=1))
        return total, 2.0 * values

    def whole(values):
        return (values**2).sum(), 2.0 * values

    a, by_patient = tl.value_and_grad(loss, MODEL, {"cl": CL}, REGIMEN, times, by_patient=True)
    b, at_once = tl.value_and_grad(whole, MODEL, {"cl": CL}, REGIMEN, times)
    np.testing.assert_allclose(a, b, rtol=1e-13)
    np.testing.assert_allclose(by_patient.parameters["cl"], at_once.parameters["cl"], rtol=1e-12)


def doses(orders, amounts, time, steady=0, kind=0):
    n = len(orders)
    return DoseTable(
        ("gut", "central"),
        offsets=np.array([0, n]),
        into=np.ones(n, np.int32),
        kind=np.full(n, kind, np.int8),
        steady=np.full(n, steady, np.int8),
        amount=np.array(amounts, float),
        time=np.full(n, time),
        every=np.zeros(n),
        extent=np.zeros(n),
        doses=np.ones(n, np.int64),
        order=np.array(orders),
    )


@pytest.mark.parametrize("executor", ["machine_code", "interpreter"])
def test_records_of_one_time_count_in_their_order(executor):
    """Observation, dose, observation, dose, dose, observation, all at 3 h; then one at 4 h."""
    table = doses([1, 3, 4], [10.0, 20.0, 40.0], 3.0)
    at = RecordTimes(np.array([3.0, 3.0, 3.0, 4.0]), np.array([0, 4]), np.array([0, 2, 5, 6]))
    solution = tl.simulate(MODEL, {}, table, at, outputs="cp", rtol=1e-9, executor=executor)
    expected = [0.0, 1.0, 7.0, 7.0 * np.exp(-0.2)]
    np.testing.assert_allclose(solution["cp"], expected, rtol=1e-8)
    weights = np.array([[3.0], [5.0], [7.0], [11.0]])
    _, gradient = tl.value_and_grad(weights, MODEL, {}, table, at, outputs="cp", rtol=1e-9)
    np.testing.assert_allclose(
        gradient.parameters["cl"], -11.0 * 7.0 * 0.1 * np.exp(-0.2), rtol=1e-6
    )
    forward = tl.jacobian(MODEL, {}, table, at, outputs="cp", wrt="v", rtol=1e-9)
    np.testing.assert_allclose(
        (forward.derivatives[:, 0, 0] * weights[:, 0]).sum(), gradient.parameters["v"], rtol=1e-9
    )


def test_tables_of_samples():
    solution = tl.simulate(MODEL, {"cl": CL[:2]}, REGIMEN, [[1.0, 2.0], [5.0]])
    frame = solution.to_dataframe()
    assert frame["patient"].tolist() == [0, 0, 1]
    assert frame["time"].tolist() == [1.0, 2.0, 5.0]
    data = solution.to_xarray()
    assert data["cp"].dims == ("sample",)
    assert data["cp"].attrs["units"] == "mg/L"
    assert data["sample_patient"].to_numpy().tolist() == [0, 0, 1]
    with pytest.raises(InputError, match="one grid"):
        solution.nca("cp")
    with pytest.raises(InputError, match="unsorted"):
        tl.simulate(MODEL, {}, REGIMEN, [[2.0, 1.0]])
    with pytest.raises(InputError, match="list of times"):
        tl.simulate(MODEL, {"cl": CL}, REGIMEN, [[2.0], [1.0]])


@pytest.mark.parametrize(
    ("times", "offsets", "order"),
    [
        ([1.0, 2.0], [0, -5, 1, 2, 2], None), ([1.0, 2.0], [0, 1, 2, 3, 1000], None),
        ([1.0, 2.0], [1, 2], None), ([1.0, 2.0], [0, 1], None), ([1.0, 2.0], [0.0, 2.0], None),
        ([1.0, 2.0], [[0, 2]], None), ([1.0, 2.0], [], None), ([2.0, 1.0], [0, 2], None),
        ([-1.0, 1.0], [0, 2], None), ([np.nan, 1.0], [0, 2], None), ([1.0, np.inf], [0, 2], None),
        ([1.0, 1.0], [0, 2], [1, 0]), ([1.0, 2.0], [0, 2], [1]), ([1.0, 2.0], [0, 2], [0.5, 1.5]),
    ],
)  # fmt: skip
def test_record_times_that_somebody_made_are_checked(times, offsets, order):
    model = tl.Model("m")
    k = model.parameter("k", 1.0)
    x = model.state("x")
    model.flow(x, None, k * x)
    made = RecordTimes(
        np.array(times), np.array(offsets), None if order is None else np.array(order)
    )
    with pytest.raises(tl.InputError):
        tl.simulate(model, {"k": 1.0}, None, made)


@pytest.mark.parametrize(
    ("values", "times", "offsets"),
    [
        ([1.0, 2.0], [0.0, 1.0], [0, 5]), ([1.0, 2.0], [1.0, 0.0], [0, 2]),
        ([1.0, 2.0], [0.0], [0, 2]), ([1.0, np.nan], [0.0, 1.0], [0, 2]),
        ([1.0, 2.0], [0.0, 1.0], [0, 0, 2]),
    ],
)  # fmt: skip
def test_steps_that_somebody_made_are_checked(values, times, offsets):
    model = tl.Model("m")
    k = model.parameter("k", 1.0)
    x = model.state("x")
    model.flow(x, None, k * x)
    made = tl.Stepwise(np.array(values), np.array(times), np.array(offsets))
    with pytest.raises(tl.InputError):
        tl.simulate(model, {"k": made}, None, [1.0])
