"""Rules of doses that change over time: against histories written out dose by dose, what NONMEM's
help says, and derivatives against differences, both ways.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import teorell as tl
from hypothesis import given, settings
from hypothesis import strategies as st
from teorell import EventTable, InputError, Regimen
from teorell.derivatives.differentiate import _numpy_problem
from teorell.simulation.inputs import inputs_of

TIGHT = {"rtol": 1e-10, "atol": 1e-12}
TIMES = np.linspace(0.0, 24.0, 33) + 0.0123  # no event of the tests is at a sample


def model_with(rules):
    """A depot and a compartment with saturable elimination, both with rules of doses or without."""
    model = tl.Model("rules in time")
    k, ka = model.parameters(k=0.3, ka=1.1)
    lag, f, rate, duration = model.parameters(lag=0.0, f=1.0, rate=9.0, duration=2.0)
    gut, central = model.states("gut", "central")
    model.initial(central, 2.0 * k)
    model.flow(gut, central, ka * gut)
    model.flow(central, None, 10.0 * k * central / (central + 8.0))
    model.output("gut", gut)
    model.output("central", central)
    if rules:
        model.dosing(
            gut, lag=2 * lag, bioavailability=f * f, rate=rate * (1 + f), duration=duration
        )
        model.dosing(central, lag=lag, bioavailability=f, rate=rate, duration=duration)
    return model


MODEL, PLAIN = model_with(True), model_with(False)


def at(steps, time):
    """The value that holds at a time, of (times, values)."""
    return steps[1][max(int(np.searchsorted(steps[0], time, side="right")) - 1, 0)]


def rules_at(into, steps, time):
    lag, f, rate, duration = (at(steps[n], time) for n in ("lag", "f", "rate", "duration"))
    return (2 * lag, f * f, rate * (1 + f), duration) if into == "gut" else (lag, f, rate, duration)


def written_out(lines, steps):
    """The doses of lines (kind, into, time, amount, every, doses, extent) one by one, for PLAIN."""
    regimen = Regimen.none()
    for kind, into, time, amount, every, doses, extent in lines:
        lag = rules_at(into, steps, time)[0]
        for k in range(doses):
            start = time + lag + k * every
            _, f, _, duration = rules_at(into, steps, start)
            if kind == "bolus":
                regimen += Regimen.bolus(f * amount, into, time=start)
            elif kind == "modelled rate":
                regimen += followed(into, start, f * amount, steps)
            elif kind == "rate":
                regimen += Regimen.infusion(f * amount, into, rate=extent, time=start)
            else:
                width = extent if kind == "duration" else duration
                regimen += Regimen.infusion(f * amount, into, duration=width, time=start)
    return regimen


def followed(into, start, amount, steps):
    """An infusion at the rate of every moment, piece by piece."""
    changes = sorted({t for n in ("rate", "f") for t in steps[n][0] if t > start})
    regimen = Regimen.none()
    for change in (*changes, np.inf):
        rate = rules_at(into, steps, start)[2]
        piece = min(amount, rate * (change - start))
        regimen += Regimen.infusion(piece, into, rate=rate, time=start)
        amount, start = amount - piece, change
        if amount <= 0.0:
            break
    return regimen


def regimen_of(lines):
    found = Regimen.none()
    for kind, into, time, amount, every, doses, extent in lines:
        fields = {"time": time, "every": every, "doses": doses}
        if kind == "bolus":
            found += Regimen.bolus(amount, into, **fields)
            continue
        modelled = kind.startswith("modelled")
        name = kind.split()[-1]
        found += Regimen.infusion(
            amount, into, **{name: "modelled" if modelled else extent}, **fields
        )
    return found


def given_steps(steps):
    return {name: tl.stepwise(*one) for name, one in steps.items()}


LINES = [
    ("bolus", "gut", 0.5, 30.0, 3.1, 5, 0.0),
    ("modelled rate", "central", 1.2, 40.0, 4.3, 3, 0.0),
    ("modelled rate", "gut", 2.0, 60.0, 6.4, 3, 0.0),
    ("modelled duration", "central", 2.2, 20.0, 3.7, 5, 0.0),
    ("duration", "gut", 0.7, 25.0, 3.7, 5, 2.25),
    ("rate", "central", 0.9, 20.0, 3.7, 5, 11.0),
]
STARTS = [0.0, 3.3, 7.1, 11.7, 15.0]
STEPS = {
    "lag": (STARTS, [0.3, 0.9, 0.2, 0.5, 0.7]),
    "f": ([0.0, 3.0, 8.0, 12.4], [1.0, 0.5, 0.25, 0.8]),
    "rate": (STARTS, [4.0, 12.0, 6.0, 3.0, 9.0]),
    "duration": ([0.0, 4.9, 10.0], [1.5, 0.5, 3.0]),
}


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line[0]} {line[1]}")
def test_each_dose_takes_the_rules_of_its_time(line):
    found = tl.simulate(MODEL, given_steps(STEPS), regimen_of([line]), TIMES, **TIGHT)
    expected = tl.simulate(PLAIN, {}, written_out([line], STEPS), TIMES, **TIGHT)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-7, atol=1e-8)


quarters = {"time": st.integers(0, 40), "every": st.integers(2, 30), "amount": st.integers(0, 200)}


@st.composite
def histories(draw):
    """Lines, and the steps of the rules' parameters: times in sixteenths, none of them tied."""
    lines = []
    for number in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from([line[0] for line in LINES]))
        time, every, amount = (draw(quarters[name]) / 4.0 for name in quarters)
        extent = draw(st.integers(1, 12)) / 4.0
        into, doses = draw(st.sampled_from(["gut", "central"])), draw(st.integers(1, 4))
        lines.append((kind, into, time + 0.01 * number, amount, every, doses, extent))
    steps = {}
    for place, (name, low, high) in enumerate(
        [("lag", 0, 20), ("f", 0, 32), ("rate", 8, 200), ("duration", 1, 60)]
    ):
        count = draw(st.integers(1, 4))
        gaps = [draw(st.integers(1, 100)) / 16.0 for _ in range(count)]
        values = [draw(st.integers(low, high)) / 16.0 for _ in range(count)]
        steps[name] = (np.cumsum(gaps) + 0.003 * (place + 1), values)
    return lines, steps


