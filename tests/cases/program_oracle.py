"""A plain interpreter of programs in NumPy, for tests: fma(a, b, c) is a * b + c, rounded twice."""

import numpy as np
from teorell.lowering import SCALARS, Op, instructions

_BINARY = {
    Op.DIV: np.divide, Op.MIN: lambda a, b: np.where(a < b, a, b), Op.MAX: lambda a,
    b: np.where(a > b, a, b), Op.LT: lambda a, b: np.where(a < b, 1.0, 0.0), Op.LE: lambda a,
    b: np.where(a <= b, 1.0, 0.0),
}  # fmt: skip
_MAGIC = 1.5 * 2.0**52


def _bits(a):
    return np.ascontiguousarray(a, dtype=np.float64).view(np.int64)


def _floats(bits):
    return np.ascontiguousarray(bits, dtype=np.int64).view(np.float64)


_UNARY = {
    Op.SQRT: np.sqrt, Op.ABS: np.abs, Op.ROUND: lambda a: (a + _MAGIC) - _MAGIC,
    Op.EXP2I: lambda a: _floats((_bits(a + _MAGIC) + 1023) << 52),
    Op.EXPONENT: lambda a: ((_bits(a) >> 52) - 1023).astype(np.float64),
    Op.MANTISSA: lambda a: _floats((_bits(a) & 0x000FFFFFFFFFFFFF) | (1023 << 52)),
}  # fmt: skip


def plain(a, b, c):
    return a * b + c


def execute(words, workspace, fma=plain):
    """Run a program on a workspace of shape (slots, lanes), in place."""
    with np.errstate(all="ignore"):
        for op, dst, operands, plus, minus in instructions(words):
            args = [workspace[slot] for slot in operands]
            if op == Op.SUM:
                total = args[0] if args else None
                for pairs, sign in ((plus, 1.0), (minus, -1.0)):
                    for a, b in pairs:
                        x, y = sign * workspace[a], workspace[b]
                        total = x * y if total is None else fma(x, y, total)
                result = total
            elif op == Op.SELECT:
                result = np.where(args[0] != 0.0, args[1], args[2])
            else:
                result = _BINARY[op](*args) if op in _BINARY else _UNARY[op](*args)
            workspace[dst] = result


class Machine:
    """A workspace with what the core would put there; regions by name."""

    def __init__(self, programs, parameters, switches=(), rates=(), lanes=1):
        self.programs, self.layout = programs, programs.layout
        at = self.layout
        self.workspace = np.full((at.slots, lanes), np.nan)
        self.workspace[at.const : at.const + at.n_const] = programs.constants[:, None]
        sides = np.zeros(at.n_surfaces)
        for k, value in enumerate([*parameters, *switches, *sides]):
            self.workspace[at.params + k] = value
        for k, value in enumerate(rates):
            self.workspace[at.rates + k] = value
        self.run("prepare")

    def run(self, name):
        execute(getattr(self.programs, name), self.workspace)

    def region(self, name, size):
        start = getattr(self.layout, name)
        return self.workspace[start : start + size]

    def scalar(self, name, value=None):
        slot = self.layout.scalar + SCALARS.index(name)
        if value is not None:
            self.workspace[slot] = value
        return self.workspace[slot]

    def initial(self):
        self.run("initial")
        return self.region("y", self.layout.n).copy()

    def _at(self, t, y):
        self.scalar("t", t)
        self.region("y", self.layout.n)[:] = np.reshape(y, (self.layout.n, -1))

    def rhs(self, t, y):
        self._at(t, y)
        self.region("f", self.layout.n)[:] = 0.0  # rhs adds to what is there
        self.run("rhs")
        return self.region("f", self.layout.n).copy()

    def take_sides(self, t, y):
        """The sides of surfaces on which a state is; one surface can decide on another."""
        at = self.layout
        first = at.params + at.n_params + at.n_switches - at.n_surfaces
        for _ in range(at.n_surfaces):
            self._at(t, y)
            self.run("surfaces")
            self.workspace[first : first + at.n_surfaces] = np.sign(
                np.nan_to_num(self.region("g", at.n_surfaces), nan=0.0)
            )
            self.run("prepare")

    def df_dt(self, t, y):
        self._at(t, y)
        self.run("df_dt")
        full = np.zeros((self.layout.n, self.workspace.shape[1]))
        full[self.programs.ft_rows] = self.region("ft", self.layout.n_ft)
        return full

    def outputs(self, t, y):
        self._at(t, y)
        self.run("outputs")
        return self.region("out", self.layout.n_out).copy()

    def factorise(self, t, y, ghinv):
        self._at(t, y)
        self.scalar("ghinv", ghinv)
        self.run("jacobian_lu")
        self.region("y", self.layout.n)[:] = np.nan  # solve must not read it
        return self.scalar("pivot").copy()

    def solve(self, f):
        self.region("f", self.layout.n)[:] = np.reshape(f, (self.layout.n, -1))
        self.run("solve")
        return self.region("f", self.layout.n).copy()
