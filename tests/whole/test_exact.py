"""Against truths that owe nothing to this engine: closed forms, the matrix exponential,
manufactured solutions; the order of the methods; and that the error follows the tolerance."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
import teorell as tl
from scipy.linalg import expm
from teorell import _core
from teorell.engine import executors
from teorell.engine.core_arguments import core_model
from teorell.lowering import lower

TIMES = np.linspace(0.0, 48.0, 97)
TIGHT = {"rtol": 1e-10, "atol": 1e-12}

# Linear models: rates between compartments, and out of them (1/h)
# ---------------------------------------------------


def linear(rates):
    """A model of amounts with the transfers {(source, sink or None): rate}, and its matrix."""
    names = sorted({name for pair in rates for name in pair if name is not None})
    model, matrix = tl.Model("linear"), np.zeros((len(names), len(names)))
    states = dict(zip(names, model.states(*names), strict=True))
    for (source, sink), rate in rates.items():
        k = model.parameter(f"k_{source}_{sink}", rate)
        model.flow(states[source], None if sink is None else states[sink], k * states[source])
        matrix[names.index(source), names.index(source)] -= rate
        if sink is not None:
            matrix[names.index(sink), names.index(source)] += rate
    return model, matrix, names


MODELS = {
    "one": {("central", None): 0.25},
    "two": {("central", None): 0.3, ("central", "shallow"): 1.1, ("shallow", "central"): 0.4},
    "three": {
        ("central", None): 0.3, ("central", "shallow"): 1.1, ("shallow", "central"): 0.4,
        ("central", "deep"): 0.2, ("deep", "central"): 0.01,
    },
    "oral, three": {
        ("gut", "central"): 1.3, ("gut", None): 0.2, ("central", None): 0.3, ("central",
        "shallow"): 1.1, ("shallow", "central"): 0.4, ("central", "deep"): 0.2, ("deep",
        "central"): 0.01,
    },
    "stiff": {("central", None): 0.3, ("central", "shallow"): 2e6, ("shallow", "central"): 5e5},
}  # fmt: skip


@functools.cache
def propagator(matrix, dt):
    """expm(dt matrix), of a matrix as a tuple of rows; remembered, for scipy is slow where BLAS has
    many threads.
    """
    return expm(dt * np.array(matrix))


def truth(matrix, times, boluses=(), infusions=(), samples="after"):
    """Amounts (times, n) of a linear model that starts empty, stretch by stretch with the matrix
    exponential.

    boluses: (time, number of the state, amount); infusions: (start, end, number of the state,
    amount).
    """
    n = len(matrix)
    # amounts, and the one that feeds infusions
    z, bordered = np.append(np.zeros(n), 1.0), np.zeros((n + 1, n + 1))
    bordered[:n, :n] = matrix
    found, now = np.full((len(times), n), np.nan), 0.0
    stops = sorted({0.0, *times, *(b[0] for b in boluses), *(t for i in infusions for t in i[:2])})
    for stop in stops:
        bordered[:n, n] = 0.0
        for start, end, k, amount in infusions:
            if start <= now < end:
                bordered[k, n] += amount / (end - start)
        z = propagator(tuple(map(tuple, bordered)), stop - now) @ z
        now = stop
        here = np.asarray(times) == now
        if samples == "before":
            found[here] = z[:n]
        for time, k, amount in boluses:
            z[k] += amount if time == now else 0.0
        if samples == "after":
            found[here] = z[:n]
    return found


def worst(values, exact):
    """Largest error relative to the largest value of each curve."""
    scale = np.abs(exact).max(axis=0)
    return float((np.abs(values - exact) / np.where(scale == 0.0, 1.0, scale)).max())


@pytest.mark.parametrize("method", executors.METHODS)
@pytest.mark.parametrize("name", MODELS)
def test_bolus(name, method):
    model, matrix, names = linear(MODELS[name])
    into = "gut" if "gut" in names else "central"
    solution = tl.simulate(
        model, None, tl.Regimen.bolus(100.0, into=into), TIMES, method=method, **TIGHT
    )
    assert solution.status.tolist() == [0]
    assert worst(solution.values[0], truth(matrix, TIMES, [(0.0, names.index(into), 100.0)])) < 2e-9


@pytest.mark.parametrize("method", executors.METHODS)
@pytest.mark.parametrize("name", MODELS)
def test_infusion(name, method):
    model, matrix, names = linear(MODELS[name])
    regimen = tl.Regimen.infusion(100.0, into="central", duration=2.3, time=1.7)
    solution = tl.simulate(model, None, regimen, TIMES, method=method, **TIGHT)
    exact = truth(matrix, TIMES, (), [(1.7, 1.7 + 2.3, names.index("central"), 100.0)])
    seen = np.abs(exact).max(axis=0) > 1e-9  # not the gut
    assert worst(solution.values[0][:, seen], exact[:, seen]) < 2e-9
    assert (solution.values[0][:, ~seen] == 0.0).all()


@pytest.mark.parametrize("name", MODELS)
def test_multiple_doses_of_both_kinds(name):
    model, matrix, names = linear(MODELS[name])
    into = "gut" if "gut" in names else "central"
    regimen = tl.Regimen.bolus(100.0, into=into, every=12, doses=4) + tl.Regimen.infusion(
        50.0, into="central", duration=3, time=1.25, every=8, doses=5
    )
    solution = tl.simulate(model, None, regimen, TIMES, **TIGHT)
    boluses = [(12.0 * i, names.index(into), 100.0) for i in range(4)]
    infusions = [(1.25 + 8 * i, 1.25 + 8 * i + 3, names.index("central"), 50.0) for i in range(5)]
    exact = truth(matrix, TIMES, boluses, infusions)
    assert worst(solution.values[0], exact) < 2e-9


def test_closed_forms_of_a_population():
    """Every patient with its own parameters, dose and times, against the
    formulas of the textbooks.
    """
    rng = np.random.default_rng(11)
    n = 40
    ka, cl, v = rng.uniform(0.5, 3.0, n), rng.uniform(1.0, 9.0, n), rng.uniform(10.0, 60.0, n)
    dose, start, duration = (
        rng.uniform(10.0, 300.0, n),
        rng.uniform(0.0, 5.0, n),
        rng.uniform(0.5, 6.0, n),
    )
    model = tl.Model("oral, one compartment")
    p = dict(zip(("ka", "cl", "v"), model.parameters(ka=1.0, cl=1.0, v=1.0), strict=True))
    gut, central = model.states("gut", "central")
    model.flow(gut, central, p["ka"] * gut)
    model.flow(central, None, p["cl"] / p["v"] * central)
    model.output("cp", central / p["v"])
    k, t = (cl / v)[:, None], TIMES[None, :] - start[:, None]
    given = {"ka": ka, "cl": cl, "v": v}

    def check(regimen, exact):
        solution = tl.simulate(model, given, regimen, TIMES, **TIGHT)
        assert (solution.status == 0).all()
        assert (np.abs(solution["cp"] - exact).max(axis=1) < 2e-9 * exact.max(axis=1)).all()

    on = np.maximum(t, 0.0)
    scale, slow, fast = (dose / v)[:, None], np.exp(-k * on), np.exp(-ka[:, None] * on)
    check(tl.Regimen.bolus(dose, into="central", time=start), np.where(t >= 0, scale * slow, 0.0))
    check(
        tl.Regimen.bolus(dose, into="gut", time=start),
        np.where(t >= 0, scale * ka[:, None] / (ka[:, None] - k) * (slow - fast), 0.0),
    )
    rate, off = (dose / duration / cl)[:, None], np.maximum(t - duration[:, None], 0.0)
    infused = rate * (1.0 - np.exp(-k * np.minimum(on, duration[:, None]))) * np.exp(-k * off)
    check(tl.Regimen.infusion(dose, into="central", time=start, duration=duration), infused)


def test_steady_state_of_many_doses():
    """The peak after dose n of a one-compartment model is a geometric sum."""
    model, matrix, _ = linear({("central", None): 0.1})
    every, doses = 6.0, 60
    times = np.arange(doses) * every
    solution = tl.simulate(
        model,
        None,
        tl.Regimen.bolus(10.0, into="central", every=every, doses=doses),
        times,
        **TIGHT,
    )
    left = math.exp(matrix[0, 0] * every)
    exact = 10.0 * (1.0 - left ** np.arange(1, doses + 1)) / (1.0 - left)
    np.testing.assert_allclose(solution.values[0, :, 0], exact, rtol=2e-9)


def test_michaelis_menten_elimination():
    """Saturable elimination: the exact solution is Lambert's W."""
    from scipy.special import lambertw

    model = tl.Model("saturable")
    vmax, km = model.parameters(vmax=10.0, km=5.0)
    (x,) = model.states("x")
    model.flow(x, None, vmax * x / (km + x))
    vmaxes = np.array([2.0, 10.0, 40.0])
    solution = tl.simulate(
        model, {"vmax": vmaxes}, tl.Regimen.bolus(100.0, into="x"), TIMES[:49], **TIGHT
    )
    exponent = math.log(20.0) + (100.0 - np.outer(vmaxes, TIMES[:49])) / 5.0
    exact = 5.0 * lambertw(np.exp(exponent)).real
    np.testing.assert_allclose(solution.values[:, :, 0], exact, rtol=1e-8, atol=1e-10)


