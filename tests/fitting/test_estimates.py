"""Estimates of any sign and scale, at bounds and at floors; what is fixed, and priors."""

import numpy as np
import pandas as pd
import pytest
import teorell as tl
from compartments import bateman, oral
from fitting_case import TIGHT, TIMES, bolus, decline, table
from scipy.optimize import minimize

T = np.arange(8.0)
NOISE = np.array([1.0, -1.0, 0.5, -0.3, 1.0, -0.8, 0.2, -0.4])


def line():
    """e0 + sl t."""
    model = tl.Model("line")
    e0, sl = model.parameters(e0=0.0, sl=0.0)
    z = model.state("z", signed=True)
    model.rate(z, sl + 0.0 * z)
    model.output("y", e0 + z)
    return model


def straight(y):
    return tl.EventTable(pd.DataFrame({"ID": 1, "TIME": T, "AMT": 0.0, "EVID": 0, "DV": y}), line())


@pytest.mark.parametrize("optimizer", [None, "L-BFGS-B", "SLSQP"])
@pytest.mark.parametrize(
    ("truth", "slope", "sd"),
    [
        (-15.0, -2.0, 0.1),
        (-900.0, -2.0, 5.0),
        (-3e-9, 1e-9, 1e-10),
        (4e8, -7e6, 1e6),
        (0.0, 0.0, 1.0),
    ],
)
def test_least_squares_of_any_sign_and_scale(truth, slope, sd, optimizer):
    """Starts at 0; estimates, standard errors, and no word of what is not identified."""
    y = truth + slope * T + sd * NOISE
    found = tl.fit(line(), straight(y), {"e0": 0.0, "sl": 0.0}, optimizer=optimizer, **TIGHT)
    design = np.stack([np.ones(T.size), T], 1)
    known, square, *_ = np.linalg.lstsq(design, y, rcond=None)
    spread = np.sqrt(np.diag(np.linalg.inv(design.T @ design)) * square[0] / 6)
    got = np.array([found.estimates["e0"][0], found.estimates["sl"][0]])
    assert (np.abs(got - known) < (1e-5 if optimizer is None else 1e-2) * spread).all()
    errors = [found.standard_errors[name][0] for name in ("e0", "sl")]
    np.testing.assert_allclose(errors, spread, rtol=1e-5 if optimizer is None else 1e-2)
    assert found.message == ("converged",)


def test_a_sum_that_is_not_identified_is_told_as_a_sum():
    model = tl.Model("sum")
    a, b = model.parameters(a=0.0, b=0.0)
    z = model.state("z", signed=True)
    model.rate(z, 0.0 * z)
    model.output("y", a + 2.0 * b + z)
    observed = tl.EventTable(
        pd.DataFrame({"ID": 1, "TIME": T, "AMT": 0.0, "EVID": 0, "DV": 5.0 + 0.1 * NOISE}), model
    )
    found = tl.fit(model, observed, {"a": 0.0, "b": 0.0})
    assert found.identifiability[0] in (
        "the data do not identify 1 a - 0.5 b", "the data do not identify -2 b + 1 a",
        "the data do not identify -0.5 b + 1 a", "the data do not identify -2 a + 1 b",
    )  # fmt: skip
    assert found.estimates["a"][0] + 2.0 * found.estimates["b"][0] == pytest.approx(5.0, abs=0.1)


Y = decline(T + 0.25, 4.0, 20.0) + 0.1 * NOISE
BOUNDS = [(4.6, 9.0), (4.6, None), (4.6, np.inf), (0.5, 3.5), (None, 3.5), [-np.inf, 3.5]]


