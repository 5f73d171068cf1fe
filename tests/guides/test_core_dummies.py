"""What docs/how_to_add.md says is enough where sources must change: a dummy method, instruction,
kind of dose and rule of doses are added to a copy of the package by the steps of their guides, and
used, forwards and in both derivatives.

A step is a change of a file that the guide names; a file that the guide names and the dummy leaves
is told, with the reason. So the guides have no place too few, and none too many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from folders import ROOT
from patched_copy import Change, PatchedCopy
from teorell.schedule.timeline import RANK
from test_places import GUIDES

Steps = Mapping[str, Sequence[Change]]


def before(line: str, new: str) -> Change:
    """`new` before the text `line`, which stands in the file once."""
    return Change(line, new + line)


# ---------------------------------------------------------------- a method

# The stiffly accurate method of two stages, order 2, whose first stage alone has order 1. With
# beta_21 = b_1 = 1 - gamma and b_2 = gamma the condition b_2 beta_21 = 1/2 - gamma gives
# gamma = 1 - 1/sqrt(2) (Hairer & Wanner, Solving ODEs II, IV.7); alpha_21 = 1, gamma_21 = -gamma.
# Transformed: a_21 = 1 / gamma = 2 + sqrt(2), C_21 = -1 / gamma, H = -1 / (sqrt(2) gamma).
TABLEAU = """struct TwoStages {
    static constexpr const char* name = "two_stages";
    static constexpr int stages = 2, order = 2, error_order = 1, dense = 1;
    static constexpr double gamma = 0.2928932188134524;
    static constexpr double a[2][2] = {{}, {3.414213562373095}};
    static constexpr double C[2][2] = {{}, {-3.414213562373095}};
    static constexpr double c[2] = {0.0, 1.0};
    static constexpr double d[2] = {0.2928932188134524, 0.0};
    static constexpr double H[1][2] = {{0.0, -2.414213562373095}};
};

"""
METHOD: Steps = {
    "cpp/include/teorell/tableau.hpp": [
        before("// The names of methods, in constants", TABLEAU),
        Change("using Methods = MethodList<", "using Methods = MethodList<TwoStages, "),
    ],
}
METHOD_LEFT = {"python/teorell/simulate.py": "a docstring"}
USE_METHOD = """
import numpy as np, teorell as tl
from compartments import bateman, oral

model, regimen = oral(), tl.Regimen.bolus(100.0, into="gut")
times, people = np.array([1.0, 3.0, 7.0]), {"cl": np.array([3.0, 5.0]), "v": 20.0, "ka": 1.2}
known = np.array([bateman(times, 1.2, cl, 20.0) for cl in people["cl"]])
assert "two_stages" in tl.METHODS
steps, errors = [], []
for rtol in (1e-4, 1e-6):
    given = dict(method="two_stages", rtol=rtol, atol=1e-3 * rtol)
    found = tl.simulate(model, people, regimen, times, executor="machine_code", **given)
    again = tl.simulate(model, people, regimen, times, executor="interpreter", **given)
    assert found.values.tobytes() == again.values.tobytes()
    steps.append(found.steps.mean())
    errors.append(np.abs(found["cp"] - known).max())
order = -np.log(errors[1] / errors[0]) / np.log(steps[1] / steps[0])
assert 1.7 < order < 2.3, order
h = 1e-30  # the complex step through the closed form
slopes = [bateman(times, 1.2, cl + 1j * h, 20.0).imag / h for cl in people["cl"]]
for executor in ("machine_code", "interpreter"):
    given["executor"] = executor
    weights = np.array([[1.0, -2.0, 0.5]])
    _, back = tl.value_and_grad(
        lambda values: ((weights[..., None] * values).sum(), weights[..., None] + 0 * values),
        model, people, regimen, times, **given)
    forth = tl.jacobian(model, people, regimen, times, wrt="cl", **given)
    by_cl = forth.derivatives.reshape(2, 3)
    np.testing.assert_allclose(by_cl, slopes, rtol=1e-3)
    np.testing.assert_allclose(back.parameters["cl"], (weights * by_cl).sum(axis=1), rtol=1e-9)
