"""What must always hold: mass balance, linearity, and a patient's bits, whatever surrounds the
patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import teorell as tl
from hypothesis import example, given, settings
from hypothesis import strategies as st
from teorell.benchmark import reference_models
from teorell.engine import executors
from teorell.model.expression import symbol
from test_exact import linear, truth, worst

TIMES = np.linspace(0.0, 48.0, 97)
FIELDS = ("values", "status", "steps", "rejected", "failure_time")
BUILDS = {build["name"]: build for build in executors.instruction_sets()}
EXECUTORS = (
    ["machine_code", "interpreter"] if executors.llvmlite_missing() is None else ["interpreter"]
)


def same(a, b, patients_a=slice(None), patients_b=slice(None), times=slice(None)):
    """Equal, bit for bit (NaN is equal to NaN): patients_a of a, and patients_b of b, at `times` of
    a.
    """
    for field in FIELDS:
        x, y = getattr(a, field)[patients_a], getattr(b, field)[patients_b]
        np.testing.assert_array_equal(x[:, times] if field == "values" else x, y, err_msg=field)


# Mass balance
# --------------------------------------------------------------------------------------------------

REFERENCE = {"A": reference_models.problem_a, "B": reference_models.problem_b}


@pytest.mark.parametrize("samples", ["after", "before"])
@pytest.mark.parametrize("method", executors.METHODS)
@pytest.mark.parametrize("kind", REFERENCE)
def test_mass_balance_with_excreta(kind, method, samples):
    """All that was given is somewhere: in the body, in urine, faeces, or metabolised; also between
    the steps.
    """
    model = REFERENCE[kind]()
    # an integral; not drug
    counted = [name for name in model.state_names if name not in ("AUC", "TR")]
    for name in counted:
        model.output(f"amount_{name}", symbol("state", name))
    regimen = tl.Regimen.bolus(100.0, into="STO", every=12, doses=4) + tl.Regimen.infusion(
        60.0, into="VEN", duration=5.0, time=3.25, every=4, doses=3
    )
    times = np.sort(np.append(TIMES, [0.01, 11.999, 12.0001, 24.0 * (1 + 1e-12), 31.7]))
    solution = tl.simulate(
        model, reference_models.population(kind, 24), regimen, times,
        [f"amount_{name}" for name in counted], method=method, samples=samples,
    )  # fmt: skip
    assert (solution.status == 0).all()
    side = "right" if samples == "after" else "left"
    given = 100.0 * np.searchsorted([0.0, 12.0, 24.0, 36.0], times, side=side)
    given += sum(60.0 * np.clip((times - start) / 5.0, 0.0, 1.0) for start in (3.25, 7.25, 11.25))
    assert (np.abs(solution.values.sum(axis=2) - given) <= 1e-11 * given).all()


@pytest.mark.parametrize("rate", [1e4, 1e7])
def test_mass_balance_of_a_fast_cycle(rate):
    """I/(h gamma) is added to the rates and loses digits where they are fast beside 1/h: a few
    times 2^-53 rate h.
    """
    model = tl.Model("cycle")
    a, b, c, out = model.states("a", "b", "c", "out")
    model.flow(a, b, rate * a / (1.0 + a))
    model.flow(b, c, 0.3 * rate * b)
    model.flow(c, a, 2.0 * rate * c * c)
    model.flow(c, out, 0.3 * c)
    solution = tl.simulate(model, None, tl.Regimen.bolus(10.0, into="a", every=6, doses=3), TIMES)
    assert solution.status.tolist() == [0]
    given = 10.0 * np.searchsorted([0.0, 6.0, 12.0], TIMES, side="right")
    assert np.abs(solution.values[0].sum(axis=1) - given).max() < 1e-15 * rate * 30.0


# Linearity
# --------------------------------------------------------------------------------------------------

ORAL = {
    ("gut", "central"): 1.3, ("central", None): 0.3, ("central", "tissue"): 1.1, ("tissue",
    "central"): 0.4,
}  # fmt: skip
NAMES = ("central", "gut", "tissue")  # in the order of `linear`


def test_dose_proportionality():
    """Twice the dose is twice the curve; bit for bit if the absolute tolerance doubles too, for 2
    is a power of 2.
    """
    model, _, _ = linear(ORAL)

    def run(factor, atol):
        regimen = tl.Regimen.bolus(
            100.0 * factor, into="gut", every=8, doses=3
        ) + tl.Regimen.infusion(30.0 * factor, into="central", duration=2, time=5)
        return tl.simulate(model, None, regimen, TIMES, rtol=1e-9, atol=atol)

    one = run(1.0, 1e-12)
    for factor in (2.0, 0.25, 1024.0):
        np.testing.assert_array_equal(run(factor, 1e-12 * factor).values, factor * one.values)
    assert worst(run(3.7, 1e-12).values[0], 3.7 * one.values[0]) < 1e-8


def test_superposition():
    model, _, _ = linear(ORAL)
    a = tl.Regimen.bolus(100.0, into="gut", every=8, doses=3)
    b = tl.Regimen.infusion(30.0, into="central", duration=2, time=5, every=11, doses=2)
    c = tl.Regimen.bolus(7.0, into="tissue", time=30.1)
    run = partial(tl.simulate, model, None, times=TIMES, rtol=1e-10, atol=1e-12)
    together = run(a + b + c).values[0]
    assert worst(sum(run(regimen).values[0] for regimen in (a, b, c)), together) < 2e-9
    # the order of writing is nothing
    np.testing.assert_array_equal(run(c + a + b).values[0], together)


def test_split_infusions_are_the_infusion():
    """In time into pieces that follow each other, and in rate into pieces at once."""
    model, matrix, names = linear(ORAL)
    run = partial(tl.simulate, model, None, times=TIMES, rtol=1e-10, atol=1e-12)
    whole = run(tl.Regimen.infusion(60.0, into="central", duration=6.0, time=2.0)).values[0]
    exact = truth(matrix, TIMES, (), [(2.0, 8.0, names.index("central"), 60.0)])
    assert worst(whole, exact) < 2e-9
    in_time = run(
        tl.Regimen.infusion(10.0, into="central", duration=1.0, time=2.0, every=1.0, doses=6)
    ).values[0]
    assert worst(in_time, exact) < 2e-9
    rates = [
        tl.Regimen.infusion(share, into="central", duration=6.0, time=2.0)
        for share in (10.0, 20.0, 30.0)
    ]
    assert worst(run(rates[0] + rates[1] + rates[2]).values[0], exact) < 2e-9


# The bits of a patient
# ----------------------------------------------------------------------------------------------


def stress():
    """Time, conditions on time that differ by patient, kinks, stiffness, saturation; some patients
    fail.
    """
    model = tl.Model("stress")
    k, fast, until, poison, start = model.parameters(
        k=0.7, fast=1e4, until=7.0, poison=0.0, start=1.0
    )
    gut, central, bound, effect = model.states("gut", "central", "bound", "effect")
    t = model.time
    model.initial(effect, start)
    model.flow(gut, central, tl.where(t < until, 1.2, 0.3) * gut)
    model.flow(central, None, k * central / (3.0 + central))
    model.flow(central, bound, fast * central * 1e-3 - fast * bound)
    model.rate(
        effect, 0.2 * (1.0 + tl.sin(t)) - tl.hill(central, 5.0, 1.0 + k) * effect - 0.1 * effect
    )
    model.rate(effect, poison * effect * effect)  # blows up where poison is not zero
    model.rate(effect, tl.max(central - 20.0, 0.0) * 1e-3)
    model.output("cp", central / 3.0)
    model.output("effect", effect)
    model.output("gut", gut)
    return model


@dataclass
class Population:
    """Inputs that can be rearranged: arrays of parameters, and a regimen for every patient."""

    parameters: dict[str, np.ndarray]
    regimens: list[tl.Regimen]

    def __getitem__(self, rows):
        return Population(
            {name: column[rows] for name, column in self.parameters.items()},
            [self.regimens[i] for i in np.arange(len(self.regimens))[rows]],
        )

    def run(self, times=TIMES, **options):
        return tl.simulate(stress(), self.parameters, self.regimens, times, **options)


N = 43  # no multiple of any lane width


def population(n=N, seed=5, poisoned=()):
    rng = np.random.default_rng(seed)
    parameters = {
        "k": rng.uniform(0.3, 2.0, n), "fast": 10.0 ** rng.uniform(1.0, 6.0, n),
        "until": rng.uniform(-2.0, 60.0, n), "start": rng.uniform(0.0, 2.0, n),
        "poison": np.zeros(n),
    }  # fmt: skip
    parameters["until"][rng.integers(0, n, n // 4)] = 12.0  # at a dose
    parameters["poison"][list(poisoned)] = 20.0
    regimens = [
        tl.Regimen.bolus(
            rng.uniform(10, 100),
            into="gut",
            every=rng.choice([6.0, 11.3]),
            doses=int(rng.integers(1, 5)),
        )
        + tl.Regimen.infusion(
            rng.uniform(5, 50),
            into="central",
            duration=rng.uniform(0.1, 8.0),
            time=rng.uniform(0, 20),
        )
        for _ in range(n)
    ]
    return Population(parameters, regimens)


@pytest.fixture(scope="module")
def whole():
    """All patients at once, in the default way."""
    solution = population().run()
    assert (solution.status == 0).all()
    assert len(set(solution.steps.tolist())) > N // 2, (
        "the patients are too alike for this to be a test"
    )
    return solution


def test_permutation(whole):
    order = np.random.default_rng(1).permutation(N)
    same(whole, population()[order].run(), patients_a=order)
    same(whole, population()[::-1].run(), patients_a=slice(None, None, -1))


@pytest.mark.parametrize("executor", EXECUTORS)
def test_one_patient_alone(whole, executor):
    for i in range(N):
        same(whole, population()[i : i + 1].run(executor=executor), patients_a=slice(i, i + 1))


@pytest.mark.parametrize("n", [2, 4, 7, 8, 9, 16, 17, 31])
def test_padding(whole, n):
    """Any number of patients, so any number of empty lanes."""
    same(whole, population()[:n].run(), patients_a=slice(0, n))
    same(whole, population()[N - n :].run(), patients_a=slice(N - n, N))


def test_repetition(whole):
    """The same patient many times, and twice the same run."""
    alike = population()[np.full(21, 13)].run()
    same(whole, alike, patients_a=np.full(21, 13))
    same(whole, population().run())


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("isa", BUILDS)
@pytest.mark.parametrize("threads", [1, 2, 3, 16])
def test_lane_width_executor_threads(isa, executor, threads, monkeypatch):
    """One set of bits for all builds with a fused multiply-add, and one for x86-64-v2, which has
    none.
    """
    first = next(name for name, build in BUILDS.items() if build["fma"] == BUILDS[isa]["fma"])
    monkeypatch.setenv("TEORELL_ISA", first)
    base = population().run(threads=2)
    monkeypatch.setenv("TEORELL_ISA", isa)
    same(base, population().run(executor=executor, threads=threads))


@pytest.mark.parametrize("method", executors.METHODS)
@pytest.mark.parametrize("executor", EXECUTORS)
def test_neighbours_that_fail(method, executor):
    """Every third patient blows up, at its own time; the others never notice."""
    poisoned = list(range(1, N, 3))
    healthy = [i for i in range(N) if i not in poisoned]
    kept = population().run(method=method, executor=executor)
    mixed = population(poisoned=poisoned).run(method=method, executor=executor)
    assert (mixed.status[poisoned] != 0).all()
    assert (mixed.status[healthy] == 0).all()
    same(kept, mixed, patients_a=healthy, patients_b=healthy)
    same(
        mixed,
        population(poisoned=poisoned)[poisoned].run(method=method, executor=executor),
        patients_a=poisoned,
    )


def test_lane_neighbours_of_any_kind():
    """A patient beside neighbours with other parameters, doses and numbers of events."""
    one = population()[7:8]
    alone = one.run()
    for seed in range(3):
        other = population(15, seed=seed, poisoned=(2, 9))
        mixed = Population(
            {name: np.concatenate([column[:4], one.parameters[name], column[4:]])
             for name, column in other.parameters.items()},
            other.regimens[:4] + one.regimens + other.regimens[4:],
        )  # fmt: skip
        same(mixed.run(threads=1), alone, patients_a=slice(4, 5))


def test_scalars_and_columns_are_the_same():
    """A number for all, an array of equal numbers, a strided view; one regimen, or a list of equal
    ones.
    """
    regimen = tl.Regimen.bolus(50.0, into="gut", every=12, doses=3)
    run = partial(tl.simulate, stress(), times=TIMES)
    wide = np.full((9, 3), 0.9)
    a = run({"k": np.full(9, 0.9), "until": 12.0}, regimen)
    same(a, run({"k": wide[:, 1], "until": np.full(9, 12.0)}, [regimen] * 9))
    same(
        a,
        run({"k": 0.9, "until": 12.0}, tl.Regimen.bolus([50.0] * 9, into="gut", every=12, doses=3)),
    )
    same(a, run({"k": 0.9, "until": 12.0}, regimen), patients_a=slice(0, 1))


def test_outputs_chosen_change_nothing(whole):
    for chosen in (["gut"], ["effect", "cp"], ["cp"]):
        found = population().run(outputs=chosen)
        for name in chosen:
            np.testing.assert_array_equal(found[name], whole[name])
        np.testing.assert_array_equal(found.steps, whole.steps)


# Grids
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", ["after", "before"])
@pytest.mark.parametrize("method", executors.METHODS)
def test_the_end_of_the_grid_changes_nothing(method, samples):
    long = population().run(samples=samples, method=method)
    for k in (1, 2, 24, 25, 26, 60, 96):
        short = population().run(TIMES[:k], samples=samples, method=method)
        np.testing.assert_array_equal(short.values, long.values[:, :k])
        assert (short.steps <= long.steps).all()


@pytest.mark.parametrize("samples", ["after", "before"])
def test_the_grid_changes_nothing(samples):
    """Sub-grids, other grids with common points, repeated and irregular times."""
    dense = np.sort(np.concatenate([np.linspace(0.0, 48.0, 769), np.geomspace(1e-6, 47.0, 50)]))
    full = population().run(dense, samples=samples)
    rng = np.random.default_rng(2)
    for rows in ([0], [len(dense) - 1], slice(None, None, 7), np.sort(rng.choice(len(dense), 40))):
        part = population().run(dense[rows], samples=samples)
        np.testing.assert_array_equal(part.values, full.values[:, rows])
    whole_way = population().run(dense[-1:], samples=samples)
    np.testing.assert_array_equal(whole_way.steps, full.steps)
    np.testing.assert_array_equal(whole_way.rejected, full.rejected)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_yardstick_problems_keep_their_bits(executor):
    for kind, model in REFERENCE.items():
        regimen = tl.Regimen.bolus(100.0, into="STO", every=12, doses=4)
        patients = reference_models.population(kind, 21)
        full = tl.simulate(model(), patients, regimen, TIMES, executor=executor)
        some = {name: column[[20, 3, 11]] for name, column in patients.items()}
        part = tl.simulate(model(), some, regimen, TIMES[:50], executor=executor, threads=1)
        np.testing.assert_array_equal(part.values, full.values[[20, 3, 11], :50])


# Regimens
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("every", [0.1, 0.3, 1.0 / 3.0, 0.7, 1e-3])
@pytest.mark.parametrize("first", [0.0, 0.1, 2.0 / 3.0])
@pytest.mark.parametrize("kind", ["bolus", "infusion"])
def test_multiples_of_an_interval_meet_a_grid(every, first, kind):
    """first + k * every and the same from linspace differ by an ulp; each sample is still on its
    side of its dose.
    """
    model = tl.Model("collector")
    (x,) = model.states("x")
    model.rate(x, 0.0 * x)
    doses = 60
    times = np.linspace(first, first + (doses - 1) * every, doses)
    k = np.arange(doses)
    if kind == "bolus":
        regimen = tl.Regimen.bolus(1.0, into="x", time=first, every=every, doses=doses)
        expected = {"after": k + 1.0, "before": k + 0.0}
    else:  # back to back: ends meet starts
        regimen = tl.Regimen.infusion(
            1.0, into="x", duration=every, time=first, every=every, doses=doses
        )
        expected = {"after": k + 0.0, "before": k + 0.0}
    for samples, exact in expected.items():
        solution = tl.simulate(model, None, regimen, times, samples=samples)
        assert solution.status.tolist() == [0]
        np.testing.assert_allclose(solution.values[0, :, 0], exact, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("large", "small"), [(0.3, 0.1), (1e3, 0.1), (1e6, 1e-7), (1e-7, 1e6)])
def test_nothing_flows_after_the_last_infusion(large, small):
    """Rates add up and are taken away again; what rounding leaves must not go on as an infusion,
    least a negative one.
    """
    model = tl.Model("collector")
    (x,) = model.states("x")
    model.rate(x, 0.0 * x)
    regimen = tl.Regimen.infusion(large, into="x", duration=1.1) + tl.Regimen.infusion(
        small, into="x", duration=2.3, time=0.7, every=0.9, doses=3
    )
    values = tl.simulate(model, None, regimen, np.linspace(5.0, 1e6, 11)).values[0, :, 0]
    np.testing.assert_allclose(values, large + 3 * small, rtol=1e-12)
    np.testing.assert_allclose(values, values[0], rtol=1e-15)  # the rounding of the dense output


@pytest.mark.parametrize("gap", [1e-6, 6e-6, 1e-4, 1e-9, 1e-12])
@pytest.mark.parametrize("amount", [0.0, 1.0])
def test_events_as_close_as_a_first_step(gap, amount):
    """Where start + h rounds to the next event though h is shorter than the way there, no step of
    length 0 follows.
    """
    rng = np.random.default_rng(4)
    model, matrix, names = linear(ORAL)
    starts = np.concatenate([np.arange(1, 200) / 8, rng.uniform(0.0, 30.0, 500)])
    regimen = tl.Regimen.infusion(amount, into="central", time=starts, duration=gap)
    solution = tl.simulate(model, None, regimen, [31.0], rtol=1e-9, atol=1e-11)
    np.testing.assert_array_equal(solution.status, 0)
    for start, found in zip(starts[:9].tolist(), solution.values[:9, 0], strict=True):
        exact = truth(matrix, [31.0], (), [(start, start + gap, names.index("central"), amount)])[0]
        np.testing.assert_allclose(found, exact, rtol=1e-6, atol=1e-10)


quarters = st.integers(0, 40).map(lambda i: i / 4)
anywhen = quarters | st.floats(0.0, 10.0).map(lambda t: round(t, 3))
durations = st.sampled_from([0.0, 1e-15, 1e-6]) | st.integers(0, 48).map(lambda i: i / 4)
amounts = st.sampled_from([0.0, 1.0, 1e-6]) | st.floats(0.1, 1000.0)


@st.composite
def lines(draw):
    """One line of a regimen, as keywords; times on a grid of quarters mostly, so that ties are
    frequent.
    """
    line = {"into": draw(st.sampled_from(NAMES)), "amount": draw(amounts), "time": draw(anywhen)}
    line["doses"] = draw(st.integers(1, 4))
    line["every"] = draw(st.sampled_from([0.25, 1.0, 2.5, 0.1]))
    line["duration"] = draw(st.none() | durations)
    return line


def regimen_of(given):
    whole = tl.Regimen.none()
    for line in given:
        common = {key: line[key] for key in ("amount", "into", "time", "every", "doses")}
        duration = line["duration"]
        whole += (
            tl.Regimen.bolus(**common)
            if duration is None
            else tl.Regimen.infusion(**common, duration=duration)
        )
    return whole


def exact_doses(given):
    """Boluses and infusions for `truth`; what ends where it starts, to 16 ulp, is a bolus."""
    boluses, infusions = [], []
    for line in given:
        k = NAMES.index(line["into"])
        for i in range(line["doses"]):
            start = line["time"] + i * line["every"]
            end = start + (line["duration"] or 0.0)
            if end - start <= 16 * np.spacing(end):
                boluses.append((start, k, line["amount"]))
            else:
                infusions.append((start, end, k, line["amount"]))
    return boluses, infusions


def apart(given, times):
    """No sample lies within rounding of an event unless it is the event: the truth compares times
    exactly.
    """
    boluses, infusions = exact_doses(given)
    stops = np.array([0.0, *(b[0] for b in boluses), *(t for i in infusions for t in i[:2])])
    gaps = np.abs(np.subtract.outer(np.asarray(times), stops))
    return not ((gaps > 0) & (gaps < 1e-9)).any()


def dose(into="gut", amount=100.0, time=0.0, every=1.0, doses=1, duration=None):
    return locals()


@settings(max_examples=80)
@given(
    st.lists(lines(), min_size=1, max_size=4),
    st.lists(anywhen, min_size=1, max_size=12).map(sorted),
    st.sampled_from(["after", "before"]),
)
@example(
    [dose(time=5.0), dose(time=5.0, duration=2.0), dose("central", time=5.0, amount=3.0)],
    [5.0, 5.0],
    "before",
)
@example([dose(time=0.0, duration=0.0), dose("central", time=0.0)], [0.0, 1.0], "after")
@example([dose(time=9.0, doses=4)], [0.0, 8.75], "after")
@example([dose("central", duration=12.0, every=0.25, doses=4)], [1.0, 10.0], "before")
@example([dose(duration=1e-15, time=10.0)], [10.0], "after")
@example([dose(amount=0.0, duration=1.0)], [0.5], "after")
def test_any_regimen_against_the_matrix_exponential(given, times, samples):
    model, matrix, names = linear(ORAL)
    assert names == list(NAMES)
    solution = tl.simulate(
        model, None, regimen_of(given), times, rtol=1e-9, atol=1e-11, samples=samples
    )
    assert solution.status.tolist() == [0]
    if apart(given, times):
        boluses, infusions = exact_doses(given)
        exact = truth(matrix, times, boluses, infusions, samples)
        total = sum(line["amount"] * line["doses"] for line in given)
        np.testing.assert_allclose(solution.values[0], exact, rtol=0, atol=1e-10 + 3e-8 * total)
    # The same doses in any order, and beside other patients, are the same bits.
    turned = regimen_of(given[::-1])
    others = [regimen_of([dose(time=2.0, duration=1.0)]), turned, None, regimen_of(given)]
    beside = tl.simulate(model, None, others, times, rtol=1e-9, atol=1e-11, samples=samples)
    np.testing.assert_array_equal(beside.values[3], solution.values[0])
    np.testing.assert_allclose(beside.values[1], solution.values[0], rtol=1e-6, atol=1e-9)


@settings(max_examples=40)
@given(st.lists(lines(), min_size=1, max_size=3), st.integers(1, 40))
def test_later_samples_and_doses_leave_earlier_values(given, k):
    """times[:k] are the same bits, and what is given after the last sample is not felt."""
    model, _, _ = linear(ORAL)
    times = np.arange(41) / 4
    whole = tl.simulate(model, None, regimen_of(given), times).values[0]
    cut = tl.simulate(model, None, regimen_of(given), times[:k]).values[0]
    np.testing.assert_array_equal(cut, whole[:k])
    later = regimen_of(
        [
            *given,
            dose(time=times[k - 1] + 0.125, amount=1e3),
            dose("central", time=50.0, duration=3.0),
        ]
    )
    felt = tl.simulate(model, None, later, times[:k], rtol=1e-9, atol=1e-11).values[0]
    unfelt = tl.simulate(model, None, regimen_of(given), times[:k], rtol=1e-9, atol=1e-11).values[0]
    np.testing.assert_allclose(felt, unfelt, rtol=1e-6, atol=1e-7)
