"""Building one straight-line program.

Values are numbered, equal ones are one, scratch slots are reused.

Value numbering: an instruction with the same operation and operands as an earlier one is the
earlier one. What no store needs is dropped. A value that is stored is computed in place; the others
live in `temp`, allocated by a linear scan over the program (Poletto and Sarkar, ACM TOPLAS 21,
1999), so that the workspace stays small.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from teorell.lowering.layout import Layout
from teorell.lowering.program import Op, Words

__all__ = ["Builder", "Constants", "Pair", "Record", "Slot"]

LONGEST_CHAIN = 5  # products
# regions with a slot a coefficient
COEFFICIENTS = ("coef", "coefbar", "coefdot", "gcoefbar", "acoefbar")

Pair: TypeAlias = tuple[int, int]
Slot: TypeAlias = tuple[str, int]  # region, position in it

# operation (or the name of a function, in trace.py), operands, plus, minus
Record: TypeAlias = tuple[int | str, tuple[int, ...], tuple[Pair, ...], tuple[Pair, ...]]


class Constants:
    """The immediates of all programs of a model: equal bits, one slot. Slot 0 holds 1.0."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self._slots: dict[bytes, int] = {}
        self.slot(1.0)

    def slot(self, value: float) -> int:
        """The slot of region const that holds this value."""
        bits = struct.pack("<d", value)
        if bits not in self._slots:
            self._slots[bits] = len(self.values)
            self.values.append(value)
        return self._slots[bits]


