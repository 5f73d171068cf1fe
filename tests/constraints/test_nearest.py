"""Projections: the nearest points, against SciPy; who is found, and what is a contradiction."""

import numpy as np
import pytest
import teorell as tl
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize
from teorell.constraints import ConstraintSet, human_adult
from teorell.pbpk import virtual_adults

NAMES = ("x", "y", "z")


def random_set(seed, bends=True):
    """Half-spaces, an equality perhaps, and a ball perhaps, around a point; NumPy's view of it."""
    rng = np.random.default_rng(seed)
    c, inside = ConstraintSet("random"), rng.standard_normal(3)
    quantities = c.quantities(*NAMES)
    rules = []

    def add(kind, a, b):
        value = sum(float(k) * q for k, q in zip(a, quantities, strict=True))
        name = f"{kind} {len(rules)}"
        if kind == "eq":
            c.equal(name, value, float(b), scale=1.0)
        else:
            c.at_most(name, value, float(b), scale=1.0)
        rules.append({"type": kind, "fun": lambda x, a=a, b=b: b - a @ x, "jac": lambda x, a=a: -a})

    for _ in range(rng.integers(1, 6)):
        a = rng.standard_normal(3) * (rng.random(3) < 0.8)
        if a.any():
            add("ineq", a, a @ inside + rng.exponential(0.5))
    if rng.random() < 0.5:
        a = rng.standard_normal(3)
        add("eq", a, a @ inside)
    if bends and rng.random() < 0.7:
        radius = float(inside @ inside) + rng.exponential(1.0)
        c.at_most("ball", sum(q * q for q in quantities), radius, scale=1.0)
        rules.append({"type": "ineq", "fun": lambda x: radius - x @ x, "jac": lambda x: -2.0 * x})
    if not rules:
        add("ineq", np.ones(3), np.ones(3) @ inside)
    read = [k for k, name in enumerate(NAMES) if name in c.inputs]
    return c, rules, 3.0 * rng.standard_normal((3, 4)), read


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_nearest_of_random_convex_sets(seed):
    """As near as SLSQP comes, feasible, moved again by nothing, alone and in any order."""
    c, rules, points, read = random_set(seed)
    names = [NAMES[k] for k in read]
    ones = dict.fromkeys(names, 1.0)
    given_ = {NAMES[k]: points[k] for k in read}
    found = c.project(given_, scale=ones)
    assert found.success.all()
    assert not c.violations(found.values).any.any()
    again = c.project(found.values, scale=ones)
    for name in names:
        assert again.values[name].tobytes() == found.values[name].tobytes()
        order = np.array([2, 0, 3, 1])
        turned = c.project({n: column[order] for n, column in given_.items()}, scale=ones)
        assert turned.values[name].tobytes() == found.values[name][order].tobytes()
        one = c.project({n: column[2:3] for n, column in given_.items()}, scale=ones)
        assert one.values[name][0] == found.values[name][2]
    for i in range(points.shape[1]):
        x0 = points[:, i]
        known = minimize(
            lambda x, x0=x0: 0.5 * ((x - x0) ** 2).sum(), x0, jac=lambda x, x0=x0: x - x0,
            constraints=rules, method="SLSQP", options={"ftol": 1e-13, "maxiter": 300},
        )  # fmt: skip
        off = max([0.0, *(abs(r["fun"](known.x)) if r["type"] == "eq" else -r["fun"](known.x)
                          for r in rules)])  # fmt: skip
        if known.success and off < 1e-8:
            assert found.distance[i] <= np.sqrt(2.0 * known.fun) + 1e-6


def test_those_who_depend_on_active_bounds():
    """Bounds that are combinations of others where they meet: all of 1,000 adults are found."""
    c = human_adult()
    people = virtual_adults(1000, seed=1)
    found = c.project(people)
    assert found.success.all()
    assert not c.violations(found.values).any.any()


def test_the_corner_of_three_lines():
    """Three lines through one point of the plane, whichever are active first."""
    c = ConstraintSet()
    x, y = c.quantities("x", "y")
    for k, angle in enumerate(np.linspace(0.0, 0.5 * np.pi, 3)):
        c.at_most(f"line {k}", float(np.cos(angle)) * x + float(np.sin(angle)) * y, 0.0, scale=1.0)
    rng = np.random.default_rng(4)
    points = rng.uniform(0.0, 2.0, (2, 300))
    found = c.project({"x": points[0], "y": points[1]}, scale={"x": 1.0, "y": 1.0})
    np.testing.assert_allclose([found.values["x"], found.values["y"]], 0.0, atol=1e-12)


# ---------------------------------------------------------------- found from elsewhere