"""

# ---------------------------------------------------------------- an instruction

INSTRUCTION: Steps = {
    "python/teorell/lowering/program.py": [
        Change("    FMA = 15\n", "    FMA = 15\n    SQUARE = 16\n"),
        Change("Op.MANTISSA), 3)", "Op.MANTISSA, Op.SQUARE), 3)"),
    ],
    "python/teorell/lowering/values.py": [before('"div": Op.DIV', '"square": Op.SQUARE, ')],
    "python/teorell/lowering/reverse.py": [
        before(
            '        elif op == "exp":',
            """        elif op == Op.SQUARE:
            self.times(a, sign, w, b.mul(b.constant(2.0), xs[0]), below)
""",
        )
    ],
    "python/teorell/lowering/forward.py": [
        before(
            '    if op == "exp":',
            """    if op == Op.SQUARE:
        return b.mul(dx, b.mul(b.constant(2.0), xs[0]))
""",
        )
    ],
    "python/teorell/engine/vector_ir.py": [
        before(
            "        if op == Op.SQRT:",
            """        if op == Op.SQUARE:
            return self.binary("fmul", x[0], x[0])
""",
        )
    ],
    "cpp/include/teorell/program.hpp": [
        Change("    fma\n};", "    fma,\n    square\n};"),
        Change("last_op = Op::fma", "last_op = Op::square"),
        before("    case Op::sqrt:", "    case Op::square:\n"),
    ],
    "cpp/include/teorell/interpreter.hpp": [
        before(
            "        case Op::sqrt:",
            """        case Op::square:
            P::store(at(code[1]), square(get(code[2])));
            code += 3;
            break;
""",
        )
    ],
    "cpp/include/teorell/lanes.hpp": [
        before(
            "TEORELL_HD TEORELL_INLINE double sqrt(double a)",
            "TEORELL_HD TEORELL_INLINE double square(double a) { return a * a; }\n",
        ),
        before(
            "TEORELL_ELEMENTWISE(sqrt(",
            "TEORELL_ELEMENTWISE(square(const Lanes<W>& a), a.r[i] * a.r[i])\n",
        ),
    ],
}
# What makes it a function that users can write: the guide of a function, without `elementary.py`.
FUNCTION: Steps = {
    "python/teorell/model/expression.py": [
        before(
            "def sqrt(x: Operand)",
            "def square(x: Operand) -> Expression:\n"
            '    return unary("square", as_expression(x))\n\n\n',
        )
    ],
    "python/teorell/model/simplify.py": [
        before('"sqrt": math.sqrt', '"square": lambda a: a * a, ')
    ],
    "python/teorell/model/evaluate.py": [before('"sqrt": np.sqrt', '"square": np.square, ')],
    "python/teorell/model/calculus.py": [
        before('    if op == "sqrt":', '    if op == "square":\n        return 2.0 * a * da\n')
    ],
}
USE_INSTRUCTION = """
import numpy as np, teorell as tl
from teorell.lowering.recent import programs_of
from teorell.model.expression import square

def model_of(function):
    model = tl.Model("squares")
    k, s = model.parameters(k=0.7, s=2.0)
    (x,) = model.states("x")
    model.flow(x, None, k * function(x / s))
    model.output("y", function(s + x) / s)
    return model

ours, theirs = model_of(square), model_of(lambda x: x * x)
assert programs_of(ours, ("y",), (), None).counts("rhs")["SQUARE"] == 1
times, people = np.array([0.5, 1.0, 4.0]), {"k": np.array([0.7, 0.9]), "s": 1.7}
regimen, found = tl.Regimen.bolus(3.0, into="x"), []
for model, executor in ((ours, "machine_code"), (ours, "interpreter"), (theirs, None)):
    given = dict(rtol=1e-10, atol=1e-12, executor=executor)
    solved = tl.simulate(model, people, regimen, times, **given)
    _, back = tl.value_and_grad(
        lambda values: (values.sum(), np.ones_like(values)), model, people, regimen, times, **given)
    forth = tl.jacobian(model, people, regimen, times, wrt=["k", "s"], **given)
    by_k, by_s = np.moveaxis(forth.derivatives.reshape(2, 3, 2), -1, 0)
    np.testing.assert_allclose(back.parameters["k"], by_k.sum(axis=1), rtol=1e-9)
    np.testing.assert_allclose(back.parameters["s"], by_s.sum(), rtol=1e-9)
    found.append((solved.values, forth.derivatives))