@settings(max_examples=60, deadline=None)
@given(histories())
def test_any_history_written_out(history):
    lines, steps = history
    found = tl.simulate(MODEL, given_steps(steps), regimen_of(lines), TIMES, **TIGHT)
    expected = tl.simulate(PLAIN, {}, written_out(lines, steps), TIMES, **TIGHT)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-6, atol=1e-7)


def accumulating():
    """What goes in stays."""
    model = tl.Model("sum")
    f, lag, rate, duration = model.parameters(f=1.0, lag=0.0, rate=10.0, duration=2.0)
    state = model.state("c")
    model.rate(state, 0.0 * state)
    model.output("c", state)
    model.dosing(state, bioavailability=f, lag=lag, rate=rate, duration=duration)
    return model


SUM = accumulating()


def table(covariates="next", **columns):
    rows = len(columns["TIME"])
    frame = pd.DataFrame({"ID": [1] * rows, **columns})
    events = EventTable(frame, SUM, covariates=covariates)
    return tl.simulate(SUM, events.parameters, events.regimen, events.times, **TIGHT)["c"]


def test_additional_doses_take_the_bioavailability_of_the_next_record():
    """NONMEM's help, bioavail and dose: in effect when the dose is introduced."""
    found = table(
        TIME=[0, 30, 60, 80], AMT=[100, 0, 0, 0], II=[24, 0, 0, 0], ADDL=[3, 0, 0, 0],
        F=[1, 0.5, 0.25, 0.1],
    )  # fmt: skip
    np.testing.assert_allclose(found, [150, 175, 185], rtol=1e-12)


def test_a_lagged_dose_takes_the_bioavailability_of_the_next_record():
    found = table(TIME=[0, 1, 2], AMT=[100, 100, 0], F=[0.1, 1, 1], LAG=[0.5] * 3)
    np.testing.assert_allclose(found, [200], rtol=1e-12)


def test_covariates_of_the_record_before():
    """Of its time, an additional dose comes before the records."""
    found = table(
        "previous", TIME=[0, 24, 30, 60], AMT=[100, 0, 0, 0], II=[24, 0, 0, 0], ADDL=[2, 0, 0, 0],
        F=[1, 0.5, 0.25, 0.125],
    )  # fmt: skip
    np.testing.assert_allclose(found, [200, 200, 225], rtol=1e-12)