@pytest.mark.parametrize("start", [0.0, 1e-9, 1e-3, 1e3])
def test_a_circle_from_its_centre_and_from_afar(start):
    c = ConstraintSet()
    x, y = c.quantities("x", "y")
    c.equal("circle", x * x + y * y, 1.0)
    found = c.project({"x": start, "y": 0.0}, scale={"x": 1.0, "y": 1.0})
    assert found.success.all()
    assert found.distance[0] == pytest.approx(abs(start - 1.0), rel=1e-6)


def test_from_where_a_constraint_is_no_number():
    c = ConstraintSet()
    p = c.quantity("p")
    c.at_least("log", tl.log(p), 0.0)
    found = c.project({"p": np.array([-1.0, 0.0, 0.5, 3.0])})
    np.testing.assert_allclose(found.values["p"], [1.0, 1.0, 1.0, 3.0], rtol=1e-12)
    ratio = ConstraintSet()
    a, b = ratio.quantities("a", "b")
    ratio.equal("ratio", a / b, 2.0)
    found = ratio.project({"a": 1.0, "b": 0.0})
    np.testing.assert_allclose([found.values["a"][0], found.values["b"][0]], [0.8, 0.4], rtol=1e-9)


# ---------------------------------------------------------------- contradictions


def test_not_found_is_data_alone_and_among_others():
    """Nobody is refused for what the numbers of a patient alone make impossible."""
    c = ConstraintSet()
    u, w = c.quantities("u", "w")
    c.at_most("cap", u, w)
    c.at_least("floor", u, 2.0)
    for w_values in ([1.0], [1.0, 1.0], [1.0, 3.0]):
        found = c.project({"u": np.full(len(w_values), 1.0), "w": w_values}, hold="w")
        assert found.success.tolist() == [value >= 2.0 for value in w_values]
        assert np.isnan(found.values["u"][0])
        assert "1 not found" in repr(found) or "2 not found" in repr(found)
        rates = c.violations(found.values).any
        assert rates.tolist() == [value < 2.0 for value in w_values]


def test_distances_alone_and_among_others():
    """The same bits: thirty numbers are added up in one order."""
    c = ConstraintSet()
    names = [f"x{k}" for k in range(30)]
    c.equal("sum", sum(c.quantities(*names)), 30.0)
    rng = np.random.default_rng(4)
    people = {name: rng.uniform(0.5, 2.0, 20) for name in names}
    of_all = c.project(people).distance
    alone = [c.project({n: x[i] for n, x in people.items()}).distance[0] for i in range(20)]
    assert of_all.tolist() == alone


def test_what_is_impossible_but_not_proven_is_not_found():
    c = ConstraintSet()
    x = c.quantity("x")
    c.at_most("square", x * x, -1.0)
    found = c.project({"x": [1.0, 2.0]})
    assert not found.success.any()
    assert np.isnan(found.values["x"]).all()


CONTRADICTIONS = {
    "one value": lambda c, x, y: (c.at_least("a", tl.log(x), 2.0), c.at_most("b", tl.log(x), 1.0)),
    "equalities": lambda c, x, y: (c.equal("a", x - y, 1.0), c.equal("b", 2.0 * y - 2.0 * x, 1.0)),
    "in scales": lambda c, x, y: (
        c.at_least("a", x, 0.5 * y), c.at_least("b", 0.4 * y - x, 0.1 * y), c.at_least("c", y, 1.0),
    ),
    "numbers": lambda c, x, y: (c.at_least("a", x - x, 1.0),),
}  # fmt: skip


@pytest.mark.parametrize("declare", CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys())
@pytest.mark.parametrize("patients", [1, 3])
def test_contradictions_are_proven(declare, patients):
    c = ConstraintSet("impossible")
    x, y = c.quantities("x", "y")
    told = len(declare(c, x, y))
    c.at_most("harmless", x + y, 100.0)
    with pytest.raises(tl.InputError, match="contradict each other") as caught:
        c.project({"x": np.linspace(1.0, 2.0, patients), "y": 1.0})
    assert all(repr(name) in str(caught.value) for name in "abc"[:told])
    assert "harmless" not in str(caught.value)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_contradiction_is_one(seed):
    """Random half-spaces: refused exactly where SciPy's linear program has no point."""
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(2, 7))
    a, b = rng.integers(-3, 4, (rows, 2)), rng.integers(-4, 3, rows)
    a[0, 0], a[0, 1] = a[0, 0] or 1, a[0, 1] or 1
    c = ConstraintSet("random")
    x, y = c.quantities("x", "y")
    for k in range(rows):
        c.at_most(f"row {k}", float(a[k, 0]) * x + float(a[k, 1]) * y, float(b[k]), scale=1.0)
    known = linprog([0.0, 0.0], A_ub=a, b_ub=b, bounds=(None, None))
    values = {name: np.array([0.0, 5.0]) for name in c.inputs}
    if known.status == 2:
        with pytest.raises(tl.InputError, match="contradict each other"):
            c.project(values)
    else:
        found = c.project(values, scale=dict.fromkeys(c.inputs, 1.0))
        assert found.success.all()


