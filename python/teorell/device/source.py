"""Where the C++ headers lie that the kernels are compiled from: in the installed package, or in
the checkout that this package is run from.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

__all__ = ["digest", "include_folders"]

PACKAGE = Path(__file__).parent


def include_folders() -> tuple[Path, Path]:
    """The folders that a compiler searches: one that holds teorell/*.hpp, that of the kernels.

    FileNotFoundError where neither an installation nor a checkout has them.
    """
    installed = PACKAGE / "include"
    checkout = PACKAGE.parents[2]
    places = [(installed, installed / "cuda"), (checkout / "cpp" / "include", checkout / "cuda")]
    for core, kernels in places:
        if (core / "teorell" / "integrate.hpp").is_file() and (kernels / "kernel.cuh").is_file():
            return core, kernels
    raise FileNotFoundError(
        f"the headers of the core are not in {installed} (kernels are compiled from them). Install "
        "teorell again."
    )


def digest() -> str:
    """Changes whenever a header does: kernels of other sources are never run."""
    core, kernels = include_folders()
    found = hashlib.sha256()
    for path in sorted([*core.rglob("*.hpp"), *kernels.glob("*.hpp"), *kernels.glob("*.cuh")]):
        text = path.read_bytes()
        found.update(f"{path.name}\n{len(text)}\n".encode() + text)
    return found.hexdigest()
