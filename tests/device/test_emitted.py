"""The emitted CUDA source, compiled as host C++ for the lanes of this processor, gives the bits of
the interpreter and of the machine code: solves, gradients and Jacobians, step by step.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import teorell as tl
from emitted_host import best_build, compile_host
from teorell.benchmark import reference_models
from teorell.device import program_text
from teorell.device.emitted import emitted as text_of
from teorell.device.program_text import constant
from teorell.engine import core_arguments
from teorell.lowering import lower


def with_everything() -> tl.Model:
    """Every operation of the language in a right-hand side, time included."""
    model = tl.Model("everything")
    k, e = model.parameters(k=0.7, e=1.3)
    x, y, z = model.states("x", "y", "z", signed=True)
    w = model.state("w", initial=0.5, controlled=False)
    t = model.time
    model.initial(x, 1.0 + k)
    model.initial(y, 2.0)
    model.rate(x, -k * x + tl.exp(-y) * tl.sin(t) + tl.where(t < 3.0, 0.4, 0.1) + 0.2)
    model.rate(
        y, -tl.hill(y, 0.5, e) + tl.min(x * x, 0.8) * tl.log(1.0 + z * z) + tl.max(x - 1.0, 0.0)
    )
    model.rate(
        z,
        -tl.tanh(z) * tl.sqrt(1.0 + y * y)
        + tl.pow(k, e) * tl.abs(x) / (1.0 + x * x)
        + tl.where(x > y, x, y) * tl.cos(t) ** 2,
    )
    model.rate(w, 0.1 - k * w / (1.0 + w))
    model.output("z", z + w)
    model.output("log", tl.log(1.0 + y * y))
    return model


def chain() -> tl.Model:
    """More states than a step holds in registers."""
    model = tl.Model("chain")
    rate, capacity = model.parameters(rate=2.0, capacity=3.0)
    boxes = model.states(*(f"x{k}" for k in range(45)))
    for k, (box, after) in enumerate(pairwise(boxes)):
        amount = box / (1.0 + box / capacity) if k % 9 == 0 else box
        model.flow(box, after, rate * (1.0 + k / 45.0) * amount)
    model.flow(boxes[-1], None, rate * boxes[-1])
    model.output("last", boxes[-1])
    model.output("middle", boxes[20] + boxes[21])
    return model


class Emitted:
    """In place of engine.step_code.machine_code: the same functions from the emitted text."""

    def __init__(self, folder):
        self.folder, self.made = folder, {}

    def __call__(self, programs, method, isa):
        key = (programs.digest, method)
        if key not in self.made:
            folder = self.folder / str(len(self.made))
            folder.mkdir()
            self.made[key] = compile_host(programs, method, folder)
        return self.made[key]


@pytest.fixture
def emitted(tmp_path, monkeypatch):
    """Switches to the emitted text; tells how many models were compiled."""
    monkeypatch.setenv("TEORELL_ISA", str(best_build()["name"]))
    made = Emitted(tmp_path)

    def switch():
        monkeypatch.setattr(core_arguments, "machine_code", made)
        return made

    return switch


def problem(name, n=11):
    times = np.linspace(0.0, 24.0, 25)
    if name == "everything":
        k = np.random.default_rng(3).uniform(0.3, 1.0, n)
        regimen = tl.Regimen.bolus(1.0, into="y", time=2.0, every=5, doses=2)
        return with_everything(), {"k": k, "e": 1.3}, regimen, times
    if name == "chain":
        rate = np.random.default_rng(3).uniform(1.0, 3.0, n)
        regimen = tl.Regimen.bolus(10.0, into="x0", every=8, doses=2)
        return chain(), {"rate": rate, "capacity": 3.0}, regimen, times
    model = reference_models.problem_a() if name == "A" else reference_models.problem_b()
    regimen = tl.Regimen.bolus(100.0, into="STO", every=12, doses=2)
    return model, reference_models.population(name, n), regimen, times


def solved(given, **options):
    solution = tl.simulate(*given, threads=1, **options)
    fields = ("values", "status", "steps", "rejected", "failure_time")
    return [np.asarray(getattr(solution, field)) for field in fields]


def gradient(given, **options):
    """By the adjoint: stages, their reverse, and the outputs' cotangents."""
    model, parameters, regimen, times = given

    def loss(values):
        return (values * values).sum(), 2.0 * values

    value, found = tl.value_and_grad(loss, model, parameters, regimen, times, threads=1, **options)
    return [np.asarray(value), *(np.asarray(each) for each in found.parameters.values())]


def jacobian(given, **options):
    model, parameters, regimen, times = given
    wrt = list(parameters)[:2]
    found = tl.jacobian(model, parameters, regimen, times, wrt=wrt, threads=1, **options)
    return [found.values, found.derivatives]


@pytest.mark.parametrize(
    ("run", "name"),
    [(solved, "chain"), (gradient, "everything"), (jacobian, "everything")],
)
def test_same_bits(run, name, emitted):
    given = problem(name)
    expected = [run(given, executor=each) for each in ("interpreter", "machine_code")]
    made = emitted()
    found = run(given, executor="machine_code")
    assert made.made  # the emitted text ran
    assert all(np.isfinite(each).any() for each in found[:1])
    for other in expected:
        for mine, theirs in zip(found, other, strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_other_method_and_programs_cut(emitted, monkeypatch):
    monkeypatch.setattr(program_text, "LONG", 20)  # every program of a step is several functions
    given, options = problem("A"), {"method": "rodas4p2", "executor": "machine_code"}
    expected = solved(given, **options)
    emitted()
    for mine, theirs in zip(solved(given, **options), expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_text_is_that_of_the_model_alone():
    first, again = (lower(reference_models.problem_a()) for _ in range(2))
    assert text_of(first, "rodas5p") == text_of(again, "rodas5p")
    assert text_of(first, "rodas5p") != text_of(first, "rodas4p2")


def test_constants_are_exact():
    numbers = [0.1, -0.0, 5e-324, 1.7976931348623157e308, 2.0**-1022]
    assert [float.fromhex(constant(each)) for each in numbers] == numbers
    assert math.copysign(1.0, float.fromhex(constant(-0.0))) == -1.0
    assert constant(math.inf) == "from_bits(9218868437227405312ll)"  # 0x7FF0000000000000
    assert "from_bits" in constant(math.nan)
