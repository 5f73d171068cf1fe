"""Numbers that sum up a curve while it is solved: against closed forms and finely sampled curves;
they change nothing.
"""

import compartments
import numpy as np
import pytest
import teorell as tl
from hypothesis import given, settings
from hypothesis import strategies as st
from teorell.engine import executors, solve

# Forward mode makes torch load decompositions of its own that use what it has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")

KA, CL, V, DOSE = np.array([0.8, 1.2, 2.5]), 3.0, 20.0, 100.0
TIMES = np.linspace(0.0, 24.0, 13)
TIGHT = {"rtol": 1e-10, "atol": 1e-13}


def oral(outputs=("cp",)):
    model = tl.Model("oral", time_unit="h")
    ka, cl, v = model.parameters(ka=1.2, cl=CL, v=V)
    gut, central = model.states("gut", "central", unit="mg")
    model.flow(gut, central, ka * gut)
    model.flow(central, None, cl / v * central)
    made = {
        "cp": central / v,
        "effect": (central / v) ** 2 / (4.0 + (central / v) ** 2),
        "wave": central / v * (1.0 + 0.5 * tl.sin(3.0 * model.time)),
    }
    for name in outputs:
        model.output(name, made[name], unit="mg/L" if name == "cp" else "")
    return model


def bateman(t, ka=KA):
    return compartments.bateman(t, ka, CL, V, DOSE)


def run(model, given, regimen=None, times=TIMES, parameters=None, **options):
    regimen = tl.Regimen.bolus(DOSE, into="gut") if regimen is None else regimen
    parameters = {"ka": KA} if parameters is None else parameters
    return tl.simulate(model, parameters, regimen, times, reductions=given, **options)


# ---------------------------------------------------------------- what they are


@pytest.mark.parametrize("method", executors.METHODS)
def test_closed_forms(method):
    level, window = 2.0, (1.5, 20.3)
    asked = [
        tl.Cmax(), tl.Tmax(), tl.Cmin(start=1.5, end=20.3), tl.AUC(start=1.5, end=20.3),
        tl.TimeAbove(threshold=level),
    ]  # fmt: skip
    found = run(oral(), asked, method=method, **TIGHT).reductions
    k = CL / V
    top = np.log(KA / k) / (KA - k)
    np.testing.assert_allclose(found["cmax_cp"], bateman(top), rtol=1e-9)
    np.testing.assert_allclose(found["tmax_cp"], top, rtol=1e-6)  # the curve is flat there
    np.testing.assert_allclose(
        found["cmin_cp"], np.minimum(bateman(window[0]), bateman(window[1])), rtol=1e-8
    )
    primitive = lambda t: DOSE * KA / (V * (KA - k)) * (-np.exp(-k * t) / k + np.exp(-KA * t) / KA)  # noqa: E731
    np.testing.assert_allclose(
        found["auc_cp"], primitive(window[1]) - primitive(window[0]), rtol=1e-9
    )
    for patient, ka in enumerate(KA):
        up, down = (
            _root(lambda t, ka=ka: bateman(t, ka) - level, *ends)
            for ends in ((0, top[patient]), (top[patient], 24))
        )
        np.testing.assert_allclose(found["time_above_cp"][patient], down - up, rtol=1e-8)


def _root(f, a, b):
    from scipy.optimize import brentq

    return brentq(f, a, b, xtol=1e-14)


@pytest.mark.parametrize("output", ["cp", "effect", "wave"])
def test_as_a_fine_grid_says(output):
    """Also for outputs that are not linear, whose curve in a step is no polynomial, and that pass a
    level many times.
    """
    regimen = tl.Regimen.bolus(DOSE, into="gut") + tl.Regimen.infusion(
        60.0, into="central", duration=1.7, time=8.3
    )
    level = {"cp": 2.2, "effect": 0.5, "wave": 2.2}[output]
    asked = [tl.Cmax(), tl.Cmin(start=1.0), tl.AUC(), tl.TimeAbove(threshold=level)]
    names = [f"{word}_{output}" for word in ("cmax", "cmin", "auc", "time_above")]
    found = run(oral([output]), asked, regimen, **TIGHT).reductions
    # Between events the curve is smooth: each piece has a grid of its own, which begins and ends at
    # events.
    pieces = [np.linspace(a, b, 20_001) for a, b in ((0.0, 8.3), (8.3, 10.0), (10.0, 24.0))]
    curve = run(oral([output]), None, regimen, np.concatenate(pieces), **TIGHT)[output]
    area, above = np.zeros(3), np.zeros(3)
    for k, t in enumerate(pieces):
        c, dt = curve[:, k * len(t) : (k + 1) * len(t)], t[1] - t[0]
        area += dt / 3 * (c[:, 0] + 4 * c[:, 1::2].sum(1) + 2 * c[:, 2:-1:2].sum(1) + c[:, -1])
        over = np.maximum(c[:, :-1], c[:, 1:]) - level, np.minimum(c[:, :-1], c[:, 1:]) - level
        with np.errstate(all="ignore"):
            share = np.where(
                over[1] > 0, 1.0, np.where(over[0] <= 0, 0.0, over[0] / (over[0] - over[1]))
            )
        above += dt * share.sum(1)
    late = np.concatenate(pieces) >= 1.0
    np.testing.assert_allclose(found[names[0]], curve.max(axis=1), rtol=1e-6)
    np.testing.assert_allclose(found[names[1]], curve[:, late].min(axis=1), rtol=1e-5)
    np.testing.assert_allclose(found[names[2]], area, rtol=1e-8)
    np.testing.assert_allclose(found[names[3]], above, rtol=1e-6)


