"""Derivatives of the table of events and of rules of doses: against differences of the table, and
against each other.
"""

from __future__ import annotations

import numpy as np
import pytest
from dosing_case import doses_and_events, regimen_of
from hypothesis import assume, given
from hypothesis import strategies as st
from teorell import InputError, Regimen, exp
from teorell.model.declarations import Dosing
from teorell.model.expression import symbol
from teorell.schedule.dose import MODELLED_DURATION, MODELLED_RATE
from teorell.schedule.switch_rows import SwitchTimes
from teorell.schedule.timeline_derivatives import (
    check_defined,
    pull_back_rows,
    pull_back_switches,
    push_forward_rows,
    push_forward_switches,
    undefined,
)
from teorell.schedule.timeline_rows import BOLUS, DOSE, EMPTYING, END, START, SWITCHING

STATES = {"gut": 0, "central": 1}
INFUSED = {"gut": 0, "central": 1}

FIELDS = {
    "bolus": ("amount", "time", "every"),
    "duration": ("amount", "time", "every", "duration"),
    "rate": ("amount", "time", "every", "rate"),
    "short": ("amount", "time", "every"),  # of duration 0 for some patients: no derivative by it
    "modelled rate": ("amount", "time", "every"),
    "modelled duration": ("amount", "time", "every"),
    "reset": ("time",),
}
p, q, r, d = (symbol("parameter", name) for name in "pqrd")
RULES = {
    "gut": Dosing(lag=p * q / 4, bioavailability=exp(-q / 8), rate=r, duration=d * (1 + p / 16)),
    "central": Dosing(lag=p / 2, rate=r * (1 + q / 16), duration=d),
}
# Sums of 1/16 have no rounding errors; a field is far enough from the others' effects for the
# differences below.
sixteenths = {
    "amount": st.integers(16, 800), "time": st.integers(8, 400), "every": st.integers(8, 200),
    "duration": st.integers(16, 400), "rate": st.integers(16, 160), p: st.integers(16, 80),
    q: st.integers(16, 80), r: st.integers(16, 160), d: st.integers(16, 400),
}  # fmt: skip
H = 2.0**-9
NUMBERS = ("amount", "time", "every", "extent")


@st.composite
def cases(draw):
    """Patients, lines as (kind, into, doses, fields), values of parameters, rules, thresholds, and
    a seed.
    """
    patients = draw(st.integers(1, 4))

    def array(elements):
        shared = draw(st.booleans())
        return np.array(
            draw(elements) if shared else [draw(elements) for _ in range(patients)], np.float64
        )

    lines = []
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(sorted(FIELDS)))
        fields = {field: array(sixteenths[field]) / 16 for field in FIELDS[kind]}
        if kind == "short":
            fields["duration"] = array(st.sampled_from([0, 0, 4, 80])) / 16
        lines.append((kind, draw(st.sampled_from(sorted(STATES))), draw(st.integers(1, 4)), fields))
    ruled = any(kind.startswith("modelled") for kind, *_ in lines) or draw(st.booleans())
    parameters = {name: array(sixteenths[name]) / 16 for name in (p, q, r, d)} if ruled else {}
    thresholds = [
        array(st.sampled_from([-1.0, np.inf, 2.5, 7.0])) for _ in range(draw(st.integers(0, 2)))
    ]
    seed = draw(st.integers(0, 2**32 - 1))
    return patients, lines, parameters, RULES if ruled else {}, thresholds, seed


def table(patients, lines, parameters, rules, thresholds):
    """The doses, the switches and the events."""
    switches = [SwitchTimes(threshold, 1.0, 0.0) for threshold in thresholds]
    doses, found = doses_and_events(
        regimen_of(lines), STATES, INFUSED, patients, switches, rules, parameters
    )
    return doses, switches, found


def names(found):
    """What tells the rows of a table apart."""
    return list(zip(found.owner, found.role, found.source, found.number, strict=True))