# Order
# --------------------------------------------------------------------------------------------------


def manufactured():
    """A mild, nonlinear, coupled problem with time in every right-hand side; and its solution."""
    model = tl.Model("manufactured")
    x, y, z = model.states("x", "y", "z", initial=2.0, signed=True)
    t = model.time
    sx, sy, sz = 2.0 + tl.sin(t), 1.0 + tl.exp(-t), 2.0 * tl.cos(0.5 * t)  # the solution
    model.rate(x, tl.cos(t) + x * y - sx * sy - 0.8 * (x - sx) - 0.3 * (x * x - sx * sx))
    model.rate(
        y, -tl.exp(-t) + tl.sin(y * z) - tl.sin(sy * sz) + x / (1.0 + y * y) - sx / (1.0 + sy * sy)
    )
    model.rate(
        z, -tl.sin(0.5 * t) - 0.5 * (z - sz) * (1.0 + x * x) + tl.exp(-y) * (x - sx) + t * (y - sy)
    )

    def exact(t):
        return np.stack([2.0 + np.sin(t), 1.0 + np.exp(-t), 2.0 * np.cos(0.5 * t)], axis=-1)

    return model, exact


def chemistry():
    """The same without time: autocatalysis with a closed form, logistic in disguise."""
    model = tl.Model("autocatalysis")
    a, b = model.states("a", "b")
    model.initial(a, 0.9)
    model.initial(b, 0.1)
    model.flow(a, b, a * b)

    def exact(t):
        b = 1.0 / (1.0 + 9.0 * np.exp(-np.asarray(t)))
        return np.stack([1.0 - b, b], axis=-1)

    return model, exact


