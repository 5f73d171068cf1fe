"""Fits against closed forms, SciPy, known truths, and data that cannot tell."""

import numpy as np
import pandas as pd
import pytest
import teorell as tl
from compartments import bateman, oral
from fitting_case import TIGHT, TIMES, table
from folders import DATA

THEOPHYLLINE = DATA / "nlmixr2data" / "theo_sd.csv"


def line(parameters):
    """b + a t: a model whose output is linear in its parameters."""
    model = tl.Model("line")
    a, b = model.parameters(**parameters)
    x = model.state("x", b, signed=True)
    model.rate(x, a)
    model.output("x", x)
    return model


# ---------------------------------------------------------------- closed forms


def test_linear_regression():
    """Estimates, covariance and residual error are those of ordinary least squares."""
    rng, t = np.random.default_rng(1), np.linspace(0.0, 5.0, 12)
    model, y = line({"a": -1.0, "b": -2.0}), 1.3 * t - 4.0 + 0.5 * rng.standard_normal((3, 12))
    found = tl.fit(model, table(t, y, model, dose=0.0), {"a": -1.0, "b": -2.0}, **TIGHT)
    design = np.stack([t, np.ones_like(t)], 1)
    for k in range(3):
        known, square, *_ = np.linalg.lstsq(design, y[k], rcond=None)
        np.testing.assert_allclose(
            [found.estimates["a"][k], found.estimates["b"][k]], known, rtol=1e-7
        )
        np.testing.assert_allclose(found.error["sd"][k], np.sqrt(square[0] / 12), rtol=1e-6)
        np.testing.assert_allclose(
            found.covariance[k], np.linalg.inv(design.T @ design) * square[0] / 10, rtol=1e-5
        )
    assert found.converged.all()
    assert found.message == ("converged",) * 3


def test_a_normal_prior_on_the_log_scale():
    """y = log(p) t: linear in log p, so the posterior mean is the precision-weighted one."""
    model = tl.Model("log")
    p = model.parameter("p", 2.0)
    x = model.state("x", 0.0, signed=True)
    model.rate(x, tl.log(p))
    model.output("x", x)
    t, y = np.array([1.0, 2.0]), np.array([1.0, 2.5])
    observed, prior = table(t, y, model, dose=0.0), {"p": tl.LogNormal(1.5, 0.3)}
    found = tl.fit(model, observed, {"p": 2.0}, error=tl.Additive(0.5), priors=prior, **TIGHT)
    data, prior = (t @ t) / 0.25, 1 / 0.09
    mean = ((t @ y) / 0.25 + np.log(1.5) / 0.09) / (data + prior)
    np.testing.assert_allclose(np.log(found.estimates["p"][0]), mean, rtol=1e-7)
    np.testing.assert_allclose(found.covariance[0, 0, 0], 1 / (data + prior), rtol=1e-7)


