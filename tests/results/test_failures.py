"""What goes wrong with one patient stays with that patient, is told, and is never a wrong curve
called success; and what
must not go wrong: cancelling, accumulators, conditions on time."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import teorell as tl
from teorell.benchmark import reference_models
from teorell.engine import executors, solve
from teorell.lowering.recent import programs_of
from teorell.model.expression import symbol

TIMES = np.linspace(0.0, 10.0, 41)
FIELDS = ("values", "status", "steps", "rejected", "failure_time")
EXECUTORS = (
    ["machine_code", "interpreter"] if executors.llvmlite_missing() is None else ["interpreter"]
)
N, BAD = 21, 6  # patients, and the one that fails

# One model for each way to fail: a model, its parameters for healthy patients (from, to), and for
# the sick one ------------


def rhs_not_finite():
    model = tl.Model("no volume")
    cl, v = model.parameters(cl=1.0, v=5.0)
    (x,) = model.states("x", initial=1.0)
    model.flow(x, None, cl / v * x)
    return model, {"cl": (0.5, 2.0), "v": (1.0, 9.0)}, {"v": 0.0}


def jacobian_not_finite():
    """At 0 the slope of the root is infinite: on the diagonal alone, where 1 / infinity is a quiet
    0.
    """
    model = tl.Model("root of nothing")
    k, start = model.parameters(k=0.1, start=1.0)
    (x,) = model.states("x")
    model.initial(x, start)
    model.rate(x, 1.0 - k * tl.sqrt(x))
    return model, {"k": (0.1, 0.5), "start": (0.5, 2.0)}, {"start": 0.0}


def jacobian_not_finite_beside_the_diagonal():
    model = tl.Model("root of nothing, into another")
    k, start = model.parameters(k=0.1, start=1.0)
    x, y = model.states("x", "y")
    model.initial(x, start)
    model.rate(x, 1.0)
    model.flow(x, y, k * tl.pow(x, 0.7))
    model.flow(y, x, 0.1 * y)
    return model, {"k": (0.1, 0.5), "start": (0.5, 2.0)}, {"start": 0.0}


def grows_without_bound():
    model = tl.Model("growth")
    (g,) = model.parameters(g=-1.0)
    x, y = model.states("x", "y", initial=1.0)
    model.rate(x, g * x)
    model.rate(y, -0.3 * y)
    return model, {"g": (-2.0, 0.5)}, {"g": 200.0}


def leaves_its_domain():
    model = tl.Model("logarithm")
    (s,) = model.parameters(s=0.0)
    (x,) = model.states("x", initial=1.0, signed=True)
    model.rate(x, -s + 0.1 * tl.log(x))
    return model, {"s": (-2.0, -0.5)}, {"s": 1.0}


def falls_off_a_cliff():
    model = tl.Model("cliff")
    (cliff,) = model.parameters(cliff=0.0)
    (x,) = model.states("x", signed=True)
    model.rate(x, 0.4 - tl.where(x < 1.0, 0.0, cliff))
    return model, {"cliff": (0.0, 0.3)}, {"cliff": 1e30}


def takes_for_ever():
    model = tl.Model("oscillator")
    (omega,) = model.parameters(omega=1.0)
    x, v = model.states("x", "v", initial=1.0, signed=True)
    model.rate(x, omega * v)
    model.rate(v, -omega * x)
    return model, {"omega": (0.1, 2.0)}, {"omega": 1e4}


def drains_what_is_empty():
    model = tl.Model("drain")
    (drain,) = model.parameters(drain=0.0)
    x, y = model.states("x", "y", initial=1.0)
    model.flow(x, y, drain)
    model.flow(y, None, 0.1 * y)
    return model, {"drain": (0.0, 0.09)}, {"drain": 0.3}


MAX_STEPS = 2000
CASES = [
    # model, status, when the sick patient fails (least, most), further options
    (rhs_not_finite, 1, (0.0, 0.0), {}),
    (jacobian_not_finite, 1, (0.0, 0.0), {}),
    (jacobian_not_finite_beside_the_diagonal, 1, (0.0, 0.0), {}),
    (grows_without_bound, 2, (3.3, 3.55), {}),  # the largest float64 is e^709.8
    (leaves_its_domain, 2, (0.7, 1.0), {}),
    (falls_off_a_cliff, 8, (2.499, 2.501), {}),
    (takes_for_ever, 4, (0.001, 9.0), {"max_steps": MAX_STEPS}),
    (drains_what_is_empty, 5, (3.33, 3.34), {}),
]


def patients(healthy, sick, n=N, where=BAD):
    """Columns with the sick patient at `where`; None leaves it out."""
    rng = np.random.default_rng(8)
    columns = {name: rng.uniform(low, high, n - 1) for name, (low, high) in healthy.items()}
    if where is None:
        return columns
    return {
        name: np.insert(column, where, sick.get(name, column.mean()))
        for name, column in columns.items()
    }


@pytest.mark.parametrize("method", executors.METHODS)
@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize(
    ("case", "status", "when", "options"), CASES, ids=[case[0].__name__ for case in CASES]
)
def test_failure_of_one(case, status, when, options, executor, method):
    model, healthy, sick = case()
    regimen = tl.Regimen.bolus(0.1, into=model.state_names[0], time=9.5)  # after the failure
    options = {**options, "executor": executor, "method": method}
    without = tl.simulate(model, patients(healthy, sick, where=None), regimen, TIMES, **options)
    assert (without.status == 0).all()
    assert np.isfinite(without.values).all()
    assert np.isnan(without.failure_time).all()
    for where in (BAD, 0, N - 1):
        solution = tl.simulate(
            model, patients(healthy, sick, where=where), regimen, TIMES, **options
        )
        assert solution.status[where] == status, executors.STATUS[int(solution.status[where])]
        for field in FIELDS:
            found = np.delete(getattr(solution, field), where, axis=0)
            np.testing.assert_array_equal(found, getattr(without, field), err_msg=field)
        failed = solution.failure_time[where]
        assert when[0] <= failed <= when[1]
        assert (np.isfinite(solution.values[where]).all(axis=1) == (failed >= TIMES)).all()
        assert (np.isnan(solution.values[where]).all(axis=1) == (failed < TIMES)).all()
        alone = {
            name: column[where : where + 1]
            for name, column in patients(healthy, sick, where=where).items()
        }
        single = tl.simulate(model, alone, regimen, TIMES, **options)
        for field in FIELDS:
            np.testing.assert_array_equal(
                getattr(single, field)[0], getattr(solution, field)[where], err_msg=field
            )
    with pytest.raises(tl.SimulationError, match=rf"patient {N - 1}: status {status} at"):
        solution.raise_for_status()


@pytest.mark.parametrize("executor", EXECUTORS)
def test_all_fail(executor):
    model, _, sick = drains_what_is_empty()
    solution = tl.simulate(
        model, {"drain": np.full(30, sick["drain"])}, None, TIMES, executor=executor
    )
    assert (solution.status == 5).all()
    assert (solution.failure_time == solution.failure_time[0]).all()


@pytest.mark.parametrize("method", executors.METHODS)
def test_solution_that_ends_in_finite_time(method):
    """x' = x^2 is infinite at time 1; how a step finds out is its own affair, that and where is
    ours.
    """
    model = tl.Model("explosion")
    (x,) = model.states("x", initial=1.0)
    model.rate(x, x * x)
    times = np.linspace(0.0, 2.0, 201)
    solution = tl.simulate(model, None, None, times, method=method, rtol=1e-9)
    assert solution.status[0] in (2, 3)
    assert solution.failure_time[0] == pytest.approx(1.0, abs=1e-6)
    before = times < 0.999
    np.testing.assert_allclose(
        solution.values[0, before, 0], 1.0 / (1.0 - times[before]), rtol=1e-5
    )
    assert np.isnan(solution.values[0, times > 1.0]).all()


def test_negative_until_the_failure_is_within_tolerance():
    """What a patient with status 5 shows before its end is not clearly negative."""
    model, _, sick = drains_what_is_empty()
    solution = tl.simulate(model, sick, None, np.linspace(0.0, 10.0, 4001), rtol=1e-6, atol=1e-9)
    x = solution["x"][0]
    assert np.nanmin(x) > -(100 * 1e-9 + 10 * 1e-6)
    np.testing.assert_allclose(
        x[np.isfinite(x)], 1.0 - 0.3 * solution.times[np.isfinite(x)], atol=1e-7
    )


def test_signed_states_may_be_negative():
    model = tl.Model("debt")
    (x,) = model.states("x", initial=1.0, signed=True)
    model.rate(x, -1.0)
    solution = tl.simulate(model, None, None, TIMES)
    assert solution.status.tolist() == [0]
    np.testing.assert_allclose(solution.values[0, :, 0], 1.0 - TIMES, atol=1e-9)


# The step limit
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor", EXECUTORS)
def test_step_limit_counts_every_attempt(executor):
    model, _, _ = takes_for_ever()
    free = tl.simulate(model, {"omega": 30.0}, None, TIMES, executor=executor)
    needed = int(free.steps[0] + free.rejected[0])
    enough = tl.simulate(model, {"omega": 30.0}, None, TIMES, executor=executor, max_steps=needed)
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(enough, field), getattr(free, field), err_msg=field)
    for limit in (1, 2, needed // 2, needed - 1):
        short = tl.simulate(model, {"omega": 30.0}, None, TIMES, executor=executor, max_steps=limit)
        assert short.status.tolist() == [4]
        assert short.steps[0] + short.rejected[0] == limit
        reached = short.failure_time[0] >= TIMES
        np.testing.assert_array_equal(short.values[0, reached], free.values[0, reached])
        assert np.isnan(short.values[0, ~reached]).all()


# Cancelling
# --------------------------------------------------------------------------------------------------


def endless():
    """Arguments of a run of hours."""
    model, _, _ = takes_for_ever()
    return {
        "model": model, "parameters": {"omega": np.linspace(1e5, 1e6, 50)}, "times": [0.0, 1e6],
        "rtol": 1e-12, "atol": 1e-14, "max_steps": 10**15,
    }  # fmt: skip


def warm_up(**options):
    """Whatever is compiled once is compiled now."""
    tl.simulate(takes_for_ever()[0], None, None, [0.0, 1.0], **options)


class Stop(Exception):
    pass


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, Stop])
def test_an_exception_in_the_progress_callback_cancels(error, executor):
    warm_up(executor=executor)
    calls = []

    def progress(done, total):
        calls.append((done, total))
        raise error

    start = time.monotonic()
    with pytest.raises(error):
        tl.simulate(**endless(), progress=progress, executor=executor)
    assert time.monotonic() - start < 1.0
    assert calls == [(0, 50)]
    warm_up(executor=executor)  # and the next run is as if nothing had been


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
@pytest.mark.parametrize("threads", [1, 3])
def test_ctrl_c_stops_within_a_second(threads):
    warm_up()
    sent = []

    def interrupt():
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.3, interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        tl.simulate(**endless(), threads=threads)
    assert time.monotonic() - sent[0] < 1.0
    timer.join()


def test_cancelled_patients_have_status_6(monkeypatch):
    """The caller gets the exception; the arrays it never sees say what became of whom."""
    seen = {}
    core = solve._core.solve

    def spy(model, **arguments):
        seen["status"], seen["failure_time"] = arguments["status"], arguments["failure_time"]
        core(model, **arguments)

    def progress(done, total):
        if done == 4:
            raise Stop

    monkeypatch.setattr(solve._core, "solve", spy)
    slow = endless()
    # one lane is busy, others go on
    slow["parameters"] = {"omega": np.array([1e-6, 1e-6, 1e6, 1e-6, 1e-6])}
    with pytest.raises(Stop):
        tl.simulate(**slow, progress=progress, threads=1)
    np.testing.assert_array_equal(seen["status"], [0, 0, 6, 0, 0])
    assert np.isfinite(seen["failure_time"][2])


def test_progress_counts_up_to_all():
    calls = []
    model, healthy, sick = drains_what_is_empty()
    columns = patients(healthy, sick, n=300)
    solution = tl.simulate(
        model, columns, None, TIMES, progress=lambda done, total: calls.append((done, total))
    )
    assert solution.status[BAD] == 5
    assert calls[-1] == (300, 300)
    assert calls == sorted(set(calls))


# Unphysical branches
# ------------------------------------------------------------------------------------------------


def fast_binding(**options):
    """Problem B with kon 1e9: all amounts of 60 patients, sampled before the doses."""
    model = reference_models.problem_b()
    for name in model.state_names:
        model.output(f"amount_{name}", symbol("state", name))
    given = {**reference_models.population("B", 60), "kon": np.full(60, 1e9)}
    regimen = tl.Regimen.bolus(100.0, into="STO", every=12.0, doses=4)
    outputs = [f"amount_{name}" for name in model.state_names]
    return tl.simulate(
        model, given, regimen, np.linspace(0.0, 48.0, 97), outputs, samples="before", **options
    )


@pytest.fixture(scope="module")
def tight_binding():
    solution = fast_binding(rtol=1e-9, atol=1e-12)
    assert (solution.status == 0).all()
    return solution.values


def clearly_negative(values, top, rtol, atol):
    """(patients,) True where any sample of any state is below what the
    negativity test lets pass.
    """
    return (values < -(100 * atol + 10 * rtol * top)).any(axis=(1, 2))


def test_the_unphysical_branch_is_there(tight_binding, monkeypatch):
    """Without the test of signs most patients get a success that is wrong: the next test would
    otherwise be empty.
    """

    def all_signed(*arguments):
        programs = programs_of(*arguments)
        return replace(programs, signed=np.ones_like(programs.signed))

    monkeypatch.setattr("teorell.lowering.recent.programs_of", all_signed)
    loose = fast_binding(rtol=1e-3, atol=1e-6)
    assert (loose.status == 0).all()
    top = np.abs(tight_binding).max(axis=1, keepdims=True)
    assert clearly_negative(loose.values, top, 1e-3, 1e-6).mean() > 0.5


@pytest.mark.parametrize(
    ("rtol", "atol", "least"),
    [(1e-3, 1e-9, 1.0), (1e-3, 1e-6, 0.6), (1e-4, 1e-7, 0.9), (1e-4, 1e-5, 0.9)],
)
@pytest.mark.parametrize("method", executors.METHODS)
def test_very_fast_binding_is_never_negative_in_silence(method, rtol, atol, least, tight_binding):
    """L-stable methods step over to a branch where the free target is negative: told, or avoided,
    not returned.
    """
    loose = fast_binding(rtol=rtol, atol=atol, method=method)
    assert set(loose.status.tolist()) <= {0, 5}
    kept = loose.status == 0
    assert kept.mean() >= least, "the test of signs gives up too easily"
    values, exact = loose.values[kept], tight_binding[kept]
    top = np.abs(exact).max(axis=1, keepdims=True)
    assert not clearly_negative(values, top, rtol, atol).any()
    assert (np.abs(values - exact) < 10 * (rtol * top + atol)).all()


# Accumulators
# --------------------------------------------------------------------------------------------------


def saturable(accumulators=(), last=True):
    """Two compartments with time in them, and integrals of what they do beside them, before or
    after in order.
    """
    model = tl.Model("with accumulators")
    (k,) = model.parameters(k=0.7)

    def accumulate():
        return [model.state(name, signed=True, controlled=False) for name in accumulators]

    extra = [] if last else accumulate()
    a, b, c = model.states("a", "b", "c")
    extra = extra or accumulate()
    t = model.time
    model.flow(a, b, 1e3 * a / (1.0 + a))
    model.flow(b, a, 50.0 * b)
    model.flow(b, c, tl.where(t < 5.0, 0.2, 0.9) * b)
    model.flow(c, None, k * c * (1.0 + 0.5 * tl.sin(t)))
    integrands = {"auc": b, "square": a * b, "clock": tl.cos(t), "huge": 1e12 * tl.exp(-c) * a}
    for name, state in zip(accumulators, extra, strict=True):
        model.rate(state, integrands[name])
    for name, state in zip("abc", (a, b, c), strict=True):
        model.output(f"amount_{name}", state)
    for name, state in zip(accumulators, extra, strict=True):
        model.output(f"integral_{name}", state)
    return model


REGIMEN = tl.Regimen.bolus(3.0, into="a", every=4, doses=2) + tl.Regimen.infusion(
    1.0, into="b", duration=2, time=1
)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("method", executors.METHODS)
@pytest.mark.parametrize("last", [True, False], ids=["last", "first"])
@pytest.mark.parametrize(
    "accumulators", [("auc",), ("clock", "huge"), ("huge", "square", "auc", "clock")]
)
def test_accumulators_change_no_bit(accumulators, last, method, executor):
    given, options = {"k": np.linspace(0.2, 2.0, 11)}, {"method": method, "executor": executor}
    plain = tl.simulate(saturable(), given, REGIMEN, TIMES, **options)
    more = tl.simulate(saturable(accumulators, last), given, REGIMEN, TIMES, **options)
    assert (plain.status == 0).all()
    np.testing.assert_array_equal(more.values[:, :, :3], plain.values)
    for field in FIELDS[1:]:
        np.testing.assert_array_equal(getattr(more, field), getattr(plain, field), err_msg=field)


@pytest.mark.parametrize("kind", ["A", "B"])
def test_accumulators_change_no_bit_of_the_yardstick(kind):
    make = {"A": reference_models.problem_a, "B": reference_models.problem_b}[kind]
    given, regimen = (
        reference_models.population(kind, 12),
        tl.Regimen.bolus(100.0, into="STO", every=12, doses=4),
    )
    times = np.linspace(0.0, 48.0, 97)
    model = make()
    auc = model.state("auc_liver", controlled=False)
    liver = symbol("state", "LIV" if kind == "A" else "LIVe")
    model.rate(auc, liver)
    model.output("auc_liver", auc)
    plain = tl.simulate(make(), given, regimen, times, ["venous"])
    more = tl.simulate(model, given, regimen, times, ["venous", "auc_liver"])
    np.testing.assert_array_equal(more["venous"], plain["venous"])
    np.testing.assert_array_equal(more.steps, plain.steps)
    np.testing.assert_array_equal(more.rejected, plain.rejected)
    assert (np.diff(more["auc_liver"], axis=1) > 0).all()


def test_accumulators_are_right():
    """clock integrates cos t; auc of a state that obeys a closed form."""
    solution = tl.simulate(saturable(("clock",)), None, REGIMEN, TIMES, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(solution["integral_clock"][0], np.sin(TIMES), atol=1e-6)
    model = tl.Model("auc")
    (x,) = model.states("x")
    model.flow(x, None, 0.5 * x)
    model.rate(model.state("auc", controlled=False), x)
    solution = tl.simulate(
        model, None, tl.Regimen.bolus(10.0, into="x"), TIMES, rtol=1e-8, atol=1e-10
    )
    np.testing.assert_allclose(solution["auc"][0], 20.0 * (1.0 - np.exp(-0.5 * TIMES)), rtol=1e-7)


# Conditions on time
# --------------------------------------------------------------------------------------------------

ENDS = np.array(
    [
        -3.0,
        0.0,
        1e-9,
        0.1,
        0.25,
        2.0 / 3.0,
        3.0,
        4.0,
        4.0 * (1 + 1e-15),
        7.75,
        9.999,
        10.0,
        11.0,
        1e6,
    ]
)


def piecewise(k, start, rate, until, times):
    """x' = -k x + (rate while t < until), x(0) = start."""
    until = np.maximum(until, 0.0)
    on, off = np.minimum(times, until), np.maximum(times - until, 0.0)
    return (start * np.exp(-k * on) + rate / k * (1.0 - np.exp(-k * on))) * np.exp(-k * off)