@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize("optimizer", [None, "L-BFGS-B"])
def test_at_a_bound_the_others_are_those_with_it_held(bounds, optimizer):
    model, low = bolus(), bounds[0] == 4.6
    edge = 4.6 if low else 3.5
    observed = table(T + 0.25, Y, model)
    found = tl.fit(
        model, observed, {"cl": edge + (0.3 if low else -0.3), "v": 20.0},
        bounds={"cl": bounds}, optimizer=optimizer, **TIGHT,
    )  # fmt: skip
    held = tl.fit(model, observed, {"v": 20.0}, fixed={"cl": edge}, **TIGHT)
    assert found.estimates["cl"][0] == pytest.approx(edge, rel=1e-12)
    assert found.message[0].startswith(f"cl is at its {'lower' if low else 'upper'} bound {edge}")
    assert found.message[0] in " ".join(found.summary().split())
    assert np.isnan(found.standard_errors["cl"][0])
    rtol = 1e-5 if optimizer is None else 1e-3
    for name in ("estimates", "standard_errors"):
        known = getattr(held, name)["v"][0]
        np.testing.assert_allclose(getattr(found, name)["v"][0], known, rtol=rtol)
    assert found.identifiability == ("",)
    assert found.converged.all()
    if optimizer is None:
        profile = found.profile("cl")
        inside = (
            profile.values >= edge * (1 - 1e-12) if low else profile.values <= edge * (1 + 1e-12)
        )
        assert inside.all()
        assert (profile.low if low else profile.high)[0] == (-np.inf if low else np.inf)
        assert np.isfinite((profile.high if low else profile.low)[0])


def test_a_bound_at_zero():
    """A slope that would be negative: at 0 from there, and running to 0 on the log scale."""
    y = 5.0 - 0.5 * T + 0.1 * NOISE
    at_zero = tl.fit(line(), straight(y), {"e0": 1.0, "sl": 0.0}, bounds={"sl": (0, None)})
    assert at_zero.estimates["sl"][0] == 0.0
    assert "sl is at its lower bound 0" in at_zero.message[0]
    runs = tl.fit(line(), straight(y), {"e0": 1.0, "sl": 1.0})
    assert "sl runs to 0" in runs.message[0]
    for found in (at_zero, runs):
        assert found.estimates["e0"][0] == pytest.approx(y.mean(), rel=1e-6)
        assert found.converged.all()
    free = tl.fit(line(), straight(y), {"e0": 1.0, "sl": 1.0}, bounds={"sl": (None, None)})
    assert free.estimates["sl"][0] == pytest.approx(np.polyfit(T, y, 1)[0], rel=1e-5)


@pytest.mark.parametrize("error", [tl.Additive(), tl.Proportional(), tl.Combined()])
@pytest.mark.parametrize("exact", [True, False])
def test_data_without_noise_converge(error, exact):
    """Simulated with the same options they meet the floor, which is said."""
    model = bolus()
    curve = decline(TIMES, 4.0, 20.0)
    if exact:
        dose = tl.Regimen.bolus(100.0, into="x")
        curve = tl.simulate(model, None, dose, TIMES)["cp"][0]
    found = tl.fit(model, table(TIMES, curve, model), {"cl": 3.0, "v": 30.0}, error=error)
    assert found.converged.all()
    np.testing.assert_allclose(found.estimates["cl"], 4.0, rtol=1e-5)
    np.testing.assert_allclose(found.estimates["v"], 20.0, rtol=1e-5)
    assert ("meets the data exactly" in found.message[0]) == exact


def test_a_size_that_the_data_do_not_show():
    """Of a combined error without an additive part the additive one is at its floor, as is said."""
    rng, model = np.random.default_rng(5), bolus()
    t = np.linspace(0.5, 30.0, 40)
    y = decline(t, 4.0, 20.0) * np.exp(0.1 * rng.standard_normal(40))
    found = tl.fit(model, table(t, y, model), {"cl": 3.0, "v": 30.0}, error=tl.Combined())
    known = tl.fit(model, table(t, y, model), {"cl": 3.0, "v": 30.0}, error=tl.Proportional())
    assert "sd of the residual error is at its floor" in found.message[0]
    assert found.converged.all()
    assert found.error["cv"][0] == pytest.approx(known.error["cv"][0], rel=1e-4)


# ---------------------------------------------------------------- fixed


V = np.array([20.0, 30.0, 40.0])
THREE = np.array([decline(TIMES, 4.0, v) for v in V])