assert found[0][0].tobytes() == found[1][0].tobytes()
assert found[0][1].tobytes() == found[1][1].tobytes()
for mine, other in zip(found[0], found[2]):
    np.testing.assert_allclose(mine, other, rtol=1e-8)
x = 1.0 / (1.0 / 3.0 + people["k"][:, None] * times / 1.7**2)  # x' = -k (x / s)^2
np.testing.assert_allclose(found[0][0][..., 0], (1.7 + x) ** 2 / 1.7, rtol=1e-7)
"""

# ---------------------------------------------------------------- a kind of dose

# An amount moves from the first state of the model into another. Its number is the next one.
RANKS = RANK.tolist()
KIND: Steps = {
    "cpp/include/teorell/events.hpp": [
        before("    bolus = 0,", f"    transfer = {len(RANKS)},\n"),
        before(
            "            case bolus:",
            "            case transfer: lane(at.yn, l) -= value; [[fallthrough]];\n",
        ),
    ],
    "cpp/include/teorell/tape_walk.hpp": [
        before(
            "        case bolus:",
            "        case transfer: lane(at.yn, l) -= value; [[fallthrough]];\n",
        )
    ],
    "cpp/include/teorell/reverse.hpp": [
        before(
            "        if (kind == bolus)",
            "        if (kind == transfer) value = lane(at.lam + target, l) - lane(at.lam, l);\n",
        )
    ],
    "cpp/include/teorell/forward.hpp": [
        before(
            "            if (kind == bolus)",
            "            if (kind == transfer)\n"
            "                ydot(carried, d, target)[l] += value,\n"
            "                    ydot(carried, d, 0)[l] -= value;\n",
        )
    ],
    "cpp/bindings/batch_views.hpp": [
        Change("to_initial + 1, at.n_params}", "to_initial + 1, at.n_params, at.n}"),
        Change("std::int64_t{parameter_change} + 1", "std::int64_t{transfer} + 1"),
    ],
    "python/teorell/schedule/dose.py": [
        before("NOT_STEADY, REPLACE, ADD = range(3)", f"TRANSFER = {len(RANKS)}\n"),
        Change("self.kind not in (BOLUS, RESET)", "self.kind not in (BOLUS, RESET, TRANSFER)"),
        before(
            "        words = [_show(self.amount)",
            "        if self.kind == TRANSFER:\n"
            "            numbers = f'{_show(self.amount)}, into={self.into!r}'\n"
            "            return f'Regimen.transfer({numbers}, time={_show(self.time)})'\n",
        ),
    ],
    "python/teorell/schedule/regimen.py": [
        Change("    RESET,\n    Dose,", "    RESET,\n    TRANSFER,\n    Dose,"),
        before(
            "    @staticmethod\n    @eager\n    def reset(",
            "    @staticmethod\n    @eager\n    def transfer(amount, into, time=0.0):\n"
            "        return Regimen((line_of(amount, into, time, None, None, kind=TRANSFER),))\n\n",
        ),
    ],
    "python/teorell/schedule/timeline_rows.py": [
        before("# Roles, what a row comes from", f"TRANSFER = {len(RANKS)}\n"),
        Change(
            "target = (to_states if kind == BOLUS else to_infused)[into[source]]",
            "target = (to_states if kind in (BOLUS, TRANSFER) else to_infused)[into[source]]",
        ),
        before(
            "    boluses = np.flatnonzero(short & given & coming)\n",
            "    moved = (table.kind == TRANSFER)[entry]\n"
            "    transfers = np.flatnonzero(short & given & coming & moved)\n",
        ),
        before(
            "        piece(boluses, BOLUS,",
            "        piece(transfers, TRANSFER, DOSE, start, doses.amount[entry], implied),\n",
        ),
        Change("(short & given & coming)\n", "(short & given & coming & ~moved)\n"),
    ],
    "python/teorell/schedule/timeline.py": [
        Change(f"np.array({RANKS})", f"np.array({[*RANKS, len(RANKS)]})")
    ],
    "python/teorell/schedule/timeline_derivatives.py": [
        Change("(table.kind != BOLUS) &", "~np.isin(table.kind, (BOLUS, TRANSFER)) &"),
        Change("import BOLUS\n", "import BOLUS, TRANSFER\n"),
    ],
    "python/teorell/simulation/core_call.py": [
        Change("(table.kind != RESET)]", "(table.kind != RESET) & (table.kind != TRANSFER)]"),
        Change("import BOLUS, NOT_STEADY, RESET\n", "import BOLUS, NOT_STEADY, RESET, TRANSFER\n"),
    ],
}
KIND_LEFT = {
    "python/teorell/engine/batch.py": "a docstring",
    "python/teorell/schedule/dose_table.py": "amount, time and state stand in columns already",
    "python/teorell/schedule/event_table.py": "NONMEM has none",
    "python/teorell/schedule/event_doses.py": "NONMEM has none",
    "python/teorell/simulation/inputs.py": "amount and time vary, as of all lines but a reset",
    "python/teorell/results/gradient.py": "no other numbers than a bolus has",
}
USE_KIND = """
import numpy as np, teorell as tl

