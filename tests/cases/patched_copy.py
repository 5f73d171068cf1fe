"""A copy of the package in which sources are changed, with a core of its own.

For what needs more than a subclass or an argument to be tried: a step of a guide is a Change of one
file, and what uses it runs in a process of its own.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import pytest
from folders import ROOT
from teorell import _core

# The build that every processor of its kind can run; the others are this one by their names, so
# that one is compiled and not three.
OTHER_NAMES = """
#include "kernel.hpp"
namespace teorell {
inline namespace v2 { extern const Kernel kernel; }
inline namespace v3 { extern const Kernel kernel; const Kernel kernel = v2::kernel; }
inline namespace v4 { extern const Kernel kernel; const Kernel kernel = v2::kernel; }
}
"""
FLAGS = "-std=c++17 -O0 -fPIC -fvisibility=hidden -fno-math-errno -fno-trapping-math"
FLAGS += " -ffp-contract=off -Wno-psabi -Wno-attributes"


class Change(NamedTuple):
    """`old`, which stands in the file exactly once, becomes `new`."""

    old: str
    new: str


Steps: TypeAlias = Mapping[str, Sequence[Change]]
"""Path of a file in the repository -> its changes."""


def before(line: str, new: str) -> Change:
    """`new` before the text `line`, which stands in the file once."""
    return Change(line, new + line)


class PatchedCopy:
    """python/teorell, cpp/ and cuda/ in a folder; `_core` is that of this process until `build`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        leave = shutil.ignore_patterns("_core*.so", "_core*.pyd", "__pycache__")
        shutil.copytree(ROOT / "python" / "teorell", folder / "python" / "teorell", ignore=leave)
        for sources in ("cpp", "cuda"):
            shutil.copytree(ROOT / sources, folder / sources)
        shutil.copy2(_core.__file__, folder / "python" / "teorell")

    def apply(self, steps: Steps) -> None:
        """Change the files that the steps name."""
        for place, changes in steps.items():
            path = self.folder / place
            text = path.read_text(encoding="utf-8")
            for change in changes:
                found = text.count(change.old)
                assert found == 1, f"{place}: {change.old!r} stands there {found} times"
                text = text.replace(change.old, change.new)
            path.write_text(text, encoding="utf-8")

    def build(self) -> None:
        """Compile the core of the changed sources; skips the test where nothing can."""
        compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
        if compiler is None or importlib.util.find_spec("pybind11") is None:
            pytest.skip("NOT RUN: needs a C++ compiler and pybind11")
        import pybind11

        x86 = platform.machine() in ("x86_64", "AMD64")
        source, names = self.folder / "cpp", self.folder / "other_names.cpp"
        names.write_text(OTHER_NAMES if x86 else "")
        include = [source / "include", source / "src", pybind11.get_include()]
        common = [compiler, *FLAGS.split(), f"-DTEORELL_ISA={'v2' if x86 else 'baseline'}"]
        common += [f"-I{path}" for path in (*include, sysconfig.get_path("include"))]
        lanes = ["-mcx16", "-mpopcnt", "-msse4.2"] if x86 else []
        objects = []
        for path in (*sorted((source / "src").glob("*.cpp")), source / "bindings" / "module.cpp"):
            objects.append(self.folder / f"{path.stem}.o")
            flags = lanes if path.name == "isa.cpp" else []
            _run([*common, *flags, "-c", str(path), "-o", str(objects[-1])])
        here = self.folder / "python" / "teorell" / Path(_core.__file__).name
        link = ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else ["-pthread"]
        made = here.with_name(f"_core{sysconfig.get_config_var('EXT_SUFFIX')}")
        here.unlink()
        _run([*common, "-shared", *link, str(names), *map(str, objects), "-o", str(made)])

    def run(self, *arguments: str) -> str:
        """What a Python process with these arguments prints that imports the copy.

        -S: an editable install would stand before every path.
        """
        paths = [self.folder / "python", ROOT / "tests" / "cases", *filter(None, sys.path)]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "TEORELL_CACHE": str(self.folder / "cache"),
        }
        environment.pop("TEORELL_ISA", None)
        return _run([sys.executable, "-S", "-W", "error", *arguments], environment)


def _run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout
