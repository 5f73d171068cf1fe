"""Where the body of a test runs that says nothing of devices: its front doors, on a device."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest
import teorell as tl
from device_kernels import on_fake_devices
from teorell.arrays import copied
from teorell.constraints import ConstraintSet
from teorell.device import compiler, devices

__all__ = ["PLACES", "no_device", "on_device"]


def no_device() -> str | None:
    """Why nothing runs on a CUDA device here, or None."""
    return compiler.compiler_missing() or devices.driver_missing()


# The real one only where it is; where it is not, tests/device/test_real.py says so, once.
PLACES = ["fake", *([] if no_device() else [pytest.param("real", marks=pytest.mark.cuda)])]


def on_device(place: str, monkeypatch: pytest.MonkeyPatch, library: ctypes.CDLL) -> dict[str, int]:
    """From now on simulations, their derivatives and constraints of NumPy arrays are computed on
    the first device, fake or real, and brought back; returns how often that was.
    """
    if place == "fake":
        on_fake_devices(monkeypatch, library)
    calls = {"there": 0}

    def there(door: Any) -> Any:
        def call(*given: Any, **options: Any) -> Any:
            calls["there"] += 1
            if options.get("executor") == "machine_code":  # which is the CPU's
                del options["executor"]
            return here(door(*given, device="cuda", **options))

        return call

    def here(found: Any) -> Any:
        if isinstance(found, tuple):
            return tuple(here(each) for each in found)
        return found.cpu() if hasattr(found, "cpu") else copied(found)

    for name in ("simulate", "value_and_grad", "jacobian", "jvp"):
        monkeypatch.setattr(tl, name, there(getattr(tl, name)))
    for name in ("violations", "project"):
        monkeypatch.setattr(ConstraintSet, name, there(getattr(ConstraintSet, name)))
    return calls