def test_extrema_lie_between_samples_too():
    found = run(oral(["wave"]), [tl.Cmax(), tl.Cmin(start=1.0)])
    samples = found["wave"]
    assert (found.reductions["cmax_wave"] >= samples.max(axis=1) * (1 - 1e-12)).all()
    assert (
        found.reductions["cmin_wave"] <= samples[:, TIMES >= 1.0].min(axis=1) * (1 + 1e-12)
    ).all()


def test_accuracy_follows_the_tolerance():
    exact = run(
        oral(), [tl.Cmax(), tl.AUC(), tl.TimeAbove(threshold=2.0)], rtol=1e-12, atol=1e-14
    ).reductions
    for rtol in (1e-4, 1e-6, 1e-8):
        found = run(
            oral(), [tl.Cmax(), tl.AUC(), tl.TimeAbove(threshold=2.0)], rtol=rtol, atol=1e-12
        ).reductions
        for name in exact:
            np.testing.assert_allclose(found[name], exact[name], rtol=3 * rtol)


def test_the_first_of_equal_maxima():
    """A model at rest: the largest value is there from the start of the window."""
    model = tl.Model("rest")
    x = model.state("x", 3.0)
    model.rate(x, 0.0 * x)
    model.output("x", x)
    found = tl.simulate(
        model,
        None,
        None,
        [10.0],
        reductions=[tl.Tmax("x"), tl.Cmax("x"), tl.Tmax("x", start=2.5, name="late")],
    )
    assert [float(found.reductions[name][0]) for name in ("tmax_x", "cmax_x", "late")] == [
        0.0,
        3.0,
        2.5,
    ]


# ---------------------------------------------------------------- windows and events


def one_compartment():
    model = tl.Model("bolus")
    k = model.parameter("k", 0.2)
    x = model.state("x")
    model.flow(x, None, k * x)
    model.output("x", x)
    return model


def test_a_dose_at_the_start_is_in_a_window_and_one_at_its_end_is_not():
    regimen = tl.Regimen.bolus(10.0, into="x", every=12.0, doses=3)
    asked = [
        tl.Cmax("x", end=12.0), tl.Cmax("x", start=12.0, end=24.0, name="second"), tl.Cmin("x",
        start=12.0, end=24.0), tl.Cmin("x", end=12.0, name="trough"), tl.Tmax("x", start=12.0,
        end=24.0), tl.Cmax("x", end=30.0, name="all"),
    ]  # fmt: skip
    found = tl.simulate(
        one_compartment(), None, regimen, None, reductions=asked, **TIGHT
    ).reductions
    q = np.exp(-0.2 * 12.0)
    exact = {
        "cmax_x": 10.0, "second": 10.0 * (1 + q), "cmin_x": 10.0 * (q + q * q), "trough": 10.0 * q,
        "tmax_x": 12.0, "all": 10.0 * (1 + q + q * q),
    }  # fmt: skip
    for name, value in exact.items():
        np.testing.assert_allclose(found[name][0], value, rtol=1e-9)


