"""Penalties and projections of torch tensors: transforms, second derivatives, float32."""

import numpy as np
import pytest
import teorell as tl
from teorell.constraints import ConstraintSet, human_adult
from teorell.pbpk import virtual_adults

torch = pytest.importorskip("torch")
D = torch.float64
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")


def bent():
    c = ConstraintSet()
    a, b = c.quantities("a", "b")
    c.equal("product", a * b, 1.0)
    c.at_most("a", a, 2.0)
    return c


def points(n=5, dtype=D):
    generator = torch.Generator().manual_seed(3)
    return [1.0 + torch.rand(n, generator=generator, dtype=dtype) for _ in range(2)]


CALLS = {
    "penalty": lambda a, b: bent().penalty({"a": a, "b": b}),
    "projection": lambda a, b: bent().project({"a": a, "b": b}).values["a"],
}
calls = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


@calls
def test_gradients_both_ways(call):
    inputs = [x.requires_grad_() for x in points()]
    options = {"eps": 1e-5, "rtol": 1e-4, "atol": 1e-6}
    assert torch.autograd.gradcheck(call, inputs, check_forward_ad=True, **options)


def test_gradients_by_scales():
    a, b = points()
    s = torch.full((5,), 0.7, dtype=D, requires_grad=True)
    t = torch.tensor(1.3, dtype=D, requires_grad=True)

    def call(s, t):
        return bent().project({"a": a, "b": b}, scale={"a": s, "b": t}).values["a"]

    assert torch.autograd.gradcheck(call, (s, t), eps=1e-5, rtol=1e-4, atol=1e-6)
    held = bent().project({"a": a.numpy(), "b": b.numpy()}, scale={"a": s, "b": t}).values["a"]
    torch.testing.assert_close(held, call(s, t))


@calls
def test_second_derivatives_are_refused(call):
    a, b = (x.requires_grad_() for x in points())
    (slope,) = torch.autograd.grad(call(a, b).sum(), a, create_graph=True)
    assert slope.requires_grad
    with pytest.raises(NotImplementedError, match="second derivatives of a"):
        (slope**2).sum().backward()
    of_a = lambda x: call(x, b.detach()).sum()  # noqa: E731
    for second in (torch.func.hessian, lambda f: torch.func.jacrev(torch.func.jacrev(f))):
        with pytest.raises(NotImplementedError, match="second derivatives of a"):
            second(of_a)(a.detach())
    with pytest.raises(NotImplementedError, match="second derivatives of a"):
        torch.autograd.functional.hessian(of_a, a.detach())


@calls
def test_transforms(call):
    """vmap over patients, over whole batches, over one of two arguments; jvp; jacobians."""
    a, b = points()
    runs = torch.stack([a, a + 0.1, a + 0.2])
    mapped = torch.func.vmap(call, in_dims=(0, None))(runs, b)
    expected = torch.stack([call(run, b) for run in runs])
    torch.testing.assert_close(mapped, expected, rtol=0, atol=0)
    each = torch.func.vmap(lambda x, y: call(x, y)[0])(a, b)  # of shape () in a run
    torch.testing.assert_close(each, call(a, b), rtol=0, atol=0)
    slope = lambda x, y: torch.func.grad(lambda z: call(z, y).sum())(x)  # noqa: E731
    mapped = torch.func.vmap(slope, in_dims=(0, None))(runs, b)
    torch.testing.assert_close(mapped, torch.stack([slope(run, b) for run in runs]))
    shared = torch.func.vmap(slope, in_dims=(0, None))(a, b)  # one number a run
    torch.testing.assert_close(shared, torch.stack([slope(one, b) for one in a]))
    _, tangent = torch.func.jvp(call, (a, b), (torch.ones_like(a), torch.zeros_like(b)))
    torch.testing.assert_close(tangent, slope(a, b))
    for jacobian in (torch.func.jacrev, torch.func.jacfwd):
        torch.testing.assert_close(jacobian(call)(a, b).diagonal(), slope(a, b))


def test_one_patient_not_found_spoils_no_gradient():
    c = ConstraintSet()
    u, w = c.quantities("u", "w")
    c.at_most("cap", u, w)
    c.at_least("floor", u, 2.0)
    for patients in ([4.0, 1.0, 1.0], [1.0]):
        given = torch.tensor(patients, dtype=D, requires_grad=True)
        limit = torch.tensor([3.0, 1.0, 3.0][: len(patients)], dtype=D, requires_grad=True)
        limit = limit if len(patients) > 1 else torch.tensor([1.0], dtype=D, requires_grad=True)
        found = c.project({"u": given, "w": limit}, hold="w", scale={"u": 1.0})
        torch.nansum((found.values["u"] - 5.0) ** 2).backward()
        expected = [-4.0, 0.0, 0.0] if len(patients) > 1 else [0.0]
        assert limit.grad.tolist() == pytest.approx(expected, abs=1e-12)
        assert given.grad.tolist() == pytest.approx([0.0] * len(patients), abs=1e-12)
    rate = c.violations(found.values).rate
    assert rate == 1.0