def test_what_no_constraint_reads_stays_with_the_patients():
    """A model simulated with what `project` gives has all numbers that went in."""
    torch = pytest.importorskip("torch")
    c = ConstraintSet("sum")
    a, b, _, _ = c.quantities("a", "b", "height", "left_out")
    c.equal("sum", a + b, 3.0)
    given = {"a": [1.0, 2.5], "b": [1.0, 2.0], "height": np.array([1.7, np.nan])}
    found = c.project(given)
    assert sorted(found.values) == ["a", "b", "height"]
    np.testing.assert_array_equal(found.values["height"], given["height"])
    np.testing.assert_allclose(found.values["a"] + found.values["b"], 3.0)
    back = found.pull_back({"a": [1.0, 1.0], "height": [4.0, 5.0]})
    alone = c.project({"a": [1.0, 2.5], "b": [1.0, 2.0]}).pull_back({"a": [1.0, 1.0]})
    np.testing.assert_array_equal(back.pop("height"), [4.0, 5.0])
    for name, slope in alone.items():
        np.testing.assert_array_equal(back[name], slope)
    assert not c.violations(found.values).any.any()
    heights = torch.tensor([1.7, 1.8], requires_grad=True)
    for tensors in (given, {"a": torch.tensor([1.0, 2.5]), "b": torch.tensor([1.0, 2.0])}):
        values = c.project({**tensors, "height": heights}).values
        (3 * values["height"] + values["a"]).sum().backward()
        assert heights.grad.tolist() == [3.0, 3.0]
        heights.grad = None
    for wrong in (np.ones(3), "tall", np.ma.masked_array([1.7, 1.8], [0, 1])):
        with pytest.raises(tl.InputError, match="quantity 'height' has"):
            c.project({**given, "height": wrong})


A, B = "a", "b"
SCALES = {  # declare, numbers of patients, who violates
    "a range that is empty for some": (
        lambda c, a, b: c.between("x", a, b, 1.0),
        {A: [1.5, 0.5, 1.0, 1.0], B: [2.0, 0.0, 1.0, 2.0]}, [True, False, False, True],
    ),
    "a bound of 0": (
        lambda c, a, b: c.at_least("x", a, b),
        {A: [0.0, -1.0, 2.0, -2.0], B: [0.0, 0.0, 0.0, -1.0]}, [False, True, False, True],
    ),
    "equal to 0": (
        lambda c, a, b: c.equal("x", a, b),
        {A: [0.0, 1.0, -1.0], B: [0.0, 0.0, -1.0]}, [False, True, False],
    ),
    "a scale that is negative for some": (
        lambda c, a, b: c.at_least("x", a, 1.0, scale=b),
        {A: [0.0, 0.0, 2.0, 0.0], B: [-1.0, 1.0, -1.0, 0.0]}, [True, True, False, True],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SCALES)
def test_no_scale_turns_a_residual(name):
    declare, people, expected = SCALES[name]
    c = ConstraintSet("s")
    declare(c, *c.quantities(A, B))
    assert c.violations(people).any.tolist() == expected
    penalty, slopes = c.penalty(people, gradient=True)
    assert ((penalty > 0.0) == expected).all()
    assert all(np.isfinite(x).all() for x in (penalty, *slopes.values()))
    found = c.project(people, scale={A: 1.0, B: 1.0})
    # of a range that closes, the end may be not found: then it is told
    assert found.success.all() or "empty" in name
    np.testing.assert_array_equal(c.violations(found.values).any, ~found.success)
    np.testing.assert_array_equal(
        found.distance[found.success] > 0.0, np.array(expected)[found.success]
    )


@pytest.mark.parametrize("name", ["", " ", None, 3])
def test_a_quantity_has_a_name(name):
    with pytest.raises(tl.InputError, match="the name of a quantity is"):
        ConstraintSet("s").quantity(name)


@pytest.mark.parametrize("scale", [0, -1.0])
def test_a_scale_is_positive(scale):
    c = ConstraintSet("s")
    a = c.quantity("a")
    with pytest.raises(tl.InputError, match=r"'x' has the scale .* Give a positive one"):
        c.at_least("x", a, 1.0, scale=scale)
    with pytest.raises(tl.InputError, match="'x' has the scale"):
        c.equal("x", a, 1.0, scale=scale)
