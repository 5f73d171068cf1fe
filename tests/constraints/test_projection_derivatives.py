"""Derivatives of projections: the metric is part of them; nobody spoils those of others."""

import numpy as np
import pytest
import teorell as tl
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from teorell.constraints import ConstraintSet, human_adult
from teorell.pbpk import virtual_adults


def bent():
    """An equality that bends, a bound that bends, and one that does not."""
    c = ConstraintSet()
    a, b, d = c.quantities("a", "b", "d")
    c.equal("product", a * b, d)
    c.at_most("ratio", a / b, 1.5)
    c.at_least("d", d, 0.5)
    return c


@pytest.mark.parametrize("signs", [(1.0, 1.0), (-1.0, -1.0)])
def test_the_scale_that_was_not_given_changes_too(signs):
    """Onto a + b = 1 in relative changes: x + x^2 (1 - sum) / |x|^2, and its derivative."""
    c = ConstraintSet()
    a, b = c.quantities("a", "b")
    c.equal("sum", a + b, 1.0)
    rng = np.random.default_rng(7)
    x = rng.uniform(0.1, 2.0, (2, 20)) * np.array(signs)[:, None]
    slope = c.project({"a": x[0], "b": x[1]}).pull_back({"a": 1.0})
    square, rest = (x**2).sum(axis=0), 1.0 - x.sum(axis=0)
    share = x[0] ** 2 / square
    expected = [
        1.0 - share + rest * (2.0 * x[0] / square - 2.0 * x[0] ** 3 / square**2),
        -share - rest * 2.0 * x[0] ** 2 * x[1] / square**2,
    ]
    np.testing.assert_allclose([slope["a"], slope["b"]], expected, rtol=1e-9, atol=1e-12)


def test_by_scales_that_were_given():
    """Onto a + b = 1 with scales s, t: a + s^2 (1 - a - b) / (s^2 + t^2), by s and t."""
    c = ConstraintSet()
    a, b = c.quantities("a", "b")
    c.equal("sum", a + b, 1.0)
    s, t = np.array([0.5, 1.0, 3.0]), 2.0
    found = c.project({"a": np.full(3, 0.3), "b": 0.5}, scale={"a": s, "b": t})
    by = found.pull_back_scale({"a": 1.0})
    square = (s**2 + t**2) ** 2
    np.testing.assert_allclose(by["a"], 0.2 * 2.0 * s * t**2 / square, rtol=1e-9)
    np.testing.assert_allclose(by["b"], -0.2 * 2.0 * t * s**2 / square, rtol=1e-9)
    only_a = c.project({"a": np.full(3, 0.3), "b": 0.5}, scale={"a": s})
    assert list(only_a.pull_back_scale({"a": 1.0})) == ["a"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0.2, 4.0), min_size=3, max_size=3),
    st.sampled_from(["own", "given", "mixed"]),
    st.sampled_from([(), ("a",), ("d",)]),
)
def test_against_differences(x0, metric, hold):
    """Back and forward, with every kind of scale and what is held, where nothing switches."""
    c, names = bent(), ("a", "b", "d")
    scales = {"own": {}, "given": {"a": 0.7, "b": 1.3, "d": 0.4}, "mixed": {"b": 0.9}}[metric]
    scales = {name: each for name, each in scales.items() if name not in hold}
    inputs = dict(zip(names, x0, strict=True)) | {f"s {n}": each for n, each in scales.items()}

    def at(changed):
        return c.project(
            {n: changed[n] for n in names}, scale={n: changed[f"s {n}"] for n in scales}, hold=hold
        )

    found = at(inputs)
    assume(found.success.all())
    weights = {"a": 1.0, "b": -0.5, "d": 0.25}
    back, by_scale = found.pull_back(weights), found.pull_back_scale(weights)
    assume(np.isfinite([back[n][0] for n in names]).all())  # where two nearest points part
    for name, value in inputs.items():
        h = 1e-5 * value
        either = [at(inputs | {name: value + sign * h}) for sign in (1.0, -1.0)]
        assume(all(e.success.all() and e.active == found.active for e in either))
        difference = {n: (either[0].values[n] - either[1].values[n]) / (2 * h) for n in names}
        total = sum(weights[n] * difference[n] for n in names)
        got = by_scale[name[2:]] if name.startswith("s ") else back[name]
        np.testing.assert_allclose(got, total, rtol=1e-4, atol=1e-5)
        tangent = ({}, {name[2:]: 1.0}) if name.startswith("s ") else ({name: 1.0}, {})
        forward = found.derivative.push_forward(*tangent)
        for n in names:
            np.testing.assert_allclose(forward[n], difference[n], rtol=1e-4, atol=1e-5)