def test_profiles_of_a_line_are_parabolas():
    rng, t = np.random.default_rng(2), np.linspace(0.0, 5.0, 12)
    model, y = line({"a": -1.0, "b": -2.0}), 1.3 * t - 4.0 + 0.5 * rng.standard_normal((2, 12))
    found = tl.fit(
        model, table(t, y, model, dose=0.0), {"a": -1.0, "b": -2.0}, error=tl.Additive(0.5), **TIGHT
    )
    profile = found.profile("a")
    half = 1.959963984540054 * found.standard_errors["a"]
    np.testing.assert_allclose(profile.low, found.estimates["a"] - half, rtol=1e-5)
    np.testing.assert_allclose(profile.high, found.estimates["a"] + half, rtol=1e-5)
    z = (profile.values - found.estimates["a"][:, None]) / found.standard_errors["a"][:, None]
    np.testing.assert_allclose(profile.rise, z**2, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "error", [tl.Additive(), tl.Proportional(), tl.Combined(), tl.Combined(sd=0.02)]
)
@pytest.mark.parametrize("limit", [0.0, 0.5])
def test_likelihoods_are_what_scipy_minimises(error, limit):
    """All error models, with and without values below the limit: no other point has a higher
    likelihood.
    """
    from scipy.optimize import minimize
    from scipy.stats import norm

    rng = np.random.default_rng(3)
    truth = bateman(TIMES, 1.2, 3.0, 30.0)
    y = truth * (1.0 + 0.15 * rng.standard_normal(10)) + 0.03 * rng.standard_normal(10)
    below = y < limit
    model = oral(ka=1.5, cl=3.0, v=30.0, depot="depot")
    observed = table(TIMES, np.where(below, np.nan, y), model, BLQ=below.astype(int), LLOQ=limit)
    found = tl.fit(model, observed, {"ka": 1.5, "cl": 3.0, "v": 30.0}, error=error, **TIGHT)

    def objective(x):
        f = bateman(TIMES, *np.exp(x[:3]))
        sizes = list(np.exp(x[3:]))
        sd = error.sd if error.sd is not None else sizes.pop(0)
        cv = error.cv if error.cv is not None else sizes.pop(0)
        scatter = np.sqrt(sd**2 + (cv * f) ** 2)
        return (
            -2.0 * np.where(below, norm.logcdf(limit, f, scatter), norm.logpdf(y, f, scatter)).sum()
        )

    at = [np.log(found.estimates[name][0]) for name in ("ka", "cl", "v")]
    at += [np.log(found.error[name][0]) for name in error.estimated]
    assert objective(np.array(at)) == pytest.approx(found.objective[0], abs=1e-6)
    known = minimize(
        objective,
        at,
        method="Nelder-Mead",
        options={"xatol": 1e-7, "fatol": 1e-10, "maxiter": 4000},
    )
    assert found.objective[0] < known.fun + 1e-6
    assert found.converged.all()


# ---------------------------------------------------------------- data


def test_theophylline_as_scipy_fits_the_closed_form():
    if not THEOPHYLLINE.exists():
        pytest.skip("../shared/data is not here")
    from scipy.optimize import curve_fit

    frame = pd.read_csv(THEOPHYLLINE).drop(columns="WT")
    frame["EVID"] = (frame["EVID"] == 101).astype(int)
    model = oral(ka=1.5, cl=3.0, v=30.0, depot="depot")
    observed = tl.EventTable(frame, model)
    found = tl.fit(model, observed, {"ka": 1.5, "cl": 3.0, "v": 30.0}, **TIGHT)
    for k, subject in enumerate(observed.ids):
        mine = frame[subject == frame.ID]
        dose = float(mine.AMT.max())
        rows = mine[mine.EVID == 0]
        known, spread = curve_fit(
            lambda t, *x, dose=dose: bateman(t, *np.exp(x), dose=dose),
            rows.TIME,
            rows.DV,
            p0=np.log([1.5, 3.0, 30.0]),
        )
        ours = [found.estimates[name][k] for name in ("ka", "cl", "v")]
        np.testing.assert_allclose(ours, np.exp(known), rtol=1e-3)
        errors = [found.standard_errors[name][k] for name in ("ka", "cl", "v")]
        np.testing.assert_allclose(errors, np.sqrt(np.diag(spread)) * np.exp(known), rtol=1e-2)
    assert any(others for others in found.alternatives)  # flip-flop
    for k, others in enumerate(found.alternatives):
        for other in others:  # absorption and elimination have changed places
            k_el = found.estimates["cl"][k] / found.estimates["v"][k]
            assert other["ka"] == pytest.approx(k_el, rel=1e-2)
            assert other["cl"] == pytest.approx(found.estimates["cl"][k], rel=1e-2)
            assert "flip-flop" in found.message[k]


