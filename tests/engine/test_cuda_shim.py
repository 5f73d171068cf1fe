"""The CUDA kernel source, compiled as host C++ behind cuda/launch_shim.hpp, gives the bits of the
CPU back end: values, statuses, reductions, gradients, tangents, penalties and projections, however
short launches are, and in whatever order threads run.
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

PROBLEM = ROOT / "tests" / "cases" / "device_problem.py"
# Order of the threads, steps of a launch, states kept of a patient, host threads.
SETTINGS = {
    "short launches": (1, 3, 64, 1),
    "another order, one step a launch, few states": (2, 1, 2, 1),
    "long launches, several threads at once": (3, 40, 7, 3),
}


def run(folder: Path, name: str, *arguments: str, **settings: str) -> dict[str, np.ndarray]:
    result = folder / f"{name}.npz"
    done = subprocess.run(
        [sys.executable, PROBLEM, result, *arguments],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with np.load(result) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def cpu(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    return run(tmp_path_factory.mktemp("cpu"), "cpu")


@pytest.fixture(scope="module")
def extension(tmp_path_factory: pytest.TempPathFactory, cpu: dict[str, np.ndarray]) -> Path:
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
    built = folder / f"_core{sysconfig.get_config_var('EXT_SUFFIX')}"
    fma = ["-mfma"] if cpu["fma"] and os.uname().machine == "x86_64" else []
    link = ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else ["-pthread"]
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
        [*command, *sources, "-o", built], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return built


@pytest.mark.parametrize("setting", SETTINGS)
def test_same_bits(
    cpu: dict[str, np.ndarray], extension: Path, tmp_path: Path, setting: str
) -> None:
    order, steps, states, threads = SETTINGS[setting]
    shim = run(
        tmp_path,
        "shim",
        str(extension),
        str(threads),
        TEORELL_SHIM_ORDER=str(order),
        TEORELL_SHIM_STEPS=str(steps),
        TEORELL_SHIM_STATES=str(states),
        TEORELL_SHIM_ROOM="20",  # so that some patients are solved again, with more
    )
    assert shim.pop("name") == "cuda-shim"
    assert set(shim) == set(cpu) - {"name"}
    assert cpu["name"] != "cuda-shim"
    for name, found in shim.items():
        np.testing.assert_array_equal(found, cpu[name], err_msg=name)


def test_the_problem_asks_for_everything(cpu: dict[str, np.ndarray]) -> None:
    assert np.isfinite(cpu["grid values"]).mean() > 0.9
    assert (cpu["grid status"] != 0).sum() == 1
    assert cpu["grid steps"].max() > 40  # more than the room that there is at first
    assert cpu["found"].sum() > 10
    for name in ("weights by vmax", "reduced by vmax", "jacobian", "penalties", "nearest a"):
        assert np.count_nonzero(cpu[name]) > 10, name
