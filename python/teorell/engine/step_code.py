"""Programs to machine code: a Rosenbrock step and the right-hand side as LLVM IR.

One patient is one vector lane. The emitted step does exactly what
cpp/include/teorell/rosenbrock.hpp does, operation by operation, so both give the same bits: every
fused multiply-add is named, no fast-math flag is set, minima are compare-and-select. Here the
values stay in registers between the instructions of a program, and everything of a stage is one
function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from teorell.engine.adjoint_code import emit_reverse
from teorell.engine.compile import MachineCode, compiled, target_for
from teorell.engine.executors import tableau
from teorell.engine.tangent_code import emit_tangent
from teorell.engine.vector_ir import CHUNK, Emitter, Target, adds_previous_stage, is_long, module
from teorell.lowering.program import SCALARS, slots_read
from teorell.memo import Memo

if TYPE_CHECKING:
    from teorell.lowering import Programs

__all__ = ["FUNCTIONS", "emit", "emit_outputs", "machine_code"]

# compiled modules a process keeps; a run that uses one keeps it alive by itself
_kept: Memo[MachineCode] = Memo(128)
# the functions of each module, and all in the order of the core
STEP, OUTPUTS = ("step", "stages", "rhs"), ("outputs",)
DERIVATIVES = ("reverse", "outputs_vjp", "tangent")
FUNCTIONS = ("step", "rhs", "outputs", "stages", "reverse", "outputs_vjp", "tangent")
LONG_RHS, WITH_F = "long_rhs", "ptr noalias %ws, ptr noalias %f"
T, TN, H, HINV, GHINV, RTOL, ERR2, PIVOT, VALID = range(len(SCALARS))


def emit_factor(e: Emitter, method: Mapping[str, Any]) -> None:
    """hinv, ghinv, top, the factors of ghinv I - J, and df/dt."""
    at = e.layout
    hinv = e.binary("fdiv", e.constant(1.0), e.get(at.scalar + H))
    ghinv = e.binary("fmul", e.constant(1.0 / method["gamma"]), hinv)
    e.store(at.scalar + HINV, hinv)
    e.store(at.scalar + GHINV, ghinv)
    e.values[at.scalar + GHINV] = ghinv
    e.values[at.scalar + T] = e.get(at.scalar + TN)
    for k in range(at.n):
        y = e.values[at.y + k] = e.load(at.yn + k)
        e.store(at.y + k, y)
        if not e.programs.signed[k]:
            e.store(at.top + k, e.maximum(e.load(at.top + k), e.unary("fabs", y)))
    e.run(e.programs.jacobian_lu)
    for k in range(at.n_lu):
        e.store(at.lu + k, e.get(at.lu + k))
    e.store(at.scalar + PIVOT, e.get(at.scalar + PIVOT))
    if at.n_ft:
        e.run(e.programs.df_dt)
        for k in range(at.n_ft):
            e.store(at.ft + k, e.get(at.ft + k))


def emit_combine(
    e: Emitter, method: Mapping[str, Any], i: int, states: range, read: frozenset[int]
) -> None:
    """For some states: the stage value y_i, and what u_i starts from before rhs adds to it."""
    at, n = e.layout, e.layout.n
    a, c_matrix, d = method["a"], method["C"], method["d"][0]
    incremental = i > 0 and adds_previous_stage(a, i)
    kept = (i + 1 < method["stages"] and adds_previous_stage(a, i + 1)) or i + 1 == method["stages"]
    if states.start == 0:
        tn = e.get(at.scalar + TN)
        e.store(
            at.scalar + T,
            e.fma(e.constant(method["c"][0][i]), e.get(at.scalar + H), tn) if i else tn,
        )
    scaled = [
        e.binary("fmul", e.constant(c_matrix[i][j]), e.get(at.scalar + HINV)) for j in range(i)
    ]
    ft_slots = (
        {int(row): at.ft + slot for slot, row in enumerate(e.programs.ft_rows)}
        if d[i] != 0.0
        else {}
    )
    for k in states:
        wanted = i > 0 and (at.y + k in read or kept or incremental)  # factor has set y_0
        y = e.load((at.y if incremental else at.yn) + k) if wanted else None
        s = e.constant(0.0)
        for j in range(i):
            u = e.load(at.u + j * n + k)
            s = e.binary("fmul", scaled[0], u) if j == 0 else e.fma(scaled[j], u, s)
            if y is not None and not incremental:
                y = e.fma(e.constant(a[i][j]), u, y)
            elif y is not None and j == i - 1:
                y = e.binary("fadd", y, u)
        if k in ft_slots:
            hd = e.binary("fmul", e.get(at.scalar + H), e.constant(d[i]))
            s = e.fma(hd, e.get(ft_slots[k]), s)
        if y is not None:
            e.store(at.y + k, y)
        e.store(at.u + i * n + k, s)


def emit_stage(e: Emitter) -> None:
    """rhs and solve of any stage; region f is where the argument %f points, the slots of u_i."""
    at = e.layout
    e.regions = {range(at.f, at.f + at.n): "%f"}
    if is_long(e.programs.rhs):
        e.call(LONG_RHS, at.f)
    else:
        e.run(e.programs.rhs)
    e.run(e.programs.solve)
    for k in range(at.n):
        e.store(at.f + k, e.get(at.f + k))


def emit_finish(e: Emitter, method: Mapping[str, Any]) -> None:
    """ynew, the error norm, and whether the end state is finite and not clearly negative."""
    at, n, programs = e.layout, e.layout.n, e.programs
    rtol, zero = e.get(at.scalar + RTOL), e.constant(0.0)
    ten_rtol = e.binary("fmul", e.constant(10.0), rtol)
    # Four sums in turn, so that the additions do not wait for each other.
    sums, finite, lowest, turn = [zero] * 4, [zero] * 4, zero, 0
    for k in range(n):
        error = e.load(at.u + (method["stages"] - 1) * n + k)
        y, atol = e.load(at.yn + k), e.load(at.atol + k)
        ynew = e.binary("fadd", e.load(at.y + k), error)
        e.store(at.ynew + k, ynew)
        if programs.controlled[k]:
            size = e.maximum(e.unary("fabs", y), e.unary("fabs", ynew))
            q = e.binary("fdiv", error, e.fma(rtol, size, atol))
            sums[turn] = e.fma(q, q, sums[turn])
            turn = (turn + 1) % 4
        # NaN from the first value that is not finite
        finite[k % 4] = e.fma(ynew, zero, finite[k % 4])
        if not programs.signed[k]:
            above = e.fma(e.constant(100.0), atol, e.fma(ten_rtol, e.load(at.top + k), ynew))
            lowest = e.choose(e.compare("olt", lowest, above), lowest, above)
    total, all_finite = (
        e.binary("fadd", e.binary("fadd", x[0], x[1]), e.binary("fadd", x[2], x[3]))
        for x in (sums, finite)
    )
    count = int(sum(int(c) for c in programs.controlled))
    e.store(at.scalar + ERR2, e.binary("fmul", total, e.constant(1.0 / count if count else 0.0)))
    valid = e.choose(e.compare("olt", lowest, zero), e.constant(-1.0), e.constant(1.0))
    e.store(at.scalar + VALID, e.choose(e.compare("oeq", all_finite, zero), valid, zero))


def emit(programs: Programs, method: Mapping[str, Any], target: Target) -> str:
    """The LLVM IR module with the functions STEP, each void(double* scalar).

    All stages share one function for rhs and solve, and combinations come in functions of CHUNK
    states: the code of a step stays small enough for the instruction cache, and compile time grows
    with the size of the model, not its square.
    """
    at, read = programs.layout, slots_read(programs.rhs)
    parts: list[str] = []
    step = Emitter(programs, target)

    def call(name: str, emitter: Emitter) -> None:
        parts.append(emitter.define(name))
        step.call(name)

    factor = Emitter(programs, target)
    emit_factor(factor, method)
    call("factor", factor)
    if is_long(programs.rhs):  # once for stages and for `rhs`
        rhs = Emitter(programs, target)
        rhs.regions = {range(at.f, at.f + at.n): "%f"}
        rhs.run(programs.rhs)
        parts.append(rhs.define(LONG_RHS, WITH_F))
    stage = Emitter(programs, target)
    emit_stage(stage)
    parts.append(stage.define("stage", WITH_F))
    for i in range(method["stages"]):
        for first in range(0, at.n, CHUNK):
            combine = Emitter(programs, target)
            emit_combine(combine, method, i, range(first, min(first + CHUNK, at.n)), read)
            call(f"combine{i}_{first}", combine)
        step.call("stage", at.u + i * at.n)
    parts.append(step.define("stages", internal=False))
    step = Emitter(programs, target)
    step.call("stages")
    finish = Emitter(programs, target)
    emit_finish(finish, method)
    call("finish", finish)

    parts.append(step.define("step", internal=False))
    if is_long(programs.rhs):
        rhs = Emitter(programs, target)
        rhs.call(LONG_RHS, at.f)
        parts.append(rhs.define("rhs", internal=False))
    else:
        parts.append(emit_program(programs, "rhs", range(at.f, at.f + at.n), target))
    return module(parts, target)


def emit_program(programs: Programs, name: str, stored: range, target: Target) -> str:
    """A program alone as a function of its name; stored: the slots that it writes."""
    emitter = Emitter(programs, target)
    emitter.run(getattr(programs, name))
    for slot in stored:
        emitter.store(slot, emitter.get(slot))
    return emitter.define(name, internal=False)


def emit_outputs(programs: Programs, target: Target) -> str:
    """The LLVM IR module with the function OUTPUTS."""
    at = programs.layout
    stored = range(at.out, at.out + at.n_out)
    return module([emit_program(programs, "outputs", stored, target)], target)


def emit_derivatives(programs: Programs, method: Mapping[str, Any], target: Target) -> str:
    """The LLVM IR module with those of DERIVATIVES that the programs are for."""
    functions = emit_reverse if programs.derivatives == "vjp" else emit_tangent
    return module(list(functions(programs, method, target)), target)


def machine_code(programs: Programs, method: str, isa: str) -> MachineCode:
    """The compiled FUNCTIONS of the programs for one build, each module made once a process.

    A step is shared by all programs whose step is the same: models that differ in their numbers, in
    how `prepare` computes coefficients, or in their outputs.
    """

    def made(
        names: tuple[str, ...], text: Callable[[Target], str], *key: str
    ) -> tuple[dict[str, int], MachineCode]:
        def make() -> MachineCode:
            target = target_for(isa)
            return compiled(lambda: text(target), key, names, target)

        code = _kept.get((*key, isa), make)
        return dict(zip(names, code.addresses, strict=True)), code

    modules = [
        made(
            STEP,
            lambda target: emit(programs, tableau(method), target),
            "step",
            programs.step_digest,
            method,
        ),
        made(
            OUTPUTS,
            lambda target: emit_outputs(programs, target),
            "outputs",
            programs.outputs_digest,
        ),
    ]
    if programs.derivatives is not None:
        modules.append(
            made(
                DERIVATIVES,
                lambda target: emit_derivatives(programs, tableau(method), target),
                "derivatives",
                programs.digest,
                method,
            )
        )
    found = {name: address for addresses, _ in modules for name, address in addresses.items()}
    return MachineCode(
        tuple(found.get(name, 0) for name in FUNCTIONS),
        modules[0][1].width,
        tuple(engine for _, code in modules for engine in code.engines),
    )
