"""What the package is made of: who may import whom, how fast it imports, what the extension links
and defines.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "python" / "teorell"

# A module may import those of lower ranks and, within a subpackage, its siblings
# (docs/architecture.md, Data flow).
RANKS = [
    {"eager", "errors", "object_cache", "progress"},
    {"graph", "covariates"},
    {"reading", "simplify"},
    {"calculus", "ufuncs"},
    {"expression"},
    {"declarations"},
    {"equations"},
    {"balance", "parameters"},
    {"description", "dose_table"},
    {"dosing_rules", "fixed_point", "model", "record_times", "samples"},
    {"lowering", "reductions"},
    {"lowered", "vector_ir"},
    {"adjoint_code", "tangent_code"},
    {"machine_code"},
    {"events"},
    {"solve"},
    {"column_code", "event_derivatives", "failures", "losses", "options"},
    {"flows", "regimen", "solution"},
    {"steady_state"},
    {"run"},
    {"problem"},
    {"autograd", "gradient"},
    {"autograd_compiled"},
    {"simulate"},
    {"differentiate", "nn"},
    {"constraints", "event_columns", "nca", "pbpk", "plot"},
    {"event_table", "manifest"},
    {"fitting"},
    {"population", "stores"},
    {"chunks"},
    {"streaming"},
    {"__init__"},
    {"reference_models"},
    {"doctor"},
    {"benchmark"},
    {"__main__", "cli"},
]
# Imports inside a function that point up: conveniences of a class whose work is done above it.
UPWARD = {("graph", "reading"), ("graph", "ufuncs"), ("solution", "nca"), ("solution", "plot")}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def top_name(path: Path) -> str:
    """`lowering/program.py` -> lowering, `model.py` -> model."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def walk(node: ast.AST, inside_function: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Every node that runs (not imports for annotations alone), and whether only when a function is
    called.
    """
    for child in ast.iter_child_nodes(node):
        if is_type_checking(child):
            continue
        inner = inside_function or isinstance(
            child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
        )
        yield child, inner
        yield from walk(child, inner)


def imports(path: Path) -> list[tuple[str, bool]]:
    """Absolute dotted names that the module imports, with whether inside a function."""
    package = ["teorell", *path.relative_to(PACKAGE).parent.parts]
    found = []
    for node, lazy in walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, lazy) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            prefix = ".".join([*base, *([node.module] if node.module else [])])
            # `from . import a` names modules, `from .a import b` names things in one.
            if prefix == "teorell":
                found += [(f"{prefix}.{alias.name}", lazy) for alias in node.names]
            else:
                found.append((prefix, lazy))
    return found


def test_dependencies_point_one_way() -> None:
    rank = {name: i for i, names in enumerate(RANKS) for name in names}
    wrong = []
    for path in modules():
        importer = top_name(path)
        assert importer in rank, (
            f"{path.name} has no rank: place it in RANKS of {Path(__file__).name}"
        )
        for name, lazy in imports(path):
            parts = name.split(".")
            if parts[0] != "teorell" or len(parts) < 2 or parts[1] in (importer, "_core"):
                continue
            imported = parts[1] if parts[1] in rank else "__init__"
            if rank[imported] >= rank[importer] and not (lazy and (importer, imported) in UPWARD):
                wrong.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert not wrong, "\n".join(wrong)


def importers_of(library: str) -> set[str]:
    return {
        str(path.relative_to(PACKAGE))
        for path in modules()
        for name, _ in imports(path)
        if name == library or name.startswith(library + ".")
    }


def test_the_extension_has_two_importers() -> None:
    assert importers_of("teorell._core") <= {"column_code.py", "solve.py"}


def test_torch_stays_where_it_belongs() -> None:
    places = ("autograd", "constraints/autograd", "nn", "learn/")
    assert {name for name in importers_of("torch") if not name.startswith(places)} == set()


def spelled(message: ast.expr) -> str:
    """The text of a literal; X stands for what is computed."""
    if isinstance(message, ast.Constant):
        return str(message.value)
    if isinstance(message, ast.JoinedStr):
        return "".join(
            spelled(part) if isinstance(part, ast.Constant) else "X" for part in message.values
        )
    return "X"


def test_errors_have_one_grammar() -> None:
    """problem (reason). Remedy."""
    wrong = []
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if not (
                isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args
            ):
                continue
            if ast.unparse(node.exc.func) in ("ModelError", "InputError", "TypeError"):
                message = spelled(node.exc.args[0])
                passed_on = message == "X: X"  # the place in a model, and what was wrong there
                if not passed_on and not re.fullmatch(r".+ \(.+\)\. .*[.?X]", message):
                    wrong.append(f"{path.relative_to(PACKAGE)}:{node.lineno}: {message}")
    assert not wrong, "\n".join(wrong)


def python(code: str, *options: str) -> str:
    result = subprocess.run(
        [sys.executable, *options, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_import_is_light() -> None:
    heavy = [
        "teorell._core",
        "teorell.lowering",
        "cupy",
        "llvmlite",
        "matplotlib",
        "pandas",
        "scipy",
        "torch",
        "xarray",
    ]
    loaded = python(f"import sys, teorell; print([m for m in {heavy} if m in sys.modules])")
    assert loaded.strip() == "[]"


def test_import_is_fast() -> None:
    # Processor time, the least of five: other work on the machine is not ours.
    code = "import time; t = time.process_time(); import teorell; print(time.process_time() - t)"
    assert min(float(python(code)) for _ in range(5)) < 0.2


@pytest.fixture(scope="module")
def extension() -> Path:
    import teorell

    found = [
        path
        for folder in teorell.__path__
        for suffix in EXTENSION_SUFFIXES
        for path in Path(folder).glob(f"_core*{suffix}")
    ]
    if not found:  # an editable install keeps it elsewhere
        import importlib.util

        spec = importlib.util.find_spec("teorell._core")
        assert spec is not None
        assert spec.origin is not None
        found = [Path(spec.origin)]
    return found[0]


def test_the_extension_lies_beside_the_package(extension: Path) -> None:
    from importlib.metadata import version

    import teorell

    assert extension.is_file()
    assert (PACKAGE / "py.typed").is_file()
    assert (PACKAGE / "_core.pyi").is_file()
    assert teorell.__version__ == version("teorell")


def test_no_libtorch_and_no_openmp(extension: Path) -> None:
    contents = extension.read_bytes()
    for library in [
        b"libtorch",
        b"libc10",
        b"libgomp",
        b"libomp",
        b"libiomp",
        b"GOMP_",
        b"__kmpc_",
    ]:
        assert library not in contents, f"{extension.name} needs {library.decode()}"


@pytest.mark.skipif(sys.platform != "linux", reason="reads ELF symbols")
def test_the_extension_exports_only_its_entry(extension: Path) -> None:
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("NOT RUN: needs nm of the binutils")
    listing = subprocess.run(
        [nm, "-D", "--defined-only", extension], capture_output=True, text=True, check=True
    ).stdout
    exported = {line.split()[-1] for line in listing.splitlines()}
    ours = {name for name in exported if "teorell" in name}
    assert "PyInit__core" in exported
    assert not ours, f"visible outside the extension: {sorted(ours)}"


def instruction_set_objects() -> list[Path]:
    """Objects of cpp/src/isa.cpp that the newest `pip install .` left in build/ (pyproject.toml:
    build-dir).
    """
    objects = sorted((ROOT / "build").glob("*/CMakeFiles/teorell_isa_*.dir/**/isa.cpp.o"))
    newest: dict[str, Path] = {}
    for path in objects:
        name = re.search(r"teorell_isa_(\w+)\.dir", str(path))
        assert name is not None
        if name[1] not in newest or path.stat().st_mtime > newest[name[1]].stat().st_mtime:
            newest[name[1]] = path
    return list(newest.values())


@pytest.mark.skipif(sys.platform != "linux", reason="reads ELF symbols")
def test_instruction_sets_share_no_weak_symbols() -> None:
    """The linker keeps one copy of a weak symbol: were it the AVX-512 one, v2 would crash on old
    processors.
    """
    objects = instruction_set_objects()
    if not objects or shutil.which("nm") is None:
        pytest.skip(
            "NOT RUN: needs nm, and the objects that `pip install .` from this checkout leaves in "
            "build/"
        )
    if os.uname().machine == "x86_64":
        assert len(objects) == 3, objects
    for path in objects:
        isa = re.search(r"teorell_isa_(\w+)\.dir", str(path))
        assert isa is not None
        listing = subprocess.run(
            ["nm", "-C", "--defined-only", path], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        # "<address> <kind> <name>"; W, V, u: may be merged with a symbol of the same name elsewhere
        weak = [line.split(maxsplit=2) for line in listing]
        shared = [
            name for _, kind, name in weak if kind in "WVu" and f"teorell::{isa[1]}::" not in name
        ]
        # GCC's marker of the personality routine is data without code.
        shared = [name for name in shared if not name.startswith("DW.ref.")]
        assert not shared, f"{path.name} ({isa[1]}) shares with the other builds:\n" + "\n".join(
            shared
        )
