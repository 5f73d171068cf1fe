"""Constraints: penalties and slopes, violation rates, the nearest feasible patients, against closed
forms and SciPy.
"""

import numpy as np
import pytest
import teorell as tl
from folders import DATA
from hypothesis import given, settings
from hypothesis import strategies as st
from teorell.constraints import ConstraintSet, human_adult, wilson
from teorell.model.expression import symbol
from teorell.pbpk import MIDAZOLAM, virtual_adults, whole_body
from teorell.physiology.reference_adults import (
    BODY_WEIGHT,
    CARDIAC_OUTPUT,
    HEIGHT,
    MASS,
    REFERENCE,
)
from teorell.physiology.sources import SOURCES
from teorell.physiology.vocabulary import FLOWS, MASSES, flow_to, mass_of


def adults():
    """An equality, bounds on both sides and on one, a bound that bends, and a barrier."""
    c = ConstraintSet("adults")
    weight, height, a, b = c.quantities("weight", "height", "a", "b")
    c.between("BMI", weight / height**2, 18.5, 45.0, group="size")
    c.equal("parts", a + b, weight, group="sums")
    c.at_least("a", a, 0.2 * weight, barrier=0.1)
    c.at_most("log", tl.log(weight), 5.0, group="size")
    return c


def people(n, seed=1):
    rng = np.random.default_rng(seed)
    return {
        "weight": rng.lognormal(4.3, 0.4, n), "height": rng.normal(1.7, 0.1, n),
        "a": rng.lognormal(3.0, 0.3, n), "b": rng.lognormal(4.0, 0.3, n),
    }  # fmt: skip


NAMES = ("weight", "height", "a", "b")


# ---------------------------------------------------------------- penalties


def test_penalties_are_what_the_formula_says():
    c = ConstraintSet()
    x, y = c.quantities("x", "y")
    c.between("range", x, 1.0, 3.0, weight=2.0)  # in scales of 2
    c.equal("sum", x + y, 10.0, weight=5.0)
    c.at_least("floor", y, 4.0)
    given = {"x": [0.0, 2.0, 5.0, 2.0], "y": [10.0, 8.0, 5.0, 3.0]}
    expected = [2.0 * 0.5**2, 0.0, 2.0 * 1.0, 5.0 * 0.5**2 + 0.25**2]
    np.testing.assert_allclose(c.penalty(given), expected, rtol=1e-15)
    np.testing.assert_allclose(c.penalty({"x": 2.0, "y": 8.0}), [0.0], atol=0.0)


@settings(max_examples=50, deadline=None)
@given(st.floats(0.01, 2.0), st.floats(-4.0, 4.0))
def test_a_barrier_is_smooth_and_zero_far_inside(barrier, x):
    c = ConstraintSet()
    c.at_most("x", c.quantity("x"), 0.0, scale=1.0, barrier=barrier)
    value = lambda at: float(c.penalty({"x": at})[0])  # noqa: E731
    slope = lambda at: float(c.penalty({"x": at}, gradient=True)[1]["x"][0])  # noqa: E731
    assert value(x) == 0.0 if x <= -barrier else value(x) > 0.0
    assert value(x) == pytest.approx(x * x) if x >= barrier else value(x) <= (x + barrier) ** 2
    for edge in (-barrier, barrier):  # neither value nor slope has a jump
        assert value(edge - 1e-9) == pytest.approx(value(edge + 1e-9), abs=1e-7)
        assert slope(edge - 1e-9) == pytest.approx(slope(edge + 1e-9), abs=1e-7)


def test_gradients_against_differences():
    c, given = adults(), people(500)
    _, gradient = c.penalty(given, gradient=True)
    for name in NAMES:
        h = 1e-5 * given[name]
        either = [c.penalty(given | {name: given[name] + sign * h}) for sign in (1.0, -1.0)]
        difference = (either[0] - either[1]) / (2 * h)
        np.testing.assert_allclose(
            gradient[name], difference, rtol=1e-5, atol=1e-7 * np.abs(difference).max()
        )


