"""The time after a dose: in rates, conditions and outputs against a closed form, and all its
derivatives against the complex step of that.

The body loses drug at the rate k (1 + a exp(-s / tau)) + b [s < w] + g exp(-r / tau), with s and r
the times after doses into the body and into a pool, which keeps what it is given.
"""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
import teorell as tl
from teorell import InputError, ModelError, Regimen

TIGHT = {"rtol": 1e-11, "atol": 1e-12}
STEP = 1e-100
DEFAULTS = {
    "k": 0.15, "a": 1.5, "tau": 3.0, "b": 0.2, "w": 2.0, "g": 0.3, "lag": 0.75, "later": 0.25,
}  # fmt: skip
GRAMMAR = re.compile(r".+ \(.+\)\. .+[.?]", re.DOTALL)  # problem (reason). Remedy.


def model_of(initial=0.0):
    model = tl.Model("induced by its doses")
    p = dict(zip(DEFAULTS, model.parameters(**DEFAULTS), strict=True))
    body = model.state("body", initial)
    pool = model.state("pool")
    s, r = model.time_after_dose(body), model.time_after_dose("pool")
    loss = p["k"] * (1 + p["a"] * tl.exp(-s / p["tau"])) + p["b"] * tl.where(s < p["w"], 1, 0)
    model.flow(body, None, (loss + p["g"] * tl.exp(-r / p["tau"])) * body)
    model.rate(pool, 0 * body)
    model.output("body", body)
    model.output("since", s)
    model.dosing(body, lag=p["lag"])
    model.dosing(pool, lag=p["later"])
    return model


MODEL = model_of()


def body_at(t, p, into_body, into_pool, start=0.0):
    """The body at t, from (arrival, amount) of boluses and arrivals in the pool; may be complex."""

    def lost(x, y):
        """From one time after a dose to the next, with the last dose into each at x's zero."""
        of = p["k"] * (y - x - p["a"] * p["tau"] * (np.exp(-y / p["tau"]) - np.exp(-x / p["tau"])))
        return of + p["b"] * (least(y, p["w"]) - least(x, p["w"]))

    def lost_by_pool(x, y):
        return -p["g"] * p["tau"] * (np.exp(-y / p["tau"]) - np.exp(-x / p["tau"]))

    events = [(at, amount, True) for at, amount in into_body]
    events += [(at, 0.0, False) for at in into_pool]
    events = sorted([e for e in events if e[0].real <= t], key=lambda e: e[0].real)
    amount, now, dosed, pooled = start + 0j, 0.0, None, None
    for at, more, to_body in [*events, (t, 0.0, None)]:
        gone = p["k"] * (at - now) if dosed is None else lost(now - dosed, at - dosed)
        gone = gone + (0.0 if pooled is None else lost_by_pool(now - pooled, at - pooled))
        amount, now = amount * np.exp(-gone) + more, at
        dosed = at if to_body else dosed
        pooled = at if to_body is False else pooled
    return amount


def least(x, y):
    return x if x.real < y.real else y


HISTORY = {  # the numbers of doses, with a name for each
    "amount": 100.0, "time": 1.0, "every": 7.0, "more": 40.0, "at": 13.25, "infused": 3.5,
    "duration": 2.5,
}  # fmt: skip
TIMES = np.array([0.5, 2.0, 3.0, 5.0, 8.1, 9.5, 12.0, 14.2, 17.0, 24.0]) + 0.0123


def regimen_of(h):
    """A train of doses, one dose more, and an infusion into the pool."""
    regimen = Regimen.bolus(h["amount"], into="body", time=h["time"], every=h["every"], doses=3)
    regimen += Regimen.bolus(h["more"], into="body", time=h["at"])
    return regimen + Regimen.infusion(5.0, into="pool", time=h["infused"], duration=h["duration"])


def exact(p, h):
    train = [(h["time"] + p["lag"] + k * h["every"], h["amount"]) for k in range(3)]
    into_body = [*train, (h["at"] + p["lag"], h["more"])]
    return np.array([body_at(t, p, into_body, [h["infused"] + p["later"]]) for t in TIMES])