def random_tangents(lines, parameters, thresholds, seed):
    """A direction for each field, parameter and threshold, in its shape, of sixteenths."""
    rng = np.random.default_rng(seed)

    def like(value):
        return rng.integers(-16, 17, np.shape(value)) / 16.0

    return (
        [{f: like(fields[f]) for f in FIELDS[kind]} for kind, _, _, fields in lines],
        {name: like(value) for name, value in parameters.items()},
        [like(threshold) for threshold in thresholds],
    )


def of_numbers(doses, line_dots):
    """The tangents (rows,) of the numbers of the table of doses."""
    result = {name: np.zeros(len(doses.amount)) for name in NUMBERS}
    for number, dots in enumerate(line_dots):
        for field, dot in dots.items():
            name = field if field in NUMBERS else "extent"
            result[name][number :: len(line_dots)] = dot
    return result


def at_rows(doses, dot, rows):
    return dot[doses.table.owner[rows]] if np.ndim(dot) else dot


def of_rules(doses, parameter_dots):
    """The tangents (rows,) of what the rules say."""
    result = {
        field: np.zeros(len(doses.amount))
        for field in ("lag", "bioavailability", "rate", "duration")
    }
    for rule in doses.rules:
        for name, dot in parameter_dots.items():
            if name.name in rule.slopes:
                result[rule.field][rule.rows] += rule.slopes[name.name] * at_rows(
                    doses, dot, rule.rows
                )
    return result


def push_forward(doses, switches, found, line_dots, parameter_dots, switch_dots):
    fields = doses.push_forward(of_numbers(doses, line_dots), of_rules(doses, parameter_dots))
    value, time = push_forward_rows(doses, found, fields)
    return value, time + push_forward_switches(found, switches, switch_dots)


def pull_back(doses, found, value_bar, time_bar):
    return doses.pull_back(**pull_back_rows(doses, found, value_bar, time_bar))


@given(cases())
def test_tangents_are_differences_of_the_table(case):
    patients, lines, parameters, rules, thresholds, seed = case
    dots = random_tangents(lines, parameters, thresholds, seed)
    doses, switches, found = table(patients, lines, parameters, rules, thresholds)
    assume(found.time.size)
    tangents = push_forward(doses, switches, found, *dots)
    sequence = sorted(range(found.time.size), key=names(found).__getitem__)

    def moved(h):
        """Value and time, where everything has gone h along the direction, in
        the order of `names`.
        """
        line_dots, parameter_dots, switch_dots = dots
        there = [
            (kind, into, doses, fields | {f: fields[f] + h * dot for f, dot in each.items()})
            for (kind, into, doses, fields), each in zip(lines, line_dots, strict=True)
        ]
        values = {name: value + h * parameter_dots[name] for name, value in parameters.items()}
        times = [t + h * dot for t, dot in zip(thresholds, switch_dots, strict=True)]
        _, _, at = table(patients, there, values, rules, times)
        rows = sorted(range(at.time.size), key=names(at).__getitem__)
        # A dose that comes so near to a reset may be dropped or not.
        assume([names(at)[k] for k in rows] == [names(found)[k] for k in sequence])
        return [at.value[rows], at.time[rows]]

    differences = {}
    for h in (H, 2 * H, 4 * H):
        differences[h] = [
            (up - down) / (2 * h) for up, down in zip(moved(h), moved(-h), strict=True)
        ]
    for which, tangent in enumerate(tangents):
        one, two, four = (differences[h][which] for h in (H, 2 * H, 4 * H))
        # Richardson: the error is of order h^6
        first, second = (4 * one - two) / 3, (4 * two - four) / 3
        expected = (16 * first - second) / 15
        np.testing.assert_allclose(tangent[sequence], expected, rtol=1e-7, atol=1e-7)


