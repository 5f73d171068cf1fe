"""Both executors, every lane width and every instruction set with fused multiply-add give the same
bits.
"""

import numpy as np
import pytest
import teorell as tl
from teorell.benchmark import reference_models
from teorell.engine import executors, solve
from teorell.lowering import lower

SETS = {b["name"]: b for b in executors.instruction_sets()}
FUSED = [name for name, b in SETS.items() if b["fma"]]


def model_with_everything():
    """Every operation of the language in a right-hand side, time included."""
    model = tl.Model("everything")
    k, e = model.parameters(k=0.7, e=1.3)
    x, y, z = model.states("x", "y", "z", signed=True)
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
    model.output("z", z)
    model.output("sum", x + y)
    return model


MODELS = {
    "A": reference_models.problem_a,
    "B": reference_models.problem_b,
    "everything": model_with_everything,
}


def run(name, n, **options):
    model = MODELS[name]()
    times = np.linspace(0.0, 24.0, 49)
    if name == "everything":
        rng = np.random.default_rng(3)
        parameters, regimen = (
            {"k": rng.uniform(0.3, 1.0, n)},
            tl.Regimen.bolus(1.0, into="y", time=[2.0] * n, every=5, doses=2),
        )
    else:
        parameters, regimen = (
            reference_models.population(name, n),
            tl.Regimen.bolus(100.0, into="STO", every=12, doses=2),
        )
    return tl.simulate(model, parameters, regimen, times, **options)


def same(a, b):
    for field in ("values", "status", "steps", "rejected", "failure_time"):
        np.testing.assert_array_equal(getattr(a, field), getattr(b, field), err_msg=field)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("method", executors.METHODS)
def test_executors_agree(name, method):
    a, b = (
        run(name, 37, method=method, executor=executor)
        for executor in ("machine_code", "interpreter")
    )
    assert (a.status == 0).all()
    same(a, b)


@pytest.mark.parametrize("isa", SETS)
def test_executors_agree_on_every_instruction_set(isa, monkeypatch):
    monkeypatch.setenv("TEORELL_ISA", isa)
    same(
        *(run("everything", 11, executor=executor) for executor in ("machine_code", "interpreter"))
    )


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("executor", ["machine_code", "interpreter"])
def test_instruction_sets_agree(name, executor, monkeypatch):
    results = []
    for isa in FUSED:
        monkeypatch.setenv("TEORELL_ISA", isa)
        results.append(run(name, 19, executor=executor))
    for other in results[1:]:
        same(results[0], other)


@pytest.mark.parametrize("program", ["prepare", "rhs", "outputs"])
@pytest.mark.parametrize("isa", SETS)
def test_programs_do_not_depend_on_the_lane(program, isa):
    programs = lower(model_with_everything(), None)
    width = SETS[isa]["interpreter_width"]
    rng = np.random.default_rng(5)
    start = rng.uniform(0.1, 2.0, (programs.layout.slots, width))
    start[programs.layout.const : programs.layout.const + programs.layout.n_const] = (
        programs.constants[:, None]
    )
    code = np.ascontiguousarray(getattr(programs, program))
    wide = start.copy()
    solve._core.run_program(isa, code, wide, width)
    for lane in (0, width // 2, width - 1):
        alone = np.ascontiguousarray(start[:, [lane]])
        solve._core.run_program(isa, code, alone, 1)
        np.testing.assert_array_equal(wide[:, lane], alone[:, 0])


@pytest.mark.parametrize("executor", ["machine_code", "interpreter"])
def test_unknown_instruction_set(executor, monkeypatch):
    monkeypatch.setenv("TEORELL_ISA", "v9")
    with pytest.raises(ValueError, match="unknown instruction set 'v9'"):
        run("A", 1, executor=executor)
