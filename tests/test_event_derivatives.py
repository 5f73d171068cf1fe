"""Derivatives of the table of events: against differences of the table, and against each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from teorell import InputError, Regimen
from teorell.event_derivatives import (
    pull_back_doses,
    pull_back_switches,
    push_forward_doses,
    push_forward_switches,
    undefined,
)
from teorell.regimen import SwitchTimes, events

STATES = {"gut": 0, "central": 1}
INFUSED = {"gut": 0, "central": 1}

FIELDS = {
    "bolus": ("amount", "time", "every"),
    "duration": ("amount", "time", "every", "duration"),
    "rate": ("amount", "time", "every", "rate"),
    "short": ("amount", "time", "every"),  # of duration 0 for some patients: no derivative by it
}
# Sums of 1/16 have no rounding errors; a field is far enough from the others' effects for the differences below.
sixteenths = {
    "amount": st.integers(16, 800), "time": st.integers(8, 400), "every": st.integers(8, 200),
    "duration": st.integers(16, 400), "rate": st.integers(16, 160),
}  # fmt: skip
H = 2.0**-7


@st.composite
def cases(draw):
    """Lines as (kind, into, doses, fields), thresholds, and the number of patients."""
    patients = draw(st.integers(1, 4))

    def array(elements):
        shared = draw(st.booleans())
        return np.array(draw(elements) if shared else [draw(elements) for _ in range(patients)], np.float64)

    lines = []
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from(sorted(FIELDS)))
        fields = {field: array(sixteenths[field]) / 16 for field in FIELDS[kind]}
        if kind == "short":
            fields["duration"] = array(st.sampled_from([0, 0, 4, 80])) / 16
        lines.append((kind, draw(st.sampled_from(sorted(STATES))), draw(st.integers(1, 4)), fields))
    thresholds = [array(st.sampled_from([-1.0, np.inf, 2.5, 7.0])) for _ in range(draw(st.integers(0, 2)))]
    seed = draw(st.integers(0, 2**32 - 1))
    return patients, lines, thresholds, seed


def table(patients, lines, thresholds):
    """The regimen, its switches and its events."""
    regimen = Regimen.none()
    for kind, into, doses, fields in lines:
        make = Regimen.bolus if kind == "bolus" else Regimen.infusion
        regimen += make(into=into, doses=doses, **fields)
    switches = [SwitchTimes(threshold, 1.0, 0.0) for threshold in thresholds]
    return regimen, switches, events(regimen, STATES, INFUSED, patients, switches)


def unsorted(found, rows):
    """Columns of a table, or tangents (patients or 1, rows), in the order before it was sorted."""
    origin = found.origin.reshape(found.offsets.size - 1, -1)
    rows = rows.reshape(-1, origin.shape[1])
    return np.take_along_axis(rows, np.argsort(np.broadcast_to(origin, rows.shape), axis=1), axis=1)


def random_tangents(lines, thresholds, seed):
    """A direction for each field and threshold, in its shape, of sixteenths."""
    rng = np.random.default_rng(seed)

    def like(value):
        return rng.integers(-16, 17, np.shape(value)) / 16.0

    return [{f: like(lines_fields[f]) for f in FIELDS[kind]} for kind, _, _, lines_fields in lines], [
        like(threshold) for threshold in thresholds
    ]


def push_forward(regimen, switches, found, line_dots, switch_dots):
    value, time = push_forward_doses(regimen.lines, found, line_dots)
    time = time + push_forward_switches(found, switches, switch_dots)
    rows = found.time.size // (found.offsets.size - 1)
    return [each.reshape(each.size // rows if rows else 1, rows) for each in (value, time)]


@given(cases())
def test_tangents_are_differences_of_the_table(case):
    patients, lines, thresholds, seed = case
    line_dots, switch_dots = random_tangents(lines, thresholds, seed)
    regimen, switches, found = table(patients, lines, thresholds)
    assume(found.time.size)
    tangents = push_forward(regimen, switches, found, line_dots, switch_dots)

    def moved(h):
        """Value and time, unsorted, where everything has gone h along the direction."""
        there = [
            (kind, into, doses, fields | {f: fields[f] + h * dot for f, dot in dots.items()})
            for (kind, into, doses, fields), dots in zip(lines, line_dots, strict=True)
        ]
        at = table(patients, there, [t + h * dot for t, dot in zip(thresholds, switch_dots, strict=True)])[2]
        return [unsorted(at, at.value), unsorted(at, at.time)]

    differences = {}
    for h in (H, 2 * H, 4 * H):
        differences[h] = [(up - down) / (2 * h) for up, down in zip(moved(h), moved(-h), strict=True)]
    for which, tangent in enumerate(tangents):
        one, two, four = (differences[h][which] for h in (H, 2 * H, 4 * H))
        first, second = (4 * one - two) / 3, (4 * two - four) / 3  # Richardson: the error is of order h^6
        expected = (16 * first - second) / 15
        np.testing.assert_allclose(
            np.broadcast_to(unsorted(found, tangent), expected.shape), expected, rtol=1e-7, atol=1e-7
        )


@given(cases())
def test_the_two_ways_are_adjoint(case):
    patients, lines, thresholds, seed = case
    line_dots, switch_dots = random_tangents(lines, thresholds, seed)
    regimen, switches, found = table(patients, lines, thresholds)
    rows = found.time.size // (found.offsets.size - 1)
    value_bar, time_bar = np.random.default_rng(seed).standard_normal((2, patients, rows))
    value_dot, time_dot = push_forward(regimen, switches, found, line_dots, switch_dots)
    forward = np.sum(value_dot * value_bar) + np.sum(time_dot * time_bar)
    bars = pull_back_doses(regimen.lines, found, value_bar, time_bar)
    parts = [
        bar * dots[field]
        for each, dots in zip(bars, line_dots, strict=True)
        for field, bar in each.items()
        if field in dots
    ]
    switch_bars = pull_back_switches(found, switches, time_bar)
    parts += [bar * dot for bar, dot in zip(switch_bars, switch_dots, strict=True)]
    size = 1.0 + sum(np.abs(part).sum() for part in parts)
    assert abs(forward - sum(part.sum() for part in parts)) < 1e-13 * size


@given(cases())
def test_a_patient_alone_has_the_same_bits(case):
    patients, lines, thresholds, seed = case
    regimen, switches, found = table(patients, lines, thresholds)
    rows = found.time.size // (found.offsets.size - 1)
    value_bar, time_bar = np.random.default_rng(seed).standard_normal((2, patients, rows))
    bars = pull_back_doses(regimen.lines, found, value_bar, time_bar)
    switch_bars = pull_back_switches(found, switches, time_bar)
    # The bolus of a short infusion has a row wherever one patient needs it: a patient alone has other rows then.
    if any(line.may_be_short() for line in regimen.lines):
        return
    for patient in range(patients):

        def one(value, patient=patient):
            return value[patient] if np.ndim(value) else value

        alone = [(*line[:3], {field: one(value) for field, value in line[3].items()}) for line in lines]
        regimen, switches, found_alone = table(1, alone, [one(threshold) for threshold in thresholds])
        origin = found.origin.reshape(found.offsets.size - 1, -1)[patient if found.offsets.size > 2 else 0]
        np.testing.assert_array_equal(found_alone.origin, origin)
        row = slice(patient, patient + 1)
        again = pull_back_doses(regimen.lines, found_alone, value_bar[row], time_bar[row])
        for together, apart in zip(bars, again, strict=True):
            for field, bar in apart.items():
                assert bar[0] == together[field][patient]
        for together, apart in zip(switch_bars, pull_back_switches(found_alone, switches, time_bar[row]), strict=True):
            assert apart[0] == together[patient]


def test_origin_undoes_the_order_of_each_patient():
    regimen = Regimen.bolus(1, "gut", time=[5, 1]) + Regimen.infusion(6, "central", duration=2, time=[2, 3])
    found = events(regimen, STATES, INFUSED, 2, [SwitchTimes(np.array([4.0, 0.0]), 1.0, 0.0)])
    assert found.origin.reshape(2, 4).tolist() == [[1, 2, 3, 0], [3, 0, 1, 2]]
    np.testing.assert_array_equal(unsorted(found, found.time), [[5, 2, 4, 4], [1, 3, 5, 0]])
    np.testing.assert_array_equal(unsorted(found, found.value), [[1, 3, 3, 0], [1, 3, 3, 0]])
    (bolus, infusion) = pull_back_doses(
        regimen.lines, found, np.array([[10.0, 20, 0, 30], [0, 30, 10, 20]]), np.array([[1.0, 2, 8, 3], [8, 3, 1, 2]])
    )
    np.testing.assert_array_equal(bolus["amount"], [30, 30])
    np.testing.assert_array_equal(bolus["time"], [3, 3])
    np.testing.assert_array_equal(infusion["time"], [3, 3])
    np.testing.assert_array_equal(infusion["amount"], [15, 15])
    np.testing.assert_array_equal(infusion["duration"], [2 - 30 * 1.5, 2 - 30 * 1.5])


def test_short_infusions_are_boluses_without_a_derivative_by_duration():
    regimen = Regimen.infusion(7, "central", duration=[0, 2, 1e-14], time=20, every=6, doses=2)
    (line,) = regimen.lines
    assert undefined(line, "duration").tolist() == [True, False, True]
    assert not undefined(line, "amount").any()
    found = events(regimen, STATES, INFUSED, 3)
    value_bar, time_bar = np.random.default_rng(0).standard_normal((2, 3, 6))
    (bars,) = pull_back_doses(regimen.lines, found, value_bar, time_bar)
    boluses = (found.kind == 0).reshape(3, 6)
    for patient in (0, 2):
        assert bars["amount"][patient] == value_bar[patient][boluses[patient]].sum()
    np.testing.assert_array_equal(np.isnan(bars["duration"]), [True, False, True])
    np.testing.assert_allclose(bars["time"], time_bar.sum(axis=1), rtol=1e-14)
    with pytest.raises(
        InputError, match=r"by the duration of an infusion into 'central' .*for 2 patients, the first is"
    ):
        push_forward_doses(regimen.lines, found, [{"duration": [1.0, 1.0, -1.0]}])
    by_rate = Regimen.infusion([0, 4], "gut", rate=2)
    with pytest.raises(InputError, match=r"by the rate of an infusion into 'gut' .*for 1 patient"):
        push_forward_doses(by_rate.lines, events(by_rate, STATES, INFUSED, 2), [{"rate": 1.0}])


def test_switches_of_a_list_of_regimens():
    """Rows of patients lie one after the other, as many as each has."""
    given_list = [Regimen.bolus(1, "gut", time=3), None, Regimen.bolus(1, "gut", every=1, doses=2)]
    switches = [SwitchTimes(np.array([2.0, np.inf, -1.0]), 1.0, 0.0), SwitchTimes(np.asarray(0.5), 0.0, 1.0)]
    found = events(given_list, STATES, INFUSED, 3, switches)
    assert found.offsets.tolist() == [0, 3, 5, 9]
    bar = np.arange(10.0, 19.0)
    first, second = pull_back_switches(found, switches, bar)
    at = [int(np.flatnonzero((found.kind == 3) & (found.target == 0))[0])]
    np.testing.assert_array_equal(first, [bar[at[0]], 0.0, 0.0])
    np.testing.assert_array_equal(second, bar[(found.kind == 3) & (found.target == 1)])
    dot = push_forward_switches(found, switches, [np.array([1.0, 2.0, 3.0]), 5.0])
    assert dot.shape == (9,)
    assert dot @ bar == 1.0 * first[0] + 5.0 * second.sum()
    equal = events([None, None], STATES, INFUSED, 2, switches[1:])
    np.testing.assert_array_equal(push_forward_switches(equal, switches[1:], [np.array([1.0, 2.0])]), [1.0, 2.0])


def test_a_threshold_at_zero_moves_to_later_times():
    switches = [SwitchTimes(np.zeros(()), 1.0, 0.0)]
    found = events(None, STATES, INFUSED, 1, switches)
    np.testing.assert_array_equal(push_forward_switches(found, switches, [2.0]), [[2.0]])


def test_tangents_of_patients_through_a_shared_table():
    regimen = Regimen.infusion(6, "central", duration=2, time=1) + Regimen.bolus(1, "gut")
    found = events(regimen, STATES, INFUSED, 5)
    assert found.offsets.size == 2
    value, time = push_forward_doses(regimen.lines, found, [{"amount": np.arange(5.0)}, {"time": 1.0}])
    np.testing.assert_array_equal(value, np.arange(5.0)[:, None] * [0.0, 0.5, 0.5])
    np.testing.assert_array_equal(time, [[1.0, 0.0, 0.0]])