def test_the_end_of_an_infusion():
    regimen = tl.Regimen.infusion(30.0, into="x", duration=2.5, time=1.0)
    asked = [tl.Cmax("x"), tl.Tmax("x"), tl.AUC("x", end=200.0)]
    found = tl.simulate(
        one_compartment(), {"k": [0.2, 0.7]}, regimen, [10.0], reductions=asked, **TIGHT
    ).reductions
    k = np.array([0.2, 0.7])
    np.testing.assert_allclose(found["tmax_x"], 3.5, rtol=1e-12)
    np.testing.assert_allclose(found["cmax_x"], 12.0 / k * (1 - np.exp(-2.5 * k)), rtol=1e-9)
    np.testing.assert_allclose(found["auc_x"], 30.0 / k, rtol=1e-9)


def test_a_reset_takes_nothing_from_an_area():
    regimen = (
        tl.Regimen.bolus(10.0, into="x")
        + tl.Regimen.reset(time=5.0)
        + tl.Regimen.bolus(4.0, into="x", time=6.0)
    )
    asked = [tl.AUC("x"), tl.TimeAbove("x", threshold=1.0), tl.Cmin("x")]
    found = tl.simulate(
        one_compartment(), None, regimen, [12.0], reductions=asked, **TIGHT
    ).reductions
    area = (10.0 * (1 - np.exp(-1.0)) + 4.0 * (1 - np.exp(-1.2))) / 0.2
    np.testing.assert_allclose(found["auc_x"][0], area, rtol=1e-9)
    # 4 exp(-0.2 * 6) is above 1
    np.testing.assert_allclose(found["time_above_x"][0], 11.0, rtol=1e-12)
    assert found["cmin_x"][0] == 0.0


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(0.0, 24.0).map(lambda t: round(t, 6)), min_size=1, max_size=4),
    st.floats(0.05, 23.9),
    st.floats(0.1, 8.0),
    st.floats(0.05, 3.0),
)
def test_parts_of_a_window(doses, cut, threshold, k):
    """A window cut in two: areas and times add, extrema are those of the parts.

    And a scaled dose scales.
    """
    regimen = tl.Regimen.bolus(10.0, into="x", time=doses[0])
    for time in doses[1:]:
        regimen = regimen + tl.Regimen.infusion(5.0, into="x", duration=1.5, time=time)
    both = lambda kind, **more: [  # noqa: E731
        kind("x", start=a, end=b, name=f"{kind.word}{i}", **more)
        for i, (a, b) in enumerate([(0, 24), (0, cut), (cut, 24)])
    ]
    asked = both(tl.Cmax) + both(tl.Cmin) + both(tl.AUC) + both(tl.TimeAbove, threshold=threshold)
    options = {"reductions": asked, "rtol": 1e-8, "atol": 1e-11}
    found = tl.simulate(one_compartment(), {"k": k}, regimen, None, **options).reductions
    cmax, cmin, area, above = (
        [float(found[f"{word}{i}"][0]) for i in range(3)]
        for word in ("cmax", "cmin", "auc", "time_above")
    )
    assert cmax[0] >= max(cmax[1:])
    assert cmin[0] <= min(cmin[1:])
    assert cmax[0] == pytest.approx(max(cmax[1:]), rel=1e-12, abs=1e-12)
    assert cmin[0] == pytest.approx(min(cmin[1:]), rel=1e-12, abs=1e-12)
    assert area[0] == pytest.approx(area[1] + area[2], rel=1e-12, abs=1e-12)
    assert above[0] == pytest.approx(above[1] + above[2], rel=1e-9, abs=1e-9)
    tenfold = [tl.Regimen.bolus(100.0, into="x", time=doses[0])]
    tenfold += [tl.Regimen.infusion(50.0, into="x", duration=1.5, time=time) for time in doses[1:]]
    whole = sum(tenfold[1:], start=tenfold[0])
    scaled = tl.simulate(
        one_compartment(),
        {"k": k},
        whole,
        None,
        reductions=[tl.AUC("x", end=24.0)],
        rtol=1e-8,
        atol=1e-10,
    )
    assert scaled.reductions["auc_x"][0] == pytest.approx(10 * area[0], rel=1e-6, abs=1e-9)


# ---------------------------------------------------------------- nothing else changes


ALL = [
    tl.Cmax("cp"), tl.Tmax("cp"), tl.Cmin("effect", start=2.0, end=11.3), tl.AUC("effect"),
    tl.TimeAbove("cp", threshold=1.7), tl.AUC("cp", start=3.3),
]  # fmt: skip


def bits(solution):
    return [values.tobytes() for values in solution.reductions.values()]


@pytest.mark.parametrize("method", executors.METHODS)
def test_steps_and_values_stay_the_same_bits(method):
    model = oral(["cp", "effect"])
    with_them, without = run(model, ALL, method=method), run(model, None, method=method)
    for name in ("values", "steps", "rejected", "status"):
        assert getattr(with_them, name).tobytes() == getattr(without, name).tobytes()
    assert (
        bits(with_them)
        == bits(run(model, [*ALL, tl.Cmin("cp", name="more")], method=method))[: len(ALL)]
    )