def test_recovery():
    """Of 80 simulated subjects: no bias beyond its error, and about 95 % of the intervals of 95 %
    hold the truth.
    """
    rng, n = np.random.default_rng(5), 80
    truth = np.exp(np.log([1.2, 3.0, 30.0]) + 0.25 * rng.standard_normal((n, 3)))
    curves = np.array([bateman(TIMES, *each) for each in truth])
    model = oral(ka=1.5, cl=3.0, v=30.0, depot="depot")
    observed = table(TIMES, curves + 0.05 * rng.standard_normal(curves.shape), model)
    found = tl.fit(model, observed, {"ka": 1.0, "cl": 2.0, "v": 20.0}, starts=3)
    assert found.converged.all()
    for k, name in enumerate(("ka", "cl", "v")):
        log_error = np.log(found.estimates[name] / truth[:, k])
        sd = np.sqrt(found.covariance[:, k, k])
        quantile = 2.365  # of Student's t with 7 degrees of freedom
        assert abs(log_error.mean()) < 4.0 * log_error.std() / np.sqrt(n)
        assert (np.abs(log_error) < quantile * sd).mean() > 0.88
    # maximum likelihood
    assert found.error["sd"].mean() == pytest.approx(0.05 * np.sqrt(7 / 10), rel=0.1)


def test_pooled_is_one_problem_for_all():
    rng = np.random.default_rng(6)
    curves = bateman(TIMES, 1.2, 3.0, 30.0) + 0.05 * rng.standard_normal((6, 10))
    model = oral(ka=1.5, cl=3.0, v=30.0, depot="depot")
    found = tl.fit(
        model, table(TIMES, curves, model), {"ka": 1.0, "cl": 2.0, "v": 20.0}, pooled=True
    )
    assert found.estimates["cl"].shape == (1,)
    assert found.estimates["cl"][0] == pytest.approx(3.0, rel=0.02)
    assert found.residuals.size == 60
    assert found.error["sd"][0] == pytest.approx(0.05, rel=0.3)


def test_a_subject_has_the_same_bits_alone_and_with_others():
    rng = np.random.default_rng(7)
    curves = bateman(TIMES, 1.2, 3.0, 30.0) * np.exp(0.1 * rng.standard_normal((5, 10)))
    model = oral(ka=1.5, cl=3.0, v=30.0, depot="depot")
    together = tl.fit(model, table(TIMES, curves, model), {"ka": 1.0, "cl": 2.0, "v": 20.0})
    alone = tl.fit(model, table(TIMES, curves[3:4], model), {"ka": 1.0, "cl": 2.0, "v": 20.0})
    for name in ("ka", "cl", "v"):
        assert alone.estimates[name][0] == together.estimates[name][3]
        assert alone.standard_errors[name][0] == together.standard_errors[name][3]
    assert alone.objective[0] == together.objective[3]


def test_covariates_and_fixed_parameters():
    """A parameter that is a column of the table is the subject's own; another is fixed; the third
    is found.
    """
    model = oral(ka=1.5, cl=3.0, v=30.0, depot="depot")
    volumes = np.array([20.0, 40.0])
    curves = np.array([bateman(TIMES, 1.2, 3.0, v) for v in volumes])
    frame = table(TIMES, curves, model)
    frame.parameters["v"] = volumes
    found = tl.fit(model, frame, {"cl": 2.0}, fixed={"ka": 1.2}, **TIGHT)
    np.testing.assert_allclose(found.estimates["cl"], 3.0, rtol=1e-6)


@pytest.mark.parametrize("optimizer", ["L-BFGS-B", "SLSQP"])
def test_scipys_optimisers_find_the_same(optimizer):
    rng = np.random.default_rng(9)
    curves = bateman(TIMES, 1.2, 3.0, 30.0) * np.exp(0.1 * rng.standard_normal((2, 10)))
    model = oral(ka=1.5, cl=3.0, v=30.0, depot="depot")
    observed = table(TIMES, curves, model)
    ours = tl.fit(model, observed, {"ka": 1.0, "cl": 2.0, "v": 20.0}, starts=1, **TIGHT)
    scipys = tl.fit(
        model, observed, {"ka": 1.0, "cl": 2.0, "v": 20.0}, starts=1, optimizer=optimizer, **TIGHT
    )
    np.testing.assert_allclose(scipys.objective, ours.objective, rtol=0, atol=1e-4)
    # Curves solved to rtol 1e-9 give an objective to about 1e-8, on any processor.
    assert (ours.objective <= scipys.objective + 1e-7).all()
    for name in ("ka", "cl", "v"):
        np.testing.assert_allclose(scipys.estimates[name], ours.estimates[name], rtol=1e-2)


