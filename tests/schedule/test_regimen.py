"""Regimens and the event tables made of them."""

from __future__ import annotations

import pickle
import re
from fractions import Fraction

import numpy as np
import pytest
from dosing_case import doses_and_events
from hypothesis import given, settings
from hypothesis import strategies as st
from teorell import InputError, Regimen
from teorell.model.expression import symbol
from teorell.schedule.switch_rows import SwitchTimes

STATES = {"gut": 0, "central": 1, "depot": 2}
INFUSED = {"central": 0, "depot": 1}
BOLUS, START, END, SWITCH, RESET = range(5)


def events(regimen, patients, switches=()):
    return doses_and_events(regimen, STATES, INFUSED, patients, switches)[1]


def table(regimen, patients=1, switches=(), patient=0):
    """The rows of one patient as a list of (time, kind, target, value)."""
    found = events(regimen, patients, switches)
    assert (found.kind.dtype, found.target.dtype, found.offsets.dtype) == (
        np.int32,
        np.int32,
        np.int64,
    )
    assert (found.time.dtype, found.value.dtype) == (np.float64, np.float64)
    assert all(
        column.flags.c_contiguous for column in (found.time, found.kind, found.target, found.value)
    )
    first, last = (
        (0, found.offsets[1]) if found.offsets.size == 2 else found.offsets[patient : patient + 2]
    )
    columns = (found.time, found.kind, found.target, found.value)
    return list(zip(*(column[first:last].tolist() for column in columns), strict=True))


def test_bolus_repeats_at_time_plus_k_every():
    assert table(Regimen.bolus(100, into="central", time=1, every=0.1, doses=4)) == [
        (1.0 + k * 0.1, BOLUS, 1, 100.0) for k in range(4)
    ]


def test_infusion_by_duration_and_by_rate_are_the_same():
    by_duration = table(Regimen.infusion(100, into="central", duration=2, time=3))
    assert by_duration == [(3.0, START, 0, 50.0), (5.0, END, 0, 50.0)]
    assert table(Regimen.infusion(100, into="central", rate=50, time=3)) == by_duration


def test_infusion_of_no_duration_is_a_bolus_into_the_state():
    assert table(Regimen.infusion(100, into="depot", duration=0, time=3))[-1] == (
        3.0,
        BOLUS,
        2,
        100.0,
    )
    assert table(Regimen.infusion(100, into="depot", duration=1e-13, time=1000)) == [
        (1000.0, BOLUS, 2, 100.0)
    ]


def test_exactly_the_amount_goes_in_late():
    rows = table(Regimen.infusion(7, into="central", duration=1e-3, time=1e4 / 3))
    (start, _, _, rate), (end, _, _, _) = rows
    assert rate * (end - start) == pytest.approx(7.0, rel=1e-15)


def test_overlapping_infusions_keep_their_own_rates():
    rows = table(Regimen.infusion(30, into="central", duration=3, every=2, doses=2))
    assert rows == [
        (0.0, START, 0, 10.0),
        (2.0, START, 0, 10.0),
        (3.0, END, 0, 10.0),
        (5.0, END, 0, 10.0),
    ]


def test_order_at_equal_times():
    regimen = (
        Regimen.bolus(1, into="gut", time=2)
        + Regimen.infusion(4, into="central", duration=1, time=2)
        + Regimen.infusion(6, into="central", duration=2)
        + Regimen.bolus(2, into="central", time=2)
    )
    rows = table(regimen, switches=[SwitchTimes(np.asarray(2.0), 1.0, 0.0)])
    assert [row[1] for row in rows] == [START, END, START, SWITCH, BOLUS, BOLUS, END]
    assert [row[2:] for row in rows if row[1] == BOLUS] == [(0, 1.0), (1, 2.0)]


def test_shared_table_if_nothing_differs():
    found = events(Regimen.bolus(100, into="gut"), 1000)
    assert found.offsets.tolist() == [0, 1]
    assert events(None, 1000).offsets.tolist() == [0, 0]
    assert events(Regimen.none(), 1).time.size == 0


def test_arrays_differ_by_patient():
    regimen = Regimen.bolus([1, 2], into="gut", time=[3, 0]) + Regimen.infusion(
        8, into="depot", duration=[0, 4], time=1
    )
    assert table(regimen, 2, patient=0) == [(1.0, BOLUS, 2, 8.0), (3.0, BOLUS, 0, 1.0)]
    assert table(regimen, 2, patient=1) == [
        (0.0, BOLUS, 0, 2.0),
        (1.0, START, 1, 2.0),
        (5.0, END, 1, 2.0),
    ]


