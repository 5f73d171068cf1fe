"""Models: what is declared comes out as equations; what is wrong is said at once, in a sentence
with a remedy.
"""

from __future__ import annotations

import copy
import math
import pickle
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from teorell.benchmark import reference_models
from teorell.errors import ModelError
from teorell.model import Flow, Model
from teorell.model import expression as tx
from teorell.model.expression import constant, evaluate, symbol, to_text
from teorell.pbpk import MIDAZOLAM, THEOPHYLLINE, whole_body


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
    assert (
        repr(model)
        == "<Model 'two compartments': 2 states, 4 parameters, 2 flows, 0 rates, 1 output>"
    )


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
    assert model.initials() == {
        "response": kin / kout,
        "trend": constant(0),
        "lonely": constant(0),
        "stock": 3 * kin,
    }
    assert model.derivatives()["trend"] is tx.sin(model.time) - 1
    assert model.derivatives()["lonely"] is constant(0)
    assert model.outputs() == {
        "response": response,
        "trend": trend,
        "lonely": lonely,
        "stock": stock,
    }
    assert model.output_unit("stock") == "mg"
    info = model.state_info("trend")
    assert (info.unit, info.signed, info.controlled, info.description) == (
        "1",
        True,
        False,
        "drift",
    )
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
    assert (info.default, info.unit, info.lower, info.upper, info.description) == (
        2.0,
        "L",
        0.0,
        10.0,
        "volume",
    )


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
    assert (rule.lag, rule.bioavailability, rule.rate, rule.duration) == (
        constant(0.5),
        1 / (1 + cl),
        None,
        None,
    )


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
        "conserved over 2 states exactly; in: none; out: central -> outside",
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
    values = {
        symbol("parameter", n): model.parameter_info(n).default for n in model.parameter_names
    }
    values |= {symbol("state", n): 1.7 + i for i, n in enumerate(model.state_names)}
    total = sum(evaluate(expr, values) for expr in model.derivatives().values())
    assert total == pytest.approx(-5.0 / 20.0 * 1.7, rel=1e-14)
    part = model.check_conservation(["peripheral"])
    assert (part.states, part.inflows) == (("peripheral",), ("central -> peripheral",))


def test_conservation_names_the_culprit() -> None:
    model = two_compartments()
    cl, central, peripheral = (
        symbol("parameter", "cl"),
        symbol("state", "central"),
        symbol("state", "peripheral"),
    )
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
    assert "gain or loss: d peripheral/dt gets -1e-06 * cl * peripheral)" in str(caught.value)
    with pytest.raises(ModelError, match="d depot/dt gets -central"):
        model.check_conservation(["depot"])


def test_integrals_are_left_out_of_the_balance() -> None:
    """A state that no flow touches and no equation reads holds no mass, if the balance does not
    need it.
    """
    model = two_compartments()
    central = symbol("state", "central")
    auc, late = model.states("auc", "late")
    model.rate(auc, central / 20)
    model.rate(late, tx.where(model.time < 24, 0, central))
    model.output("auc", auc)
    report = model.check_conservation()
    assert (report.states, report.left_out) == (("central", "peripheral"), ("auc", "late"))
    line = (
        "conserved over 2 states exactly; in: none; out: central -> outside; left out, as mere "
        "integrals: auc, late"
    )
    assert str(report) == line
    assert line in model.describe()
    with pytest.raises(ModelError, match="d auc/dt gets central / 20"):
        model.check_conservation(["central", auc])
    model.rate("peripheral", 0.1 * central)
    with pytest.raises(ModelError, match=r"d peripheral/dt gets 0.1 \* central"):
        model.check_conservation()


def test_integrals_that_complete_the_balance_are_kept() -> None:
    model = Model("by rates")
    (k,) = model.parameters(k=0.3)
    body, gone, auc = model.states("body", "gone", "auc")
    model.rate(body, -k * body)
    model.rate(gone, k * body)
    model.rate(auc, body / 7)
    report = model.check_conservation()
    assert (report.states, report.left_out) == (("body", "gone"), ("auc",))
    assert report.imbalance < 1e-15

    alone = Model("clock")
    ticks = alone.state("ticks")
    alone.rate(ticks, 1)
    with pytest.raises(ModelError, match="d ticks/dt gets 1"):
        alone.check_conservation()