def test_they_are_the_same_bits_however_they_run():
    model, rng = oral(["cp", "effect"]), np.random.default_rng(4)
    drawn = {"ka": rng.uniform(0.3, 3.0, 37), "cl": rng.uniform(1.0, 9.0, 37)}
    regimen = tl.Regimen.bolus(rng.uniform(20.0, 200.0, 37), into="gut", every=6.0, doses=3)
    whole = run(model, ALL, regimen, parameters=drawn)
    for options in ({"threads": 2}, {"executor": "interpreter"}):
        assert bits(whole) == bits(run(model, ALL, regimen, parameters=drawn, **options))
    no_curves = [tl.Cmax("cp", end=24.0), tl.AUC("effect", end=24.0)]
    alone = run(model, no_curves, regimen, None, drawn)
    assert alone.values.shape == (37, 0, 0)
    assert alone.outputs == ()
    for name in ("cmax_cp", "auc_effect"):
        assert alone.reductions[name].tobytes() == whole.reductions[name].tobytes()
    ten = {name: values[10:11] for name, values in drawn.items()}
    one = run(
        model,
        ALL,
        tl.Regimen.bolus(regimen.lines[0].amount[10], into="gut", every=6.0, doses=3),
        parameters=ten,
    )
    for name, values in one.reductions.items():
        assert values[0] == whole.reductions[name][10]


def test_other_builds_agree():
    model = oral(["cp", "effect"])
    from teorell.simulation.given import problem_of

    found = []
    for build in executors.instruction_sets():
        problem = problem_of(
            model, {"ka": KA}, tl.Regimen.bolus(DOSE, into="gut"), TIMES, reductions=ALL
        )
        problem.options["isa"] = build["name"]
        found.append(problem.solve(problem.given).reduced)
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=1e-9)


def test_an_output_that_only_a_reduction_reads():
    model = oral(["cp", "effect"])
    found = run(model, [tl.AUC("effect")], outputs=["cp"])
    assert found.outputs == ("cp",)
    assert found.values.shape == (3, 13, 1)
    np.testing.assert_array_equal(found["cp"], run(model, None)["cp"])
    np.testing.assert_array_equal(
        found.reductions["auc_effect"], run(model, [tl.AUC("effect")]).reductions["auc_effect"]
    )


def test_a_window_after_the_last_sample():
    found = run(oral(), [tl.AUC("cp", end=500.0)], times=[1.0], **TIGHT)
    np.testing.assert_allclose(found.reductions["auc_cp"], DOSE / CL, rtol=1e-8)
    np.testing.assert_allclose(found["cp"][:, 0], bateman(1.0), rtol=1e-9)


def test_windows_and_thresholds_of_each_patient():
    ends, levels = np.array([6.0, 12.0, 24.0]), np.array([1.0, 2.0, 3.0])
    together = run(
        oral(), [tl.AUC("cp", end=ends), tl.TimeAbove("cp", threshold=levels)]
    ).reductions
    for patient in range(3):
        own = [tl.AUC("cp", end=ends[patient]), tl.TimeAbove("cp", threshold=levels[patient])]
        alone = run(oral(), own).reductions
        for name, values in together.items():
            assert values[patient] == alone[name][patient]
    times = [[1.0, 6.0], [12.0], [3.0, 24.0]]  # the end of a window is the last sample of each
    ragged = run(oral(), [tl.AUC("cp")], times=times).reductions["auc_cp"]
    np.testing.assert_array_equal(ragged, together["auc_cp"])
    arrays = tl.simulate(
        oral(), None, tl.Regimen.bolus(DOSE, into="gut"), None, reductions=[tl.AUC("cp", end=ends)]
    )
    assert arrays.status.size == 3


# ---------------------------------------------------------------- failures