def test_the_lag_is_that_of_the_record():
    found = table(
        TIME=[0, 9, 11, 14, 21, 24], AMT=[100] + [0] * 5, II=[10] + [0] * 5, ADDL=[2] + [0] * 5,
        LAG=[3, 0.5, 0.5, 9, 9, 9],
    )  # fmt: skip
    np.testing.assert_allclose(found, [100, 100, 200, 200, 300], rtol=1e-12)


def test_a_modelled_duration_is_that_of_the_lagged_start_and_stays():
    """Start at 1, where the next record says 4; at 3 half has gone in, though D is 1 by then."""
    found = table(
        TIME=[0, 2, 3, 4, 5], AMT=[100, 0, 0, 0, 0], RATE=[-2, 0, 0, 0, 0], LAG=[1.0] * 5,
        DURATION=[9, 4, 1, 1, 1],
    )  # fmt: skip
    np.testing.assert_allclose(found, [25, 50, 75, 100], rtol=1e-12)


def test_a_modelled_rate_is_followed():
    """NONMEM's help, ratepar: between two records it is that of the second, also at the start."""
    model = tl.Model("rate")
    (r,) = model.parameters(r2=1.0)
    state = model.state("c")
    model.rate(state, 0.0 * state)
    model.output("c", state)
    model.dosing(state, rate=r)
    frame = pd.DataFrame(
        {
            "ID": [1] * 6, "TIME": [0, 2, 4, 5, 8, 20], "AMT": [100] + [0] * 5,
            "RATE": [-1] + [0] * 5, "R2": [99.0, 5.0, 20.0, 10.0, 10.0, 1.0],
        }
    )  # fmt: skip
    events = EventTable(frame, model)
    found = tl.simulate(model, events.parameters, events.regimen, events.times, **TIGHT)["c"]
    np.testing.assert_allclose(found, [10, 50, 60, 90, 100], rtol=1e-12)


def test_constant_infusions_take_no_bioavailability():
    model = tl.Model("one")
    (f,) = model.parameters(f=0.5)
    state = model.state("c")
    model.flow(state, None, 0.5 * state)
    model.output("c", state)
    model.dosing(state, bioavailability=f)
    regimen = Regimen.infusion(0, state, rate=10, steady_state=True, time=4)
    for f_given in (0.5, tl.stepwise([0.0, 2.0, 3.0], [0.5, 0.25, 0.125])):
        found = tl.simulate(model, {"f": f_given}, regimen, [4.0], **TIGHT)["c"]
        np.testing.assert_allclose(found, 20.0, rtol=1e-8)


def test_a_repeated_line_is_its_doses_on_lines_of_their_own():
    """Also where only rounding tells a dose's time from that of a change."""
    starts = [0.0, *(0.1 + 0.2 * np.arange(1, 9))]  # another rounding than 0.1 + k 0.2
    change = {"f": tl.stepwise(starts[::2], [1.0, 0.5, 0.25, 0.125, 2.0])}
    times = [0.1 + 0.2 * k for k in range(9)]
    one = tl.simulate(SUM, change, Regimen.bolus(1, "c", time=0.1, every=0.2, doses=9), [3.0])
    apart = sum((Regimen.bolus(1, "c", time=t) for t in times), Regimen.none())
    np.testing.assert_allclose(one["c"], tl.simulate(SUM, change, apart, [3.0])["c"], rtol=1e-14)
    ulp = tl.stepwise([0.0, np.nextafter(2.0, 3.0)], [1.0, 3.0])
    tied = tl.simulate(SUM, {"f": ulp}, Regimen.bolus(1, "c", every=1.0, doses=3), [3.0])
    np.testing.assert_allclose(tied["c"], 5.0, rtol=1e-14)


def test_values_that_do_not_change_change_nothing():
    same = {name: (times, [values[0]] * len(times)) for name, (times, values) in STEPS.items()}
    constant = {name: one[1][0] for name, one in same.items()}
    found = tl.simulate(MODEL, given_steps(same), regimen_of(LINES), TIMES, **TIGHT)
    expected = tl.simulate(MODEL, constant, regimen_of(LINES), TIMES, **TIGHT)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("executor", ["machine_code", "interpreter"])
