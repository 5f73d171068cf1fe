"""LLVM IR to code in memory: the machine it is compiled for, and the way through the disk cache."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from teorell.engine import object_cache
from teorell.engine.executors import instruction_sets
from teorell.engine.vector_ir import Target

__all__ = ["MachineCode", "compiled", "llvm_machine", "target_for"]


def _hold_llvm() -> None:
    """Before a fork: no thread is inside of LLVM, so a child finds it whole and its lock free.

    llvmlite has one lock, held throughout each of its calls; it is reached by its private name.
    """
    llvm = sys.modules.get("llvmlite.binding")
    if llvm is not None:
        llvm.ffi.lib._lock.__enter__()
        _held.append(llvm.ffi.lib._lock)


def _release_llvm() -> None:
    while _held:
        _held.pop().__exit__(None, None, None)


_held: list[Any] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_hold_llvm, after_in_parent=_release_llvm, after_in_child=_release_llvm
    )


@dataclass(frozen=True)
class MachineCode:
    """Functions in memory, kept alive with the engines that own them."""

    addresses: tuple[int, ...]  # 0 where there is none
    width: int  # patients that one call works on
    engines: tuple[Any, ...]


def target_for(isa: str) -> Target:
    """The target of an instruction-set build; the best one here is this processor's own level."""
    import llvmlite.binding as llvm

    builds = instruction_sets()
    build = next(each for each in builds if each["name"] == isa)
    width, fma, triple = build["register_width"], build["fma"], llvm.get_process_triple()
    if isa == builds[0]["name"] and isa not in ("v2", "v3"):
        features = llvm.get_host_cpu_features().flatten()
        return Target(isa, width, fma, triple, llvm.get_host_cpu_name(), features)
    cpu = {"v2": "x86-64-v2", "v3": "x86-64-v3", "v4": "x86-64-v4"}.get(isa, "generic")
    return Target(isa, width, fma, triple, cpu, "")


def compiled(
    text: Callable[[], str], key: Sequence[str], functions: Sequence[str], target: Target
) -> MachineCode:
    """The functions of the LLVM IR that `text` writes; from the disk cache if `key` is there.

    key: with the target and LLVM's version it names the code.
    Raises ImportError where llvmlite is missing, RuntimeError where LLVM refuses the module.
    """
    import llvmlite.binding as llvm

    machine = llvm_machine(target)

    def build() -> bytes:
        module = llvm.parse_assembly(text())
        module.verify()
        return bytes(machine.emit_object(module))

    code = object_cache.fetch((*key, repr(target), repr(llvm.llvm_version_info)), build)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    addresses = tuple(engine.get_function_address(name) for name in functions)
    return MachineCode(addresses, target.width, (engine,))


def llvm_machine(target: Target) -> Any:
    """LLVM's target machine."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    # The IR is what should run: level 1 gives the code of level 2 in half the time.
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu,
        features=target.features,
        opt=1,
        reloc="pic",
        codemodel="jitdefault",
        jit=True,
    )