def test_the_same_bits_however_they_run():
    c, given = adults(), people(1003)
    value, gradient = c.penalty(given, gradient=True)
    for options in ({"threads": 1}, {"threads": 3}, {"executor": "interpreter"}):
        other, slopes = c.penalty(given, gradient=True, **options)
        assert value.tobytes() == other.tobytes()
        assert all(gradient[name].tobytes() == slopes[name].tobytes() for name in NAMES)
    one = c.penalty({name: values[700:701] for name, values in given.items()})
    assert one[0] == value[700]
    strided = {name: np.stack([values, values], 1)[:, 0] for name, values in given.items()}
    assert c.penalty(strided).tobytes() == c.penalty(given).tobytes()


def test_torch():
    torch = pytest.importorskip("torch")
    c = adults()
    inputs = [torch.tensor(values, requires_grad=True) for values in people(5).values()]
    assert torch.autograd.gradcheck(lambda *x: c.penalty(dict(zip(NAMES, x, strict=True))), inputs)
    shared = torch.tensor(70.0, requires_grad=True)
    c.penalty(dict(zip(NAMES, [shared.double(), *inputs[1:]], strict=True))).sum().backward()
    _, slopes = c.penalty(people(5) | {"weight": np.full(5, 70.0)}, gradient=True)
    assert float(shared.grad) == pytest.approx(slopes["weight"].sum(), rel=1e-6)


def test_torch_through_a_projection():
    torch = pytest.importorskip("torch")
    c, given = adults(), people(6)
    scale = {name: np.abs(given[name]) for name in NAMES}
    inputs = [torch.tensor(values, requires_grad=True) for values in given.values()]

    def projected(*x):
        found = c.project(dict(zip(NAMES, x, strict=True)), scale=scale)
        return tuple(found.values[name] for name in NAMES)

    np.testing.assert_array_equal(
        projected(*inputs)[0].detach(), c.project(given, scale=scale).values["weight"]
    )
    assert torch.autograd.gradcheck(projected, inputs, eps=1e-5, rtol=1e-4, atol=1e-6)


# ---------------------------------------------------------------- violations


def test_violations():
    c = ConstraintSet()
    x = c.quantity("x")
    c.between("range", x, 0.0, 1.0)
    c.equal("one", x, 1.0, tolerance=0.25)
    found = c.violations({"x": [-0.5, 0.5, 0.8, 1.0, 1.2, 2.0]})
    assert found.violated["range"].tolist() == [True, False, False, False, True, True]
    assert found.violated["one"].tolist() == [True, True, False, False, False, True]
    np.testing.assert_allclose(
        found.residuals["range"], [0.5, -0.5, -0.2, 0.0, 0.2, 1.0], atol=1e-15
    )
    assert found.rates == {"range": 0.5, "one": 0.5}
    assert found.rate == pytest.approx(4 / 6)
    frame = found.to_dataframe().set_index("constraint")
    assert frame.loc["any", "rate"] == pytest.approx(4 / 6)
    assert frame.loc["range", "worst"] == 1.0


def test_wilson_intervals_are_scipys():
    from scipy.stats import binomtest

    for successes, n in ((0, 10), (1, 10), (7, 1000), (500, 1000), (10, 10)):
        known = binomtest(successes, n).proportion_ci(method="wilson")
        np.testing.assert_allclose(
            wilson(successes, n), (known.low, known.high), rtol=1e-12, atol=1e-15
        )


def test_what_is_no_number_is_a_violation():
    c = ConstraintSet()
    c.at_least("log", tl.log(c.quantity("x")), 0.0)
    assert c.violations({"x": [2.0, -1.0]}).violated["log"].tolist() == [False, True]


# ---------------------------------------------------------------- projection


def test_onto_a_plane():
    """x - s^2 a (a' x - b) / (a' s^2 a), whatever the metric."""
    c, rng = ConstraintSet(), np.random.default_rng(2)
    x = c.quantities("x", "y", "z")
    c.equal("plane", x[0] + 2.0 * x[1] - 3.0 * x[2], 4.0)
    points, s, a = (
        rng.standard_normal((3, 50)),
        np.array([1.0, 0.5, 2.0]),
        np.array([1.0, 2.0, -3.0]),
    )
    found = c.project(dict(zip("xyz", points, strict=True)), scale=dict(zip("xyz", s, strict=True)))
    off = a @ points - 4.0
    expected = points - (s**2 * a)[:, None] * off / (s**2 @ a**2)
    np.testing.assert_allclose(
        [found.values[name] for name in "xyz"], expected, rtol=1e-12, atol=1e-12
    )
    np.testing.assert_allclose(found.distance, np.abs(off) / np.sqrt(s**2 @ a**2), rtol=1e-12)


