"""How far a simulation is: told to a callable of the user's, or drawn as a bar on stderr.

A bar is drawn where somebody watches: on a terminal, at most 80 columns wide, or in a notebook.
Elsewhere (a log file, a pipe) one plain line says at the end how far it came.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

__all__ = ["Progress", "on_terminal", "reporting"]

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the patients (of a fit: searches) done, and all of them."""

COLUMNS = 80  # the widest that a bar may be, in characters
BAR = 40  # the marks of the plain bar


def on_terminal() -> bool:
    """Is stderr a terminal? Then a bar can be drawn over itself there."""
    return sys.stderr is not None and sys.stderr.isatty()


@contextmanager
def reporting(
    progress: bool | Progress | None, total: int, what: str = "patients"
) -> Iterator[Progress | None]:
    """The callable that a solve reports to, None for nothing; total: how many there are in all.

    what: the word for what is counted.

    progress: a callable is handed on as it is, None and False are nothing. True is a bar by tqdm or
        rich, whichever is installed, else a plain one; one line of text where nobody watches.
    """
    if progress is None or progress is False:
        yield None
    elif progress is not True:
        yield progress
    elif not (on_terminal() or "ipykernel" in sys.modules):
        with _closing_line(total, what) as report:
            yield report
    else:
        with _tqdm(total, what) or _rich(total, what) or _plain(total, what) as report:
            yield report


def _columns() -> int:
    """The width of a bar on this terminal, in characters; the last column stays free."""
    import shutil  # when a bar is drawn: `import teorell` stays short

    return min(COLUMNS, shutil.get_terminal_size().columns) - 1


def _tqdm(total: int, what: str) -> Any:
    """A context whose value draws with tqdm; None without tqdm."""
    try:
        from tqdm.auto import tqdm  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        return None
    # In a notebook the width is that of the page: ncols would be taken for pixels.
    width = {"ncols": _columns()} if on_terminal() else {}

    @contextmanager
    def drawing() -> Iterator[Progress]:
        with tqdm(total=total, unit=f" {what}", **width) as bar:
            yield lambda done, _: bar.update(done - bar.n)

    return drawing()


def _rich(total: int, what: str) -> Any:
    """A context whose value draws with rich; None without rich."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar
    except ImportError:
        return None
    console = Console(stderr=True, width=_columns()) if on_terminal() else Console(stderr=True)

    @contextmanager
    def drawing() -> Iterator[Progress]:
        columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Bar(*columns, console=console) as bar:
            task = bar.add_task(what, total=total)
            yield lambda done, _: bar.update(task, completed=done)

    return drawing()


@contextmanager
def _plain(every: int, what: str) -> Iterator[Progress]:
    """A bar of characters, drawn over itself: [####....] 40/100 patients."""
    room = _columns() - len(f"[] {every:,}/{every:,} {what}")
    length = max(0, min(BAR, room))

    def draw(done: int, total: int) -> None:
        full = length * done // max(total, 1)
        marks = f"[{'#' * full}{'.' * (length - full)}] " if length else ""
        print(f"\r{marks}{done:,}/{total:,} {what}", end="", file=sys.stderr, flush=True)

    try:
        yield draw
    finally:  # what is printed next, an error perhaps, begins its own line
        print(file=sys.stderr, flush=True)


@contextmanager
def _closing_line(every: int, what: str) -> Iterator[Progress]:
    """One line at the end, also after an error: 40 of 100 patients."""
    last = 0

    def remember(done: int, total: int) -> None:
        nonlocal last
        last = done

    try:
        yield remember
    finally:
        print(f"{last:,} of {every:,} {what}", file=sys.stderr, flush=True)
