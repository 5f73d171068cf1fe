"""Gradients on a device: what is refused, and what becomes of those that go wrong, with nothing
left there.
"""

from __future__ import annotations

import gc
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
    without_memory,
)  # fmt: skip
from fake_driver import FakeDriver
from teorell.device import recorded
from teorell.device.driver import DriverError
from teorell.errors import InputError

__all__ = ["driver"]  # a fixture


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
    there = {name: Interface(driver, each) for name, each in people(4).items()}
    given: Any = (weights(2, n=4), model(), there, doses(), TIMES, ["cp", "log"])
    options: Any = {"reductions": REDUCTIONS}
    expected = tl.value_and_grad(*given, **options)[1].cpu()
    without_memory(driver, monkeypatch, lambda: tl.value_and_grad(*given, **options))
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
    same(tl.value_and_grad(*given, device="cuda")[1], tl.value_and_grad(*given)[1])
