"""Tables that notebooks show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["html_table"]


def html_table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with a line above it, all text escaped; short rows are filled with empty cells."""

    def row(cells: Sequence[str], tag: str) -> str:
        whole = [*cells, *[""] * (len(head) - len(cells))]
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in whole) + "</tr>"

    body = "".join(row(cells, "td") for cells in rows)
    return f"<p>{escape(title)}</p><table>{row(head, 'th')}{body}</table>"