WAYS = {
    "time < T": lambda t, T: tl.where(t < T, 2.0, 0.0),
    "time <= T": lambda t, T: tl.where(t <= T, 2.0, 0.0),
    "time >= T": lambda t, T: tl.where(t >= T, 0.0, 2.0),
    "T > time": lambda t, T: tl.where(T > t, 2.0, 0.0),  # noqa: SIM300
    "3 time - T < 2 T": lambda t, T: tl.where(3.0 * t - T < 2.0 * T, 2.0, 0.0),
    "-time / 2 > -T / 2": lambda t, T: tl.where(-t / 2.0 > -T / 2.0, 2.0, 0.0),
    "product": lambda t, T: 2.0 * tl.where(t < T, 1.0, 0.0) * tl.where(t < T + 1.0, 1.0, 5.0),
}


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("way", WAYS)
def test_condition_on_time_ends_exactly(way, executor):
    """T for every patient: never, at 0, at samples, at a dose, an ulp from it, at the end, beyond
    it.
    """
    model = tl.Model("condition")
    k, until = model.parameters(k=0.4, until=5.0)
    (x,) = model.states("x", initial=1.0)
    model.rate(x, WAYS[way](model.time, until) - k * x)
    regimen = tl.Regimen.bolus(5.0, into="x", time=4.0)
    solution = tl.simulate(
        model, {"until": ENDS}, regimen, TIMES, rtol=1e-11, atol=1e-13, executor=executor
    )
    assert (solution.status == 0).all()
    dose = np.where(TIMES >= 4.0, 5.0 * np.exp(-0.4 * (TIMES - 4.0)), 0.0)
    exact = piecewise(0.4, 1.0, 2.0, ENDS[:, None], TIMES[None, :]) + dose
    np.testing.assert_allclose(solution["x"], exact, rtol=2e-10)
    assert solution.rejected.max() <= 1, "no step should try to cross the jump"


