"""The expansions of exp, log, pow, tanh, sin, cos against mpmath, with and without fused
multiply-add.
"""

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from program_oracle import execute, plain
from teorell.lowering.builder import Builder, Constants
from teorell.lowering.elementary import FUNCTIONS, power
from teorell.lowering.program import Layout

RNG = np.random.default_rng(7)


def fused(a, b, c):
    """fma, correctly rounded, lane by lane."""
    result = a * b + c
    for lane, (x, y, z) in enumerate(zip(*np.broadcast_arrays(a, b, c), strict=True)):
        if (
            math.isfinite(x)
            and math.isfinite(y)
            and math.isfinite(z)
            and math.isfinite(result[lane])
        ):
            exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
            if exact:
                result[lane] = exact.numerator / exact.denominator
    return result


def run(build, *arguments, fma=plain):
    """The values of `build(builder, *slots)` for arrays of arguments."""
    constants = Constants()
    builder = Builder(constants)
    builder.store(
        build(builder, *[builder.slot("params", k) for k in range(len(arguments))]), "out"
    )
    layout = Layout.of(
        n_const=len(constants.values), n_coef=0, n=0, n_lu=0, n_ft=0, n_out=1,
        n_params=len(arguments), n_switches=0, n_temp=builder.schedule(), stages=0, one=0,
        n_infused=0,
    )  # fmt: skip
    arrays = np.broadcast_arrays(*[np.asarray(argument, dtype=float) for argument in arguments])
    workspace = np.zeros((layout.slots, arrays[0].size))
    workspace[: layout.n_const] = np.array(constants.values)[:, None]
    for k, array in enumerate(arrays):
        workspace[layout.params + k] = array
    execute(builder.encode(layout), workspace, fma)
    return workspace[layout.out]


def ulps(values, function, *arguments):
    """The largest error in units of the last place of the true value."""
    worst = 0.0
    with mpmath.workprec(200):
        for value, *inputs in zip(values, *np.broadcast_arrays(*arguments), strict=True):
            exact = function(*[mpmath.mpf(float(x)) for x in inputs])
            rounded = float(exact)
            if math.isinf(rounded) or math.isinf(value):
                assert value == rounded, inputs
                continue
            error = float(abs(mpmath.mpf(float(value)) - exact) / math.ulp(rounded))
            assert not math.isnan(error), inputs
            worst = max(worst, error)
    return worst


def anywhere(low, high, n):
    """Positive numbers with exponents of 2 between low and high."""
    return np.ldexp(RNG.uniform(1.0, 2.0, n), RNG.integers(low, high, n))


ARGUMENTS = {
    "exp": [RNG.uniform(-1.0, 1.0, 3000), RNG.uniform(-746.0, 710.0, 3000), anywhere(-60, 0, 200)],
    "log": [RNG.uniform(0.5, 2.0, 3000), anywhere(-1022, 1023, 2000), 5e-324 * RNG.integers(1,
    2**40, 200),
            1.0 + RNG.uniform(-1e-6, 1e-6, 500)],
    "tanh": [RNG.uniform(-1.0, 1.0, 3000), RNG.uniform(-25.0, 25.0, 2000), anywhere(-1060, 0, 500)],
    "sin": [RNG.uniform(-4.0, 4.0, 3000), RNG.uniform(-1e5, 1e5, 3000), np.arange(-2000,
    2000) * (math.pi / 2)], "cos": [RNG.uniform(-4.0, 4.0, 3000), RNG.uniform(-1e5, 1e5, 3000),
    np.arange(-2000, 2000) * (math.pi / 2)],
}  # fmt: skip
FAR = [RNG.uniform(-1.7e12, 1.7e12, 2000), np.exp(RNG.uniform(10.0, 28.0, 2000))]
with mpmath.workprec(200):  # as near as can be to whole quarter turns, where most digits cancel
    FAR += [
        np.array([float(mpmath.mpf(int(k)) * mpmath.pi / 2) for k in turns])
        for turns in (RNG.integers(1, 2**21, 1000), np.exp(RNG.uniform(1.0, 27.7, 1000)))
    ]
ARGUMENTS["sin"] += FAR
ARGUMENTS["cos"] += FAR
LIMITS = {"exp": 1.0, "log": 1.0, "tanh": 2.0, "sin": 1.0, "cos": 1.0}


@pytest.mark.parametrize("fma", [plain, fused])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_accuracy(name, fma):
    for arguments in ARGUMENTS[name]:
        chosen = arguments if fma is plain else arguments[:300]
        assert (
            ulps(run(FUNCTIONS[name], chosen, fma=fma), getattr(mpmath, name), chosen)
            < LIMITS[name]
        )


@pytest.mark.parametrize("fma", [plain, fused])
def test_accuracy_of_powers(fma):
    n = 3000 if fma is plain else 300
    cases = [
        (anywhere(-20, 20, n), RNG.uniform(-5.0, 5.0, n), 1.0),
        (RNG.uniform(0.5, 2.0, n), RNG.uniform(-50.0, 50.0, n), 1.0),
        (anywhere(-1074, 1023, n), RNG.uniform(-1.0, 1.0, n), 1.0),
        (anywhere(-3, 3, n), anywhere(-40, -1, n), 1.0),
        (1.0 + RNG.uniform(-1e-9, 1e-9, n), RNG.uniform(-1e9, 1e9, n), 1.0),
        (RNG.uniform(0.5, 2.0, n), RNG.uniform(-1000.0, 1000.0, n), 16.0),
    ]
    for x, y, limit in cases:
        assert (
            ulps(run(lambda b, u, v: power(b, u, v, None), x, y, fma=fma), mpmath.power, x, y)
            < limit
        )


