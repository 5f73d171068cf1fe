"""Models: what is declared comes out as equations; what is wrong is said at once, in a sentence with a remedy."""

from __future__ import annotations

import copy
import math
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from teorell import expression as tx
from teorell.errors import ModelError
from teorell.expression import constant, evaluate, symbol, to_text
from teorell.model import Flow, Model


def two_compartments() -> Model:
    model = Model("two compartments")
    cl, v1, q, v2 = model.parameters(cl=5.0, v1=20.0, q=3.0, v2=40.0)
    central, peripheral = model.states("central", "peripheral")
    model.flow(central, None, cl / v1 * central)
    model.flow(central, peripheral, q / v1 * central - q / v2 * peripheral)
    model.output("cp", central / v1, unit="mg/L")
    return model


def test_equations_in_the_order_of_declaration() -> None:
    model = two_compartments()
    text = {name: to_text(expr) for name, expr in model.derivatives().items()}
    assert text == {
        "central": "-(cl / v1 * central) - (q / v1 * central - q / v2 * peripheral)",
        "peripheral": "q / v1 * central - q / v2 * peripheral",
    }
    assert model.parameter_names == ("cl", "v1", "q", "v2")
    np.testing.assert_array_equal(model.parameter_defaults, [5.0, 20.0, 3.0, 40.0])
    assert model.state_names == ("central", "peripheral")
    assert model.initials() == {"central": constant(0), "peripheral": constant(0)}
    assert model.output_names == ("cp",)
    assert model.output_unit("cp") == "mg/L"
    assert model.flows[0] == Flow("central", None, model.flows[0].rate)
    assert repr(model) == "<Model 'two compartments': 2 states, 4 parameters, 2 flows, 0 rates, 1 outputs>"


def test_inflows_rates_initials_and_time() -> None:
    model = Model("turnover", time_unit="d")
    kin, kout = model.parameters(kin=10.0, kout=2.0)
    (response,) = model.states("response", initial=kin / kout)
    trend = model.state("trend", unit="1", signed=True, controlled=False, description="drift")
    lonely = model.state("lonely")
    stock = model.state("stock", unit="mg")
    model.flow(None, "response", kin)
    model.flow(response, None, kout * response)
    model.rate(trend, tx.sin(model.time))
    model.rate("trend", -1)
    model.initial("stock", 3 * kin)
    assert model.initials() == {"response": kin / kout, "trend": constant(0), "lonely": constant(0), "stock": 3 * kin}
    assert model.derivatives()["trend"] is tx.sin(model.time) - 1
    assert model.derivatives()["lonely"] is constant(0)
    assert model.outputs() == {"response": response, "trend": trend, "lonely": lonely, "stock": stock}
    assert model.output_unit("stock") == "mg"
    info = model.state_info("trend")
    assert (info.unit, info.signed, info.controlled, info.description) == ("1", True, False, "drift")
    assert model.state_info("stock").initial is 3 * kin


def test_declarations_return_tuples_and_symbols() -> None:
    model = Model("m")
    assert model.parameters(a=1) == (symbol("parameter", "a"),)
    assert model.parameters() == ()
    assert model.states("s") == (symbol("state", "s"),)
    assert model.define("twice", 2 * symbol("state", "s")) is 2 * symbol("state", "s")
    b = model.parameter("b", np.float64(2.0), "L", 0, 10, "volume")
    info = model.parameter_info("b")
    assert b is symbol("parameter", "b")
    assert (info.default, info.unit, info.lower, info.upper, info.description) == (2.0, "L", 0.0, 10.0, "volume")


def test_a_model_without_states() -> None:
    model = Model("empty")
    assert model.derivatives() == model.initials() == model.outputs() == {}
    assert model.parameter_defaults.shape == (0,)
    assert model.check_conservation().imbalance == 0.0
    assert "Jacobian: 0 of 0" in model.describe()


def test_dosing_rules() -> None:
    model = two_compartments()
    cl = symbol("parameter", "cl")
    model.dosing("central", lag=0.5, bioavailability=1 / (1 + cl))
    rule = model.dosing_rules["central"]
    assert (rule.lag, rule.bioavailability, rule.rate, rule.duration) == (constant(0.5), 1 / (1 + cl), None, None)


def test_content_and_pickling() -> None:
    one, two = two_compartments(), two_compartments()
    assert one.content() == two.content()
    for clone in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one)):
        assert clone.content() == one.content()
        assert clone.derivatives() == one.derivatives()
    changes: list[Callable[[Model], Any]] = [
        lambda m: m.parameter("extra", 1.0),
        lambda m: m.state("extra"),
        lambda m: m.rate("central", 1),
        lambda m: m.flow(None, "central", 1),
        lambda m: m.initial("central", 1),
        lambda m: m.output("extra", 1),
        lambda m: m.define("extra", 1),
        lambda m: m.dosing("central", lag=1),
    ]
    texts = {one.content()}
    for change in changes:
        changed = copy.deepcopy(two)
        change(changed)
        texts.add(changed.content())
    assert len(texts) == len(changes) + 1
    assert two.content() == one.content()


