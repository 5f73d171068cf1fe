"""Constraints on a device that a fake driver plays: the CPU's bits, from arrays of any library,
refusals, and nothing left behind.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import teorell as tl
from arrays_there import Interface
from device_case import driver
from fake_driver import FakeDriver
from judged_adults import N, adults, people, same_projection
from teorell.device.arrays import DeviceArray
from teorell.engine.executors import instruction_sets
from teorell.errors import InputError

__all__ = ["driver"]  # a fixture

pytestmark = [
    pytest.mark.skipif(
        not instruction_sets()[0]["fma"],
        reason="NOT RUN: this processor has no fused multiply-add",
    ),
]


def lying(driver: FakeDriver, device: int = 0) -> dict[str, Interface]:
    return {name: Interface(driver, each, device) for name, each in people().items()}


PLACES = ["sent", "lying", "mixed"]


def placed(driver: FakeDriver, place: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The people, and options of a call."""
    there = {"sent": people(), "lying": lying(driver), "mixed": {**people(), **lying(driver)}}
    there["mixed"]["fat"] = people()["fat"]
    return there[place], {"device": "cuda"} if place == "sent" else {}


@pytest.mark.parametrize("place", PLACES)
def test_penalties_and_slopes(driver: FakeDriver, place: str) -> None:
    given, options = placed(driver, place)
    there, slopes = adults().penalty(given, gradient=True, **options)
    here, expected = adults().penalty(people(), gradient=True)
    assert (here > 0.0).any()
    assert isinstance(there, DeviceArray)
    np.testing.assert_array_equal(there.numpy(), here)
    assert slopes.keys() == expected.keys()
    for name, each in expected.items():
        np.testing.assert_array_equal(slopes[name].numpy(), each, err_msg=name)


@pytest.mark.parametrize("place", PLACES)
def test_residuals_and_violations(driver: FakeDriver, place: str) -> None:
    given, options = placed(driver, place)
    residuals = adults().residuals(given, **options)
    expected = adults().residuals(people())
    there, here = adults().violations(given, **options), adults().violations(people())
    assert residuals.keys() == expected.keys() == there.residuals.keys()
    for name, each in expected.items():
        np.testing.assert_array_equal(residuals[name].numpy(), each, err_msg=name)
        np.testing.assert_array_equal(there.residuals[name].numpy(), each, err_msg=name)
        np.testing.assert_array_equal(there.violated[name], here.violated[name], err_msg=name)
    assert 0.0 < here.rate < 1.0 or here.rates["BMI"] < 1.0
    assert repr(there) == repr(here)
    assert there.intervals == here.intervals
    assert there.groups == here.groups
    with pytest.raises(InputError, match="the residuals lie on a device"):
        there.to_dataframe()
    assert there.cpu().to_dataframe().equals(here.to_dataframe())
    assert there.to_dataframe(patients=True).equals(here.to_dataframe(patients=True))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("scale", [{}, {"weight": 3.0, "fat": np.linspace(1.0, 2.0, N)}])
def test_the_nearest_points(driver: FakeDriver, place: str, scale: dict[str, Any]) -> None:
    given, options = placed(driver, place)
    there = adults().project(given, scale=scale, **options)
    here = adults().project(people(), scale=scale)
    assert (here.steps > 0).any()
    same_projection(there, here)
    assert repr(there) == repr(here)
    assert all(isinstance(each, DeviceArray) for each in there.values.values())
    assert there.cpu().to_dataframe().equals(here.to_dataframe())
    chained = adults().violations(there.values)
    np.testing.assert_array_equal(chained.any, adults().violations(here.values).any)