def test_onto_a_box():
    c, rng = ConstraintSet(), np.random.default_rng(3)
    for name in "xy":
        c.between(name, c.quantity(name), -1.0, 0.5)
    points = rng.uniform(-3.0, 3.0, (2, 200))
    found = c.project(dict(zip("xy", points, strict=True)), scale={"x": 1.0, "y": 1.0})
    np.testing.assert_allclose(
        [found.values[name] for name in "xy"], np.clip(points, -1.0, 0.5), rtol=0, atol=1e-15
    )
    inside = (np.abs(points + 0.25) <= 0.75).all(axis=0)
    assert (found.steps[inside] == 0).all()
    assert (found.active["x"] == (np.abs(points[0] + 0.25) > 0.75)).all()


def test_onto_a_circle():
    """A constraint that bends, from far inside and outside: the nearest point lies on the ray."""
    c = ConstraintSet()
    x, y = c.quantities("x", "y")
    c.equal("circle", x * x + y * y, 1.0)
    angle, radius = np.linspace(0.1, 6.2, 40), np.tile([0.2, 0.9, 1.1, 30.0], 10)
    found = c.project(
        {"x": radius * np.cos(angle), "y": radius * np.sin(angle)}, scale={"x": 1.0, "y": 1.0}
    )
    assert found.success.all()
    np.testing.assert_allclose(found.values["x"], np.cos(angle), atol=1e-7)
    np.testing.assert_allclose(found.distance, np.abs(radius - 1.0), rtol=1e-9)


def test_nearest_as_slsqp_says():
    from scipy.optimize import minimize

    c, given = adults(), people(12)
    found = c.project(given)
    assert found.success.all()
    for i in range(12):
        x0 = np.array([given[name][i] for name in NAMES])
        rules = [
            ("eq", lambda x: (x[2] + x[3]) / x[0] - 1.0), ("ineq",
            lambda x: x[0] / x[1] ** 2 - 18.5), ("ineq", lambda x: 45.0 - x[0] / x[1] ** 2),
            ("ineq", lambda x: x[2] - 0.2 * x[0]), ("ineq", lambda x: 5.0 - np.log(x[0])),
        ]  # fmt: skip
        known = minimize(
            lambda x, x0=x0: (((x - x0) / x0) ** 2).sum(), x0, constraints=[{"type": t,
            "fun": f} for t, f in rules], method="SLSQP", options={"ftol": 1e-14, "maxiter": 500},
        )  # fmt: skip
        np.testing.assert_allclose([found.values[name][i] for name in NAMES], known.x, rtol=1e-6)
        assert found.distance[i] == pytest.approx(np.sqrt(known.fun), rel=1e-9)


def test_projections_are_feasible_idempotent_and_the_same_bits():
    c, given = adults(), people(5003)
    found = c.project(given)
    assert found.success.all()
    assert max(values.max() for values in c.residuals(found.values).values()) < 1e-9
    again = c.project(found.values)
    assert not again.steps.any()
    assert not again.distance.any()
    assert all(np.array_equal(again.values[name], found.values[name]) for name in NAMES)
    for options in ({"threads": 1}, {"executor": "interpreter"}):
        other = c.project(given, **options)
        assert all(other.values[name].tobytes() == found.values[name].tobytes() for name in NAMES)
    one = c.project({name: values[4000:4001] for name, values in given.items()})
    assert all(one.values[name][0] == found.values[name][4000] for name in NAMES)