def test_a_failure_leaves_no_number_of_a_window_that_it_cuts_short():
    model = tl.Model("blows up")
    r = model.parameter("r", 1.0)
    x = model.state("x", 1.0)
    model.rate(x, r * x * x)  # 1 / (1 - r t)
    model.output("x", x)
    asked = [
        tl.Cmax("x", end=0.5),
        tl.AUC("x", end=2.0),
        tl.Tmax("x", end=2.0),
        tl.TimeAbove("x", threshold=0.5, end=2.0),
    ]
    found = tl.simulate(model, {"r": [0.1, 1.0]}, None, [2.0], reductions=asked, **TIGHT)
    assert found.success.tolist() == [True, False]
    np.testing.assert_allclose(found.reductions["cmax_x"], [1 / 0.95, 2.0], rtol=1e-8)
    for name in ("auc_x", "tmax_x", "time_above_x"):
        assert np.isnan(found.reductions[name][1])
        assert np.isfinite(found.reductions[name][0])
    _, gradient = tl.value_and_grad(
        {"cmax_x": 1.0}, model, {"r": [0.1, 1.0]}, None, [2.0], reductions=asked, **TIGHT
    )
    np.testing.assert_allclose(gradient.parameters["r"], [0.5 / 0.95**2, 0.0], rtol=1e-7)


def test_an_output_that_is_no_number():
    model = oral()
    model.output("log", tl.log(model.outputs()["cp"] - 1.0))  # NaN below 1
    asked = [
        tl.Cmax("log", name="a"),
        tl.AUC("log", name="b"),
        tl.TimeAbove("log", threshold=0.0, name="c"),
    ]
    found = run(model, asked).reductions
    assert all(np.isnan(values).all() for values in found.values())


# ---------------------------------------------------------------- derivatives


def dosed(amount=100.0, more=80.0, time=8.0, duration=1.7, bolus=11.0):
    return (
        tl.Regimen.bolus(amount, into="gut")
        + tl.Regimen.infusion(more, into="central", duration=duration, time=time)
        + tl.Regimen.bolus(30.0, into="central", time=bolus)
    )


def delayed(output):
    """Saturable, with a lag; an output that is linear, one that is not, and one with time and a
    parameter in it.
    """
    model = tl.Model("delayed")
    ka, cl, v, lag = model.parameters(ka=1.2, cl=3.0, v=20.0, lag=0.3)
    gut, central = model.states("gut", "central")
    model.flow(gut, central, ka * gut)
    model.flow(central, None, cl / v * central / (1.0 + central / v / 10.0))
    cp = central / v
    model.output(
        output, {"cp": cp, "bound": cp / (1.0 + cp), "moment": cp * model.time * cl}[output]
    )
    model.dosing("gut", lag=lag)
    return model


GRADED = [
    tl.Cmax(), tl.Cmin(start=4.3, end=20.2), tl.AUC(), tl.AUC(start=1.37, end=9.1, name="part"),
    tl.TimeAbove(threshold=0.62, end=23.0), tl.Cmax(start=7.9, end=12.2, name="late"),
    tl.Cmax(start=7.0, end=10.5, name="end of the infusion"),
]  # fmt: skip
FIELDS = {
    "amount": (0, "amount"),
    "more": (1, "amount"),
    "time": (1, "time"),
    "duration": (1, "duration"),
    "bolus": (2, "time"),
}
EXACT = {"rtol": 1e-11, "atol": 1e-13}


@pytest.mark.parametrize("output", ["cp", "bound", "moment"])
def test_gradients_against_differences(output):
    model = delayed(output)
    given = {"ka": 1.2, "cl": 3.0, "v": 20.0, "lag": 0.3}
    doses = {"amount": 100.0, "more": 80.0, "time": 8.0, "duration": 1.7, "bolus": 11.0}
    options = {"reductions": GRADED, **EXACT}
    found = tl.jacobian(model, given, dosed(), [24.0], wrt=[*given, *FIELDS.values()], **options)
    for number, name in enumerate([*given, *doses]):
        h = 1e-4 * (given | doses)[name]
        either = []
        for sign in (1.0, -1.0):
            p, d = dict(given), dict(doses)
            (p if name in p else d)[name] += sign * h
            either.append(tl.simulate(model, p, dosed(**d), [24.0], **options).reductions)
        for key, slopes in found.of_reductions.items():
            difference = (either[0][key][0] - either[1][key][0]) / (2 * h)
            scale = max(abs(difference), abs(found.reductions[key][0] / (given | doses)[name]))
            assert abs(slopes[0, number] - difference) < 1e-6 * scale, (key, name)