def slope_of_exact(name):
    """d exact / d a parameter or a number of the doses, (times,)."""
    p, h = dict(DEFAULTS), dict(HISTORY)
    (p if name in p else h)[name] += 1j * STEP
    return exact(p, h).imag / STEP


INPUTS = {  # name -> the input of a gradient and its place
    **{name: ("parameters", name) for name in DEFAULTS},
    "amount": ("doses", 0, "amount"), "time": ("doses", 0, "time"), "every": ("doses", 0, "every"),
    "more": ("doses", 1, "amount"), "at": ("doses", 1, "time"), "infused": ("doses", 2, "time"),
    "duration": ("doses", 2, "duration"),
}  # fmt: skip


def test_values_are_those_of_the_closed_form():
    found = tl.simulate(MODEL, None, regimen_of(HISTORY), TIMES, **TIGHT)
    np.testing.assert_allclose(found["body"][0], exact(DEFAULTS, HISTORY).real, rtol=1e-9)


def test_the_output_counts_from_arrivals_and_is_nan_before():
    times = [0.0, 1.0, 1.75, 2.0, 8.75, 13.9, 14.0, 15.75, 40.0]
    found = tl.simulate(MODEL, None, regimen_of(HISTORY), times, **TIGHT)
    expected = [np.nan, np.nan, 0.0, 0.25, 0.0, 5.15, 0.0, 0.0, 24.25]
    np.testing.assert_allclose(found["since"][0], expected, rtol=1e-12, atol=1e-12)
    assert found.success.all()
    before = tl.simulate(MODEL, None, regimen_of(HISTORY), times, samples="before", **TIGHT)
    np.testing.assert_allclose(before["since"][0, 4], 7.0, rtol=1e-12)


def test_jacobian_is_that_of_the_closed_form():
    keys = [(spec[1], spec[2]) if spec[0] == "doses" else spec[1] for spec in INPUTS.values()]
    found = tl.jacobian(MODEL, DEFAULTS, regimen_of(HISTORY), TIMES, "body", wrt=keys, **TIGHT)
    for number, name in enumerate(INPUTS):
        expected = slope_of_exact(name)
        assert np.abs(expected).max() > 1e-3 or name == "duration", name
        np.testing.assert_allclose(
            found.derivatives[0, :, 0, number], expected, rtol=1e-7, atol=1e-6, err_msg=name
        )


def test_gradient_is_that_of_the_closed_form_and_fits_the_tangents():
    weights = np.random.default_rng(3).standard_normal((1, TIMES.size, 2))
    weights[:, TIMES < 1.75, 1] = 0.0
    keys = [(spec[1], spec[2]) if spec[0] == "doses" else spec[1] for spec in INPUTS.values()]
    jacobian = tl.jacobian(MODEL, DEFAULTS, regimen_of(HISTORY), TIMES, wrt=keys, **TIGHT)
    _, gradient = tl.value_and_grad(weights, MODEL, DEFAULTS, regimen_of(HISTORY), TIMES, **TIGHT)
    values = np.where(weights[..., None] == 0.0, 0.0, jacobian.derivatives)
    forward = np.einsum("itod,ito->d", values, weights)
    for number, spec in enumerate(INPUTS.values()):
        found = (
            gradient.parameters[spec[1]]
            if spec[0] == "parameters"
            else getattr(gradient.doses[spec[1]], spec[2])
        )
        np.testing.assert_allclose(
            found, forward[number], rtol=1e-10, atol=1e-10, err_msg=str(spec)
        )


