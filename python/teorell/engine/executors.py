"""What can run programs here: methods, instruction sets, threads, machine code or interpreter."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from teorell import _core
from teorell.arrays import is_whole
from teorell.errors import InputError

__all__ = [
    "EXECUTORS",
    "METHODS",
    "STATUS",
    "available_threads",
    "check_executor",
    "choose_executor",
    "instruction_sets",
    "llvmlite_missing",
    "selected_isa",
    "tableau",
    "threads_of",
]

STATUS: dict[int, str] = dict(enumerate(_core.status_sentences()))
METHODS: tuple[str, ...] = tuple(_core.methods())
EXECUTORS = ("machine_code", "interpreter")

available_threads: Callable[[], int] = _core.available_threads
tableau: Callable[[str], dict[str, Any]] = _core.tableau


def instruction_sets() -> list[dict[str, Any]]:
    """The builds of the core that this processor can run, best first: name, register_width,
    interpreter_width, fma.
    """
    return _core.instruction_sets()


def llvmlite_missing() -> str | None:
    """Why machine code cannot be made here, or None."""
    try:
        import llvmlite
    except ImportError as error:
        return f"llvmlite cannot be imported ({error})"
    version = tuple(int(part) for part in llvmlite.__version__.split(".")[:2])
    return None if version >= (0, 46) else f"llvmlite {llvmlite.__version__} is older than 0.46"


def check_executor(executor: object) -> None:
    """InputError for an unknown one; None is that nothing is asked for."""
    if executor is not None and executor not in EXECUTORS:
        raise InputError(
            f"unknown executor {executor!r} (there is none such). Choose from "
            f"{', '.join(EXECUTORS)}, or None."
        )


def threads_of(threads: object) -> int:
    """As many threads as asked for, all that there are if None; InputError for less than one."""
    if threads is None:
        return available_threads()
    if not is_whole(threads) or threads < 1:
        raise InputError(
            f"threads is {threads!r} (one thread is the least). Give a whole number of 1 or more."
        )
    return int(threads)


def choose_executor(executor: str | None = None) -> tuple[str, str]:
    """The executor that serves a request, and why: 'machine_code' where llvmlite is there, else
    'interpreter'. InputError for an unknown one.
    """
    check_executor(executor)
    missing = llvmlite_missing()
    if executor == "interpreter":
        return executor, "as asked"
    if executor == "machine_code" and missing:
        raise ImportError(
            f"executor='machine_code' is not available ({missing}). Install llvmlite 0.46 or "
            "newer, or leave executor out."
        )
    return ("interpreter", missing) if missing else ("machine_code", "llvmlite is there")


def selected_isa(isa: str | None) -> str:
    """The build to run: as asked, else $TEORELL_ISA, else the best.

    InputError where it cannot run here.
    """
    known = [str(build["name"]) for build in instruction_sets()]
    name = isa or os.environ.get("TEORELL_ISA") or known[0]
    if name not in known:
        raise InputError(
            f"unknown instruction set {name!r} (this processor and build offer "
            f"{', '.join(known)}). Choose one of these, in the argument isa or in $TEORELL_ISA."
        )
    return name
