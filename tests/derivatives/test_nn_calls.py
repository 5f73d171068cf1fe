"""Regimens and times at the call of `teorell.nn.Simulator`: mini-batches of any size."""

from __future__ import annotations

import runpy

import numpy as np
import pytest
import teorell as tl
import torch
from compartments import oral
from folders import ROOT
from teorell import InputError, Regimen
from teorell.nn import Simulator

MODEL = oral(ka=1.2, cl=2.0, v=10.0, amounts=True)
TIMES = [1.0, 5.0]
DOSE = Regimen.bolus(100.0, "gut")


def batch(size, seed=0):
    rng = np.random.default_rng(seed)
    times = np.sort(rng.uniform(0.0, 20.0, (size, 4)), axis=1)
    times[rng.random(size) < 0.5, 3] = np.nan
    return {
        "cl": rng.uniform(1.0, 4.0, size),
        "amount": rng.uniform(10.0, 100.0, (size, 3)),
        "time": rng.uniform(0.0, 12.0, (size, 3)),
        "times": times,
    }


@pytest.mark.parametrize("size", [1, 5, 3])
def test_a_call_with_its_own_doses_and_times_is_simulate(size):
    layer = Simulator(MODEL, DOSE, TIMES, learnable=["ka"], fixed={"v": 12.0}, dtype=torch.float32)
    given = batch(size)

    def tensors():
        return {
            name: torch.tensor(given[name], requires_grad=True) for name in ("cl", "amount", "time")
        }

    a, b = tensors(), tensors()
    mine = layer(
        cl=a["cl"],
        regimen=Regimen.columns(a["amount"], "gut", a["time"]),
        times=torch.tensor(given["times"]),
    )
    ka = torch.tensor(1.2, dtype=torch.float32, requires_grad=True)
    v = torch.tensor(12.0, dtype=torch.float32)
    regimen = Regimen.columns(b["amount"], "gut", b["time"])
    solution = tl.simulate(MODEL, {"cl": b["cl"], "ka": ka, "v": v}, regimen, given["times"])
    assert mine.dtype == torch.float64
    assert torch.equal(torch.nan_to_num(mine), torch.nan_to_num(solution.values))
    torch.nansum(mine**2).backward()
    torch.nansum(solution.values**2).backward()
    for name in a:
        assert torch.equal(a[name].grad, b[name].grad)
    assert torch.equal(layer.learnable_ka.grad, ka.grad)
    assert layer.status.tolist() == [0] * size


def test_one_of_both_and_the_modules_own_after_it():
    layer = Simulator(MODEL, DOSE, TIMES)
    own = layer()
    doubled = layer(regimen=Regimen.bolus(200.0, "gut"))
    torch.testing.assert_close(doubled, 2.0 * own, rtol=1e-5, atol=1e-9)
    assert layer(times=[5.0]).shape == (1, 1, 2)
    assert torch.equal(layer(), own)


def test_patients_that_fail_have_no_gradient():
    model = tl.Model("growth")
    rate = model.parameter("rate", 0.1)
    x = model.state("x", 1.0)
    model.rate(x, rate * x * x)
    model.output("x", x)
    layer = Simulator(model, None, [1.0])
    rates = torch.tensor([0.1, 1.0, 0.2], dtype=torch.float64, requires_grad=True)
    values = layer(rate=rates, times=np.array([[0.5, 2.0], [0.5, 2.0], [1.0, np.nan]]))
    assert [bool(status) for status in layer.status] == [False, True, False]
    torch.nansum(values).backward()
    assert rates.grad[1] == 0.0
    assert (rates.grad[[0, 2]] > 0.0).all()
    solved = {0: [0.5, 2.0], 2: [1.0]}
    for k, times in solved.items():  # x = 1 / (1 - rate t), dx/drate = t x^2
        exact = sum(t / (1.0 - rates[k].item() * t) ** 2 for t in times)
        torch.testing.assert_close(float(rates.grad[k]), exact, rtol=1e-4, atol=0.0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"times": [[2.0, 1.0]]}, "unsorted"),
        ({"times": np.array([[2.0, 1.0]])}, "unsorted"),
        ({"times": torch.zeros(0, 3)}, "no patients"),
        ({"regimen": Regimen.columns([[1.0], [2.0]], "gut"), "times": np.ones((3, 1))}, "patients"),
        ({"regimen": Regimen.bolus(1.0, "liver")}, "unknown compartment 'liver'"),
        ({"regimen": [Regimen.bolus(torch.tensor(1.0), "gut")]}, "Regimen.columns"),
        ({"times": torch.ones(1, 1, requires_grad=True)}, "times is a tensor with a derivative"),
        ({"dose": DOSE}, "unknown parameter 'dose'"),
    ],
)
def test_what_does_not_fit_is_one_sentence(given, message):
    layer = Simulator(MODEL, DOSE, TIMES)
    with pytest.raises(InputError, match=message):
        layer(**given)


def test_a_parameter_of_that_name_is_refused():
    model = tl.Model("times")
    times = model.parameter("times", 1.0)
    x = model.state("x", 1.0)
    model.flow(x, None, times * x)
    model.output("x", x)
    layer = Simulator(model, None, [1.0])
    assert layer({"times": torch.tensor(2.0)}).shape == (1, 1, 1)
    with pytest.raises(InputError, match="Rename the parameter"):
        layer(times=[2.0])


def test_the_example_learns():
    """The first steps of examples/training.py: batches of any size, patients that fail."""
    train = runpy.run_path(str(ROOT / "examples" / "training.py"))["train"]
    losses, error, failed = train(steps=25)
    assert np.mean(losses[-5:]) < 0.3 * np.mean(losses[:5])
    assert error < 0.15
    assert failed > 0
