"""What a user did wrong, said as 'problem (reason).

Remedy.', and the words that such sentences need.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["InputError", "InputWarning", "ModelError", "count", "suggestion"]


class ModelError(ValueError):
    """A mistake in a model or an expression, found while it is being written: 'problem (reason).

    Remedy.'
    """


class InputError(ValueError):
    """Something given to a function of teorell cannot be used, found before anything runs: 'problem
    (reason). Remedy.'
    """


class InputWarning(UserWarning):
    """Something given to a function of teorell is not used: 'problem (reason). Remedy.'"""


def suggestion(name: str, known: Iterable[str]) -> str:
    """A remedy for an unknown `name`: the shortest known one that begins so, else the nearest one,
    whatever its case, else the list (cut at ten).
    """
    names = list(known)
    folded: dict[str, str] = {}
    for each in names:
        folded.setdefault(each.casefold(), each)
    wanted = name.casefold()
    longer = [each for each in folded if len(wanted) > 2 and each.startswith(wanted)]
    near = sorted(longer, key=len) or difflib.get_close_matches(wanted, folded, n=1)
    if near:
        return f"Did you mean {folded[near[0]]!r}?"
    if not names:
        return "There are none yet."
    return (
        "Known: "
        + ", ".join(names[:10])
        + (f" and {len(names) - 10} more." if len(names) > 10 else ".")
    )


def count(n: int, noun: str) -> str:
    """A number and its noun: '1 patient', '2 patients'."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
