"""Event tables: what NONMEM makes of them, hand-made ones, and every mistake with its row and
column.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import teorell as tl
from hypothesis import given, settings
from hypothesis import strategies as st
from nonmem_scenarios import SCENARIOS, of_nonmem, one_compartment, printed, tolerance
from teorell import EventTable, InputError, Regimen
from teorell.schedule.covariates import Stepwise
from teorell.schedule.dose import ADD, BOLUS, BY_RATE, MODELLED_DURATION, REPLACE, RESET

TIGHT = {"rtol": 1e-9, "atol": 1e-12}


def run(table, model=None, **options):
    model = model or one_compartment()
    events = EventTable(table, model)
    return tl.simulate(model, events.parameters, events.regimen, events.times, **(TIGHT | options))


@pytest.mark.skipif(
    not SCENARIOS.exists(), reason=f"SKIPPED LOUDLY: no NONMEM scenarios at {SCENARIOS}"
)
def test_all_scenarios_are_those_of_nonmem():
    frame = printed()
    model = one_compartment()
    events = EventTable(of_nonmem(frame), model)
    assert events.patients == 29
    solution = tl.simulate(model, events.parameters, events.regimen, events.times, **TIGHT)
    solution.raise_for_status()
    expected = frame["CP_NONMEM"].to_numpy()[events.records]
    error = np.abs(solution["cp"] - expected)
    worst = [int(events.ids[i]) for i in np.unique(solution.patient[error > tolerance(expected)])]
    assert not worst, (
        f"scenarios {worst}: {np.max(error / tolerance(expected)):.3g} of the tolerance"
    )


@pytest.mark.skipif(
    not SCENARIOS.exists(), reason=f"SKIPPED LOUDLY: no NONMEM scenarios at {SCENARIOS}"
)
def test_a_subject_alone_has_the_same_bits():
    frame = printed()
    frame = of_nonmem(frame)
    together = run(frame)
    for subject in (9, 13, 20, 25, 29):
        alone = run(frame[frame["ID"] == subject])
        rows = slice(together.offsets[subject - 1], together.offsets[subject])
        np.testing.assert_array_equal(alone.values, together.values[rows])


def columns(**given):
    rows = len(given["TIME"])
    return {"ID": [1] * rows, **given}


def test_records_become_doses_samples_and_covariates():
    table = {
        "id": [7, 7, 7, 7, 9, 9, 9],
        "Time": [0, 1, 2, 2, 0, 0, 5],
        "amt": [100, 0, 0, 50, 10, 0, 20],
        "EVID": [1, 0, 2, 4, 1, 0, 1],
        "CMT": [1, 2, 2, 2, 2, 2, 1],
        "RATE": [0, 0, 0, -2, 5, 0, 0],
        "II": [12, 0, 0, 0, 8, 0, 6],
        "ADDL": [3, 0, 0, 0, 0, 0, 0],
        "SS": [0, 0, 0, 0, 1, 0, 2],
        "dv": [".", "3.5", ".", ".", ".", ".", "."],
        "CL": [1, 1, 2, 2, 3, 3, 3],
        "v": [20, 20, 20, 20, 30, 30, 30],
        "remark": list("abcdefg"),
    }
    with pytest.warns(tl.InputWarning, match="columns remark of the event table are not used"):
        events = EventTable(pd.DataFrame(table), one_compartment())
    assert events.ids.tolist() == [7, 9]
    doses = events.regimen
    assert doses.offsets.tolist() == [0, 3, 5]
    assert doses.kind.tolist() == [BOLUS, RESET, MODELLED_DURATION, BY_RATE, BOLUS]
    assert doses.into.tolist() == [0, -1, 1, 1, 0]
    assert doses.steady.tolist() == [0, 0, 0, REPLACE, ADD]
    assert doses.amount.tolist() == [100, 0, 50, 10, 20]
    assert doses.every.tolist() == [12, 0, 0, 8, 6]
    assert doses.doses.tolist() == [4, 1, 1, 1, 1]
    assert events.times.times.tolist() == [1, 0]
    assert events.times.offsets.tolist() == [0, 1, 2]
    assert events.records.tolist() == [1, 5]
    np.testing.assert_array_equal(events.dv, [3.5, np.nan])
    assert events.mdv.tolist() == [False, True]
    assert events.ignored == ("remark",)
    np.testing.assert_array_equal(events.parameters["v"], [20, 30])
    steps = events.parameters["cl"]
    assert isinstance(steps, Stepwise)
    assert (steps.values.tolist(), steps.times.tolist(), steps.offsets.tolist()) == (
        [1, 2, 3],
        [0, 1, 0],
        [0, 2, 3],
    )


def test_the_value_of_a_record_holds_over_the_interval_that_ends_at_it():
    table = columns(
        TIME=[0, 4, 10], EVID=[1, 0, 0], AMT=[100, 0, 0], CMT=[2, 2, 2], CL=[9.0, 2.0, 5.0]
    )
    model = one_compartment()
    curves = {}
    for rule in ("next", "previous"):
        events = EventTable(table, model, covariates=rule)
        solution = tl.simulate(model, events.parameters, events.regimen, events.times, **TIGHT)
        curves[rule] = solution["cp"]
    np.testing.assert_allclose(
        curves["next"], 5000.0 * np.exp([-8.0 / 20.0, -38.0 / 20.0]), rtol=1e-8
    )
    np.testing.assert_allclose(
        curves["previous"], 5000.0 * np.exp([-36.0 / 20.0, -48.0 / 20.0]), rtol=1e-8
    )


def test_missing_columns_take_their_defaults():
    model = one_compartment()
    bare = {"ID": ["a", "a", "b", "b"], "TIME": [0, 2, 0, 3], "AMT": [100, 0, 50, 0]}
    events = EventTable(bare, model)
    assert events.times.times.tolist() == [2, 3]
    assert events.regimen.into.tolist() == [0, 0]
    solution = tl.simulate(model, events.parameters, events.regimen, events.times, **TIGHT)
    expected = [
        tl.simulate(model, {}, Regimen.bolus(a, "depot"), [t], **TIGHT)["cp"][0, 0]
        for a, t in ((100, 2), (50, 3))
    ]
    np.testing.assert_allclose(solution["cp"], expected, rtol=1e-12)


def test_a_table_costs_the_same_curves_as_regimens():
    model = one_compartment()
    rows = [
        (i, t, a, e)
        for i in range(4)
        for t, a, e in ((0, 100 + i, 1), (3, 0, 0), (12, 50, 1), (12, 0, 0), (20, 0, 0))
    ]
    frame = pd.DataFrame(rows, columns=["ID", "TIME", "AMT", "EVID"])
    solution = run(frame, model)
    regimen = Regimen.bolus(100.0 + np.arange(4), "depot") + Regimen.bolus(50, "depot", time=12)
    expected = tl.simulate(model, {}, regimen, [3, 12, 20], outputs="cp", **TIGHT)
    np.testing.assert_array_equal(solution["cp"].reshape(4, 3), expected["cp"])


@st.composite
def tables(draw):
    rows = []
    for subject in range(draw(st.integers(1, 3))):
        times = sorted(draw(st.lists(st.integers(0, 8), min_size=1, max_size=6)))
        for time in times:
            dose = draw(st.booleans())
            amount = draw(st.sampled_from([0.0, 10.0, 25.0])) if dose else 0.0
            addl = draw(st.integers(0, 2)) if dose else 0
            rows.append((subject, float(time), int(dose), amount, 2, addl, 2.0 if addl else 0.0))
    return pd.DataFrame(rows, columns=["ID", "TIME", "EVID", "AMT", "CMT", "ADDL", "II"])


def superposition(frame):
    """Boluses into the central compartment, each record's observations seeing what stands above it
    or is implied.
    """
    k, found = 1.1 / 20.0, []
    for _, records in frame.groupby("ID"):
        table = records.to_numpy()
        for place, (_, time, evid, *_) in enumerate(table):
            if evid != 0:
                continue
            total = 0.0
            for other, (_, at, is_dose, amount, _, addl, every) in enumerate(table):
                for n in range(int(addl) + 1 if is_dose else 0):
                    when = at + n * every
                    if when < time or (when == time and (n > 0 or other < place)):
                        total += amount * np.exp(-k * (time - when))
            found.append(total * 1000.0 / 20.0)
    return np.array(found)


@given(tables(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_tied_times_zero_amounts_and_the_order_of_subjects(frame, random):
    solution = run(frame)
    np.testing.assert_allclose(solution["cp"], superposition(frame), rtol=1e-7, atol=1e-7)
    subjects = list(frame["ID"].unique())
    random.shuffle(subjects)
    shuffled = pd.concat([frame[frame["ID"] == one] for one in subjects])
    renamed = shuffled.rename(columns=str.lower)[sorted(str.lower(c) for c in frame.columns)]
    again = run(renamed)
    parts = {
        one: solution.values[solution.patient == k] for k, one in enumerate(frame["ID"].unique())
    }
    np.testing.assert_array_equal(again.values, np.concatenate([parts[one] for one in subjects]))


BAD = {
    "no time": ({"ID": [1]}, "has no column TIME"),
    "text": (columns(TIME=[0, 1], AMT=["5", "five"]),
    r"row 2 \(index 1\), column AMT is five \(not a number"), "back": (columns(TIME=[0, 5, 4]),
    r"row 3 \(index 2\), column TIME is 4 \(time goes back"), "negative time": (columns(TIME=[-1,
    5]), "a simulation starts at 0"), "negative amount": (columns(TIME=[0], AMT=[-5]),
    "column AMT is -5"), "evid": (columns(TIME=[0, 1], EVID=[0, 7]), r"row 2 .*column EVID is 7"),
    "no dose": (columns(TIME=[0], EVID=[0], AMT=[5]), "the record is no dose"),
    "cmt": (columns(TIME=[0], CMT=[3]), "column CMT is 3 .the model has no such compartment"),
    "ss ii": (columns(TIME=[0], AMT=[5], SS=[1], II=[-2]),
    "column II is -2 .steady state needs an interval"), "ss no ii": (columns(TIME=[0], AMT=[5],
    SS=[1]), "column II is missing .steady state needs an interval, unless"),
    "ss nothing": (columns(TIME=[0], AMT=[0], EVID=[1], SS=[1], II=[12]),
    "column AMT is 0 .a dose of 0 for ever gives nothing"),
    "ss rate nothing": (columns(TIME=[0], AMT=[0], EVID=[1], SS=[1], II=[12], RATE=[10]),
    "column AMT is 0 .an infusion of 0 gives nothing"),
    "rate nothing": (columns(TIME=[0], AMT=[0], EVID=[1], RATE=[10]),
    "column AMT is 0 .when an infusion of nothing"),
    "addl": (columns(TIME=[0], AMT=[5], ADDL=[2]), "additional doses need an interval"),
    "addl half": (columns(TIME=[0], AMT=[5], ADDL=[1.5], II=[2]), "it counts doses"),
    "rate": (columns(TIME=[0], AMT=[5], RATE=[-3]), "column RATE is -3"),
    "no rule": (columns(TIME=[0], AMT=[5], RATE=[-2], CMT=[1]),
    "the duration is the model's, which has no rule"), "subject again": ({"ID": [1, 2, 1],
    "TIME": [0, 0, 0]}, r"row 3 .*column ID is 1 \(this subject has records"),
    "two columns": ({"ID": [1], "TIME": [0], "time": [0]}, "both mean TIME"),
    "no covariate": ({"ID": [1, 2], "TIME": [0, 0], "CL": [1.0, np.nan]},
    r"row 2 .*no value of this covariate"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_mistakes_are_named_by_row_and_column(name):
    table, message = BAD[name]
    with pytest.raises(InputError, match=message):
        EventTable(table, one_compartment())


def test_steady_state_under_explicit_time_dependence():
    model = tl.Model("circadian")
    x = model.state("x")
    model.flow(x, None, (1.0 + tl.sin(model.time)) * x)
    with pytest.raises(InputError, match=r"column SS is 1 .*depends on time"):
        EventTable(columns(TIME=[0], AMT=[5], SS=[1], II=[12]), model)


def test_a_standard_column_is_no_covariate():
    """A parameter may be called rate; column RATE is that of the doses all the same."""
    model = tl.Model("named")
    rate = model.parameter("rate", 0.3)
    x = model.state("x")
    model.flow(x, None, rate * x)
    events = EventTable(columns(TIME=[0, 1], AMT=[5, 0], rate=[2.0, 0.0]), model)
    assert events.regimen.kind.tolist() == [BY_RATE]
    assert not events.parameters


@pytest.mark.parametrize("missing", [None, np.nan, "", ".", pd.NA])
def test_a_missing_compartment_is_the_first(missing):
    cells = pd.Series([2, missing], dtype=object)
    events = EventTable(columns(TIME=[0, 1], AMT=[5, 5], CMT=cells), one_compartment())
    assert events.regimen.into.tolist() == [1, 0]


def test_names_of_compartments():
    table = columns(TIME=[0, 1], AMT=[5, 0], CMT=["central", "central"])
    assert EventTable(table, one_compartment()).regimen.into.tolist() == [1]
    numbered = columns(TIME=[0, 1], AMT=[5, 0], CMT=[11, 11])
    assert EventTable(
        numbered, one_compartment(), compartments={11: "central"}
    ).regimen.into.tolist() == [1]
    with pytest.raises(InputError, match="compartments names 'centrall'"):
        EventTable(numbered, one_compartment(), compartments={11: "centrall"})


def test_gradients_through_a_table_with_everything():
    """Steady state, a reset, a lag, a modelled duration, a covariate that changes: by parameters,
    against differences.
    """
    table = columns(
        TIME=[0, 2, 9, 9, 15, 20, 24, 30], EVID=[1, 0, 1, 0, 0, 4, 0, 0], AMT=[50, 0, 40, 0, 0, 70,
        0, 0], CMT=[2, 2, 2, 2, 2, 1, 2, 2], RATE=[0, 0, -2, 0, 0, 0, 0, 0], II=[8, 0, 0, 0, 0, 0,
        0, 0], SS=[1, 0, 0, 0, 0, 0, 0, 0], ADDL=[1, 0, 0, 0, 0, 0, 0, 0],
        CL=[1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 3.0],
    )  # fmt: skip
    model = one_compartment()
    events = EventTable(table, model)
    weights = np.random.default_rng(0).standard_normal((len(events.records), 1))
    point = {"v": 18.0, "ka": 1.2, "lagt": 1.5, "bioav": 0.8, "dur2": 3.0}

    def loss(given):
        parameters = {**events.parameters, **given}
        run = tl.simulate(model, parameters, events.regimen, events.times, rtol=1e-12, atol=1e-13)
        return float((weights * run.values).sum())

    given = {**events.parameters, **point}
    tight = {"rtol": 1e-11, "atol": 1e-13}
    _, gradient = tl.value_and_grad(weights, model, given, events.regimen, events.times, **tight)
    for name, value in point.items():
        h = 1e-4 * value
        moved = [loss(point | {name: value + s * h}) for s in (-2, -1, 1, 2)]
        expected = (moved[0] - 8 * moved[1] + 8 * moved[2] - moved[3]) / (12 * h)
        np.testing.assert_allclose(gradient.parameters[name], expected, rtol=1e-6, err_msg=name)
    of_steps = gradient.parameters["cl"]
    steps = events.parameters["cl"]
    for k in range(len(steps.values)):
        shifted = []
        for s in (-2, -1, 1, 2):
            values = steps.values.copy()
            values[k] += s * 1e-4
            shifted.append(
                loss(point | {"cl": Stepwise(values, steps.times, steps.offsets, steps.order)})
            )
        expected = (shifted[0] - 8 * shifted[1] + 8 * shifted[2] - shifted[3]) / 12e-4
        np.testing.assert_allclose(of_steps[k], expected, rtol=1e-6, err_msg=str(k))
