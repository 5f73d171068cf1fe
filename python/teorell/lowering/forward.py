"""Forward mode: the program of J v for a recorded program.

As in Griewank and Walther, Evaluating Derivatives, 2008, 3.1.
"""

from __future__ import annotations

from collections.abc import Callable

from teorell.lowering.builder import Builder, Pair, Record, Slot
from teorell.lowering.elementary import FUNCTIONS
from teorell.lowering.program import Op
from teorell.lowering.reverse import Cotangent, finite_at_zero, pow_slopes, sqrt_slope
from teorell.lowering.trace import Recorder

__all__ = ["push_forward"]


def push_forward(
    trace: Recorder, b: Builder, values: list[int], leaf: Callable[[Slot], int | None]
) -> list[int | None]:
    """The tangent of every value of the trace as a value of b, None where it is zero.

    values: what `trace.copy(b)` returned; leaf: the tangent of what lies in a slot.
    """
    tangents: list[int | None] = []
    for number, record in enumerate(trace.records):
        tangents.append(
            leaf(record) if len(record) == 2 else _step(trace, b, values, tangents, number, record)
        )
    return tangents


def _step(
    trace: Recorder,
    b: Builder,
    values: list[int],
    tangents: list[int | None],
    number: int,
    record: Record,
) -> int | None:
    """The tangent of the value of one record, by the chain rule; None where it is zero."""
    op, operands, plus, minus = record
    if op == Op.SUM:
        return _sum(b, values, tangents, operands[0], plus, minus)
    xs = [values[operand] for operand in operands]
    dots = [tangents[operand] for operand in operands]
    y, zero = values[number], b.constant(0.0)
    if all(dot is None for dot in (dots[1:] if op == Op.SELECT else dots)) or op in (Op.LT, Op.LE):
        return None
    full = [zero if dot is None else dot for dot in dots]
    dx = full[0]
    if op == Op.DIV:
        above = dx if dots[1] is None else b.sum(dots[0], [], [(y, full[1])])
        return b.div(above, xs[1])
    if op in (Op.MIN, Op.MAX):
        first = b.op(Op.LT, xs[0], xs[1]) if op == Op.MIN else b.op(Op.LT, xs[1], xs[0])
        return b.select(first, dx, full[1])
    if op == Op.SELECT:
        return b.select(xs[0], full[1], full[2])
    if op == "side":
        return b.select(xs[0], full[1], full[2])
    if op == Op.ABS:
        return b.select(b.op(Op.LT, xs[0], zero), b.neg(dx), dx)
    if op == Op.SQRT:
        return b.div(b.mul(dx, b.constant(0.5)), y)
    if op == "time_sqrt":
        return b.mul(dx, sqrt_slope(b, y))
    if op == "exp":
        return b.mul(dx, y)
    if op == "log":
        return b.div(dx, xs[0])
    if op == "tanh":
        return b.mul(dx, b.sum(b.one, [], [(y, y)]))
    if op == "sin":
        return b.mul(dx, FUNCTIONS["cos"](b, xs[0]))
    if op == "cos":
        return b.neg(b.mul(dx, FUNCTIONS["sin"](b, xs[0])))
    if op in ("pow", "time_pow"):
        by_base, by_exponent = pow_slopes(b, xs[0], xs[1], y, trace.exponent(operands[1]))
        if op == "time_pow":
            by_base = finite_at_zero(b, xs[0], xs[1], by_base)
        plus_terms = [
            (slope, dot)
            for slope, dot in zip((by_base, by_exponent), dots, strict=True)
            if dot is not None
        ]
        return b.sum(None, plus_terms)
    raise AssertionError(f"no derivative of instruction {op}")


def _sum(
    b: Builder,
    values: list[int],
    tangents: list[int | None],
    init: int,
    plus: tuple[Pair, ...],
    minus: tuple[Pair, ...],
) -> int | None:
    """The tangent of a sum of products; None where it is zero."""
    total = Cotangent()
    start = tangents[init] if init >= 0 else None
    if start is not None:
        total.singles.append(start)
    for sign, pairs in ((1, plus), (-1, minus)):
        for x, y in pairs:
            for factor, dot in ((values[y], tangents[x]), (values[x], tangents[y])):
                if dot is not None and factor == b.one:
                    total.single(sign, dot, b.one)
                elif dot is not None:
                    total.add(sign, factor, dot)
    if not (total.singles or total.plus or total.minus):
        return None
    return total.value(b)
