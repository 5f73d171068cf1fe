"""Sample times as an array (patients, times), padded with NaN: the bits of the lists they are."""

from __future__ import annotations

import numpy as np
import pytest
import teorell as tl
import torch
from compartments import oral
from teorell import InputError, Regimen

MODEL = oral(ka=1.2, cl=2.0, v=10.0, amounts=True)
CL = np.array([1.0, 2.0, 3.0, 4.0])
REGIMEN = Regimen.bolus(100, "gut", every=8, doses=3) + Regimen.infusion(
    30, "central", duration=5, time=3
)
NAN = np.nan
LISTS = [[0.0, 1.0, 8.0, 8.0], [2.5], [], [3.0, 9.0]]
ARRAY = np.array([[*row, *[NAN] * (5 - len(row))] for row in LISTS])
TAKEN = ~np.isnan(ARRAY)


def equal_bits(a, b):
    assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


@pytest.mark.parametrize("of", [np.asarray, torch.as_tensor], ids=["array", "tensor"])
def test_values_are_those_of_lists_and_nan_elsewhere(of):
    lists = tl.simulate(MODEL, {"cl": CL}, REGIMEN, LISTS)
    padded = tl.simulate(MODEL, {"cl": CL}, REGIMEN, of(ARRAY))
    assert padded.values.shape == (4, 5, 2)
    equal_bits(padded.array[TAKEN], lists.values)
    assert np.isnan(padded.array[~TAKEN]).all()
    equal_bits(padded.time, ARRAY)
    assert padded.patient.tolist() == [0, 1, 2, 3]


def test_full_rows_are_a_grid():
    times = np.array([0.0, 2.0, 7.5], np.float32)
    grid = tl.simulate(MODEL, {"cl": CL}, REGIMEN, times)
    rows = tl.simulate(MODEL, {"cl": CL}, REGIMEN, np.tile(times, (4, 1)))
    equal_bits(rows.values, grid.values)
    one = tl.simulate(MODEL, {"cl": 1.0}, REGIMEN, times[None])
    equal_bits(one.values, grid.values[:1])
    nobody = tl.simulate(MODEL, {"cl": 1.0}, REGIMEN, np.full((1, 2), NAN))
    assert np.isnan(nobody.values).all()
    assert nobody.status.tolist() == [0]


def test_gradients_are_those_of_lists_and_padding_has_none():
    """The slope of a square is NaN where the value is: it must not spread."""

    def squares(values):
        return np.nansum(values**2), 2.0 * values

    def of_some(values, patients):
        return np.nansum(values**2, axis=(1, 2)), 2.0 * values

    a, lists = tl.value_and_grad(squares, MODEL, {"cl": CL}, REGIMEN, LISTS)
    b, padded = tl.value_and_grad(squares, MODEL, {"cl": CL}, REGIMEN, ARRAY)
    c, by_patient = tl.value_and_grad(of_some, MODEL, {"cl": CL}, REGIMEN, ARRAY, by_patient=True)
    np.testing.assert_allclose([b, c], a, rtol=1e-13)
    for found in (padded, by_patient):
        for name in ("cl", "v"):
            equal_bits(found.parameters[name], lists.parameters[name])
        equal_bits(found.doses[0].amount, lists.doses[0].amount)
    weights = np.random.default_rng(0).standard_normal((4, 5, 2))
    d, of_rows = tl.value_and_grad(weights[TAKEN], MODEL, {"cl": CL}, REGIMEN, LISTS)
    e, of_places = tl.value_and_grad(weights, MODEL, {"cl": CL}, REGIMEN, ARRAY)
    np.testing.assert_allclose(d, e, rtol=1e-12)
    equal_bits(of_rows.parameters["cl"], of_places.parameters["cl"])
    forward = tl.jacobian(MODEL, {"cl": CL}, REGIMEN, ARRAY, wrt=["cl"])
    rows = tl.jacobian(MODEL, {"cl": CL}, REGIMEN, LISTS, wrt=["cl"])
    equal_bits(forward.derivatives[TAKEN], rows.derivatives)
    assert np.isnan(forward.derivatives[~TAKEN]).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_torch_differentiates_through_them(dtype):
    def gradient(times, total):
        cl = torch.tensor(CL, dtype=dtype, requires_grad=True)
        total(tl.simulate(MODEL, {"cl": cl}, REGIMEN, times).values).backward()
        return cl.grad.numpy()

    taken = torch.as_tensor(TAKEN)[..., None]
    expected = gradient(LISTS, lambda values: (values**2).sum())
    by_mask = gradient(
        torch.as_tensor(ARRAY), lambda values: torch.where(taken, values, 0.0).square().sum()
    )
    by_nan = gradient(ARRAY, lambda values: torch.nansum(values**2))
    equal_bits(by_mask, expected)
    equal_bits(by_nan, expected)
    runs = torch.func.vmap(
        lambda cl: tl.simulate(MODEL, {"cl": cl}, REGIMEN, torch.as_tensor(ARRAY)).values
    )(torch.tensor(np.stack([CL, 2 * CL])))
    equal_bits(runs[0].numpy()[TAKEN], tl.simulate(MODEL, {"cl": CL}, REGIMEN, LISTS).values)


def test_tables_leave_padding_out():
    solution = tl.simulate(MODEL, {"cl": CL}, REGIMEN, ARRAY)
    frame = solution.to_dataframe()
    assert frame["patient"].tolist() == [0, 0, 0, 0, 1, 3, 3]
    assert frame["time"].tolist() == [0.0, 1.0, 8.0, 8.0, 2.5, 3.0, 9.0]
    data = solution.to_xarray()
    assert data["cp"].dims == ("patient", "sample")
    equal_bits(data["time"].to_numpy(), ARRAY)
    assert "7 samples from 0 to 9" in repr(solution)
    for use in (solution.nca, solution.plot):
        with pytest.raises(InputError, match="one grid"):
            use("cp")


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([[1.0, 0.5], [1.0, NAN]], "times of patient 0 are negative or unsorted"),
        ([[0.5, 1.0], [-1.0, NAN]], "times of patient 1 are negative or unsorted"),
        ([[0.5, 1.0], [NAN, 1.0]], "times of patient 1 have NaN before a time"),
        ([[0.5, 1.0], [1.0, np.inf]], "not finite"),
        ([[True, True], [True, True]], "type bool"),
        ([["1", "2"], ["3", "4"]], "type <U1"),
        (np.zeros((2, 0)), "nothing would be returned"),
        (np.zeros((0, 3)), "no patients"),
        (np.zeros((3, 2)), "3 patients"),
        (np.zeros((2, 2, 2)), "3 dimensions"),
        (np.ma.masked_greater(np.ones((2, 2)), 0.0), "masked"),
    ],
)
def test_what_does_not_fit_is_one_sentence(times, message):
    with pytest.raises(InputError, match=message):
        tl.simulate(MODEL, {"cl": CL[:2]}, REGIMEN, np.ma.asanyarray(times)
                    if isinstance(times, np.ma.MaskedArray) else np.asarray(times))  # fmt: skip


def test_times_with_a_derivative_are_refused():
    with pytest.raises(InputError, match="times is a tensor with a derivative"):
        tl.simulate(MODEL, {"cl": CL}, REGIMEN, torch.tensor(ARRAY, requires_grad=True))