@given(cases())
def test_the_two_ways_are_adjoint(case):
    patients, lines, parameters, rules, thresholds, seed = case
    line_dots, parameter_dots, switch_dots = random_tangents(lines, parameters, thresholds, seed)
    doses, switches, found = table(patients, lines, parameters, rules, thresholds)
    value_bar, time_bar = np.random.default_rng(seed).standard_normal((2, found.time.size))
    value_dot, time_dot = push_forward(
        doses, switches, found, line_dots, parameter_dots, switch_dots
    )
    forward = value_dot @ value_bar + time_dot @ time_bar
    numbers_bar, rules_bar = pull_back(doses, found, value_bar, time_bar)
    parts = [numbers_bar[name] * dot for name, dot in of_numbers(doses, line_dots).items()]
    for rule in doses.rules:
        for name, slope in rule.slopes.items():
            dot = at_rows(doses, parameter_dots[symbol("parameter", name)], rule.rows)
            parts.append(rules_bar[rule.field][rule.rows] * slope * dot)
    switch_bars = pull_back_switches(found, switches, time_bar)
    parts += [bar * dot for bar, dot in zip(switch_bars, switch_dots, strict=True)]
    size = 1.0 + sum(np.abs(part).sum() for part in parts)
    assert abs(forward - sum(part.sum() for part in parts)) < 1e-13 * size


@given(cases(), st.integers(2, 5))
def test_the_two_ways_are_adjoint_where_patients_share_the_table(case, patients):
    """Then tangents and cotangents are (rows, patients), and each column is as if it were alone."""
    _, lines, parameters, rules, _, seed = case
    lines = [
        (*one[:3], {field: np.ravel(value)[0] for field, value in one[3].items()}) for one in lines
    ]
    parameters = {name: np.ravel(value)[0] for name, value in parameters.items()}
    doses, _, found = table(patients, lines, parameters, rules, [])
    assert found.offsets.size == 2
    rng = np.random.default_rng(seed)
    number_dots, rule_dots = ({k: rng.standard_normal((len(doses.amount),
    patients)) for k in of(doses, {})}
                              for of in (of_numbers, of_rules))  # fmt: skip
    by_rate, by_duration = doses.table.kind == MODELLED_RATE, doses.table.kind == MODELLED_DURATION
    number_dots["extent"][by_rate | by_duration] = 0.0
    rule_dots["rate"][~by_rate] = rule_dots["duration"][~by_duration] = 0.0
    fields = doses.push_forward(number_dots, rule_dots)
    rows = push_forward_rows(doses, found, fields)
    bars = rng.standard_normal((2, found.time.size, patients))
    pulled = pull_back(doses, found, *bars)
    for k in range(patients):
        alone = doses.push_forward(
            *({name: dot[:, k] for name, dot in of.items()} for of in (number_dots, rule_dots))
        )
        for together, apart in zip(rows, push_forward_rows(doses, found, alone), strict=True):
            np.testing.assert_array_equal(together[:, k], apart)
        for together, apart in zip(pulled, pull_back(doses, found, *bars[..., k]), strict=True):
            for name, bar in apart.items():
                np.testing.assert_array_equal(together[name][:, k], bar)
    forward = sum(np.sum(row * bar) for row, bar in zip(rows, bars, strict=True))
    pairs = zip(pulled, (number_dots, rule_dots), strict=True)
    parts = [mine[name] * dot for mine, dots in pairs for name, dot in dots.items()]
    assert abs(forward - sum(part.sum() for part in parts)) < 1e-13 * (
        1.0 + sum(np.abs(part).sum() for part in parts)
    )


@given(cases())
def test_a_patient_alone_has_the_same_bits(case):
    patients, lines, parameters, rules, thresholds, seed = case
    doses, switches, found = table(patients, lines, parameters, rules, thresholds)
    value_bar, time_bar = np.random.default_rng(seed).standard_normal((2, found.time.size))
    together = pull_back(doses, found, value_bar, time_bar)
    switch_bars = pull_back_switches(found, switches, time_bar)
    assume(found.offsets.size == patients + 1)
    for patient in range(patients):

        def one(value, patient=patient):
            return value[patient] if np.ndim(value) else value

        alone = [
            (*each[:3], {field: one(value) for field, value in each[3].items()}) for each in lines
        ]
        values = {name: one(value) for name, value in parameters.items()}
        doses_alone, switches, found_alone = table(
            1, alone, values, rules, [one(each) for each in thresholds]
        )
        rows = slice(*found.offsets[patient : patient + 2])
        records = slice(*doses.table.offsets[patient : patient + 2])
        for name in ("time", "kind", "target", "value", "role", "number"):
            np.testing.assert_array_equal(getattr(found_alone, name), getattr(found, name)[rows])
        apart = pull_back(doses_alone, found_alone, value_bar[rows], time_bar[rows])
        for both, mine in zip(together, apart, strict=True):
            for name, bar in mine.items():
                np.testing.assert_array_equal(bar, both[name][records])
        own = pull_back_switches(found_alone, switches, time_bar[rows])
        for both, mine in zip(switch_bars, own, strict=True):
            assert mine[0] == both[patient]