class Builder:
    """Emits values (numbered from 0) and stores; `encode` then gives the program for a layout."""

    def __init__(self, constants: Constants) -> None:
        self._constants = constants
        self._records: list[Record | Slot] = []
        self._known: dict[object, int] = {}
        self._stores: dict[int, list[Slot]] = {}
        self._places: dict[int, Slot] = {}
        # values in order of computation, where not that of their numbers
        self._sequence: Sequence[int] | None = None
        self.one = self.constant(1.0)

    # Values

    def slot(self, region: str, position: int = 0) -> int:
        """The value that lies in a slot, given by its region and position."""
        return self._number((region, position))

    def constant(self, value: float) -> int:
        return self.slot("const", self._constants.slot(value))

    def sum(self, init: int | None, plus: Sequence[Pair] = (), minus: Sequence[Pair] = ()) -> int:
        """init + sum of products of `plus` - sum of products of `minus`, fused, in this order.

        A long sum is computed as two halves: fused multiply-adds that wait for each other are what
        a step's time is made of where many organs drain into one pool.
        """
        if init is not None and not plus and not minus:
            return init
        if init is None and not plus and not minus:
            return self.constant(0.0)
        if len(plus) + len(minus) > LONGEST_CHAIN:
            half = (len(plus) + len(minus) + 1) // 2
            first = self.sum(init, plus[:half], minus[: max(0, half - len(plus))])
            second = self.sum(None, plus[half:], minus[max(0, half - len(plus)) :])
            return self.add(first, second)
        ordered = [
            tuple([(a, b) if a <= b else (b, a) for a, b in pairs]) for pairs in (plus, minus)
        ]
        return self._number((Op.SUM, (-1 if init is None else init,), ordered[0], ordered[1]))

    def op(self, op: Op, *operands: int) -> int:
        """An operation other than a sum of products."""
        return self._number((op, operands, (), ()))

    def mul(self, a: int, b: int) -> int:
        return b if a == self.one else a if b == self.one else self.sum(None, [(a, b)])

    def fma(self, a: int, b: int, c: int) -> int:
        return self.sum(c, [(a, b)])

    def add(self, a: int, b: int) -> int:
        return self.sum(a, [(b, self.one)])

    def sub(self, a: int, b: int) -> int:
        return self.sum(a, [], [(b, self.one)])

    def neg(self, a: int) -> int:
        return self.sum(None, [], [(a, self.one)])

    def div(self, a: int, b: int) -> int:
        return self.op(Op.DIV, a, b)

    def select(self, condition: int, a: int, b: int) -> int:
        """`a` where `condition` is not 0, else `b`."""
        return self.op(Op.SELECT, condition, a, b)

    def call(self, name: str, expansion: Callable[..., int], *operands: int) -> int:
        """A function, written out in instructions; a Recorder keeps it whole, under its name."""
        return expansion(self, *operands)

    def store(self, value: int, region: str, position: int = 0) -> None:
        """Let a slot hold the value.

        Only the value itself may be computed from what the slot held.
        """
        self._stores.setdefault(value, []).append((region, position))

    def place(self, value: int, region: str, position: int) -> None:
        """Compute a value in a slot whose content is not read after it."""
        self._places[value] = (region, position)

    def kept(self, value: int) -> Slot | None:
        """The slot in which a value lies unchanged for the whole step, None if there is none.

        Constants and coefficients have such slots.
        """
        record = self._records[value]
        return record if len(record) == 2 and record[0] in ("const", "coef") else None

    def _number(self, record: Record | Slot) -> int:
        number = self._known.get(record)
        if number is None:
            number = self._known[record] = len(self._records)
            self._records.append(record)
        return number

    # Encoding

    def compute_late(self) -> None:
        """Compute each value just before it is first needed, for the stores in their order.

        Fewer values are then held at a time. Not for programs in which a slot that is read becomes
        the place of another.
        """
        done: set[int] = set()
        sequence: list[int] = []
        for root in self._stores:
            stack = [root]
            while stack:
                number = stack[-1]
                record = self._records[number]
                waiting = (
                    [x for x in self._reads(number) if x not in done] if len(record) == 4 else []
                )
                if waiting:
                    stack.extend(reversed(waiting))
                    continue
                stack.pop()
                if number not in done:
                    done.add(number)
                    sequence.append(number)
        self._sequence = sequence

    def schedule(self) -> int:
        """Decide where every value lives; returns the number of temporaries."""
        sequence = range(len(self._records)) if self._sequence is None else self._sequence
        last: dict[int, int] = {}  # value -> the instruction that reads it last
        for number in reversed(sequence):
            if len(self._records[number]) == 4 and (number in last or number in self._stores):
                for operand in self._reads(number):
                    last.setdefault(operand, number)
        self._home: dict[int, Slot] = {}
        self._live: list[int] = []
        free: list[int] = []
        temporaries = 0
        for number in sequence:
            record = self._records[number]
            if len(record) == 2:
                self._home[number] = record
                continue
            if number not in last and number not in self._stores:
                continue
            self._live.append(number)
            for operand in dict.fromkeys(self._reads(number)):
                region, position = self._home[operand]
                if last[operand] == number and region == "temp":
                    heapq.heappush(free, position)
            if number in self._stores:
                self._home[number] = self._stores[number][0]
            elif number in self._places:
                self._home[number] = self._places[number]
            elif free:
                self._home[number] = ("temp", heapq.heappop(free))
            else:
                self._home[number] = ("temp", temporaries)
                temporaries += 1
        return temporaries

    def encode(self, layout: Layout, scratch: str = "temp") -> Words:
        """The program as words for this layout; `schedule` must have run.

        scratch: the region that its temporaries lie in.
        """
        rates = layout.rates - layout.coef
        start = {
            **vars(layout),
            "temp": getattr(layout, scratch),
            "rate": layout.rates,
            "ratebar": layout.coefbar + rates,
            "ratedot": layout.coefdot + rates,
        }

        def place(region: str, position: int) -> int:
            if region in COEFFICIENTS:
                position = layout.coefficient(position)
            return int(start[region]) + position

        def at(value: int) -> int:
            return place(*self._home[value])

        code: list[int] = []

        def copies(value: int, slots: Sequence[Slot]) -> None:
            for region, position in slots:
                code.extend((Op.SUM, place(region, position), at(value), 0, 0))

        for value, slots in self._stores.items():
            if len(self._records[value]) == 2:
                copies(value, [slot for slot in slots if slot != self._records[value]])
        for number in self._live:
            record = self._records[number]
            assert len(record) == 4
            op, operands, plus, minus = record
            # functions stay whole in a Recorder alone, which is not encoded
            assert not isinstance(op, str)
            if op == Op.SUM and len(plus) == 1 and not minus:
                op = Op.MUL if operands[0] < 0 else Op.FMA
                operands = tuple([operand for operand in operands if operand >= 0]) + plus[0]
            code.extend((op, at(number)))
            if op == Op.SUM:
                code.extend((-1 if operands[0] < 0 else at(operands[0]), len(plus), len(minus)))
                for a, b in plus + minus:
                    code.extend((at(a), at(b)))
            else:
                code.extend([at(operand) for operand in operands])
            copies(number, self._stores.get(number, ())[1:])
        code.append(Op.END)
        return np.array(code, dtype=np.int32)

    def _reads(self, number: int) -> list[int]:
        """The values that the instruction with this number reads."""
        record = self._records[number]
        assert len(record) == 4
        _, operands, plus, minus = record
        return [operand for operand in operands if operand >= 0] + [
            x for pair in plus + minus for x in pair
        ]