def test_scales_and_held_quantities_that_lie_there(driver: FakeDriver) -> None:
    sizes = np.linspace(0.5, 2.0, N)
    given = lying(driver)
    there = adults().project(
        given, scale={"fat": Interface(driver, sizes), "rest": 2.0}, hold="weight"
    )
    here = adults().project(people(), scale={"fat": sizes, "rest": 2.0}, hold="weight")
    same_projection(there, here)
    before = there.values["weight"].numpy()
    given["weight"].array[:] = 0.0  # what was held is a copy
    np.testing.assert_array_equal(there.values["weight"].numpy(), before)
    for bad in (0.0, -1.0, np.nan):
        wrong = Interface(driver, np.where(np.arange(N) == 7, bad, 1.0))
        with pytest.raises(InputError, match=r"the scale of 'fat' is not (positive|finite)"):
            adults().project(lying(driver), scale={"fat": wrong})
    for scale, said in (
        ({"height": 1.0}, "it is held"), ({"hight": 1.0}, "no constraint reads it"),
        ({"fat": 0.0}, "not positive"), ({"fat": np.ones(3)}, "has 3 patients"),
        ({"fat": Interface(driver, np.ones(3))}, "has 3 patients"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=said):
            adults().project(lying(driver), scale=scale)


def test_one_patient_numbers_and_what_nobody_reads(driver: FakeDriver) -> None:
    one = {name: float(each[0]) for name, each in people().items()}
    c = adults()
    c.quantity("age")
    c.quantity("id")
    for given, options in (
        ({**one, "age": 40, "id": np.nan}, {"device": "cuda"}),
        ({**one, "age": Interface(driver, 40.0), "id": np.nan}, {}),
    ):
        here = c.project({**one, "age": 40, "id": np.nan})
        same_projection(c.project(given, **options), here)
        penalty = c.penalty({**given, "fat": Interface(driver, one["fat"])})
        np.testing.assert_array_equal(penalty.numpy(), c.penalty(one))
    many = {**people(), "age": np.arange(N), "id": Interface(driver, np.arange(float(N)))}
    there = c.project(many)
    np.testing.assert_array_equal(there.values["age"].numpy(), np.arange(N))


def test_nan_and_infinities(driver: FakeDriver) -> None:
    """A patient without a number violates, and has no penalty; an infinite one is refused."""
    bad = people()
    bad["fat"][5] = np.nan
    there = {name: Interface(driver, each) for name, each in bad.items()}
    here = adults().violations(bad)
    found = adults().violations(there)
    for name, each in here.violated.items():
        np.testing.assert_array_equal(found.violated[name], each)
        np.testing.assert_array_equal(found.residuals[name].numpy(), here.residuals[name])
    assert np.isnan(found.residuals["fat"].numpy()[5])
    for call in (adults().penalty, adults().project):
        with pytest.raises(InputError, match=r"quantity 'fat' is not finite .* patient 5"):
            call(there)
    there["fat"].array[5] = np.inf
    with pytest.raises(InputError, match=r"quantity 'fat' is not finite .* value inf"):
        adults().violations(there)


def test_refusals(driver: FakeDriver) -> None:
    c, given = adults(), lying(driver)
    empty = {**given, "fat": Interface(driver, np.empty(0))}
    short = {**given, "fat": Interface(driver, np.ones(3))}
    narrow = Interface(driver, np.ones(N))
    other = {**given, "fat": Interface(driver, np.ones(N), 1)}
    for call in (c.penalty, c.residuals, c.violations, c.project):
        with pytest.raises(InputError, match=r"no patients \(its length is 0\)"):
            call(empty)
        with pytest.raises(InputError, match="quantity 'fat' has 3 patients"):
            call(short)
        with pytest.raises(InputError, match=r"lies on cuda:0, .* on cuda:1 \(nothing moves"):
            call(other)
        for device in ("cuda:1", "cpu"):
            with pytest.raises(InputError, match=rf"lies on cuda:0, device is '{device}'"):
                call(given, device=device)
        with pytest.raises(InputError, match="unknown device 'gpu'"):
            call(people(), device="gpu")
        with pytest.raises(InputError, match="executor='machine_code' on cuda:0"):
            call(given, executor="machine_code")
        with pytest.raises(TypeError, match="unexpected keyword"):
            call(given, speed=9)
    type(narrow).__cuda_array_interface__  # noqa: B018
    told = {**narrow.__cuda_array_interface__, "typestr": "<f4"}
    narrow = type("Narrow", (), {"__cuda_array_interface__": told})()
    with pytest.raises(InputError, match="quantity 'fat' is an array of float32 on a device"):
        c.penalty({**given, "fat": narrow})
    with pytest.raises(NotImplementedError, match=r"no pull_back .* Project torch tensors"):
        c.project(given).pull_back({"fat": 1.0})


def test_contradictions_and_those_not_found(driver: FakeDriver) -> None:
    c = tl.ConstraintSet("narrow")
    u, w = c.quantities("u", "w")
    c.at_most("cap", u, w)
    c.at_least("floor", u, 2.0)
    values = {"u": np.array([4.0, 1.0, 1.0]), "w": np.array([3.0, 1.0, 3.0])}
    there = c.project(values, hold="w", device="cuda")
    here = c.project(values, hold="w")
    assert here.success.tolist() == [True, False, True]
    same_projection(there, here)
    c.at_most("never", u, 1.0)
    with pytest.raises(InputError, match="these contradict each other: 'floor', 'never'"):
        c.project(values, device="cuda")


def test_trajectories(driver: FakeDriver) -> None:
    """A simulation there, judged there."""
    model = tl.Model("one")
    cl, v = model.parameters(cl=3.0, v=20.0)
    central = model.state("central")
    model.flow(central, None, cl / v * central)
    model.output("cp", central / v)
    safe = tl.ConstraintSet("safe", model)
    safe.at_most("ceiling", safe.reduction(tl.Cmax("cp", end=24)), 4.0)
    safe.at_most("half-life", np.log(2) * v / cl, 4.0)
    patients, doses = {"cl": np.array([1.5, 3.0, 6.0])}, tl.Regimen.bolus(100, into="central")
    there = safe.violations(safe.simulated(patients, doses, device="cuda"))
    here = safe.violations(safe.simulated(patients, doses))
    assert repr(there) == repr(here)
    for name, each in here.residuals.items():
        np.testing.assert_array_equal(there.residuals[name].numpy(), each)


def test_one_gradient_of_trajectories(driver: FakeDriver) -> None:
    """By what lies there, is sent, or is shared; a patient who fails counts for nothing."""
    model = tl.Model("one")
    cl, v, k = model.parameters(cl=3.0, v=20.0, k=0.0)
    central = model.state("central")
    model.flow(central, None, cl / v * central)
    model.rate(central, k * central * central)
    model.output("cp", central / v)
    safe = tl.ConstraintSet("safe", model)
    safe.at_most("ceiling", safe.reduction(tl.Cmax("cp", end=24)), 4.0)
    safe.at_most("half-life", np.log(2) * v / cl, 4.0)
    patients = {"cl": np.array([1.5, 3.0, 6.0]), "k": np.array([0.0, 1.0, 1e-4])}
    dose = tl.Regimen.bolus(100, into="central", every=12, doses=2)
    value, here = safe.value_and_grad(patients, dose)
    assert here.success.tolist() == [True, False, True]
    lying = {name: Interface(driver, each) for name, each in patients.items()}
    for given, options in ((patients, {"device": "cuda"}), (lying, {})):
        there_value, there = safe.value_and_grad(given, dose, **options)
        assert there_value == value
        assert isinstance(there.parameters["cl"], DeviceArray)
        moved = there.cpu()
        for name, each in here.parameters.items():
            np.testing.assert_array_equal(moved.parameters[name], each, err_msg=name)
        np.testing.assert_array_equal(moved.doses[0].amount, here.doses[0].amount)


def test_nothing_lies_about_after_a_failure(driver: FakeDriver) -> None:
    from teorell.device.driver import DriverError

    here = adults().penalty(people())
    for call in ("launch", "read", "write", "zero"):
        driver.failing = {call: "CUDA_ERROR_LAUNCH_FAILED"}
        for work in (adults().penalty, adults().violations, adults().project):
            with pytest.raises(DriverError):
                work(people(), device="cuda")
            assert not driver.memory
    driver.failing, driver.room = {}, 10_000
    with pytest.raises(MemoryError, match="cuda:0 has no memory for"):
        adults().penalty(people(), device="cuda")
    driver.room = 1 << 30
    np.testing.assert_array_equal(adults().penalty(people(), device="cuda").numpy(), here)


def test_the_callers_stream(driver: FakeDriver) -> None:
    given = lying(driver)
    given["fat"].stream, given["rest"].stream = 70, 80
    adults().project(given)
    launches = [call for call in driver.named("launch") if "check" not in call[1]]
    assert {call[-1] for call in launches} == {70}
    assert ("order", 80, 70) in driver.calls
