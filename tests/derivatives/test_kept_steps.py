"""Steps kept from torch's forward pass to its backward pass: the bits of solving again."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import teorell as tl
import torch
from compartments import oral
from teorell import InputError, Regimen
from teorell.derivatives.kept_memory import kept_memory
from teorell.engine import solve as engine

MODEL = oral(ka=1.2, cl=2.0, v=10.0, amounts=True)
TIMES = np.linspace(0.0, 30.0, 16)
REGIMEN = Regimen.bolus(100, "gut", every=8, doses=4) + Regimen.infusion(
    30, "central", duration=5, time=3
)
PATIENTS = 150


@pytest.fixture(autouse=True)
def budget():
    before = kept_memory()
    yield
    kept_memory(before)


def gradients(limit, model=MODEL, regimen=REGIMEN, times=TIMES, people=None, **options):
    """The bits of the gradients by cl and by the first dose, and whose steps were kept."""
    kept_memory(limit)
    given = np.linspace(1.0, 4.0, PATIENTS) if people is None else people
    cl = torch.tensor(given, requires_grad=True)
    solution = tl.simulate(model, {"cl": cl}, regimen, times, **options)
    total = torch.nansum(solution.values**2)
    for each in solution.reductions.values():
        total = total + torch.nansum(each)
    total.backward()
    return cl.grad.numpy().tobytes()


def solves(monkeypatch):
    """How many patients' steps each gradient finds kept, as it is computed."""
    found = []
    pull_back = engine.pull_back

    def counted(batch, *arguments, solved=None, **options):
        found.append(0 if solved is None else solved.kept.core.there)
        return pull_back(batch, *arguments, solved=solved, **options)

    monkeypatch.setattr(engine, "pull_back", counted)
    return found


def stepping():
    """A covariate that changes, and a switch."""
    model = tl.Model("changes")
    cl, f = model.parameters(cl=2.0, f=1.0)
    gut, central = model.states("gut", "central")
    model.flow(gut, central, gut)
    model.flow(central, None, tl.where(model.time < 7.0, cl, f * cl) * central / 10)
    model.output("cp", central)
    return model


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("executor", ["machine_code", "interpreter"])
def test_the_same_bits_whatever_is_kept(monkeypatch, threads, executor):
    found = solves(monkeypatch)
    options = {"threads": threads, "executor": executor}
    expected = gradients(0, **options)
    assert gradients(1e9, **options) == expected
    assert gradients(60e3, **options) == expected  # some fit
    assert gradients(1, **options) == expected  # nobody does
    assert found[0] == found[3] == 0
    assert found[1] == PATIENTS
    assert 0 < found[2] < PATIENTS


def test_the_same_bits_with_everything_else(monkeypatch):
    found = solves(monkeypatch)
    lists = [list(TIMES[: k % 5]) for k in range(PATIENTS)]
    reductions = [
        tl.Cmax("cp"),
        tl.AUC("cp", start=2.0, end=20.0),
        tl.TimeAbove("cp", threshold=1.0, end=25.0),
    ]
    columns = Regimen.columns(np.full((PATIENTS, 2), 50.0), "gut", [[0.0, 7.0]] * PATIENTS)
    for given in (
        {"times": lists},
        {"reductions": reductions},
        {"regimen": columns},
        {"model": stepping()},
        {"regimen": Regimen.reset(time=9.0) + REGIMEN},
        {"samples": "before", "method": "rodas4p2"},
    ):
        assert gradients(1e9, **given) == gradients(0, **given)
    assert found[::2] == [PATIENTS] * 6


def test_patients_that_fail_are_not_kept(monkeypatch):
    found = solves(monkeypatch)
    given = np.linspace(1.0, 4.0, 40)
    usual = tl.simulate(MODEL, {"cl": given}, REGIMEN, TIMES)
    steps = {"max_steps": int(np.median(usual.steps + usual.rejected))}
    status = tl.simulate(MODEL, {"cl": given}, REGIMEN, TIMES, **steps).status
    assert 0 < (status != 0).sum() < 40
    steps["people"] = given
    assert gradients(1e9, **steps) == gradients(0, **steps)
    assert found[0] == (status == 0).sum()


def test_a_graph_that_is_kept_goes_back_twice_and_memory_is_used_again():
    kept_memory(1e9)
    cl = torch.tensor(np.linspace(1.0, 4.0, 20), requires_grad=True)
    first = tl.simulate(MODEL, {"cl": cl}, REGIMEN, TIMES).values.sum()
    second = tl.simulate(MODEL, {"cl": 2 * cl}, REGIMEN, TIMES).values.sum()  # both at once
    (a,) = torch.autograd.grad(first, cl, retain_graph=True)
    (b,) = torch.autograd.grad(second, cl)
    (again,) = torch.autograd.grad(first, cl)
    assert torch.equal(a, again)
    del first, second
    gc.collect()
    larger = torch.tensor(np.linspace(1.0, 4.0, 20).repeat(3), requires_grad=True)
    for size in (60, 20):  # the memory of others, of more and of fewer patients
        part = larger[:size]
        (c,) = torch.autograd.grad(
            tl.simulate(MODEL, {"cl": part}, REGIMEN, TIMES).values.sum(), part
        )
        kept_memory(0)
        (d,) = torch.autograd.grad(
            tl.simulate(MODEL, {"cl": part}, REGIMEN, TIMES).values.sum(), part
        )
        kept_memory(1e9)
        assert torch.equal(c, d)
    assert not torch.equal(a, b)


def test_without_a_backward_pass_nothing_is_kept(monkeypatch):
    from teorell.engine import kept_steps

    made = []
    monkeypatch.setattr(kept_steps.KeptSteps, "__init__", lambda self, *_: made.append(self))
    cl = torch.tensor([1.0, 2.0], dtype=torch.float64)
    tl.simulate(MODEL, {"cl": cl}, REGIMEN, TIMES)
    with torch.no_grad():
        tl.simulate(MODEL, {"cl": cl.clone().requires_grad_()}, REGIMEN, TIMES)
    tl.simulate(MODEL, {"cl": [1.0, 2.0]}, REGIMEN, TIMES)
    assert not made


@pytest.mark.parametrize("limit", [-1, "much", True, float("nan"), 1e30])
def test_what_is_no_size_is_one_sentence(limit):
    with pytest.raises(InputError, match=r"limit is .*Give bytes"):
        kept_memory(limit)
