"""A model's programs for a team: the threads of a warp that work on one patient together.

A program is dealt out in rounds. A round has at most one instruction for each lane of the team;
none of them reads or writes what another of them writes, and the team waits between rounds. Long
sums are cut into pieces that go on where the last one ended; temporaries, whose slots serve many
times, are values of their own until the rounds are known. Every instruction does the operations of
docs/programs.md in their order, so results keep their bits. cuda/team_program.cuh runs the words.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from teorell.engine.pieces import reads
from teorell.lowering.program import Instruction, Op, instructions

if TYPE_CHECKING:
    from teorell.lowering import Programs

__all__ = ["LANES", "PRODUCTS", "TEAM_PROGRAMS", "Rounds", "rounds_of", "team_words"]

LANES = 32  # of a team: a warp
PRODUCTS = 4  # of an instruction at most
WORDS = 2 + PRODUCTS  # of an instruction
HEADER = 32  # words before the first instruction
NONE = 0xFFFF  # in place of a slot
TEAM_PROGRAMS = (
    "rhs", "solve", "jacobian_lu", "df_dt", "outputs", "solve_transposed", "stage_vjp",
    "second_vjp", "outputs_vjp",
)  # fmt: skip
"""What a team runs; what else there is its leader interprets alone."""

STAGE_REVERSED = ("solve_transposed", "stage_vjp")

Rounds = list[list[Instruction]]


def team_words(programs: Programs, lanes: int = LANES) -> NDArray[np.uint32]:
    """The programs of a model for teams of so many lanes.

    (words,): the slots of a team's workspace; of each of TEAM_PROGRAMS the first word and the
    number of rounds; from word 32 on rounds [3][lanes][2]: pairs of words of each lane's
    instruction. Word 0: operation, products that are added, that are subtracted, slot of the
    result (8, 4, 4, 16 bits from the lowest); then slots of operands, two a word; where a sum
    begins with none, 0xFFFF. An idle lane has zeros.
    ValueError for a model whose slots have no 16 bits.
    """
    slots = _end(programs)
    header, body = np.zeros(HEADER, np.uint32), []
    place = HEADER
    for k, name in enumerate(TEAM_PROGRAMS):
        rounds = rounds_of(programs, name, lanes)
        slots = max([slots, *(1 + item.dst for each in rounds for item in each)])
        encoded = np.zeros((len(rounds), WORDS // 2, lanes, 2), np.uint32)
        for r, each in enumerate(rounds):
            for lane, item in enumerate(each):
                encoded[r, :, lane] = np.reshape(_encoded(item), (-1, 2))
        header[1 + 2 * k : 3 + 2 * k] = place, len(rounds)
        place += encoded.size
        body.append(encoded.ravel())
    header[0] = slots + 1  # the last one tells the team what to do
    if slots >= NONE:
        raise ValueError(
            f"the model takes {slots} slots (a team numbers fewer than {NONE}). Let threads run it."
        )
    # The team reads one round ahead.
    return np.concatenate([header, *body, np.zeros(WORDS * lanes, np.uint32)])


def rounds_of(programs: Programs, name: str, lanes: int = LANES) -> Rounds:
    """A program in rounds: instructions that may run at the same time, in any order."""
    at = programs.layout
    temporaries = [*range(at.temp, at.temp + at.n_temp), *range(at.scratch, at.slots)]
    whole = instructions(getattr(programs, name))
    if name in STAGE_REVERSED:
        whole = _moved(whole, _of_a_stage(programs))
    items = list(_pieces(whole, set(temporaries)))
    dealt = [[items[i] for i in each] for each in _dealt(items, lanes)]
    return _placed(dealt, temporaries, _end(programs))


def _of_a_stage(programs: Programs) -> dict[int, int]:
    """y, w, Y and z of the first stage -> those of the stage that is reversed, behind all slots."""
    at = programs.layout
    if programs.derivatives != "vjp":
        return {}
    slots = [*range(at.block, at.block + 3 * at.n), *range(at.u, at.u + at.n)]
    return dict(zip(slots, range(at.slots, at.slots + 4 * at.n), strict=True))


def _end(programs: Programs) -> int:
    """Of the slots that are there before temporaries take more."""
    return programs.layout.slots + len(_of_a_stage(programs))


def _moved(items: Iterable[Instruction], to: Mapping[int, int]) -> Iterator[Instruction]:
    """The same with other slots."""

    def pairs(given: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
        return tuple((to.get(a, a), to.get(b, b)) for a, b in given)

    for item in items:
        operands = tuple(to.get(slot, slot) for slot in item.operands)
        dst = to.get(item.dst, item.dst)
        yield Instruction(item.op, dst, operands, pairs(item.plus), pairs(item.minus))


def _pieces(items: Iterable[Instruction], temporaries: set[int]) -> Iterator[Instruction]:
    """Sums of few products; temporaries are values, numbered -1, -2 and so on."""
    value = count(-1, -1)
    named: dict[int, int] = {}

    for item in items:
        ((_, _, start, plus, minus),) = _moved([item], named)
        while len(plus) + len(minus) > PRODUCTS:
            added, taken = plus[:PRODUCTS], minus[: max(PRODUCTS - len(plus), 0)]
            plus, minus = plus[len(added) :], minus[len(taken) :]
            sum_so_far = next(value)
            yield Instruction(item.op, sum_so_far, start, added, taken)
            start = (sum_so_far,)
        if item.dst in temporaries:
            named[item.dst] = next(value)
        yield Instruction(item.op, named.get(item.dst, item.dst), start, plus, minus)


def _dealt(items: Sequence[Instruction], lanes: int) -> list[list[int]]:
    """Rounds of instructions by number: of those that can run, those that most wait for."""
    waits, users = _order(items)
    height = [1] * len(items)  # of what waits for it, the longest chain
    for i in reversed(range(len(items))):
        height[i] += max((height[j] for j in users[i]), default=0)
    ready = [(-height[i], i) for i, others in enumerate(waits) if not others]
    heapq.heapify(ready)
    left, rounds = [len(others) for others in waits], []
    while ready:
        rounds.append([heapq.heappop(ready)[1] for _ in range(min(lanes, len(ready)))])
        for i in rounds[-1]:
            for j in users[i]:
                left[j] -= 1
                if left[j] == 0:
                    heapq.heappush(ready, (-height[j], j))
    return rounds


def _order(items: Sequence[Instruction]) -> tuple[list[set[int]], list[list[int]]]:
    """For each instruction those that it waits for, and those that wait for it: who reads a slot
    waits for who wrote it, who writes it for all who read or wrote it before.
    """
    writer: dict[int, int] = {}
    readers: dict[int, set[int]] = {}
    waits: list[set[int]] = []
    users: list[list[int]] = [[] for _ in items]
    for i, item in enumerate(items):
        read = reads(item)
        others = {writer[slot] for slot in (*read, item.dst) if slot in writer}
        others |= readers.get(item.dst, set())
        for slot in read:
            readers.setdefault(slot, set()).add(i)
        writer[item.dst], readers[item.dst] = i, set()
        waits.append(others)
        for j in others:
            users[j].append(i)
    return waits, users


def _placed(rounds: Rounds, temporaries: Sequence[int], end: int) -> Rounds:
    """Values in slots of temporaries, then from `end` on: a slot is free in the round after the
    last one that reads it.
    """
    last: dict[int, int] = {}
    for r, each in enumerate(rounds):
        for item in each:
            last.update((slot, r) for slot in (item.dst, *reads(item)) if slot < 0)
    free, more = list(reversed(temporaries)), count(end)
    over: list[list[int]] = [[] for _ in rounds]  # values that nobody reads after a round
    for value, r in last.items():
        over[r].append(value)
    place: dict[int, int] = {}
    found: Rounds = []
    for r, each in enumerate(rounds):
        for item in each:
            if item.dst < 0:
                place[item.dst] = free.pop() if free else next(more)
        found.append(list(_moved(each, place)))
        free += [place[value] for value in over[r]]
    return found


def _encoded(item: Instruction) -> list[int]:
    first = item.op | len(item.plus) << 8 | len(item.minus) << 12 | item.dst << 16
    if item.op == Op.SUM:
        start = item.operands[0] if item.operands else NONE
        slots = [start, 0, *(slot for pair in (*item.plus, *item.minus) for slot in pair)]
    else:
        slots = list(item.operands)
    slots += [0] * (2 * (WORDS - 1) - len(slots))
    return [first, *(a | b << 16 for a, b in zip(slots[::2], slots[1::2], strict=True))]