model = tl.Model("two pools")
p, q = model.parameters(p=0.5, q=0.2)
a, b = model.states("a", "b")
model.flow(a, None, p * a)
model.flow(b, None, q * b)
model.output("a", a)
model.output("b", b)
times, people = np.array([1.0, 2.5, 6.0]), {"p": np.array([0.5, 0.6]), "q": 0.2}
moved, late = np.array([30.0, 20.0]), 2.0
regimen = tl.Regimen.bolus(100.0, into="a") + tl.Regimen.transfer(moved, into="b", time=late)
assert repr(regimen).endswith("Regimen.transfer(<2 values, 20 to 30>, into='b', time=2)")

def closed(p, q, amount, at):
    since, after = times - at, times > 2.0
    in_a = 100.0 * np.exp(-p * times) - after * amount * np.exp(-p * since)
    return np.stack([in_a, after * amount * np.exp(-q * since)], axis=-1)

def everyone(p=0.0, q=0.0, amount=0.0, at=0.0):
    return np.array([closed(people["p"][i] + p, 0.2 + q, moved[i] + amount, late + at)
                     for i in (0, 1)])

h, weights = 1e-30, np.array([[[1.0, 2.0], [-1.0, 0.5], [3.0, -2.0]]])
slopes = {name: everyone(**{name: 1j * h}).imag / h for name in ("p", "q", "amount", "at")}
values = []
for executor in ("machine_code", "interpreter"):
    given = dict(rtol=1e-10, atol=1e-12, executor=executor)
    values.append(tl.simulate(model, people, regimen, times, **given).values)
    np.testing.assert_allclose(values[-1], everyone(), rtol=1e-7, atol=1e-9)
    _, back = tl.value_and_grad(
        lambda values: ((weights * values).sum(), weights + 0.0 * values),
        model, people, regimen, times, **given)
    line = back.doses[1]
    for name, found in (("p", back.parameters["p"]), ("amount", line.amount)):
        np.testing.assert_allclose(found, (weights * slopes[name]).sum(axis=(1, 2)), rtol=1e-6)
    np.testing.assert_allclose(line.time, (weights * slopes["at"]).sum(), rtol=1e-6)
    np.testing.assert_allclose(back.parameters["q"], (weights * slopes["q"]).sum(), rtol=1e-6)
    wrt = ["p", "q", (1, "amount"), (1, "time")]
    forth = tl.jacobian(model, people, regimen, times, wrt=wrt, **given).derivatives
    for k, name in enumerate(("p", "q", "amount", "at")):
        np.testing.assert_allclose(forth[..., k], slopes[name], rtol=1e-6, atol=1e-8)