def test_list_has_one_regimen_a_patient():
    one = Regimen.bolus(5, into="gut", every=1, doses=2)
    given_list = [
        None,
        one,
        Regimen.infusion(6, into="central", duration=2) + one,
        Regimen.none(),
        one,
    ]
    found = events(given_list, 5)
    assert found.offsets.tolist() == [0, 0, 2, 6, 6, 8]
    for patient, regimen in enumerate(given_list):
        assert table(given_list, 5, patient=patient) == table(regimen)


def test_a_reset_ends_and_drops_what_began_before_it():
    """In time, or in the order of writing at its own time.

    An end that does not come needs no row: all rates are zero.
    """
    regimen = (
        Regimen.bolus(1, into="gut", time=4)
        + Regimen.infusion(6, into="central", duration=3, time=1, every=3, doses=3)
        + Regimen.bolus(2, into="gut", time=1, every=3, doses=3)
        + Regimen.reset(time=4)
        + Regimen.bolus(3, into="gut", time=4)
        + Regimen.infusion(6, into="central", duration=1, time=6)
    )
    assert table(regimen) == [
        (1.0, START, 0, 2.0), (1.0, BOLUS, 0, 2.0), (4.0, RESET, 1, 0.0), (4.0, BOLUS, 0, 3.0),
        (6.0, START, 0, 6.0), (7.0, END, 0, 6.0),
    ]  # fmt: skip


def test_lines_count_in_the_order_of_their_times():
    lines = (
        Regimen.reset(time=3)
        + Regimen.bolus(1, into="gut", time=5)
        + Regimen.bolus(2, into="gut", every=2, doses=4)
    )
    assert table(lines) == [
        (0.0, BOLUS, 0, 2.0),
        (2.0, BOLUS, 0, 2.0),
        (3.0, RESET, 1, 0.0),
        (5.0, BOLUS, 0, 1.0),
    ]


def test_resets_of_patients():
    regimen = (
        Regimen.bolus(1, into="gut", every=2, doses=3)
        + Regimen.reset(time=[1, 3])
        + Regimen.reset(time=[3, 3.5])
    )
    assert table(regimen, 2, patient=0) == [
        (0.0, BOLUS, 0, 1.0),
        (1.0, RESET, 1, 0.0),
        (3.0, RESET, 1, 0.0),
    ]
    assert table(regimen, 2, patient=1) == [
        (0.0, BOLUS, 0, 1.0), (2.0, BOLUS, 0, 1.0), (3.0, RESET, 1, 0.0), (3.5, RESET, 1, 0.0),
    ]  # fmt: skip
    as_list = [
        Regimen.bolus(1, into="gut", every=2, doses=3) + Regimen.reset(time=1) + Regimen.reset(3),
        None,
    ]
    assert table(as_list, 2) == table(regimen, 2)
    assert table(as_list, 2, patient=1) == []


def test_switches():
    thresholds = np.array([-1.0, 0.0, 5.0, np.inf])
    for patient, expected in enumerate([(0.0, 7.0), (0.0, 7.0), (5.0, 7.0), (0.0, 3.0)]):
        for regimen in (None, [None] * 4):
            ((time, kind, target, value),) = table(
                regimen, 4, [SwitchTimes(thresholds, 3.0, 7.0)], patient
            )
            assert ((time, value), kind, target) == (expected, SWITCH, 0)


numbers_ = st.floats(0.0, 50.0, allow_subnormal=False)
lines = st.lists(
    st.tuples(
        st.sampled_from(["bolus", "infusion"]),
        st.sampled_from(["central", "depot"]),
        numbers_,
        st.sampled_from([0.0, 1.0, 6.0, 12.0]) | numbers_,
        st.sampled_from([0.0, 6.0, 12.0, 30.0]) | numbers_,
        st.sampled_from([6.0, 12.0]),
        st.integers(1, 4),
    ),
    max_size=4,
)


def build(kind, into, amount, time, duration, every, doses):
    if kind == "bolus":
        return Regimen.bolus(amount, into, time, every, doses)
    return Regimen.infusion(amount, into, duration, None, time, every, doses)


