"""The last few things made, by what they were made of."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["Memo"]

T = TypeVar("T")


class Memo(Generic[T]):
    """Keeps `kept` things; the one not asked for the longest goes first. Threads may share it.

    A thread waits for another only where both want the same thing: that is made once.
    """

    def __init__(self, kept: int) -> None:
        self.kept = kept
        self._known: OrderedDict[Hashable, _Entry[T]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """What is kept under `key`, made now if there is nothing.

        What `make` raises is passed on, and nothing is kept.
        """
        with self._lock:
            entry = self._known.setdefault(key, _Entry())
            self._known.move_to_end(key)
            while len(self._known) > self.kept:
                self._known.popitem(last=False)
        with entry.lock:
            if not entry.made:
                try:
                    entry.made.append(make())
                except BaseException:
                    self._forget(key, entry)
                    raise
            return entry.made[0]

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._known

    def _forget(self, key: Hashable, entry: _Entry[T]) -> None:
        with self._lock:
            if self._known.get(key) is entry:
                del self._known[key]


class _Entry(Generic[T]):
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.made: list[T] = []  # one thing, once it is there