def time_alone():
    """Time only, and time times the state: wrong f_t or wrong stage times show at once."""
    model = tl.Model("time")
    u, v = model.states("u", "v", signed=True)
    t = model.time
    model.initial(u, 1.0)
    model.initial(v, 0.0)
    model.rate(u, -tl.cos(t) * u)
    model.rate(v, 3.0 * tl.cos(3.0 * t))

    def exact(t):
        return np.stack([np.exp(-np.sin(t)), np.sin(3.0 * np.asarray(t))], axis=-1)

    return model, exact


def aligned(shape):
    """Zeros whose first element lies on a multiple of 64 bytes, as the engine's
    own workspaces do.
    """
    size = int(np.prod(shape))
    raw = np.zeros(size + 8)
    first = (-raw.ctypes.data % 64) // 8
    return raw[first : first + size].reshape(shape)


def fixed_steps(model, method, counts, end):
    """End states (counts, n) of `counts[i]` equal steps from 0 to `end`, through the core's own
    step: a lane each.
    """
    programs = lower(model, None)
    isa = executors.instruction_sets()[0]
    width, layout, core = isa["register_width"], programs.layout, core_model(programs)
    found = []
    for first in range(0, len(counts), width):
        steps = np.array((counts[first:] + [1] * width)[:width])
        ws = aligned((layout.slots, width))
        ws[layout.const : layout.const + layout.n_const] = programs.constants[:, None]
        ws[layout.params : layout.params + layout.n_params] = model.parameter_defaults[:, None]
        # rtol, atol: no step is rejected here
        ws[layout.scalar + 5] = ws[layout.atol : layout.atol + layout.n] = 1e-6
        for program in (programs.prepare, programs.initial):
            _core.run_program(isa["name"], np.ascontiguousarray(program), ws, width)
        yn, ynew = (slice(region, region + layout.n) for region in (layout.yn, layout.ynew))
        ws[yn] = ws[layout.y : layout.y + layout.n]
        for k in range(steps.max()):
            ws[layout.scalar + 1], ws[layout.scalar + 2] = k * end / steps, end / steps  # tn, h
            _core.run_step(core, isa["name"], method, None, ws, width)
            ws[yn] = np.where(k < steps, ws[ynew], ws[yn])
        found.extend(ws[yn].T.copy())
    return np.array(found[: len(counts)])


