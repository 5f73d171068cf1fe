"""Bars: drawn on a terminal alone, by tqdm, by rich or plainly, at most 80 columns wide."""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
import types
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import pytest
from teorell.cli import main
from teorell.progress import reporting


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal of 200 columns to redirect stderr to, where neither tqdm nor rich is installed."""
    for name in ("tqdm", "tqdm.auto", "rich", "rich.progress", "rich.console"):
        monkeypatch.setitem(sys.modules, name, None)
    size = os.terminal_size((200, 50))
    monkeypatch.setattr(shutil, "get_terminal_size", lambda *_, **__: size)
    return Terminal()


def drawn(screen: io.StringIO) -> list[str]:
    return [line for line in re.split(r"[\r\n]", screen.getvalue()) if line]


def test_the_command_line_draws_a_bar(terminal: Terminal, tmp_path: Path) -> None:
    with redirect_stderr(terminal):
        assert main(["simulate", "--patients", "40", "--out", str(tmp_path)]) == 0
    assert drawn(terminal)[-1] == f"[{'#' * 40}] 40/40 patients"
    assert terminal.getvalue().endswith("40/40 patients\n")


def test_the_command_line_is_quiet_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", "--patients", "4", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("total", [1, 40, 10**9, 10**15])
@pytest.mark.parametrize("columns", [10, 40, 80, 200])
def test_the_plain_bar_fits(
    total: int, columns: int, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = os.terminal_size((columns, 50))
    monkeypatch.setattr(shutil, "get_terminal_size", lambda *_, **__: size)
    with redirect_stderr(terminal), reporting(True, total) as report:
        assert report is not None
        for done in (0, total // 3, total):
            report(done, total)
    text = f"{total:,}/{total:,} patients"
    assert max(map(len, drawn(terminal))) <= max(min(columns, 80) - 1, len(text))
    assert drawn(terminal)[-1].endswith(text)


def test_an_error_begins_its_own_line(terminal: Terminal) -> None:
    def interrupted() -> None:
        with redirect_stderr(terminal), reporting(True, 10) as report:
            assert report is not None
            report(3, 10)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert terminal.getvalue().endswith("3/10 patients\n")


def test_elsewhere_one_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting(True, 10) as report:
        assert report is not None
        report(4, 10)
        report(10, 10)
    assert capsys.readouterr().err == "10 of 10 patients\n"


def test_nothing_and_callables_are_handed_on() -> None:
    def own(done: int, total: int) -> None:
        pass

    for given in (None, False):
        with reporting(given, 10) as report:
            assert report is None
    with reporting(own, 10) as report:
        assert report is own


class Drawn:
    """What tqdm and rich are called with."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}
        self.n = 0

    @contextmanager
    def open(self, *columns: Any, **options: Any) -> Any:
        self.options |= options
        yield self

    def update(self, step: int, completed: int | None = None) -> None:
        self.n = self.n + step if completed is None else completed

    def add_task(self, name: str, total: int) -> int:
        self.options["total"] = total
        return 0


def test_tqdm_where_it_is_installed(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    bar = Drawn()
    monkeypatch.setitem(sys.modules, "tqdm", types.ModuleType("tqdm"))
    monkeypatch.setitem(sys.modules, "tqdm.auto", types.SimpleNamespace(tqdm=bar.open))  # type: ignore[arg-type]
    with redirect_stderr(terminal), reporting(True, 10) as report:
        assert report is not None
        report(4, 10)
        report(10, 10)
    assert (bar.n, bar.options["total"], bar.options["ncols"]) == (10, 10, 79)


def test_rich_where_it_is_installed(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    bar, consoles = Drawn(), []

    def console(**options: Any) -> str:
        consoles.append(options)
        return "console"

    def column(*arguments: Any) -> None:
        pass

    names = ("BarColumn", "MofNCompleteColumn", "TextColumn", "TimeRemainingColumn")
    module = types.SimpleNamespace(Progress=bar.open, **dict.fromkeys(names, column))
    monkeypatch.setitem(sys.modules, "rich", types.ModuleType("rich"))
    monkeypatch.setitem(sys.modules, "rich.progress", module)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "rich.console", types.SimpleNamespace(Console=console))  # type: ignore[arg-type]
    with redirect_stderr(terminal), reporting(True, 10) as report:
        assert report is not None
        report(10, 10)
    assert (bar.n, bar.options["total"], bar.options["console"]) == (10, 10, "console")
    assert consoles == [{"stderr": True, "width": 79}]
