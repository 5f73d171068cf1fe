"""The rule of arrows, from the imports themselves: who may import whom, and which packages.

A wing is a folder of python/teorell or one of its front doors; all other files beside the wings are
the ground. The table of docs/architecture.md gives each wing its floor: a wing imports lower floors
alone. Imports inside functions count, and so do those for annotations where they lead to another
wing. Nothing here lists files.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest
from folders import ROOT

PACKAGE = ROOT / "python" / "teorell"
PAGE = ROOT / "docs" / "architecture.md"
GROUND = "ground"

# These decide what a user must have, and what waits for the import of torch: a wing, or a file.
KEPT = {
    "_core": ("engine", "doctor"),
    "llvmlite": ("engine", "doctor"),
    "torch": (
        "derivatives",
        "nn",
        "constraints/autograd.py",
        "constraints/autograd_implicit.py",
        "constraints/autograd_projection.py",
        "learn",
    ),
}


class Import(NamedTuple):
    """`to`: a file of the package, or another package by its name; `_core` is one of these."""

    path: Path
    to: Path | str
    when: str  # "top", "call" inside a function, "types" for annotations alone


class Row(NamedTuple):
    floor: int
    packages: frozenset[str]


def imports_of(path: Path, package: Path) -> frozenset[Import]:
    """Every import of a file, also of names given to importlib.import_module."""
    return read_imports(path, package, path.read_text(encoding="utf-8"))


@cache
def read_imports(path: Path, package: Path, text: str) -> frozenset[Import]:
    found: set[Import] = set()
    here = [package.name, *path.relative_to(package).parent.parts]
    for node, when in walk(ast.parse(text)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            prefix = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{prefix}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and name_of(node.func) == "import_module":
            names = [str(given.value) for given in node.args[:1] if isinstance(given, ast.Constant)]
        found |= {Import(path, target(name, package), when) for name in names}
    return frozenset(found)


def name_of(node: ast.AST) -> str:
    """`c` of the expressions `c` and `a.b.c`."""
    return str(getattr(node, "attr", getattr(node, "id", "")))


def walk(node: ast.AST, when: str = "top") -> Iterator[tuple[ast.AST, str]]:
    """All nodes, and when each of them runs."""
    types = node.body if isinstance(node, ast.If) and name_of(node.test) == "TYPE_CHECKING" else []
    for child in ast.iter_child_nodes(node):
        inner = "types" if child in types else when
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            inner = "call" if inner == "top" else inner
        yield child, inner
        yield from walk(child, inner)


def target(name: str, package: Path) -> Path | str:
    """The file that `import name` or `from ... import name` leads to."""
    first, *rest = name.split(".")
    if first != package.name:
        return first
    if rest[:1] == ["_core"]:
        return "_core"
    for length in range(len(rest), -1, -1):  # the longest part that is a module
        place = package.joinpath(*rest[:length])
        if length and place.with_suffix(".py").is_file():
            return place.with_suffix(".py")
        if (place / "__init__.py").is_file():
            return place / "__init__.py"
    raise AssertionError(f"{name} is nowhere in {package}")


def table(page: str) -> dict[str, Row]:
    """wing -> its row in the table of wings: `| floor | wing | what | packages |`."""
    rows = re.findall(r"^\| (\d+) \| `?(\w+)(?:/|\.py)?`? \|.*\|([^|]*)\|$", page, re.MULTILINE)
    return {
        wing: Row(int(floor), frozenset(re.findall(r"`([\w.]+)`", packages)))
        for floor, wing, packages in rows
    }


def wing_of(path: Path, package: Path, wings: Mapping[str, Row]) -> str:
    """A folder, a front door by its name, or the ground."""
    parts = path.relative_to(package).with_suffix("").parts
    return parts[0] if len(parts) > 1 or parts[0] in wings else GROUND


def upward(package: Path, wings: Mapping[str, Row]) -> list[str]:
    """Imports of another wing on the same floor, or a higher one."""
    wrong = []
    for path in sorted(package.rglob("*.py")):
        mine = wing_of(path, package, wings)
        if mine not in wings:
            wrong.append(f"{mine}/ is not in the table of wings of {PAGE.name}")
            continue
        for one in imports_of(path, package):
            if isinstance(one.to, str):
                continue
            other = wing_of(one.to, package, wings)
            if other != mine and wings[other].floor >= wings[mine].floor:
                names = [str(each.relative_to(package)) for each in (path, one.to)]
                wrong.append(f"{names[0]} imports {names[1]} ({one.when})")
    return sorted(set(wrong))


def circle(package: Path, wings: Mapping[str, Row]) -> list[str]:
    """Files that import each other in a circle, in one wing; imports for annotations apart."""
    graph: dict[Path, set[Path]] = {}
    for path in sorted(package.rglob("*.py")):
        graph[path] = {
            one.to
            for one in imports_of(path, package)
            if isinstance(one.to, Path) and one.to != path and one.when != "types"
            if wing_of(one.to, package, wings) == wing_of(path, package, wings)
        }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [str(path.relative_to(package)) for path in error.args[1]]
    return []


def packages_of(package: Path) -> list[Import]:
    """Imports of what is neither Python's, nor NumPy, nor a file of the package."""
    known = {*sys.stdlib_module_names, "numpy"}
    return [
        one
        for path in sorted(package.rglob("*.py"))
        for one in imports_of(path, package)
        if isinstance(one.to, str) and one.to not in known
    ]


