"""Emitted CUDA source compiled as host C++: functions that the core takes for machine code."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from folders import ROOT
from teorell.device.emitted import emitted
from teorell.engine.compile import MachineCode
from teorell.engine.executors import instruction_sets
from teorell.engine.step_code import FUNCTIONS
from teorell.lowering import Programs

FLAGS = {"v3": ["-march=x86-64-v3"], "v4": ["-march=x86-64-v4"], "baseline": []}
METHODS = {"rodas5p": "Rodas5P", "rodas4p2": "Rodas4P2"}


def best_build() -> dict[str, object]:
    """The build of the core whose lanes the text is compiled for; skips where there is none."""
    for build in instruction_sets():
        if build["name"] in FLAGS and build["name"] != "v4":  # v3 is there wherever v4 is
            return build
    pytest.skip("NOT RUN: no build of the core with fused multiply-adds runs here")


def compiler() -> str:
    for name in (os.environ.get("CXX"), "c++", "g++", "clang++"):
        if name and shutil.which(name):
            return name
    pytest.skip("NOT RUN: needs a C++ compiler")


def compile_host(programs: Programs, method: str, folder: Path) -> MachineCode:
    """The emitted text of some programs for lanes of a processor, in the folder given."""
    build = best_build()
    width = build["register_width"]
    source, library = folder / "emitted.cpp", folder / "emitted.so"
    source.write_text(emitted(programs, method) + _glue(programs, METHODS[method], width))
    flags = FLAGS[str(build["name"])]
    command = [
        compiler(), "-std=c++17", "-O1", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall",
        "-Wextra", "-Werror", "-Wno-psabi", "-fno-math-errno", "-fno-trapping-math",
        "-ffp-contract=off", f"-I{ROOT / 'cuda'}", f"-I{ROOT / 'cpp' / 'include'}", *flags,
        source, "-o", library,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:4000]
    loaded = ctypes.CDLL(str(library))
    addresses = dict.fromkeys(FUNCTIONS, 0)
    for name in _functions(programs):
        addresses[name] = ctypes.cast(getattr(loaded, name), ctypes.c_void_p).value or 0
    return MachineCode(tuple(addresses.values()), int(width), (loaded,))


def _functions(programs: Programs) -> list[str]:
    """Those of the core that the programs are for."""
    derivatives = {None: [], "vjp": ["reverse", "outputs_vjp"], "jvp": ["tangent"]}
    return ["step", "stages", "rhs", "outputs", *derivatives[programs.derivatives]]


def _glue(programs: Programs, method: str, width: object) -> str:
    """The view of the programs that the steps read, and the functions of the core."""
    at, view = programs.layout, {
        "ft_rows": programs.ft_rows, "output_states": programs.output_states,
        "controlled": programs.controlled, "is_signed": programs.signed,
        "entries": programs.entries.reshape(-1),
    }  # fmt: skip
    regions = (
        "scalar", "y", "f", "lu", "yn", "ynew", "top", "atol", "u", "ft", "block", "ukept", "ubar",
        "lam", "ynbar", "coefbar", "z", "ydot", "yndot", "udot", "entries", "entries_ft", "n",
        "n_ft",
    )  # fmt: skip
    lines = ["#include <cstdint>", "namespace {", "using namespace teorell;"]
    for name, array in view.items():
        kind = "std::uint8_t" if array.dtype == "uint8" else "std::int32_t"
        numbers = ", ".join(map(str, [*array.tolist(), 0]))
        lines.append(f"const {kind} {name}[] = {{{numbers}}};")
    lines += ["Programs made() {", "    Programs m{};"]
    lines += [f"    m.at.{region} = {getattr(at, region)};" for region in regions]
    lines += [f"    m.at.n_entries = {len(programs.entries)};"]
    lines += [f"    m.{name} = {name};" for name in view]
    lines += [f"    m.n_output_states = {len(programs.output_states)};"]
    count = int(programs.controlled.sum())
    lines += [f"    m.inverse_n_controlled = {1.0 / count if count else 0.0!r};"]
    lines += ["    return m;", "}", "const Programs programs = made();"]
    lines += [f"using V = Lanes<{width}>;"]
    lines += [f"const Emitted<V, {method}, EmittedModel<V>> executor{{programs}};", "}"]
    for name in _functions(programs):
        lines.append(
            f'extern "C" __attribute__((visibility("default"))) void {name}(double* ws) '
            f"{{ executor.{name}(ws - std::int64_t{{{at.scalar}}} * {width}); }}"
        )
    return "\n".join([*lines, ""])
