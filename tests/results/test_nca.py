"""Non-compartmental analysis against curves whose integrals and slopes are known exactly."""

from __future__ import annotations

import numpy as np
import pytest
import teorell as tl
from teorell import InputError, NCAWarning, nca
from teorell.results.nca import analyse

TIMES = np.linspace(0.0, 24.0, 97)
RATES = np.array([0.05, 0.2, 0.7])


@pytest.fixture
def decay():
    """C = 10 exp(-k t) for three rates, shape (3, 97): the logarithmic trapezoid is exact on it."""
    return analyse(TIMES, 10.0 * np.exp(-RATES[:, None] * TIMES))


def test_mono_exponential_is_exact(decay):
    np.testing.assert_allclose(decay.auc_last, 10.0 / RATES * -np.expm1(-24.0 * RATES), rtol=1e-13)
    np.testing.assert_allclose(decay.auc_inf, 10.0 / RATES, rtol=1e-12)
    np.testing.assert_allclose(decay.half_life, np.log(2.0) / RATES, rtol=1e-12)
    np.testing.assert_allclose(decay.extrapolated, np.exp(-24.0 * RATES), rtol=1e-10)
    np.testing.assert_allclose(decay.r2_adjusted, 1.0, rtol=1e-12)
    assert (decay.cmax == 10.0).all()
    assert (decay.tmax == 0.0).all()
    assert (decay.points == 96).all()  # all but the maximum


def test_rising_part_is_the_linear_trapezoid():
    curve = np.array([0.0, 2.0, 4.0, 4.0, 2.0, 1.0])
    result = analyse([0.0, 1.0, 2.0, 3.0, 4.0, 5.0], curve)
    falling = 2.0 / np.log(2.0) + 1.0 / np.log(2.0)
    assert result.auc_last[0] == pytest.approx(1.0 + 3.0 + 4.0 + falling, rel=1e-14)
    assert (result.cmax[0], result.tmax[0]) == (4.0, 2.0)
    assert result.half_life[0] == pytest.approx(1.0, rel=1e-13)


def test_terminal_phase_is_found_behind_a_fast_one():
    times = np.array([0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 12.0, 16.0, 20.0, 24.0])
    result = nca(times, 50.0 * np.exp(-3.0 * times) + 5.0 * np.exp(-0.1 * times))
    assert result.half_life[0] == pytest.approx(np.log(2.0) / 0.1, rel=1e-2)
    assert 3 <= result.points[0] <= 8


def regression(times, curve):
    """lambda_z by numpy.polyfit over every admissible number of points: the definition, slowly."""
    last = np.flatnonzero(curve > 0.0)[-1]
    after = [k for k in range(curve.argmax() + 1, last + 1) if curve[k] > 0.0]
    fits = []
    for n in range(3, len(after) + 1):
        x, y = times[after[-n:]], np.log(curve[after[-n:]])
        slope, offset = np.polyfit(x, y, 1)
        r2 = 1.0 - ((y - slope * x - offset) ** 2).sum() / ((y - y.mean()) ** 2).sum()
        fits.append((1.0 - (1.0 - r2) * (n - 1) / (n - 2), n, -slope))
    fits = [fit for fit in fits if fit[2] > 0.0]
    best = max(fits)[0]
    return max((n, slope, r2) for r2, n, slope in fits if r2 >= best - 1e-4)


def test_terminal_regression_is_the_best_by_adjusted_r2():
    rng = np.random.default_rng(7)
    times = np.sort(rng.uniform(0.0, 48.0, 15))
    curves = 10.0 * np.exp(-0.1 * times) * np.exp(0.1 * rng.standard_normal((200, 15)))
    curves[::3, 11] = 0.0  # below quantification in between
    result = analyse(times, curves)
    for k, curve in enumerate(curves):
        n, slope, r2 = regression(times, curve)
        assert result.points[k] == n
        assert result.lambda_z[k] == pytest.approx(slope, rel=1e-10)
        assert result.r2_adjusted[k] == pytest.approx(r2, rel=1e-9)


