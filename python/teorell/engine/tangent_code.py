"""The tangent of a step as LLVM IR.

It does what cpp/include/teorell/tangent.hpp does, operation by operation, so with its bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from teorell.engine.vector_ir import CHUNK, Emitter, Target, adds_previous_stage
from teorell.lowering.program import SCALARS

if TYPE_CHECKING:
    from teorell.lowering import Programs

__all__ = ["emit_tangent"]

T, TN, H, HINV = (SCALARS.index(name) for name in ("t", "tn", "h", "hinv"))


def emit_second(e: Emitter) -> None:
    """The tangents of the entries of the Jacobian, and of df/dt, at the start of the step."""
    at = e.layout
    e.values[at.scalar + T] = e.get(at.scalar + TN)
    e.run(e.programs.second_jvp)
    for first, count in ((at.entries, len(e.programs.entries)), (at.entries_ft, at.n_ft)):
        for k in range(first, first + count):
            e.store(k, e.get(k))


def emit_combine(e: Emitter, method: Mapping[str, Any], i: int, states: range) -> None:
    """For some states y_i, z_i, the tangent of y_i, and what udot_i starts from.

    To the latter stage_jvp then adds.
    """
    at, n, a = e.layout, e.layout.n, method["a"]
    if states.start == 0:
        tn = e.get(at.scalar + TN)
        e.store(
            at.scalar + T,
            e.fma(e.constant(method["c"][0][i]), e.get(at.scalar + H), tn) if i else tn,
        )
    scaled = [
        e.binary("fmul", e.constant(method["C"][i][j]), e.get(at.scalar + HINV)) for j in range(i)
    ]
    ft_slots = (
        {int(row): at.ft + k for k, row in enumerate(e.programs.ft_rows)}
        if method["d"][0][i] != 0.0
        else {}
    )
    for k in states:
        u, udot = ([e.load(first + j * n + k) for j in range(i)] for first in (at.u, at.udot))
        r = e.constant(0.0)
        for j in range(i):
            r = e.binary("fmul", scaled[0], udot[0]) if j == 0 else e.fma(scaled[j], udot[j], r)
        if adds_previous_stage(a, i):
            y = e.binary("fadd", e.load(at.y + k), u[-1])
            ydot = e.binary("fadd", e.load(at.ydot + k), udot[-1])
        else:
            y, ydot = e.load(at.yn + k), e.load(at.yndot + k)
            for j in range(i):
                y = e.fma(e.constant(a[i][j]), u[j], y)
                ydot = e.fma(e.constant(a[i][j]), udot[j], ydot)
        e.store(at.y + k, y)
        e.store(at.z + k, e.binary("fadd", y, e.load(at.u + i * n + k)))
        e.store(at.ydot + k, ydot)
        if k in ft_slots:
            hd = e.binary("fmul", e.get(at.scalar + H), e.constant(method["d"][0][i]))
            r = e.fma(hd, e.load(at.entries_ft + ft_slots[k] - at.ft), r)
        for number, (row, column, _) in enumerate(e.programs.entries.tolist()):
            if row == k:
                r = e.fma(e.load(at.entries + number), e.load(at.u + i * n + column), r)
        e.store(at.udot + i * n + k, r)


def emit_stage(e: Emitter) -> None:
    """stage_jvp and solve of any stage.

    Region f is where the argument %f points, the slots of udot_i.
    """
    at = e.layout
    e.regions = {range(at.f, at.f + at.n): "%f"}
    e.run(e.programs.stage_jvp)
    e.run(e.programs.solve)
    for k in range(at.n):
        e.store(at.f + k, e.get(at.f + k))


def emit_finish(e: Emitter, method: Mapping[str, Any]) -> None:
    """The tangent of the state at the end of the step."""
    at = e.layout
    last = at.udot + (method["stages"] - 1) * at.n
    for k in range(at.n):
        e.store(at.ydot + k, e.binary("fadd", e.load(at.ydot + k), e.load(last + k)))


def emit_tangent(programs: Programs, method: Mapping[str, Any], target: Target) -> Iterator[str]:
    """The functions of the IR module; the last is `tangent`, void(double* workspace)."""
    at = programs.layout
    whole = Emitter(programs, target)

    def part(name: str, body: Callable[[Emitter], None]) -> str:
        emitter = Emitter(programs, target)
        body(emitter)
        whole.call(name)
        return emitter.define(name)

    yield part("second", emit_second)
    stage = Emitter(programs, target)
    emit_stage(stage)
    yield stage.define("stage_dot", "ptr noalias %ws, ptr noalias %f")
    for i in range(method["stages"]):
        for first in range(0, at.n, CHUNK):
            states = range(first, min(first + CHUNK, at.n))
            yield part(
                f"combine_dot{i}_{first}", partial(emit_combine, method=method, i=i, states=states)
            )
        whole.call("stage_dot", at.udot + i * at.n)
    yield part("finish_dot", partial(emit_finish, method=method))
    yield whole.define("tangent", internal=False)
