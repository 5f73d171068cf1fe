"""A dummy instruction, x * x, by the guide of How to add; and the function that users write."""

from __future__ import annotations

import numpy as np
import teorell as tl
from patched_copy import Change, Steps, before

STEPS: Steps = {
    "python/teorell/lowering/program.py": [
        Change("    FMA = 15\n", "    FMA = 15\n    SQUARE = 16\n"),
        Change("Op.MANTISSA), 3)", "Op.MANTISSA, Op.SQUARE), 3)"),
    ],
    "python/teorell/lowering/values.py": [before('"div": Op.DIV', '"square": Op.SQUARE, ')],
    "python/teorell/lowering/reverse.py": [
        before(
            '        elif op == "exp":',
            """        elif op == Op.SQUARE:
            self.times(a, sign, w, b.mul(b.constant(2.0), xs[0]), below)
""",
        )
    ],
    "python/teorell/lowering/forward.py": [
        before(
            '    if op == "exp":',
            """    if op == Op.SQUARE:
        return b.mul(dx, b.mul(b.constant(2.0), xs[0]))
""",
        )
    ],
    "python/teorell/device/program_text.py": [
        before('    Op.SQRT: "sqrt({})"', '    Op.SQUARE: "square({})",\n'),
    ],
    "cuda/team_program.cuh": [
        before("        case Op::sqrt: put", "        case Op::square: put(square(a())); break;\n"),
    ],
    "python/teorell/engine/vector_ir.py": [
        before(
            "        if op == Op.SQRT:",
            """        if op == Op.SQUARE:
            return self.binary("fmul", x[0], x[0])
""",
        )
    ],
    "cpp/include/teorell/program.hpp": [
        Change("    fma\n};", "    fma,\n    square\n};"),
        Change("last_op = Op::fma", "last_op = Op::square"),
        before("    case Op::sqrt:", "    case Op::square:\n"),
    ],
    "cpp/include/teorell/interpreter.hpp": [
        before(
            "        case Op::sqrt:",
            """        case Op::square:
            P::store(at(code[1]), square(get(code[2])));
            code += 3;
            break;
""",
        )
    ],
    "cpp/include/teorell/lanes.hpp": [
        before(
            "TEORELL_HD TEORELL_INLINE double sqrt(double a)",
            "TEORELL_HD TEORELL_INLINE double square(double a) { return a * a; }\n",
        ),
        before(
            "TEORELL_ELEMENTWISE(sqrt(",
            "TEORELL_ELEMENTWISE(square(const Lanes<W>& a), a.r[i] * a.r[i])\n",
        ),
    ],
}
LEFT = {"python/teorell/lowering/trace.py": "one instruction is its operation"}
# What makes it a function that users can write: the guide of a function, without `elementary.py`.
FUNCTION: Steps = {
    "python/teorell/model/expression.py": [
        before(
            "def sqrt(x: Operand)",
            "def square(x: Operand) -> Expression:\n"
            '    return unary("square", as_expression(x))\n\n\n',
        )
    ],
    "python/teorell/model/simplify.py": [
        before('"sqrt": math.sqrt', '"square": lambda a: a * a, ')
    ],
    "python/teorell/model/evaluate.py": [before('"sqrt": np.sqrt', '"square": np.square, ')],
    "python/teorell/model/calculus.py": [
        before('    if op == "sqrt":', '    if op == "square":\n        return 2.0 * a * da\n')
    ],
}


def use() -> None:
    """In a process that imports the changed copy."""
    from teorell.lowering.recent import programs_of
    from teorell.model.expression import square

    def model_of(function):
        model = tl.Model("squares")
        k, s = model.parameters(k=0.7, s=2.0)
        (x,) = model.states("x")
        model.flow(x, None, k * function(x / s))
        model.output("y", function(s + x) / s)
        return model

    ours, theirs = model_of(square), model_of(lambda x: x * x)
    assert programs_of(ours, ("y",), (), None).counts("rhs")["SQUARE"] == 1
    times, people = np.array([0.5, 1.0, 4.0]), {"k": np.array([0.7, 0.9]), "s": 1.7}
    regimen, found = tl.Regimen.bolus(3.0, into="x"), []
    for model, executor in ((ours, "machine_code"), (ours, "interpreter"), (theirs, None)):
        given = {"rtol": 1e-10, "atol": 1e-12, "executor": executor}
        solved = tl.simulate(model, people, regimen, times, **given)
        _, back = tl.value_and_grad(1.0, model, people, regimen, times, **given)
        forth = tl.jacobian(model, people, regimen, times, wrt=["k", "s"], **given)
        by_k, by_s = np.moveaxis(forth.derivatives.reshape(2, 3, 2), -1, 0)
        np.testing.assert_allclose(back.parameters["k"], by_k.sum(axis=1), rtol=1e-9)
        np.testing.assert_allclose(back.parameters["s"], by_s.sum(), rtol=1e-9)
        found.append((solved.values, forth.derivatives))
    assert found[0][0].tobytes() == found[1][0].tobytes()
    assert found[0][1].tobytes() == found[1][1].tobytes()
    for mine, other in zip(found[0], found[2], strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-8)
    x = 1.0 / (1.0 / 3.0 + people["k"][:, None] * times / 1.7**2)  # x' = -k (x / s)^2
    np.testing.assert_allclose(found[0][0][..., 0], (1.7 + x) ** 2 / 1.7, rtol=1e-7)


if __name__ == "__main__":
    use()