@pytest.mark.parametrize("value", [V, list(V), V.astype(np.float32), V.astype(int)])
def test_fixed_of_each_subject(value):
    model = bolus()
    found = tl.fit(model, table(TIMES, THREE, model), {"cl": 3.0}, fixed={"v": value}, **TIGHT)
    np.testing.assert_allclose(found.estimates["cl"], 4.0, rtol=1e-6)


@pytest.mark.parametrize(
    "value", [20, 20.0, np.float64(20.0), np.float32(20.0), np.int64(20), np.array(20.0)]
)
def test_numpy_scalars_are_numbers(value):
    """Of what is fixed, starts, bounds, priors and the residual error."""
    model = bolus()
    found = tl.fit(
        model, table(TIMES, THREE[:1], model), {"cl": value}, fixed={"v": value},
        bounds={"cl": (value / value, value)}, priors={"cl": tl.LogNormal(value, value)},
        error=tl.Additive(value / 1000), **TIGHT,
    )  # fmt: skip
    np.testing.assert_allclose(found.estimates["cl"], 4.0, rtol=1e-3)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.repeat(V, 5), "15 values, the table 3 subjects"),
        (V[:2], "2 values, the table 3 subjects"),
        (V[:1], "1 value, the table 3 subjects"),
        (V * np.nan, "not finite"),
        (V[:, None], "has shape"),
        ("20", "only real numbers"),
        (True, "only real numbers"),
        (None, "only real numbers"),
        ([], "0 values"),
        (tl.stepwise([0, 1], [[20.0, 30.0]] * 2), "2 values, the table 3 subjects"),
    ],
)
def test_what_is_fixed_is_checked_before_any_work(value, words):
    model = bolus()
    with pytest.raises(tl.InputError, match=words):
        tl.fit(model, table(TIMES, THREE, model), {"cl": 3.0}, fixed={"v": value})


def test_a_column_of_the_table_is_not_fixed_too():
    model = bolus()
    observed = table(TIMES, THREE, model)
    observed.parameters["v"] = V
    with pytest.raises(tl.InputError, match="fixed and a column of the table too"):
        tl.fit(model, observed, {"cl": 3.0}, fixed={"v": 20.0})


# ---------------------------------------------------------------- priors


def posterior(found, priors, y):
    """Where SciPy finds the maximum a posteriori of cl and v, with Additive(0.1)."""

    def objective(x):
        cl, v = np.exp(x)
        return 0.5 * (((y - decline(TIMES, cl, v)) / 0.1) ** 2).sum() + priors(cl, v)

    options = {"xatol": 1e-9, "fatol": 1e-12, "maxiter": 4000}
    return np.exp(minimize(objective, np.log([4.0, 20.0]), method="Nelder-Mead", options=options).x)


OMEGA = np.array([[0.04, 0.03], [0.03, 0.05]])


@pytest.mark.parametrize("kind", ["logarithms", "normal"])
@pytest.mark.parametrize("each", [False, True])
def test_correlated_priors(kind, each):
    """Of two parameters together, of all subjects or each its own, as SciPy finds."""
    model, rng = bolus(), np.random.default_rng(2)
    y = np.array([decline(TIMES, 4.0, v) for v in (18.0, 25.0)])
    y += 0.1 * rng.standard_normal(y.shape)
    center = np.array([[3.0, 30.0], [5.0, 15.0]]) if each else np.array([3.0, 30.0])
    matrix = OMEGA if kind == "logarithms" else OMEGA * np.outer([3.0, 20.0], [3.0, 20.0])
    prior = (tl.LogNormal if kind == "logarithms" else tl.Normal)(center, covariance=matrix)
    found = tl.fit(
        model, table(TIMES, y, model), {"cl": 3.5, "v": 22.0}, priors={("cl", "v"): prior},
        error=tl.Additive(0.1), starts=1, **TIGHT,
    )  # fmt: skip
    for k in range(2):
        at = center[k] if each else center

        def penalty(cl, v, at=at):
            x = np.array([cl, v])
            away = np.log(x / at) if kind == "logarithms" else x - at
            return 0.5 * away @ np.linalg.solve(matrix, away)

        known = posterior(found, penalty, y[k])
        got = [found.estimates["cl"][k], found.estimates["v"][k]]
        np.testing.assert_allclose(got, known, rtol=2e-6)


