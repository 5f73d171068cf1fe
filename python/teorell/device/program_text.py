"""The text of a program in C++: every slot a variable, in the words of lanes.hpp.

It does the operations of cpp/include/teorell/interpreter.hpp in their order, so with its bits; the
text serves packs of lanes of a processor and threads of a device alike. What lives within the
program alone stays in variables: slots are written for results, once each.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from teorell.engine.pieces import cut, read_later
from teorell.lowering.program import Instruction, Op, instructions

if TYPE_CHECKING:
    from teorell.lowering import Programs
    from teorell.lowering.program import Words

__all__ = ["constant", "function"]

INDENT = " " * 8
LONG = 256  # instructions; a program of more is cut into functions
_WORDS = {
    Op.DIV: "{} / {}",
    Op.SQRT: "sqrt({})",
    Op.MIN: "min({}, {})",
    Op.MAX: "max({}, {})",
    Op.LT: "select({} < {}, one, zero)",
    Op.LE: "select({} <= {}, one, zero)",
    Op.SELECT: "select({} != zero, {}, {})",
    Op.ABS: "abs({})",
    Op.ROUND: "round_to_integer({})",
    Op.EXP2I: "exp2_integer({})",
    Op.EXPONENT: "exponent({})",
    Op.MANTISSA: "mantissa({})",
}
_NEED = {Op.LT: ("one", "zero"), Op.LE: ("one", "zero"), Op.SELECT: ("zero",)}


def constant(value: float) -> str:
    """A number to its last bit."""
    if math.isfinite(value):
        return float(value).hex()
    bits = struct.unpack("<q", struct.pack("<d", value))[0]
    return f"from_bits({bits}ll)"


class _Body:
    """The lines of one function, and the variables that hold slots."""

    def __init__(self, programs: Programs, regions: Mapping[str, range]) -> None:
        first = programs.layout.const
        self.constants = {first + i: float(c) for i, c in enumerate(programs.constants)}
        self.regions = regions
        self.lines: list[str] = []
        self.variables: dict[int, str] = {}
        self.needed: set[str] = set()
        self.count = 0

    def place(self, slot: int) -> tuple[str, int]:
        """The argument in which the slot lies, and its number there."""
        for name, slots in self.regions.items():
            if slot in slots:
                return name, slot - slots.start
        return "w", slot

    def variable(self, text: str) -> str:
        self.count += 1
        self.lines.append(f"const V v{self.count} = {text};")
        return f"v{self.count}"

    def get(self, slot: int) -> str:
        if slot in self.constants:
            return f"P::broadcast({constant(self.constants[slot])})"
        if slot not in self.variables:
            name, k = self.place(slot)
            self.variables[slot] = self.variable(f"{name}[{k}]")
        return self.variables[slot]

    def is_one(self, slot: int) -> bool:
        return self.constants.get(slot) == 1.0

    def sum(self, item: Instruction) -> str:
        total = self.get(item.operands[0]) if item.operands else None
        terms = [*((pair, "") for pair in item.plus), *((pair, "-") for pair in item.minus)]
        for (a, b), sign in terms:
            if total is None:
                product = f"{self.get(a)} * {self.get(b)}"
                total = self.variable(f"-({product})" if sign else product)
            elif self.is_one(a) or self.is_one(b):  # the bits of a fused multiply-add by one
                total = self.variable(
                    f"{total} {sign or '+'} {self.get(b if self.is_one(a) else a)}"
                )
            else:
                total = self.variable(f"fma({sign}{self.get(a)}, {self.get(b)}, {total})")
        assert total is not None  # a sum has at least one term
        return total

    def run(self, items: Sequence[Instruction], results: Collection[int]) -> None:
        """The instructions; of the slots `results` the last value is stored."""
        last = {item.dst: k for k, item in enumerate(items)}  # scratch slots serve many times
        for k, item in enumerate(items):
            if item.op == Op.SUM:
                value = self.sum(item)
            else:
                self.needed.update(_NEED.get(item.op, ()))
                value = self.variable(_WORDS[item.op].format(*map(self.get, item.operands)))
            self.variables[item.dst] = value
            if item.dst in results and last[item.dst] == k:
                name, number = self.place(item.dst)
                self.lines.append(f"{name}.put({number}, {value});")

    def text(self) -> str:
        known = {"one": "1.0", "zero": "0.0"}
        first = [f"const V {name} = P::broadcast({known[name]});" for name in sorted(self.needed)]
        return "".join(f"{INDENT}{line}\n" for line in [*first, *self.lines])


def function(
    programs: Programs, name: str, codes: Sequence[Words], regions: Mapping[str, range]
) -> str:
    """The static member function `name` of a model: programs, one after the other.

    regions: its arguments beside the workspace w, and the slots that each stands for. A long
    program is cut into functions of their own, values between them in the workspace: the time
    that compilers take grows faster than the length of a function.
    """
    at = programs.layout
    temporaries = {
        *range(at.temp, at.temp + at.n_temp),
        *range(at.scratch, at.scratch + at.n_scratch),
    }
    items = [item for code in codes for item in instructions(code)]
    pieces = list(cut(items)) if len(items) > LONG else [items]
    texts = []
    for piece, results in zip(pieces, read_later(pieces, temporaries), strict=True):
        body = _Body(programs, regions)
        body.run(piece, results)
        texts.append(body.text())
    if len(texts) == 1:
        return _defined(name, texts[0], regions, "TEORELL_INLINE")
    names = [f"{name}_{k}" for k in range(len(texts))]
    given = ", ".join(("w", *regions))
    calls = "".join(f"{INDENT}{part}({given});\n" for part in names)
    parts = [
        _defined(part, text, regions, "TEORELL_NOINLINE")
        for part, text in zip(names, texts, strict=True)
    ]
    return "".join([*parts, _defined(name, calls, regions, "TEORELL_INLINE")])


def _defined(name: str, body: str, regions: Mapping[str, range], inline: str) -> str:
    kinds = {region: f"{region.upper()}_" for region in regions}
    template = ", ".join(f"class {kind}" for kind in kinds.values())
    of_regions = (f", [[maybe_unused]] {kind}&& {region}" for region, kind in kinds.items())
    head = f"    template <{template}>\n" if template else ""
    arguments = f"[[maybe_unused]] Slots w{''.join(of_regions)}"
    return f"{head}    TEORELL_HD {inline} static void {name}({arguments}) {{\n{body}    }}\n"
