"""Gradients on a device that a fake driver plays: the CPU's bits, whatever room there is for steps,
and nothing left behind. The sum of weights times values is compared with the exact one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import teorell as tl
from arrays_there import Interface
from device_case import (
    REDUCTIONS,
    TIMES,
    N,
    doses,
    driver,
    here,
    lagged,
    model,
    people,
    same,
    weights,
)  # fmt: skip
from fake_driver import FakeDriver
from teorell.device import launch, recorded
from teorell.device.arrays import DeviceArray
from teorell.engine.executors import instruction_sets
from teorell.errors import InputError

__all__ = ["driver"]  # a fixture

pytestmark = pytest.mark.skipif(
    not instruction_sets()[0]["fma"],
    reason="NOT RUN: this processor has no fused multiply-add",
)


def compared(loss: Any, *given: Any, **options: Any) -> tuple[float, tl.Gradient]:
    """On the device as on the CPU; the two values differ by rounding alone."""
    value, found = tl.value_and_grad(loss, *given, device="cuda", **options)
    known, cpu = tl.value_and_grad(loss, *given, **options)
    same(found, cpu)
    assert math.isclose(value, known, rel_tol=1e-12, abs_tol=1e-12)
    return value, found


@pytest.mark.parametrize("method", ["rodas5p", "rodas4p2"])
def test_weights_give_the_gradient_of_the_cpu(driver: FakeDriver, method: str) -> None:
    given = (model(), people(), doses(), TIMES)
    value, found = compared(weights(), *given, method=method)
    assert isinstance(found.parameters["ka"], DeviceArray)
    assert isinstance(found.parameters["km"], np.ndarray)  # a number of the host
    assert isinstance(found.initial["depot"], DeviceArray)
    assert (found.status != 0).sum() == 1
    solution = tl.simulate(*given, method=method)
    good = solution.status == 0
    assert value == math.fsum((weights() * solution.values)[good].ravel())
    assert driver.named("launch")[0][1].startswith("teorell::pull_patients_back<")


def test_weights_that_broadcast_and_lie_on_the_device(driver: FakeDriver) -> None:
    given = (model(), people(), doses(), TIMES)
    compared(1.0, *given)
    row = weights()[:1, :, 1:2]
    value, found = compared(row, *given)
    there = Interface(driver, row)
    again, same_found = tl.value_and_grad(there, *given, device="cuda")
    assert again == value
    same(same_found, found.cpu())


def test_weights_of_reductions_lie_anywhere(driver: FakeDriver) -> None:
    given: Any = (model(), people(), doses(), TIMES, "cp")
    by_name = {"cmax_cp": np.linspace(0.0, 1.0, N), "area": 0.5, "time_above_cp": 2.0}
    known, cpu = compared(by_name, *given, reductions=REDUCTIONS)
    there = {name: Interface(driver, by_name[name]) for name in ("cmax_cp", "time_above_cp")}
    value, found = tl.value_and_grad(
        {**by_name, **there}, *given, device="cuda", reductions=REDUCTIONS
    )
    assert value == known
    same(found, cpu.cpu())
    with pytest.raises(InputError, match="the weight of 'area' has 3 patients, the simulation has"):
        tl.value_and_grad(
            {"area": Interface(driver, np.ones(3))}, *given, device="cuda", reductions=REDUCTIONS
        )


def test_reductions_and_times_of_each_patient(driver: FakeDriver) -> None:
    rng = np.random.default_rng(7)
    by_name = {"cmax_cp": 1.0, "area": rng.normal(size=N), "time_above_cp": 0.5}
    compared(by_name, model(), people(), doses(), TIMES, "peaks", reductions=REDUCTIONS)
    own = [np.sort(rng.uniform(0.0, 30.0, k % 5)) for k in range(N)]
    rows = sum(len(each) for each in own)
    compared(rng.normal(size=(rows, 2)), model(), people(), doses(), own, ["log", "cp"])
    compared(1.0, model(), people(), doses(), own, ["cp"], reductions=REDUCTIONS, samples="before")


@pytest.mark.parametrize("memory", ["enough", "for few states"])
def test_little_room_and_short_launches_change_nothing(
    driver: FakeDriver, monkeypatch: pytest.MonkeyPatch, memory: str
) -> None:
    monkeypatch.setattr(recorded, "FIRST_ROOM", 7)
    monkeypatch.setattr(recorded, "PASSINGS", 0)
    monkeypatch.setattr(recorded, "FEWEST_STATES", 2)
    monkeypatch.setattr(launch, "FIRST_STEPS", 5)
    monkeypatch.setattr(launch, "MOST_STEPS", 5)
    if memory != "enough":
        monkeypatch.setattr(recorded, "fits_at_once", lambda *_: False)
    said: list[tuple[int, int]] = []
    given = ({"cmax_cp": 1.0, "area": 0.1}, model(), people(), doses(), TIMES)
    _, found = tl.value_and_grad(
        *given, device="cuda", reductions=REDUCTIONS, progress=lambda *told: said.append(told)
    )
    same(found, tl.value_and_grad(*given, reductions=REDUCTIONS)[1])
    assert found.steps.max() > 4 * 7  # so that most patients did not fit at first
    assert len(said) > 20
    assert said == sorted(said)
    assert said[-1] == (N, N)


def test_a_loss_gets_arrays_of_the_device(driver: FakeDriver) -> None:
    given = (model(), people(), doses(), TIMES)
    lies_there: list[bool] = []

    def loss(values: Any) -> tuple[Any, Any]:
        lies_there.append(isinstance(values, DeviceArray))
        shown = np.nan_to_num(here(values))
        return 0.5 * np.sum(shown**2), shown

    def loss_there(values: Any) -> tuple[Any, Any]:
        value, slope = loss(values)
        return Interface(driver, value), Interface(driver, slope)

    known, cpu = tl.value_and_grad(loss, *given)
    for each in (loss, loss_there):
        value, found = tl.value_and_grad(each, *given, device="cuda")
        assert value == known
        same(found, cpu)
    assert lies_there == [False, True, True]


def test_a_loss_of_reductions(driver: FakeDriver) -> None:
    given = (model(), people(), doses(), TIMES, "log")

    def loss(values: Any, reduced: Any) -> tuple[Any, ...]:
        peak = np.nan_to_num(here(reduced["cmax_cp"]))
        return peak.sum(), None, {"cmax_cp": np.ones(N), "area": peak}

    def loss_there(values: Any, reduced: Any) -> tuple[Any, ...]:
        value, _, slopes = loss(values, reduced)
        return value, None, {**slopes, "area": Interface(driver, slopes["area"])}

    known, cpu = tl.value_and_grad(loss, *given, reductions=REDUCTIONS)
    for each in (loss, loss_there):
        value, found = tl.value_and_grad(each, *given, device="cuda", reductions=REDUCTIONS)
        assert value == known
        same(found, cpu)


@pytest.mark.parametrize(
    "kind", ["rules", "own doses", "columns", "steady", "changing", "equilibrium"]
)
def test_what_passes_through_the_host(driver: FakeDriver, kind: str) -> None:
    n = 5
    bolus = tl.Regimen.bolus(40, into="depot", every=12, doses=2)
    cases: dict[str, tuple[Any, Any, dict[str, Any]]] = {
        "rules": ({"lag": np.linspace(0.1, 1.0, n), "part": 0.7}, bolus, {}),
        "own doses": (None, [bolus, None, bolus + bolus], {}),
        "columns": (
            {"v": np.linspace(15.0, 25.0, n)},
            tl.Regimen.columns(np.linspace(5, 50, 2 * n).reshape(n, 2), "depot", [[0.0, 9.0]] * n),
            {},
        ),
        "steady": (
            {"vmax": np.linspace(8.0, 12.0, n)},
            tl.Regimen.bolus(40, into="depot", every=12, steady_state=True),
            {},
        ),
        "changing": ({"ka": tl.stepwise([0.0, 5.0], [1.0, 2.0])}, bolus, {}),
        "equilibrium": ({"v": np.linspace(15.0, 25.0, n)}, bolus, {"start": "equilibrium"}),
    }
    parameters, regimen, options = cases[kind]
    made = lagged(timed=kind not in ("steady", "equilibrium"))
    _, found = compared(1.0, made, parameters, regimen, TIMES, **options)
    assert all(
        isinstance(each, DeviceArray) == (kind != "changing" and each.ndim > 0)
        for each in found.parameters.values()
    )


def test_arrays_on_the_device_are_not_brought_to_the_host(driver: FakeDriver) -> None:
    n = 300
    given = people(n)
    there = {name: Interface(driver, each, 1, 2) for name, each in given.items()}
    there["km"] = Interface(driver, 2.0, 1)
    weight = Interface(driver, weights(n=n), 1)
    del driver.calls[:]
    _, found = tl.value_and_grad(weight, model(), there, None, TIMES)
    read = sum(call[2] for call in driver.named("read"))
    assert read < 32 * n + 10_000  # the outcome, a few words of sums and counters: no gradients
    assert {call[1] for call in driver.named("current")} == {1}
    at = {each.array.ctypes.data for each in (*there.values(), weight)}
    assert not at & {call[1] for call in driver.named("read") + driver.named("write")}
    assert isinstance(found.parameters["km"], DeviceArray)
    same(found, tl.value_and_grad(weights(n=n), model(), {**given, "km": 2.0}, None, TIMES)[1])


def test_streams(driver: FakeDriver) -> None:
    given = {name: Interface(driver, each) for name, each in people().items()}
    weight = Interface(driver, weights())
    given["ka"].stream, weight.stream = 70, 90
    tl.value_and_grad(weight, model(), given, doses(), TIMES)
    assert ("order", 90, 70) in driver.calls
    kernels = [call for call in driver.named("launch") if "total_of_column" not in call[1]]
    assert {call[-1] for call in kernels} == {70}


def test_vectors(driver: FakeDriver) -> None:
    made = tl.Model("vector")
    rates = made.parameter_vector("rates", [0.1, 0.2])
    first, second = made.states("first", "second")
    made.flow(first, second, rates[0] * first)
    made.flow(second, None, rates[1] * second)
    dose = tl.Regimen.bolus(1.0, into="first")
    compared(1.0, made, None, dose, TIMES)
    compared(1.0, made, {"rates": np.linspace(0.1, 0.4, 6).reshape(3, 2)}, dose, TIMES)
