"""The last few things made, by what they were made of."""

from __future__ import annotations

import functools
import os
import sys
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

__all__ = ["Memo"]

T = TypeVar("T")
_memos: weakref.WeakSet[Memo[Any]] = weakref.WeakSet()


class Memo(Generic[T]):
    """Keeps `kept` things; the one not asked for the longest goes first. Threads may share it.

    A thread waits for another only where both want the same thing: that is made once.
    """

    def __init__(self, kept: int) -> None:
        self.kept = kept
        self._known: OrderedDict[Hashable, _Entry[T]] = OrderedDict()
        self._lock = threading.Lock()
        _memos.add(self)

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

    def after_fork(self) -> None:
        """In a child: forget what a thread was making that is not there any more."""
        self._lock = threading.Lock()
        made = [(key, entry) for key, entry in self._known.items() if entry.made]
        for _, entry in made:
            entry.lock = threading.Lock()
        self._known = OrderedDict(made)

    def _forget(self, key: Hashable, entry: _Entry[T]) -> None:
        with self._lock:
            if self._known.get(key) is entry:
                del self._known[key]


class _Entry(Generic[T]):
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.made: list[T] = []  # one thing, once it is there


def _after_fork() -> None:
    """New locks in a child: threads that held the old ones are not there to release them."""
    for memo in tuple(_memos):
        memo.after_fork()
    if sys.version_info < (3, 12):  # later ones have no lock
        for name, module in tuple(sys.modules.items()):
            if name.partition(".")[0] == "teorell":
                _unlock_properties(module)


def _unlock_properties(module: object) -> None:
    for owner in tuple(vars(module).values()):
        if isinstance(owner, type):
            for each in tuple(vars(owner).values()):
                if isinstance(each, functools.cached_property):
                    each.lock = threading.RLock()  # type: ignore[attr-defined]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