def test_describe() -> None:
    model = two_compartments()
    model.define("ke", symbol("parameter", "cl") / symbol("parameter", "v1"))
    model.parameter("fu", 0.1, "1", 0, 1, "fraction unbound")
    model.initial("central", 3.5)
    model.dosing("central", lag=0.25)
    lines = [" ".join(line.split()) for line in model.describe().splitlines()]
    for expected in (
        "two compartments: 2 states, 5 parameters, time in h",
        "ke = cl / v1",
        "d central/dt = -(ke * central) - (q / v1 * central - q / v2 * peripheral)",
        "central(0) = 3.5",
        "fu 0.1 1 [0, 1] fraction unbound",
        "cp = central / v1 mg/L",
        "central lag = 0.25",
        "Jacobian: 4 of 4 entries (100.0 %), the model is linear in its states",
        "peripheral cc",
        "conserved over 2 states to 0e+00 relative; in: none; out: central -> outside",
    ):
        assert expected in lines


def test_describe_tells_sparsity_and_imbalance() -> None:
    model = Model("saturation")
    a, b = model.states("a", "b")
    model.flow(a, b, a / (1 + a))
    model.rate(b, -2 * b)
    text = model.describe()
    assert "Jacobian: 3 of 4 entries (75.0 %), 2 vary with the states\n  a  x.\n  b  xc" in text
    assert "d b/dt gets -2 * b" in text


def test_flows_conserve() -> None:
    model = two_compartments()
    report = model.check_conservation()
    assert (report.inflows, report.outflows, report.warnings) == ((), ("central -> outside",), ())
    values = {symbol("parameter", n): model.parameter_info(n).default for n in model.parameter_names}
    values |= {symbol("state", n): 1.7 + i for i, n in enumerate(model.state_names)}
    total = sum(evaluate(expr, values) for expr in model.derivatives().values())
    assert total == pytest.approx(-5.0 / 20.0 * 1.7, rel=1e-14)
    part = model.check_conservation(["peripheral"])
    assert (part.states, part.inflows) == (("peripheral",), ("central -> peripheral",))


def test_conservation_names_the_culprit() -> None:
    model = two_compartments()
    cl, central, peripheral = symbol("parameter", "cl"), symbol("state", "central"), symbol("state", "peripheral")
    fraction = model.parameter("fraction", 0.3)
    depot = model.state("depot")
    model.rate(depot, -2 * depot * central)
    model.rate(central, fraction * (2 * depot * central))
    model.rate(peripheral, (1 - fraction) * 2 * depot * central)
    model.rate(depot, -central)
    model.rate(central, central)
    assert model.check_conservation().imbalance < 1e-14
    model.rate(peripheral, -1e-6 * cl * peripheral)
    with pytest.raises(ModelError, match="mass is not conserved") as caught:
        model.check_conservation()
    assert "(d peripheral/dt gets -1e-06 * cl * peripheral)" in str(caught.value)
    with pytest.raises(ModelError, match="d depot/dt gets -central"):
        model.check_conservation(["depot"])


def test_conservation_of_what_cannot_be_computed() -> None:
    model = Model("m")
    (a,) = model.states("a")
    model.rate(a, tx.log(-a))
    with pytest.raises(ModelError, match=r"rate of 'a', log\(-a\), is not finite"):
        model.check_conservation()