@settings(deadline=None)
@given(st.lists(lines, min_size=1, max_size=4))
def test_list_array_and_single_patient_agree(population):
    each = [sum((build(*line) for line in one), Regimen.none()) for one in population]
    alone = [table(regimen) for regimen in each]
    for patient, rows in enumerate(alone):
        assert table(each, len(each), patient=patient) == rows
        times = [row[0] for row in rows]
        assert times == sorted(times)
        given_in = sum(amount * doses for _, _, amount, _, _, _, doses in population[patient])
        boluses = sum(value for _, kind, _, value in rows if kind == BOLUS)
        signs = {START: -1, END: 1, BOLUS: 0}
        # exact
        infusions = sum(
            signs[kind] * Fraction(value) * Fraction(time) for time, kind, _, value in rows
        )
        assert boluses + float(infusions) == pytest.approx(given_in, rel=1e-14, abs=1e-300)


@settings(deadline=None)
@given(
    lines.filter(bool), st.lists(st.tuples(numbers_, numbers_, numbers_), min_size=2, max_size=5)
)
def test_arrays_agree_with_patients_alone(regimen, population):
    """Amount, time and duration of the first line differ by patient; the result is as if each ran
    alone.
    """
    kind, into, _, _, _, every, doses = regimen[0]
    amounts, times, durations = (np.array(column) for column in zip(*population, strict=True))
    rest = sum((build(*line) for line in regimen[1:]), Regimen.none())
    together = build(kind, into, amounts, times, durations, every, doses) + rest
    for patient, (amount, time, duration) in enumerate(population):
        alone = build(kind, into, amount, time, duration, every, doses) + rest
        assert table(together, len(population), patient=patient) == table(alone)


def test_many_patients_cross_the_chunks():
    patients = 200_000
    amounts, starts = np.arange(1.0, patients + 1), np.linspace(0.0, 20.0, patients)
    for time in (2.0, starts):
        regimen = Regimen.bolus(amounts, into="gut", time=time, every=12, doses=3) + Regimen.bolus(
            1, into="depot", time=14
        )
        found = events(regimen, patients)
        assert found.time.size == 4 * patients
        assert (np.diff(found.time.reshape(patients, 4), axis=1) >= 0.0).all()
        for patient in (0, 65_535, 65_536, patients - 1):
            at = starts[patient] if isinstance(time, np.ndarray) else time
            alone = Regimen.bolus(amounts[patient], into="gut", time=at, every=12, doses=3)
            assert table(regimen, patients, patient=patient) == table(
                alone + Regimen.bolus(1, into="depot", time=14)
            )


