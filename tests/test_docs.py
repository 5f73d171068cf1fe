"""What README.md and docs/ show is what happens: their Python runs without a warning, their tables
match the code.

The ```python blocks of one page share a namespace, in order; `<!-- not run -->` before a block
leaves it out. A ```text block right after a ```python block is what that prints, where ... stands
for anything.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import subprocess
import warnings
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from teorell.lowering import PROGRAMS, SCALARS, Layout, Op

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
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
        "pip install '.[plot]' && teorell simulate theophylline\n",
        "pip install '.[test]' -c constraints.txt && pytest\n",
    ]


@pytest.mark.parametrize("path", PAGES, ids=[path.name for path in PAGES])
def test_links_of(path: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8"))
    assert not [link for link in links if not (path.parent / link).exists()]


def test_the_map_names_every_file() -> None:
    git = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if git.returncode != 0:
        pytest.skip("NOT RUN: needs a git checkout")
    folders = ("python/teorell/", "cpp/", "cuda/", "bench/", "tests/", "examples/", ".ci/")
    left_out = ("__init__.py", "py.typed", "README.md", "CMakeLists.txt", "arm64.cmake")
    names = {Path(file).name for file in git.stdout.splitlines() if file.startswith(folders)} - set(
        left_out
    )
    assert not [
        name
        for name in sorted(names)
        if not re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", ARCHITECTURE)
    ]


def test_the_tables_of_the_architecture() -> None:
    operations = re.findall(r"^\| (\d.*?) \|", ARCHITECTURE, re.MULTILINE)
    assert [item for cell in operations for item in cell.split(", ")] == [
        f"{op.value} {op.name}" for op in Op
    ]
    regions = re.findall(r"^\| `(\w+)` \| [^|]+ \|", ARCHITECTURE, re.MULTILINE)
    names = [field.name for field in fields(Layout)]
    assert regions == names[: names.index("slots")]
    scalars = re.findall(r"(\d) `(\w+)`", ARCHITECTURE.split("`scalar`:", 1)[1].split("\n\n", 1)[0])
    assert scalars == [(str(place), name) for place, name in enumerate(SCALARS)]
    assert tuple(re.findall(r"^- `(\w+)` \(", ARCHITECTURE, re.MULTILINE)) == PROGRAMS
