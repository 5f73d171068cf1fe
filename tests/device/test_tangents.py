"""Forward sensitivities on a device that a fake driver plays: the CPU's bits, whatever room there
is for steps, and nothing left behind.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import teorell as tl
from arrays_there import Interface
from device_case import REDUCTIONS, TIMES, N, doses, driver, lagged, model, people, without_memory
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
WRT = ["ka", "km", (0, "amount"), (1, "duration")]


def compared(*given: Any, wrt: Any, **options: Any) -> tl.Jacobian:
    """The Jacobian on the device, bit by bit that of the CPU."""
    there = tl.jacobian(*given, wrt=wrt, device="cuda", **options)
    here, moved = tl.jacobian(*given, wrt=wrt, **options), there.cpu()
    assert there.wrt == here.wrt
    for name in ("values", "derivatives", "status", "steps", "rejected", "failure_time"):
        np.testing.assert_array_equal(getattr(moved, name), getattr(here, name), err_msg=name)
    for name in ("reductions", "of_reductions"):
        found, known = getattr(moved, name), getattr(here, name)
        assert found.keys() == known.keys()
        for key, each in known.items():
            np.testing.assert_array_equal(found[key], each, err_msg=f"{name} {key}")
    return there


@pytest.mark.parametrize("method", ["rodas5p", "rodas4p2"])
def test_a_jacobian_is_that_of_the_cpu(driver: FakeDriver, method: str) -> None:
    options: Any = {"method": method, "reductions": REDUCTIONS}
    found = compared(model(), people(), doses(), TIMES, ["cp", "peaks"], wrt=WRT, **options)
    assert isinstance(found.derivatives, DeviceArray)
    assert found.derivatives.shape == (N, TIMES.size, 2, len(WRT))
    assert np.isnan(found.cpu().of_reductions["area"][N // 2]).all()  # who failed
    assert repr(found).endswith("derivatives by ka, km, (0, 'amount'), (1, 'duration')>")


def test_own_times_and_doses(driver: FakeDriver) -> None:
    own = [TIMES[: k % 5] for k in range(N)]
    compared(model(), people(), doses(), own, wrt="vmax", samples="before")
    doses_of = tl.Regimen.columns(
        np.linspace(5.0, 50.0, 2 * N).reshape(N, 2), "depot", [[0.0, 9.0]] * N
    )
    compared(lagged(), None, doses_of, TIMES, wrt=["lag", "late", (1, "amount")])
    steady = tl.Regimen.bolus(40, into="depot", every=12, steady_state=True)
    compared(lagged(timed=False), None, steady, TIMES, wrt=["vmax", (0, "amount")])


def test_little_room_and_short_launches_change_nothing(
    driver: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorded, "FIRST_ROOM", 7)
    monkeypatch.setattr(recorded, "PASSINGS", 0)
    monkeypatch.setattr(launch, "FIRST_STEPS", 5)
    monkeypatch.setattr(launch, "MOST_STEPS", 5)
    compared(model(), people(), doses(), TIMES, "cp", wrt=WRT[:2], reductions=REDUCTIONS)


def test_one_direction(driver: FakeDriver) -> None:
    given = (model(), people(), doses(), TIMES)
    tangents: dict[Any, Any] = {"ka": np.linspace(0.0, 1.0, N), "km": 0.5, (0, "amount"): 2.0}
    solution, derivative = tl.jvp(*given, tangents, device="cuda")
    known, expected = tl.jvp(*given, tangents)
    np.testing.assert_array_equal(solution.cpu().values, known.values)
    np.testing.assert_array_equal(derivative.numpy(), expected)


def test_tangents_lie_where_their_numbers_do(driver: FakeDriver) -> None:
    there = {name: Interface(driver, each, 1, 2) for name, each in people().items()}
    directions = {"ka": np.linspace(0.0, 1.0, N), "vmax": 0.25, "v": np.linspace(1.0, 2.0, N)}
    moves: dict[str, Any] = {
        name: Interface(driver, each, 1) for name, each in directions.items() if name != "v"
    }
    moves["v"] = directions["v"]
    moves["ka"].stream = 90
    del driver.calls[:]
    _, derivative = tl.jvp(model(), there, doses(), TIMES, moves)
    assert {call[-1] for call in driver.named("launch") if "check_columns" not in call[1]} == {90}
    at = {each.array.ctypes.data for each in (*there.values(), moves["ka"], moves["vmax"])}
    assert not at & {call[1] for call in driver.named("read") + driver.named("write")}
    _, expected = tl.jvp(model(), people(), doses(), TIMES, directions)
    np.testing.assert_array_equal(derivative.numpy(), expected)


def test_refused(driver: FakeDriver) -> None:
    given: Any = (model(), people(), doses(), TIMES)
    with pytest.raises(InputError, match=r"the tangent of 'ka' lies on cuda:0, the number itself"):
        tl.jvp(*given, {"ka": Interface(driver, 1.0)}, device="cuda")
    with pytest.raises(InputError, match=r"the tangent of 'ka' lies on cuda:1, the simulation"):
        tl.jvp(*given, {"ka": Interface(driver, 1.0, 1)}, device="cuda")
    with pytest.raises(InputError, match=r"the tangent of 'ka' has 3 values \("):
        tl.jvp(*given, {"ka": Interface(driver, np.ones(3))}, device="cuda")
    with pytest.raises(InputError, match="the tangent of 'ka' is not finite"):
        tl.jvp(
            model(), {"ka": Interface(driver, 1.0)}, None, TIMES, {"ka": Interface(driver, np.nan)}
        )
    with pytest.raises(InputError, match="no derivative of 'tmax_cp'"):
        tl.jacobian(*given, wrt="ka", device="cuda", reductions=[tl.Tmax("cp", end=9.0)])
    with pytest.raises(InputError, match="unknown device"):
        tl.jacobian(*given, wrt="ka", device="gpu")


def test_no_memory_at_any_allocation(driver: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    there = {name: Interface(driver, each) for name, each in people(4).items()}
    given: Any = (model(), there, doses(), TIMES, {"ka": Interface(driver, 1.0), "km": 1.0})
    expected = tl.jvp(*given)[1].numpy()
    without_memory(driver, monkeypatch, lambda: tl.jvp(*given))
    np.testing.assert_array_equal(tl.jvp(*given)[1].numpy(), expected)
