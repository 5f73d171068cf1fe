"""`teorell doctor`: what this installation found on this machine, what it will use, and why."""

from __future__ import annotations

import argparse
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

import teorell as tl
from teorell.errors import count
from teorell.tables import labelled, wrapped

__all__ = ["add_parser", "processor", "report", "run", "version"]

OPTIONAL = {
    "matplotlib": "pictures",
    "pandas": "data frames, tables, `teorell fit`",
    "xarray": "labelled arrays",
    "pyarrow": "populations on disk as Parquet",
    "zarr": "populations on disk",
    "cuda-bindings": "simulations on a CUDA device",
    "torch": "torch layers and gradients, `teorell train`",
    "safetensors": "weights of learning models",
    "scikit-learn": "figures of learning models",
    "tqdm": "progress bars",
    "rich": "progress bars",
    "scipy": "optimizers of fits, peers in the benchmark",
    "numba": "peers in the benchmark",
    "numbalsoda": "peers in the benchmark",
}
"""Package that is not required -> what it is for."""
FAILED = "FAILED"  # how the result of a self-test that failed begins
NO_FMA = (
    "this build has no fused multiply-add: results differ in the last bits from those of "
    "x86-64-v3, v4 and arm64 (a * b + c is rounded twice here, by both executors). Use a processor "
    "with FMA where bits must match"
)


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Declare `teorell doctor` among the commands."""
    parser = commands.add_parser(
        "doctor",
        help="what this installation found, and what it will use",
        description="What this installation found on this machine, what it will use, and why.",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the findings. Returns 0, or 1 if the self-test failed; options: none are read."""
    findings = report()
    print(findings)
    return 1 if FAILED in findings else 0


def report() -> str:
    """The findings as text of at most 80 columns, one a line; warnings begin with 'warning:'."""
    lines: list[tuple[str, str]] = [
        ("teorell", f"{tl.__version__} in {Path(tl.__file__).parent}"),
        ("python", f"{platform.python_version()}, numpy {np.__version__}"),
        ("system", f"{platform.platform()}, {processor()}"),
    ]
    try:
        from teorell.engine import executors  # noqa: F401
    except ImportError as error:
        reason = " ".join(str(error).split())
        warnings = [
            f"the compiled core cannot be imported ({reason}). Install with pip install . in the "
            "clone"
        ]
    else:
        found, warnings = _engine()
        lines += [*found, ("cuda", cuda())]
    lines.append(("cache", cache()))
    lines.append(("llvmlite", version("llvmlite") or "not found"))
    for package, purpose in OPTIONAL.items():
        lines.append((package, f"{version(package) or 'not found'} ({purpose})"))
    return "\n".join([labelled(lines), *(wrapped(f"warning: {text}.", 9) for text in warnings)])


def _engine() -> tuple[list[tuple[str, str]], list[str]]:
    """What there is to know of the compiled core: labels with their texts, and warnings."""
    from teorell.engine import executors

    lines, warnings = [], []
    builds = {str(build["name"]): build for build in executors.instruction_sets()}
    asked = os.environ.get("TEORELL_ISA")
    chosen = asked or next(iter(builds))
    source = " (by TEORELL_ISA)" if asked else ""
    lines.append(
        ("instruction set", f"{chosen}{source}; this processor can run {', '.join(builds)}")
    )
    if chosen not in builds:
        warnings.append(f"TEORELL_ISA is {chosen!r} (this processor cannot run it). Unset it")
    else:
        width, other = (builds[chosen][f"{kind}_width"] for kind in ("register", "interpreter"))
        lines.append(("lanes", f"{count(width, 'patient')} a register, {other} interpreted"))
        if not builds[chosen]["fma"]:
            warnings.append(NO_FMA)
    kind, reason = executors.choose_executor()
    lines.append(("executor", f"{kind.replace('_', ' ')} ({reason})"))
    if kind == "interpreter":
        warnings.append(
            "models are interpreted, at half the speed or less. pip install 'llvmlite>=0.46'"
        )
    lines.append(("threads", f"{executors.available_threads()} by default; {affinity()}"))
    lines.append(("self-test", self_test(kind) if chosen in builds else "not run"))
    return lines, warnings


def self_test(kind: str) -> str:
    """Runs a small model with the executor `kind` and the interpreter; the truth is known."""
    model = tl.Model("self-test")
    k = model.parameter("k", 0.5, unit="1/h")
    amount = model.state("amount")
    model.flow(amount, None, k * amount)
    rates = np.linspace(0.1, 2.0, 20)
    dose = tl.Regimen.bolus(1.0, into="amount")
    try:
        runs = [
            tl.simulate(model, {"k": rates}, dose, [0.0, 1.0], rtol=1e-9, executor=executor)
            for executor in dict.fromkeys([kind, "interpreter"])
        ]
    except Exception as problem:  # whatever it is: this is what doctor is there to find
        return f"{FAILED}: {type(problem).__name__}: {' '.join(str(problem).split())}"
    error = float(np.abs(runs[0].values[:, 1, 0] / np.exp(-rates) - 1.0).max())
    if not error < 1e-6:
        return f"{FAILED}: the error of exponential decay is {error:.1e}"
    if any(not np.array_equal(run.values, runs[0].values) for run in runs):
        return f"{FAILED}: the two executors give different bits"
    return f"passed, error {error:.0e}" + (
        ", both executors give the same bits" if len(runs) > 1 else ""
    )


def cache() -> str:
    """Where compiled models are kept, and how many; or why they are not."""
    from teorell.engine import object_cache

    refusal = object_cache.refusal()
    state = f", not used ({refusal}): models are compiled anew in each process" if refusal else ""
    folder = object_cache.folder()
    if folder is None:
        return f"none{state}"
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        sizes = []
    else:
        sizes = [size for _, size, _ in object_cache.entries(handle)]
        os.close(handle)
    return f"{folder}, {count(len(sizes), 'compiled model')}, {sum(sizes) / 1e6:.1f} MB{state}"


def cuda() -> str:
    """What there is of CUDA, and why it is not used where it is not."""
    from teorell.device import devices

    try:
        return devices.describe()
    except Exception as problem:  # of a driver: no reason for doctor to end
        return f"not used: {type(problem).__name__}: {' '.join(str(problem).split())}"


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