assert values[0].tobytes() == values[1].tobytes()
"""

# ---------------------------------------------------------------- a rule of doses

# A second factor of the amount: where bioavailability is the product, nothing else differs.
RULE: Steps = {
    "python/teorell/model/declarations.py": [
        before("    rate: Expression | None = None\n", "    potency: Expression | None = None\n")
    ],
    "python/teorell/model/model.py": [
        Change(
            "duration: Operand | None = None,\n    ) -> None:",
            "duration: Operand | None = None,\n"
            "        potency: Operand | None = None,\n    ) -> None:",
        ),
        Change('"duration": duration}', '"duration": duration, "potency": potency}'),
    ],
    "python/teorell/model/equations.py": [
        Change("d.rate, d.duration)", "d.rate, d.duration, d.potency)")
    ],
    "python/teorell/model/description.py": [
        Change('"rate", "duration"):', '"rate", "duration", "potency"):')
    ],
    "python/teorell/schedule/rule_values.py": [
        Change(
            '1.0 if field == "bioavailability" else',
            '1.0 if field in ("bioavailability", "potency") else',
        )
    ],
    "python/teorell/schedule/introduction.py": [
        before('            "rate": self.flowing,\n', '            "potency": self.acting,\n'),
        Change(
            "for n in _names(rule.bioavailability, rule.duration)",
            "for n in _names(rule.bioavailability, rule.duration, rule.potency)",
        ),
        before(
            "            (rule.duration, here & ",
            "            (rule.potency, here),\n",
        ),
        Change(
            'inside = {"bioavailability": acting}',
            'inside = {"bioavailability": acting, "potency": acting}',
        ),
        Change(
            "amount = table.amount * rules_of(table, rules, inside, values_at)[1]"
            '["bioavailability"]',
            "both = rules_of(table, rules, inside, values_at)[1]\n"
            '    amount = table.amount * both["bioavailability"] * both["potency"]',
        ),
    ],
    "python/teorell/schedule/dosing_rules.py": [
        before(
            "    extent: Array  # (rows,) the duration or the rate",
            "    potency: Array  # (rows,)\n",
        ),
        Change(
            '"amount": amount * like(self.bioavailability, amount),\n            "time"',
            '"amount": amount * like(self.bioavailability * self.potency, amount),\n'
            '            "time"',
        ),
        Change(
            '"bioavailability": amount * like(self.table.amount, amount),',
            '"bioavailability": amount * like(self.table.amount * self.potency, amount),\n'
            '            "potency": amount * like('
            "self.table.amount * self.bioavailability, amount),",
        ),
        Change(
            "            amount * like(self.bioavailability, amount)\n"
            '            + like(self.table.amount, amount) * of_rules["bioavailability"]\n',
            "            amount * like(self.bioavailability * self.potency, amount)\n"
            "            + like(self.table.amount * self.potency, amount)"
            ' * of_rules["bioavailability"]\n'
            "            + like(self.table.amount * self.bioavailability, amount)"
            ' * of_rules["potency"]\n',
        ),
        Change(
            'amount = table.amount * values["bioavailability"]\n',
            'amount = table.amount * values["bioavailability"] * values["potency"]\n',
        ),
        before(
            '        bioavailability=values["bioavailability"],\n',
            '        potency=values["potency"],\n',
        ),
    ],
    "python/teorell/schedule/timeline.py": [
        Change(
            "doses.bioavailability, doses.extent)",
            "doses.bioavailability, doses.potency, doses.extent)",
        ),
        Change("width, bioavailability, extent = ", "width, bioavailability, potency, extent = "),
        Change("width, bioavailability, extent)\n", "width, bioavailability, potency, extent)\n"),
    ],
    "python/teorell/simulation/core_call.py": [
        Change("rule.rate, rule.duration)", "rule.rate, rule.duration, rule.potency)")
    ],
    "python/teorell/simulation/call_derivatives.py": [
        Change(
            '"bioavailability", "rate", "duration")',
            '"bioavailability", "rate", "duration", "potency")',
        )
    ],
}
RULE_LEFT = {
    "python/teorell/schedule/regimen.py": "a docstring",
    "python/teorell/schedule/dose_table.py": "a docstring",
}
USE_RULE = """
import numpy as np, teorell as tl