@pytest.mark.parametrize(
    "exponent", [0.0, 1.0, 2.0, 3.0, 5.0, 7.0, 8.0, -1.0, -2.0, -5.0, 9.0, 10.0, 21.0, -9.0, -12.0]
)
def test_whole_exponents_admit_negative_bases(exponent):
    x = np.concatenate([RNG.uniform(-3.0, 3.0, 500), [0.0, 1.0, -1.0]])
    if exponent < 0.0:
        x = x[x != 0.0]
    y = np.full_like(x, exponent)
    assert ulps(run(lambda b, u, v: power(b, u, v, exponent), x, y), mpmath.power, x, y) < 7.0


INF, NAN = math.inf, math.nan
SPECIAL = {
    "exp": [
        (INF, INF),
        (-INF, 0.0),
        (NAN, NAN),
        (0.0, 1.0),
        (710.0, INF),
        (-746.0, 0.0),
        (1e300, INF),
        (-1e300, 0.0),
    ],
    "log": [
        (0.0, -INF),
        (-0.0, -INF),
        (-1.0, NAN),
        (-INF, NAN),
        (INF, INF),
        (NAN, NAN),
        (1.0, 0.0),
    ],
    "tanh": [(INF, 1.0), (-INF, -1.0), (NAN, NAN), (0.0, 0.0), (1e300, 1.0), (-30.0, -1.0)],
    "sin": [(INF, NAN), (-INF, NAN), (NAN, NAN), (0.0, 0.0), (1e300, NAN)],
    "cos": [(INF, NAN), (-INF, NAN), (NAN, NAN), (0.0, 1.0), (1e300, NAN)],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_special_values(name):
    given, expected = np.array(SPECIAL[name]).T
    np.testing.assert_array_equal(run(FUNCTIONS[name], given), expected)


def test_special_powers():
    cases = np.array([
        (0.0, 2.5, 0.0), (0.0, -2.5, INF), (0.0, 0.0, 1.0), (5.0, 0.0, 1.0), (INF, 0.0, 1.0), (-2.0,
        0.0, 1.0), (INF, 0.5, INF), (INF, -0.5, 0.0), (-2.0, 0.5, NAN), (NAN, 1.5, NAN), (2.0, NAN,
        NAN), (1.0, 1e300, 1.0), (2.0, 1e300, INF), (2.0, -1e300, 0.0), (0.5, 1e300, 0.0),
        (1.0 + 2**-52, 1e30, INF), (1.0 - 2**-53, 1e30, 0.0), (2.0, INF, INF), (0.5, INF, 0.0),
        (4.0, 0.5, 2.0), (10.0, 3.0, 1000.0), (1e300, 1e-300, 1.0), (5e-324, 1e-320, 1.0),
        (5e-324, 1.0, 5e-324), (5e-324, -1.0, INF), (1.7e308, 1.0, 1.7e308), (2.0, -1074.0, 5e-324),
        (INF, -INF, 0.0), (0.0, INF, 0.0), (0.0, -INF, INF), (NAN, 0.0, 1.0), (-INF, 0.5, NAN),
    ])  # fmt: skip
    np.testing.assert_array_equal(
        run(lambda b, x, y: power(b, x, y, None), cases[:, 0], cases[:, 1]), cases[:, 2]
    )


def test_powers_overflow_at_any_exponent():
    """Where y log x is far beyond what exp takes, too: infinite or 0, never something between."""
    y = np.concatenate([2.0 ** RNG.uniform(11.0, 1023.0, 3000), 10.0 ** np.arange(4, 309)])
    for x in (2.0, 3.0, 1e300, 1.7e308, 1.5, np.nextafter(1.5, 2.0)):
        for base, sign, expected in ((x, 1.0, INF), (x, -1.0, 0.0), (1 / x, 1.0, 0.0)):
            values = run(lambda b, u, v: power(b, u, v, None), np.full(y.size, base), sign * y)
            np.testing.assert_array_equal(values, expected)
    near = 1.0 + 2.0**-52 * RNG.integers(1, 2**30, 3000)
    y = 2.0 ** RNG.uniform(40.0, 90.0, 3000)
    values = run(lambda b, u, v: power(b, u, v, None), near, y)
    logs = y * np.log1p(near - 1.0)
    assert np.isinf(values[logs > 710.0]).all()
    sure = logs < 1.0
    assert ulps(values[sure], mpmath.power, near[sure], y[sure]) < 2.0


@pytest.mark.parametrize("name", ["exp", "log", "tanh"])
def test_the_whole_range(name):
    x = np.ldexp(RNG.uniform(1.0, 2.0, 4000), RNG.integers(-1074, 1024, 4000))
    x = x if name == "log" else np.concatenate([x, -x])
    assert ulps(run(FUNCTIONS[name], x), getattr(mpmath, name), x) < LIMITS[name]