def test_bits_do_not_depend_on_the_company(executor):
    rng = np.random.default_rng(1)
    values = {name: rng.uniform(0.5, 2.0, (7, len(one[0]))) for name, one in STEPS.items()}
    regimen = regimen_of(LINES) + Regimen.reset(time=12.5) + Regimen.bolus(9, "gut", time=13)

    def run(patients):
        steps = {n: tl.stepwise(STEPS[n][0], v[patients]) for n, v in values.items()}
        return tl.simulate(MODEL, steps, regimen, TIMES, executor=executor).values

    together = run(slice(None))
    for patient in range(7):
        np.testing.assert_array_equal(run(slice(patient, patient + 1))[0], together[patient])
    lists = [regimen] * 7
    steps = {n: tl.stepwise(STEPS[n][0], v) for n, v in values.items()}
    np.testing.assert_array_equal(
        tl.simulate(MODEL, steps, lists, TIMES, executor=executor).values, together
    )


def test_an_infusion_in_pieces_ends_at_a_reset():
    steps = {"rate": tl.stepwise([0.0, 2.0, 4.0, 6.0], [1.0, 2.0, 3.0, 4.0])}
    regimen = Regimen.infusion(100, "c", rate="modelled") + Regimen.reset(time=5.0)
    found = tl.simulate(SUM, steps, regimen, [1.0, 3.0, 4.5, 5.5, 9.0], **TIGHT)["c"]
    np.testing.assert_allclose(found[0], [1.0, 4.0, 7.5, 0.0, 0.0], atol=1e-12)


BAD = {
    "bioavailability": ({"f": [1.0, -1.0]}, Regimen.bolus(1, "c", every=4, doses=3)),
    "rate": ({"rate": [1.0, 0.0]}, Regimen.infusion(9, "c", rate="modelled")),
    "duration": (
        {"duration": [1.0, -2.0]},
        Regimen.infusion(9, "c", duration="modelled", every=4, doses=2),
    ),
    "lag": ({"lag": [1.0, -2.0], "f": [1.0, 0.5]}, Regimen.bolus(1, "c", time=4)),
}


@pytest.mark.parametrize("field", BAD)
def test_a_value_that_a_dose_would_take_is_refused(field):
    values, regimen = BAD[field]
    steps = {name: tl.stepwise([0.0, 3.0], pair) for name, pair in values.items()}
    with pytest.raises(InputError, match=f"{field} of doses into 'c' is -?[012] for [12] dose"):
        tl.simulate(SUM, steps, regimen, [20.0])


def test_a_value_that_no_dose_takes_does_not_matter():
    steps = {name: tl.stepwise([0.0, 3.0], [1.0, -1.0]) for name in ("f", "rate", "lag")}
    regimen = Regimen.bolus(1, "c") + Regimen.infusion(1, "c", rate="modelled")
    found = tl.simulate(SUM, {**steps}, regimen, [20.0], **TIGHT)["c"]
    np.testing.assert_allclose(found, 2.0, rtol=1e-12)


# Ties with what empties a patient
# --------------------------------------------------------------------------------------------------


def one_compartment():
    model = tl.Model("one")
    (lag,) = model.parameters(lag=0.0)
    state = model.state("c")
    model.flow(state, None, 0.1 * state)
    model.output("c", state)
    model.dosing(state, lag=lag)
    return model


def seen(rows, lag=0.0):
    model = one_compartment()
    frame = pd.DataFrame(rows, columns=["TIME", "EVID", "AMT", "II", "ADDL", "SS"]).assign(ID=1)
    events = EventTable(frame, model)
    return tl.simulate(model, {"lag": lag}, events.regimen, events.times, **TIGHT)["c"]


EMPTIES = {
    "nothing": [],
    "reset": [[5, 3, 0, 0, 0, 0]],
    "reset and dose": [[5, 4, 7, 0, 0, 0]],
    "steady": [[5, 1, 7, 6, 0, 1]],
}


@pytest.mark.parametrize("empties", EMPTIES)
def test_what_comes_at_a_reset_is_seen_above_it(empties):
    after = EMPTIES[empties]
    lagged = seen([[0, 1, 100, 0, 0, 0], [5, 0, 0, 0, 0, 0], *after], lag=5.0)
    np.testing.assert_allclose(lagged, [100.0], rtol=1e-9)
    added = seen([[0, 1, 100, 5, 1, 0], [5, 0, 0, 0, 0, 0], *after])
    np.testing.assert_allclose(added, [100.0 + 100.0 * np.exp(-0.5)], rtol=1e-9)
    written = seen([[5, 1, 100, 0, 0, 0], [5, 0, 0, 0, 0, 0], *after])
    np.testing.assert_allclose(written, [100.0], rtol=1e-9)
    if empties == "reset":
        below = seen([[0, 1, 100, 5, 3, 0], *after, [5, 0, 0, 0, 0, 0], [11, 0, 0, 0, 0, 0]])
        np.testing.assert_array_equal(below, [0.0, 0.0])


