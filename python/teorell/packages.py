"""Packages that come with extras: imported where they are used, missed in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["needed"]


@contextmanager
def needed(package: str, what: str, install: str) -> Iterator[None]:
    """ImportError in one sentence where an import inside fails: `what` there is none without the
    package, and pip installs `install`.

    >>> with needed("pandas", "DataFrame", "'teorell[frames]'"):
    ...     import pandas
    """
    try:
        yield
    except ImportError as error:
        raise ImportError(
            f"no {what} ({package} is not installed). Run pip install {install}."
        ) from error
