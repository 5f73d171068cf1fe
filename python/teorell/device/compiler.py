"""NVRTC, NVIDIA's compiler as a library: CUDA C++ to machine code of one architecture. It needs
neither a device nor a driver.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from teorell.device.source import include_folders

__all__ = [
    "OPTIONS",
    "Compiled",
    "Usage",
    "architectures",
    "compile_kernels",
    "compiler_missing",
    "compiler_version",
]

# fmad=false: the programs name every fused multiply-add, and device code has the bits of the CPU.
# default-device: functions that the headers do not mark are for the device.
OPTIONS = ("-std=c++17", "--fmad=false", "-default-device", "--ptxas-options=-v")
INSTALL = "pip install 'teorell[cuda]'"


@dataclass(frozen=True)
class Usage:
    """What one kernel takes of a multiprocessor, as the assembler says."""

    registers: int  # of a thread
    stack: int  # bytes of a thread in local memory
    spill_stores: int  # bytes
    spill_loads: int
    shared: int  # bytes of a block, but for what a launch adds


@dataclass(frozen=True)
class Compiled:
    """Machine code of kernels."""

    code: bytes  # a cubin, what a driver loads
    names: dict[str, str]  # the kernels as C++ names them -> as the code does
    usage: dict[str, Usage]  # of the same kernels


def compiler_missing() -> str | None:
    """Why nothing can be compiled here, or None."""
    try:
        compiler_version()
    except ImportError as error:
        return " ".join(str(error).split())
    return None


def compiler_version() -> tuple[int, int]:
    """NVRTC's version. ImportError where it, or what calls it, is not installed."""
    result: tuple[int, int] = _call("nvrtcVersion")
    return result


def architectures() -> frozenset[str]:
    """What NVRTC compiles for: "sm_90" and others."""
    numbers = _call("nvrtcGetSupportedArchs")
    return frozenset(f"sm_{number}" for number in numbers)


def compile_kernels(text: str, kernels: Sequence[str], architecture: str) -> Compiled:
    """The kernels of a CUDA C++ text that includes headers of the core.

    kernels: as C++ names them, templates with their arguments. architecture: "sm_90".
    ImportError where NVRTC is not installed, RuntimeError with what it says of a text that it
    refuses.
    """
    folders = [f"--include-path={folder}" for folder in include_folders()]
    options = [f"--gpu-architecture={architecture}", *OPTIONS, *folders]
    program = _call("nvrtcCreateProgram", text.encode(), b"kernels", 0, [], [])
    try:
        for kernel in kernels:
            _call("nvrtcAddNameExpression", program, kernel.encode())
        encoded = [option.encode() for option in options]
        try:
            _call("nvrtcCompileProgram", program, len(encoded), encoded)
        except RuntimeError as error:
            raise RuntimeError(
                f"the kernels do not compile for {architecture} ({error}): {_log(program)}"
            ) from None
        names = {
            kernel: _call("nvrtcGetLoweredName", program, kernel.encode()).decode()
            for kernel in kernels
        }
        code = bytes(_call("nvrtcGetCUBINSize", program))
        _call("nvrtcGetCUBIN", program, code)
        found = usage_of(_log(program))
    finally:
        _call("nvrtcDestroyProgram", program)
    return Compiled(code, names, {kernel: found[name] for kernel, name in names.items()})


def usage_of(log: str) -> dict[str, Usage]:
    """kernel, as the code names it -> what the assembler says of it."""
    found = {}
    for part in log.split("Compiling entry function ")[1:]:
        name = part.split("'")[1]
        frame = re.search(
            r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", part
        )
        registers = re.search(r"Used (\d+) registers", part)
        shared = re.search(r"(\d+) bytes smem", part)
        if frame is None or registers is None:
            raise RuntimeError(f"the assembler says nothing of {name}: {part}")
        stack, stores, loads = (int(each) for each in frame.groups())
        own = int(shared[1]) if shared else 0
        found[name] = Usage(int(registers[1]), stack, stores, loads, own)
    return found


def _log(program: Any) -> str:
    text = bytes(_call("nvrtcGetProgramLogSize", program))
    _call("nvrtcGetProgramLog", program, text)
    return text.rstrip(b"\0").decode(errors="replace").strip()


def _call(name: str, *arguments: Any) -> Any:
    """A function of NVRTC: what it returns beside its status, which must be success."""
    try:
        from cuda.bindings import nvrtc

        status, *results = getattr(nvrtc, name)(*arguments)
    except ImportError as error:
        raise ImportError(f"cuda-bindings cannot be imported ({error}). {INSTALL}.") from None
    except RuntimeError as error:  # cuda-pathfinder's: no library of that name
        if "nvrtc" not in str(error).lower():
            raise
        raise ImportError(f"NVRTC cannot be loaded ({error}). {INSTALL}.") from None
    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise RuntimeError(f"{name}: {status.name}")
    return results[0] if len(results) == 1 else tuple(results)
