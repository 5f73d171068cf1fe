"""What docs/how_to_add.md says is enough: a dummy is added by its steps and used, forwards and in
both derivatives.

Methods, instructions, kinds of doses and rules of doses need a new core or a field of a class:
test_core_dummies.py adds them to a copy. Here a step that changes a source is a patch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import teorell as tl
from compartments import bateman, oral
from numpy.typing import NDArray
from teorell import cli
from teorell.constraints import ConstraintSet
from teorell.errors import InputError
from teorell.fitting.residual_error import Error
from teorell.lowering import elementary, forward, reverse
from teorell.model import calculus, evaluate, simplify, ufuncs
from teorell.model.expression import as_expression
from teorell.model.graph import RULES, Expression
from teorell.pbpk import THEOPHYLLINE, virtual_adults, whole_body
from teorell.storage import streaming
from teorell.storage.contents import Chunk, Contents
from teorell.storage.files import replacing

TIMES = np.array([0.5, 1.0, 2.0, 4.0])
TIGHT = {"rtol": 1e-10, "atol": 1e-12}


def saturating(function):
    """x' = -k function(x / s), and the function itself as output."""
    model = tl.Model("saturating")
    k, s = model.parameters(k=0.7, s=2.0)
    (x,) = model.states("x")
    model.flow(x, None, k * function(x / s))
    model.output("y", function(x / s))
    return model


def derivatives_of(model, parameters, regimen, **options):
    """Values; the gradient of their sum, backwards; derivatives by parameters, forwards."""
    names = list(parameters)
    value, gradient = tl.value_and_grad(
        lambda values: (values.sum(), np.ones_like(values)),
        model, parameters, regimen, TIMES, **options,
    )  # fmt: skip
    found = tl.jacobian(model, parameters, regimen, TIMES, wrt=names, **options)
    np.testing.assert_allclose(value, found.values.sum(), rtol=1e-12)
    back = [gradient.parameters[name] for name in names]
    np.testing.assert_allclose(
        np.sum(back, axis=-1) if np.ndim(back[0]) else back,
        found.derivatives.sum(axis=(0, 1, 2)),
        rtol=1e-7,
    )
    return found.values, np.array(back), found.derivatives


def compare(function, same, **options):
    """Two spellings of a function have one solution and one derivative."""
    given = {"k": 0.9, "s": 1.7}, tl.Regimen.bolus(3.0, into="x")
    ours = derivatives_of(saturating(function), *given, **TIGHT, **options)
    theirs = derivatives_of(saturating(same), *given, **TIGHT, **options)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-7)


# ---------------------------------------------------------------- a function made of functions


def test_a_function_made_of_functions() -> None:
    def logistic(x):
        return 0.5 + 0.5 * tl.tanh(0.5 * as_expression(x))

    compare(logistic, lambda x: 1.0 / (1.0 + tl.exp(-x)))


# ---------------------------------------------------------------- a function made of instructions


def hyperbolic(b, x, sign):
    """(e^x + sign e^-x) / 2 in instructions."""
    up, down = elementary.FUNCTIONS["exp"](b, x), elementary.FUNCTIONS["exp"](b, b.neg(x))
    return b.mul(b.constant(0.5), b.add(up, down) if sign > 0 else b.sub(up, down))


@pytest.fixture
def sinh(monkeypatch: pytest.MonkeyPatch):
    """The steps of the guide, in its order."""

    def function(x):  # expression.py
        return simplify.unary("sinh", as_expression(x))

    monkeypatch.setitem(simplify._UNARY, "sinh", math.sinh)
    monkeypatch.setitem(RULES, "sinh", partial(simplify.unary, "sinh"))
    monkeypatch.setitem(evaluate._MEANING, "sinh", np.sinh)

    slope, step, tangent = calculus._unary_rule, reverse._Reverse.step, forward._step

    def of_expression(op, node, a, da):
        return (tl.exp(a) + tl.exp(-a)) / 2.0 * da if op == "sinh" else slope(op, node, a, da)

    monkeypatch.setattr(calculus, "_unary_rule", of_expression)
    monkeypatch.setitem(ufuncs._KNOWN, "sinh", RULES["sinh"])
    monkeypatch.setitem(elementary.FUNCTIONS, "sinh", partial(hyperbolic, sign=-1))

    def backwards(self, number, bar):
        record = self.trace.records[number]
        if record[0] != "sinh":
            step(self, number, bar)
            return
        sign, w = bar.signed(self.b)
        (x,) = record[1]
        self.times(x, sign, w, hyperbolic(self.b, self.values[x], 1), bar.below)

    monkeypatch.setattr(reverse._Reverse, "step", backwards)

    def forwards(trace, b, values, tangents, number, record):
        if record[0] != "sinh":
            return tangent(trace, b, values, tangents, number, record)
        (x,) = record[1]
        if tangents[x] is None:
            return None
        return b.mul(tangents[x], hyperbolic(b, values[x], 1))

    monkeypatch.setattr(forward, "_step", forwards)
    return function


