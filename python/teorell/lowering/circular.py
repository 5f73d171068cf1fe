"""sin and cos, written out in primitive instructions.

The range reduction is that of Cody and Waite, as in elementary.py. Beyond 2^20 quarter turns it is
done twice: first by blocks of 2^20 of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from teorell.lowering.builder import Builder
from teorell.lowering.program import Op

__all__ = ["cos", "horner", "sin"]

# pi / 2 in 33, 33 and 53 bits
HALF_PI = (
    float.fromhex("0x1.921fb54400000p+0"),
    float.fromhex("0x1.0b4611a600000p-34"),
    float.fromhex("0x1.3198a2e037073p-69"),
)
# the last of these in 33 and 53 bits
THIRD = float.fromhex("0x1.3198a2e000000p-69")
FOURTH = float.fromhex("0x1.b839a252049c1p-104")
BLOCK = 2.0**20  # quarter turns whose products with the parts of pi / 2 are exact

# (sin(r) / r - 1) / z and (cos(r) - 1 + z / 2) / z^2 in z = r^2, abs(r) <= pi / 4;
# errors below 2^-57 and 2^-59
SIN = (
    -0.16666666666666666, 0.008333333333333331, -0.00019841269841265063, 2.7557319219337312e-06,
    -2.5052106231802837e-08, 1.6058531516797758e-10, -7.586691094197958e-13,
)  # fmt: skip
COS = (
    0.041666666666666664, -0.0013888888888887398, 2.480158729876456e-05, -2.7557317271145144e-07,
    2.087614614655861e-09, -1.1382623647474604e-11,
)  # fmt: skip


def horner(b: Builder, coefficients: Sequence[float], x: int) -> int:
    """The polynomial with these coefficients, from the constant one on, at x."""
    value = b.constant(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        value = b.fma(value, x, b.constant(coefficient))
    return value


def sin(b: Builder, x: int) -> int:
    """The sine to 1 ulp for abs(x) <= 1.7e12; NaN beyond 2^40 quarter turns."""
    return _circular(b, x, 0.0)


def cos(b: Builder, x: int) -> int:
    """The cosine to 1 ulp for abs(x) <= 1.7e12; NaN beyond 2^40 quarter turns."""
    return _circular(b, x, 1.0)


def _circular(b: Builder, x: int, quarters: float) -> int:
    """sin(x + quarters * pi / 2)."""
    turns = b.op(Op.ABS, b.mul(x, b.constant(2.0 / math.pi)))
    far = b.op(Op.LT, b.constant(BLOCK), turns)
    x, low, least = _within_a_block(b, x, far)
    k = b.op(Op.ROUND, b.mul(x, b.constant(2.0 / math.pi)))
    first = b.sum(x, [], [(k, b.constant(HALF_PI[0]))])
    middle = b.mul(k, b.constant(HALF_PI[1]))
    second = b.sub(first, middle)
    lost = b.sub(b.sub(first, second), middle)
    last = b.mul(k, b.constant(HALF_PI[2]))
    r = b.sub(second, last)
    error = b.add(lost, b.sub(b.sub(second, r), last))
    main, rest = _two_sum(b, r, low)
    main, rest = _two_sum(b, main, b.add(rest, b.add(error, least)))
    r, error = b.select(far, main, r), b.select(far, rest, error)
    z = b.mul(r, r)
    half = b.constant(0.5)
    # sin(r + error) = r + (r^3 S + error (1 - z / 2)),
    # cos(r + error) = 1 - (z / 2 - (z^2 C - r error))
    slope = b.sum(error, [], [(b.mul(error, z), half)])
    sine = b.add(r, b.fma(b.mul(z, r), horner(b, SIN, z), slope))
    halved = b.mul(z, half)
    above = b.sub(b.one, halved)
    rest = b.sum(
        b.sub(b.sub(b.one, above), halved), [(b.mul(z, z), horner(b, COS, z))], [(r, error)]
    )
    cosine = b.add(above, rest)
    turn = b.add(k, b.constant(quarters)) if quarters else k
    whole_turns = b.op(Op.ROUND, b.mul(turn, b.constant(0.25)))
    quadrant = b.sum(turn, [], [(whole_turns, b.constant(4.0))])  # -2 ... 2
    size = b.op(Op.ABS, quadrant)
    odd = b.select(b.op(Op.LE, half, size), b.op(Op.LE, size, b.constant(1.5)), b.constant(0.0))
    value = b.select(odd, cosine, sine)
    negative = b.select(
        b.op(Op.LT, b.constant(1.5), quadrant), b.one, b.op(Op.LT, quadrant, b.constant(-0.5))
    )
    value = b.select(negative, b.neg(value), value)
    return b.select(b.op(Op.LE, turns, b.constant(BLOCK**2)), value, b.constant(math.nan))


def _within_a_block(b: Builder, x: int, far: int) -> tuple[int, int, int]:
    """x less whole blocks of quarter turns, in three parts; x, 0, 0 where it is near.

    A block times a part of pi / 2 of 33 bits is exact up to 2^20 blocks.
    """
    blocks = b.op(Op.ROUND, b.mul(x, b.constant(2.0 / math.pi / BLOCK)))
    whole = b.mul(b.select(far, blocks, b.constant(0.0)), b.constant(BLOCK))
    first = b.sum(x, [], [(whole, b.constant(HALF_PI[0]))])
    second, lost = _two_sum(b, first, b.neg(b.mul(whole, b.constant(HALF_PI[1]))))
    high, more = _two_sum(b, second, b.neg(b.mul(whole, b.constant(THIRD))))
    low, least = _two_sum(b, lost, more)
    return high, low, b.sum(least, [], [(whole, b.constant(FOURTH))])


def _two_sum(b: Builder, x: int, y: int) -> tuple[int, int]:
    """x + y and its rounding error (Knuth, The Art of Computer Programming 2, 4.2.2)."""
    total = b.add(x, y)
    part = b.sub(total, x)
    return total, b.add(b.sub(x, b.sub(total, part)), b.sub(y, part))