@pytest.mark.parametrize("output", ["cp", "bound", "moment"])
@pytest.mark.parametrize("executor", ["machine_code", "interpreter"])
def test_backward_is_forward_transposed(output, executor):
    model, rng = delayed(output), np.random.default_rng(5)
    given = {
        "ka": rng.uniform(0.5, 2.0, 11),
        "cl": rng.uniform(1.0, 5.0, 11),
        "v": 20.0,
        "lag": rng.uniform(0.0, 0.5, 11),
    }
    options = {"reductions": GRADED, "executor": executor}
    forward = tl.jacobian(
        model, given, dosed(), [24.0], wrt=[*given, *FIELDS.values()], **options
    ).of_reductions
    weights = {key: rng.standard_normal(11) for key in forward}
    value, gradient = tl.value_and_grad(weights, model, given, dosed(), [24.0], **options)
    backward = [gradient.parameters[name] for name in given]
    backward += [getattr(gradient.doses[line], field) for line, field in FIELDS.values()]
    for number, slope in enumerate(backward):
        each = sum(weights[key] * forward[key][:, number] for key in forward)
        size = sum(np.abs(weights[key] * forward[key][:, number]) for key in forward).max()
        np.testing.assert_allclose(
            slope, each if np.ndim(slope) else each.sum(), rtol=1e-10, atol=1e-11 * size
        )
    reductions = tl.simulate(model, given, dosed(), [24.0], **options).reductions
    assert value == pytest.approx(
        sum((weights[key] * reductions[key]).sum() for key in weights), rel=1e-12
    )


def test_long_solves_that_the_tape_does_not_hold():
    """States that have left the ring are computed again: the same bits."""
    from teorell.simulation.given import problem_of

    problem = problem_of(
        delayed("cp"), {"ka": 1.2}, dosed(), [24.0], reductions=GRADED, rtol=1e-9, atol=1e-12
    )
    cotangent, reduced = np.ones((1, 1, 1)), np.ones((1, len(GRADED)))
    batch = problem.call(problem.given, "vjp").batch
    few, many = (
        solve.pull_back(batch, cotangent, reduced, recorded_steps=n, **problem.options)
        for n in (16, 4096)
    )
    assert few.parameters.tobytes() == many.parameters.tobytes()
    assert few.event_time.tobytes() == many.event_time.tobytes()


def test_a_reset_in_an_area_has_its_derivatives():
    """x = 10 exp(-k t), gone at the reset, then 4 exp(-k (t - 6))."""
    k, at = 0.2, 5.0
    regimen = (
        tl.Regimen.bolus(10.0, into="x")
        + tl.Regimen.reset(time=at)
        + tl.Regimen.bolus(4.0, into="x", time=6.0)
    )
    asked = [tl.AUC("x"), tl.TimeAbove("x", threshold=3.9)]
    _, found = tl.value_and_grad(
        {"auc_x": 1.0}, one_compartment(), {"k": k}, regimen, [12.0], reductions=asked, **EXACT
    )
    slope = lambda dose, t: dose * ((t * np.exp(-k * t)) / k - (1 - np.exp(-k * t)) / k**2)  # noqa: E731
    np.testing.assert_allclose(found.parameters["k"], slope(10.0, at) + slope(4.0, 6.0), rtol=1e-8)
    np.testing.assert_allclose(found.doses[1].time, 10.0 * np.exp(-k * at), rtol=1e-8)
    np.testing.assert_allclose(found.doses[2].time, -4.0 * np.exp(-k * 6.0), rtol=1e-8)
    # Above 3.9 from 0 to log(10 / 3.9) / k, before the reset; and a little after 6, whatever the
    # time of that dose.
    _, found = tl.value_and_grad(
        {"time_above_x": 1.0},
        one_compartment(),
        {"k": k},
        regimen,
        [12.0],
        reductions=asked,
        **EXACT,
    )
    np.testing.assert_allclose(found.parameters["k"], -np.log(10 / 3.9 * 4 / 3.9) / k**2, rtol=1e-7)
    np.testing.assert_allclose(found.doses[2].time, 0.0, atol=1e-7)


