"""What the kernels of a device take of it, as the compiler says: python bench/device_kernels.py

Compiles the kernels of the interpreter, those of teams and those of emitted models (A, B, 110 and
225 states) for real architectures, by NVRTC or with --compiler nvcc, and prints registers, stack,
spills and shared memory of each, the bytes of its code and the processor time of its compilation.
No device is needed. --write FILE keeps the table; --check FILE fails where kernels that serve all
models spill registers, and where a figure is worse than the table's of the same compiler and
version.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import compile_time
import teorell as tl
from teorell.benchmark import reference_models
from teorell.device import compiler
from teorell.device.emitted import emitted
from teorell.device.executor import TEXT, kernel_of
from teorell.device.source import include_folders
from teorell.device.teams import TEXT_OF_TEAMS, kernel_of_teams
from teorell.lowering import lower

MODELS = ("A", "B", "110 states", "225 states")
# kernel -> function, types of its arguments before Launch, programs that it needs
KERNELS = {
    "solve": ("solve_patients", "Programs, Batch", None),
    "gradient": ("pull_patients_back", "Programs, Batch, Gradient", "vjp"),
    "tangents": ("push_patients_forward", "Programs, Batch, Tangents", "jvp"),
}
OF_TEAMS = ("solve", "gradient")  # which teams have too
COLUMN_KERNELS = {
    "map": ("map_patients", "ColumnProgram, Columns"),
    "project": ("project_patients", "ColumnProgram, Columns, Constraints, Projected"),
}
KEY = ("compiler", "architecture", "executor", "model", "kernel")
WORSE = ("registers", "stack", "spill_stores", "spill_loads", "shared")


class Kernel(NamedTuple):
    """One kernel to compile: where its figures stand, and the text that has it."""

    executor: str
    model: str  # "" for the interpreter and for teams, which serve all
    kernel: str
    text: str
    name: str  # as C++ names it
    arguments: str  # types of its arguments


def very_large_model() -> tl.Model:
    """A drug and four metabolites, one made of the other in the liver, in fourteen organs of three
    spaces, blood, and a gut of five segments: 225 states. It resembles no real drug.
    """
    model = tl.Model("five compounds")
    organs = [f"organ{k}" for k in range(14)]
    volume = {o: model.parameter(f"V_{o}", 0.5 + 2.0 * k, unit="L") for k, o in enumerate(organs)}
    flow = {o: model.parameter(f"Q_{o}", 5.0 + 4.0 * k, unit="L/h") for k, o in enumerate(organs)}
    v_art, v_ven = model.parameters(V_arterial=1.8, V_venous=3.7)
    total = sum(flow.values(), start=0.0 * v_art)
    km, transit = model.parameters(Km=0.08, transit=2.5)
    places = ("arterial", "venous")
    liver, entry = [], None
    for c in range(5):
        fu, wall = model.parameters(**{f"fu{c}": 0.1 * (c + 1), f"wall{c}": 200.0 / (c + 1)})
        art, ven = model.states(*(f"c{c}_{place}" for place in places))
        for k, o in enumerate(organs):
            kp = model.parameter(f"Kp_{o}_{c}", 1.0 + 0.3 * k + c)
            blood, between, inside = model.states(*(f"c{c}_{o}_{space}" for space in "vic"))
            in_blood, in_between = blood / (0.1 * volume[o]), between / (0.2 * volume[o])
            in_cells = inside / (0.7 * volume[o] * kp)
            model.flow(art, blood, flow[o] * art / v_art)
            model.flow(blood, ven, flow[o] * in_blood)
            model.flow(blood, between, wall * volume[o] * fu * (in_blood - in_between))
            model.flow(between, inside, 0.1 * wall * volume[o] * fu * (in_between - in_cells))
            if k == 3:
                liver.append((inside, fu * in_cells))
            if c == 0 and k == 5:
                entry = inside
        model.flow(ven, art, total * ven / v_ven)
        model.output(f"cp{c}", ven / v_ven)
    for c, ((inside, unbound), (made, _)) in enumerate(pairwise(liver)):
        vmax = model.parameter(f"Vmax{c}", 20.0 / (c + 1))
        model.flow(inside, made, vmax * unbound / (km + unbound))
    assert entry is not None
    segments = model.states(*(f"segment{k}" for k in range(5)))
    for segment, after in zip(segments, (*segments[1:], entry), strict=True):
        model.flow(segment, after, transit * segment)
    assert len(model.state_names) == 225, len(model.state_names)
    return model


def model_of(name: str) -> tl.Model:
    made = {
        "A": reference_models.problem_a,
        "B": reference_models.problem_b,
        "110 states": compile_time.large_model,
        "225 states": very_large_model,
    }
    return made[name]()


def kernels(models: list[str], names: list[str]) -> Iterator[Kernel]:
    """Those of the interpreter, of teams, then those of each model."""
    for name in names:
        if name in COLUMN_KERNELS:
            function, arguments = COLUMN_KERNELS[name]
            whole = f"teorell::{function}<teorell::ColumnInterpreter>"
            yield Kernel("interpreter", "", name, TEXT, whole, arguments)
        else:
            function, arguments, _ = KERNELS[name]
            whole = kernel_of("rodas5p", function)
            yield Kernel("interpreter", "", name, TEXT, whole, arguments)
    for name in names:
        if name in OF_TEAMS:
            function, arguments, _ = KERNELS[name]
            whole = kernel_of_teams(function, "rodas5p", shared=True)
            yield Kernel("team", "", name, TEXT_OF_TEAMS, whole, f"{arguments}, TeamWords")
    for model in models:
        made = model_of(model)
        for name in names:
            if name in KERNELS:
                function, arguments, derivatives = KERNELS[name]
                text = TEXT + emitted(lower(made, derivatives=derivatives), "rodas5p")
                whole = kernel_of("rodas5p", function, "machine_code")
                yield Kernel("emitted", model, name, text, whole, arguments)


def by_nvrtc(kernel: Kernel, architecture: str) -> tuple[compiler.Usage, int]:
    found = compiler.compile_kernels(kernel.text, [kernel.name], architecture)
    return found.usage[kernel.name], len(found.code)


def by_nvcc(kernel: Kernel, architecture: str) -> tuple[compiler.Usage, int]:
    views = f"{kernel.arguments}, Launch".split(", ")
    arguments = ", ".join(f"const __grid_constant__ teorell::{each}" for each in views)
    asked = f"template __global__ void {kernel.name}({arguments});\n"
    with tempfile.TemporaryDirectory() as folder:
        source, code = Path(folder, "solve.cu"), Path(folder, "solve.cubin")
        source.write_text(kernel.text + asked)
        done = subprocess.run(
            [
                "nvcc", "-std=c++17", f"-arch={architecture}", "--fmad=false",
                "--expt-relaxed-constexpr", "-Werror", "all-warnings", "-Xptxas", "-v", "-cubin",
                *(f"-I{path}" for path in include_folders()), source, "-o", code,
            ],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(done.stderr[-4000:])
        (usage,) = compiler.usage_of(done.stderr).values()
        return usage, code.stat().st_size


def version(name: str) -> str:
    if name == "nvrtc":
        return "nvrtc {}.{}".format(*compiler.compiler_version())
    told = subprocess.run(["nvcc", "--version"], capture_output=True, text=True, check=True)
    return f"nvcc {told.stdout.split('release ')[1].split(',')[0]}"


def processor_time() -> float:
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, who))


def complaints(row: dict[str, Any], known: dict[str, Any] | None) -> list[str]:
    """Why the row of a kernel does not pass."""
    found = []
    if row["model"] == "" and row["spill_stores"] + row["spill_loads"] > 0:
        found.append("a kernel that serves all models spills registers")
    if known is not None:
        found += [
            f"{field} {row[field]}, was {known[field]}"
            for field in WORSE
            if row[field] > known[field]
        ]
    return found


def key_of(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(
        row[field] for field in ("compiler", "architecture", "executor", "model", "kernel")
    )


def table_of(file: Path) -> dict[tuple[str, ...], dict[str, Any]]:
    return {key_of(row): row for row in json.loads(file.read_text())} if file.exists() else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--compiler", choices=["nvrtc", "nvcc"], default="nvrtc")
    parser.add_argument("--architectures", nargs="+", default=["sm_80", "sm_90", "sm_100"])
    parser.add_argument("--models", nargs="*", choices=MODELS, default=list(MODELS))
    parser.add_argument(
        "--kernels", nargs="+", choices=[*KERNELS, *COLUMN_KERNELS],
        default=[*KERNELS, *COLUMN_KERNELS],
    )  # fmt: skip
    parser.add_argument("--write", type=Path, help="add the figures to this table")
    parser.add_argument("--check", type=Path, help="compare them with this table")
    options = parser.parse_args()
    compile_by, name = (
        {"nvrtc": by_nvrtc, "nvcc": by_nvcc}[options.compiler],
        version(options.compiler),
    )
    known = table_of(options.check) if options.check else {}
    failed = 0
    print(f"{name}; seconds are of the processor\n")
    print(
        f"{'architecture':13}{'executor':13}{'model':12}{'kernel':10}{'registers':>10}{'stack':>7}"
        f"{'spills':>12}{'shared':>8}{'code':>10}{'seconds':>9}"
    )
    for kernel in kernels(options.models, options.kernels):
        for architecture in options.architectures:
            start = processor_time()
            usage, size = compile_by(kernel, architecture)
            row = {
                "compiler": name, "architecture": architecture, "executor": kernel.executor,
                "model": kernel.model, "kernel": kernel.kernel, **asdict(usage), "bytes": size,
                "seconds": round(processor_time() - start, 1),
            }  # fmt: skip
            spills = f"{row['spill_stores']}+{row['spill_loads']}"
            print(
                f"{architecture:13}{kernel.executor:13}{kernel.model:12}{kernel.kernel:10}"
                f"{row['registers']:10}{row['stack']:7}{spills:>12}{row['shared']:8}{size:10}"
                f"{row['seconds']:9}",
                flush=True,
            )
            wrong = complaints(row, known.get(key_of(row)))
            failed += bool(wrong)
            for each in wrong:
                print(f"    WORSE: {each}")
            if options.check and key_of(row) not in known:
                print(f"    not in {options.check.name} (of this compiler): nothing to compare")
            if options.write:
                table = table_of(options.write) | {key_of(row): row}
                rows = [json.dumps(table[key]) for key in sorted(table)]
                options.write.write_text("[\n" + ",\n".join(rows) + "\n]\n")
    if failed:
        raise SystemExit(f"{failed} kernels take more than before, or spill.")


if __name__ == "__main__":
    main()
