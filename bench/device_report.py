"""What bench/device.py says of its figures: the device and its clocks, a table, a picture."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from teorell import benchmark
from teorell.device import compiler
from teorell.device.devices import Device

__all__ = ["draw", "label", "written"]

AIMS = {("A", "forward"): 1e6, ("B", "forward"): 250e3}  # patients/s on an H100 or H200


def clocks() -> str:
    """As NVIDIA's own program tells them."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return "clocks not known (nvidia-smi is not here)"
    fields = "clocks.sm,clocks.max.sm,clocks.mem,driver_version"
    told = subprocess.run(
        [program, f"--query-gpu={fields}", "--format=csv,noheader"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return f"{fields}: {told.stdout.strip() or told.stderr.strip()}"


def label(device: Device) -> str:
    driver = device.driver
    return (
        f"{driver.device_name(device.number)} ({device.architecture}, "
        f"{driver.multiprocessors(device.number)} multiprocessors), driver for CUDA "
        f"{driver.version() // 1000}.{driver.version() % 1000 // 10}, NVRTC "
        f"{'.'.join(map(str, compiler.compiler_version()))}; {clocks()}; "
        f"{benchmark.describe_machine()}"
    )


def written(rows: list[dict[str, Any]]) -> str:
    """A table in Markdown."""
    if not rows:
        return "nothing\n"
    names = list(dict.fromkeys(name for row in rows for name in row))

    def cell(value: Any) -> str:
        if isinstance(value, float):
            return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
        return f"{value:,}" if isinstance(value, int) else str(value)

    lines = [names, ["---"] * len(names), *([cell(row.get(n, "")) for n in names] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def draw(rows: list[dict[str, Any]], title: str, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = list(dict.fromkeys((row["model"], row["what"]) for row in rows))
    figure, axes = pyplot.subplots(1, len(shown), figsize=(4.5 * len(shown), 4.5), squeeze=False)
    for axis, (model, what) in zip(axes[0], shown, strict=True):
        of_panel = [row for row in rows if (row["model"], row["what"]) == (model, what)]
        for where in dict.fromkeys(row["where"] for row in of_panel):
            line = [row for row in of_panel if row["where"] == where]
            axis.loglog(
                [row["patients"] for row in line], [row["patients/s"] for row in line], "o-",
                label=where,
            )  # fmt: skip
        if (model, what) in AIMS:
            axis.axhline(AIMS[model, what], color="grey", ls=":", label="aim (H100, H200)")
        axis.set(title=f"{model}, {what}", xlabel="patients of a call", ylabel="patients/s")
        axis.legend(fontsize=7)
    figure.suptitle(title, fontsize=7, wrap=True)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    pyplot.close(figure)