@pytest.mark.parametrize("hold", [(), ("weight",), ("height", "b")])
def test_derivatives_of_a_projection(hold):
    c, given, rng = adults(), people(60), np.random.default_rng(6)
    scale = {name: np.abs(given[name]) for name in NAMES if name not in hold}
    weights = {name: rng.standard_normal(60) for name in NAMES}
    found = c.project(given, scale=scale, hold=hold)
    slopes = found.pull_back(weights)
    good = found.success
    for name in NAMES:
        h = 1e-6 * given[name]
        either = []
        for sign in (1.0, -1.0):
            moved = c.project(given | {name: given[name] + sign * h}, scale=scale, hold=hold)
            either.append(moved)
            good &= moved.success
            # where the active constraints change there is a kink
            for each, active in found.active.items():
                good &= moved.active[each] == active
        difference = sum(
            weights[n] * (either[0].values[n] - either[1].values[n]) for n in NAMES
        ) / (2 * h)
        size = np.abs(difference[good]).max()
        np.testing.assert_allclose(
            slopes[name][good], difference[good], rtol=1e-5, atol=1e-6 * size
        )
    assert good.sum() > 30


def test_dependent_constraints():
    """The same plane twice, and a bound that it implies: no more than one plane."""
    c = ConstraintSet()
    x, y = c.quantities("x", "y")
    c.equal("once", x + y, 2.0)
    c.equal("twice", 3.0 * x + 3.0 * y, 6.0)
    c.at_most("implied", x + y, 2.0)
    found = c.project({"x": [5.0, -1.0], "y": [1.0, 2.0]}, scale={"x": 1.0, "y": 1.0})
    np.testing.assert_allclose(found.values["x"], [3.0, -0.5], rtol=1e-12)
    np.testing.assert_allclose(found.pull_back({"x": 1.0, "y": 0.0})["x"], 0.5, rtol=1e-6)


def test_infeasible_sets_are_named_by_their_members():
    c = ConstraintSet("impossible")
    x, y = c.quantities("x", "y")
    c.at_least("high", x + y, 5.0)
    c.at_most("x is low", x, 1.0)
    c.at_most("y is low", y, 1.0)
    c.at_least("harmless", y, -10.0)
    with pytest.raises(tl.InputError, match="'high', 'x is low', 'y is low'") as caught:
        c.project({"x": [1.0, 2.0], "y": 0.0})
    assert "harmless" not in str(caught.value)


def test_a_patient_without_a_feasible_point_fails_alone():
    c = ConstraintSet()
    x, limit = c.quantities("x", "limit")
    c.at_least("above", x, limit)
    c.at_most("below", x, 1.0)
    found = c.project({"x": [5.0, 5.0], "limit": [0.5, 2.0]}, hold="limit")
    assert found.success.tolist() == [True, False]
    assert found.values["x"][0] == pytest.approx(1.0)
    assert np.isnan(found.values["x"][1])
    assert found.pull_back({"x": 1.0})["x"].tolist() == pytest.approx([0.0, 0.0], abs=1e-12)


# ---------------------------------------------------------------- bad input


def declared():
    c = ConstraintSet("set")
    c.at_least("x", c.quantity("x"), 0.0)
    return c


OTHER = tl.model.expression.symbol("parameter", "unknown")
BAD = {
    "unknown name": (lambda c: c.at_least("y", OTHER, 0.0), "reads 'unknown'"),
    "a state": (
        lambda c: c.at_least("y", symbol("state", "s"), 0.0),
        "reads 's'",
    ),
    "no expression": (lambda c: c.at_least("y", "x", 0.0), "is of a str"),
    "twice": (lambda c: c.at_most("x", 1.0, 0.0), "declared twice"),
    "quantity twice": (lambda c: c.quantity("x"), "quantity 'x' is declared twice"),
    "no bound": (lambda c: c.between("y", 1.0, None, None), "has no bound"),
    "bounds reversed": (lambda c: c.between("y", 1.0, 2.0, 1.0), "goes from 2 to 1"),
    "bound not finite": (lambda c: c.at_most("y", 1.0, np.inf), "has inf"),
    "weight": (lambda c: c.at_most("y", 1.0, 2.0, weight=-1.0), "has the weight -1.0"),
    "missing": (lambda c: c.penalty({}), "quantity 'x' is missing"),
    "unknown value": (lambda c: c.penalty({"x": 1.0, "xx": 2.0}), "Did you mean 'x'?"),
    "not finite": (lambda c: c.penalty({"x": [1.0, np.nan]}), "quantity 'x' is not finite"),
    "no mapping": (lambda c: c.penalty([1.0]), "values are a list"),
    "group": (lambda c: c.only("flows"), "unknown group 'flows'"),
    "executor": (lambda c: c.violations({"x": 1.0}, executor="gpu"), "unknown executor 'gpu'"),
    "threads": (lambda c: c.project({"x": 1.0}, threads=0), "threads is 0"),
    "hold": (lambda c: c.project({"x": 1.0}, hold="y"), "hold names 'y'"),
    "all held": (lambda c: c.project({"x": 1.0}, hold="x"), "all quantities are held"),
    "scale": (lambda c: c.project({"x": 1.0}, scale={"x": 0.0}), "is not positive"),
    "scale of what is held": (
        lambda c: adults().project(people(1), scale={"a": 1.0}, hold="a"),
        "it is held",
    ),
    "scale by itself": (lambda c: c.project({"x": 1.0}, scale=2.0), "scale is a float"),
    "cotangent": (lambda c: c.project({"x": 1.0}).pull_back({"z": 1.0}), "unknown quantity 'z'"),
}


