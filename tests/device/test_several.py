"""Simulations over several devices that a fake driver plays: the CPU's bits on the host, in order,
whoever computed what, and nothing left behind.
"""

from __future__ import annotations

import ctypes
import gc
import threading
from typing import Any

import numpy as np
import pytest
import teorell as tl
from arrays_there import Interface
from device_kernels import on_fake_devices
from fake_driver import FakeDriver
from teorell.device import several, staging
from teorell.device.driver import NO_MEMORY, DriverError
from teorell.engine.executors import instruction_sets
from teorell.errors import InputError

TIMES = np.linspace(0.0, 24.0, 9)
N = 70
TWO = ["cuda:0", "cuda:1"]
pytestmark = pytest.mark.skipif(
    not instruction_sets()[0]["fma"],
    reason="NOT RUN: this processor has no fused multiply-add",
)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch, library: ctypes.CDLL) -> Any:
    """Two devices, each of which takes 20 patients at a time, and pieces of 1000 bytes."""
    fake = on_fake_devices(monkeypatch, library, count=2)
    monkeypatch.setattr(several, "LEAST", 20)
    monkeypatch.setattr(staging, "PIECE", 1000)
    yield fake
    gc.collect()
    assert not fake.memory, "memory of a device was left"
    assert not fake.locked, "memory of the host was left"


def model() -> tl.Model:
    made = tl.Model("several")
    ka, vmax, v = made.parameters(ka=1.2, vmax=9.0, v=20.0)
    depot, central = made.states("depot", "central")
    made.flow(depot, central, ka * depot)
    made.flow(central, None, vmax * (central / v) / (2.0 + central / v))
    made.output("cp", central / v)
    made.output("log", tl.log(1.0 + central))
    return made