def test_undefined_is_nan():
    curves = np.array(
        [
            [0.0, 0.0, 0.0, 0.0, 0.0],  # never given
            [0.0, 1.0, 2.0, 3.0, 4.0],  # no terminal phase
            [4.0, 3.0, np.nan, np.nan, np.nan],  # failed
            [4.0, 2.0, 1.0, 0.0, 0.0],  # two points after the maximum
            [8.0, 4.0, 2.0, 1.0, -1e-12],  # ends below quantification
        ]
    )
    result = analyse(np.arange(5.0), curves)
    np.testing.assert_array_equal(result.cmax, [0.0, 4.0, np.nan, 4.0, 8.0])
    np.testing.assert_array_equal(result.tmax, [np.nan, 4.0, np.nan, 0.0, 0.0])
    np.testing.assert_array_equal(np.isnan(result.auc_last), [False, False, True, False, False])
    assert result.auc_last[0] == 0.0
    assert result.auc_last[3] == pytest.approx(3.0 / np.log(2.0), rel=1e-14)
    assert result.auc_last[4] == pytest.approx(7.0 / np.log(2.0), rel=1e-14)
    np.testing.assert_array_equal(np.isnan(result.half_life), [True, True, True, True, False])
    np.testing.assert_array_equal(np.isnan(result.auc_inf), [True, True, True, True, False])
    assert result.half_life[4] == pytest.approx(1.0, rel=1e-13)


def test_patients_do_not_depend_on_their_neighbours():
    curves = np.random.default_rng(1).lognormal(size=(5000, 20))
    times = np.linspace(0.0, 10.0, 20)
    together, alone = analyse(times, curves), analyse(times, curves[4321])
    for name, column in together.columns().items():
        np.testing.assert_array_equal(column[4321], alone[name][0])


def test_summary(decay):
    summary = decay.summary(percentiles=(0, 50, 100))
    np.testing.assert_array_equal(summary.counts, 3)
    np.testing.assert_allclose(summary.values[-1], np.sort(np.log(2.0) / RATES), rtol=1e-12)
    assert "50 %" in str(summary)
    assert str(summary).splitlines()[1].split()[:2] == ["cmax", "3"]
    assert list(summary.to_dataframe().index) == [
        "cmax",
        "tmax",
        "auc_last",
        "auc_inf",
        "half_life",
    ]
    assert decay.to_dataframe().shape == (3, 9)


def test_summary_of_nothing_defined():
    assert "-" in str(nca([0.0, 1.0], [0.0, 0.0]).summary())


@pytest.mark.parametrize(
    ("times", "values"),
    [
        ([0.0, 1.0], np.ones((3, 4))),
        ([1.0, 0.0], np.ones((3, 2))),
        ([0.0, np.nan], np.ones(2)),
        ([], np.ones((1, 0))),
    ],
)
def test_bad_input(times, values):
    with pytest.raises(InputError):
        nca(times, values)


def test_unknown_quantity(decay):
    with pytest.raises(InputError, match="half_life"):
        decay["halflife"]


@pytest.mark.parametrize(
    ("times", "values"),
    [([2.0], [1.5]), ([2.0], [0.0]), ([1.0, 1.0], [2.0, 1.5]), ([0.0, 1.0], [2.0, 0.0])],
)
def test_one_sample_has_no_area(times, values):
    """Neither alone, nor twice at one time, nor where all others are below quantification."""
    result = nca(times, values)
    assert np.isnan([result.auc_last[0], result.auc_inf[0], result.half_life[0]]).all()
    assert result.cmax[0] == values[0]