# Doses without end
# --------------------------------------------------------------------------------------------------


def test_a_mistyped_number_of_doses_is_named():
    for more in (1e6, 1e9, 1e300, np.inf):
        with pytest.raises(InputError, match=r"row 1 .*column ADDL is .*(most|finite)"):
            table(TIME=[0, 5], AMT=[100, 0], II=[24, 0], ADDL=[more, 0])


@pytest.mark.parametrize("changing", [False, True])
def test_doses_after_the_last_sample_take_nothing(changing):
    """10^12 of them would not fit; bits are those of the doses that count."""
    patients = 50
    f = tl.stepwise([0.0, 10.0], [1.0, 0.5]) if changing else np.linspace(0.5, 1.0, patients)
    given = {"f": f, "lag": np.linspace(0.0, 3.0, patients)}
    many = Regimen.bolus(100, "c", every=6, doses=1_000_000)
    many += Regimen.infusion(50, "c", duration=9, every=7, doses=1_000_000)
    few = replace(many, lines=tuple(replace(line, doses=9) for line in many.lines))
    found, expected = (tl.simulate(SUM, given, each, TIMES).values for each in (many, few))
    np.testing.assert_array_equal(found, expected)
    one, same = (
        tl.value_and_grad(np.ones(found.shape), SUM, given, each, TIMES)[1].parameters["lag"]
        for each in (many, few)
    )
    np.testing.assert_array_equal(one, same)


# Derivatives
# --------------------------------------------------------------------------------------------------


def history(reset=False, steady=False):
    """Every kind of dose; by patients, and by fields that the derivatives are taken of."""
    amount, time = np.array([80.0, 90.0]), np.array([0.5, 0.8])
    found = Regimen.bolus(amount, "gut", time=time, every=3.13, doses=4)
    found += Regimen.infusion(50, "central", rate="modelled", time=time + 1.2, every=4.0, doses=3)
    found += Regimen.infusion(amount, "gut", rate="modelled", time=1.0, every=6.26, doses=2)
    found += Regimen.infusion(30, "central", duration="modelled", time=2.2, every=3.13, doses=4)
    found += Regimen.infusion(25, "gut", duration=2.2, time=0.7, every=3.13, doses=4)
    found += Regimen.infusion(25, "central", rate=11.0, time=0.9, every=3.13, doses=4)
    if reset:
        found += Regimen.reset(time=9.4)
        found += Regimen.infusion(60, "central", rate="modelled", time=10.0, every=3.0, doses=2)
    if steady:
        found += Regimen.infusion(
            6, "central", rate="modelled", time=12.05, every=4.0, doses=2, steady_state="add"
        )
        found += Regimen.bolus(7, "gut", time=12.3, every=3.7, doses=3, steady_state=True)
    return found


def difference(function, h=1e-4):
    moved = [function(s * h) for s in (-2, -1, 1, 2)]
    return (moved[0] - 8 * moved[1] + 8 * moved[2] - moved[3]) / (12 * h)


VALUES = {
    "f": ([0.0, 3.3, 7.1, 11.7], [[0.9, 0.5, 1.1, 0.7], [0.6, 0.8, 0.5, 1.0]]),
    "rate": ([0.0, 2.5, 5.2, 8.0, 13.1], [[6.0, 9.0, 5.0, 12.0, 8.0], [9.0, 4.0, 8.0, 6.0, 7.0]]),
    "duration": ([0.0, 4.1, 9.7], [[1.5, 2.5, 0.75], [0.5, 1.0, 2.0]]),
    "lag": ([0.0, 3.1, 12.2], [[0.4, 0.2, 0.6], [0.3, 0.5, 0.1]]),
}