def people(n: int = N) -> dict[str, Any]:
    made = {"ka": np.exp(np.random.default_rng(5).normal(0.0, 0.5, n)), "vmax": 8.0}
    made["ka"][n // 2] = 1e308  # who cannot be solved
    return made


def same(there: tl.Solution, here: tl.Solution) -> None:
    """Bit by bit, in NumPy."""
    assert isinstance(there.values, np.ndarray)
    for name in ("values", "status", "steps", "rejected", "failure_time", "condition"):
        np.testing.assert_array_equal(getattr(there, name), getattr(here, name), err_msg=name)
    for name, each in here.reductions.items():
        np.testing.assert_array_equal(there.reductions[name], each, err_msg=name)
    assert repr(there) == repr(here)


def dose() -> tl.Regimen:
    return tl.Regimen.bolus(100, into="depot", every=12, doses=3)


REDUCTIONS = [tl.Cmax("cp", end=24.0), tl.Tmax("cp", end=24.0), tl.AUC("log", end=24.0)]


@pytest.mark.parametrize("device", [TWO, ("cuda:1",), "cuda:all", ["cuda", "cuda:1"]])
def test_patients_are_dealt_out(driver: FakeDriver, device: Any) -> None:
    options: dict[str, Any] = {"reductions": REDUCTIONS}
    here = tl.simulate(model(), people(), dose(), TIMES, **options)
    there = tl.simulate(model(), people(), dose(), TIMES, device=device, **options)
    assert (here.status != 0).sum() == 1
    same(there, here)
    with pytest.raises(tl.SimulationError, match="patient 35"):
        there.raise_for_status()
    assert {call[1] for call in driver.named("current")} <= {0, 1}
    assert len(driver.named("lock")) == (1 if device == ("cuda:1",) else 2)
    assert len(driver.named("read_later")) > len(driver.named("lock"))


def test_what_each_patient_has_goes_with_the_patient(driver: FakeDriver) -> None:
    """Doses, covariates, times and windows of each one's own; a steady state; one patient."""
    rng = np.random.default_rng(1)
    own = [np.sort(rng.uniform(0.0, 24.0, k % 4)) for k in range(N)]
    windows = [tl.AUC("cp", start=np.linspace(0.0, 1.0, N), end=24.0)]
    bolus = tl.Regimen.bolus(np.linspace(50.0, 100.0, N), into="depot")
    late = tl.Model("late")
    x, k = late.state("x"), late.parameter("ka", 1.0)
    late.flow(x, None, tl.where(late.time > 5.0 * k, 2.0, 1.0) * k * x)
    late.output("log", tl.log(1.0 + x))
    steady = tl.Regimen.bolus(40, into="depot", every=12, steady_state=True)
    rising = tl.stepwise([0.0, 5.0], rng.uniform(1.0, 2.0, (N, 2)))
    matrix = np.sort(rng.uniform(0.0, 24.0, (N, 3)), axis=1)
    matrix[::2, 2] = np.nan
    into_x = tl.Regimen.bolus(np.linspace(1.0, 2.0, N), into="x")
    alone = {"ka": np.linspace(0.1, 1.0, N)}
    same(
        tl.simulate(late, alone, into_x, TIMES, device=TWO),
        tl.simulate(late, alone, into_x, TIMES),
    )
    for parameters, regimen, times, options in (
        (people(), bolus, own, {"reductions": windows}),
        (people(), [dose(), None] * (N // 2), TIMES, {}),
        ({"ka": rising}, dose(), TIMES, {"start": "equilibrium"}),
        (people(), steady, matrix, {"samples": "before", "outputs": "log"}),
        ({"ka": 1.0}, dose(), TIMES, {}),
        (people(1), dose(), TIMES, {}),
        (people(), dose(), None, {"reductions": REDUCTIONS}),
    ):
        given: tuple[Any, ...] = (model(), parameters, regimen, times)
        there = tl.simulate(*given, device=TWO, **options)
        same(there, tl.simulate(*given, **options))


def test_progress_is_told_here(driver: FakeDriver) -> None:
    said: list[tuple[int, int]] = []

    def report(done: int, total: int) -> None:
        assert threading.current_thread() is threading.main_thread()
        said.append((done, total))

    tl.simulate(model(), people(), dose(), TIMES, device=TWO, progress=report)
    assert said == sorted(said)
    assert said[-1] == (N, N)


def test_who_stops_stops_all(driver: FakeDriver) -> None:
    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise Stop

    with pytest.raises(Stop):
        tl.simulate(model(), people(), dose(), TIMES, device=TWO, progress=stop)
    assert not driver.memory
    for call in ("launch", "read_later", "zero"):
        driver.failing = {call: "CUDA_ERROR_LAUNCH_FAILED"}
        with pytest.raises(DriverError, match="LAUNCH_FAILED") as failure:
            tl.simulate(model(), people(), dose(), TIMES, device=TWO)
        assert not driver.memory, "kept by what was raised"
        assert failure.value.code
    driver.failing = {"lock": NO_MEMORY}
    with pytest.raises(
        MemoryError, match=r"the host has no memory that cuda:[01] can copy results"
    ):
        tl.simulate(model(), people(), dose(), TIMES, device=TWO)
    driver.failing = {}
    same(
        tl.simulate(model(), people(), dose(), TIMES, device=TWO),
        tl.simulate(model(), people(), dose(), TIMES),
    )


def test_refusals(driver: FakeDriver) -> None:
    torch = pytest.importorskip("torch", reason="NOT RUN: needs torch")
    given = (dose(), TIMES)
    for device, said in (
        ([], "a list names CUDA devices"), (["cuda:0", "cuda"], "and each once"),
        (["cuda:0", "cpu"], "a list names CUDA devices"), (["gpu"], "unknown device 'gpu'"),
        ([0, 1], "unknown device 0"), ("cuda:every", "unknown device"),
        (["cuda:0", "cuda:7"], "there is no device 'cuda:7'"), (3, "unknown device 3"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=said):
            tl.simulate(model(), people(), *given, device=device)
    with pytest.raises(InputError, match=r"'ka' lies on a device, and device is \['cuda:0', 'cu"):
        tl.simulate(model(), {"ka": Interface(driver, 1.0)}, *given, device=TWO)
    for call in (
        lambda: tl.value_and_grad(np.ones((N, 9, 2)), model(), people(), *given, device=TWO),
        lambda: tl.ConstraintSet("c", model()).penalty({}, device="cuda:all"),
    ):
        with pytest.raises(InputError, match=r"several devices only simulate|no constraints"):
            call()
    with pytest.raises(InputError, match=r"a tensor with device \['cuda:0', 'cuda:1'\]"):
        tl.simulate(model(), {"ka": torch.tensor(1.0)}, *given, device=TWO)


def test_patients_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device gets as many as fill it, no more than have room, and all of a few."""
    call = tl.simulation.given.problem_of(model(), people(7), dose(), TIMES)
    batch = call.call(call.given).batch
    for patients, devices, expected in ((7, 2, 4), (10**6, 2, 2**18), (10**7, 2, 1_250_000)):
        object.__setattr__(batch, "patients", patients)
        assert several._patients_at_a_time(batch, devices) == expected
    monkeypatch.setattr(several, "MOST", 8 * 9 * 2 * 1000.0)
    assert several._patients_at_a_time(batch, 2) == 1000
