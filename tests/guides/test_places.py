"""The guides of docs/how_to_add.md name all places of what they follow, and no other.

Each guide has a command, `grep -rlE 'PATTERN' FOLDERS`, and a table whose rows begin with a file.
Of the files in these folders the table has exactly those that the command finds; rows of other
folders are pages and tests, which must be there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from folders import ROOT

PAGE = ROOT / "docs" / "how_to_add.md"
COMMAND = re.compile(r"`grep -rlE '([^']+)' ([^`]+)`")
SOURCES = (".py", ".pyi", ".hpp", ".cpp", ".cu", ".cuh", ".csv")


class Guide(NamedTuple):
    title: str
    pattern: str
    folders: tuple[str, ...]
    places: tuple[str, ...]

    def within(self, path: str) -> bool:
        return path.startswith(tuple(f"{folder}/" for folder in self.folders))


def guides(page: str) -> list[Guide]:
    found = []
    for part in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        title = part.split("\n", 1)[0]
        commands = COMMAND.findall(part)
        assert len(commands) == 1, f"{title}: {len(commands)} commands"
        places = re.findall(r"^\| `([^`]+)` \|", part, re.MULTILINE)
        assert len(set(places)) == len(places), f"{title}: a place twice"
        found.append(Guide(title, commands[0][0], tuple(commands[0][1].split()), tuple(places)))
    return found


def grep(pattern: str, root: Path, folders: Iterable[str]) -> list[str]:
    """The sources in these folders that match anywhere."""
    wanted = re.compile(pattern)
    return [
        path.relative_to(root).as_posix()
        for folder in folders
        for path in sorted((root / folder).rglob("*"))
        if path.suffix in SOURCES and wanted.search(path.read_text(encoding="utf-8"))
    ]


def differences(guide: Guide, found: Sequence[str]) -> list[str]:
    named = {place for place in guide.places if guide.within(place)}
    return [f"not named: {path}" for path in sorted({*found} - named)] + [
        f"named, but nothing is there: {path}" for path in sorted(named - {*found})
    ]


GUIDES = guides(PAGE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.title)
def test_a_guide_names_all_places(guide: Guide) -> None:
    wrong = differences(guide, grep(guide.pattern, ROOT, guide.folders))
    assert not wrong, "\n".join(wrong)
    elsewhere = [place for place in guide.places if not guide.within(place)]
    assert not [place for place in elsewhere if not (ROOT / place).is_file()]
    assert any(place.startswith(("tests/", "docs/")) for place in elsewhere)


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.title)
def test_names_in_a_guide_are_there(guide: Guide) -> None:
    """What a row calls by name stands in the row's file, or is a number or a type's name."""
    part = PAGE.read_text(encoding="utf-8").split(f"## {guide.title}\n", 1)[1].split("\n## ")[0]
    wrong = []
    for place, words in re.findall(r"^\| `([^`]+)` \| (.*) \|$", part, re.MULTILINE):
        if not guide.within(place):
            continue
        text = (ROOT / place).read_text(encoding="utf-8")
        wrong += [
            f"{place}: {name}"
            for name in re.findall(r"`([A-Za-z_.]+)(?:\(\))?`", words)
            if not name.endswith(SOURCES) and not all(part in text for part in name.split("."))
        ]
    assert not wrong, "\n".join(wrong)


def test_what_a_guide_misses_is_found(tmp_path: Path) -> None:
    page = "# T\n\n## A\n\nFollow: `grep -rlE '\\bx' src`\n\n| `src/a.py` | |\n| `src/b.py` | |\n"
    (guide,) = guides(page)
    assert guide == Guide("A", r"\bx", ("src",), ("src/a.py", "src/b.py"))
    (tmp_path / "src" / "in").mkdir(parents=True)
    (tmp_path / "src" / "a.py").write_text("x = 1")
    (tmp_path / "src" / "b.py").write_text("ax = 1")
    (tmp_path / "src" / "in" / "c.hpp").write_text("int x;")
    found = grep(guide.pattern, tmp_path, guide.folders)
    assert found == ["src/a.py", "src/in/c.hpp"]
    assert differences(guide, found) == [
        "not named: src/in/c.hpp",
        "named, but nothing is there: src/b.py",
    ]
