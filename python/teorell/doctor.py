"""`teorell doctor`: what this installation found on this machine, what it will use, and why."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

import numpy as np

import teorell as tl
from teorell import object_cache
from teorell.errors import count

__all__ = ["report"]

OPTIONAL = {
    "matplotlib": "pictures",
    "pandas": "data frames",
    "xarray": "labelled arrays",
    "tqdm": "progress bars",
    "rich": "progress bars",
    "scipy": "peers in the benchmark",
    "numba": "peers in the benchmark",
    "numbalsoda": "peers in the benchmark",
}
NO_FMA = (
    "this build has no fused multiply-add: results differ in the last bits from those of "
    "x86-64-v3, v4 and arm64 (a * b + c is rounded twice here, by both executors). Use a processor "
    "with FMA where bits must match"
)


def report() -> str:
    """The findings as text, one a line; warnings begin with 'warning:'."""
    lines: list[tuple[str, str]] = [
        ("teorell", f"{tl.__version__} in {Path(tl.__file__).parent}"),
        ("python", f"{platform.python_version()}, numpy {np.__version__}"),
        ("system", f"{platform.platform()}, {processor()}"),
    ]
    warnings: list[str] = []
    try:
        from teorell import solve
    except ImportError as error:
        warnings.append(
            f"the compiled core cannot be imported ({error}). Install with pip install . in the "
            "clone"
        )
    else:
        builds = {str(build["name"]): build for build in solve.instruction_sets()}
        chosen = solve.selected_isa(None)
        asked = " (by TEORELL_ISA)" if os.environ.get("TEORELL_ISA") else ""
        lines.append(
            ("instruction set", f"{chosen}{asked}; this processor can run {', '.join(builds)}")
        )
        if chosen not in builds:
            warnings.append(f"TEORELL_ISA is {chosen!r} (this processor cannot run it). Unset it")
        else:
            width = builds[chosen]["register_width"]
            lines.append(
                (
                    "lanes",
                    f"{count(width, 'patient')} a register, {builds[chosen]['interpreter_width']} "
                    "interpreted",
                )
            )
            if not builds[chosen]["fma"]:
                warnings.append(NO_FMA)
        kind, reason = solve.choose_executor()
        lines.append(("executor", f"{kind.replace('_', ' ')} ({reason})"))
        if kind == "interpreter":
            warnings.append(
                "models are interpreted, at half the speed or less. pip install 'llvmlite>=0.46'"
            )
        lines.append(("threads", f"{solve.available_threads()} by default; {affinity()}"))
        lines.append(("self-test", self_test(kind) if chosen in builds else "not run"))
    lines.append(("cache", cache()))
    lines.append(("llvmlite", version("llvmlite") or "not found"))
    for package, purpose in OPTIONAL.items():
        lines.append((package, f"{version(package) or 'not found'} ({purpose})"))
    width = max(len(name) for name, _ in lines)
    found = [f"{name:{width}}  {text}" for name, text in lines]
    return "\n".join(found + [f"warning: {text}." for text in warnings])


def self_test(kind: str) -> str:
    """Runs a small model with both executors; the truth is known."""
    model = tl.Model("self-test")
    k = model.parameter("k", 0.5, unit="1/h")
    amount = model.state("amount")
    model.flow(amount, None, k * amount)
    rates = np.linspace(0.1, 2.0, 20)
    runs = [
        tl.simulate(
            model,
            {"k": rates},
            tl.Regimen.bolus(1.0, into="amount"),
            [0.0, 1.0],
            rtol=1e-9,
            executor=executor,
        )
        for executor in dict.fromkeys([kind, "interpreter"])
    ]
    error = float(np.abs(runs[0].values[:, 1, 0] / np.exp(-rates) - 1.0).max())
    if not error < 1e-6:
        return f"FAILED: the error of exponential decay is {error:.1e}"
    if any(not np.array_equal(run.values, runs[0].values) for run in runs):
        return "FAILED: the two executors give different bits"
    return f"passed, error {error:.0e}" + (
        ", both executors give the same bits" if len(runs) > 1 else ""
    )


def cache() -> str:
    """Where compiled models are kept, and how many."""
    folder = object_cache.folder()
    files = list(folder.glob("*.o")) if folder.is_dir() else []
    size = sum(file.stat().st_size for file in files) / 1e6
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    state = (
        ""
        if os.access(existing, os.W_OK)
        else ", NOT WRITABLE: models are compiled anew in each process"
    )
    return f"{folder}, {count(len(files), 'compiled model')}, {size:.1f} MB{state}"


def affinity() -> str:
    """The processors there are, and those this process may use."""
    total = os.cpu_count() or 1
    if not hasattr(os, "sched_getaffinity"):
        return count(total, "processor")
    return f"this process may use {len(os.sched_getaffinity(0))} of {count(total, 'processor')}"


def processor() -> str:
    """The processor's name."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def version(package: str) -> str | None:
    """The installed version of a package, not imported; None if there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