def test_immutable_picklable_readable():
    amounts = np.array([1.0, 2.0])
    regimen = Regimen.bolus(amounts, into="gut") + Regimen.infusion(
        3, into="central", rate=1.5, every=12, doses=2
    )
    amounts[:] = 9.0
    assert [row[3] for row in table(regimen, 2) if row[1] == BOLUS] == [1.0]
    with pytest.raises(AttributeError):
        regimen.lines = ()
    with pytest.raises(ValueError, match="read-only"):
        regimen.lines[0].amount[0] = 5.0
    again = pickle.loads(pickle.dumps(regimen))
    assert table(again, 2) == table(regimen, 2)
    assert repr(regimen) == (
        "Regimen.bolus(<2 values, 1 to 2>, into='gut') + "
        "Regimen.infusion(3, into='central', rate=1.5, every=12, doses=2)"
    )
    assert repr(again) == repr(regimen)
    assert repr(Regimen.none()) == "Regimen.none()"
    others = (
        Regimen.infusion(1, "gut", rate="modelled")
        + Regimen.infusion(1, "gut", duration="modelled", time=2, every=12, steady_state=True)
        + Regimen.reset(time=3)
        + Regimen.infusion(0, "gut", rate=5, steady_state="add")
    )
    assert repr(pickle.loads(pickle.dumps(others))) == (
        "Regimen.infusion(1, into='gut', rate='modelled') + "
        "Regimen.infusion(1, into='gut', duration='modelled', time=2, every=12, doses=1, "
        "steady_state=True) + Regimen.reset(time=3) + Regimen.infusion(0, into='gut', rate=5, "
        "steady_state='add')"
    )


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Regimen.bolus(-1, into="gut"), "amount into 'gut' is -1"),
        (lambda: Regimen.bolus([1, -2, np.nan], into="gut"), "not finite"),
        (lambda: Regimen.bolus([1, -2, 3], into="gut"), "is -2 for patient 1"),
        (lambda: Regimen.bolus(np.nan, into="gut"), "not finite"),
        (lambda: Regimen.bolus(1, into="gut", time=-1), "time into 'gut' is -1"),
        (lambda: Regimen.bolus(1, into="gut", every=0, doses=2), "every into 'gut' is 0"),
        (lambda: Regimen.bolus(1, into="gut", doses=2), "no interval"),
        (lambda: Regimen.bolus(1, into="gut", every=1, doses=0), "doses is 0"),
        (lambda: Regimen.bolus(1, into="gut", every=1, doses=2.0), "doses is 2.0"),
        (lambda: Regimen.bolus(1, into="gut", every=1, doses=True), "doses is True"),
        (lambda: Regimen.bolus(1, into="gut", every=1, doses=10**9), "doses is"),
        (lambda: Regimen.bolus(1, into=""), "into is ''"),
        (lambda: Regimen.bolus(1, into=3), "into is 3"),
        (lambda: Regimen.bolus(np.ones((2, 2)), into="gut"), "shape"),
        (lambda: Regimen.bolus([], into="gut"), "no patients"),
        (lambda: Regimen.bolus([1, 2], into="gut", time=[1, 2, 3]), "3 patients"),
        (
            lambda: Regimen.bolus([1, 2], into="gut") + Regimen.bolus([1, 2, 3], into="gut"),
            "3 patients",
        ),
        (lambda: Regimen.bolus("100", into="gut"), "type str"),
        (lambda: Regimen.bolus(1, into="gut", every=12), "an interval but no number"),
        (
            lambda: Regimen.infusion(1, into="gut", duration=1, every=12),
            "an interval but no number",
        ),
        (lambda: Regimen.bolus(1, into=2 * symbol("state", "gut")), r"into is 2 \* gut"),
        (lambda: Regimen.bolus(1, into=symbol("parameter", "gut")), "into is gut"),
        (lambda: Regimen.infusion(1, into="gut"), "'gut' has neither duration nor rate"),
        (
            lambda: Regimen.infusion(1, into=symbol("state", "gut"), duration=1, rate=1),
            "'gut' has both duration and rate",
        ),
        (lambda: Regimen.infusion(1, into="gut", duration=-1), "duration into 'gut' is -1"),
        (lambda: Regimen.infusion(1, into="gut", rate=0), "rate into 'gut' is 0"),
        (lambda: Regimen.infusion(1e250, into="gut", duration=1e-90), "overflow"),
        (lambda: Regimen.bolus(1, into="gut", every=1e308, doses=9), "overflow"),
        (lambda: Regimen.infusion(1, into="gut", rate="modeled"), "type str"),
        (
            lambda: Regimen.infusion(1, into="gut", rate="modelled", duration=1),
            "both duration and rate",
        ),
        (lambda: Regimen.reset(time=-1), "time .*is -1"),
        (
            lambda: Regimen.bolus(1, into="gut", steady_state=True),
            "steady state without an interval",
        ),
        (
            lambda: Regimen.infusion(1, into="gut", rate=1, steady_state=True),
            "steady state without an interval",
        ),
        (
            lambda: Regimen.infusion(0, into="gut", rate=1, every=12, steady_state=True),
            "amount 0, a rate and an interval",
        ),
        (
            lambda: Regimen.bolus(1, into="gut", every=12, steady_state="yes"),
            "steady_state .* is 'yes'",
        ),
        (lambda: Regimen.bolus(1, into="gut", every=12, steady_state=1), "steady_state .* is 1"),
    ],
)
def test_bad_values(make, words):
    with pytest.raises(InputError, match=words) as caught:
        make()
    # problem (reason). Remedy.
    assert re.fullmatch(r".+ \(.+\)\. .+\.", str(caught.value)), caught.value


def test_into_takes_the_state_or_its_name():
    gut, depot = symbol("state", "gut"), symbol("state", "depot")
    regimen = Regimen.bolus(5, into=gut) + Regimen.infusion(3, into=depot, rate=1.5)
    named = Regimen.bolus(5, into="gut") + Regimen.infusion(3, into="depot", rate=1.5)
    assert table(regimen) == table(named)
    assert repr(pickle.loads(pickle.dumps(regimen))) == repr(named)


def test_one_dose_needs_no_interval_and_an_interval_is_no_harm():
    for regimen in (Regimen.bolus(5, "gut", doses=1), Regimen.bolus(5, "gut", every=12, doses=1)):
        assert table(regimen) == [(0.0, BOLUS, 0, 5.0)]


def test_zero_amount_is_allowed():
    assert table(Regimen.bolus(0, into="gut")) == [(0.0, BOLUS, 0, 0.0)]
    assert table(Regimen.infusion(0, into="central", rate=5)) == [(0.0, BOLUS, 1, 0.0)]