def test_bounds_hold():
    model = oral(ka=1.5, cl=3.0, v=30.0, depot="depot")
    observed = table(TIMES, bateman(TIMES, 1.2, 3.0, 30.0), model)
    found = tl.fit(
        model,
        observed,
        {"ka": 1.0, "cl": 2.0, "v": 30.0},
        bounds={"cl": (0.5, 2.5)},
        error=tl.Additive(0.1),
    )
    assert found.estimates["cl"][0] == pytest.approx(2.5)


# ---------------------------------------------------------------- what data cannot tell


def saturable():
    """Michaelis-Menten elimination, with a second compartment."""
    model = tl.Model("saturable")
    vmax, km, v, q, v2 = model.parameters(vmax=10.0, km=5.0, v=10.0, q=2.0, v2=20.0)
    central, deep = model.states("central", "deep")
    model.flow(central, None, vmax * (central / v) / (km + central / v))
    model.flow(central, deep, q / v * central)
    model.flow(deep, central, q / v2 * deep)
    model.output("c", central / v)
    return model


def test_far_below_km_only_vmax_over_km_is_identified():
    model = saturable()
    times = np.linspace(0.5, 24.0, 12)
    curve = tl.simulate(model, None, tl.Regimen.bolus(1e-3, into="central"), times, **TIGHT)["c"]
    frame = pd.DataFrame(
        {"ID": 1, "TIME": times, "DV": curve[0], "AMT": 0.0, "EVID": 0, "CMT": "central"}
    )
    dose = pd.DataFrame(
        {"ID": [1], "TIME": [0.0], "DV": [np.nan], "AMT": [1e-3], "EVID": [1], "CMT": ["central"]}
    )
    observed = tl.EventTable(pd.concat([dose, frame]), model)
    found = tl.fit(
        model, observed, {"vmax": 8.0, "km": 6.0}, error=tl.Additive(1e-6), starts=2, **TIGHT
    )
    assert found.estimates["vmax"][0] / found.estimates["km"][0] == pytest.approx(2.0, rel=1e-3)
    assert "do not identify" in found.identifiability[0]
    assert "vmax * km" in found.identifiability[0] or "km * vmax" in found.identifiability[0]
    assert found.identifiability[0] in found.summary()
    assert found.spectrum[0, 0] < 1e-3 * found.spectrum[0, 1]
    only = tl.fit(model, observed, {"vmax": 8.0}, error=tl.Additive(1e-6), **TIGHT)
    assert only.identifiability == ("",)


def test_a_parameter_that_changes_nothing():
    model = saturable()
    model.parameter("idle", 1.0)
    times = np.linspace(0.5, 24.0, 12)
    curve = tl.simulate(model, None, tl.Regimen.bolus(100.0, into="central"), times, **TIGHT)["c"]
    observed = table(times, curve, model)
    found = tl.fit(model, observed, {"vmax": 9.0, "idle": 1.0}, error=tl.Additive(0.01), **TIGHT)
    assert found.standard_errors["idle"][0] == np.inf
    assert np.isfinite(found.standard_errors["vmax"][0])
    assert found.identifiability[0] == "the data do not identify idle"


def test_a_proportional_error_at_a_prediction_of_zero_is_told():
    model = oral(ka=1.5, cl=3.0, v=30.0, depot="depot")
    observed = table(
        np.array([0.0, 1.0, 2.0, 4.0, 8.0]), np.array([0.1, 2.0, 2.5, 2.0, 1.0]), model
    )
    found = tl.fit(model, observed, {"ka": 1.0, "cl": 2.0, "v": 30.0}, error=tl.Proportional())
    assert "a prediction is 0" in found.message[0]
    assert not found.converged[0]


# ---------------------------------------------------------------- bad input, tables, pictures


def case(**columns):
    model = oral(ka=1.5, cl=3.0, v=30.0, depot="depot")
    return model, table(TIMES, bateman(TIMES, 1.2, 3.0, 30.0), model, **columns)