@pytest.mark.parametrize("kind", ["doses", "reset", "steady", "shared", "one patient"])
def test_derivatives_are_those_of_differences(kind):
    tight = {"rtol": 1e-11, "atol": 1e-13}
    regimen = history(reset=kind == "reset", steady=kind == "steady")
    values = {name: np.array(each) for name, (_, each) in VALUES.items()}
    patients = 2
    if kind in ("shared", "one patient"):
        values = {name: each[0] for name, each in values.items()}
    if kind == "one patient":
        regimen, patients = regimen.part(0, 1), 1
    rng = np.random.default_rng(4)
    weights = rng.standard_normal((patients, TIMES.size, 2))

    def given_of(values):
        return {name: tl.stepwise(VALUES[name][0], each) for name, each in values.items()}

    def loss(values, lines):
        run = tl.simulate(MODEL, given_of(values), Regimen(tuple(lines)), TIMES, **tight)
        return float((weights * run.values).sum())

    _, gradient = tl.value_and_grad(weights, MODEL, given_of(values), regimen, TIMES, **tight)
    for name, each in values.items():
        found = np.asarray(gradient.parameters[name]).reshape(each.shape)
        for place in np.ndindex(each.shape):

            def moved(by, name=name, each=each, place=place):
                shifted = each.copy()
                shifted[place] += by
                return loss(values | {name: shifted}, regimen.lines)

            np.testing.assert_allclose(
                found[place], difference(moved), rtol=3e-6, atol=3e-6, err_msg=f"{name} {place}"
            )
    for number, line in enumerate(regimen.lines):
        for name, value in line.arrays():
            of_dose = getattr(gradient.doses[number], name)
            if of_dose is None:
                continue

            def moved(by, number=number, line=line, name=name, value=value):
                lines = list(regimen.lines)
                lines[number] = line.filled({name: value + by})
                return loss(values, lines)

            np.testing.assert_allclose(
                np.sum(of_dose), difference(moved), rtol=5e-6, atol=5e-6, err_msg=f"{number} {name}"
            )
    problem = _numpy_problem(MODEL, given_of(values), regimen, TIMES, None, tight)
    gradients = {
        entry: gradient.parameters.get(entry.name) if entry.kind == "parameter"
        else getattr(gradient.doses[entry.line], entry.name)
        for entry in inputs_of(problem.columns, regimen)
    }  # fmt: skip
    gradients = {entry: one for entry, one in gradients.items() if one is not None}
    problem = problem.by(list(gradients))
    dots = [rng.standard_normal(np.shape(one)) for one in problem.given]
    _, along, _ = problem.push_forward(problem.given, dots)
    backward = sum(
        float(np.sum(dot * np.reshape(one, np.shape(dot))))
        for dot, one in zip(dots, gradients.values(), strict=True)
    )
    np.testing.assert_allclose((weights * along).sum(), backward, rtol=1e-8)


def test_derivatives_of_a_table():
    """By the values of its covariates, with NONMEM's order of records; both ways."""
    frame = pd.DataFrame(
        {
            "ID": [1] * 8, "TIME": [0, 2, 3, 5, 8, 11, 14, 20.0],
            "AMT": [50, 0, 60, 0, 0, 30, 0, 0], "RATE": [0, 0, -1, 0, 0, -2, 0, 0], "CMT": 2,
            "II": [6, 0, 7, 0, 0, 0, 0, 0], "ADDL": [2, 0, 1, 0, 0, 0, 0, 0],
            "F": [1, 0.9, 0.8, 0.6, 0.5, 0.7, 0.9, 1.0], "LAG": [0.5] * 4 + [0.25] * 4,
            "R2": [9, 8, 7, 6, 5, 6, 7, 8.0],
        }
    )  # fmt: skip
    events = EventTable(frame.rename(columns={"R2": "K"}).assign(K=lambda x: x.K / 30), MODEL)
    weights = np.random.default_rng(2).standard_normal((len(events.records), 2))
    tight = {"rtol": 1e-11, "atol": 1e-13}

    def loss(parameters):
        run = tl.simulate(MODEL, parameters, events.regimen, events.times, **tight)
        return float((weights * run.values).sum())

    _, gradient = tl.value_and_grad(
        weights, MODEL, events.parameters, events.regimen, events.times, **tight
    )
    for name in ("f", "lag", "k"):
        steps = events.parameters[name]
        for row in range(len(steps.values)):

            def moved(by, name=name, steps=steps, row=row):
                values = np.array(steps.values)
                values[row] += by
                return loss({**events.parameters, name: replace(steps, values=values)})

            np.testing.assert_allclose(
                gradient.parameters[name][row], difference(moved), rtol=2e-6, atol=2e-6,
                err_msg=f"{name} {row}",
            )  # fmt: skip
