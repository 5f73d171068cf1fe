"""Operations of Python that a model cannot hold: each is refused in the line that writes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from teorell.model.graph import READINGS, Expression

__all__: list[str] = []


def _refusing(operator: str, remedy: str) -> Callable[..., Any]:
    def refuse(self: Expression, *others: object) -> Any:
        raise TypeError(f"{operator} of an expression (models have no such operation). {remedy}")

    return refuse


for _method, (_operator, _remedy) in {
    "floordiv": ("//", "Write tl.where with the conditions that part the steps."),
    "mod": ("%", "Write doses that repeat as a Regimen with every=, a rhythm with tl.sin."),
    "divmod": ("divmod", "Write a / b."),
    "xor": ("^", "Write x**2 for a power, (a | b) & ~(a & b) for one of two conditions."),
    "matmul": ("@", "Write the sum of the products."),
    "lshift": ("<<", "Write x * 2**n."),
    "rshift": (">>", "Write x / 2**n."),
}.items():
    setattr(Expression, f"__{_method}__", _refusing(_operator, _remedy))
    setattr(Expression, f"__r{_method}__", _refusing(_operator, _remedy))
for _method in ("float", "int", "complex", "round", "trunc", "floor", "ceil"):
    setattr(
        Expression,
        f"__{_method}__",
        _refusing(
            f"{_method}()" if _method != "float" else "float(), or a function of math,",
            "Its value is known when the model runs: write tl.exp, log, sqrt, ... of it.",
        ),
    )


def _refuse_index(self: Expression) -> int:
    """Python asks for it as well to repeat a tuple, after an expression refused to multiply it."""
    raise TypeError(
        "an expression as an index, or times a tuple, a list or a text (its value is known only "
        "when the model runs). States and parameters come as tuples: (a,) = model.states('a') "
        "takes the one out."
    )


Expression.__index__ = _refuse_index  # type: ignore[attr-defined]


def _check_arithmetic(*operands: Expression) -> None:
    """TypeError for arithmetic with what `==` or `!=` makes."""
    for operand in operands:
        if _is_equality(operand):
            raise TypeError(
                f"arithmetic with {operand!r} (== and != make conditions). Write "
                "tl.where(condition, a, b), with 1 and 0 for a and b where it shall count."
            )


def _is_equality(node: Expression) -> bool:
    """Is it what `==` or `!=` makes? Many mean False by it, as Python does of other things."""
    if node.op == "not":
        node = node.args[0]
    if node.op != "and" or node.args[0].op != "le" or node.args[1].op != "le":
        return False
    (a, b), (c, d) = node.args[0].args, node.args[1].args
    return a is d and b is c


READINGS["arithmetic"] = _check_arithmetic