def test_a_covariance_without_correlation_is_two_priors():
    model = bolus()
    observed = table(TIMES, THREE, model)
    more = {"error": tl.Additive(0.1), "starts": 1, **TIGHT}
    together = {("v", "cl"): tl.LogNormal([25.0, 3.0], covariance=np.diag([0.04, 0.09]))}
    single = {"cl": tl.LogNormal(3.0, 0.3), "v": tl.LogNormal([25.0] * 3, np.full(3, 0.2))}
    one, other = (
        tl.fit(model, observed, {"cl": 3.0, "v": 30.0}, priors=priors, **more)
        for priors in (together, single)
    )
    np.testing.assert_allclose(one.objective, other.objective, rtol=1e-9)
    for name in ("cl", "v"):
        np.testing.assert_allclose(one.estimates[name], other.estimates[name], rtol=1e-7)
        np.testing.assert_allclose(
            one.standard_errors[name], other.standard_errors[name], rtol=1e-6
        )


def test_a_normal_prior_of_a_negative_parameter():
    """Linear, so that the posterior is the precision-weighted mean."""
    y = -15.0 - 2.0 * T + 0.1 * NOISE
    found = tl.fit(
        line(), straight(y), {"e0": 0.0}, fixed={"sl": -2.0}, error=tl.Additive(0.5),
        priors={"e0": tl.Normal(-10.0, 0.3)}, **TIGHT,
    )  # fmt: skip
    data, prior = 8 / 0.25, 1 / 0.09
    mean = ((y + 2.0 * T).mean() * data - 10.0 * prior) / (data + prior)
    assert found.estimates["e0"][0] == pytest.approx(mean, rel=1e-9)
    assert found.standard_errors["e0"][0] == pytest.approx((data + prior) ** -0.5, rel=1e-9)


