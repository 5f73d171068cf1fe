"""Programs as LLVM IR: every slot a vector of doubles, one patient a lane.

Every fused multiply-add is named and no fast-math flag is set; minima are compare-and-select. So
the code gives the bits of the C++ interpreter (cpp/include/teorell/interpreter.hpp), operation by
operation.
"""

from __future__ import annotations

import struct
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from teorell.engine.pieces import Alike, alike, cut, read_later, reads
from teorell.lowering.program import Instruction, Op, instructions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from teorell.lowering import Programs

__all__ = ["CHUNK", "Emitter", "Target", "adds_previous_stage", "is_long", "module"]

# states that one function combines: a step's code stays small enough for the instruction cache
CHUNK = 32
LONG = 8192  # words of a program that is cut
PLACE = "?"  # in place of the name of the function that calls a piece


@dataclass(frozen=True)
class Target:
    """What the code is made for.

    An instruction-set build of the core, and the processor that LLVM should know.
    """

    isa: str
    width: int  # doubles in a register
    fma: bool
    triple: str
    cpu: str
    features: str


class Emitter:
    """Writes the body of one function of the workspace.

    While it does, it keeps the slots' values in registers. origin: the slot that the function's
    argument points at; None for the first of region scalar.
    """

    def __init__(self, programs: Programs, target: Target, origin: int | None = None) -> None:
        self.programs = programs
        self.layout = programs.layout
        self.origin = self.layout.scalar if origin is None else origin
        self.width = target.width
        self.fused = target.fma
        self.pack = f"<{target.width} x double>"
        self.words = f"<{target.width} x i64>"
        self.bits = f"<{target.width} x i1>"
        self.lines: list[str] = []
        self.values: dict[int, str] = {}
        # slots that lie where another argument of the function points
        self.regions: dict[range, str] = {}
        # slots that lie at a distance from where another argument points
        self.moved: dict[int, tuple[str, int]] = {}
        self.count = 0
        self.target = target
        self.parts: list[str] = []  # functions that the body calls
        # slots that no function writes: LLVM need not order their loads among all stores
        self.fixed = range(0)
        first = self.layout.const
        self.constants = {first + i: float(c) for i, c in enumerate(programs.constants)}

    # --- single operations

    def new(self, text: str) -> str:
        """A new register that holds the result of an instruction."""
        self.count += 1
        name = f"%v{self.count}"
        self.lines.append(f"  {name} = {text}")
        return name

    def constant(self, value: float) -> str:
        return f"splat (double 0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X})"

    def address(self, slot: int) -> str:
        if slot in self.moved:
            base, by = self.moved[slot]
            return self.new(f"getelementptr inbounds i8, ptr {base}, i64 {by * self.width * 8}")
        for slots, base in self.regions.items():
            if slot in slots:
                return self.new(
                    f"getelementptr inbounds i8, ptr {base}, i64 "
                    f"{(slot - slots.start) * self.width * 8}"
                )
        offset = (slot - self.origin) * self.width * 8
        return self.new(f"getelementptr inbounds i8, ptr %ws, i64 {offset}")

    def load(self, slot: int) -> str:
        """The value of a slot in memory, whatever was set here."""
        fixed = ", !invariant.load !0" if slot in self.fixed else ""
        return self.new(
            f"load {self.pack}, ptr {self.address(slot)}, align {self.width * 8}{fixed}"
        )

    def store(self, slot: int, value: str) -> None:
        self.lines.append(
            f"  store {self.pack} {value}, ptr {self.address(slot)}, align {self.width * 8}"
        )

    def get(self, slot: int) -> str:
        """The value of a slot: a constant, what was set here, or what is in memory."""
        if slot in self.constants:
            return self.constant(self.constants[slot])
        if slot not in self.values:
            self.values[slot] = self.load(slot)
        return self.values[slot]

    def binary(self, operation: str, a: str, b: str) -> str:
        return self.new(f"{operation} {self.pack} {a}, {b}")

    def fma(self, a: str, b: str, c: str) -> str:
        if not self.fused:
            return self.binary("fadd", self.binary("fmul", a, b), c)
        p = self.pack
        return self.new(f"call {p} @llvm.fma.v{self.width}f64({p} {a}, {p} {b}, {p} {c})")

    def unary(self, intrinsic: str, a: str) -> str:
        return self.new(f"call {self.pack} @llvm.{intrinsic}.v{self.width}f64({self.pack} {a})")

    def compare(self, condition: str, a: str, b: str) -> str:
        return self.new(f"fcmp {condition} {self.pack} {a}, {b}")

    def choose(self, mask: str, a: str, b: str) -> str:
        return self.new(f"select {self.bits} {mask}, {self.pack} {a}, {self.pack} {b}")

    def maximum(self, a: str, b: str) -> str:
        return self.choose(self.compare("ogt", a, b), a, b)

    def to_words(self, a: str) -> str:
        return self.new(f"bitcast {self.pack} {a} to {self.words}")

    def to_doubles(self, a: str) -> str:
        return self.new(f"bitcast {self.words} {a} to {self.pack}")

    def words_operation(self, operation: str, a: str, constant: int) -> str:
        return self.new(f"{operation} {self.words} {a}, splat (i64 {constant})")

    # --- programs

    def run(self, code: NDArray[np.int32], stored: Container[int] = ()) -> None:
        """Emit a program; `get` has what it writes afterwards.

        The slots `stored` are in memory as well: storing at once frees the register. A long program
        is cut into functions: the time that LLVM takes grows faster than their length.
        """
        if is_long(code):
            self._run_pieces(list(instructions(code)))
        else:
            self._run(list(instructions(code)), stored)

    def _run_pieces(self, items: list[Instruction]) -> None:
        """Emit functions of some instructions and their calls; values are in memory between."""
        pieces = list(cut(items))
        written = {item.dst for item in items}
        for slot in set().union(*map(reads, items)) & self.values.keys():
            self.store(slot, self.values[slot])  # it may be in a register alone
        at = self.layout
        temporaries = {
            *range(at.temp, at.temp + at.n_temp),
            *range(at.scratch, at.scratch + at.n_scratch),
        }
        stored = read_later(pieces, temporaries)
        names: dict[Alike, str] = {}
        for group, use in alike(pieces, stored, self._labels):
            if group not in names:
                names[group] = self._define_piece(group)
            places = [self.address(int(slots[use])) for slots in group.places()[1]]
            given = ", ".join(f"ptr {place}" for place in ["%ws", *self._bases, *places])
            self.lines.append(f"  call void @{names[group]}({given})")
        for slot in written & self.values.keys():
            del self.values[slot]

    def _define_piece(self, group: Alike) -> str:
        """Emit the function of some pieces; its name."""
        moved, places = group.places()
        part = Emitter(self.programs, self.target, self.origin)
        part.regions = self.regions
        part.moved = {slot: (f"%p{place}", by) for slot, (place, by) in moved.items()}
        part.fixed = self._coefficients
        part._run(group.items, group.stored)
        name = f"{PLACE}{len(self.parts)}"
        bases = ["%ws", *self._bases, *(f"%p{k}" for k in range(len(places)))]
        self.parts.append(part.define(name, ", ".join(f"ptr noalias {base}" for base in bases)))
        return name

    @property
    def _labels(self) -> list[int]:
        """Of each slot what tells it from those it must not be mixed with; -1: a constant."""
        labels = [0] * self.layout.slots
        for number, slots in enumerate([self._coefficients, *self.regions]):
            labels[slots.start : slots.stop] = [1 + number] * len(slots)
        for slot in self.constants:
            labels[slot] = -1
        return labels

    @property
    def _coefficients(self) -> range:
        return range(self.layout.coef, self.layout.coef + self.layout.n_coef)

    @property
    def _bases(self) -> list[str]:
        return list(dict.fromkeys(self.regions.values()))

    def _run(self, items: Sequence[Instruction], stored: Container[int]) -> None:
        last = {item.dst: k for k, item in enumerate(items)}  # scratch slots serve many times
        for k, item in enumerate(items):
            if item.op == Op.SUM:
                self.values[item.dst] = self.sum(item)
            else:
                self.values[item.dst] = self.operation(
                    item.op, [self.get(slot) for slot in item.operands]
                )
            if item.dst in stored and last[item.dst] == k:
                self.store(item.dst, self.values[item.dst])

    def is_one(self, slot: int) -> bool:
        return self.constants.get(slot) == 1.0

    def sum(self, item: Instruction) -> str:
        acc = self.get(item.operands[0]) if item.operands else None
        for negative, (a, b) in [
            *((False, pair) for pair in item.plus),
            *((True, pair) for pair in item.minus),
        ]:
            if acc is None:
                acc = self.binary("fmul", self.get(a), self.get(b))
                acc = self.new(f"fneg {self.pack} {acc}") if negative else acc
            elif self.is_one(a) or self.is_one(b):  # the same bits as a fused multiply-add by one
                acc = self.binary(
                    "fsub" if negative else "fadd", acc, self.get(b if self.is_one(a) else a)
                )
            else:
                factor = self.get(a)
                factor = self.new(f"fneg {self.pack} {factor}") if negative else factor
                acc = self.fma(factor, self.get(b), acc)
        assert acc is not None  # a sum has at least one term
        return acc

    def operation(self, op: Op, x: list[str]) -> str:
        one, zero = self.constant(1.0), self.constant(0.0)
        if op == Op.DIV:
            return self.binary("fdiv", x[0], x[1])
        if op == Op.SQRT:
            return self.unary("sqrt", x[0])
        if op in (Op.MIN, Op.MAX):
            return self.choose(
                self.compare("olt" if op == Op.MIN else "ogt", x[0], x[1]), x[0], x[1]
            )
        if op in (Op.LT, Op.LE):
            return self.choose(self.compare("olt" if op == Op.LT else "ole", x[0], x[1]), one, zero)
        if op == Op.SELECT:
            return self.choose(self.compare("une", x[0], zero), x[1], x[2])
        if op == Op.ABS:
            return self.unary("fabs", x[0])
        magic = self.constant(1.5 * 2.0**52)  # adding it rounds to an integer, in the low bits
        if op == Op.ROUND:
            return self.binary("fsub", self.binary("fadd", x[0], magic), magic)
        if op == Op.EXP2I:
            words = self.to_words(self.binary("fadd", x[0], magic))
            return self.to_doubles(
                self.words_operation("shl", self.words_operation("add", words, 1023), 52)
            )
        words = self.to_words(x[0])
        if op == Op.EXPONENT:
            field = self.words_operation(
                "or", self.words_operation("lshr", words, 52), 0x4330000000000000
            )
            return self.binary("fsub", self.to_doubles(field), self.constant(2.0**52 + 1023.0))
        field = self.words_operation("and", words, 0x000FFFFFFFFFFFFF)
        return self.to_doubles(self.words_operation("or", field, 0x3FF0000000000000))

    def call(self, name: str, *places: int) -> None:
        """Emit a call of a function of the workspace and of the addresses of some slots."""
        arguments = ["ptr %ws", *(f"ptr {self.address(place)}" for place in places)]
        self.lines.append(f"  call void @{name}({', '.join(arguments)})")

    def define(
        self, name: str, arguments: str = "ptr noalias %ws", *, internal: bool = True
    ) -> str:
        """The text of the function with all that has been emitted as its body."""
        scope = "internal " if internal else ""
        text = "\n".join(
            [
                *self.parts,
                f"define {scope}void @{name}({arguments}) #0 {{",
                *self.lines,
                "  ret void",
                "}",
                "",
            ]
        )
        return text.replace(f"@{PLACE}", f"@{name}.") if name[0] != PLACE[0] else text


def is_long(code: NDArray[np.int32]) -> bool:
    """Whether a program is cut into functions."""
    return len(code) > LONG


def module(functions: list[str], target: Target) -> str:
    """The IR module of some functions."""
    w, bits = target.width, target.width * 64
    pack = f"<{w} x double>"
    return "\n".join(
        [
            f'target triple = "{target.triple}"',
            *(f"declare {pack} @llvm.{name}.v{w}f64({pack})" for name in ("fabs", "sqrt")),
            f"declare {pack} @llvm.fma.v{w}f64({pack}, {pack}, {pack})",
            "",
            *functions,
            "!0 = !{}",
            # alignstack: spilled registers would else lie across cache lines, and stall.
            f"attributes #0 = {{ noinline nounwind alignstack={w * 8} "
            f'"min-legal-vector-width"="{bits}" "prefer-vector-width"="{bits}" }}',
            "",
        ]
    )


def adds_previous_stage(a: Any, i: int) -> bool:
    """Row i of A is row i - 1 with a one added, so that y_i = y_{i-1} + u_{i-1}."""
    return i >= 2 and bool((a[i][: i - 1] == a[i - 1][: i - 1]).all()) and a[i][i - 1] == 1.0
