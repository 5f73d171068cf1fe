"""The accepted steps of a solve, kept in the core until their gradient is asked for."""

from __future__ import annotations

from typing import NoReturn

from teorell import _core

__all__ = ["KeptSteps", "forget_spare"]

# What the last one has left: pages that are new to a process cost as much as a solve, and a
# training loop wants the same memory again and again.
_spare: list[tuple[str, _core.Kept]] = []


class KeptSteps:
    """The steps of one solve; `core` is what `_core.solve` writes to, and then reads."""

    def __init__(self, isa: str, patients: int, limit: int) -> None:
        """limit: bytes that they may take."""
        self._isa = isa
        try:
            known, spare = _spare.pop()
        except IndexError:
            known = ""
        self.core = spare if known == isa else _core.Kept(isa)
        self.core.prepare(patients, limit)

    def __del__(self) -> None:
        if not _spare and hasattr(self, "core"):
            _spare.append((self._isa, self.core))

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "kept steps cannot be pickled (they are memory of the core). Simulate again where they "
            "are needed."
        )


def forget_spare() -> None:
    """Give the memory back that waits for the next solve."""
    _spare.clear()
