"""Which device computes, and each reason why one cannot: a sentence with the remedy."""

from __future__ import annotations

import pytest
from fake_driver import FakeDriver
from teorell import doctor
from teorell.device import devices
from teorell.device.driver import Driver, DriverError
from teorell.errors import InputError


def use(
    monkeypatch: pytest.MonkeyPatch, driver: Driver | Exception, compiler: str | None = None
) -> None:
    def load() -> Driver:
        if isinstance(driver, Exception):
            raise driver
        return driver

    monkeypatch.setattr(devices, "load_driver", load)
    monkeypatch.setattr(devices, "compiler_missing", lambda: compiler)
    monkeypatch.setattr(devices, "compiler_version", lambda: (13, 5))
    monkeypatch.setattr(devices, "architectures", lambda: frozenset({"sm_80", "sm_90", "sm_100"}))


def test_a_device_that_can_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = FakeDriver([("A", (8, 0), 4), ("B", (10, 0), 8)])
    use(monkeypatch, driver)
    device = devices.open_device(1)
    assert (device.number, device.architecture, device.name) == (1, "sm_100", "cuda:1")
    assert device.driver is driver


@pytest.mark.parametrize(
    ("driver", "number", "said"),
    [
        (ImportError("No module named 'cuda'"), 0, "cuda-bindings cannot be imported"),
        (DriverError("libcuda", "not found"), 0, "there is no CUDA driver"),
        (DriverError("cuInit", "CUDA_ERROR_NO_DEVICE"), 0, "CUDA_ERROR_NO_DEVICE"),
        (FakeDriver([]), 0, "finds no device"),
        (FakeDriver(), 1, "the driver finds 1 device"),
        (FakeDriver(version=12080), 0, "its driver runs CUDA 12.8, the kernels are compiled"),
        (FakeDriver([("Old", (7, 5), 40)]), 0, "its compute capability is 7.5, the kernels need"),
        (FakeDriver([("New", (13, 0), 40)]), 0, "NVRTC 13.5 does not compile for sm_130"),
    ],
)
def test_each_reason_is_said_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch, driver: Driver | Exception, number: int, said: str
) -> None:
    use(monkeypatch, driver)
    with pytest.raises(InputError) as caught:
        devices.open_device(number)
    assert said in str(caught.value)
    assert "leave device out to compute on the CPU" in str(caught.value)
    if number == 0:
        assert said in devices.describe()


def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeDriver(), compiler="NVRTC cannot be loaded (why). pip install it.")
    with pytest.raises(ImportError, match="NVRTC cannot be loaded"):
        devices.open_device(0)
    assert devices.describe().startswith("not used: NVRTC cannot be loaded")


def test_doctor_tells_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeDriver([("Old", (7, 5), 40), ("Fine", (9, 0), 132)]))
    told = doctor.cuda()
    assert told.startswith("NVRTC 13.5, a driver for CUDA 13.2; cuda:0 Old (7.5) not used: ")
    assert told.endswith("cuda:1 Fine (9.0) can be used")
    use(monkeypatch, RuntimeError("a driver that is broken"))
    assert doctor.cuda() == "not used: RuntimeError: a driver that is broken"


@pytest.mark.parametrize(
    ("name", "number"), [("cuda", 0), ("cuda:0", 0), ("cuda:12", 12), ("cpu", None)]
)
def test_names_of_devices(name: str, number: int | None) -> None:
    assert devices.device_of(name) == number


@pytest.mark.parametrize(
    "name", ["gpu", "CUDA", "cuda:", "cuda:-1", "cuda:1.0", "", "mps", 0, None]
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="unknown device"):
        devices.device_of(name)
