"""What the package is made of: how fast it imports, how its errors are worded, what the extension
links and defines, what is said of it. Who may import whom is in test_arrows.py.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest
from folders import ROOT

PACKAGE = ROOT / "python" / "teorell"


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


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
                # what was wrong, after the place in a model or a file
                passed_on = re.fullmatch(r"(X(, line X)?: )?X", message)
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


def declared(name: str, path: str = "pyproject.toml") -> str:
    """A text that a file declares at the start of a line."""
    found = re.search(
        rf'^{name}(?: =|:) *"?([^"\n]+)"?$', (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE
    )
    assert found is not None, f"{path} has no {name}"
    return found[1]


def test_the_citation_is_that_of_this_version() -> None:
    for name in ("version", "license"):
        assert declared(name, "CITATION.cff") == declared(name)
    assert declared("cff-version", "CITATION.cff") == "1.2.0"
    citation, project = (
        (ROOT / path).read_text(encoding="utf-8") for path in ("CITATION.cff", "pyproject.toml")
    )
    (authors,) = re.findall(r'^authors = \[{ name = "(.*)" }\]$', project, re.MULTILINE)
    assert re.findall(r"^  - name: (.*)$", citation, re.MULTILINE) == [authors]


def test_the_page_of_a_package_index_links_to_no_file() -> None:
    page = (ROOT / declared("readme")).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]*)\)|(?:src|href)=[\"']([^\"']*)", page)
    assert [link for link in links if not "".join(link).startswith("https://")] == []


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
