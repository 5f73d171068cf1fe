"""The kernels of cuda/, compiled for the host, in the hands of a fake driver: what a simulation on
a device does, but for the device.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from fake_driver import FakeDriver
from folders import ROOT
from teorell.device import columns, devices, executor, over
from teorell.device.compiler import Compiled
from teorell.engine.executors import instruction_sets

__all__ = [
    "OnHost",
    "built_kernels",
    "compiled_library",
    "launching",
    "on_fake_devices",
    "uncompiled",
]


def compiled_library(source: Path, library: Path) -> None:
    """A C++ file with the kernels of cuda/ as a library; skips the test without a compiler."""
    named = [os.environ.get("CXX"), *map(shutil.which, ("c++", "g++", "clang++"))]
    compiler = next((each for each in named if each), None)
    if compiler is None:
        pytest.skip("NOT RUN: needs a C++ compiler")
    fma = instruction_sets()[0]["fma"] and platform.machine() == "x86_64"
    link = ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else ["-pthread"]
    command = [
        compiler, "-std=c++17", "-O1", "-fPIC", "-shared", "-Wno-psabi", "-fno-math-errno",
        "-fno-trapping-math", "-ffp-contract=off", *(["-mfma"] if fma else []), *link,
        f"-I{ROOT / 'cpp' / 'include'}", f"-I{ROOT / 'cuda'}", str(source), "-o", str(library),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def built_kernels(folder: Path) -> ctypes.CDLL:
    """cuda/shim_kernels.cpp as a library."""
    compiled_library(ROOT / "cuda" / "shim_kernels.cpp", folder / "kernels.so")
    return launching(folder / "kernels.so")


def launching(place: Path) -> ctypes.CDLL:
    """A library that launches kernels by their names."""
    library = ctypes.CDLL(str(place))
    library.teorell_launch.argtypes = (
        ctypes.c_char_p, ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p,
    )  # fmt: skip
    library.teorell_launch.restype = ctypes.c_bool
    return library


def uncompiled(text: str, kernels: Sequence[str], architecture: str) -> Compiled:
    """In place of `kernels_of`: code that names its kernels as C++ does."""
    return Compiled(b"fake", {one: one for one in kernels}, {})


class OnHost:
    """In place of `kernels_of`: a text is compiled, by the compiler of the host, where it is that
    of a model. Its kernels are named after their library.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.made = folder, {}

    def on(self, kernels: EveryKernel) -> OnHost:
        """For these kernels of a fake driver from now on; `asked` counts for them."""
        self.kernels, self.asked = kernels, set()
        return self

    def __call__(self, text: str, kernels: Sequence[str], architecture: str) -> Compiled:
        if "EmittedModel" not in text:
            return uncompiled(text, kernels, architecture)
        (kernel,) = kernels
        key = (text, kernel)
        if key not in self.made:
            place = self.folder / f"emitted{len(self.made)}"
            source, library = place.with_suffix(".cpp"), place.with_suffix(".so")
            source.write_text(text + LAUNCH.replace("KERNEL", kernel))
            compiled_library(source, library)
            self.made[key] = str(library), launching(library)
        self.asked.add(key)
        name, library = self.made[key]
        self.kernels.of_models[name] = library
        return Compiled(b"fake", {kernel: name}, {})


LAUNCH = """
extern "C" bool teorell_launch(const char*, unsigned blocks, unsigned threads, void** arguments) {
    launch_by_address(KERNEL, blocks, threads, arguments);
    return true;
}
"""


class EveryKernel(dict):
    """Kernels by name, as a fake driver launches them."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        self.of_models: dict[str, ctypes.CDLL] = {}  # by the name that OnHost gives

    def __contains__(self, name: object) -> bool:
        return True

    def __getitem__(self, name: str) -> object:
        return functools.partial(self._launch, name)

    def _launch(self, name: str, blocks: int, threads: int, arguments: int) -> None:
        library = self.of_models.get(name, self.library)
        assert library.teorell_launch(name.encode(), blocks, threads, arguments), name


def on_fake_devices(
    monkeypatch: pytest.MonkeyPatch, library: ctypes.CDLL, count: int = 1
) -> FakeDriver:
    """From now on this machine has these devices; kernels are not compiled again."""
    fake = FakeDriver([(f"Fake {k}", (9, 0), 2) for k in range(count)])
    fake.kernels = EveryKernel(library)
    monkeypatch.setattr(devices, "load_driver", lambda: fake)
    monkeypatch.setattr(devices, "compiler_missing", lambda: None)
    monkeypatch.setattr(devices, "compiler_version", lambda: (13, 0))
    monkeypatch.setattr(devices, "architectures", lambda: frozenset({"sm_90"}))
    for module in (executor, over, columns):
        monkeypatch.setattr(module, "kernels_of", uncompiled)
    monkeypatch.setattr(executor, "kernels_there", lambda *asked: None)
    return fake