@pytest.mark.parametrize(("call", "words"), BAD.values(), ids=BAD.keys())
def test_bad_input(call, words):
    with pytest.raises(tl.InputError) as caught:
        call(declared())
    assert words in str(caught.value)


def test_an_empty_set():
    with pytest.raises(tl.InputError, match="has no constraints"):
        ConstraintSet().penalty({})


# ---------------------------------------------------------------- with a model, and ready


def test_parameters_of_a_model_are_quantities():
    model = tl.Model("m")
    cl, v = model.parameters(cl=3.0, v=20.0)
    x = model.state("x")
    model.flow(x, None, cl / v * x)
    c = ConstraintSet("clearances", model)
    c.at_most("half-life", np.log(2.0) * v / cl, 5.0)
    np.testing.assert_allclose(
        c.penalty({"cl": [3.0, 1.0]}), [0.0, (4.0 * np.log(2.0) - 1.0) ** 2]
    )  # v has its default


def reference(female):
    """The reference man (0) or woman (1) of ICRP 89, as a body."""
    output = CARDIAC_OUTPUT[female]
    return {
        "female": float(female), "body_weight": BODY_WEIGHT[female], "height": HEIGHT[female],
        "haematocrit": 0.38 if female else 0.45, "gfr": 100.0, "cardiac_output": output,
        **{mass_of(part): MASS[part][female] for part in MASSES},
        **{flow_to(organ): REFERENCE[organ].flow[female] * output for organ in FLOWS},
    }  # fmt: skip


@pytest.mark.parametrize("female", [0, 1])
def test_reference_adults_satisfy_the_ready_set(female):
    c = human_adult()
    found = c.violations(reference(female))
    assert not found.any.any(), [name for name, each in found.violated.items() if each.any()]
    assert c.penalty(reference(female))[0] < 1e-25
    assert all(each.source for each in c.constraints)
    letters = {word for each in c.constraints for word in each.source.split(", ") if len(word) == 1}
    assert letters <= set(SOURCES)
    assert "haematocrit" in c.describe()


def test_perturbed_adults_become_valid():
    """Reference adults with independent errors of 10 %: hardly one is valid, and all are after the
    projection.
    """
    c, rng = human_adult(), np.random.default_rng(8)
    n = 2000
    given = {name: np.full(n, value) for name, value in reference(0).items()}
    raw = {
        name: v if name == "female" else v * np.exp(0.1 * rng.standard_normal(n))
        for name, v in given.items()
    }
    assert c.violations(raw).rate > 0.99
    found = c.project(raw)
    assert found.success.all()
    assert max(values.max() for values in c.residuals(found.values).values()) < 1e-9
    assert not c.violations(found.values).any.any()
    assert (found.values["female"] == 0.0).all()


