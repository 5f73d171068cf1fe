"""The reverse of a step as LLVM IR.

It does what cpp/include/teorell/adjoint.hpp does, operation by operation, so with its bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from teorell.engine.vector_ir import CHUNK, Emitter, Target, adds_previous_stage
from teorell.lowering.program import SCALARS, slots_read

if TYPE_CHECKING:
    from teorell.lowering import Programs

__all__ = ["emit_reverse"]

T, TN, H, HINV = (SCALARS.index(name) for name in ("t", "tn", "h", "hinv"))


class _Places:
    """Slots of stages: i is the number of the stage, k that of the state.

    z = y_i + u_i takes the place of u_i. Then come y_i, w_i and the cotangent Y_i of y_i, and the
    u_i that are kept.
    """

    def __init__(self, e: Emitter) -> None:
        self.at, self.n = e.layout, e.layout.n

    def z(self, i: int, k: int) -> int:
        return self.at.u + i * self.n + k

    def y(self, i: int, k: int) -> int:
        return self.at.block + 3 * i * self.n + k

    def w(self, i: int, k: int) -> int:
        return self.y(i, k) + self.n

    def Y(self, i: int, k: int) -> int:
        return self.w(i, k) + self.n

    def kept(self, i: int, column: int) -> int:
        return self.at.ukept + column * self.at.stages + i


def emit_values(e: Emitter, method: Mapping[str, Any], states: range, read: frozenset[int]) -> None:
    """The stage values y_i, where they are read, and z_i = y_i + u_i."""
    at, place = e.layout, _Places(e)
    columns = {int(column): int(number) for _, column, number in e.programs.entries}
    for k in states:
        if k not in columns and not {place.z(0, k), place.y(0, k)} & read:
            continue
        yn = e.load(at.yn + k)
        u = [e.load(place.z(j, k)) for j in range(method["stages"])]
        value = yn
        for i in range(method["stages"]):
            if i and adds_previous_stage(method["a"], i):
                value = e.binary("fadd", value, u[i - 1])
            else:
                value = yn
                for j in range(i):
                    value = e.fma(e.constant(method["a"][i][j]), u[j], value)
            if k in columns:
                e.store(place.kept(i, columns[k]), u[i])
            if place.y(0, k) in read:
                e.store(place.y(i, k), value)
            if place.z(0, k) in read:
                e.store(place.z(i, k), e.binary("fadd", value, u[i]))


def emit_whole(e: Emitter, method: Mapping[str, Any], i: int, k: int) -> str:
    """Y_i of one state, complete.

    To the stage's own comes what y_{i+1} = y_i + u_i, or y_{n+1} = y_s + u_s, passes on.
    """
    place, last = _Places(e), i + 1 == method["stages"]
    own = e.load(place.Y(i, k))
    if not last and not adds_previous_stage(method["a"], i + 1):
        return own
    total = e.binary("fadd", own, e.load(e.layout.lam + k if last else place.Y(i + 1, k)))
    e.store(place.Y(i, k), total)
    return total


def emit_gather(e: Emitter, method: Mapping[str, Any], i: int, states: range) -> None:
    """Some rows of the right-hand side of w_i; with the first of them, the time of the stage."""
    at, s, place, a = e.layout, method["stages"], _Places(e), method["a"]
    if states.start == 0:
        tn = e.get(at.scalar + TN)
        e.store(
            at.scalar + T,
            e.fma(e.constant(method["c"][0][i]), e.get(at.scalar + H), tn) if i else tn,
        )
    scaled = {
        j: e.binary("fmul", e.constant(method["C"][j][i]), e.get(at.scalar + HINV))
        for j in range(i + 1, s)
    }
    position = {int(k): o for o, k in enumerate(e.programs.output_states)}
    for k in states:
        if i + 1 == s:
            r = e.load(at.lam + k)
        else:
            whole = emit_whole(e, method, i + 1, k)
            r = (
                whole
                if adds_previous_stage(a, i + 1)
                else e.binary("fmul", e.constant(a[i + 1][i]), whole)
            )
        for j in range(i + 2, s):
            if not adds_previous_stage(a, j):
                r = e.fma(e.constant(a[j][i]), e.load(place.Y(j, k)), r)
        for j in range(i + 1, s):
            r = e.fma(scaled[j], e.load(place.w(j, k)), r)
        if k in position:
            for moment, weights in enumerate(method["H"]):
                r = e.fma(
                    e.constant(weights[i]),
                    e.load(at.ubar + moment * len(position) + position[k]),
                    r,
                )
        e.store(place.w(i, k), r)


def emit_stage_reverse(e: Emitter) -> None:
    """solve_transposed and stage_vjp of any stage.

    Its slots are where the arguments %block and %z point.
    """
    at, n, place = e.layout, e.layout.n, _Places(e)
    e.regions = {range(at.block, at.block + 3 * n): "%block", range(at.u, at.u + n): "%z"}
    e.run(e.programs.solve_transposed)
    for k in range(n):
        e.store(place.w(0, k), e.get(place.w(0, k)))
    e.run(
        e.programs.stage_vjp,
        {*range(at.coefbar, at.coefbar + at.n_coef), *range(place.Y(0, 0), place.Y(0, n))},
    )


def emit_finish_reverse(e: Emitter, method: Mapping[str, Any]) -> None:
    """The second derivatives, and lam at the start of the step."""
    at, n, s, place, programs = e.layout, e.layout.n, method["stages"], _Places(e), e.programs
    for number, (row, _, column) in enumerate(programs.entries.tolist()):
        total = e.binary("fmul", e.load(place.w(s - 1, row)), e.load(place.kept(s - 1, column)))
        for i in range(s - 2, -1, -1):
            total = e.fma(e.load(place.w(i, row)), e.load(place.kept(i, column)), total)
        e.values[at.entries + number] = total
    for number, row in enumerate(programs.ft_rows.tolist()):
        total = e.constant(0.0)
        for i in range(s):
            if method["d"][0][i] != 0.0:
                hd = e.binary("fmul", e.get(at.scalar + H), e.constant(method["d"][0][i]))
                total = e.fma(hd, e.load(place.w(i, row)), total)
        e.values[at.entries_ft + number] = total
    tn = e.values[at.scalar + T] = e.get(at.scalar + TN)
    e.store(at.scalar + T, tn)
    e.run(programs.second_vjp, range(at.coefbar, at.coefbar + at.n_coef))
    for k in range(n):
        total = e.get(at.ynbar + k)
        for i in range(s - 1, -1, -1):
            if not adds_previous_stage(method["a"], i):
                total = e.binary(
                    "fadd", total, e.load(place.Y(i, k)) if i else emit_whole(e, method, 0, k)
                )
        e.store(at.lam + k, total)


def emit_reverse(programs: Programs, method: Mapping[str, Any], target: Target) -> Iterator[str]:
    """The functions of the IR module; the last are `reverse` and `outputs_vjp`.

    These two are void(double* workspace).
    """
    at, s = programs.layout, method["stages"]
    whole = Emitter(programs, target)

    def part(name: str, body: Callable[[Emitter], None]) -> str:
        emitter = Emitter(programs, target)
        body(emitter)
        whole.call(name)
        return emitter.define(name)

    read = slots_read(programs.stage_vjp)
    pieces = [range(first, min(first + CHUNK, at.n)) for first in range(0, at.n, CHUNK)]
    for states in pieces:
        yield part(
            f"values_{states.start}", partial(emit_values, method=method, states=states, read=read)
        )
    stage = Emitter(programs, target)
    emit_stage_reverse(stage)
    yield stage.define("stage_reverse", "ptr noalias %ws, ptr noalias %block, ptr noalias %z")
    for i in range(s - 1, -1, -1):
        for states in pieces:
            yield part(
                f"gather{i}_{states.start}", partial(emit_gather, method=method, i=i, states=states)
            )
        whole.call("stage_reverse", _Places(whole).y(i, 0), _Places(whole).z(i, 0))
    yield part("finish_reverse", partial(emit_finish_reverse, method=method))
    yield whole.define("reverse", internal=False)
    outputs = Emitter(programs, target)
    outputs.run(
        programs.outputs_vjp,
        {
            *range(at.ysbar, at.ysbar + at.n),
            *range(at.outcoef, at.outcoef + len(programs.output_coefs)),
        },
    )
    yield outputs.define("outputs_vjp", internal=False)