def test_condition_on_time_is_an_infusion():
    """The same input as a condition and as an infusion; each with an end of its own for every
    patient.
    """
    ends = ENDS[(ENDS > 0) & (ENDS < 100)]
    by_condition, by_dose = tl.Model("condition"), tl.Model("dose")
    (x,) = by_condition.states("x")
    (until,) = by_condition.parameters(until=1.0)
    by_condition.rate(x, tl.where(by_condition.time < until, 2.0, 0.0) - 3.0 * x / (1.0 + x))
    (x,) = by_dose.states("x")
    by_dose.flow(x, None, 3.0 * x / (1.0 + x))
    options = {"rtol": 1e-10, "atol": 1e-12}
    a = tl.simulate(by_condition, {"until": ends}, None, TIMES, **options)
    b = tl.simulate(
        by_dose, None, tl.Regimen.infusion(2.0 * ends, into="x", duration=ends), TIMES, **options
    )
    np.testing.assert_allclose(a["x"], b["x"], rtol=1e-8, atol=1e-12)


def test_window_with_a_width_of_its_own():
    """On from `start` for `width`; windows that touch, that are empty, and one
    that is always on.
    """
    model = tl.Model("window")
    start, width = model.parameters(start=1.0, width=2.0)
    (x,) = model.states("x")
    t = model.time
    model.rate(x, tl.where(t < start, 0.0, tl.where(t < start + width, 2.0, 0.0)))
    starts, widths = np.array([1.0, 2.5, 0.0, 9.0, 3.0]), np.array([2.0, 0.0, 100.0, 5.0, 0.25])
    solution = tl.simulate(model, {"start": starts, "width": widths}, None, TIMES)
    exact = 2.0 * np.clip(TIMES[None, :] - starts[:, None], 0.0, widths[:, None])
    np.testing.assert_allclose(solution["x"], exact, rtol=1e-12, atol=1e-12)


def test_condition_on_time_in_an_output():
    """A sample at the boundary is on the side of [T, ...)."""
    model = tl.Model("flag")
    (until,) = model.parameters(until=5.0)
    (x,) = model.states("x")
    model.rate(x, tl.where(model.time < until, 1.0, 0.0))
    model.output("on", tl.where(model.time < until, 1.0, 0.0))
    model.output("x", x)
    ends = np.array([0.0, 0.25, 5.0, 10.0, 20.0])
    solution = tl.simulate(model, {"until": ends}, None, TIMES)
    np.testing.assert_array_equal(solution["on"], (TIMES[None, :] < ends[:, None]).astype(float))
    np.testing.assert_allclose(solution["x"], np.minimum(TIMES[None, :], ends[:, None]), rtol=1e-12)