@pytest.mark.parametrize("executor", ["machine_code", "interpreter"])
def test_a_function_made_of_instructions(sinh, executor: str) -> None:
    compare(sinh, lambda x: (tl.exp(x) - tl.exp(-x)) / 2.0, executor=executor)


def test_it_is_a_function_of_expressions(sinh) -> None:
    x = tl.Model("names").state("x")
    assert repr(sinh(x)) == "sinh(x)"
    assert np.sinh(x) is sinh(x)
    assert sinh(0.5).value == math.sinh(0.5)
    with pytest.raises(tl.ModelError, match="finite"):
        sinh(1000.0)
    assert evaluate.evaluate(sinh(x), {x: 0.3}) == np.sinh(0.3)
    by_x = calculus.derivative(sinh(x), x)
    assert evaluate.evaluate(by_x, {x: 0.3}) == pytest.approx(np.cosh(0.3), rel=1e-14)


# ---------------------------------------------------------------- a kind of constraint


class Shares(ConstraintSet):
    """With one more way to demand something."""

    def add_up(self, name: str, parts: Sequence[Expression], total: Any, **more: Any) -> None:
        """The parts make the total."""
        self.equal(name, sum(parts[1:], start=parts[0]), total, **more)


def test_a_kind_of_constraint() -> None:
    shares = Shares("shares")
    a, b = shares.quantities("a", "b")
    shares.add_up("whole", (a, b), 1.0, weight=3.0)
    shares.at_least("some a", a, 0.1)
    people = {"a": np.array([0.4, 0.7, 0.2]), "b": np.array([0.6, 0.7, 0.3])}
    over = people["a"] + people["b"] - 1.0
    penalty, slopes = shares.penalty(people, gradient=True)
    np.testing.assert_allclose(penalty, 3.0 * over**2, atol=1e-15)
    np.testing.assert_allclose(slopes["b"], 6.0 * over, atol=1e-14)
    assert shares.violations(people).any.tolist() == [False, True, True]
    nearest = shares.project(people, scale={"a": 1.0, "b": 1.0})
    np.testing.assert_allclose(nearest.values["a"], people["a"] - over / 2.0, atol=1e-12)
    back = nearest.pull_back({"a": np.ones(3), "b": np.zeros(3)})
    np.testing.assert_allclose(back["a"], 0.5, rtol=1e-9)
    assert type(shares.only("")) is Shares


def test_a_kind_of_constraint_on_curves_and_by_torch() -> None:
    torch = pytest.importorskip("torch")
    model = oral()
    shares = Shares("exposure", model)
    early = shares.reduction(tl.AUC("cp", end=4.0, name="early"))
    late = shares.reduction(tl.AUC("cp", start=4.0, end=12.0, name="late"))
    shares.add_up("all of it", (early, late), 20.0, scale=1.0)
    regimen, clearance = tl.Regimen.bolus(100.0, into="gut"), np.array([3.0, 5.0])
    value, gradient = shares.value_and_grad({"cl": clearance}, regimen, **TIGHT)

    def total(cl):
        area = tl.simulate(model, {"cl": cl}, regimen, reductions=[tl.AUC("cp", end=12.0)], **TIGHT)
        return ((area.reductions["auc_cp"] - 20.0) ** 2).sum()

    assert value == pytest.approx(total(clearance), rel=1e-9)
    tensor = torch.tensor(clearance, requires_grad=True)
    total(tensor).backward()
    np.testing.assert_allclose(gradient.parameters["cl"], tensor.grad.numpy(), rtol=1e-7)


