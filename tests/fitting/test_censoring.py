"""Observations that lie in an interval, against SciPy's normal and quadrature; truncation; rows."""

import numpy as np
import pandas as pd
import pytest
import teorell as tl
from fitting_case import TIGHT, bolus, decline, table
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.stats import norm
from teorell.fitting.likelihood import likelihood
from teorell.fitting.observations import Observed

T = np.array([0.25, 1.0, 2.0, 4.0, 6.0, 8.0, 12.0])
Y = 5.0 * np.exp(-0.2 * T) + 0.1 * np.array([1.0, -1.0, 0.5, -0.3, 1.0, -0.8, 0.2])
SD = 0.1
UP, LOW = Y > 4.0, Y < 0.6


def log_interval(a, b, f):
    """log of the probability of lying from a to b, by Gauss-Legendre quadrature of the density."""
    nodes, weights = np.polynomial.legendre.leggauss(60)
    y = 0.5 * (a + b) + 0.5 * (b - a) * nodes
    with np.errstate(divide="ignore"):
        return np.log(0.5 * (b - a) * norm.pdf(y, f[:, None], SD) @ weights)


CASES = {
    "above": (
        {"DV": np.where(UP, 4.0, Y), "CENS": np.where(UP, -1, 0)},
        lambda f: np.where(UP, norm.logsf(4.0, f, SD), norm.logpdf(Y, f, SD)),
    ),
    "above, to LIMIT": (
        {
            "DV": np.where(UP, 4.0, Y),
            "CENS": np.where(UP, -1, 0),
            "LIMIT": np.where(UP, 5.0, np.nan),
        },
        lambda f: np.where(UP, log_interval(4.0, 5.0, f), norm.logpdf(Y, f, SD)),
    ),
    "below": (
        {"DV": np.where(LOW, 0.6, Y), "CENS": LOW.astype(int)},
        lambda f: np.where(LOW, norm.logcdf(0.6, f, SD), norm.logpdf(Y, f, SD)),
    ),
    "below, from LIMIT, which says nothing of others": (
        {"DV": np.where(LOW, 0.6, Y), "CENS": LOW.astype(int), "LIMIT": 0.4},
        lambda f: np.where(LOW, log_interval(0.4, 0.6, f), norm.logpdf(Y, f, SD)),
    ),
    "BLQ with LLOQ, DV 0": (
        {"DV": np.where(LOW, 0.0, Y), "BLQ": LOW.astype(int), "LLOQ": 0.6},
        lambda f: np.where(LOW, norm.logcdf(0.6, f, SD), norm.logpdf(Y, f, SD)),
    ),
    "DV below LLOQ, no flag": (
        {"DV": Y, "LLOQ": 0.6},
        lambda f: np.where(LOW, norm.logcdf(0.6, f, SD), norm.logpdf(Y, f, SD)),
    ),
    "truncated, M2": (
        {"DV": Y, "LLOQ": 0.6, "truncated": True},
        lambda f: np.where(LOW, 0.0, norm.logpdf(Y, f, SD) - norm.logsf(0.6, f, SD)),
    ),
    "truncated at LIMIT, M4": (
        {"DV": np.where(LOW, 0.6, Y), "CENS": LOW.astype(int), "LIMIT": 0.3, "truncated": True},
        lambda f: (
            np.where(LOW, log_interval(0.3, 0.6, f), norm.logpdf(Y, f, SD)) - norm.logsf(0.3, f, SD)
        ),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_estimates_are_those_of_the_likelihood_written_out(name):
    columns, part = CASES[name]
    columns = dict(columns)
    truncated = columns.pop("truncated", False)
    model = bolus()
    observed = table(T, columns.pop("DV"), model, **columns)
    found = tl.fit(
        model,
        observed,
        {"cl": 3.0, "v": 30.0},
        error=tl.Additive(SD),
        truncated=truncated,
        **TIGHT,
    )
    known = minimize(
        lambda x: -part(decline(T, *np.exp(x))).sum(),
        np.log([4.0, 20.0]),
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-11, "maxiter": 4000},
    )
    got = [found.estimates["cl"][0], found.estimates["v"][0]]
    np.testing.assert_allclose(got, np.exp(known.x), rtol=1e-5)
    assert found.objective[0] == pytest.approx(2.0 * known.fun, abs=1e-7)
    assert found.message == ("converged",)


def rows(low, high, y, floor):
    count = np.size(y)
    filled = [np.broadcast_to(np.asarray(each, float), (count,)).copy() for each in (low, high)]
    return Observed(
        np.asarray(y, float),
        *filled,
        np.broadcast_to(np.asarray(floor, float), (count,)).copy(),
        np.zeros(count, np.int64),
    )


def total(seen, f, sd, cv):
    """Value, gradient by f and log cv, and information, of one row each a problem."""
    f = np.asarray(f, float)
    v = sd**2 + (cv * f) ** 2
    variance = v, 2.0 * cv**2 * f, (2.0 * (cv * f) ** 2)[:, None]
    return likelihood(seen, f, np.ones((f.size, 1)), variance, np.arange(f.size), f.size)


INF = np.inf
ROWS = [
    (-INF, 1.0, -INF), (1.0, INF, -INF), (0.5, 1.0, -INF), (2.0, 2.0, -INF), (2.0, 2.0, 1.5),
    (0.5, 1.0, 0.5), (0.5, 1.0, 0.2), (1.0, INF, 0.5), (0.9999999, 1.0, -INF),
]  # fmt: skip


@pytest.mark.parametrize(("low", "high", "floor"), ROWS)
def test_gradients_are_those_of_differences(low, high, floor):
    f = np.array([0.05, 0.7, 1.0, 1.4, 3.0, 9.0])
    y = np.full(f.size, high if np.isfinite(high) and not np.isfinite(low) else low)
    seen = rows(low, high, y, floor)
    _, gradient, _ = total(seen, f, 0.2, 0.3)
    h = 1e-6
    by_f = (total(seen, f + h, 0.2, 0.3)[0] - total(seen, f - h, 0.2, 0.3)[0]) / (2.0 * h)
    up, down = 0.3 * np.exp(h), 0.3 * np.exp(-h)
    by_cv = (total(seen, f, 0.2, up)[0] - total(seen, f, 0.2, down)[0]) / (2.0 * h)
    np.testing.assert_allclose(gradient, np.stack([by_f, by_cv], 1), rtol=2e-6, atol=2e-7)


def test_values_far_from_the_interval():
    """No log of 0, where the probability underflows: the tail's expansion holds there."""
    for low, high, f in ((2.0, 3.0, -60.0), (2.0, 3.0, 80.0), (1.0, 1.0 + 1e-9, 1.0)):
        value, gradient, _ = total(rows(low, high, [low], -INF), [f], 1.0, 0.0)
        near = low if f < low else high
        z = abs(near - f)
        known = 0.5 * z * z + 0.5 * np.log(2.0 * np.pi) + (np.log(z) if z > 1.0 else 20.72326584)
        assert value[0] == pytest.approx(known, rel=1e-6)
        assert np.isfinite(gradient).all()


def test_information_of_a_truncated_normal():
    """The covariance of the score, by quadrature."""
    f, sd, cv, floor = 1.1, 0.2, 0.3, 1.0
    _, _, information = total(rows(1.3, 1.3, [1.3], floor), [f], sd, cv)

    def score(y, i, j):
        g = total(rows(y, y, [y], floor), [f], sd, cv)[1][0]
        s = np.sqrt(sd**2 + (cv * f) ** 2)
        return g[i] * g[j] * norm.pdf(y, f, s) / norm.sf(floor, f, s)

    known = [[quad(score, floor, 6.0, args=(i, j))[0] for j in range(2)] for i in range(2)]
    np.testing.assert_allclose(information[0], known, rtol=1e-7)


def test_recovery_with_limits_on_both_sides():
    """Half of the observations beyond limits: no bias where these are scored, 95 % of intervals."""
    rng, n = np.random.default_rng(11), 60
    t = np.linspace(0.5, 16.0, 24)
    y = decline(t, 4.0, 20.0) * (1.0 + 0.15 * rng.standard_normal((n, t.size)))
    lower, upper = 0.8, 3.0
    cens = np.where(y < lower, 1, np.where(y > upper, -1, 0))
    assert 0.3 < (cens != 0).mean() < 0.6
    model = bolus()
    observed = table(t, np.clip(y, lower, upper), model, CENS=cens)
    found = tl.fit(model, observed, {"cl": 3.0, "v": 30.0}, error=tl.Proportional(), starts=2)
    assert found.converged.all()
    for k, (name, truth) in enumerate((("cl", 4.0), ("v", 20.0))):
        away = np.log(found.estimates[name] / truth)
        assert abs(away.mean()) < 4.0 * away.std() / np.sqrt(n)
        assert (np.abs(away) < 2.1 * np.sqrt(found.covariance[:, k, k])).mean() > 0.85
    np.testing.assert_array_equal(found.censored, cens.ravel())
    assert np.isnan(found.residuals[found.censored != 0]).all()


def test_a_picture_without_a_value():
    """All observations below the limit: the picture says so."""
    pytest.importorskip("matplotlib")
    model = bolus()
    for columns in ({"BLQ": 1, "LLOQ": 6.0}, {"CENS": -1, "DV": 0.1}):
        observed = table(T, columns.pop("DV", 0.0) * np.ones(T.size), model, **columns)
        found = tl.fit(model, observed, {"cl": 3.0}, error=tl.Additive(1.0), starts=1)
        assert "no observation" in found.plot().axes[0].texts[0].get_text()


REFUSED = {
    "BLQ without a limit": ({"DV": np.where(LOW, 0.0, Y), "BLQ": LOW.astype(int)}, "row 8"),
    "CENS without a limit": ({"DV": np.where(LOW, np.nan, Y), "CENS": LOW.astype(int)}, "no limit"),
    "above without a limit": ({"DV": np.where(UP, np.nan, Y), "CENS": -UP.astype(int)}, "above a"),
    "DV above LLOQ": ({"DV": Y, "BLQ": UP.astype(int), "LLOQ": 0.5}, "DV is above LLOQ"),
    "LIMIT above DV": ({"DV": Y, "CENS": LOW.astype(int), "LIMIT": 4.0}, "lower end of an "
    "interval"),
    "LIMIT below DV": ({"DV": Y, "CENS": -UP.astype(int), "LIMIT": 1.0}, "not beyond"),
    "LIMIT at DV": ({"DV": np.where(LOW, 0.6, Y), "CENS": LOW * 1, "LIMIT": 0.6}, "lower end of an "
    "interval"),
    "CENS 2": ({"DV": Y, "CENS": 2}, "column CENS is 2.0 .it is -1, 0 or 1"),
    "BLQ 7": ({"DV": Y, "BLQ": 7}, "column BLQ is 7.0 .it is 0 or 1"),
    "CENS and BLQ": ({"DV": Y, "CENS": 0, "BLQ": 1}, "both say what is below a limit"),
    "truncated without a limit": ({"DV": Y, "truncated": True}, "truncated=True and an observ"),
    "truncated, above": (
        {"DV": Y, "CENS": -UP.astype(int), "LIMIT": 9.0, "truncated": True}, "has no limit"
    ),
    "truncated, below LIMIT": ({"DV": Y, "LIMIT": 1.0, "truncated": True}, "lies below LIMIT"),
    "infinite": ({"DV": np.where(UP, np.inf, Y)}, "it must be finite"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_rows_that_say_nothing_are_refused(name):
    columns, words = REFUSED[name]
    columns, model = dict(columns), bolus()
    truncated = columns.pop("truncated", False)
    dv = columns.pop("DV")

    def fit():
        observed = table(T, dv, model, **columns)
        tl.fit(model, observed, {"cl": 3.0}, error=tl.Additive(SD), truncated=truncated)

    with pytest.raises(tl.InputError, match=words):
        fit()


def test_a_limit_of_zero_is_one_where_it_is_given():
    """LLOQ 0, of a value on the scale of logarithms for example."""
    model = tl.Model("line")
    a = model.parameter("a", 0.0)
    x = model.state("x", 0.0, signed=True)
    model.rate(x, a + 0.0 * x)
    model.output("y", x)
    t = np.arange(1.0, 6.0)
    frame = {"ID": 1, "TIME": t, "DV": [0.0, -0.5, 0.0, 0.3, -0.2], "BLQ": [1, 0, 1, 0, 0]}
    observed = tl.EventTable(
        pd.DataFrame(frame | {"LLOQ": [0.0, np.nan, 0.0, np.nan, np.nan]}), model
    )
    found = tl.fit(model, observed, {"a": 0.0}, error=tl.Additive(0.5), **TIGHT)
    y, blq = np.array(frame["DV"]), np.array(frame["BLQ"]) == 1

    def objective(x):
        f = x[0] * t
        return -np.where(blq, norm.logcdf(0.0, f, 0.5), norm.logpdf(y, f, 0.5)).sum()

    known = minimize(objective, [0.0], method="Nelder-Mead", options={"xatol": 1e-9}).x
    np.testing.assert_allclose(found.estimates["a"], known, atol=1e-7)
