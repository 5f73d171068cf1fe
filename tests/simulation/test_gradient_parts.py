"""A gradient of many patients is that of all at once, to the bit, and takes their memory alone."""

import tracemalloc

import numpy as np
import pytest
import teorell as tl
import torch
from teorell.derivatives.kept_memory import kept_memory
from teorell.simulation import gradient_parts

TIMES = np.array([0.5, 3.0, 11.0])


def oral():
    model = tl.Model("oral")
    ka, cl, v = model.parameters(ka=1.2, cl=5.0, v=25.0)
    gut, central = model.states("gut", "central")
    model.flow(gut, central, ka * gut)
    model.flow(central, None, cl / v * central)
    model.output("cp", central / v)
    return model


REGIMEN = tl.Regimen.bolus(80.0, "gut", every=6, doses=2) + tl.Regimen.infusion(
    30.0, "central", duration=2.0, time=1.0
)


def people(n):
    draws = np.random.default_rng(n)
    return {"cl": draws.uniform(2.0, 9.0, n), "ka": draws.uniform(0.3, 2.0, n), "v": 25.0}


def bits(gradient):
    doses = [each for dose in gradient.doses for each in vars(dose).values()]
    return [
        None if each is None or isinstance(each, str) else np.asarray(each).tobytes()
        for each in (
            *gradient.parameters.values(), *gradient.initial.values(), *doses,
            gradient.status, gradient.steps, gradient.rejected, gradient.failure_time,
        )
    ]  # fmt: skip


def by_patient(values, patients):
    return (values**2).sum(axis=(1, 2)) * (patients + 1), 2 * values * (patients + 1)[:, None, None]


def of_all(values):
    return float(np.nansum(values**3)), 3 * values**2


@pytest.mark.parametrize("some", [5, 4])  # 11 patients: the last part is of one, and of three
@pytest.mark.parametrize("fail", [False, True])
def test_some_patients_at_a_time_give_the_same_bits(some, fail, monkeypatch):
    found, limits = {}, {}
    if fail:
        steps = tl.simulate(oral(), people(11), REGIMEN, TIMES).steps
        limits = {"max_steps": int(np.median(steps))}
    for size in (10**9, some):
        monkeypatch.setattr(gradient_parts, "AT_A_TIME", size)
        seen = []
        for loss, options in (
            (np.random.default_rng(0).normal(size=(11, 3, 1)), {}),
            (by_patient, {"by_patient": True}),
            (of_all, {}),
        ):
            value, gradient = tl.value_and_grad(
                loss, oral(), people(11), REGIMEN, TIMES, **options, **limits
            )
            seen.append((value, bits(gradient)))
        if limits:
            assert 0 < (gradient.status != 0).sum() < 11
        found[size] = seen
    assert found[some] == found[10**9]


@pytest.mark.parametrize("budget", [0, 20_000, 10**8])
def test_torch_takes_some_at_a_time_as_well(budget, monkeypatch):
    """Whether steps are kept, of some patients, or of none."""
    found, usual = {}, kept_memory()
    try:
        kept_memory(budget)
        for size in (10**9, 4):
            monkeypatch.setattr(gradient_parts, "AT_A_TIME", size)
            given = {name: torch.tensor(x, requires_grad=True) for name, x in people(11).items()}
            amount = torch.tensor(80.0, dtype=torch.float64, requires_grad=True)
            regimen = tl.Regimen.bolus(amount, "gut", every=6, doses=2)
            values = tl.simulate(oral(), given, regimen, TIMES).values
            (values**2).sum().backward()
            found[size] = [each.grad.numpy().tobytes() for each in (amount, *given.values())]
    finally:
        kept_memory(usual)
    assert found[4] == found[10**9]


def test_progress_counts_all_patients(monkeypatch):
    monkeypatch.setattr(gradient_parts, "AT_A_TIME", 4)
    told = []
    tl.value_and_grad(
        1.0, oral(), people(11), REGIMEN, TIMES, progress=lambda *both: told.append(both)
    )
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (11, 11)
    assert {of for _, of in told} == {11}


def test_memory_is_that_of_what_goes_in_and_comes_out(monkeypatch):
    monkeypatch.setattr(gradient_parts, "AT_A_TIME", 256)
    model, peaks, counts = oral(), [], (1, 2000, 6000)
    for n in counts:
        given = people(n)
        tracemalloc.start()
        _, g = tl.value_and_grad(1.0, model, given, REGIMEN, TIMES)
        returned = [g.parameters["cl"].base, *g.initial.values()]
        returned += [g.status, g.failure_time, g.steps, g.rejected, g.condition]
        peaks.append(tracemalloc.get_traced_memory()[1] - sum(each.nbytes for each in returned))
        tracemalloc.stop()
    assert (peaks[2] - peaks[1]) / (counts[2] - counts[1]) < 8.0  # bytes: less than one number
