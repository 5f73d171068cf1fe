"""Memory of a device: what a scope takes it gives back, and what there is no room for is said."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from fake_driver import FakeDriver
from teorell.device.devices import Device
from teorell.device.driver import DriverError
from teorell.device.memory import Allocation, Memory


def on(driver: FakeDriver) -> Device:
    return Device(driver, 0, "sm_90")


def test_a_scope_gives_back_what_it_took() -> None:
    driver = FakeDriver()
    with Memory(on(driver)) as memory:
        kept = memory.keep(memory.take(80, "values"))
        memory.take(1000, "workspaces")
        memory.take(0, "nothing")
        assert len(driver.memory) == 3
    assert [*driver.memory] == [kept.address]
    assert not driver.stack
    del kept
    gc.collect()
    assert not driver.memory


def test_it_gives_back_when_something_goes_wrong() -> None:
    driver = FakeDriver()

    def work() -> None:
        with Memory(on(driver)) as memory:
            memory.take(1000, "workspaces")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert not driver.memory


def test_what_was_kept_goes_too_when_something_goes_wrong() -> None:
    fake = FakeDriver()
    kept: list[Allocation] = []

    def work() -> None:
        with Memory(on(fake)) as memory:
            kept.append(memory.keep(memory.take(64, "values")))
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert kept
    assert not fake.memory
    with Memory(on(fake)) as memory:
        kept.append(memory.keep(memory.take(64, "values")))
    assert len(fake.memory) == 1
    kept.clear()
    assert not fake.memory


def test_no_room_is_a_memory_error_and_the_next_call_works() -> None:
    driver = FakeDriver(room=10_000_000)

    def work() -> None:
        with Memory(on(driver)) as memory:
            memory.take(4_000_000, "workspaces")
            memory.take(8_000_000, "values")

    said = r"cuda:0 has no memory for the values \(8\.0 MB; 6\.0 MB are left\)\. Simulate fewer"
    with pytest.raises(MemoryError, match=said):
        work()
    assert not driver.memory
    with Memory(on(driver)) as memory:
        memory.take(8_000_000, "values")


def test_what_else_the_driver_says_is_passed_on() -> None:
    driver = FakeDriver()
    driver.failing["allocate"] = "CUDA_ERROR_ILLEGAL_ADDRESS"
    with pytest.raises(DriverError, match="ILLEGAL_ADDRESS"), Memory(on(driver)) as memory:
        memory.take(8, "values")


def test_a_driver_that_is_going_down_frees_nothing() -> None:
    driver = FakeDriver()
    with Memory(on(driver)) as memory:
        memory.take(8, "values")
        driver.failing["current"] = "CUDA_ERROR_DEINITIALIZED"


def test_arrays_go_over_in_one_piece() -> None:
    driver = FakeDriver()
    arrays = [
        np.arange(5.0)[::2],
        np.arange(6, dtype=np.int32).reshape(2, 3).T,
        np.zeros(0),
        np.array(7, np.uint8),
    ]
    with Memory(on(driver)) as memory:
        places = memory.send(arrays, 9, "inputs")
        assert len(driver.named("write")) == 1
        assert all(place % 256 == 0 for place in places)
        for array, place in zip(arrays, places, strict=True):
            if array.size:
                there = np.empty(array.shape, array.dtype)
                driver.read(there, place, 9)
                np.testing.assert_array_equal(there, array)
        assert memory.send([], 9, "nothing") == []
