"""What lowering produces: straight-line programs over numbered slots.

The instruction set is that of docs/programs.md, which every executor follows.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from teorell.lowering.layout import Layout
from teorell.model.expression import Expression

__all__ = [
    "ACTION", "JUMP", "JVP", "KINK", "PROGRAMS", "SCALARS", "VJP", "Action", "Instruction", "Op",
    "Programs", "Surface", "Switch", "Words", "instructions", "slots_read",
]  # fmt: skip

Words = NDArray[np.int32]

VJP = (
    "solve_transposed", "stage_vjp", "second_vjp", "outputs_vjp", "initial_vjp", "prepare_vjp",
    "surfaces_vjp", "actions_vjp",
)  # fmt: skip
JVP = (
    "stage_jvp", "second_jvp", "outputs_jvp", "initial_jvp", "prepare_jvp", "surfaces_jvp",
    "actions_jvp",
)  # fmt: skip
PROGRAMS = (
    "prepare", "initial", "rhs", "df_dt", "jacobian_lu", "solve", "outputs", "surfaces",
    "surface_rates", "event_conditions", "actions", "action_rates", *VJP, *JVP,
)  # fmt: skip
# region scalar, which has room for 12
SCALARS = ("t", "tn", "h", "hinv", "ghinv", "rtol", "err2", "pivot", "valid")


class Op(IntEnum):
    """Instruction codes."""

    END = 0
    SUM = 1
    DIV = 2
    SQRT = 3
    MIN = 4
    MAX = 5
    LT = 6
    LE = 7
    SELECT = 8
    ABS = 9
    ROUND = 10
    EXP2I = 11
    EXPONENT = 12
    MANTISSA = 13
    MUL = 14
    FMA = 15


WORDS = {
    Op.END: 1,
    Op.MUL: 4,
    Op.FMA: 5,
    Op.DIV: 4,
    Op.MIN: 4,
    Op.MAX: 4,
    Op.LT: 4,
    Op.LE: 4,
    Op.SELECT: 5,
} | dict.fromkeys((Op.SQRT, Op.ABS, Op.ROUND, Op.EXP2I, Op.EXPONENT, Op.MANTISSA), 3)


@dataclass(frozen=True)
class Switch:
    """A condition on time alone.

    It is `before` until the time `threshold` (of parameters only), `after` from then on.
    """

    threshold: Expression
    before: float
    after: float


@dataclass(frozen=True)
class Surface:
    """Where a condition on states changes: where the distance, an expression, passes zero."""

    distance: Expression
    condition: Expression  # as the model says it
    kind: int  # JUMP, KINK or ACTION


JUMP, KINK, ACTION = 0, 1, 2
"""What changes at a surface: rates, their slopes alone, or whether an action is taken."""


class Action(NamedTuple):
    """What an event gives a state; both by number."""

    event: int
    state: int


@dataclass(frozen=True, eq=False)
class Programs:
    """A lowered model: everything an executor needs, as integers and float64."""

    layout: Layout
    constants: NDArray[np.float64]  # (n_const,)
    prepare: Words
    initial: Words
    rhs: Words
    df_dt: Words
    jacobian_lu: Words
    solve: Words
    outputs: Words
    surfaces: Words
    surface_rates: Words
    event_conditions: Words
    actions: Words
    action_rates: Words
    solve_transposed: Words  # this and the next are empty unless derivatives is "vjp"
    stage_vjp: Words
    second_vjp: Words
    outputs_vjp: Words
    initial_vjp: Words
    prepare_vjp: Words
    surfaces_vjp: Words
    actions_vjp: Words
    stage_jvp: Words  # these are empty unless derivatives is "jvp"
    second_jvp: Words
    outputs_jvp: Words
    initial_jvp: Words
    prepare_jvp: Words
    surfaces_jvp: Words
    actions_jvp: Words
    derivatives: str | None
    # (n_entries, 3) of the entries of the Jacobian with second derivatives: row, column, and the
    # number of the column among theirs
    entries: Words
    output_coefs: Words  # (n_outcoef,) the coefficient of each slot of region outcoef
    ft_rows: Words  # (n_ft,) the state of each slot of region ft
    infused: tuple[str, ...]
    output_states: Words  # states that outputs read
    controlled: NDArray[np.uint8]  # (n,)
    signed: NDArray[np.uint8]  # (n,)
    switches: tuple[Switch, ...]
    conditions: tuple[Surface, ...]  # their sides follow the switches
    assigned: tuple[Action, ...]
    event_surfaces: tuple[int, ...]  # a surface that each event's condition reads, or -1
    state_names: tuple[str, ...]
    parameter_names: tuple[str, ...]  # those of the model, then one for each of arrivals
    arrivals: tuple[str, ...]  # states whose last dose is read
    output_names: tuple[str, ...]
    order: tuple[int, ...]  # states in order of elimination
    jacobian_pattern: tuple[tuple[int, int], ...]  # (row, column), row by row
    fill: int  # entries of the factors that the matrix itself has not

    @property
    def sampled_states(self) -> Words:
        """(n,) the states whose values outputs_vjp reads."""
        first, read = self.layout.y, slots_read(self.outputs_vjp)
        return np.array([k for k in range(self.layout.n) if first + k in read], dtype=np.int32)

    @property
    def surface_states(self) -> Words:
        """(n,) the states that the distances from surfaces read."""
        first, read = self.layout.y, slots_read(self.surfaces)
        return np.array([k for k in range(self.layout.n) if first + k in read], dtype=np.int32)

    @property
    def digest(self) -> str:
        """SHA-256 in hexadecimal of everything that decides the machine code of derivatives."""
        known: str | None = self.__dict__.get("_digest")
        if known is None:
            whole = hashlib.sha256()
            slots = [getattr(self.layout, field.name) for field in fields(self.layout)]
            whole.update(repr(slots).encode())
            for part in (
                self.constants,
                self.ft_rows,
                self.output_states,
                self.controlled,
                self.signed,
                self.entries,
                self.output_coefs,
            ):
                whole.update(f"|{part.size}|".encode() + part.tobytes())
            for name in PROGRAMS:
                words: Words = getattr(self, name)
                whole.update(f"|{name} {words.size}|".encode() + words.tobytes())
            known = whole.hexdigest()
            self.__dict__["_digest"] = known
        return known

    @cached_property
    def step_digest(self) -> str:
        """The same of a step: its programs, however constants and slots are numbered."""
        at = self.layout
        shape = (at.n, at.n_lu, at.n_ft, at.stages)
        known = [self.canonical(name) for name in ("rhs", "df_dt", "jacobian_lu", "solve")]
        parts = (self.ft_rows, self.controlled, self.signed)
        whole = hashlib.sha256(repr((shape, [part.tolist() for part in parts])).encode())
        for words in known:
            whole.update(f"|{len(words)}|".encode() + words)
        return whole.hexdigest()

    @cached_property
    def outputs_digest(self) -> str:
        """The same of the outputs."""
        at = self.layout
        shape = repr((at.out - at.scalar, at.n_out)).encode()
        return hashlib.sha256(shape + self.canonical("outputs")).hexdigest()

    def canonical(self, name: str) -> bytes:
        """A program with constants by their value and slots by their distance from region scalar:
        what its machine code is made of.
        """
        first, last, origin = self.layout.const, self.layout.coef, self.layout.scalar

        def operand(slot: int) -> float | int:
            return float(self.constants[slot - first]) if first <= slot < last else slot - origin

        return repr(
            [
                (
                    int(item.op),
                    item.dst - origin,
                    [operand(slot) for slot in item.operands],
                    [[operand(a), operand(b)] for a, b in item.plus],
                    [[operand(a), operand(b)] for a, b in item.minus],
                )
                for item in instructions(getattr(self, name))
            ]
        ).encode()

    def products(self, name: str) -> int:
        """Multiplications and fused multiply-adds of a program.

        A product with `one` is a plain addition, and not counted.
        """
        pairs = [
            pair for item in instructions(getattr(self, name)) for pair in (*item.plus, *item.minus)
        ]
        return sum(self.layout.one not in pair for pair in pairs)

    def counts(self, name: str) -> dict[str, int]:
        """Instructions of a program by operation, for reports."""
        return dict(Counter(item.op.name for item in instructions(getattr(self, name))))


class Instruction(NamedTuple):
    """One instruction in readable form.

    A SUM has its init in `operands` (none: empty) and its products apart. MUL and FMA are the short
    forms of a SUM of one product, and are read as such.
    """

    op: Op
    dst: int
    operands: tuple[int, ...]
    plus: tuple[tuple[int, int], ...] = ()
    minus: tuple[tuple[int, int], ...] = ()


def instructions(words: Words) -> Iterator[Instruction]:
    """The instructions of a program, in order."""
    code = words.tolist()
    at = 0
    while code[at] != Op.END:
        op = Op(code[at])
        if op == Op.SUM:
            dst, init, plus, minus = code[at + 1 : at + 5]
            start, at = at + 5, at + 5 + 2 * (plus + minus)
            pairs = tuple(zip(code[start:at:2], code[start + 1 : at : 2], strict=True))
            yield Instruction(op, dst, () if init < 0 else (init,), pairs[:plus], pairs[plus:])
        elif op in (Op.MUL, Op.FMA):
            *init, a, b = code[at + 2 : at + WORDS[op]]
            yield Instruction(Op.SUM, code[at + 1], tuple(init), ((a, b),))
            at += WORDS[op]
        else:
            yield Instruction(op, code[at + 1], tuple(code[at + 2 : at + WORDS[op]]))
            at += WORDS[op]


def slots_read(words: Words) -> frozenset[int]:
    """Every slot that a program reads."""
    read: set[int] = set()
    for item in instructions(words):
        read.update(item.operands)
        for pair in (*item.plus, *item.minus):
            read.update(pair)
    return frozenset(read)
