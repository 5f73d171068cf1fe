"""exp, log, pow and tanh (sin and cos: circular.py), written out in primitive instructions.

One definition, the same bits everywhere. Range reductions follow Cody and Waite, Software Manual
for the Elementary Functions, 1980: the leading part of each constant has so few bits that its
product with the integer is exact, with or without fused multiply-add. The polynomials interpolate
at Chebyshev nodes, computed with 240 bits; the comment beside each gives its error.
tests/lowering/test_elementary.py measures every function against mpmath, with and without fused
multiply-add.

Where an operand may be NaN it is the second of MIN and MAX, which then return it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from teorell.lowering.builder import Builder
from teorell.lowering.circular import cos, horner, sin
from teorell.lowering.program import Op

__all__ = ["FUNCTIONS", "power"]

# ln 2 in 32 and 53 bits
LN2_HIGH = float.fromhex("0x1.62e42fee00000p-1")
LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
SMALLEST_NORMAL = 2.0**-1022
SPLITTER = 2.0**27 + 1.0

# (exp(r) - 1 - r - r^2 / 2) / r^3 for abs(r) <= ln(2) / 2; error of exp below 2^-60
EXP = (
    0.16666666666666669, 0.041666666666666664, 0.008333333333330062, 0.0013888888888886552,
    0.00019841269863053618, 2.4801587317144498e-05, 2.7557268459997064e-06, 2.755728296954995e-07,
    2.510038549551032e-08, 2.0911236630261545e-09,
)  # fmt: skip
# (log((1 + s) / (1 - s)) / s - 2) / s^2 in z = s^2, s <= (sqrt(2) - 1) / (sqrt(2) + 1);
# error of the log below 2^-59 s
LOG = (
    0.6666666666666666, 0.4000000000000088, 0.2857142857080323, 0.2222222239180047,
    0.18181795630884753, 0.15386240205813478, 0.13268759668560612, 0.13086767009948175,
)  # fmt: skip


def exp(b: Builder, x: int) -> int:
    """e^x to 1 ulp; subnormal results are right, too large ones inf."""
    return _exp(b, x, None)


def _exp(b: Builder, high: int, low: int | None) -> int:
    """e^(high + low) for a small `low`: 2^k e^r, with the rounding error of r carried along."""
    x = b.op(Op.MAX, b.constant(-746.0), b.op(Op.MIN, b.constant(710.0), high))
    k = b.op(Op.ROUND, b.mul(x, b.constant(1.0 / math.log(2.0))))
    r, error = _reduced(b, x, k)
    z = b.mul(r, r)
    # e^(r + error) = 1 + r + small + error * slope,
    # slope = e^r or, where the error is that of r alone, 1 + r
    cube, tail = b.mul(z, r), horner(b, EXP, r)
    if low is None:
        small = b.sum(b.fma(error, r, error), [(cube, tail), (z, b.constant(0.5))])
    else:
        small = b.sum(b.mul(cube, tail), [(z, b.constant(0.5))])
        small = b.fma(b.add(error, low), b.add(b.one, b.add(r, small)), small)
    p = b.add(b.one, b.add(r, small))
    half = b.op(Op.ROUND, b.mul(k, b.constant(0.5)))
    return b.mul(b.mul(p, b.op(Op.EXP2I, half)), b.op(Op.EXP2I, b.sub(k, half)))


def _reduced(b: Builder, x: int, k: int) -> tuple[int, int]:
    """x - k ln 2 and the rounding error of that difference."""
    first = b.sum(x, [], [(k, b.constant(LN2_HIGH))])
    second = b.mul(k, b.constant(LN2_LOW))
    r = b.sub(first, second)
    return r, b.sub(b.sub(first, r), second)


def log(b: Builder, x: int) -> int:
    """The natural logarithm to 1 ulp; log(0) = -inf, NaN below."""
    k, f = _split(b, x)
    s = b.div(f, b.add(f, b.constant(2.0)))
    z = b.mul(s, s)
    half = b.mul(b.mul(f, b.constant(0.5)), f)
    # log(1 + f) = f - (f^2 / 2 - s (f^2 / 2 + z P(z))),
    # as log(1 + f) = 2 s + s z P(z) and 2 s = f - s f
    tail = b.fma(k, b.constant(LN2_LOW), b.mul(s, b.fma(z, horner(b, LOG, z), half)))
    value = b.sub(b.mul(k, b.constant(LN2_HIGH)), b.sub(b.sub(half, tail), f))
    zero, infinity = b.constant(0.0), b.constant(math.inf)
    value = b.select(b.op(Op.LE, x, zero), b.constant(-math.inf), value)
    value = b.select(b.op(Op.LT, x, zero), b.constant(math.nan), value)
    return b.select(b.op(Op.LT, x, infinity), value, x)


def _split(b: Builder, x: int) -> tuple[int, int]:
    """k and f with x = 2^k (1 + f), sqrt(1/2) < 1 + f <= sqrt(2), for finite x > 0."""
    tiny = b.op(Op.LT, x, b.constant(SMALLEST_NORMAL))
    normal = b.select(tiny, b.mul(x, b.constant(2.0**54)), x)
    m = b.op(Op.MANTISSA, normal)
    upper = b.op(Op.LT, b.constant(math.sqrt(2.0)), m)
    k = b.sum(b.op(Op.EXPONENT, normal), [(upper, b.one)], [(tiny, b.constant(54.0))])
    return k, b.sub(b.select(upper, b.mul(m, b.constant(0.5)), m), b.one)


def power(b: Builder, x: int, y: int, exponent: float | None) -> int:
    """x^y; `exponent` is y if it is a number, and a whole one admits x < 0.

    x^0 = 1; otherwise x < 0 gives NaN. To 1 ulp for abs(y) <= 50, and 16 ulp for abs(y) <= 1000.
    """
    whole = exponent is not None and exponent == math.floor(exponent)
    if exponent is not None and whole and abs(exponent) <= 8.0:
        value = _repeated(b, x, int(abs(exponent)))
        return value if exponent >= 0.0 else b.div(b.one, value)
    zero, infinity = b.constant(0.0), b.constant(math.inf)
    size = b.op(Op.ABS, x)
    value = _positive_power(b, size, y)
    rising = b.op(Op.LT, zero, y)
    value = b.select(b.op(Op.LE, size, zero), b.select(rising, zero, infinity), value)
    value = b.select(b.op(Op.LE, infinity, size), b.select(rising, infinity, zero), value)
    value = b.select(b.op(Op.LE, size, infinity), value, x)  # NaN
    below = b.op(Op.LT, x, zero)
    if not whole:
        value = b.select(below, b.constant(math.nan), value)
    elif exponent is not None and exponent % 2.0 == 1.0:
        value = b.select(below, b.neg(value), value)
    is_zero = b.select(b.op(Op.LE, y, zero), b.op(Op.LE, zero, y), zero)
    return b.select(is_zero, b.one, value)


def _repeated(b: Builder, x: int, n: int) -> int:
    """x^n by squaring."""
    value, square = b.one, x
    while n:
        if n & 1:
            value = b.mul(value, square)
        n >>= 1
        if n:
            square = b.mul(square, square)
    return value


def _positive_power(b: Builder, x: int, y: int) -> int:
    """e^(y log x) for finite x > 0, with the logarithm and the product in two parts.

    The logarithm is good to 2^-60, as in fdlibm's pow: log x = k ln 2 + 2 s + s^3 P(s^2),
    s = f / (2 + f), where 2 s and the sum of all are kept in two parts.
    """
    k, f = _split(b, x)
    two = b.constant(2.0)
    t = b.add(f, two)
    s = b.div(f, t)
    s_high, _ = _halves(b, s)
    t_high = _rounded_to(b, t, 24)
    t_low = b.sub(f, b.sub(t_high, two))
    s_low = b.div(b.sum(f, [], [(s_high, t_high), (s_high, t_low)]), t)
    z = b.mul(s, s)
    high, error = _fast_two_sum(b, b.mul(k, b.constant(LN2_HIGH)), b.mul(s_high, two))
    cube = b.mul(b.mul(z, s), horner(b, LOG, z))
    low = b.sum(error, [(k, b.constant(LN2_LOW)), (s_low, two), (cube, b.one)])
    high, low = _fast_two_sum(b, high, low)
    y = b.op(Op.MAX, b.constant(-(2.0**100)), b.op(Op.MIN, b.constant(2.0**100), y))
    product, error = _two_product(b, y, high)
    low = b.fma(y, low, error)  # far below this bound where the result is neither 0 nor infinite
    bound = 2.0**-20
    low = b.op(Op.MAX, b.constant(-bound), b.op(Op.MIN, b.constant(bound), low))
    return _exp(b, product, low)


def _fast_two_sum(b: Builder, x: int, y: int) -> tuple[int, int]:
    """x + y and its rounding error, where x = 0 or abs(x) >= abs(y) (Dekker 1971)."""
    total = b.add(x, y)
    return total, b.add(b.sub(x, total), y)


def _rounded_to(b: Builder, x: int, bits: int) -> int:
    """x to the nearest multiple of 2^-bits."""
    return b.mul(b.op(Op.ROUND, b.mul(x, b.constant(2.0**bits))), b.constant(2.0**-bits))


def _two_product(b: Builder, x: int, y: int) -> tuple[int, int]:
    """x y and its rounding error, by splitting (Dekker, Numer. Math. 18, 1971).

    It is exact also without fused multiply-add.
    """
    x_high, x_low = _halves(b, x)
    y_high, y_low = _halves(b, y)
    product = b.mul(x, y)
    error = b.sum(None, [(x_high, y_high)], [(product, b.one)])
    return product, b.sum(error, [(x_high, y_low), (x_low, y_high), (x_low, y_low)])


def _halves(b: Builder, x: int) -> tuple[int, int]:
    """x as a sum of two numbers of half as many bits each (Dekker, Numer. Math. 18, 1971)."""
    scaled = b.mul(x, b.constant(SPLITTER))
    high = b.sub(scaled, b.sub(scaled, x))
    return high, b.sub(x, high)


def tanh(b: Builder, x: int) -> int:
    """t / (t + 2) with t = e^(2 abs(x)) - 1, the sign of x; to 2 ulp."""
    doubled = b.op(Op.MIN, b.constant(44.0), b.mul(b.op(Op.ABS, x), b.constant(2.0)))
    k = b.op(Op.ROUND, b.mul(doubled, b.constant(1.0 / math.log(2.0))))
    r, error = _reduced(b, doubled, k)
    z = b.mul(r, r)
    small = b.sum(b.fma(error, r, error), [(b.mul(z, r), horner(b, EXP, r)), (z, b.constant(0.5))])
    scale = b.op(Op.EXP2I, k)
    # e^(k ln 2 + r) - 1 = 2^k (e^r - 1) + (2^k - 1): no cancellation
    t = b.sum(b.sub(scale, b.one), [(scale, b.add(r, small))])
    value = b.div(t, b.add(t, b.constant(2.0)))
    return b.select(b.op(Op.LT, x, b.constant(0.0)), b.neg(value), value)


FUNCTIONS: dict[str, Callable[[Builder, int], int]] = {
    "exp": exp,
    "log": log,
    "tanh": tanh,
    "sin": sin,
    "cos": cos,
}