START = {"ka": 1.0, "cl": 2.0, "v": 20.0}
BAD = {
    "unknown parameter": (lambda m, t: tl.fit(m, t, {"kaa": 1.0}), "Did you mean 'ka'?"),
    "unknown output": (lambda m, t: tl.fit(m, t, START, "cpp"), "Did you mean 'cp'?"),
    "nothing to estimate": (lambda m, t: tl.fit(m, t, {}), "nothing to estimate"),
    "start outside": (
        lambda m, t: tl.fit(m, t, START, bounds={"cl": (3.0, 4.0)}),
        "starts at 2 (outside of its bounds",
    ),
    "bounds of another": (
        lambda m, t: tl.fit(m, t, {"cl": 2.0}, bounds={"ka": (0.0, 1.0)}),
        "bounds name 'ka'",
    ),
    "prior of another": (
        lambda m, t: tl.fit(m, t, {"cl": 2.0}, priors={"v": tl.LogNormal(1, 1)}),
        "priors name 'v'",
    ),
    "start is an array": (lambda m, t: tl.fit(m, t, {"cl": [1.0, 2.0]}), "is an array"),
    "start not finite": (lambda m, t: tl.fit(m, t, {"cl": np.nan}), "not finite"),
    "fixed and estimated": (
        lambda m, t: tl.fit(m, t, START, fixed={"cl": 1.0}),
        "estimated and fixed",
    ),
    "optimizer": (
        lambda m, t: tl.fit(m, t, START, optimizer="simplex"),
        "unknown optimizer 'simplex'",
    ),
    "starts": (lambda m, t: tl.fit(m, t, START, starts=0), "starts is 0"),
    "error of size 0": (lambda m, t: tl.Additive(0.0), "residual error is 0"),
    "negative error": (lambda m, t: tl.Proportional(-1.0), "cv of the residual error is -1.0"),
    "prior": (lambda m, t: tl.LogNormal(-1.0, 1.0), "median of a prior is -1.0"),
    "profile": (
        lambda m, t: tl.fit(m, t, {"cl": 2.0}, starts=1).profile("v"),
        "unknown parameter 'v'",
    ),
}


@pytest.mark.parametrize(("call", "words"), BAD.values(), ids=BAD.keys())
def test_bad_input(call, words):
    with pytest.raises(tl.InputError) as caught:
        call(*case())
    assert words in str(caught.value)


def test_subjects_with_too_little():
    model = oral(ka=1.5, cl=3.0, v=30.0, depot="depot")
    few = table(np.array([1.0, 2.0]), np.array([1.0, 2.0]), model)
    with pytest.raises(tl.InputError, match="2 observations for 4 parameters"):
        tl.fit(model, few, START)
    _, none = case(MDV=1)
    with pytest.raises(tl.InputError, match="no observation of any subject"):
        tl.fit(model, none, START)
    _, empty = case(MDV=0)
    empty.dv[3] = np.nan
    with pytest.raises(tl.InputError, match="is not a number"):
        tl.fit(model, empty, START)
    _, unlimited = case(BLQ=1, LLOQ=np.nan)
    unlimited.dv[:] = np.nan
    with pytest.raises(tl.InputError, match="has no limit"):
        tl.fit(model, unlimited, START)
    with pytest.raises(TypeError, match="doses are needed too"):
        tl.fit(model, [1.0], START)
    with pytest.raises(TypeError, match="how do observations scatter"):
        tl.fit(*case(), START, error=0.1)


def test_tables_and_pictures():
    model, observed = case()
    reported = []
    found = tl.fit(
        model,
        observed,
        START,
        starts=2,
        progress=lambda done, every: reported.append((done, every)),
    )
    assert reported[-1][1] == 2
    frame = found.to_dataframe()
    assert list(frame.columns) == [
        "id",
        "ka",
        "ka_se",
        "cl",
        "cl_se",
        "v",
        "v_se",
        "sd",
        "objective",
        "converged",
    ]
    assert "ka" in found.summary()
    assert repr(found) == "<Fit of 1 subjects: ka, cl, v; all converged>"
    pytest.importorskip("matplotlib")
    figure = found.plot()
    assert [axes.get_xlabel() for axes in figure.axes] == ["predicted", "time"]
