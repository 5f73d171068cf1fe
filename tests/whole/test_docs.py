"""What README.md and docs/ show is what happens: their Python runs without a warning, their tables
match the code.

The ```python blocks of one page share a namespace, in order; `<!-- not run -->` before a block
leaves it out. A ```text block right after a ```python block is what that prints, where ... stands
for anything.
"""

from __future__ import annotations

import contextlib
import doctest
import importlib
import io
import re
import subprocess
import warnings
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import teorell as tl
from folders import ROOT
from teorell.lowering import PROGRAMS, SCALARS, Layout, Op

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(
    r"(?P<skip><!-- not run -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    language: str
    text: str
    line: int  # of its first line of text in the page, from 0
    skipped: bool
    follows: bool  # nothing but white space between it and the block before


def blocks(page: str) -> list[Block]:
    found, end = [], 0
    for fence in FENCE.finditer(page):
        line, follows = (
            page.count("\n", 0, fence.start("text")),
            not page[end : fence.start()].strip(),
        )
        found.append(
            Block(fence["language"], fence["text"], line, fence["skip"] is not None, follows)
        )
        end = fence.end()
    return found


def test_what_is_run() -> None:
    page = (
        "```python\na\n```\n\n```text\n1\n```\nwords\n<!-- not run "
        "-->\n```python\nb\n```\n```text\n2\n```\n"
    )
    assert [tuple(block) for block in blocks(page)] == [
        ("python", "a\n", 1, False, True), ("text", "1\n", 5, False, True), ("python", "b\n", 10,
        True, False), ("text", "2\n", 13, False, True),
    ]  # fmt: skip


@pytest.mark.parametrize("path", PAGES, ids=[path.name for path in PAGES])
def test_python_of(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    space: dict[str, Any] = {"__name__": path.stem}
    printed: str | None = None
    for block in blocks(path.read_text(encoding="utf-8")):
        if block.language == "text" and block.follows and printed is not None:
            same = doctest.OutputChecker().check_output(block.text, printed, doctest.ELLIPSIS)
            assert same, (
                f"{path.name}, line {block.line + 1} shows\n{block.text}\nbut this is "
                f"printed:\n{printed}"
            )
        printed = None
        if block.language == "python" and not block.skipped:
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()) as output:
                warnings.simplefilter("error")
                # tracebacks name the line
                exec(compile("\n" * block.line + block.text, str(path), "exec"), space)
            printed = output.getvalue()


def test_readme_has_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = [block.text for block in blocks(readme) if block.language == "bash"]
    assert commands == [
        "pip install '.[plot,frames]' && teorell simulate theophylline\n",
        "pip install '.[test]' -c constraints.txt && pytest -n 2\n",
    ]


@pytest.mark.parametrize("path", PAGES, ids=[path.name for path in PAGES])
def test_links_of(path: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8"))
    assert not [link for link in links if not (path.parent / link).exists()]


def files_of_map(page: str) -> set[str]:
    """Paths: the folder in the heading, the names before the colon."""
    found = set()
    for part in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        folder = re.match(r"`([\w./]+/)`\n", part)
        assert folder is not None, part.split("\n", 1)[0]
        for names in re.findall(r"^- (`[^:]+`): ", part, re.MULTILINE):
            found |= {folder[1] + name for name in re.findall(r"`([^`]+)`", names)}
    return found


def files(*options: str) -> list[str]:
    """Those of the repository; with options of git ls-files also others."""
    git = subprocess.run(
        ["git", "ls-files", *options], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if git.returncode != 0:
        pytest.skip("NOT RUN: needs a git checkout")
    return [path for path in git.stdout.splitlines() if (ROOT / path).is_file()]


def test_the_map_names_every_file() -> None:
    folders = ("python/teorell/", "cpp/", "cuda/", "bench/", "tests/", "examples/", ".ci/")
    left_out = ("py.typed", "README.md", "CMakeLists.txt", "arm64.cmake")
    there = {
        path
        for path in files()
        if path.startswith(folders)
        and Path(path).name not in left_out
        and not re.fullmatch(r"python/teorell/\w+/__init__\.py", path)
    }
    named = files_of_map((ROOT / "docs" / "map.md").read_text(encoding="utf-8"))
    assert not sorted(there - named), "docs/map.md does not name them"
    assert not [path for path in sorted(named) if not (ROOT / path).is_file()]


def test_the_tables_of_programs() -> None:
    page = (ROOT / "docs" / "programs.md").read_text(encoding="utf-8")
    operations = re.findall(r"^\| (\d.*?) \|", page, re.MULTILINE)
    assert [item for cell in operations for item in cell.split(", ")] == [
        f"{op.value} {op.name}" for op in Op
    ]
    regions = re.findall(r"^\| `(\w+)` \| [^|]+ \|", page, re.MULTILINE)
    names = [field.name for field in fields(Layout)]
    assert regions == names[: names.index("slots")]
    scalars = re.findall(r"(\d) `(\w+)`", page.split("`scalar`:", 1)[1].split("\n\n", 1)[0])
    assert scalars == [(str(place), name) for place, name in enumerate(SCALARS)]
    assert tuple(re.findall(r"^- `(\w+)` \(", page, re.MULTILINE)) == PROGRAMS


def test_the_table_of_statuses() -> None:
    page = (ROOT / "docs" / "numerics.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| (\d+) \| ", page, re.MULTILINE) == [str(k) for k in sorted(tl.STATUS)]


def test_architecture_is_short() -> None:
    """It is read as a whole; tables have pages of their own."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert len(page.splitlines()) <= 150


FILE = re.compile(
    r"(?<![\w./*-])((?:[\w.-]+/)*[\w-]+\.(?:py|hpp|cpp|cuh|cu|pyi|md|cmake))(?![\w/])"
)


def test_files_that_are_named_are_there() -> None:
    """In pages, comments and docstrings: a name alone, or the end of a path."""
    there = files("--cached", "--others", "--exclude-standard")
    ends = {path.split("/", k)[-1] for path in there for k in range(path.count("/") + 1)}
    wrong = []
    for path in files():
        if path.startswith("tests/") or not path.endswith(
            (".py", ".hpp", ".cpp", ".cuh", ".cu", ".pyi", ".md", ".toml", ".cmake", ".txt")
        ):
            continue
        text = (ROOT / path).read_text(encoding="utf-8")
        wrong += [
            f"{path}: {name}"
            for name in FILE.findall(text)
            if re.sub(r"^(\.{1,2}/)+", "", name) not in ends | {"MODEL.py"}
        ]
    assert not wrong, "\n".join(wrong)


def test_modules_that_pages_name_are_there() -> None:
    """`teorell.a.b` of a page is a module, or a name in one, where it is now."""
    from teorell.moved import MOVED

    wrong = []
    for path in PAGES:
        for name in re.findall(r"\bteorell(?:\.\w+)+", path.read_text(encoding="utf-8")):
            first = name.split(".")[1]
            module = importlib.import_module("teorell")
            for part in name.split(".")[1:]:
                if not hasattr(module, part):
                    with contextlib.suppress(ImportError):
                        importlib.import_module(f"{module.__name__}.{part}")
                module = getattr(module, part, None)
            if module is None or first in MOVED:
                wrong.append(f"{path.name}: {name}")
    assert not wrong, "\n".join(wrong)