# ---------------------------------------------------------------- a reduction


class Exposure(tl.AUC):
    """The area, told in the output's unit times days."""

    word = "exposure"

    def unit(self, output: str, time: str) -> str:
        return f"{output} d"


def test_a_reduction() -> None:
    model, regimen = oral(), tl.Regimen.bolus(100.0, into="gut")
    asked = {"reductions": [Exposure("cp", end=24.0), tl.AUC("cp", end=24.0)], **TIGHT}
    people = {"cl": np.array([3.0, 5.0])}
    found = tl.simulate(model, people, regimen, TIMES, **asked)
    np.testing.assert_array_equal(found.reductions["exposure_cp"], found.reductions["auc_cp"])
    k, ka = people["cl"] / 20.0, 1.2
    ends = -np.expm1(-24.0 * k) / k, -np.expm1(-24.0 * ka) / ka
    known = 100.0 * ka / (20.0 * (ka - k)) * (ends[0] - ends[1])
    np.testing.assert_allclose(found.reductions["exposure_cp"], known, rtol=1e-8)
    _, gradient = tl.value_and_grad({"exposure_cp": 1.0}, model, people, regimen, TIMES, **asked)
    forwards = tl.jacobian(model, people, regimen, TIMES, wrt="cl", **asked)
    np.testing.assert_allclose(
        gradient.parameters["cl"], forwards.of_reductions["exposure_cp"][:, 0], rtol=1e-8
    )


# ---------------------------------------------------------------- a residual error


class Counting(Error):
    """Scatter as of counts: v = cv^2 f, where cv has the unit of the root of the output."""

    def __init__(self, cv: float | None = None) -> None:
        super().__init__(sd=0.0, cv=cv)

    def variance(self, f, logs):
        size = np.exp(logs[:, 0]) if self.estimated else np.asarray(self.cv)
        v = size**2 * np.abs(f)
        by_logs = 2.0 * v[:, None] if self.estimated else np.zeros((f.size, 0))
        return v, size**2 * np.sign(f), by_logs


def test_a_residual_error() -> None:
    """The maximum is that of the likelihood, written out."""
    model, times = oral(), np.array([0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 18.0, 24.0])
    rng = np.random.default_rng(4)
    curve = bateman(times, 1.2, 5.0, 20.0)
    observed = curve + 0.1 * np.sqrt(curve) * rng.standard_normal(times.size)
    rows = pd.DataFrame({"ID": 1, "TIME": times, "DV": observed, "AMT": 0.0, "EVID": 0})
    dose = pd.DataFrame({"ID": [1], "TIME": [0.0], "DV": [np.nan], "AMT": [100.0], "EVID": [1]})
    table = tl.EventTable(pd.concat([dose, rows]), model)
    start = {"ka": 1.0, "cl": 4.0, "v": 25.0}
    found = tl.fit(model, table, start, error=Counting(), starts=1, **TIGHT)
    assert found.converged.all()
    at = [found.estimates[name][0] for name in start]

    def objective(point, size):
        f = bateman(times, *point)
        v = size**2 * f
        return np.sum((observed - f) ** 2 / v + np.log(2.0 * np.pi * v))

    best = objective(at, found.error["cv"][0])
    assert found.objective[0] == pytest.approx(best, rel=1e-7)
    for k in range(3):
        for factor in (0.97, 1.03):
            moved = [x * factor if j == k else x for j, x in enumerate(at)]
            assert objective(moved, found.error["cv"][0]) > best
    assert objective(at, 0.97 * found.error["cv"][0]) > best
    assert objective(at, 1.03 * found.error["cv"][0]) > best
    fixed = tl.fit(model, table, start, error=Counting(found.error["cv"][0]), starts=1, **TIGHT)
    np.testing.assert_allclose([fixed.estimates[name][0] for name in start], at, rtol=1e-4)


# ---------------------------------------------------------------- a store