def test_losses_of_values_and_reductions():
    model = oral()
    given, regimen = {"ka": KA, "cl": 3.0}, tl.Regimen.bolus(DOSE, into="gut")
    asked = [tl.Cmax(), tl.AUC()]

    def loss(values, reduced):
        value = values.sum() + (reduced["cmax_cp"] ** 2).sum()
        return value, np.ones_like(values), {"cmax_cp": 2 * reduced["cmax_cp"]}

    def by_patient(values, reduced, patients):
        assert reduced["auc_cp"].shape == patients.shape
        return (
            values.sum(axis=(1, 2)) + reduced["cmax_cp"] ** 2,
            np.ones_like(values),
            {"cmax_cp": 2 * reduced["cmax_cp"]},
        )

    options = {"reductions": asked, **TIGHT}
    value, whole = tl.value_and_grad(loss, model, given, regimen, TIMES, **options)
    other, parts = tl.value_and_grad(
        by_patient, model, given, regimen, TIMES, by_patient=True, **options
    )
    assert value == pytest.approx(other, rel=1e-14)
    _, sums = tl.value_and_grad(np.ones((1, 1, 1)), model, given, regimen, TIMES, **options)
    cmax = tl.simulate(model, given, regimen, TIMES, **options).reductions["cmax_cp"]
    _, weighted = tl.value_and_grad({"cmax_cp": 2 * cmax}, model, given, regimen, TIMES, **options)
    for name in given:
        expected = sums.parameters[name] + weighted.parameters[name]
        np.testing.assert_allclose(whole.parameters[name], expected, rtol=1e-12)
        np.testing.assert_allclose(parts.parameters[name], expected, rtol=1e-12)
    none = tl.value_and_grad(
        lambda values, reduced: (0.0, None, {}), model, given, regimen, TIMES, **options
    )[1]
    assert not none.parameters["ka"].any()