@pytest.fixture(scope="module")
def oral():
    model = tl.Model("oral")
    ka, cl, v = model.parameters(ka=1.0, cl=5.0, v=20.0)
    gut, central = model.states("gut", "central")
    model.flow(gut, central, ka * gut)
    model.flow(central, None, cl / v * central)
    model.output("cp", central / v, unit="mg/L")
    return model


REGIMENS = {
    "oral": tl.Regimen.bolus(100, into="gut"),
    "repeated": tl.Regimen.bolus(100, into="gut", every=12, doses=3),
    "bolus": tl.Regimen.bolus(100, into="central"),
    "infusion": tl.Regimen.infusion(100, into="central", duration=2 / 60),
}


@pytest.mark.parametrize("samples", [7, 13, 25, 49, 97, 193])
@pytest.mark.parametrize("name", REGIMENS)
def test_what_is_wrong_is_said(oral, name, samples):
    """Against the dense output: whoever is 5 % off is counted, and the numbers are what they were;
    without the reductions too, which only the comparison reads.
    """
    rng = np.random.default_rng(samples)
    people = {
        "ka": np.exp(rng.normal(0.0, 0.5, 200)),
        "cl": 5.0 * np.exp(rng.normal(0.0, 0.3, 200)),
    }
    times = np.linspace(0.0, 48.0, samples)
    sums = [tl.Cmax("cp"), tl.AUC("cp")]
    solution = tl.simulate(oral, people, REGIMENS[name], times, reductions=sums)
    found = analyse(times, solution["cp"])
    peak = solution.reductions["cmax_cp"] / found.cmax - 1.0
    area = found.auc_last / solution.reductions["auc_cp"] - 1.0
    assert found.coarse[(peak > 0.05) | (np.abs(area) > 0.05)].all()
    if samples == 193 and name != "infusion":
        assert not found.coarse[(peak < 0.01) & (np.abs(area) < 0.01)].any()
    said = found.coarse.any() or (found.extrapolated > 0.2).any()
    if said:
        with pytest.warns(NCAWarning) as warned:
            again = tl.simulate(oral, people, REGIMENS[name], times).nca()
        assert len(warned) == 1
        assert warned[0].filename == __file__
        np.testing.assert_array_equal(again.auc_last, found.auc_last)


def test_the_dense_output_is_compared_where_it_is_there(oral):
    """An infusion between samples that lies wholly behind the maximum of another."""
    doses = tl.Regimen.bolus(100, into="central") + tl.Regimen.infusion(
        130, into="central", time=24.05, duration=0.05
    )
    times = np.concatenate([np.linspace(0.0, 24.0, 97), np.linspace(26.0, 96.0, 281)])
    solution = tl.simulate(oral, None, doses, times, reductions=[tl.Cmax("cp")])
    assert solution.reductions["cmax_cp"] > 1.2 * solution["cp"].max()
    assert not analyse(times, solution["cp"]).coarse.any()
    with pytest.warns(NCAWarning, match=r"reductions=\[tl.Cmax\('cp'\), tl.AUC\('cp'\)\]"):
        solution.nca()


@pytest.mark.parametrize("samples", [13, 25, 49, 193])
def test_an_infusion_that_ends_between_samples_is_seen(oral, samples):
    """Against the dense output: whoever is 5 % off is counted; and where samples are dense few of
    those who are right are.
    """
    rng = np.random.default_rng(samples)
    n = 400
    people = {"cl": 10.0 * np.exp(rng.normal(0.0, 0.5, n)), "v": 10.0}
    regimen = tl.Regimen.infusion(
        100.0,
        into="central",
        time=rng.uniform(0.0, 2.0, n),
        duration=np.exp(rng.uniform(np.log(0.05), np.log(6.0), n)),
    )
    times = np.linspace(0.0, 24.0, samples)
    sums = [tl.Cmax("cp"), tl.AUC("cp")]
    dense = tl.simulate(oral, people, regimen, times, reductions=sums)
    curves = tl.simulate(oral, people, regimen, times)
    with pytest.warns(NCAWarning):
        found = curves.nca()
    peak = dense.reductions["cmax_cp"] / found.cmax - 1.0
    area = np.abs(found.auc_last / dense.reductions["auc_cp"] - 1.0)
    wrong = (peak > 0.05) | (area > 0.05)
    assert wrong.any()
    assert found.coarse[wrong].all()
    alone = analyse(times, curves["cp"])
    np.testing.assert_array_equal(alone.auc_last, found.auc_last)


