"""Reverse mode: the program of v' J for a recorded program.

As in Griewank and Walther, Evaluating Derivatives, 2008, 3.2. Contributions to a cotangent are
gathered and become one fused sum. Equal products are differentiated once: a flow k y that leaves
one state and enters another has the cotangent w_to - w_from, computed once for k and for y. At
kinks the side of calculus.py is taken. A branch that `select` does not take has cotangent zero;
where it is infinite, zero times infinity would be NaN, so slopes below a `select` are taken only
where the cotangent is not zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from teorell.lowering.builder import Builder, Pair, Slot
from teorell.lowering.elementary import FUNCTIONS, power
from teorell.lowering.program import Op
from teorell.lowering.trace import Recorder
from teorell.lowering.values import Terms

__all__ = ["Cotangent", "finite_at_zero", "pow_slopes", "pull_back", "sqrt_slope"]


class Cotangent(Terms):
    """A cotangent in the making; `below` says that part of it comes out of a select."""

    def __init__(self) -> None:
        super().__init__()
        self.below = False

    def single(self, sign: int, value: int, one: int) -> None:
        if sign > 0:
            self.singles.append(value)
        else:
            self.minus.append((value, one))

    def signed(self, b: Builder) -> tuple[int, int]:
        """A sign and a value whose product is the sum: a lone term need not be negated."""
        if not self.singles and not self.plus and len(self.minus) == 1 and b.one in self.minus[0]:
            x, y = self.minus[0]
            return -1, y if x == b.one else x
        return 1, self.value(b)


def pull_back(
    trace: Recorder,
    b: Builder,
    values: list[int],
    seeds: Iterable[tuple[int, int]],
    wanted: Callable[[Slot], bool],
) -> dict[Slot, Cotangent]:
    """Cotangents of the leaves that are `wanted`, given those of some values of the trace.

    values: what `trace.copy(b)` returned; seeds: (value of the trace, its cotangent as a value of
    b).
    """
    return _Reverse(trace, b, values, wanted).run(seeds)


class _Reverse:
    """One walk back through a trace; `bars` are the cotangents of its values."""

    def __init__(
        self, trace: Recorder, b: Builder, values: list[int], wanted: Callable[[Slot], bool]
    ) -> None:
        self.trace, self.b, self.values = trace, b, values
        self.bars: dict[int, Cotangent] = {}
        self.products: dict[int, dict[Pair, Cotangent]] = {}  # by the factor that comes later
        self.active: list[bool] = []
        for record in trace.records:
            if len(record) == 2:
                self.active.append(wanted(record))
            else:
                _, operands, plus, minus = record
                inside = [x for x in operands if x >= 0] + [
                    x for pair in plus + minus for x in pair
                ]
                self.active.append(any(self.active[x] for x in inside))

    def run(self, seeds: Iterable[tuple[int, int]]) -> dict[Slot, Cotangent]:
        for number, cotangent in seeds:
            self.add(number, 1, cotangent, False)
        found: dict[Slot, Cotangent] = {}
        for number in range(len(self.trace.records) - 1, -1, -1):
            for (x, y), bar in self.products.pop(number, {}).items():
                sign, value = bar.signed(self.b)
                self.times(x, sign, value, self.values[y], bar.below)
                self.times(y, sign, value, self.values[x], bar.below)
            bar = self.bars.pop(number, Cotangent())
            record = self.trace.records[number]
            if not (bar.singles or bar.plus or bar.minus):
                continue
            if len(record) == 2:
                found[record] = bar
            else:
                self.step(number, bar)
        return found

    def bar(self, number: int) -> Cotangent:
        return self.bars.setdefault(number, Cotangent())

    def add(self, number: int, sign: int, value: int, below: bool) -> None:
        if self.active[number]:
            bar = self.bar(number)
            bar.single(sign, value, self.b.one)
            bar.below |= below

    def times(self, number: int, sign: int, cotangent: int, slope: int, below: bool) -> None:
        """Add sign * cotangent * slope to the cotangent of a value.

        below: nothing is added where the cotangent, of a branch that was not taken, is zero.
        """
        if not self.active[number]:
            return
        bar = self.bar(number)
        if below:
            bar.single(sign, self.guarded(cotangent, self.b.mul(cotangent, slope)), self.b.one)
        else:
            bar.add(sign, cotangent, slope)
        bar.below |= below

    def guarded(self, cotangent: int, value: int) -> int:
        """`value` where the cotangent is not 0, else 0."""
        return self.b.select(cotangent, value, self.b.constant(0.0))

    def step(self, number: int, bar: Cotangent) -> None:
        """Pass the cotangent of one record on to its operands, by the chain rule."""
        b, values, below = self.b, self.values, bar.below
        record = self.trace.records[number]
        assert len(record) == 4
        op, operands, plus, minus = record
        sign, w = bar.signed(b)
        y = values[number]
        zero = b.constant(0.0)
        if op == Op.SUM:
            if operands[0] >= 0:
                self.add(operands[0], sign, w, below)
            for direction, pairs in ((sign, plus), (-sign, minus)):
                for pair in pairs:
                    self.product(pair, direction, w, below)
            return
        a, xs = operands[0], [values[operand] for operand in operands]
        if op == Op.DIV:
            t = b.div(w, xs[1])
            if below:
                t = self.guarded(w, t)
            self.add(a, sign, t, below)
            self.times(operands[1], -sign, t, y, below)
        elif op in (Op.MIN, Op.MAX):
            first = b.op(Op.LT, xs[0], xs[1]) if op == Op.MIN else b.op(Op.LT, xs[1], xs[0])
            self.add(a, sign, b.select(first, w, zero), True)
            self.add(operands[1], sign, b.select(first, zero, w), True)
        elif op == Op.SELECT:
            self.add(operands[1], sign, b.select(xs[0], w, zero), True)
            self.add(operands[2], sign, b.select(xs[0], zero, w), True)
        elif op == Op.ABS:
            self.add(a, sign, b.select(b.op(Op.LT, xs[0], zero), b.neg(w), w), below)
        elif op == Op.SQRT:
            t = b.div(b.mul(w, b.constant(0.5)), y)
            self.add(a, sign, self.guarded(w, t) if below else t, below)
        elif op == "time_sqrt":
            self.times(a, sign, w, sqrt_slope(b, y), below)
        elif op == "exp":
            self.times(a, sign, w, y, below)
        elif op == "log":
            t = b.div(w, xs[0])
            self.add(a, sign, self.guarded(w, t) if below else t, below)
        elif op == "tanh":
            self.times(a, sign, w, b.sum(b.one, [], [(y, y)]), below)
        elif op == "sin":
            self.times(a, sign, w, FUNCTIONS["cos"](b, xs[0]), below)
        elif op == "cos":
            self.times(a, -sign, w, FUNCTIONS["sin"](b, xs[0]), below)
        elif op in ("pow", "time_pow"):
            base, exponent = pow_slopes(b, xs[0], xs[1], y, self.trace.exponent(operands[1]))
            if op == "time_pow":
                base = finite_at_zero(b, xs[0], xs[1], base)
            self.times(a, sign, w, base, below)
            self.times(operands[1], sign, w, exponent, below)
        elif op == "side":
            self.add(operands[1], sign, b.select(xs[0], w, zero), True)
            self.add(operands[2], sign, b.select(xs[0], zero, w), True)
        elif op not in (Op.LT, Op.LE):
            raise AssertionError(f"no derivative of instruction {op}")

    def product(self, pair: Pair, sign: int, w: int, below: bool) -> None:
        """Gather the cotangent of a product, or pass it on where one factor is 1."""
        x, y = pair
        one = self.trace.one
        if one in pair:
            self.add(y if x == one else x, sign, w, below)
        elif self.active[x] or self.active[y]:
            products = self.products.setdefault(max(pair), {})
            bar = products.setdefault(pair, Cotangent())
            bar.single(sign, w, self.b.one)
            bar.below |= below


def pow_slopes(b: Builder, x: int, y: int, value: int, exponent: float | None) -> tuple[int, int]:
    """d x^y / dx and d x^y / dy, as calculus.py has them.

    value: x^y. exponent: y if it is a number.
    """
    less = None if exponent is None else exponent - 1.0
    lowered = power(b, x, b.sub(y, b.one) if less is None else b.constant(less), less)
    by_base = b.mul(y, lowered)
    zero = b.constant(0.0)
    if exponent is not None:
        return by_base, zero
    return by_base, b.select(b.op(Op.LT, zero, x), b.mul(value, FUNCTIONS["log"](b, x)), zero)


def finite_at_zero(b: Builder, x: int, y: int, slope: int) -> int:
    """The slope of x^y by x, or 0 where it is infinite: at x = 0 for y < 1 (calculus.py)."""
    zero = b.constant(0.0)
    steep = b.select(b.op(Op.LE, b.one, y), slope, zero)
    return b.select(b.op(Op.LT, zero, x), slope, steep)


def sqrt_slope(b: Builder, root: int) -> int:
    """The slope of a square root of time, given its value; 0 at 0."""
    zero = b.constant(0.0)
    return b.select(b.op(Op.LT, zero, root), b.div(b.constant(0.5), root), zero)
