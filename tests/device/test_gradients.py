"""Gradients on a device that a fake driver plays: the CPU's bits, whatever room there is for steps,
and nothing left behind. The sum of weights times values is compared with the exact one.
"""

from __future__ import annotations

import gc
import math
from typing import Any

import numpy as np
import pytest
import teorell as tl
from arrays_there import Interface
from device_case import REDUCTIONS, TIMES, N, doses, driver, here, lagged, model, people
from fake_driver import FakeDriver
from teorell.device import launch, recorded
from teorell.device.arrays import DeviceArray
from teorell.device.driver import NO_MEMORY, DriverError
from teorell.engine.executors import instruction_sets
from teorell.errors import InputError

__all__ = ["driver"]  # a fixture

pytestmark = pytest.mark.skipif(
    not instruction_sets()[0]["fma"],
    reason="NOT RUN: this processor has no fused multiply-add",
)


def weights(outputs: int = 3, n: int = N) -> Any:
    return np.random.default_rng(6).normal(size=(n, TIMES.size, outputs))


def same(there: tl.Gradient, cpu: tl.Gradient) -> None:
    """Bit by bit."""
    moved = there.cpu()
    for name in ("parameters", "initial"):
        found, known = getattr(moved, name), getattr(cpu, name)
        assert found.keys() == known.keys()
        for key, each in known.items():
            np.testing.assert_array_equal(found[key], each, err_msg=f"{name} {key}")
    for name in ("status", "steps", "rejected", "failure_time", "condition"):
        np.testing.assert_array_equal(getattr(there, name), getattr(cpu, name), err_msg=name)
    for line, known in zip(there.of_doses or (), cpu.of_doses or (), strict=True):
        for name, each in vars(known).items():
            np.testing.assert_array_equal(getattr(line, name), each, err_msg=name)


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


def test_refused(driver: FakeDriver) -> None:
    given: Any = (model(), people(), doses(), TIMES)
    there: Any = {"device": "cuda"}
    bad = weights()
    bad[3, 2, 1] = np.nan
    own = [np.arange(3.0)] * N
    cases: list[tuple[Any, Any, dict[str, Any], str]] = [
        (lambda *_: (0.0, 0.0), given, {"by_patient": True}, r"by_patient=True on cuda:0 \("),
        (weights(2), given, {}, r"weights have shape \(40, 16, 2\)"),
        (Interface(driver, weights(2)), given, {}, r"weights have shape \(40, 16, 2\)"),
        (
            Interface(driver, 1.0, 1),
            given,
            {},
            "the array of weights lies on cuda:1, the simulation",
        ),
        (bad, given, {}, "weights are not finite"),
        (Interface(driver, bad), given, {}, "the slope of the loss is not finite .* patient 3"),
        (lambda values: (0.0, bad), given, {}, "not finite .* patient 3"),
        (lambda values: (0.0, np.zeros(3)), given, {}, r"slope of the loss has shape \(3,\)"),
        (lambda values: (0.0, Interface(driver, [1.0])), given, {}, r"loss has shape \(1,\)"),
        (lambda values: 0.0, given, {}, "the loss returned a float"),
        (1.0, (*given[:3], np.tile(TIMES, (N, 1))), {}, "Give a list of times"),
        ({"tmax_cp": 1.0}, given, {"reductions": [tl.Tmax("cp", end=9.0)]}, "no derivative of"),
        ({"cmin": 1.0}, given, {"reductions": REDUCTIONS}, "unknown reduction"),
        (np.ones(4), (model(), None, None, own), {}, "weights have shape"),
        (1.0, given, {"device": "cuda:9"}, "there is no device 'cuda:9'"),
    ]
    for loss, args, options, said in cases:
        with pytest.raises(InputError, match=said):
            tl.value_and_grad(loss, *args, **{**there, **options})
    lag = {"lag": Interface(driver, 0.5)}
    with pytest.raises(InputError, match=r"parameter 'lag' lies on cuda:0"):
        tl.value_and_grad(1.0, lagged(), lag, tl.Regimen.bolus(1.0, into="depot"), TIMES)


def test_a_slope_of_who_failed_is_not_looked_at(driver: FakeDriver) -> None:
    given = (model(), people(), doses(), TIMES)

    def loss(values: Any) -> tuple[float, Any]:
        return 0.0, np.where(np.isnan(here(values)), np.inf, 1.0)

    _, found = tl.value_and_grad(loss, *given, device="cuda")
    same(found, tl.value_and_grad(loss, *given)[1])


def test_failures_are_told(driver: FakeDriver) -> None:
    there = {name: Interface(driver, each) for name, each in people().items()}
    _, found = tl.value_and_grad(1.0, model(), there, doses(), TIMES)
    with pytest.raises(tl.SimulationError, match="1 of 40 patients"):
        found.raise_for_status()
    np.testing.assert_array_equal(found.cpu().given["ka"], people()["ka"])


def test_no_memory_at_any_allocation(driver: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "FIRST_ROOM", 40)
    there = {name: Interface(driver, each) for name, each in people().items()}
    given: Any = (weights(2), model(), there, doses(), TIMES, ["cp", "log"])
    options: Any = {"reductions": REDUCTIONS}
    del driver.calls[:]
    _, known = tl.value_and_grad(*given, **options)
    expected = known.cpu()
    del known
    gc.collect()
    allocations, allocate = len(driver.named("allocate")), driver.allocate
    assert allocations > 20
    for number in range(allocations):
        left = [number]

        def some(size: int, left: list[int] = left) -> int:
            left[0] -= 1
            if left[0] < 0:
                raise DriverError("cuMemAlloc", NO_MEMORY)
            return allocate(size)

        monkeypatch.setattr(driver, "allocate", some)
        with pytest.raises(MemoryError, match="cuda:0 has no memory for the "):
            tl.value_and_grad(*given, **options)
        gc.collect()
        assert not driver.memory
    monkeypatch.setattr(driver, "allocate", allocate)
    same(tl.value_and_grad(*given, **options)[1], expected)


def test_steps_without_any_room(driver: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "FIRST_ROOM", 4)
    monkeypatch.setattr(recorded, "MOST", 64)
    with pytest.raises(MemoryError, match=r"no room for the steps of \d+ patients \("):
        tl.value_and_grad(1.0, model(), people(), doses(), TIMES, device="cuda")


def test_failures_of_the_driver_leave_nothing(driver: FakeDriver) -> None:
    given: Any = (1.0, model(), people(), doses(), TIMES)
    for call in ("launch", "read", "write", "zero"):
        driver.failing = {call: "CUDA_ERROR_LAUNCH_FAILED"}
        with pytest.raises(DriverError, match="LAUNCH_FAILED"):
            tl.value_and_grad(*given, device="cuda")
        gc.collect()
        assert not driver.memory
    driver.failing = {}
    compared(*given)
