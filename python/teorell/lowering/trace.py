"""A program kept for differentiation.

It holds the records of a Builder, with the elementary functions whole. Derivatives are taken of
what the program means, not of how a function is written out: that of exp is exp, not the derivative
of its polynomial.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from teorell.lowering.builder import Builder, Record, Slot
from teorell.lowering.elementary import FUNCTIONS, power
from teorell.lowering.program import Op

__all__ = ["Recorder"]


class Recorder(Builder):
    """Collects values as a Builder does, and keeps functions whole.

    `copy` writes them into another program, the derivatives read `records`.
    """

    @property
    def records(self) -> Sequence[Record | Slot]:
        """The values in order of computation.

        Each is (operation or function, operands, plus, minus), or the slot of a leaf.
        """
        return self._records

    @property
    def results(self) -> dict[Slot, int]:
        """Slot -> the value that is stored there."""
        return {slot: value for value, slots in self._stores.items() for slot in slots}

    def call(self, name: str, expansion: Callable[..., int], *operands: int) -> int:
        """A function as one record, whatever its expansion."""
        return self._number((name, operands, (), ()))

    def exponent(self, operand: int) -> float | None:
        """The number that an exponent is, if it is one."""
        record = self._records[operand]
        return (
            self._constants.values[record[1]] if len(record) == 2 and record[0] == "const" else None
        )

    def copy(self, b: Builder) -> list[int]:
        """Compute every value in the program `b` too; returns their numbers there.

        What is not needed there is dropped when it is encoded.
        """
        values: list[int] = []
        for record in self._records:
            if len(record) == 2:
                values.append(b.slot(*record))
                continue
            op, operands, plus, minus = record
            args = [values[operand] if operand >= 0 else -1 for operand in operands]
            if op in ("pow", "time_pow"):
                values.append(power(b, args[0], args[1], self.exponent(operands[1])))
            elif op == "time_sqrt":
                values.append(b.op(Op.SQRT, args[0]))
            elif op == "side":
                values.append(args[3])
            elif isinstance(op, str):
                values.append(FUNCTIONS[op](b, args[0]))
            elif op == Op.SUM:
                pairs = [[(values[x], values[y]) for x, y in side] for side in (plus, minus)]
                values.append(b.sum(None if args[0] < 0 else args[0], *pairs))
            else:
                values.append(b.op(Op(op), *args))
        return values
