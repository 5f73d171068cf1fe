"""Which device computes, and whether it can: driver, capability, what compiles for it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from teorell.device.compiler import architectures, compiler_missing, compiler_version
from teorell.device.driver import CudaDriver, Driver, DriverError
from teorell.errors import InputError, count

__all__ = [
    "LEAST_CAPABILITY",
    "Device",
    "describe",
    "device_of",
    "driver_missing",
    "open_device",
    "several_of",
]

LEAST_CAPABILITY = (8, 0)  # the oldest architecture that the kernels are compiled for in tests
ON_CPU = "leave device out to compute on the CPU"


@dataclass(frozen=True)
class Device:
    """A device that can compute."""

    driver: Driver
    number: int
    architecture: str  # "sm_90"

    @property
    def name(self) -> str:
        """As users name it."""
        return f"cuda:{self.number}"


@cache
def load_driver() -> Driver:
    """The driver of this machine; what is wrong is found each time that it is asked for."""
    return CudaDriver()


def driver_missing() -> str | None:
    """Why no device can be used, in words, or None."""
    try:
        driver = load_driver()
        if driver.device_count() == 0:
            return "the CUDA driver finds no device"
    except ImportError as error:
        return f"cuda-bindings cannot be imported ({error})"
    except DriverError as error:
        return f"there is no CUDA driver that can be used ({error})"
    return None


def device_of(device: object) -> int | None:
    """The number of a device by its name, "cuda" or "cuda:1"; None for "cpu".

    InputError for another name.
    """
    named = re.fullmatch(r"cuda(?::(\d+))?", device) if isinstance(device, str) else None
    if named:
        return int(named[1] or 0)
    if device == "cpu":
        return None
    raise InputError(
        f"unknown device {device!r} (a CUDA device or the processor computes). Give 'cuda', "
        "'cuda:1' or the like, 'cuda:all', a list of such, or 'cpu'."
    )


def several_of(device: object) -> list[str] | None:
    """The names of the devices that a list of them says, or "cuda:all": one at least, each once;
    None where it is no list.

    InputError for other names, and for "cpu" among them.
    """
    if device == "cuda:all":
        there = 0 if driver_missing() else load_driver().device_count()
        return [f"cuda:{k}" for k in range(max(there, 1))]  # of none open_device says why
    if device is None or isinstance(device, str) or not isinstance(device, Sequence):
        return None
    numbers = [device_of(each) for each in device]
    names = [f"cuda:{number}" for number in numbers]
    if not numbers or None in numbers or len({*numbers}) < len(numbers):
        raise InputError(
            f"device is {list(device)} (a list names CUDA devices, one at least, and each once). "
            "Give ['cuda:0', 'cuda:1'] or the like, or 'cuda:all'."
        )
    return names


def open_device(number: int) -> Device:
    """The device of that number, once it is known to be one that can compute.

    InputError without a driver, with one too old, without that device, or with a device that
    nothing is compiled for; ImportError without NVRTC.
    """
    missing = driver_missing()
    if missing is not None:
        raise InputError(
            f"device='cuda:{number}' cannot be used ({missing}). Install NVIDIA's driver and "
            f"teorell[cuda], or {ON_CPU}."
        )
    driver = load_driver()
    there = driver.device_count()
    if number >= there:
        raise InputError(
            f"there is no device 'cuda:{number}' (the driver finds {count(there, 'device')}). Give "
            f"a number below {there}, or {ON_CPU}."
        )
    no_compiler = compiler_missing()
    if no_compiler is not None:
        raise ImportError(no_compiler)
    refused = _refusal(number)
    if refused is not None:
        raise InputError(
            f"device 'cuda:{number}', {driver.device_name(number)}, cannot be used ({refused}). "
            f"Update NVIDIA's driver or teorell[cuda], use a newer device, or {ON_CPU}."
        )
    return Device(driver, number, _architecture(number))


def _architecture(number: int) -> str:
    return "sm_{}{}".format(*load_driver().capability(number))


def _refusal(number: int) -> str | None:
    """Why a device that is there runs no kernel of ours, or None."""
    driver, compiler = load_driver(), compiler_version()
    version, capability = driver.version(), driver.capability(number)
    if version // 1000 < compiler[0]:
        return (
            f"its driver runs CUDA {version // 1000}.{version % 1000 // 10}, the kernels are "
            f"compiled by CUDA {compiler[0]}.{compiler[1]}"
        )
    if capability < LEAST_CAPABILITY:
        return "its compute capability is {}.{}, the kernels need {}.{}".format(
            *capability, *LEAST_CAPABILITY
        )
    if _architecture(number) not in architectures():
        return "NVRTC {}.{} does not compile for {}".format(*compiler, _architecture(number))
    return None


def describe() -> str:
    """What of CUDA is there, and why it is not used where it is not, in words."""
    no_compiler = compiler_missing()
    if no_compiler is not None:
        return f"not used: {no_compiler}"
    compiler = "NVRTC {}.{}".format(*compiler_version())
    missing = driver_missing()
    if missing is not None:
        return f"not used: {missing}; {compiler} compiles for devices elsewhere"
    driver = load_driver()
    version = driver.version()
    told = [f"{compiler}, a driver for CUDA {version // 1000}.{version % 1000 // 10}"]
    for number in range(driver.device_count()):
        capability = "{}.{}".format(*driver.capability(number))
        refused = _refusal(number)
        use = f"not used: {refused}" if refused else "can be used"
        told.append(f"cuda:{number} {driver.device_name(number)} ({capability}) {use}")
    return "; ".join(told)
