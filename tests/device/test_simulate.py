"""Simulations on a device that a fake driver plays, by the kernels of cuda/ compiled for the host:
the CPU's bits, from arrays of any library, and nothing left behind.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import teorell as tl
from arrays_there import Interface
from device_case import TIMES, doses, driver, switching
from device_case import people as drawn
from fake_driver import FakeDriver
from teorell.device import place
from teorell.device.arrays import DeviceArray
from teorell.device.driver import DriverError
from teorell.engine.executors import instruction_sets
from teorell.errors import InputError
from teorell.simulation.given import problem_of

__all__ = ["driver"]  # a fixture

N = 70


def people(n: int = N) -> dict[str, np.ndarray]:
    return drawn(n)


def same(there: tl.Solution, here: tl.Solution) -> None:
    """Bit by bit."""
    if not instruction_sets()[0]["fma"]:
        pytest.skip("NOT RUN: this processor has no fused multiply-add")
    moved = there.cpu()
    np.testing.assert_array_equal(moved.values, here.values)
    for name in ("status", "steps", "rejected", "failure_time", "condition"):
        np.testing.assert_array_equal(getattr(there, name), getattr(here, name), err_msg=name)
    assert there.reductions.keys() == here.reductions.keys()
    for name, each in here.reductions.items():
        np.testing.assert_array_equal(moved.reductions[name], each, err_msg=name)


REDUCTIONS = [
    tl.Cmax("cp", end=30.0),
    tl.Tmax("cp", end=30.0),
    tl.AUC("cp", end=24.0, name="area"),
    tl.TimeAbove("cp", threshold=1.0, end=30.0),
]


@pytest.mark.parametrize("method", ["rodas5p", "rodas4p2"])
def test_numbers_of_the_host_give_the_bits_of_the_cpu(driver: FakeDriver, method: str) -> None:
    options = {"reductions": REDUCTIONS, "method": method}
    there = tl.simulate(switching(), people(), doses(), TIMES, device="cuda", **options)
    here = tl.simulate(switching(), people(), doses(), TIMES, **options)
    assert isinstance(there.values, DeviceArray)
    assert (here.status != 0).sum() == 1
    same(there, here)
    assert repr(there) == repr(here)


def test_arrays_on_a_device_are_used_where_they_lie(driver: FakeDriver) -> None:
    given = people()
    here = tl.simulate(switching(), {**given, "km": 2.5}, doses(), TIMES)
    strides = {"ka": 1, "vmax": 3, "v": -1}
    columns = {name: Interface(driver, each, 1, strides[name]) for name, each in given.items()}
    del driver.calls[:]
    there = tl.simulate(switching(), {**columns, "km": 2.5}, doses(), TIMES)
    assert there.values.device.number == 1
    at = {columns[name].array.ctypes.data for name in columns}
    assert not at & {call[1] for call in driver.named("read") + driver.named("write")}
    same(there, here)
    assert {call[1] for call in driver.named("current")} == {1}
    same(tl.simulate(switching(), {**columns, "km": 2.5}, doses(), TIMES, device="cuda"), here)
    same(tl.simulate(switching(), {**columns, "km": 2.5}, doses(), TIMES, device="cuda:1"), here)


def test_own_times_and_outputs_by_name(driver: FakeDriver) -> None:
    given = people(5)
    times = [TIMES[: k + 1] for k in range(5)]
    for options in ({"outputs": "peaks"}, {"outputs": ["log", "cp"], "reductions": REDUCTIONS[:1]}):
        there = tl.simulate(switching(), given, doses(), times, device="cuda", **options)
        here = tl.simulate(switching(), given, doses(), times, **options)
        same(there, here)
    there = tl.simulate(switching(), given, doses(), device="cuda", reductions=REDUCTIONS)
    same(there, tl.simulate(switching(), given, doses(), reductions=REDUCTIONS))
    with pytest.raises(InputError, match="Give a list of times"):
        tl.simulate(switching(), given, doses(), np.tile(TIMES, (5, 1)), device="cuda")


def test_results_come_in_the_library_of_the_parameters(
    driver: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Any] = []

    def take(array: Any) -> str:
        taken.append(array)
        return "an array of cupy"

    namespace = SimpleNamespace(asarray=take)
    monkeypatch.setattr(place, "sys", SimpleNamespace(modules={"cupy": namespace}))
    given = Interface(driver, 1.5)
    monkeypatch.setattr(type(given), "__module__", "cupy.core")
    there = tl.simulate(switching(), {"ka": given}, doses(), TIMES, reductions=REDUCTIONS[:1])
    assert there.values == there.reductions["cmax_cp"] == "an array of cupy"
    here = tl.simulate(switching(), {"ka": 1.5}, doses(), TIMES, reductions=REDUCTIONS[:1])
    values, peak = taken
    np.testing.assert_array_equal(values.numpy(), here.values)
    np.testing.assert_array_equal(peak.numpy(), here.reductions["cmax_cp"])
    taken.clear()


def test_tensors_elsewhere_are_refused(driver: FakeDriver) -> None:
    torch = pytest.importorskip("torch", reason="NOT RUN: needs torch")
    with pytest.raises(
        InputError, match=r"lies on device meta \(only parameters and quantities may lie"
    ):
        tl.simulate(switching(), {"ka": torch.ones(3, device="meta")}, doses(), TIMES)
    for parameters in ({"ka": torch.ones(3)}, {"ka": torch.ones(3), "v": Interface(driver, 9.0)}):
        device = None if "v" in parameters else "cuda"
        with pytest.raises(InputError, match="a tensor on the CPU with"):
            tl.simulate(switching(), parameters, doses(), TIMES, device=device)
    with pytest.raises(InputError, match="a tensor on the CPU with"):
        tl.simulate(
            switching(),
            None,
            tl.Regimen.bolus(torch.tensor(1.0), into="depot"),
            TIMES,
            device="cuda",
        )


def test_all_that_happens_to_a_patient(driver: FakeDriver) -> None:
    """Steady states, an equilibrium, covariates, switches and doses of each patient's own."""
    made = tl.Model("plain")
    ka, vmax, v = made.parameters(ka=1.2, vmax=9.0, v=20.0)
    depot, central = made.states("depot", "central")
    made.flow(depot, central, ka * depot)
    made.flow(central, None, vmax * (central / v) / (2.0 + central / v))
    made.rate(central, 1.0)
    made.output("cp", central / v)
    steady = tl.Regimen.bolus(40, into="depot", every=12, steady_state=True)
    rising = tl.stepwise([0.0, 5.0], [1.0, 2.0])
    for parameters, regimen, options in (
        (people(3), steady, {}),
        ({"ka": rising}, doses(), {}),
        (people(3), [doses(), None, steady], {}),
        (None, None, {"start": "equilibrium"}),
    ):
        there = tl.simulate(made, parameters, regimen, TIMES, device="cuda", **options)
        same(there, tl.simulate(made, parameters, regimen, TIMES, **options))