@pytest.mark.parametrize(
    ("model", "kept", "left_out", "crossing"),
    [
        (reference_models.problem_a(), 19, ("AUC",), ()),
        (reference_models.problem_b(), 33, ("AUC",), ("outside -> TR", "TR -> outside")),
        (whole_body(THEOPHYLLINE), 23, ("auc",), ()),
        (whole_body(MIDAZOLAM), 23, ("auc",), ()),
    ],
)
def test_built_in_models_conserve_mass(
    model: Model, kept: int, left_out: tuple[str, ...], crossing: tuple[str, ...]
) -> None:
    assert "mass is not conserved" not in model.describe()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = model.check_conservation()
    assert (len(report.states), report.left_out, report.inflows + report.outflows) == (
        kept,
        left_out,
        crossing,
    )
    assert report.imbalance < 1e-12


def test_conservation_says_how_well() -> None:
    model = Model("m")
    (a,) = model.states("a")
    model.flow(a, None, a)
    assert (
        str(model.check_conservation())
        == "conserved over 1 state exactly; in: none; out: a -> outside"
    )
    model.rate(a, 0.1 * a)
    model.rate(a, -0.3 * a)
    model.rate(a, 0.2 * a)
    assert re.match(
        r"conserved over 1 state to \de-1\d relative; ", str(model.check_conservation())
    )


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
    with pytest.warns(
        UserWarning, match=r"flow gut -> blood \(k\) takes from 'gut' even when it is empty"
    ):
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
        (lambda m: m.parameter("a", 1), "parameter 'a' is not new .there is a parameter of this "
        "name"),
        (lambda m: m.parameter("s", 1), "parameter 's' is not new .there is a state of this name"),
        (lambda m: m.state("a"), "state 'a' is not new .there is a parameter of this name"),
        (lambda m: m.states("b", "b"), "state 'b' is not new .there is a state of this name"),
        (lambda m: m.state("d"), "state 'd' is not new .there is a definition of this name"),
        (lambda m: m.parameter("2x", 1), "parameter name is '2x' .not an identifier"),
        (lambda m: m.state("my state"), "state name is 'my state' .not an identifier"),
        (lambda m: m.states(["b", "c"]), "its type is list.. Give strings, one by one"),
        (lambda m: m.output("", 1), "output name is '' .not an identifier"),
        (lambda m: m.state("time"), "it means the time of the model"),
        (lambda m: m.parameter("b", math.nan), "the default of parameter 'b' is NaN"),
        (lambda m: m.parameter("b", math.inf), "the default of parameter 'b' is inf"),
        (lambda m: m.parameter("b", "5"), "the default of parameter 'b' is '5' .its type is str.. "
        "Give a real number"),
        (lambda m: m.parameters(b=A), "the default of parameter 'b' is a .its type is Expression"),
        (lambda m: m.parameter("b", 2, lower=3), r"the default 2 of parameter 'b' is outside \[3, "
        r"inf\]"),
        (lambda m: m.parameter("b", 2, lower=3, upper=1), "the lower bound 3 of parameter 'b' is "
        "above its upper bound 1"),
        (lambda m: m.parameter("b", 2, lower=math.nan), "the lower bound of parameter 'b' is NaN"),
        (lambda m: m.parameter("b", 2, unit=3), "unit of 'b' is 3 .its type is int.. Give a "
        "string"),
        (lambda m: m.flow(None, None, 1), "it changes no state.. Name a source or a sink"),
        (lambda m: m.flow(S, S, 1), "flow from 's' to itself"),
        (lambda m: m.flow(A, None, 1), "the source of the flow is a .it must be a state"),
        (lambda m: m.flow("centrall", None, 1), "the source of the flow: unknown state 'centrall' "
        ".*. Did you mean"),
        (lambda m: m.flow(S, None, symbol("parameter", "vmx")), "flow s -> outside: unknown "
        "parameter 'vmx' .* mean 'vmax'"),
        (lambda m: m.rate(S, symbol("state", "q")), "rate of 's': unknown state 'q' .model 'm' "
        "does .*. Known: s, central."),
        (lambda m: m.rate(S, "s"), "rate of 's': str in an expression"),
        (lambda m: m.rate(S, np.ones(2)), "rate of 's': ndarray in an expression"),
        (lambda m: m.rate(S, math.nan), "rate of 's': constant nan"),
        (lambda m: m.rate(S, symbol("switch", "w")), "rate of 's' depends on the switch 'w' .it "
        "may"),
        (lambda m: m.initial(S, S), "initial value of 's' depends on the state 's' .it may depend "
        "on parameters"),
        (lambda m: m.initial(S, m.time), "initial value of 's' depends on the time"),
        (lambda m: m.initial(S, -1), "the initial value of 's' is -1 .the state is not signed.. "
        "Declare it signed"),
        (lambda m: m.initial("central", 1), "the initial value of 'central' is already 2"),
        (lambda m: m.state("b", initial=math.nan), "initial value of 'b': constant nan"),
        (lambda m: m.output("o", 1), "output 'o' is not new .there is an output of this name"),
        (lambda m: m.define("a", 1), "definition 'a' is not new .there is a parameter"),
        (lambda m: m.dosing(S), "dosing into 's' has no rule"),
        (lambda m: m.dosing(S, lag=S), "lag of doses into 's' depends on the state 's'"),
        (lambda m: m.dosing(S, lag=-1), "lag of doses into 's' is -1 .it must be 0 or above"),
        (lambda m: m.dosing(S, duration=0), "duration of doses into 's' is 0 .it must be above 0"),
        (lambda m: (m.dosing(S, lag=1), m.dosing(S, rate=1)), "dosing into 's' is declared twice"),
        (lambda m: m.parameter_info("vmx"), "unknown parameter 'vmx' .the model does not declare "
        "it.. Did you mean 'vmax'"),
        (lambda m: m.state_info("zzz"), "unknown state 'zzz' .the model does not declare it.. "
        "Known: s, central."),
        (lambda m: m.output_unit("p"), "unknown output 'p'"),
        (lambda m: m.check_conservation(["zzz"]), "a state of the balance: unknown state 'zzz'"),
        (lambda m: Model(3),  # type: ignore[arg-type]
         "model name is 3 .its type is int"),
    ],
)  # fmt: skip
def test_mistakes_are_told_at_once(mistake: Callable[[Model], Any], message: str) -> None:
    model = Model("m")
    model.parameters(a=1.0, vmax=2.0)
    model.states("s")
    model.states("central", initial=2)
    model.define("d", 2 * A)
    model.output("o", S)
    with pytest.raises(ModelError, match=message) as caught:
        mistake(model)
    # problem (reason). Remedy.
    assert re.fullmatch(r".+ \(.+\)\. .+[.?]", str(caught.value)), caught.value


@pytest.mark.parametrize("name", ["signed", "controlled"])
def test_properties_of_states_are_a_yes_or_no(name: str) -> None:
    with pytest.raises(TypeError, match=f"{name} of state 'x' is 'no' .it is a yes or no"):
        Model("m").state("x", **{name: "no"})  # type: ignore[arg-type]


def test_numbers_beyond_float64_and_durations_are_no_operands() -> None:
    (x,) = Model("m").states("x")
    with pytest.raises(ModelError, match=r"a int beyond 1.8e308 .* Choose another unit"):
        x + 10**400
    with pytest.raises(ModelError, match="its type is timedelta64"):
        Model("m").parameter("a", np.timedelta64(1, "h"))  # type: ignore[arg-type]
    for product in (lambda: x * np.timedelta64(1, "h"), lambda: np.timedelta64(1, "h") * x):
        with pytest.raises(TypeError, match="timedelta64 in an expression"):
            product()
