"""A long program in pieces, and which of them are one function.

What LLVM takes for a large model goes by the text that it is given. Networks and organs repeat
themselves: their pieces do the same operations in the same order, and differ in where their
numbers lie. Such pieces are written once, as a function of some places.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from teorell.lowering.program import Instruction

__all__ = ["Alike", "alike", "cut", "read_later", "reads"]

LEAST, MOST = 48, 128  # instructions of a piece
PLACES = 5  # that a function may be given: what a call hands over in registers, with the workspace


def reads(item: Instruction) -> set[int]:
    """The slots that an instruction reads."""
    return {*item.operands, *chain.from_iterable(item.plus), *chain.from_iterable(item.minus)}


def cut(items: Sequence[Instruction]) -> Iterator[Sequence[Instruction]]:
    """The program in pieces; where it repeats itself, they do.

    A piece ends before an instruction that looks like its first, so that wherever it has begun,
    the next ones begin at the same place of what is repeated.
    """
    first = 0
    for k in range(1, len(items)):
        length = k - first
        if length == MOST or (length >= LEAST and _shape(items[k]) == _shape(items[first])):
            yield items[first:k]
            first = k
    if items:
        yield items[first:]


def read_later(
    pieces: Sequence[Sequence[Instruction]], temporaries: Container[int]
) -> list[set[int]]:
    """For each piece the slots whose values it must store: temporaries that a later piece reads.

    All others are results, and stored by whichever piece writes them.
    """
    results = {item.dst for piece in pieces for item in piece if item.dst not in temporaries}
    later: set[int] = set()  # read before they are written
    found = []
    for piece in reversed(pieces):
        found.append(results | later)
        for item in reversed(piece):
            later.discard(item.dst)
            later.update(slot for slot in reads(item) if slot in temporaries)
    return found[::-1]


def _shape(item: Instruction) -> tuple[int, ...]:
    return item.op, len(item.operands), len(item.plus), len(item.minus)


@dataclass(eq=False)
class Alike:
    """Pieces that are one function; it is written for the first of them."""

    items: Sequence[Instruction]
    stored: frozenset[int]  # slots of the first piece whose last value is stored
    slots: list[NDArray[np.int64]]  # of each piece, in the order in which they appear
    kind: NDArray[np.int64]  # of each of them: slots of one kind lie at a fixed distance

    def joined(self, slots: NDArray[np.int64]) -> bool:
        """Another piece becomes one of them, unless it would take too many places."""
        moved = np.stack([self.kind, slots - self.slots[0]])
        kind = np.unique(moved, axis=1, return_inverse=True)[1].reshape(-1)
        still = self._still(np.stack([*self.slots, slots]))
        if len(np.unique(kind[~still])) > PLACES:
            return False
        self.slots.append(slots)
        self.kind = kind
        return True

    @staticmethod
    def _still(slots: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which slots are the same in all pieces."""
        same: NDArray[np.bool_] = (slots == slots[0]).all(axis=0)
        return same

    def places(self) -> tuple[dict[int, tuple[int, int]], list[NDArray[np.int64]]]:
        """Slot of the first piece -> (number of a place, its distance from there).

        And for each place the slot where it is, one for each piece.
        """
        table = np.stack(self.slots)
        moving = np.flatnonzero(~self._still(table))
        origins = {int(k): int(moving[self.kind[moving] == k][0]) for k in self.kind[moving]}
        number = {kind: place for place, kind in enumerate(origins)}
        first = self.slots[0]
        return (
            {
                int(first[i]): (
                    number[int(self.kind[i])], int(first[i] - first[origins[int(self.kind[i])]])
                )
                for i in moving
            },
            [table[:, origin] for origin in origins.values()],
        )  # fmt: skip


def alike(
    pieces: Sequence[Sequence[Instruction]],
    stored: Sequence[Container[int]],
    labels: Sequence[int],
) -> list[tuple[Alike, int]]:
    """For each piece the function that it is, and the how-manieth use of it.

    stored: the slots of which each piece stores what it wrote last. labels: of each slot a number
    of where it lies: what is told apart by it is not mixed, and negative ones are none but
    themselves.
    """
    known: dict[object, Alike] = {}
    found = []
    for items, kept in zip(pieces, stored, strict=True):
        words: list[int] = []  # what the piece does
        touched: list[int] = []
        last = {item.dst: k for k, item in enumerate(items)}
        for k, item in enumerate(items):
            words += (*_shape(item), item.dst in kept and last[item.dst] == k)
            touched += item.operands
            touched += chain.from_iterable(item.plus)
            touched += chain.from_iterable(item.minus)
            touched.append(item.dst)
        slots = list(dict.fromkeys([slot for slot in touched if labels[slot] >= 0]))
        place = {slot: k for k, slot in enumerate(slots)}
        kinds = [labels[slot] for slot in slots]
        key = (*words, *[place.get(slot, -1 - slot) for slot in touched], *kinds)
        at = np.array(slots, dtype=np.int64)
        group = known.get(key)
        if group is None or not group.joined(at):
            held = frozenset(item.dst for item in items if item.dst in kept)
            group = known[key] = Alike(items, held, [at], np.array(kinds, dtype=np.int64))
        found.append((group, len(group.slots) - 1))
    return found
