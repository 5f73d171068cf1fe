"""What a user of a model did wrong, said as 'problem: reason. remedy'."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["ModelError", "suggestion"]


class ModelError(ValueError):
    """A mistake in a model or an expression, found while it is being written."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """A remedy for an unknown `name`: the nearest known one, else the list (cut at ten)."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f"Did you mean {near[0]!r}?"
    if not names:
        return "There are none yet."
    return "Known: " + ", ".join(names[:10]) + (f" and {len(names) - 10} more." if len(names) > 10 else ".")