def model_of(**rules):
    model = tl.Model("rules")
    ka, k, f, w = model.parameters(ka=1.2, k=0.3, f=0.8, w=0.5)
    gut, central = model.states("gut", "central")
    model.flow(gut, central, ka * gut)
    model.flow(central, None, k * central)
    model.output("c", central)
    model.dosing("gut", **{name: rule(f, w) for name, rule in rules.items()})
    return model

ours = model_of(bioavailability=lambda f, w: f, potency=lambda f, w: w * w)
theirs = model_of(bioavailability=lambda f, w: f * (w * w))
assert "potency =" in ours.describe() and ours.content() != theirs.content()
times = np.linspace(0.5, 20.0, 9)
regimen = tl.Regimen.bolus(100.0, into="gut", every=6.0, doses=3)
regimen = regimen + tl.Regimen.infusion(50.0, into="gut", rate=10.0, time=4.0)
changing = tl.stepwise([0.0, 5.0, 11.0], [0.5, 0.7, 0.4])
for w in (np.array([0.5, 0.9]), changing):
    people, found = {"f": np.array([0.8, 0.6]), "w": w}, []
    for model, executor in ((ours, "machine_code"), (ours, "interpreter"), (theirs, None)):
        given = dict(rtol=1e-10, atol=1e-12, executor=executor)
        solved = tl.simulate(model, people, regimen, times, **given)
        weights = np.cos(times)[None, :, None]
        _, back = tl.value_and_grad(
            lambda values: ((weights * values).sum(), weights + 0.0 * values),
            model, people, regimen, times, **given)
        along = tl.jacobian(model, people, regimen, times, wrt=["f", "w"], **given).derivatives
        for k, name in enumerate(("f", "w")):
            forwards = (weights * along[..., k]).sum()
            np.testing.assert_allclose(np.sum(back.parameters[name]), forwards, rtol=1e-8)
        found.append((solved.values, back.parameters["f"], back.parameters["w"], along))
    for a, b, c in zip(*found):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
        np.testing.assert_allclose(a, c, rtol=1e-8, atol=1e-10)
people = {"f": 0.8, "w": 0.5}
half = tl.simulate(ours, people, tl.Regimen.bolus(100.0, into="gut"), times)["c"]
known = 0.8 * 0.25 * 100.0 * 1.2 / 0.9 * (np.exp(-0.3 * times) - np.exp(-1.2 * times))
np.testing.assert_allclose(half.ravel(), known, rtol=1e-4)
"""

# ---------------------------------------------------------------- their tests

DUMMIES = {
    "A method": (METHOD, METHOD_LEFT),
    "An instruction": (INSTRUCTION, {}),
    "A kind of dose": (KIND, KIND_LEFT),
    "A rule of doses": (RULE, RULE_LEFT),
}


@pytest.mark.parametrize("title", DUMMIES)
def test_a_dummy_goes_where_the_guide_says(title: str) -> None:
    """Every file that it changes is a place of the guide, and no place is left out untold."""
    steps, left = DUMMIES[title]
    (guide,) = [each for each in GUIDES if each.title == title]
    named = {place for place in guide.places if guide.within(place)}
    assert sorted({*steps, *left}) == sorted(named)
    assert not {*steps} & {*left}


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> PatchedCopy:
    """A copy with the dummies that need a core: one core for all of them."""
    copy = PatchedCopy(tmp_path_factory.mktemp("changed"))
    for steps in (METHOD, INSTRUCTION, FUNCTION, KIND):
        copy.apply(steps)
    copy.build()
    return copy


def test_a_method(changed: PatchedCopy) -> None:
    changed.run("-c", USE_METHOD)
    tests = str(ROOT / "tests" / "engine" / "test_tableau.py")
    told = changed.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "two_stages", tests)
    assert "passed" in told


def test_an_instruction(changed: PatchedCopy) -> None:
    changed.run("-c", USE_INSTRUCTION)


def test_a_kind_of_dose(changed: PatchedCopy) -> None:
    changed.run("-c", USE_KIND)


def test_a_rule_of_doses(tmp_path: Path) -> None:
    copy = PatchedCopy(tmp_path)
    copy.apply(RULE)
    copy.run("-c", USE_RULE)