BAD_PRIORS = {
    "of another": (lambda: {("cl", "ka"): tl.LogNormal([1, 1], covariance=OMEGA)}, "name 'ka'"),
    "twice": (
        lambda: {"cl": tl.Normal(1, 1), ("cl", "v"): tl.LogNormal([1, 1], covariance=OMEGA)},
        "have 'cl' twice",
    ),
    "no covariance": (lambda: {("cl", "v"): tl.LogNormal([1, 1], 1.0)}, "has no covariance"),
    "too small": (lambda: {"cl": tl.LogNormal([1, 1], covariance=OMEGA)}, "is of 2 parameters"),
    "too long": (lambda: {"cl": tl.LogNormal([1.0] * 4, 1.0)}, "is 4 long .there are 3"),
    "not symmetric": (lambda: tl.LogNormal([1, 1], covariance=[[1, 0], [0.5, 1]]), "symmetric"),
    "not positive": (lambda: tl.LogNormal([1, 1], covariance=[[1, 2], [2, 1]]), "eigenvalues"),
    "no width": (lambda: tl.LogNormal(1.0), "sd and covariance, or neither"),
    "two widths": (lambda: tl.Normal(1.0, 1.0, [[1.0]]), "sd and covariance, or neither"),
    "shapes": (lambda: tl.Normal([1.0, 2.0], [1.0, 2.0, 3.0]), "serves all subjects"),
    "NaN": (lambda: tl.Normal(np.nan, 1.0), "mean of a prior is nan"),
    "of logarithms, of what starts at 0": (lambda: {"k": tl.LogNormal(1.0, 1.0)}, "does not suit"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_PRIORS)
def test_priors_that_do_not_suit(name):
    make, words = BAD_PRIORS[name]
    model = bolus()
    model.parameter("k", 0.0)
    start = {"cl": 3.0, "v": 30.0, "k": 0.0}
    with pytest.raises(tl.InputError, match=words):
        tl.fit(model, table(TIMES, THREE, model), start, priors=make())


BAD_BOUNDS = {
    "one": ((1.0,), "there are two"),
    "NaN": ((np.nan, 5.0), "not finite"),
    "equal": ((3.0, 3.0), "nothing lies between"),
    "turned": ((5.0, 1.0), "outside of its bounds"),
    "text": ("ab", "there are two"),
    "infinite the wrong way": ((np.inf, None), "not finite"),
}


@pytest.mark.parametrize("name", BAD_BOUNDS)
def test_bounds_that_are_none(name):
    bounds, words = BAD_BOUNDS[name]
    model = bolus()
    with pytest.raises(tl.InputError, match=words):
        tl.fit(model, table(TIMES, THREE, model), {"cl": 3.0}, bounds={"cl": bounds})


# ---------------------------------------------------------------- what is told


def test_summaries_are_at_most_80_columns_wide():
    model = oral(ka=1.5, cl=3.0, v=30.0, depot="depot")
    curve = bateman(TIMES, 1.2, 3.0, 30.0) * (1.0 + 0.1 * np.sin(7.0 * TIMES))
    observed = table(TIMES, np.array([curve, 1.1 * curve]), model)
    found = tl.fit(model, observed, {"ka": 1.0, "cl": 2.0, "v": 20.0}, error=tl.Combined())
    text = found.summary()
    assert max(map(len, text.splitlines())) <= 80
    head = [word for row in text.splitlines() for word in row.split()]
    assert set(found.to_dataframe().columns) <= set(head)


@pytest.mark.parametrize(("points", "width", "words"), [
    (2, 3.0, "three are the least"), (0, 3.0, "three"), (5.5, 3.0, "whole number"),
    (15, 0.0, "width"), (15, np.nan, "width"), (15, -1.0, "width"),
])  # fmt: skip
def test_profiles_of_too_little(points, width, words):
    model = bolus()
    found = tl.fit(model, table(TIMES, THREE, model), {"cl": 3.0}, fixed={"v": V}, starts=1)
    with pytest.raises(tl.InputError, match=words):
        found.profile("cl", points, width)


@pytest.mark.parametrize("optimizer", [None, "SLSQP"])
def test_a_bar_counts_searches(optimizer, capsys):
    model = bolus()
    observed = table(TIMES, THREE, model)
    tl.fit(
        model, observed, {"cl": 3.0}, fixed={"v": V}, starts=2, progress=True, optimizer=optimizer
    )
    assert capsys.readouterr().err == "6 of 6 searches\n"


def test_yes_and_no_are_no_words():
    """The text "no" would count as True; a masked prior would count as what it hides."""
    model = bolus()
    events = table(TIMES, decline(TIMES, 4.0, 20.0), model)
    for name in ("pooled", "truncated"):
        with pytest.raises(TypeError, match=f"{name} is 'no' .it is a yes or no"):
            tl.fit(model, events, {"cl": 3.0, "v": 20.0}, **{name: "no"})
    with pytest.raises(tl.InputError, match="median of a prior has masked elements"):
        tl.LogNormal(np.ma.masked_array([3.0, 4.0], [False, True]), 0.3)


def test_arguments_of_another_kind_are_told():
    model = bolus()
    events = table(TIMES, decline(TIMES, 4.0, 20.0), model)
    nothing = table(TIMES, np.full(TIMES.size, np.nan), model)
    start = {"cl": 3.0, "v": 20.0}
    for arguments, options, error, words in (
        (("bolus", events, start), {}, TypeError, "model is a str"),
        ((model, events, start), {"priors": [tl.Normal(3.0, 1.0)]}, TypeError, "are a list"),
        ((model, events, start), {"priors": {"cl": 3.0}}, TypeError, "of 'cl' is a float"),
        ((model, events, start), {"rtoll": 1e-6}, TypeError, "'rtoll' .* Did you mean 'rtol'"),
        ((model, events, start), {"times": [1.0]}, TypeError, "times is no option of a fit"),
        ((model, events, start), {"reductions": []}, TypeError, "reductions is no option"),
        ((model, nothing, start, {1: "cp"}), {}, tl.InputError, "no observation of any subject"),
    ):
        with pytest.raises(error, match=words):
            tl.fit(*arguments, **options)