def test_one_patient_and_one_number(driver: FakeDriver) -> None:
    there = tl.simulate(switching(), {"ka": Interface(driver, 1.5)}, doses(), TIMES)
    same(there, tl.simulate(switching(), {"ka": 1.5}, doses(), TIMES))
    same(
        tl.simulate(switching(), None, doses(), TIMES, device="cuda"),
        tl.simulate(switching(), None, doses(), TIMES),
    )


def test_small_launches_change_nothing(driver: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    from teorell.device import launch

    here = tl.simulate(switching(), people(), doses(), TIMES)
    monkeypatch.setattr(launch, "FIRST_STEPS", 3)
    monkeypatch.setattr(launch, "MOST_STEPS", 3)
    said: list[tuple[int, int]] = []
    there = tl.simulate(
        switching(),
        people(),
        doses(),
        TIMES,
        device="cuda",
        progress=lambda *told: said.append(told),
    )
    same(there, here)
    assert len(driver.named("launch")) == len(said) > 10
    assert said == sorted(said)
    assert said[-1] == (N, N)


def test_values_stay_there_until_they_are_moved(driver: FakeDriver) -> None:
    there = tl.simulate(switching(), people(), doses(), TIMES, device="cuda", reductions=REDUCTIONS)
    curve = there["log"]
    assert isinstance(curve, DeviceArray)
    for use in (
        lambda: there.array, there.to_dataframe, there.to_xarray, there.reductions_to_dataframe,
        lambda: there.nca("cp"), lambda: there.plot("cp"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=r"lie on a device .* Take solution\.cpu\(\)"):
            use()
    assert "cp" in there._repr_html_()
    with pytest.raises(tl.SimulationError, match="1 of 70 patients"):
        there.raise_for_status()
    here = there.cpu()
    np.testing.assert_array_equal(here["log"], curve.numpy())
    assert len(here.to_dataframe()) == N * TIMES.size


def test_parameters_that_lie_there_are_not_read_for_messages(driver: FakeDriver) -> None:
    given = {name: Interface(driver, each) for name, each in people().items()}
    there = tl.simulate(switching(), given, doses(), TIMES)
    with pytest.raises(tl.SimulationError):
        there.raise_for_status()
    np.testing.assert_array_equal(there.cpu().parameters["ka"], people()["ka"])


def test_streams(driver: FakeDriver) -> None:
    given = {name: Interface(driver, each) for name, each in people().items()}
    given["ka"].stream, given["vmax"].stream = 70, 80
    tl.simulate(switching(), given, doses(), TIMES)
    assert {call[-1] for call in driver.named("launch")} == {70}
    assert {call[-1] for call in driver.named("write")} == {70}
    assert set(driver.named("order")) == {("order", 80, 70)}
    first = [call[0] for call in driver.calls].index("launch")
    assert ("order", 80, 70) in driver.calls[:first]


def test_several_devices_are_refused(driver: FakeDriver) -> None:
    given: dict[str, Any] = {"ka": Interface(driver, 1.0), "v": Interface(driver, 20.0, device=1)}
    with pytest.raises(InputError, match=r"'ka' lies on cuda:0, parameter 'v' on cuda:1"):
        tl.simulate(switching(), given, doses(), TIMES)
    del given["v"]
    for device in ("cuda:1", "cpu"):
        with pytest.raises(InputError, match=rf"lies on cuda:0, device is '{device}'"):
            tl.simulate(switching(), given, doses(), TIMES, device=device)
    with pytest.raises(InputError, match="unknown device 'gpu'"):
        tl.simulate(switching(), None, doses(), TIMES, device="gpu")
    with pytest.raises(InputError, match="there is no device 'cuda:2'"):
        tl.simulate(switching(), None, doses(), TIMES, device="cuda:2")


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (np.nan, r"parameter 'ka' is not finite \(1 of 70 patients, the first is patient 6"),
        (-np.inf, r"parameter 'ka' is not finite"),
        (-1.0, r"parameter 'ka' is below its lower bound 0 .*patient 6 with value -1"),
    ],
)
def test_numbers_are_checked_where_they_lie(driver: FakeDriver, number: float, said: str) -> None:
    bounded = tl.Model("bounded")
    ka = bounded.parameter("ka", 1.0, lower=0.0)
    amount = bounded.state("amount")
    bounded.flow(amount, None, ka * amount)
    bad = np.ones(N)
    bad[6] = number
    dose = tl.Regimen.bolus(1.0, into="amount")
    with pytest.raises(InputError, match=said):
        tl.simulate(bounded, {"ka": Interface(driver, bad)}, dose, TIMES)
    tl.simulate(bounded, {"ka": Interface(driver, np.zeros(N))}, dose, TIMES)