@pytest.mark.parametrize(
    ("problem", "counts"),
    [
        (manufactured, [96, 128, 192, 256, 384]),
        (chemistry, [32, 48, 64, 96, 128]),
        (time_alone, [32, 48, 64, 96, 128]),
    ],
    ids=["manufactured", "chemistry", "time"],
)
@pytest.mark.parametrize("method", executors.METHODS)
def test_convergence_slope_is_the_order(problem, counts, method):
    model, exact = problem()
    errors = np.abs(fixed_steps(model, method, counts, 3.0) - exact(3.0)).max(axis=1)
    assert errors[-1] > 1e-13, "rounding would hide the slope"
    slope = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert abs(slope - executors.tableau(method)["order"]) < 0.2, (
        f"slope {slope:.2f}, errors {errors}"
    )


@pytest.mark.parametrize("method", executors.METHODS)
def test_convergence_slope_with_stiffness(method):
    """Prothero and Robinson, with a rate so large that the classical order is not seen; no less
    than 2 remains.
    """
    model = tl.Model("Prothero-Robinson")
    (y,) = model.states("y", initial=1.0, signed=True)
    t = model.time
    model.rate(y, -1e6 * (y - tl.cos(t)) - tl.sin(t))
    counts = [20, 40, 80]
    errors = np.abs(fixed_steps(model, method, counts, 2.0)[:, 0] - math.cos(2.0))
    assert errors[0] < 1e-6
    assert -np.polyfit(np.log(counts), np.log(errors), 1)[0] > 1.8, errors


# Tolerance
# --------------------------------------------------------------------------------------------------

DECADES = 10.0 ** -np.arange(3, 11)


def check_follows(errors, most):
    """Every decade of tolerance is felt: no error above `most` rtol, none far below, and a slope
    near one.
    """
    errors = np.array(errors)
    ratio = errors / DECADES
    assert (ratio < most).all(), ratio
    assert (np.diff(errors) < 0).all(), errors
    slope = np.polyfit(np.log10(DECADES), np.log10(errors), 1)[0]
    assert 0.75 < slope < 1.3, f"slope {slope:.2f}, errors {errors}"


@pytest.mark.parametrize("method", executors.METHODS)
def test_error_follows_tolerance_nonlinear(method):
    model, exact = manufactured()
    times = np.linspace(0.0, 6.0, 61)
    errors = []
    for rtol in DECADES:
        solution = tl.simulate(model, None, None, times, rtol=rtol, atol=rtol, method=method)
        errors.append(np.abs(solution.values[0] - exact(times)).max())
    check_follows(errors, most=100.0)