def test_virtual_adults_are_taken_as_they_are():
    """By a set of bodies, by one of the model's parameters, and by one that asks for little."""
    people = virtual_adults(50, 4, MIDAZOLAM)
    c = human_adult()
    np.testing.assert_array_equal(c.penalty(people), c.penalty(people.body))
    liver = ConstraintSet("liver")
    liver.at_most("mass", liver.quantity("mass_liver", "kg"), 1.8)
    np.testing.assert_array_equal(
        liver.violations(people).any, people.body["mass_liver"] > 1.8 * (1 + 1e-9)
    )
    model = whole_body(MIDAZOLAM)
    of_model = ConstraintSet("model", model)
    of_model.at_most("fu", symbol("parameter", "fu"), 0.031)
    np.testing.assert_array_equal(
        of_model.violations(people).any, people["fu"] > 0.031 * (1 + 1e-9)
    )
    with pytest.raises(tl.InputError, match="'cardiac_index' \\(of 'human adult'\\)"):
        c.penalty({**people})  # a plain dict is taken by its own names
    weight = ConstraintSet("weight")
    weight.at_most("weight", weight.quantity("weight"), 100.0)
    with pytest.raises(tl.InputError, match="'weight' is missing"):
        weight.penalty(people)


def test_virtual_adults_of_others():
    """Identities of 1,000 virtual adults of the PBPK toolkit hold; blood within organs is counted
    with these there.
    """

    path = DATA / "pbpktoolkit" / "virtPop_gen.csv"
    if not path.exists():
        pytest.skip("../shared/data is not here")
    import pandas as pd

    table = pd.read_csv(path)
    masses = {"lung": "lu", "adipose": "ad", "bone": "bo", "brain": "br", "gonads": "go",
    "heart": "he", "kidney": "ki",
              "muscle": "mu", "skin": "sk", "stomach": "st", "spleen": "sp", "pancreas": "pa",
              "liver": "li"}  # fmt: skip
    given = {f"mass_{name}": table[f"V{short}"] for name, short in masses.items()}
    given |= {
        f"flow_{name}": table[f"Q{short}"]
        for name, short in masses.items()
        if name not in ("lung", "liver")
    }
    given |= {
        "mass_gut": table.Vsm_int + table.Vla_int, "mass_blood": table.Vve + table.Var,
        "flow_liver": table.Qha, "mass_rest": table.Vth + table.Vln + table.Vot,
        "flow_rest": table.Qth + table.Qln + table.Qot, "flow_gut": table.Qsm_int + table.Qla_int,
        "cardiac_output": table.Qlu, "body_weight": table.BW,
    }  # fmt: skip
    found = (
        human_adult()
        .only("identities")
        .violations(
            {
                name: column.to_numpy()
                for name, column in given.items()
                if name in human_adult().only("identities").inputs
            }
        )
    )
    assert not found.any.any()
    assert max(values.max() for values in found.residuals.values()) < 1e-12


# ---------------------------------------------------------------- trajectories


def oral():
    model = tl.Model("oral")
    ka, cl, v = model.parameters(ka=1.2, cl=3.0, v=20.0)
    gut, central, gone = model.states("gut", "central", "gone")
    model.flow(gut, central, ka * gut)
    model.flow(central, gone, cl / v * central)
    model.output("cp", central / v)
    model.output("total", gut + central + gone)
    return model


def safe():
    """Ceiling, floor, exposure, signs and mass balance of a day, and a bound on a parameter beside
    them.
    """
    model = oral()
    c = ConstraintSet("safe", model)
    c.at_most("ceiling", c.reduction(tl.Cmax("cp", end=24.0)), 3.5)
    c.at_least("floor", c.reduction(tl.Cmin("cp", start=12.0, end=24.0)), 1.2)
    c.at_least("not negative", c.reduction(tl.Cmin("cp", end=24.0, name="least")), 0.0, scale=1.0)
    most, least = c.reduction(tl.Cmax("total", end=11.9)), c.reduction(tl.Cmin("total", end=11.9))
    c.equal("balance", most - least, 0.0, scale=100.0, tolerance=1e-6)
    cl, v = (tl.model.expression.symbol("parameter", name) for name in ("cl", "v"))
    c.at_most("exposure", c.reduction(tl.AUC("cp", start=12.0, end=24.0)) * cl / v, 1.4)
    return model, c