# Trains of doses, resets, tables
# -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lag", [0.0, 0.75, 12.0, 15.0])
def test_steady_state_is_where_a_long_train_leads(lag):
    """With a lag above the interval too: doses of before the record are still on their way."""
    p, before = {**DEFAULTS, "lag": lag}, 60
    h = {"amount": 100.0, "time": 0.2, "every": 12.0}
    at = np.array([2.5, 3.0, 5.0, 11.9, 12.6, 20.0, 24.3, 30.0])

    def train(p, h):
        of = [(h["time"] + p["lag"] + k * h["every"], h["amount"]) for k in range(-before, 4)]
        shift = before * 12.0 + 1.0
        of = [(arrival + shift, amount) for arrival, amount in of]
        return np.array([body_at(t + shift, p, of, []) for t in at])

    regimen = Regimen.bolus(
        h["amount"], into="body", time=h["time"], every=h["every"], doses=4, steady_state=True
    )
    keys = ["k", "a", "tau", "b", "w", "lag", (0, "amount"), (0, "time"), (0, "every")]
    found = tl.jacobian(MODEL, p, regimen, at, wrt=keys, **TIGHT)
    np.testing.assert_allclose(found.values[0, :, 0], train(p, h).real, rtol=1e-9)
    weights = np.random.default_rng(4).standard_normal((1, at.size, 2))
    _, gradient = tl.value_and_grad(weights, MODEL, p, regimen, at, **TIGHT)
    for number, key in enumerate(keys):
        p_moved, h_moved = dict(p), dict(h)
        place, name = (p_moved, key) if isinstance(key, str) else (h_moved, key[1])
        place[name] += 1j * STEP
        slope = found.derivatives[0, :, :, number]
        np.testing.assert_allclose(
            slope[:, 0], train(p_moved, h_moved).imag / STEP, rtol=1e-7, atol=1e-7, err_msg=name
        )
        of_adjoint = (
            gradient.parameters[name] if isinstance(key, str) else getattr(gradient.doses[0], name)
        )
        np.testing.assert_allclose(of_adjoint, (slope * weights[0]).sum(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("single", "since"),
    [(3.0, [1.25, 6.15, 2.25, 2.75, 0.25]), (9.0, [np.nan, 0.15, 0.25, 0.75, 0.25])],
)
def test_a_train_that_is_added_counts_with_its_last_dose_unless_another_came_later(single, since):
    """Its last dose came in at 7.75, its own comes in at 10.75; the single dose at 3.75 or 9.75."""
    regimen = Regimen.bolus(50.0, into="body", time=single)
    regimen += Regimen.bolus(100.0, into="body", time=10.0, every=3.0, steady_state="add")
    found = tl.simulate(MODEL, None, regimen, [5.0, 9.9, 10.0, 10.5, 11.0], **TIGHT)
    np.testing.assert_allclose(found["since"][0], since, rtol=1e-12)


def test_a_reset_and_a_steady_state_forget_all_doses():
    """A dose into the pool at 2 counts until a reset at 6, or a steady state of the body."""
    model = tl.Model("two times")
    body, pool = model.states("body", "pool")
    model.flow(body, None, 0.3 * body)
    model.rate(pool, 0 * body)
    model.output("of_body", model.time_after_dose(body))
    model.output("of_pool", model.time_after_dose(pool))
    before = Regimen.bolus(9.0, into="body", time=1.0) + Regimen.bolus(5.0, into="pool", time=2.0)
    nan = np.nan
    for after, of_body in (
        (Regimen.reset(time=6.0), [2.0, 4.5, nan, nan]),
        (Regimen.bolus(8.0, into=body, time=6.0, every=8.0, steady_state=True), [2, 4.5, 0, 3]),
        (
            Regimen.infusion(0.0, into=body, time=6.0, rate=2.0, steady_state=True),
            [2.0, 4.5, nan, nan],
        ),
        (
            Regimen.infusion(
                8.0, into=body, time=6.0, rate=0.8, every=8.0, steady_state=True
            ),  # runs for 10: the one of before runs on, and has started 8 before
            [2.0, 4.5, 0.0, 3.0],
        ),
    ):
        found = tl.simulate(model, None, before + after, [3.0, 5.5, 6.0, 9.0], **TIGHT).values[0]
        np.testing.assert_allclose(found[:, 0], of_body)
        np.testing.assert_allclose(found[:, 1], [1.0, 3.5, nan, nan])


def test_gradients_by_the_time_of_a_reset_and_of_what_follows():
    model = model_of(initial=20.0)
    at = TIMES[TIMES > 9.0]
    weights = np.arange(1.0, at.size + 1)[None, :, None]

    def regimen(time, later):
        first = Regimen.bolus(100.0, into="body", time=0.5) + Regimen.reset(time=time)
        return first + Regimen.bolus(60.0, into="body", time=later, every=4.0, doses=2)

    def value(time, later):
        found = tl.simulate(model, None, regimen(time, later), at, "body", **TIGHT)
        return (found.values * weights).sum()

    _, gradient = tl.value_and_grad(weights, model, None, regimen(6.0, 8.0), at, "body", **TIGHT)
    for line, moved in ((1, lambda h: value(6.0 + h, 8.0)), (2, lambda h: value(6.0, 8.0 + h))):
        one, two = ((moved(h) - moved(-h)) / (2 * h) for h in (1e-3, 2e-3))
        np.testing.assert_allclose(gradient.doses[line].time, (4 * one - two) / 3, rtol=1e-6)


def test_a_table_is_its_regimen():
    frame = {
        "ID": [1] * 6, "TIME": [0.0, 1.0, 3.5, 5.0, 13.25, 20.0], "EVID": [0, 1, 1, 0, 1, 0],
        "AMT": [0, 100, 5, 0, 40, 0], "RATE": [0, 0, 2, 0, 0, 0], "ADDL": [0, 2, 0, 0, 0, 0],
        "II": [0, 7, 0, 0, 0, 0], "CMT": ["body", "body", "pool", "body", "body", "body"],
    }  # fmt: skip
    events = tl.EventTable(frame, MODEL)
    found = tl.simulate(MODEL, events, **TIGHT)
    expected = tl.simulate(MODEL, None, regimen_of(HISTORY), [0.0, 5.0, 20.0], **TIGHT)
    np.testing.assert_array_equal(found.values, expected.values[0])
    np.testing.assert_allclose(found["since"], [np.nan, 3.25, 4.25])


def test_an_infusion_in_pieces_starts_once():
    """A modelled rate that changes while it is followed makes rows of its own."""
    model = tl.Model("followed")
    (rate,) = model.parameters(rate=2.0)
    body = model.state("body")
    model.flow(body, None, 0.1 * body)
    model.output("since", model.time_after_dose(body))
    model.dosing(body, rate=rate)
    given = Regimen.infusion(20.0, into=body, time=1.0, rate="modelled")
    changing = {"rate": tl.stepwise([0.0, 3.0, 5.0], [2.0, 4.0, 1.0])}
    found = tl.simulate(model, changing, given, [1.0, 2.0, 4.0, 6.0, 20.0])
    np.testing.assert_allclose(found["since"][0], [0.0, 1.0, 3.0, 5.0, 19.0])


def test_an_equilibrium_is_that_of_no_dose():
    """An enzyme whose loss a dose lowers: without any it stands at production over loss."""
    model = tl.Model("turnover")
    kin, kout = model.parameters(kin=6.0, kout=0.5)
    enzyme, drug = model.states("enzyme", "drug")
    since = model.time_after_dose(drug)
    model.flow(None, enzyme, kin)
    model.flow(enzyme, None, kout * (1 - 0.8 * tl.exp(-since)) * enzyme)
    model.flow(drug, None, 0.2 * drug)
    regimen = Regimen.bolus(1.0, into=drug, time=4.0)
    found = tl.simulate(model, None, regimen, [0.0, 4.0, 5.0], start="equilibrium", **TIGHT)
    np.testing.assert_allclose(found["enzyme"][0, :2], 12.0, rtol=1e-9)
    assert found["enzyme"][0, 2] > 13.0


# Conditions
# -------------------------------------------------------------------------------------------------


def test_a_window_that_never_ends():
    """Its end is 2 / w after a dose, and w is 0: gradients by all else stay."""
    model = tl.Model("for ever")
    k, w = model.parameters(k=0.3, w=0.0)
    body = model.state("body")
    inside = model.time_after_dose(body) < 2 / w
    model.flow(body, None, tl.where(inside, k, 0) * body)
    regimen = Regimen.bolus(10.0, into=body, time=1.0, every=7.0, doses=2)
    _, gradient = tl.value_and_grad(np.ones((1, 1, 1)), model, None, regimen, [9.0], **TIGHT)
    first, second = 10.0 * np.exp(-0.3 * 8.0), 10.0 * np.exp(-0.3)
    np.testing.assert_allclose(gradient.parameters["k"], -8.0 * first - second, rtol=1e-9)
    np.testing.assert_allclose(gradient.doses[0].every, 0.3 * second, rtol=1e-9)
    found = tl.jacobian(model, None, regimen, [9.0], wrt=["k", "w"], **TIGHT).derivatives
    np.testing.assert_allclose(found[0, 0, 0], [-8.0 * first - second, 0.0], rtol=1e-9)


@pytest.mark.parametrize("width", [0.0, -1.0, 3.0, 7.0, 50.0])
def test_a_condition_holds_for_a_while_after_each_dose(width):
    """Amounts lost outside the window only; a window as long as the interval never ends."""
    model = tl.Model("window")
    k, w = model.parameters(k=0.3, w=3.0)
    body = model.state("body")
    model.flow(body, None, tl.where(model.time_after_dose(body) / 2 >= w / 2, k, 0) * body)
    regimen = Regimen.bolus(10.0, into=body, time=1.0, every=7.0, doses=3)
    at = np.array([2.0, 5.0, 9.0, 14.9, 16.0, 21.0, 30.0])
    arrivals = 1.0 + 7.0 * np.arange(3)

    def lost(start, end):  # the time outside of windows
        edges = np.append(arrivals, np.inf)
        parts = [
            max(0.0, min(end, until) - max(start, begin + max(width, 0.0)))
            for begin, until in itertools.pairwise(edges)
        ]
        return sum(parts)

    expected = [sum(10.0 * np.exp(-0.3 * lost(a, t)) for a in arrivals if a <= t) for t in at]
    found = tl.simulate(model, {"w": width}, regimen, at, **TIGHT)
    np.testing.assert_allclose(found["body"][0], expected, rtol=1e-10)


# What must not matter, and what cannot be done
# -------------------------------------------------------------------------------------------------


def test_bits_do_not_depend_on_company_or_executor():
    regimen = Regimen.bolus(
        np.array([100.0, 50.0, 10.0]), into="body", time=np.array([1.0, 0.0, 2.5]), every=7.0,
        doses=3,
    )  # fmt: skip
    p = {"lag": np.array([0.0, 0.5, 1.0]), "w": np.array([2.0, 9.0, 0.5])}
    weights = np.ones((3, TIMES.size, 1))
    runs = [
        tl.simulate(MODEL, p, regimen, TIMES, executor=e).values
        for e in ("interpreter", "machine_code")
    ]
    np.testing.assert_array_equal(*runs)
    grads = [
        tl.value_and_grad(weights, MODEL, p, regimen, TIMES, "body", executor=e)[1]
        for e in ("interpreter", "machine_code")
    ]
    for name in p:
        np.testing.assert_array_equal(grads[0].parameters[name], grads[1].parameters[name])
    for i in range(3):
        alone = Regimen.bolus(
            np.array([100.0, 50.0, 10.0])[i], into="body", time=np.array([1.0, 0.0, 2.5])[i],
            every=7.0, doses=3,
        )  # fmt: skip
        mine = {name: column[i] for name, column in p.items()}
        found = tl.simulate(MODEL, mine, alone, TIMES)
        np.testing.assert_array_equal(found.values[0], runs[0][i])
        _, gradient = tl.value_and_grad(weights[:1], MODEL, mine, alone, TIMES, "body")
        assert gradient.parameters["w"] == grads[0].parameters["w"][i]
        assert gradient.doses[0].time == grads[0].doses[0].time[i]


def test_a_model_that_only_shows_it_keeps_its_bits():
    """Arrivals are where steps end anyway."""

    def model_with(output):
        model = tl.Model("plain")
        (k,) = model.parameters(k=0.3)
        body = model.state("body")
        model.flow(body, None, k * body / (1 + body))
        model.output("body", body)
        if output:
            model.output("since", model.time_after_dose(body))
        return model

    regimen = Regimen.bolus(5.0, into="body", time=0.5, every=3.0, doses=4)
    with_it, without = (
        tl.simulate(model_with(o), None, regimen, TIMES)["body"] for o in (True, False)
    )
    np.testing.assert_array_equal(with_it, without)


def test_reductions_of_it():
    regimen = Regimen.bolus(5.0, into="body", time=1.0, every=4.0, doses=3)
    asked = [
        tl.Cmax("since", 2.0, 12.0),
        tl.AUC("since", 2.0, 12.0, name="later"),
        tl.AUC("since"),
    ]
    at = [0.0, 20.0]
    found = tl.simulate(MODEL, {"lag": 0.0}, regimen, at, reductions=asked).reductions
    values = [found[key][0] for key in found]
    np.testing.assert_allclose(values[0], 4.0, rtol=1e-9)
    np.testing.assert_allclose(values[1], (8 - 0.5) + 8 + 4.5, rtol=1e-9)
    assert np.isnan(values[2])


@pytest.mark.parametrize(
    "mistake",
    [
        lambda m, s: m.time_after_dose("boddy"),
        lambda m, s: m.time_after_dose(None),
        lambda m, s: m.time_after_dose(m.time),
        lambda m, s: m.initial("pool", s),
        lambda m, s: m.dosing("pool", lag=s),
        lambda m, s: m.output("at", tl.where(s == 2, 1, 0)),
    ],
)
def test_what_makes_no_sense_is_refused_at_the_line(mistake):
    model = tl.Model("mistakes")
    body, _ = model.states("body", "pool")
    with pytest.raises(ModelError) as error:
        mistake(model, model.time_after_dose(body))
    assert GRAMMAR.match(str(error.value))


def test_a_condition_on_two_times_after_doses_is_refused():
    model = tl.Model("two")
    body, pool = model.states("body", "pool")
    both = model.time_after_dose(body) + model.time_after_dose(pool)
    model.flow(body, pool, tl.where(both < 5, 1, 0.5) * body)
    with pytest.raises(InputError) as error:
        tl.simulate(model, None, Regimen.bolus(1.0, into=body), [1.0])
    assert GRAMMAR.match(str(error.value))


@pytest.mark.parametrize("as_list", [False, True])
def test_a_time_after_doses_that_never_come_is_said(as_list):
    """All drug goes into the depot, and the time after doses into the body is read."""
    model = tl.Model("depot")
    depot, body = model.states("depot", "body")
    model.flow(depot, body, 1.1 * depot)
    model.flow(body, None, 0.1 * (1 + tl.exp(-model.time_after_dose(body))) * body)
    regimen = Regimen.bolus(1.0, into=depot)
    with pytest.warns(tl.InputWarning, match="into 'body' never starts .* go into 'depot'") as told:
        tl.simulate(model, None, [regimen] if as_list else regimen, [1.0])
    assert GRAMMAR.match(str(told[0].message))
    tl.simulate(model, None, None, [1.0])
    tl.simulate(model, None, regimen + Regimen.bolus(1.0, into=body, time=5.0), [1.0])


def test_the_text_names_it():
    assert "exp(-time_after_dose(body) / tau)" in MODEL.describe()


def test_gradients_of_reductions():
    """The maximum of the time after a dose is reached where the next one comes in."""
    weights = {"cmax_body": 1.0, "auc_body": 0.3, "auc_since": 0.2, "cmax_since": 0.7}
    asked = [
        tl.Cmax("body", 2.0, 20.0),
        tl.AUC("body", 0.5, 22.0),
        tl.AUC("since", 9.0, 20.0),
        tl.Cmax("since", 9.0, 20.0),
    ]

    def value(**moved):
        p, h = ({name: moved.get(name, x) for name, x in of.items()} for of in (DEFAULTS, HISTORY))
        found = tl.simulate(MODEL, p, regimen_of(h), None, reductions=asked, **TIGHT).reductions
        return sum(weight * found[name][0] for name, weight in weights.items())

    given = (MODEL, DEFAULTS, regimen_of(HISTORY), None)
    _, gradient = tl.value_and_grad(weights, *given, reductions=asked, **TIGHT)
    for name in ("tau", "w", "lag", "time", "every", "at"):
        kind, *place = INPUTS[name]
        found = (
            gradient.parameters[name]
            if kind == "parameters"
            else getattr(gradient.doses[place[0]], place[1])
        )
        x = (DEFAULTS | HISTORY)[name]
        one, two = (
            (value(**{name: x + h}) - value(**{name: x - h})) / (2 * h) for h in (1e-4, 2e-4)
        )
        np.testing.assert_allclose(found, (4 * one - two) / 3, rtol=1e-6, err_msg=name)


def walked(lines, lags, at):
    """(times, 2) the times after doses, by asking of each dose when it came and what undid it."""
    forgets = [time for kind, _, time, *_ in lines if kind in ("reset", "steady")]
    found = np.full((at.size, 2), np.nan)
    for row, now in enumerate(at):
        forgotten = max((time for time in forgets if time <= now), default=-np.inf)
        for kind, into, time, every, doses in lines:
            if kind == "reset" or time > now or time < forgotten:
                continue
            k = np.arange(-400 if kind in ("steady", "add") else 0, doses)
            came = time + lags[into] + k * every
            came = came[came <= now]
            if came.size and not found[row, into] <= now - came[-1]:
                found[row, into] = now - came[-1]
    return found


def test_any_history_against_a_walk_over_it():
    """Doses, infusions longer and shorter than their intervals, lags longer than these, resets,
    and trains that replace or are added.
    """
    model = tl.Model("any")
    lags = model.parameters(lag0=0.0, lag1=0.0)
    states = model.states("one", "two")
    for state, lag in zip(states, lags, strict=True):
        model.flow(state, None, 0.4 * state)
        model.output(f"after_{state.name}", model.time_after_dose(state))
        model.dosing(state, lag=lag)
    rng = np.random.default_rng(8)
    for _ in range(60):
        late = rng.choice([0.0, 0.3, 2.0, 5.5], 2)
        kinds = rng.choice(["single", "single", "reset", "steady", "add"], rng.integers(1, 6))
        lines, regimen = [], Regimen.none()
        for kind in kinds:
            time, every = float(rng.uniform(0.0, 12.0)), float(rng.choice([1.5, 2.0, 4.0]))
            into, doses = int(rng.integers(2)), int(rng.integers(1, 5))
            lines.append((kind, into, time, every, doses))
            if kind == "reset":
                regimen += Regimen.reset(time=time)
                continue
            more = {"into": states[into], "time": time, "every": every, "doses": doses}
            if kind != "single":
                more["steady_state"] = True if kind == "steady" else "add"
            if rng.random() < 0.5:
                regimen += Regimen.bolus(3.0, **more)
            else:
                regimen += Regimen.infusion(3.0, duration=float(rng.choice([0.5, 5.0])), **more)
        at = np.sort(rng.uniform(0.0, 20.0, 40))
        given = {f"lag{k}": late[k] for k in range(2)}
        found = tl.simulate(model, given, regimen, at, executor="interpreter")
        assert found.success.all()
        np.testing.assert_allclose(found.values[0], walked(lines, late, at), rtol=1e-12, atol=1e-12)