def test_flows_that_drain_an_empty_state_are_named() -> None:
    model = Model("zero order")
    (k,) = model.parameters(k=1.0)
    gut, blood = model.states("gut", "blood")
    model.flow(gut, blood, k)
    with pytest.warns(UserWarning, match=r"flow gut -> blood \(k\) takes from 'gut' even when it is empty"):
        report = model.check_conservation()
    assert len(report.warnings) == 1
    assert "warning: flow gut -> blood" in model.describe()

    backwards = Model("sink drained")
    gut, blood = backwards.states("gut", "blood")
    backwards.flow(gut, blood, gut - 1)
    with pytest.warns(UserWarning, match="takes from 'blood'"):
        backwards.check_conservation()

    fine = Model("signed")
    (s,) = fine.states("s", signed=True)
    fine.flow(s, None, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fine.check_conservation()


A, S = symbol("parameter", "a"), symbol("state", "s")


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda m: m.parameter("a", 1), "parameter 'a': there is a parameter of this name already"),
        (lambda m: m.parameter("s", 1), "parameter 's': there is a state of this name already"),
        (lambda m: m.state("a"), "state 'a': there is a parameter of this name already"),
        (lambda m: m.states("b", "b"), "state 'b': there is a state of this name already"),
        (lambda m: m.state("d"), "state 'd': there is a definition of this name already"),
        (lambda m: m.parameter("2x", 1), "parameter name '2x': not an identifier"),
        (lambda m: m.state("my state"), "state name 'my state': not an identifier"),
        (lambda m: m.states(["b", "c"]), "it is a list. Give names as strings, one by one"),
        (lambda m: m.output("", 1), "output name '': not an identifier"),
        (lambda m: m.state("time"), "it means the time of the model"),
        (lambda m: m.parameter("b", math.nan), "parameter 'b': default is NaN"),
        (lambda m: m.parameter("b", math.inf), "parameter 'b': default is inf"),
        (lambda m: m.parameter("b", "5"), "parameter 'b': default: '5' is a str. Give a real number"),
        (lambda m: m.parameters(b=A), "parameter 'b': default: a is a Expression"),
        (lambda m: m.parameter("b", 2, lower=3), r"default 2 is outside \[3, inf\]"),
        (lambda m: m.parameter("b", 2, lower=3, upper=1), "lower bound 3 is above upper bound 1"),
        (lambda m: m.parameter("b", 2, lower=math.nan), "lower bound is NaN"),
        (lambda m: m.parameter("b", 2, unit=3), "unit of 'b': 3 is a int. Give a string"),
        (lambda m: m.flow(None, None, 1), "it changes no state. Name a source or a sink"),
        (lambda m: m.flow(S, S, 1), "flow from 's' to itself"),
        (lambda m: m.flow(A, None, 1), "flow source: a is not a state"),
        (lambda m: m.flow("centrall", None, 1), "flow source: no state 'centrall' in model 'm'. Did you mean"),
        (lambda m: m.flow(S, None, symbol("parameter", "vmx")), "flow s -> outside: no parameter 'vmx' .* mean 'vmax'"),
        (lambda m: m.rate(S, symbol("state", "q")), "rate of 's': no state 'q' in model 'm'. Known: s, central."),
        (lambda m: m.rate(S, "s"), "rate of 's': str in an expression"),
        (lambda m: m.rate(S, np.ones(2)), "rate of 's': ndarray in an expression"),
        (lambda m: m.rate(S, math.nan), "rate of 's': constant nan"),
        (lambda m: m.rate(S, symbol("switch", "w")), "rate of 's': it depends on the switch 'w'"),
        (lambda m: m.initial(S, S), "initial value of 's': it depends on the state 's'. It may depend on parameters"),
        (lambda m: m.initial(S, m.time), "initial value of 's': it depends on the time"),
        (lambda m: m.initial(S, -1), "it is -1, and the state is not signed. Use signed=True"),
        (lambda m: m.initial("central", 1), "initial value of 'central': it is already 2"),
        (lambda m: m.state("b", initial=math.nan), "initial value of 'b': constant nan"),
        (lambda m: m.output("o", 1), "output 'o': there is one of this name already"),
        (lambda m: m.define("a", 1), "definition 'a': there is a parameter"),
        (lambda m: m.dosing(S), "dosing into 's': no rule given"),
        (lambda m: m.dosing(S, lag=S), "lag of doses into 's': it depends on the state 's'"),
        (lambda m: m.dosing(S, lag=-1), "lag of doses into 's': it is -1. It must be 0 or above"),
        (lambda m: m.dosing(S, duration=0), "duration of doses into 's': it is 0. It must be above 0"),
        (lambda m: (m.dosing(S, lag=1), m.dosing(S, rate=1)), "dosing into 's': it has rules already"),
        (lambda m: m.parameter_info("vmx"), "parameter 'vmx': unknown. Did you mean 'vmax'"),
        (lambda m: m.state_info("zzz"), "state 'zzz': unknown. Known: s, central."),
        (lambda m: m.output_unit("p"), "output 'p': unknown"),
        (lambda m: m.check_conservation(["zzz"]), "check_conservation: no state 'zzz'"),
        (lambda m: Model(3),  # type: ignore[arg-type]
         "model name: 3 is a int"),
    ],
)  # fmt: skip
def test_mistakes_are_told_at_once(mistake: Callable[[Model], Any], message: str) -> None:
    model = Model("m")
    model.parameters(a=1.0, vmax=2.0)
    model.states("s")
    model.states("central", initial=2)
    model.define("d", 2 * A)
    model.output("o", S)
    with pytest.raises(ModelError, match=message):
        mistake(model)
