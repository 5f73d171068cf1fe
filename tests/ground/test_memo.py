"""What is remembered: made once, the oldest forgotten first, nothing kept of a failure."""

from __future__ import annotations

import threading

import pytest
from teorell.memo import Memo


def test_the_one_not_asked_for_the_longest_goes_first() -> None:
    made: list[int] = []
    memo: Memo[int] = Memo(2)

    def get(key: int) -> int:
        return memo.get(key, lambda: made.append(key) or key * key)

    assert [get(k) for k in (1, 2, 1, 3, 1)] == [1, 4, 1, 9, 1]
    assert made == [1, 2, 3]
    assert len(memo) == 2
    assert (2 in memo, 1 in memo, 3 in memo) == (False, True, True)


def test_a_failure_is_not_remembered() -> None:
    memo: Memo[int] = Memo(2)

    def fail() -> int:
        raise KeyError("no")

    with pytest.raises(KeyError):
        memo.get("a", fail)
    assert len(memo) == 0
    assert memo.get("a", lambda: 1) == 1


def test_threads_make_a_thing_once_and_do_not_wait_for_others() -> None:
    memo: Memo[str] = Memo(8)
    made: list[str] = []
    slow_began, fast_is_there = threading.Event(), threading.Event()

    def slow() -> str:
        slow_began.set()
        assert fast_is_there.wait(30), "another key had to wait"
        made.append("slow")
        return "slow"

    threads = [threading.Thread(target=lambda: memo.get("slow", slow)) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert slow_began.wait(30)
    assert memo.get("fast", lambda: "fast") == "fast"
    fast_is_there.set()
    for thread in threads:
        thread.join()
    assert made == ["slow"]