# ---------------------------------------------------------------- float32


def test_float32_satisfies_bounds_in_its_own_rounding():
    """Whatever the bound: the numbers that come out are inside, and stay when projected again."""
    rng = np.random.default_rng(11)
    for low, high in rng.uniform(0.1, 3.0, (20, 2)).cumsum(axis=1):
        c = ConstraintSet()
        c.between("x", c.quantity("x"), float(low), float(high))
        given = torch.tensor(rng.uniform(0.0, 7.0, 200), dtype=torch.float32)
        found = c.project({"x": given})
        x = found.values["x"]
        assert x.dtype == torch.float32
        wide = x.double().numpy()
        assert ((low <= wide) & (wide <= high)).all()
        assert np.abs(wide - np.clip(given.double().numpy(), low, high)).max() < 5e-7
        again = c.project({"x": x})
        assert torch.equal(again.values["x"], x)
        assert not again.distance.any()
        assert not again.steps.any()
        assert c.violations({"x": x}).rate == 0.0
        inside = (given.double().numpy() > low) & (given.double().numpy() < high)
        assert torch.equal(x[torch.tensor(inside)], given[torch.tensor(inside)])


def test_float32_adults():
    c, people = human_adult(), virtual_adults(300, seed=2)
    given = {
        name: torch.tensor(people.body[name] + np.zeros(300), dtype=torch.float32)
        for name in c.inputs
    }
    found = c.project(given)
    assert found.success.all()
    assert c.violations(found.values).rate == 0.0
    assert c.violations({n: x.numpy() for n, x in found.values.items()}).rate == 0.0
    sizes = c.residuals(found.values)
    bounds = [each.name for each in c.constraints if not each.equality]
    assert max(sizes[name].max() for name in bounds) <= 1e-9
    again = c.project(found.values)
    assert all(torch.equal(again.values[n], found.values[n]) for n in c.inputs)
    assert not again.distance.any()


def test_violations_know_the_type():
    """A sum of parts rounded to float32 is no violation of theirs, and is one of float64."""
    c = ConstraintSet()
    a, b = c.quantities("a", "b")
    c.equal("sum", a + b, 1.0, tolerance=1e-9)
    a64 = np.random.default_rng(0).random(100)
    rounded = {"a": a64.astype(np.float32), "b": (1.0 - a64).astype(np.float32)}
    assert c.violations(rounded).rate == 0.0
    assert c.violations({n: x.astype(np.float64) for n, x in rounded.items()}).rate > 0.5
    off = {"a": rounded["a"], "b": rounded["b"] + np.float32(1e-5)}
    assert c.violations(off).rate == 1.0


def test_gradients_of_float32():
    a, b = (x.float().requires_grad_() for x in points())
    found = bent().project({"a": a, "b": b}).values["a"]
    assert found.dtype == torch.float32
    found.sum().backward()
    a64, b64 = (x.detach().double().requires_grad_() for x in (a, b))
    bent().project({"a": a64, "b": b64}).values["a"].sum().backward()
    torch.testing.assert_close(a.grad.double(), a64.grad, rtol=1e-6, atol=1e-6)


# ---------------------------------------------------------------- what has no number


def test_nan_violates_whatever_the_formula_makes_of_it():
    c = ConstraintSet()
    x, y = c.quantities("x", "y")
    c.at_most("larger", tl.max(x, 0.0), 1.0)
    c.at_most("chosen", tl.where(y > 1.0, 0.0, 0.5), 1.0)
    for given in (np.array([np.nan, 0.5]), torch.tensor([np.nan, 0.5], dtype=D)):
        found = c.violations({"x": given, "y": given})
        assert found.violated["larger"].tolist() == [True, False]
        assert found.violated["chosen"].tolist() == [True, False]
        assert found.any.tolist() == [True, False]
    frame = found.to_dataframe().set_index("constraint")
    assert frame.loc["larger", "worst"] == -0.5
    assert c.violations({"x": np.nan, "y": np.nan}).rate == 1.0
    with pytest.raises(tl.InputError, match="not finite"):
        c.violations({"x": np.array([np.inf, 1.0]), "y": 1.0})
    with pytest.raises(tl.InputError, match="not finite"):
        c.penalty({"x": np.array([np.nan, 1.0]), "y": 1.0})