def test_infusions_end_at_samples_without_a_word(oral):
    """Dense samples, each infusion from one to another: nothing to say, for all and for one."""
    regimen = tl.Regimen.infusion(100.0, into="central", time=1.0, duration=2.0, every=8.0, doses=3)
    times = np.linspace(0.0, 72.0, 721)
    people = {"cl": np.array([3.0, 5.0, 8.0])}
    assert not tl.simulate(oral, people, regimen, times).nca().coarse.any()
    later = tl.Regimen.infusion(100.0, into="central", time=1.0, duration=2.05) + tl.Regimen.reset(
        time=2.0
    )  # it never ends
    assert tl.simulate(oral, None, later, times).infusions is None


def test_samples_that_begin_late():
    """Two hours after a dose; the last day of a week is meant, and no word said."""
    late = TIMES[8:]
    curve = np.exp(-0.3 * late)
    with pytest.warns(NCAWarning, match="for 1 of 1 curve"):
        assert nca(late, curve).auc_last[0] == pytest.approx((curve[0] - curve[-1]) / 0.3)
    assert nca(144.0 + TIMES, np.exp(-0.3 * TIMES)).cmax[0] == 1.0


def test_extrapolation_is_said():
    curves = 10.0 * np.exp(-np.array([[0.05], [0.2]]) * TIMES)
    expected = (
        "auc_inf is extrapolated by more than 20 % for 1 of 2 curves (the samples end too early). "
        "Sample for longer, or take auc_last."
    )
    with pytest.warns(NCAWarning) as warned:
        nca(TIMES, curves)
    assert [str(each.message) for each in warned] == [expected]


NO_NUMBERS = {
    "masked": np.ma.masked_array([5.0, 4.0, 3.0, 2.0], [0, 1, 0, 0]),
    "texts": ["5", "BLQ", "3", "2"],
    "dates": np.array(["2020-01-01"] * 4, "M8[D]"),
    "durations": np.array([5, 4, 3, 2], "m8[h]"),
    "booleans": [True, True, False, False],
    "complex": [5j, 4, 3, 2],
    "ragged": [[5.0, 4.0, 3.0, 2.0], [1.0]],
    "objects": [5.0, None, 3.0, 2.0],
}


@pytest.mark.parametrize("name", NO_NUMBERS)
def test_what_is_no_number_is_refused(name):
    times = [0.0, 1.0, 2.0, 3.0]
    with pytest.raises(InputError, match="the array of concentrations"):
        nca(times, NO_NUMBERS[name])
    with pytest.raises(InputError, match="the array of times"):
        nca(NO_NUMBERS[name], times)


def test_an_infinite_value_spoils_its_curve_alone():
    times, curve = np.arange(6.0), 5 * np.exp(-0.5 * np.arange(6.0))
    for wrong in (np.inf, -np.inf, np.nan):
        found = analyse(times, [np.where(times == 2.0, wrong, curve), curve])
        alone = analyse(times, curve)
        for quantity in found.columns():
            assert np.isnan(found[quantity][0])
            assert found[quantity][1] == alone[quantity][0]


def test_tensors_with_a_derivative_are_refused():
    torch = pytest.importorskip("torch")
    times, curve = np.arange(6.0), torch.exp(-torch.arange(6.0, dtype=torch.float64))
    assert nca(times, curve).half_life[0] == pytest.approx(np.log(2.0))
    with pytest.raises(TypeError, match="detach"):
        nca(times, curve.requires_grad_())