WINGS = table(PAGE.read_text(encoding="utf-8"))


def test_the_table_has_every_wing() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    doors = {name for name in WINGS if (PACKAGE / f"{name}.py").is_file()}
    assert WINGS.keys() - {GROUND} == folders | doors
    assert not folders & doors
    assert [row.floor for row in WINGS.values()] == sorted(row.floor for row in WINGS.values())


def test_arrows_point_down() -> None:
    wrong = upward(PACKAGE, WINGS)
    assert not wrong, "\n".join(wrong)


def test_no_circle_inside_a_wing() -> None:
    files = circle(PACKAGE, WINGS)
    assert not files, " -> ".join(files)


@pytest.mark.parametrize("name", KEPT)
def test_where_this_package_may_be_imported(name: str) -> None:
    for one in packages_of(PACKAGE):
        if one.to == name:
            place = one.path.relative_to(PACKAGE)
            assert {place.as_posix(), place.with_suffix("").parts[0]} & {*KEPT[name]}, place


def test_other_packages_are_those_of_the_table() -> None:
    found: dict[str, set[str]] = {wing: set() for wing in WINGS}
    for one in packages_of(PACKAGE):
        found[wing_of(one.path, PACKAGE, WINGS)].add(str(one.to))
    assert found == {wing: {*row.packages} for wing, row in WINGS.items()}


def test_what_need_not_be_installed_is_imported_inside_functions() -> None:
    own = ("_core", "torch")  # files that import torch are imported when a tensor comes
    early = [
        f"{one.path.relative_to(PACKAGE)} imports {one.to}"
        for one in packages_of(PACKAGE)
        if one.when == "top" and one.to not in own
    ]
    assert not early, "\n".join(early)


def test_doors_lead_to_modules() -> None:
    """Where modules stood before: nothing stands there now, and what is named is there."""
    from teorell.moved import MOVED

    for old, new in MOVED.items():
        assert not (PACKAGE / f"{old}.py").exists(), old
        for name in new:
            assert isinstance(target(f"teorell.{name}", PACKAGE), Path)
            assert PACKAGE.joinpath(*name.split(".")).with_suffix(".py").is_file(), name


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A package of two floors, with a file for each way to import."""
    package = tmp_path / "house"
    for name, text in {
        "__init__.py": "from house.high.shelf import book\n",
        "stone.py": "import math\n",
        "low/__init__.py": "",
        "low/table.py": "from house import stone\n",
        "low/chair.py": "def sit():\n    from house.low.table import lay\n",
        "high/__init__.py": "",
        "high/shelf.py": "from house.low import table, chair\nbook = 1\n",
    }.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    return package


HOUSE = "| 0 | ground | | |\n| 1 | `low/` | | |\n| 2 | `high/` | | |\n| 3 | `__init__.py` | | |\n"


@pytest.mark.parametrize(
    ("name", "text", "wrong"),
    [
        ("low/chair.py", "import house.high.shelf", "(top)"),
        ("low/chair.py", "def sit():\n    from house.high import shelf", "(call)"),
        ("low/chair.py", "def sit():\n    from house import high", "(call)"),
        ("low/chair.py", "if TYPE_CHECKING:\n    from house.high.shelf import book", "(types)"),
        ("low/chair.py", "from ..high import shelf", "(top)"),
        ("low/chair.py", "import_module('house.high.shelf')", "(top)"),
        ("low/chair.py", "from house import book", "low/chair.py imports __init__.py (top)"),
        ("stone.py", "from house.low import table", "stone.py imports low/table.py (top)"),
        ("attic/box.py", "", "attic/ is not in the table"),
    ],
)
def test_an_arrow_upward_is_found(house: Path, name: str, text: str, wrong: str) -> None:
    wings = table(HOUSE)
    assert upward(house, wings) == []
    (house / name).parent.mkdir(exist_ok=True)
    (house / name).write_text(text)
    (found,) = upward(house, wings)
    assert wrong in found


@pytest.mark.parametrize(
    ("name", "text", "length"),
    [
        ("low/table.py", "from house.low import chair", 3),
        ("low/table.py", "def lay():\n    from house.low import chair", 3),
        ("low/__init__.py", "from house.low import chair\nfrom house.low.chair import sit", 0),
        ("low/table.py", "if TYPE_CHECKING:\n    from house.low import chair", 0),
    ],
)
def test_a_circle_is_found(house: Path, name: str, text: str, length: int) -> None:
    (house / name).write_text(text)
    assert len(circle(house, table(HOUSE))) == length