def test_what_the_host_needs_is_refused(driver: FakeDriver) -> None:
    given = Interface(driver, 1.0)
    late = tl.Model("late")
    lag = late.parameter("lag", 1.0)
    amount = late.state("amount")
    late.flow(amount, None, 0.1 * amount)
    late.dosing(amount, lag=lag)
    dose = tl.Regimen.bolus(1.0, into="amount")
    with pytest.raises(InputError, match="'lag' lies on cuda:0"):
        tl.simulate(late, {"lag": given}, dose, TIMES)
    timed = tl.Model("timed")
    start = timed.parameter("start", 1.0)
    timed.rate(timed.state("x"), tl.where(timed.time > start, 1.0, 0.0))
    with pytest.raises(InputError, match="'start' lies on cuda:0"):
        tl.simulate(timed, {"start": given}, None, TIMES)
    problem = problem_of(switching(), {"ka": given}, doses(), TIMES)
    with pytest.raises(InputError, match=r"'ka' lies on a device .* runs on the CPU alone"):
        problem.solve(problem.given)
    with pytest.raises((TypeError, InputError)):
        tl.Regimen.bolus(given, into="depot")


def test_no_memory(driver: FakeDriver) -> None:
    here = tl.simulate(switching(), people(), doses(), TIMES)
    driver.room = 100_000
    with pytest.raises(MemoryError, match=r"cuda:0 has no memory for the .* Simulate fewer"):
        tl.simulate(switching(), people(), doses(), np.linspace(0.0, 30.0, 3000), device="cuda")
    assert not driver.memory
    with pytest.raises(MemoryError, match="workspaces"):
        tl.simulate(switching(), people(), doses(), TIMES, device="cuda")
    driver.room = 1 << 30
    del driver.calls[:]
    tl.simulate(switching(), people(), doses(), TIMES, device="cuda")
    driver.room = max(size for _, size in driver.named("allocate"))
    # a warp of threads has room beside all else, a block has not
    same(tl.simulate(switching(), people(), doses(), TIMES, device="cuda"), here)
    assert driver.named("launch")[-1][3] == 32


