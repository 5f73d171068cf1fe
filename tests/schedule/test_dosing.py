"""Doses through the solver: lag, bioavailability, modelled rates and durations, repeated doses and
resets, against closed forms; and what must not matter: how a regimen is written, in whose company,
when.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
import teorell as tl
from dosing_case import regimen_of
from hypothesis import given, settings
from hypothesis import strategies as st
from teorell import InputError, Regimen
from teorell.schedule.given_doses import dose_table
from two_states import DEFAULTS, MODEL, TIGHT, TIMES, exact, of_patient, rules_of_gut, two_states

GRAMMAR = re.compile(r".+ \(.+\)\. .+[.?]", re.DOTALL)  # problem (reason). Remedy.


def simulate(parameters, lines, model=MODEL, times=TIMES, **options):
    regimen = lines if isinstance(lines, Regimen) else regimen_of(lines)
    return tl.simulate(model, parameters, regimen, times, **(TIGHT | options)).values


def check(parameters, lines, patients=1):
    found = simulate(parameters, lines)
    assert found.shape[0] == patients
    np.testing.assert_allclose(found, exact(parameters, lines, patients).real, rtol=1e-8, atol=1e-9)


# Rules of doses
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("into", ["gut", "central"])
def test_lag(into):
    lines = [("bolus", into, 1, {"amount": 100.0, "time": 1.0})]
    check({"lag": np.array([0.0, 0.5, 3.0, 100.0])}, lines, 4)


def test_a_lag_is_a_later_dose():
    lines = [("bolus", "gut", 2, {"amount": 100.0, "time": 1.0, "every": 4.0})]
    later = [("bolus", "gut", 2, {"amount": 100.0, "time": 1.75, "every": 4.0})]
    with_rule = two_states(gut=lambda p: {"lag": p["lag"]})
    np.testing.assert_array_equal(simulate({}, lines, with_rule), simulate({}, later, two_states()))


KINDS = {
    "bolus": {},
    "duration": {"duration": 3.0},
    "rate": {"rate": 20.0},
    "modelled rate": {},
    "modelled duration": {},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("into", ["gut", "central"])
def test_bioavailability(kind, into):
    lines = [(kind, into, 1, {"amount": 100.0, "time": 1.0, **KINDS[kind]})]
    check({"f": np.array([0.0, 0.25, 1.0, 1.5])}, lines, 4)


def test_bioavailability_changes_the_rate_of_a_given_duration_and_the_duration_of_a_given_rate():
    """At the end of what goes in over 4 and over 2: the closed forms written out."""
    f, k = 0.5, DEFAULTS["k"]
    parameters = {"f": f, "lag": 0.0}
    by_duration = [("duration", "central", 1, {"amount": 40.0, "time": 0.0, "duration": 4.0})]
    by_rate = [("rate", "central", 1, {"amount": 40.0, "time": 0.0, "rate": 10.0})]
    at = [2.0, 4.0]
    plateau = 1.0 - np.exp(-k * np.array(at))
    np.testing.assert_allclose(
        simulate(parameters, by_duration, times=at)[0, :, 1], f * 10.0 / k * plateau, rtol=1e-9
    )
    expected = 10.0 / k * plateau[0] * np.exp(-k * (np.array(at) - 2.0))
    np.testing.assert_allclose(
        simulate(parameters, by_rate, times=at)[0, :, 1], expected, rtol=1e-9
    )


@pytest.mark.parametrize("into", ["gut", "central"])
def test_modelled_rate(into):
    lines = [("modelled rate", into, 3, {"amount": 60.0, "time": 0.5, "every": 6.0})]
    check({"rate": np.array([3.0, 12.0, 100.0])}, lines, 3)


@pytest.mark.parametrize("into", ["gut", "central"])
def test_modelled_duration(into):
    lines = [("modelled duration", into, 3, {"amount": 60.0, "time": 0.5, "every": 6.0})]
    check({"duration": np.array([0.0, 0.5, 4.0, 7.5])}, lines, 4)


def test_rules_and_doses_that_differ_between_patients():
    parameters = {
        "lag": np.array([0.0, 1.25, 0.5]),
        "f": np.array([1.0, 0.5, 0.75]),
        "rate": np.array([5.0, 9.0, 20.0]),
    }
    lines = [
        ("bolus", "gut", 2, {"amount": np.array([100.0, 50.0, 80.0]), "time": 0.5, "every": 8.0}),
        (
            "modelled rate",
            "central",
            2,
            {"amount": 30.0, "time": np.array([1.0, 0.0, 2.5]), "every": 3.0},
        ),
        (
            "duration",
            "gut",
            1,
            {"amount": 20.0, "time": 4.0, "duration": np.array([2.0, 0.0, 5.0])},
        ),
        ("modelled duration", "central", 1, {"amount": 20.0, "time": 9.0}),
    ]
    check(parameters, lines, 3)
    together = simulate(parameters, lines)
    for patient in range(3):
        mine = {name: value[patient] for name, value in parameters.items()}
        alone = [
            (*one[:3], {f: of_patient(value, patient) for f, value in one[3].items()})
            for one in lines
        ]
        np.testing.assert_array_equal(simulate(mine, alone)[0], together[patient])


# Repeated doses, resets
# -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_repeated_doses_are_single_doses(kind):
    fields = {"amount": 40.0, **KINDS[kind]}
    repeated = [(kind, "central", 5, {**fields, "time": 0.5, "every": 2.0})]
    single = [(kind, "central", 1, {**fields, "time": 0.5 + k * 2.0}) for k in range(5)]
    np.testing.assert_array_equal(
        simulate({"duration": 3.0}, repeated), simulate({"duration": 3.0}, single)
    )
    check({"duration": 3.0}, repeated)


def test_a_reset_brings_the_initial_values_back():
    lines = [
        ("bolus", "gut", 1, {"amount": 100.0, "time": 0.0}),
        ("reset", "", 1, {"time": np.array([0.0, 5.0, 50.0])}),
    ]
    check({"c0": np.array([0.0, 20.0, 30.0])}, lines, 3)


def test_a_reset_drops_doses_of_lines_before_it_and_ends_infusions():
    lines = [
        ("bolus", "gut", 6, {"amount": 30.0, "time": 0.0, "every": 3.0}),
        ("duration", "central", 1, {"amount": 50.0, "time": 2.0, "duration": 8.0}),
        ("rate", "central", 4, {"amount": 40.0, "time": 1.0, "rate": 4.0, "every": 4.0}),
        ("reset", "", 1, {"time": 7.0}),
        ("bolus", "central", 2, {"amount": 10.0, "time": 9.0, "every": 6.0}),
    ]
    parameters = {"lag": 0.0, "c0": 5.0}
    check(parameters, lines)
    found = simulate(parameters, lines)[0, :, 1]
    undisturbed = (TIMES > 7.0) & (TIMES < 9.0)
    decay = 5.0 * np.exp(-DEFAULTS["k"] * (TIMES[undisturbed] - 7.0))
    np.testing.assert_allclose(found[undisturbed], decay, rtol=1e-8)


def test_a_dose_on_its_way_is_dropped():
    """It was given before the reset, and would have come in after it."""
    lines = [
        ("bolus", "central", 1, {"amount": 30.0, "time": 1.0}),
        ("reset", "", 1, {"time": 2.0}),
    ]
    assert not simulate({"lag": 3.0}, lines).any()
    arrived = simulate({"lag": 0.5}, lines)[0, :, 1] > 0.0
    assert arrived.any()
    assert not arrived[(TIMES < 1.5) | (TIMES >= 2.0)].any()


def test_two_resets():
    lines = [
        ("rate", "central", 3, {"amount": 40.0, "time": 0.0, "rate": 10.0, "every": 6.0}),
        ("reset", "", 1, {"time": 8.0}),
        ("bolus", "gut", 4, {"amount": 25.0, "time": 8.0, "every": 2.0}),
        ("duration", "central", 1, {"amount": 25.0, "time": 9.0, "duration": 9.0}),
        ("reset", "", 1, {"time": np.array([13.0, 8.0])}),
        ("bolus", "central", 1, {"amount": 5.0, "time": 20.0}),
    ]
    check({"c0": 3.0, "lag": 0.25}, lines, 2)


def test_at_equal_times_a_reset_counts_as_it_is_written():
    dose, reset = (
        ("bolus", "central", 1, {"amount": 30.0, "time": 4.0}),
        ("reset", "", 1, {"time": 4.0}),
    )
    parameters = {"lag": 0.0}
    assert not simulate(parameters, [dose, reset]).any()
    np.testing.assert_array_equal(simulate(parameters, [reset, dose]), simulate(parameters, [dose]))


def test_a_sample_at_a_reset_sees_it_or_not():
    lines = [
        ("bolus", "central", 1, {"amount": 30.0, "time": 0.0}),
        ("reset", "", 1, {"time": 2.0}),
    ]
    parameters = {"lag": 0.0, "f": 1.0, "c0": 7.0}
    after = simulate(parameters, lines, times=[2.0])
    before = simulate(parameters, lines, times=[2.0], samples="before")
    assert after[0, 0, 1] == 7.0
    np.testing.assert_allclose(before[0, 0, 1], 37.0 * np.exp(-2 * DEFAULTS["k"]), rtol=1e-9)


sixteenths = {
    "amount": st.integers(1, 800), "time": st.integers(0, 300), "every": st.integers(8, 150),
    "duration": st.sampled_from([0]) | st.integers(1, 200), "rate": st.integers(16, 400),
    "lag": st.integers(0, 100), "f": st.integers(0, 32),
}  # fmt: skip
FIELDS = {
    "bolus": (), "duration": ("duration",), "rate": ("rate",), "modelled rate": (),
    "modelled duration": (), "reset": (),
}  # fmt: skip


@st.composite
def histories(draw):
    """Parameters and lines of one patient."""
    lines = []
    for _ in range(draw(st.integers(0, 5))):
        kind = draw(st.sampled_from(sorted(FIELDS)))
        names = ("time",) if kind == "reset" else ("amount", "time", "every", *FIELDS[kind])
        fields = {name: draw(sixteenths[name]) / 16.0 for name in names}
        lines.append(
            (kind, draw(st.sampled_from(["gut", "central"])), draw(st.integers(1, 4)), fields)
        )
    parameters = {name: draw(sixteenths[name]) / 16.0 for name in ("lag", "f", "rate", "duration")}
    return parameters | {"c0": draw(st.sampled_from([0.0, 10.0]))}, lines


@settings(max_examples=100)
@given(histories())
def test_any_history(history):
    check(*history)


# What must not matter
# --------------------------------------------------------------------------------------------------


def test_an_infusion_in_two_parts():
    whole = [("duration", "central", 1, {"amount": 60.0, "time": 1.0, "duration": 4.0})]
    parts = [
        ("duration", "central", 1, {"amount": 15.0, "time": 1.0, "duration": 1.0}),
        ("duration", "central", 1, {"amount": 45.0, "time": 2.0, "duration": 3.0}),
    ]
    np.testing.assert_allclose(simulate({}, parts), simulate({}, whole), rtol=1e-9, atol=1e-10)


HISTORY = [
    ("bolus", "gut", 3, {"amount": 80.0, "time": 0.5, "every": 3.0}),
    ("rate", "central", 2, {"amount": 30.0, "time": 1.0, "rate": 12.0, "every": 7.0}),
    ("reset", "", 1, {"time": 10.5}),
    ("modelled rate", "central", 1, {"amount": 40.0, "time": 11.0}),
    ("modelled duration", "gut", 1, {"amount": 40.0, "time": 14.0}),
]


def test_later_by_a_shift():
    later = [(*one[:3], one[3] | {"time": one[3]["time"] + 5.0}) for one in HISTORY]
    shifted = simulate({}, later, times=TIMES + 5.0)
    np.testing.assert_allclose(shifted, simulate({}, HISTORY), rtol=1e-8, atol=1e-9)


def test_doses_scale_a_linear_model():
    """By a power of two, tolerance and modelled rate too: every number of the solver is scaled,
    without rounding.
    """
    scaled = [
        (
            *one[:3],
            {
                name: 4 * value if name in ("amount", "rate") else value
                for name, value in one[3].items()
            },
        )
        for one in HISTORY
    ]
    found = simulate({"c0": 4.0, "rate": 4 * DEFAULTS["rate"]}, scaled, atol=4 * TIGHT["atol"])
    np.testing.assert_array_equal(found, 4 * simulate({"c0": 1.0}, HISTORY))


def test_bits_do_not_depend_on_the_executor():
    parameters = {"lag": np.linspace(0.0, 2.0, 11), "c0": 2.0}
    expected = simulate(parameters, HISTORY)
    np.testing.assert_array_equal(
        simulate(parameters, HISTORY, executor="interpreter", threads=2), expected
    )


def test_a_regimen_a_list_and_a_table_are_the_same():
    lines = [
        (*one[:3], one[3] | {"time": np.array([0.0, 0.25, 1.0]) + one[3]["time"]})
        for one in HISTORY
    ]
    parameters = {"lag": np.array([0.5, 0.0, 1.0]), "c0": 2.0}
    regimen = regimen_of(lines)
    as_list = [regimen_of([(*one[:3], {f: of_patient(v, patient) for f,
    v in one[3].items()}) for one in lines])
               for patient in range(3)]  # fmt: skip
    table = dose_table(as_list, MODEL.state_names, 3)
    expected = simulate(parameters, regimen)
    for given_as in (as_list, table):
        found = tl.simulate(MODEL, parameters, given_as, TIMES, **TIGHT)
        np.testing.assert_array_equal(found.values, expected)
    shared = dose_table(regimen_of(HISTORY), MODEL.state_names, 3)
    found = tl.simulate(MODEL, parameters, shared, TIMES, **TIGHT)
    np.testing.assert_array_equal(found.values, simulate(parameters, HISTORY))


def test_rules_of_states_that_get_no_dose_do_not_matter():
    """Not even where they make no sense."""
    lines = [("bolus", "gut", 1, {"amount": 10.0, "time": 0.0})]
    only_gut = two_states(gut=rules_of_gut)
    parameters = {"lag": 0.5, "rate": np.array([-1.0, 1.0])}
    np.testing.assert_array_equal(
        simulate(parameters, lines), simulate(parameters, lines, only_gut)
    )


# Errors
# --------------------------------------------------------------------------------------------------

MODELLED = {"rate": Regimen.infusion(1, "central", rate="modelled", time=2),
"duration": Regimen.infusion(
    1, "central", duration="modelled")}  # fmt: skip
STEADY = Regimen.bolus(1, "central", every=2, steady_state=True)
BAD = {
    "lag": ({"lag": -0.5}, HISTORY,
    "lag of doses into 'gut' is -1 for 2 doses (it must be zero or more; the first is of "
            "patient 0)"),
    "lag of one": ({"lag": [0.0, -1.0, -2.0]}, [HISTORY[1]],
    "is -1 for 2 doses (it must be zero or more; the first is of "
            "patient 1)"),
    "bioavailability": ({"f": [0.5, -0.25]}, [HISTORY[1]],
    "bioavailability of doses into 'central' is -0.25 for 1 dose"), "rate": ({"rate": 0.0},
    MODELLED["rate"], "rate of doses into 'central' is 0 for 1 dose (it must be above zero"),
    "duration": ({"duration": -1.0}, MODELLED["duration"],
    "duration of doses into 'central' is -1"), "infinite": ({"f": -1000.0}, [HISTORY[0]],
    "bioavailability of doses into 'gut' is inf"), "time": ({"lag": 1e308}, [HISTORY[0]],
    "lag of doses into 'gut' is inf"), "last time": ({"lag": 1.7e308}, regimen_of([("bolus",
    "central", 2, {"amount": 1.0, "time": 0.0, "every": 1e307})]),
                  "doses of patient 0 overflow"),
    "amount": ({"f": [1.0, 1e10]}, Regimen.bolus(1e305, "central"), "doses of patient 1 overflow"),
    "rate of an infusion": ({"duration": 1e-90}, Regimen.infusion(1e250, "central",
    duration="modelled"), "overflow"), "lag at steady state": ({"lag": [1.0, 3e6]}, STEADY,
    "1500000 doses on their way (patient 1"),
}  # fmt: skip


@pytest.mark.parametrize(("parameters", "lines", "words"), BAD.values(), ids=BAD.keys())
def test_bad_rules(parameters, lines, words):
    with pytest.raises(InputError) as caught:
        simulate(parameters, lines)
    assert words in str(caught.value)
    assert GRAMMAR.fullmatch(str(caught.value)), caught.value


@pytest.mark.parametrize("field", MODELLED)
def test_a_modelled_dose_needs_its_rule(field):
    for model in (
        two_states(),
        two_states(central=lambda p: {"lag": p["lag"]}),
        two_states(gut=rules_of_gut),
    ):
        with pytest.raises(
            InputError, match=f"takes its {field} from the model .*no such rule.*central, {field}="
        ) as one:
            simulate({}, MODELLED[field], model)
        assert GRAMMAR.fullmatch(str(one.value)), one.value


def test_a_rule_that_is_not_a_number():
    model = two_states(central=lambda p: {"lag": tl.log(p["lag"])})
    with pytest.raises(InputError, match="lag of doses into 'central' is nan for 1 dose"):
        simulate({"lag": [2.0, -1.0]}, Regimen.bolus(1, "central"), model)


@pytest.mark.parametrize("rate", [1e-7, 1e-20])
def test_infusions_at_steady_state_without_number_are_refused(rate):
    with pytest.raises(InputError, match="at steady state would run"):
        Regimen.infusion(100.0, "gut", rate=rate, every=1.0, steady_state=True)