@pytest.mark.parametrize("method", executors.METHODS)
def test_error_follows_tolerance_doses(method):
    model, matrix, names = linear(MODELS["oral, three"])
    exact = truth(
        matrix, TIMES, [(0.0, names.index("gut"), 100.0), (24.0, names.index("gut"), 100.0)]
    )
    errors = []
    for rtol in DECADES:
        regimen = tl.Regimen.bolus(100.0, into="gut", every=24, doses=2)
        solution = tl.simulate(
            model, None, regimen, TIMES, rtol=rtol, atol=1e-3 * rtol, method=method
        )
        errors.append(worst(solution.values[0], exact))
    check_follows(errors, most=30.0)


def test_absolute_tolerance_of_each_state():
    """A loose atol for one state loosens that state, and costs fewer steps; a mapping and an array
    say the same.
    """
    model, exact = manufactured()
    times = np.linspace(0.0, 6.0, 61)
    named = tl.simulate(model, None, None, times, rtol=1e-9, atol={"y": 1e-2, "z": 1e-2, "x": 1e-9})
    listed = tl.simulate(model, None, None, times, rtol=1e-9, atol=[1e-9, 1e-2, 1e-2])
    np.testing.assert_array_equal(named.values, listed.values)
    strict = tl.simulate(model, None, None, times, rtol=1e-9, atol=1e-9)
    assert named.steps[0] < strict.steps[0]
    assert np.abs(strict.values[0] - exact(times)).max() < 1e-7


@pytest.mark.parametrize("executor", ["machine_code", "interpreter"])
def test_a_condition_of_equality(executor):
    """A covariate of few values: a rate by sex, its derivatives by the others."""
    model = tl.Model("sex")
    sex, k = model.parameters(sex=1.0, k=1.0)
    x = model.state("x")
    model.flow(x, None, tl.where(sex == 1, 2.0 * k, tl.where(sex != 2, k, 3.0 * k)) * x)
    model.output("x", x)
    given = {"sex": np.array([0.0, 1.0, 2.0])}
    dose, rates = tl.Regimen.bolus(1.0, into=x), np.array([1.0, 2.0, 3.0])
    run = tl.simulate(model, given, dose, [1.0], rtol=1e-9, atol=1e-12, executor=executor)
    np.testing.assert_allclose(run["x"][:, 0], np.exp(-rates), rtol=1e-8)
    _, gradient = tl.value_and_grad(
        np.ones((3, 1, 1)), model, given, dose, [1.0], rtol=1e-9, atol=1e-12, executor=executor
    )
    np.testing.assert_allclose(gradient.parameters["k"], (-rates * np.exp(-rates)).sum(), rtol=1e-7)


@pytest.mark.parametrize("executor", ["machine_code", "interpreter"])
def test_functions_at_their_ends(executor):
    model = tl.Model("ends", time_unit="s")
    a, b = model.parameters(a=2.0, b=1.0)
    x = model.state("x", initial=1.0)
    model.flow(x, None, 1e-15 * x)
    model.output("power", tl.pow(a, b))
    model.output("sine", tl.sin(model.time))
    model.output("cosine", tl.cos(model.time))
    big = 10.0 ** np.arange(4.0, 101.0)
    times = np.array([1e5, 1.6e6, 1.7e6, 1e9, 1.7e12])
    run = tl.simulate(model, {"b": big}, None, times, executor=executor)
    assert not run.status.any()
    assert np.isinf(run["power"]).all()
    np.testing.assert_allclose(run["sine"][0], np.sin(times), rtol=1e-14)
    np.testing.assert_allclose(run["cosine"][0], np.cos(times), rtol=1e-14)
    below = tl.simulate(model, {"b": -big}, None, times[:1], executor=executor)
    assert not below["power"].any()
    grown = tl.Model("grown")
    b = grown.parameter("b", 1.0)
    x = grown.state("x", initial=1.0)
    grown.flow(x, None, tl.pow(2.0, b) * x)
    failed = tl.simulate(grown, {"b": [1.0, 1e17]}, None, [1.0], executor=executor)
    assert (failed.status != 0).tolist() == [False, True]