def test_adults_against_differences():
    """The whole set of adults in relative changes, in a direction."""
    c, people = human_adult(), virtual_adults(40, seed=3)
    given_ = {name: np.array(people.body[name] + np.zeros(40)) for name in c.inputs}
    rng = np.random.default_rng(5)
    weights = {name: rng.standard_normal(40) for name in c.inputs}
    way = {n: given_[n] * rng.standard_normal(40) * (n != "female") for n in c.inputs}
    found = c.project(given_)
    good = found.success.copy()
    either = []
    for sign in (1.0, -1.0):
        moved = c.project({n: given_[n] + sign * 1e-6 * way[n] for n in c.inputs})
        good &= moved.success
        good &= np.all([moved.active[n] == found.active[n] for n in found.active], axis=0)
        either.append(moved)
    difference = sum(
        weights[n] * (either[0].values[n] - either[1].values[n]) / 2e-6 for n in c.inputs
    )
    back = found.pull_back(weights)
    got = sum(back[n] * way[n] for n in c.inputs)
    assert good.sum() > 30
    np.testing.assert_allclose(got[good], difference[good], rtol=1e-4, atol=1e-5)


def test_residuals_in_a_huge_scale():
    """The derivative knows the bound however small its residual is told."""
    c = ConstraintSet()
    c.equal("x", c.quantity("x"), 3.0, scale=1e8)
    c.at_most("y", c.quantity("y"), 1.0, scale=1e-6)
    found = c.project({"x": 5.0, "y": 2.0}, scale={"x": 1.0, "y": 1.0})
    by = found.pull_back({"x": 1.0, "y": 1.0})
    np.testing.assert_allclose([by["x"][0], by["y"][0]], 0.0, atol=1e-15)


def test_those_not_found_have_gradient_zero_and_spoil_nothing():
    c = ConstraintSet()
    u, w = c.quantities("u", "w")
    c.at_most("cap", u, w)
    c.at_least("floor", u, 2.0)
    found = c.project({"u": [1.0, 1.0, 4.0], "w": [3.0, 1.0, 3.0]}, hold="w", scale={"u": 1.0})
    assert found.success.tolist() == [True, False, True]
    back = found.pull_back({"u": np.array([1.0, np.nan, 1.0]), "w": [0.0, np.nan, 0.0]})
    np.testing.assert_allclose(back["u"], [0.0, 0.0, 0.0], atol=1e-15)
    np.testing.assert_allclose(back["w"], [0.0, 0.0, 1.0], atol=1e-15)
    by_scale = found.pull_back_scale({"u": [1.0, np.nan, 1.0]})["u"]
    np.testing.assert_allclose(by_scale, [0.0, 0.0, 0.0], atol=1e-15)
    with pytest.raises(tl.InputError, match="not finite"):
        found.pull_back({"u": np.array([np.nan, 0.0, 0.0])})
    with pytest.raises(tl.InputError, match="2 patients"):
        found.pull_back({"u": [1.0, 1.0]})


def test_gradients_do_not_depend_on_who_else_is_there():
    c, people = human_adult(), virtual_adults(60, seed=9)
    given_ = {name: np.array(people.body[name] + np.zeros(60)) for name in c.inputs}
    weights = np.random.default_rng(1).standard_normal(60)
    all_of_them = c.project(given_).pull_back({"mass_liver": weights, "body_weight": 1.0})
    for i in (0, 17, 59):
        one = c.project({n: column[i : i + 1] for n, column in given_.items()})
        back = one.pull_back({"mass_liver": weights[i : i + 1], "body_weight": 1.0})
        assert all(back[n][0] == all_of_them[n][i] for n in c.inputs)


def test_changed_arrays_change_no_derivative():
    c = ConstraintSet()
    a, b = c.quantities("a", "b")
    c.equal("product", a * b, 1.0)
    x, s = np.array([2.0]), np.array([1.0])
    found = c.project({"a": x, "b": np.array([3.0])}, scale={"a": s}, hold="b")
    before = found.pull_back({"a": 1.0})["b"].copy()
    x[:], s[:] = 100.0, 50.0
    found.values["a"][:] = 7.0
    assert found.pull_back({"a": 1.0})["b"] == before