def test_failures_of_the_driver_leave_nothing(driver: FakeDriver) -> None:
    here = tl.simulate(switching(), people(), doses(), TIMES)
    for call, code in (
        ("launch", "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"),
        ("read", "CUDA_ERROR_LAUNCH_FAILED"),
        ("write", "CUDA_ERROR_INVALID_VALUE"),
        ("zero", "CUDA_ERROR_INVALID_VALUE"),
    ):
        driver.failing = {call: code}
        with pytest.raises(DriverError, match=code):
            tl.simulate(switching(), people(), doses(), TIMES, device="cuda")
        assert not driver.memory
    driver.failing = {}
    same(tl.simulate(switching(), people(), doses(), TIMES, device="cuda"), here)


def test_ctrl_c_waits_for_one_launch_and_leaves_nothing(driver: FakeDriver) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    driver.on_launch = stop
    with pytest.raises(KeyboardInterrupt):
        tl.simulate(switching(), people(), doses(), TIMES, device="cuda")
    assert driver.named("wait")
    assert not driver.memory


def test_options_of_the_cpu(driver: FakeDriver) -> None:
    options: dict[str, Any] = {"rtol": 1e-8, "atol": 1e-10, "max_steps": 40, "max_step": 0.5}
    options |= {"threads": 3, "executor": "interpreter", "samples": "before"}
    there = tl.simulate(switching(), people(), doses(), TIMES, device="cuda", **options)
    here = tl.simulate(switching(), people(), doses(), TIMES, **options)
    assert set(here.status) == {2, 4} or 4 in here.status
    same(there, here)


def test_device_cpu_is_the_cpu(driver: FakeDriver) -> None:
    there = tl.simulate(switching(), people(), doses(), TIMES, device="cpu")
    assert isinstance(there.values, np.ndarray)
    assert not driver.named("launch")