def test_rows_know_where_they_come_from():
    regimen = Regimen.bolus(1, "gut", time=[5, 1]) + Regimen.infusion(
        6, "central", duration=2, time=[2, 3]
    )
    switches = [SwitchTimes(np.array([4.0, 0.0]), 1.0, 0.0)]
    doses, found = doses_and_events(regimen, STATES, INFUSED, 2, switches)
    assert found.role.reshape(2, 4).tolist() == [
        [START, END, SWITCHING, DOSE],
        [SWITCHING, DOSE, START, END],
    ]
    assert found.source.reshape(2, 4).tolist() == [[1, 1, 0, 0], [0, 2, 3, 3]]
    np.testing.assert_array_equal(found.time.reshape(2, 4), [[2, 4, 4, 5], [0, 1, 3, 5]])
    np.testing.assert_array_equal(found.value.reshape(2, 4), [[3, 3, 0, 1], [0, 1, 3, 3]])
    value_bar, time_bar = (
        np.array([10.0, 20, 0, 30, 0, 30, 10, 20]),
        np.array([1.0, 2, 8, 3, 8, 3, 1, 2]),
    )
    numbers, _ = pull_back(doses, found, value_bar, time_bar)
    np.testing.assert_array_equal(numbers["amount"], [30, 15, 30, 15])
    np.testing.assert_array_equal(numbers["time"], [3, 3, 3, 3])
    np.testing.assert_array_equal(numbers["extent"], [0, 2 - 30 * 1.5, 0, 2 - 30 * 1.5])


def test_what_a_reset_drops_has_no_derivative():
    """A bolus each hour, an infusion from 2.25 to 5.25, a reset at 2.5 and a bolus after it."""
    regimen = (
        Regimen.bolus(1, "gut", every=1, doses=5)
        + Regimen.infusion(6, "central", duration=3, time=2.25)
        + Regimen.reset(2.5)
        + Regimen.bolus(1, "gut", time=3)
    )
    doses, found = doses_and_events(regimen, STATES, INFUSED)
    assert found.role.tolist() == [DOSE, DOSE, DOSE, START, EMPTYING, DOSE]
    assert found.source.tolist() == [0, 0, 0, 1, 2, 3]
    value_bar, time_bar = np.arange(1.0, 7.0), np.arange(10.0, 70.0, 10.0)
    numbers, _ = pull_back(doses, found, value_bar, time_bar)
    np.testing.assert_array_equal(numbers["amount"], [1 + 2 + 3, 4.0 / 3, 0, 6])
    np.testing.assert_array_equal(numbers["time"], [10 + 20 + 30, 40, 50, 60])
    np.testing.assert_array_equal(numbers["every"], [20 + 2 * 30, 0, 0, 0])
    np.testing.assert_array_equal(numbers["extent"], [0, -4 * 2.0 / 3, 0, 0])