class Npz:
    """A folder with one .npz a chunk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self, layout: Contents) -> None:
        pass

    def ours(self, names: Sequence[str]) -> re.Pattern[str]:
        return re.compile(r"\d+\.npz|_\d+\.npz\.part")

    def partial(self) -> re.Pattern[str]:
        return re.compile(r"_\d+\.npz\.part")

    def lost(self, names: Sequence[str]) -> str | None:
        return None

    def files(self, number: int, names: Sequence[str]) -> list[Path]:
        return [self.path / f"{number}.npz"]

    def write(self, layout: Contents, chunk: Chunk, arrays: Mapping[str, NDArray[Any]]) -> None:
        with replacing(self.files(chunk.number, ())[0]) as path, open(path, "wb") as file:
            np.savez(file, **arrays)

    def read(self, chunk: Chunk, names: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
        with np.load(self.files(chunk.number, ())[0]) as arrays:
            return {name: arrays[name] for name in names or arrays if arrays[name].ndim == 1}

    def open(self, chunks: int) -> list[Path]:
        return [self.path / f"{number}.npz" for number in range(chunks)]


def test_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = streaming.store_at

    def store_at(path):
        return Npz(Path(path)) if Path(path).suffix == ".npz" else known(path)

    monkeypatch.setattr(streaming, "store_at", store_at)
    model, regimen = oral(), tl.Regimen.bolus(100.0, into="gut")
    people = {"cl": np.linspace(3.0, 6.0, 11)}
    given = (model, people, regimen, TIMES)
    stored = tl.simulate_to(tmp_path / "people.npz", *given, chunk=4)
    stored.raise_for_status()
    parts = [np.load(path) for path in stored.open()]
    values = np.concatenate([part["cp"] for part in parts])
    np.testing.assert_array_equal(values, tl.simulate(*given)["cp"])
    np.testing.assert_array_equal(np.concatenate([part["cl"] for part in parts]), people["cl"])
    for part in parts:
        part.close()
    assert tl.simulate_to(tmp_path / "people.npz", *given, chunk=4) == stored  # finished: as it was
    with pytest.raises(InputError, match="another simulation"):
        tl.simulate_to(tmp_path / "people.npz", model, {"cl": 3.0}, regimen, TIMES, chunk=4)


# ---------------------------------------------------------------- a command


def add_parser(commands) -> None:
    parser = commands.add_parser("double", help="a number, twice")
    parser.add_argument("number", type=float, metavar="NUMBER")
    parser.set_defaults(run=double)


def double(options) -> int:
    if options.number < 0.0:
        raise InputError(f"NUMBER is {options.number:g} (none is doubled). Give 0 or more.")
    print(2.0 * options.number)
    return 0


def test_a_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    known = cli._parser

    def with_one_more():
        parser = known()
        (commands,) = parser._subparsers._group_actions
        add_parser(commands)
        return parser

    monkeypatch.setattr(cli, "_parser", with_one_more)
    assert cli.main(["double", "21"]) == 0
    assert capsys.readouterr().out == "42.0\n"
    assert cli.main(["double", "-1"]) == 2
    assert (
        capsys.readouterr().err
        == "teorell: error: NUMBER is -1 (none is doubled). Give 0 or more.\n"
    )
    assert cli.main(["--help"]) == 0
    assert "a number, twice" in capsys.readouterr().out


# ---------------------------------------------------------------- a drug


def test_a_drug() -> None:
    slow = replace(THEOPHYLLINE, name="slow", clearance=THEOPHYLLINE.clearance / 2.0)
    model = whole_body(slow)
    people = dict(virtual_adults(3, seed=2, drug=slow))
    regimen = tl.Regimen.bolus(slow.oral_dose, into="stomach_lumen")
    areas = [tl.AUC("cp", end=200.0)]
    ours = tl.simulate(model, people, regimen, reductions=areas)
    same = virtual_adults(3, seed=2, drug=THEOPHYLLINE)
    theirs = tl.simulate(whole_body(THEOPHYLLINE), same, regimen, reductions=areas)
    assert (ours.reductions["auc_cp"] > 1.5 * theirs.reductions["auc_cp"]).all()
    chosen = {name: people[name] for name in ("ka", "fu")}
    derivatives_of(model, chosen, regimen, outputs=["cp"], rtol=1e-8)
