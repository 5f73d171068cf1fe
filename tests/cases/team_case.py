"""What tests of teams share: rounds read back from words, and the model of 110 states."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import teorell as tl
from folders import ROOT
from teorell.device.team_programs import NONE, WORDS
from teorell.engine.pieces import reads
from teorell.lowering.program import Instruction, Op

__all__ = ["bench", "conflicts", "decoded", "large"]

OPERANDS = {Op.SELECT: 3} | dict.fromkeys((Op.DIV, Op.MIN, Op.MAX, Op.LT, Op.LE), 2)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "bench")


def large() -> tl.Model:
    """110 states."""
    import compile_time

    return compile_time.large_model()


def decoded(words: np.ndarray, program: int, lanes: int) -> list[list[Instruction]]:
    """The rounds of a program, by the format that team_words tells."""
    first, count = words[1 + 2 * program], words[2 + 2 * program]
    whole = words[first : first + count * WORDS * lanes].astype(np.int64)
    rounds = whole.reshape(count, WORDS // 2, lanes, 2).transpose(0, 2, 1, 3)
    return [[instruction(lane.ravel()) for lane in each if lane.any()] for each in rounds]


def instruction(word: np.ndarray) -> Instruction:
    op, plus, minus, dst = word[0] & 255, word[0] >> 8 & 15, word[0] >> 12 & 15, word[0] >> 16
    slots = [int(half) for one in word[1:] for half in (one & 0xFFFF, one >> 16)]
    if op != Op.SUM:
        return Instruction(Op(op), int(dst), tuple(slots[: OPERANDS.get(op, 1)]))
    pairs = list(zip(slots[2::2], slots[3::2], strict=True))
    start = () if slots[0] == NONE else (slots[0],)
    return Instruction(
        Op.SUM, int(dst), start, tuple(pairs[:plus]), tuple(pairs[plus : plus + minus])
    )


def conflicts(together: Sequence[Instruction]) -> list[int]:
    """Slots that one of them writes and another reads or writes."""
    found = []
    for i, item in enumerate(together):
        others = [each for j, each in enumerate(together) if j != i]
        if any(item.dst == each.dst or item.dst in reads(each) for each in others):
            found.append(item.dst)
    return found
