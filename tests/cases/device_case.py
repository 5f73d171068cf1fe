"""A model, people and doses for derivatives on a device that a fake driver plays."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import teorell as tl
from device_kernels import on_fake_devices
from device_problem import model
from fake_driver import FakeDriver
from teorell.device.arrays import DeviceArray
from teorell.device.driver import NO_MEMORY, DriverError
from teorell.engine.executors import instruction_sets

__all__ = [
    "REDUCTIONS", "TIMES", "N", "doses", "driver", "here", "lagged", "model", "people", "switching",
]  # fmt: skip

TIMES = np.linspace(0.0, 30.0, 16)
N = 40
REDUCTIONS = [
    tl.Cmax("cp", end=30.0),
    tl.AUC("log", end=24.0, name="area"),
    tl.TimeAbove("cp", threshold=1.0, end=30.0),
]


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch, library: ctypes.CDLL) -> Iterator[FakeDriver]:
    """Two devices, which have given all back when the test is over."""
    fake = on_fake_devices(monkeypatch, library, count=2)
    yield fake
    gc.collect()
    assert not fake.memory, "memory of the device was left"
    assert not fake.stack


def switching() -> tl.Model:
    """Saturable elimination, a switch in time, a condition on a state, an event."""
    made = tl.Model("device")
    ka, vmax, km, v = made.parameters(ka=1.2, vmax=9.0, km=2.0, v=20.0)
    depot, central = made.states("depot", "central")
    made.flow(depot, central, ka * depot)
    half = tl.where(made.time > 20.0, 0.5, 1.0)
    made.flow(central, None, vmax * half * (central / v) / (km + central / v))
    peaks = made.level("peaks")
    made.event(when=central > 2.5 * v, then={peaks: peaks + 1.0, depot: 0.9 * depot})
    made.output("cp", central / v)
    made.output("peaks", peaks)
    made.output("log", tl.log(1.0 + central))
    return made


def people(n: int = N) -> dict[str, Any]:
    """One of whom cannot be solved."""
    rng = np.random.default_rng(5)
    spread = {"ka": (0.0, 0.5), "vmax": (2.0, 0.3), "v": (3.0, 0.2)}
    made = {name: np.exp(rng.normal(mean, sd, n)) for name, (mean, sd) in spread.items()}
    made["ka"][n // 2] = 1e308
    return made


def doses() -> tl.Regimen:
    bolus = tl.Regimen.bolus(100, into="depot", every=12, doses=3)
    return bolus + tl.Regimen.infusion(50, into="central", duration=1.5)


def lagged(timed: bool = True) -> tl.Model:
    """Rules of doses with parameters; timed: a switch whose time is one."""
    made = tl.Model("lagged")
    ka, vmax, v, lag, part, late = made.parameters(
        ka=1.2, vmax=9.0, v=20.0, lag=0.3, part=0.8, late=11.0
    )
    depot, central = made.states("depot", "central")
    made.flow(depot, central, ka * depot)
    half = tl.where(made.time > late, 0.5, 1.0) if timed else late / 10.0
    made.flow(central, None, half * vmax * (central / v) / (2.0 + central / v))
    made.rate(central, 1.0)
    made.dosing(depot, lag=lag, bioavailability=part)
    made.output("cp", central / v)
    return made


def here(array: Any) -> Any:
    """On the host."""
    return array.numpy() if isinstance(array, DeviceArray) else array


def without_memory(
    driver: FakeDriver, monkeypatch: pytest.MonkeyPatch, call: Callable[[], object]
) -> None:
    """Calls, with no memory at each of its allocations in turn: a MemoryError, and nothing left."""
    del driver.calls[:]
    call()
    allocations, allocate = len(driver.named("allocate")), driver.allocate
    assert allocations > 10
    for number in range(allocations):
        left = [number]

        def some(size: int, left: list[int] = left) -> int:
            left[0] -= 1
            if left[0] < 0:
                raise DriverError("cuMemAlloc", NO_MEMORY)
            return allocate(size)

        monkeypatch.setattr(driver, "allocate", some)
        with pytest.raises(MemoryError, match="cuda:0 has no memory for the "):
            call()
        gc.collect(1)  # frames of the error
        assert not driver.memory
    monkeypatch.setattr(driver, "allocate", allocate)


def weights(outputs: int = 3, n: int = N) -> Any:
    return np.random.default_rng(6).normal(size=(n, TIMES.size, outputs))


def same(there: tl.Gradient, cpu: tl.Gradient) -> None:
    """Bit by bit."""
    if not instruction_sets()[0]["fma"]:
        pytest.skip("NOT RUN: this processor has no fused multiply-add")
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