POPULATION = {"ka": np.array([0.6, 1.2, 2.5]), "cl": np.array([2.0, 3.0, 5.0])}
TWICE = tl.Regimen.bolus(100.0, into="gut", every=12.0, doses=2)
EXACT = {"rtol": 1e-10, "atol": 1e-12}


def test_trajectories_as_their_curves_say():
    model, c = safe()
    times = np.linspace(0.0, 24.0, 24_001)
    curves = tl.simulate(model, POPULATION, TWICE, times, **EXACT)
    found = c.violations(c.simulated(POPULATION, TWICE, **EXACT))
    cp, late = curves["cp"], times >= 12.0
    assert found.violated["ceiling"].tolist() == (cp.max(axis=1) > 3.5).tolist()
    assert found.violated["floor"].tolist() == (cp[:, late].min(axis=1) < 1.2).tolist()
    assert not found.violated["not negative"].any()
    assert not found.violated["balance"].any()
    np.testing.assert_allclose(
        found.residuals["ceiling"], cp.max(axis=1) / 3.5 - 1.0, rtol=0, atol=1e-6
    )
    area = np.trapezoid(cp[:, late], times[late], axis=1)
    np.testing.assert_allclose(
        found.residuals["exposure"], area * POPULATION["cl"] / 20.0 / 1.4 - 1.0, atol=1e-5
    )


def test_one_gradient_for_all_constraints():
    _, c = safe()
    value, gradient = c.value_and_grad(POPULATION, TWICE, **EXACT)
    assert value == pytest.approx(
        c.penalty(c.simulated(POPULATION, TWICE, **EXACT)).sum(), rel=1e-12
    )
    assert value > 0.0

    def moved(name, h, patient=None):
        given = dict(POPULATION, v=20.0)
        given[name] = np.array(given[name])
        given[name][... if patient is None else patient] += h
        return c.value_and_grad(given, TWICE, **EXACT)[0]

    for name in ("ka", "cl"):
        for patient in range(3):
            h = 1e-4 * POPULATION[name][patient]
            difference = (moved(name, h, patient) - moved(name, -h, patient)) / (2 * h)
            assert gradient.parameters[name][patient] == pytest.approx(
                difference, rel=1e-5, abs=1e-8
            )
    assert float(gradient.parameters["v"]) == pytest.approx(
        (moved("v", 2e-3) - moved("v", -2e-3)) / 4e-3, rel=1e-5
    )
    doses = [
        tl.Regimen.bolus(amount, into="gut", every=12.0, doses=2) for amount in (100.01, 99.99)
    ]
    either = [c.value_and_grad(POPULATION, each, **EXACT)[0] for each in doses]
    assert float(gradient.doses[0].amount) == pytest.approx(
        (either[0] - either[1]) / 0.02, rel=1e-5
    )


def test_a_patient_who_fails_violates_and_has_no_gradient():
    model = tl.Model("blows up")
    r = model.parameter("r", 1.0)
    x = model.state("x", 1.0)
    model.rate(x, r * x * x)
    model.output("x", x)
    c = ConstraintSet("finite", model)
    c.at_most("x", c.reduction(tl.Cmax("x", end=2.0)), 1.1)
    given = {"r": [0.1, 1.0]}
    assert c.violations(c.simulated(given)).violated["x"].tolist() == [True, True]
    value, gradient = c.value_and_grad(given, **EXACT)
    assert value == pytest.approx((1 / 0.8 / 1.1 - 1) ** 2, rel=1e-6)
    assert gradient.parameters["r"][1] == 0.0


def test_trajectories_refused():
    model = oral()
    plain = ConstraintSet("plain", model)
    plain.at_most("cl", tl.model.expression.symbol("parameter", "cl"), 1.0)
    with pytest.raises(tl.InputError, match="no constraints on trajectories"):
        plain.simulated()
    with pytest.raises(tl.InputError, match="needs a model and an output"):
        ConstraintSet().reduction(tl.Cmax("cp"))
    with pytest.raises(TypeError, match="a reduction is a str"):
        plain.reduction("cmax")
    plain.at_most("foreign", plain.reduction(tl.Cmax("cp", end=3.0)) * plain.quantity("age"), 1.0)
    with pytest.raises(tl.InputError, match="quantity 'age' is no parameter"):
        plain.value_and_grad()