def test_short_infusions_are_boluses_without_a_derivative_by_duration():
    regimen = Regimen.infusion(7, "central", duration=[0, 2, 1e-14], time=20, every=6, doses=2)
    doses, found = doses_and_events(regimen, STATES, INFUSED, 3)
    assert undefined(doses).tolist() == [True, False, True]
    value_bar, time_bar = np.random.default_rng(0).standard_normal((2, found.time.size))
    numbers, _ = pull_back(doses, found, value_bar, time_bar)
    for patient in (0, 2):
        rows = slice(*found.offsets[patient : patient + 2])
        assert found.kind[rows].tolist() == [BOLUS, BOLUS]
        assert numbers["amount"][patient] == value_bar[rows].sum()
    np.testing.assert_allclose(
        numbers["time"], np.add.reduceat(time_bar, found.offsets[:-1]), rtol=1e-14
    )
    with pytest.raises(
        InputError,
        match=r"by the duration or rate of an infusion into 'central' .*for 2 records, the first "
        r"is of patient 0",
    ):
        check_defined(doses, np.array([1.0, 1.0, -1.0]))
    check_defined(doses, np.array([0.0, 1.0, 0.0]))
    by_rate, _ = doses_and_events(Regimen.infusion([0, 4], "gut", rate=2), STATES, INFUSED, 2)
    with pytest.raises(InputError, match=r"of an infusion into 'gut' .*for 1 record"):
        check_defined(by_rate, np.ones(2))


def test_an_infusion_of_nothing_at_a_rate_is_a_bolus_by_its_amount():
    """And has a derivative by it: more would go in for longer, but no later than at once."""
    doses, found = doses_and_events(Regimen.infusion([0, 4], "gut", rate=2), STATES, INFUSED, 2)
    numbers = {name: np.zeros(2) for name in NUMBERS} | {"amount": np.ones(2)}
    fields = doses.push_forward(numbers, of_rules(doses, {}))
    value, time = push_forward_rows(doses, found, fields)
    np.testing.assert_array_equal(value, [1, 0, 0])
    np.testing.assert_array_equal(time, [0, 0, 0.5])


def test_switches_of_a_list_of_regimens():
    """Rows of patients lie one after the other, as many as each has."""
    given_list = [Regimen.bolus(1, "gut", time=3), None, Regimen.bolus(1, "gut", every=1, doses=2)]
    switches = [
        SwitchTimes(np.array([2.0, np.inf, -1.0]), 1.0, 0.0),
        SwitchTimes(np.asarray(0.5), 0.0, 1.0),
    ]
    _, found = doses_and_events(given_list, STATES, INFUSED, 3, switches)
    assert found.offsets.tolist() == [0, 3, 5, 9]
    bar = np.arange(10.0, 19.0)
    first, second = pull_back_switches(found, switches, bar)
    at = [int(np.flatnonzero((found.kind == 3) & (found.target == 0))[0])]
    np.testing.assert_array_equal(first, [bar[at[0]], 0.0, 0.0])
    np.testing.assert_array_equal(second, bar[(found.kind == 3) & (found.target == 1)])
    dot = push_forward_switches(found, switches, [np.array([1.0, 2.0, 3.0]), 5.0])
    assert dot.shape == (9,)
    assert dot @ bar == 1.0 * first[0] + 5.0 * second.sum()
    _, equal = doses_and_events([None, None], STATES, INFUSED, 2, switches[1:])
    np.testing.assert_array_equal(
        push_forward_switches(equal, switches[1:], [np.array([1.0, 2.0])]), [1.0, 2.0]
    )


def test_a_threshold_at_zero_moves_to_later_times():
    switches = [SwitchTimes(np.zeros(()), 1.0, 0.0)]
    _, found = doses_and_events(None, STATES, INFUSED, 1, switches)
    np.testing.assert_array_equal(push_forward_switches(found, switches, [2.0]), [2.0])


def test_tangents_of_patients_through_a_shared_table():
    regimen = Regimen.infusion(6, "central", duration=2, time=1) + Regimen.bolus(1, "gut")
    doses, found = doses_and_events(regimen, STATES, INFUSED, 5)
    assert found.offsets.size == 2
    numbers = {name: np.zeros((2, 5)) for name in NUMBERS}
    numbers["amount"][0], numbers["time"][1] = np.arange(5.0), 1.0
    no_rules = {name: np.zeros((2, 5)) for name in of_rules(doses, {})}
    value, time = push_forward_rows(doses, found, doses.push_forward(numbers, no_rules))
    np.testing.assert_array_equal(value.T, np.arange(5.0)[:, None] * [0.0, 0.5, 0.5])
    np.testing.assert_array_equal(time.T, np.tile([1.0, 0.0, 0.0], (5, 1)))
