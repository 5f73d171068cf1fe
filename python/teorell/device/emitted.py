"""A model's programs as C++: what a device compiles in place of interpreting them.

The text is a struct `EmittedModel` for cuda/emitted.cuh, which has the time loop, the step, its
reverse and its tangent. What a patient runs once (`prepare`, `initial`, their derivatives), what
events and conditions on states run, is interpreted there too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from teorell.device.program_text import constant, function
from teorell.engine.executors import tableau

if TYPE_CHECKING:
    from teorell.lowering import Programs

__all__ = ["emitted"]

# where a step that is one function finds its numbers
REGIONS = ("scalar", "y", "yn", "ynew", "top", "atol", "u")


def emitted(programs: Programs, method: str) -> str:
    """C++ text of the programs that the steps of `method` run, and of those of outputs.

    Programs lowered for derivatives have those of the reverse or the tangent step as well; of
    others these functions are empty. Two models have the same text if and only if they need the
    same code. KeyError for an unknown method.
    """
    at, n = programs.layout, programs.layout.n
    y, f = {"y": range(at.y, at.y + n)}, {"f": range(at.f, at.f + n)}
    reversed_stage = {"block": range(at.block, at.block + 3 * n), "z": range(at.u, at.u + n)}
    p = programs
    functions = [
        function(p, "factor", [p.jacobian_lu, p.df_dt], y),
        function(p, "stage", [p.rhs, p.solve], y | f),
        function(p, "rhs", [p.rhs], y | f),
        function(p, "outputs", [p.outputs], {}),
        function(p, "stage_reverse", [p.solve_transposed, p.stage_vjp], reversed_stage),
        function(p, "second_vjp", [p.second_vjp], {}),
        function(p, "outputs_vjp", [p.outputs_vjp], {}),
        # without derivatives there is no stage to differentiate, and nothing to solve
        function(p, "stage_dot", [p.stage_jvp, p.solve] if p.derivatives == "jvp" else [], f),
        function(p, "second_jvp", [p.second_jvp], {}),
    ]
    return "\n".join(
        [
            "// Written by teorell/device/emitted.py.",
            '#include "emitted.cuh"',
            "TEORELL_BEGIN",
            *_tables(tableau(method)),
            "template <class V>",
            "struct EmittedModel {",
            "    using P = Pack<V>;",
            "    using Slots = SlotsFrom<V>;",
            f"    static constexpr int n = {n}, n_ft = {at.n_ft};",
            *(f"    static constexpr int at_{each} = {getattr(at, each)};" for each in REGIONS),
            _accessor("a", "int i, int j", "[i][j]"),
            _accessor("C", "int i, int j", "[i][j]"),
            _accessor("c", "int i", "[i]"),
            _accessor("d", "int i", "[i]"),
            _flags("is_signed", programs.signed),
            _flags("is_controlled", programs.controlled),
            _add_ft(programs),
            *functions,
            "};",
            "TEORELL_END",
            "",
        ]
    )


def _tables(method: Mapping[str, Any]) -> list[str]:
    """The coefficients of the method where a loop over its stages can read them."""
    s = method["stages"]

    def row(values: Iterable[float]) -> str:
        return "{" + ", ".join(constant(value) for value in values) + "}"

    matrices = [
        f"TEORELL_TABLE double method_{name}[{s}][{s}] = "
        f"{{{', '.join(row(values) for values in method[name])}}};"
        for name in ("a", "C")
    ]
    vectors = [
        f"TEORELL_TABLE double method_{name}[{s}] = {row(method[name][0])};" for name in ("c", "d")
    ]
    return matrices + vectors


def _accessor(name: str, arguments: str, index: str) -> str:
    return (
        f"    TEORELL_HD TEORELL_INLINE static double {name}({arguments}) "
        f"{{ return method_{name}{index}; }}"
    )


def _flags(name: str, flags: Iterable[Any]) -> str:
    """A constant for each state; of a loop that is unrolled nothing is left of them."""
    text = "".join("1" if flag else "0" for flag in flags)
    return f"    TEORELL_HD static constexpr bool {name}(int k) {{ return \"{text}\"[k] == '1'; }}"


def _add_ft(programs: Programs) -> str:
    """What df/dt adds to the right-hand side of a stage."""
    at = programs.layout
    lines = [
        f"        u.put({row}, fma(hd, w[{at.ft + slot}], u[{row}]));\n"
        for slot, row in enumerate(programs.ft_rows.tolist())
    ]
    return (
        "    template <class U>\n"
        "    TEORELL_HD TEORELL_INLINE static void add_ft(Slots w, V hd, U& u) {\n"
        + "".join(lines)
        + "    }\n"
    )