TMAX = [tl.Tmax("cp"), tl.Cmax("cp")]
REFUSED = {
    "Tmax by jacobian": (lambda m: tl.jacobian(m, None, None, [1.0], wrt="ka", reductions=TMAX),
    "of 'tmax_cp'"), "Tmax by weights": (
        lambda m: tl.value_and_grad({"tmax_cp": 1.0}, m, None, None, [1.0], reductions=TMAX),
        "no derivative of 'tmax_cp'"
    ),
    "unknown weight": (
        lambda m: tl.value_and_grad({"cmx_cp": 1.0}, m, None, None, [1.0], reductions=TMAX),
        "Did you mean 'cmax_cp'?"
    ),
    "two returned": (
        lambda m: tl.value_and_grad(lambda v, r: (0.0, v), m, None, None, [1.0], reductions=TMAX),
        "(value, slope, slopes)"
    ),
    "no mapping": (
        lambda m: tl.value_and_grad(lambda v, r: (0.0, v, v), m, None, None, [1.0],
        reductions=TMAX), "are a ndarray"
    ),
    "shape of a slope": (
        lambda m: tl.value_and_grad(lambda v, r: (0.0, v, {"cmax_cp": v}), m, None, None, [1.0],
        reductions=TMAX), "be (1,)"
    ),
    "jvp": (lambda m: tl.jvp(m, None, None, [1.0], {"ka": 1.0}, reductions=TMAX),
    "reductions in jvp"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(call, words):
    with pytest.raises(tl.InputError) as caught:
        call(oral())
    assert words in str(caught.value)


def test_what_is_no_reduction():
    for wrong in (tl.Cmax("cp"), "cmax", {"a": tl.Cmax("cp")}):
        with pytest.raises(TypeError, match="Give a list"):
            run(oral(), wrong)
    with pytest.raises(TypeError, match="a reduction is a str"):
        run(oral(), ["cmax"])


def test_torch():
    torch = pytest.importorskip("torch")
    ka = torch.tensor(KA, requires_grad=True)
    regimen, asked = (
        tl.Regimen.bolus(DOSE, into="gut"),
        [tl.Cmax("cp"), tl.Tmax("cp"), tl.AUC("cp", end=9.0)],
    )

    def reduced(ka, name="cmax_cp", **options):
        return tl.simulate(
            oral(), {"ka": ka}, regimen, TIMES, reductions=asked, **TIGHT, **options
        ).reductions[name]

    reduced(ka).sum().backward()
    _, expected = tl.value_and_grad(
        {"cmax_cp": 1.0}, oral(), {"ka": KA}, regimen, TIMES, reductions=asked, **TIGHT
    )
    np.testing.assert_allclose(ka.grad, expected.parameters["ka"], rtol=1e-12)
    with pytest.raises(tl.InputError, match="no derivative of 'tmax_cp'"):
        reduced(ka, "tmax_cp").sum().backward()
    assert reduced(ka.detach().float()).dtype == torch.float32
    asked = [tl.AUC("cp", end=9.0)]
    of_auc = lambda x: reduced(x, "auc_cp")  # noqa: E731
    forward, backward = (
        kind(of_auc)(ka.detach()) for kind in (torch.func.jacfwd, torch.func.jacrev)
    )
    torch.testing.assert_close(forward, backward, rtol=1e-10, atol=1e-10)
    mapped = torch.func.vmap(of_auc)(torch.stack([ka.detach(), 2 * ka.detach()]))
    torch.testing.assert_close(mapped[1], of_auc(2 * ka.detach()), rtol=0.0, atol=0.0)
    from teorell.nn import Simulator

    with pytest.raises(tl.InputError, match="reductions in a Simulator"):
        Simulator(oral(), regimen, TIMES, reductions=asked)


# ---------------------------------------------------------------- what users see


def test_units_and_tables():
    found = run(oral(["cp", "effect"]), ALL)
    assert found.reduction_units["cmax_cp"] == "mg/L"
    assert found.reduction_units["auc_cp"] == "mg/L h"
    assert found.reduction_units["tmax_cp"] == found.reduction_units["time_above_cp"] == "h"
    assert found.reduction_units["auc_effect"] == ""
    dataset = found.to_xarray()
    assert dataset["auc_cp"].dims == ("patient",)
    assert dataset["auc_cp"].attrs == {"units": "mg/L h"}
    assert "reductions cmax_cp, tmax_cp" in repr(found)
    assert "times" not in repr(run(oral(), [tl.Cmax("cp", end=3.0)], times=None))


def test_with_event_tables_and_steady_states():
    import pandas as pd

    rows = [
        (1, 0.0, 10.0, 1, 1, 12.0),
        (1, 12.0, 0.0, 0, 0, 0.0),
        (2, 0.0, 20.0, 1, 1, 12.0),
        (2, 12.0, 0.0, 0, 0, 0.0),
    ]
    table = pd.DataFrame(rows, columns=["ID", "TIME", "AMT", "EVID", "SS", "II"])
    events = tl.EventTable(table, one_compartment())
    asked = [tl.AUC("x"), tl.Cmax("x"), tl.Cmin("x")]
    found = tl.simulate(
        one_compartment(),
        events.parameters,
        events.regimen,
        events.times,
        reductions=asked,
        **TIGHT,
    )
    q = np.exp(-0.2 * 12.0)
    np.testing.assert_allclose(found.reductions["auc_x"], np.array([10.0, 20.0]) / 0.2, rtol=1e-8)
    np.testing.assert_allclose(
        found.reductions["cmax_x"], np.array([10.0, 20.0]) / (1 - q), rtol=1e-8
    )
    np.testing.assert_allclose(
        found.reductions["cmin_x"], np.array([10.0, 20.0]) * q / (1 - q), rtol=1e-8
    )


@pytest.mark.parametrize("end", ["zarr", "parquet"])
@pytest.mark.parametrize("times", [None, [3.0, 24.0]])
def test_in_a_store(tmp_path, end, times):
    """One number a patient, with and without curves, whatever the chunks."""
    pytest.importorskip("zarr" if end == "zarr" else "pyarrow")
    asked = [tl.Cmax("cp", end=24.0), tl.AUC("cp", end=24.0)]
    drawn = {"ka": np.linspace(0.5, 2.0, 7), "cl": 3.0}
    regimen = tl.Regimen.bolus(DOSE, into="gut")
    stored = tl.simulate_to(
        tmp_path / f"store.{end}", oral(), drawn, regimen, times, chunk=3, reductions=asked
    )
    whole = tl.simulate(oral(), drawn, regimen, times, reductions=asked)
    opened = stored.open()
    if end == "zarr":
        assert opened["auc_cp"].attrs == {"units": "mg/L h"}
        found = {name: opened[name].to_numpy() for name in whole.reductions}
        assert ("cp" in opened) == (times is not None)
    else:
        import pyarrow.parquet as pq

        table = pq.read_table(tmp_path / f"store.{end}" / "_patients")
        found = {name: table[name].to_numpy() for name in whole.reductions}
        assert opened.count_rows() == 7 * (1 if times is None else 2)
        assert ("auc_cp" in opened.schema.names) == (times is None)
    for name, values in whole.reductions.items():
        np.testing.assert_array_equal(found[name], values)
    again = tl.simulate_to(
        tmp_path / f"store.{end}", oral(), drawn, regimen, times, chunk=3, reductions=asked
    )
    assert again.patients == 7
    with pytest.raises(tl.InputError, match="differs in reductions"):
        tl.simulate_to(
            tmp_path / f"store.{end}",
            oral(),
            drawn,
            regimen,
            times,
            chunk=3,
            reductions=[tl.Cmax("cp", end=23.0), asked[1]],
        )
    with pytest.raises(tl.InputError, match="one window for all"):
        tl.simulate_to(
            tmp_path / f"other.{end}",
            oral(),
            drawn,
            regimen,
            times,
            reductions=[tl.AUC("cp", end=np.full(7, 3.0))],
        )
