"""The CUDA kernel source, compiled as host C++ behind cuda/launch_shim.hpp, gives the bits of the
CPU back end.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from folders import ROOT

# One simulation: saturable elimination, infusion and bolus, a switch in time, one patient who
# cannot be solved.
PROBLEM = """
import sys
import numpy as np

if len(sys.argv) > 2:  # the shim in place of the extension, before anything imports it
    import importlib.util
    spec = importlib.util.spec_from_file_location("_core", sys.argv[2])
    sys.modules["teorell._core"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["teorell._core"])

import teorell as tl
from teorell.engine.executors import instruction_sets

model = tl.Model("shim")
ka, vmax, km, v, q = model.parameters(ka=1.2, vmax=9.0, km=2.0, v=20.0, q=4.0)
depot, central, peripheral = model.states("depot", "central", "peripheral")
model.flow(depot, central, ka * depot)
half = tl.where(model.time > 20.0, 0.5, 1.0)
model.flow(central, None, vmax * half * (central / v) / (km + central / v))
model.flow(central, peripheral, q / v * central - q / 40.0 * peripheral)
model.flow(peripheral, None, tl.where(central > 1.5 * v, 0.05, 0.01) * peripheral)
peaks = model.level("peaks")
model.event(when=central > 2.5 * v, then={peaks: peaks + 1.0, depot: 0.9 * depot})
model.output("peaks", peaks)
model.output("cp", central / v)
model.output("log", tl.log(1.0 + peripheral))

rng = np.random.default_rng(5)
n = 37
spread = {"ka": (0.0, 0.5), "vmax": (2.0, 0.3), "v": (3.0, 0.2)}
parameters = {name: np.exp(rng.normal(mean, sd, n)) for name, (mean, sd) in spread.items()}
parameters["vmax"][17] = 1e308
regimen = tl.Regimen.bolus(100, into="depot", every=12, doses=3)
regimen = regimen + tl.Regimen.infusion(50, into="central", duration=1.5)
times = np.linspace(0.0, 48.0, 97)
options = dict(rtol=1e-7, atol=1e-9, executor="interpreter", threads=1)
solution = tl.simulate(model, parameters, regimen, times, **options)
best = instruction_sets()[0]
np.savez(sys.argv[1], name=best["name"], fma=best["fma"], values=solution.values,
         status=solution.status, steps=solution.steps, rejected=solution.rejected)
"""


def run(folder: Path, name: str, *arguments: str) -> dict[str, np.ndarray]:
    script = folder / "problem.py"
    script.write_text(PROBLEM)
    result = folder / f"{name}.npz"
    done = subprocess.run(
        [sys.executable, script, result, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    with np.load(result) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def cpu(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    return run(tmp_path_factory.mktemp("cpu"), "cpu")


@pytest.fixture(scope="module")
def shim(
    tmp_path_factory: pytest.TempPathFactory, cpu: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    compiler = (
        os.environ.get("CXX")
        or shutil.which("c++")
        or shutil.which("g++")
        or shutil.which("clang++")
    )
    if compiler is None or importlib.util.find_spec("pybind11") is None:
        pytest.skip("NOT RUN: needs a C++ compiler and pybind11")
    import pybind11

    folder = tmp_path_factory.mktemp("shim")
    extension = folder / f"_core{sysconfig.get_config_var('EXT_SUFFIX')}"
    fma = ["-mfma"] if cpu["fma"] and os.uname().machine == "x86_64" else []
    link = ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []
    sources = [ROOT / "cuda" / "shim_engine.cpp", ROOT / "cpp" / "bindings" / "module.cpp"]
    include = [ROOT / "cpp" / "include", pybind11.get_include(), sysconfig.get_path("include")]
    command = [
        compiler,
        "-std=c++17",
        "-O1",
        "-fPIC",
        "-shared",
        "-fvisibility=hidden",
        "-Wno-psabi",
        *fma,
        *link,
    ]
    command += [
        "-fno-math-errno",
        "-fno-trapping-math",
        "-ffp-contract=off",
        *(f"-I{path}" for path in include),
    ]
    done = subprocess.run(
        [*command, *sources, "-o", extension], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return run(folder, "shim", str(extension))


def test_same_bits(cpu: dict[str, np.ndarray], shim: dict[str, np.ndarray]) -> None:
    assert shim["name"] == "cuda-shim"
    assert cpu["name"] != "cuda-shim"
    assert np.isfinite(cpu["values"]).mean() > 0.9
    for name in ("values", "status", "steps", "rejected"):
        np.testing.assert_array_equal(shim[name], cpu[name], err_msg=name)
