"""Each call of the driver, made by cuda-bindings on a library that stands in the driver's place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from device_kernels import compiled_library
from folders import ROOT, child_environment
from teorell.device.compiler import compiler_missing

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the driver's library has this name there"),
    pytest.mark.skipif(
        compiler_missing() is not None,
        reason="NOT RUN: needs cuda-bindings and nvidia-cuda-nvrtc",
    ),
]

SCRIPT = """
import ctypes, gc, sys
library = ctypes.CDLL(sys.argv[1], mode=ctypes.RTLD_GLOBAL)
import numpy as np
import teorell as tl
from device_kernels import uncompiled
from teorell.device import devices, driver, executor, memory, over
for module in (executor, over):
    module.kernels_of = uncompiled

print(devices.describe())
device = devices.open_device(0)
model = tl.Model("decay")
k = model.parameter("k", 0.5, lower=0.0)
amount = model.state("amount")
model.flow(amount, None, k * amount)
dose = tl.Regimen.bolus(1.0, into="amount")
rates = np.linspace(0.1, 2.0, 200)
here = tl.simulate(model, {"k": rates}, dose, [0.0, 1.0, 5.0])
there = tl.simulate(model, {"k": rates}, dose, [0.0, 1.0, 5.0], device="cuda")
assert np.array_equal(there.values.numpy(), here.values)

over = tl.simulate(model, {"k": rates}, dose, [0.0, 1.0, 5.0], device=["cuda:0"])
assert np.array_equal(over.values, here.values)

with memory.Memory(device) as scope:  # a column that lies there, on a stream of its own
    with device.driver.current(0):
        stream = device.driver.new_stream()
    (address,) = scope.send([rates], stream, "rates")

    class Column:
        __cuda_array_interface__ = {
            "shape": rates.shape, "typestr": "<f8", "data": (address, False), "version": 3,
            "stream": stream,
        }

    given = (model, {"k": Column()}, dose, [0.0, 1.0, 5.0])
    _, slopes = tl.value_and_grad(1.0, *given)
    _, known = tl.value_and_grad(1.0, model, {"k": rates}, *given[2:])
    assert np.array_equal(slopes.parameters["k"].numpy(), known.parameters["k"])
    assert np.array_equal(slopes.doses[0].amount, known.doses[0].amount)
    found = tl.jacobian(*given, wrt="k").cpu().derivatives
    assert np.array_equal(found, tl.jacobian(model, {"k": rates}, *given[2:], wrt="k").derivatives)
    slopes = None
    first = tl.simulate(*given)
    assert np.array_equal(first.values.numpy(), here.values)
    with device.driver.current(0):
        assert device.driver.device_of(address) == 0
        assert device.driver.device_of(64) is None
        device.driver.order(stream, 1)
        assert device.driver.is_done(stream)
        assert device.driver.shared_memory(0) == 228 * 1024
        device.driver.end_stream(stream)

def refused(call, said):
    try:
        call()
    except Exception as error:
        assert said in str(error), error
        return type(error).__name__
    raise AssertionError(said)

print(refused(lambda: tl.simulate(model, {"k": rates}, dose, np.linspace(0, 9, 200_000),
                                  device="cuda"), "has no memory for the values"))
print(refused(lambda: device.driver.free_memory(), "INVALID_CONTEXT"))
with device.driver.current(0):
    print(refused(lambda: device.driver.function(b"fake", "nothing"), "NOT_FOUND"))
there = first = None
gc.collect()
print("left", library.fake_left(), "launches", library.fake_launches() > 3)
"""


def test_a_library_in_the_place_of_the_driver(tmp_path: Path) -> None:
    library = tmp_path / "libcuda.so.1"
    compiled_library(ROOT / "tests" / "device" / "fake_libcuda.cpp", library)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = child_environment() | {"LD_LIBRARY_PATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, script, library],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"{done.stdout.partition(',')[0]}, a driver for CUDA 13.5; "
        "cuda:0 Fake H0 (9.0) can be used",
        "MemoryError",
        "DriverError",
        "DriverError",
        "left 0 launches True",
    ]
