"""How much memory the accepted steps of a simulation may take between torch's two passes.

The backward pass goes along the steps of the forward pass. What the budget holds is kept from one
to the other; the patients that do not fit are solved again, to the same bits. A step takes 8 bytes
a state and 24 more, and the budget is of each simulation whose backward pass is to come. The
memory of the last one waits for the next.
"""

from __future__ import annotations

import os

from teorell.arrays import is_number
from teorell.errors import InputError

__all__ = ["kept_memory"]

VARIABLE = "TEORELL_KEPT_MEMORY"  # bytes, as the process starts
MOST = 2**62


def _checked(given: object, what: str) -> int:
    if not is_number(given) or not 0 <= given <= MOST:
        raise InputError(
            f"{what} is {given!r} (it is the memory that steps may take). Give bytes, such as "
            "256e6, or 0 to keep nothing."
        )
    return int(given)


def _at_start() -> int:
    text = os.environ.get(VARIABLE, "")
    try:
        return _checked(float(text), VARIABLE) if text else 256_000_000
    except ValueError:
        return _checked(text, VARIABLE)


_bytes = _at_start()


def kept_memory(limit: float | None = None) -> int:
    """The bytes that the steps of one simulation may take until its backward pass; 256 MB at first.

    limit: what it is from now on; 0: nothing is kept, and every backward pass solves again. The
    environment variable TEORELL_KEPT_MEMORY says what it is at first. Raises InputError for what is
    no size.
    """
    global _bytes
    if limit is not None:
        from teorell.engine.kept_steps import forget_spare

        _bytes = _checked(limit, "limit")
        forget_spare()  # it may be larger
    return _bytes
