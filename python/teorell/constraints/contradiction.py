"""Proof that constraints contradict each other, whatever the numbers.

Every constraint is a linear form of its parts that are not linear, which are taken for quantities
of their own: if no numbers satisfy these forms, none satisfy the constraints. By Farkas' lemma that
is so if a combination of them, of bounds with factors of 0 or more, says 0 <= a negative number. Of
forms from which none can be left out that combination is the only one, up to its size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from teorell.constraints.constraint import Constraint
from teorell.constraints.declared import Declared
from teorell.engine.columns import project_columns
from teorell.lowering.columns import lower_columns
from teorell.model.expression import Expression, constant, symbol
from teorell.model.packing import topological

__all__ = ["contradiction"]

Linear: TypeAlias = dict[Expression | None, float]  # part -> factor; of None the constant


@dataclass(frozen=True, eq=False)
class Form:
    """A side of a constraint: `linear` = 0, or <= 0."""

    name: str
    linear: Linear
    equality: bool


def contradiction(declared: Declared) -> tuple[str, ...]:
    """Names of constraints that no numbers satisfy together, none of which can be left out.

    It is empty where there is no proof.
    """
    kept = [form for each in declared.constraints for form in _forms(each)]
    if _satisfiable(kept):
        return ()
    for form in list(kept):
        fewer = [other for other in kept if other is not form]
        if not _satisfiable(fewer):
            kept = fewer
    return tuple(dict.fromkeys(form.name for form in kept)) if _proven(kept) else ()


def _forms(each: Constraint) -> list[Form]:
    value = _linear(each.value)
    forms = []
    if each.equality:
        assert each.lower is not None
        forms.append(_sum(value, _linear(each.lower), -1.0))
    else:
        if each.lower is not None:
            forms.append(_sum(_linear(each.lower), value, -1.0))
        if each.upper is not None:
            forms.append(_sum(value, _linear(each.upper), -1.0))
    result = []
    for linear in forms:
        size = max((abs(factor) for part, factor in linear.items() if part is not None), default=1)
        scaled = {part: factor / (size or 1.0) for part, factor in linear.items()}
        result.append(Form(each.name, scaled, each.equality))
    return result


def _linear(expr: Expression) -> Linear:
    """An expression as a linear form of parts."""
    forms: dict[Expression, Linear] = {}
    for node in topological([expr]):
        forms[node] = _of_arguments(node, forms)
    return forms[expr]


def _of_arguments(node: Expression, forms: Mapping[Expression, Linear]) -> Linear:
    a, b = (*node.args, None, None)[:2]
    if node.op == "constant":
        return {None: node.value}
    if node.op in ("add", "sub") and a is not None and b is not None:
        return _sum(forms[a], forms[b], 1.0 if node.op == "add" else -1.0)
    if node.op == "neg" and a is not None:
        return _sum({}, forms[a], -1.0)
    if node.op == "mul" and a is not None and b is not None:
        for factor, other in ((a, b), (b, a)):
            if factor.op == "constant":
                return _sum({}, forms[other], factor.value)
    if node.op == "div" and a is not None and b is not None and b.op == "constant" and b.value:
        return _sum({}, forms[a], 1.0 / b.value)
    return {node: 1.0}


def _sum(a: Linear, b: Linear, factor: float) -> Linear:
    total = dict(a)
    for part, each in b.items():
        total[part] = total.get(part, 0.0) + factor * each
    return {part: each for part, each in total.items() if each}


def _parts(forms: Sequence[Form]) -> list[Expression]:
    return list(dict.fromkeys(part for form in forms for part in form.linear if part is not None))


def _satisfiable(forms: Sequence[Form]) -> bool:
    """Whether numbers are found that satisfy the forms; each form's largest factor is 1."""
    parts = _parts(forms)
    if not forms:
        return True
    if not parts:
        sizes = [(form.linear.get(None, 0.0), form.equality) for form in forms]
        return all(size == 0.0 if equality else size <= 0.0 for size, equality in sizes)
    names = [f"part {k}" for k in range(len(parts))]
    symbols = dict(zip(parts, (symbol("parameter", name) for name in names), strict=True))
    place = {part: k for k, part in enumerate(parts)}
    residuals, slopes, starts, columns = [], [], [0], []
    for form in forms:
        residual = constant(form.linear.get(None, 0.0))
        for part, factor in form.linear.items():
            if part is not None:
                residual = residual + factor * symbols[part]
                slopes.append(constant(factor))
                columns.append(place[part])
        residuals.append(residual)
        starts.append(len(columns))
    given = {
        "free": np.arange(len(parts), dtype=np.int32),
        "starts": np.array(starts, np.int32),
        "columns": np.array(columns, np.int32),
        "equality": np.array([form.equality for form in forms], np.uint8),
        "tolerance": 1e-10,
        "most_steps": 20,
        "most_attempts": 2,
    }
    _, _, steps = project_columns(
        lower_columns([*residuals, *slopes], names),
        [np.zeros(1)] * len(parts),
        given,
        [np.ones(1)] * len(parts),
        1,
        executor="interpreter",
    )
    return bool(steps[0] >= 0)


def _proven(forms: Sequence[Form]) -> bool:
    """Whether the one combination of the forms that has no parts says 0 <= a negative number."""
    parts = _parts(forms)
    if not forms:
        return False
    a = np.array([[form.linear.get(part, 0.0) for part in parts] for form in forms])
    b = np.array([form.linear.get(None, 0.0) for form in forms])  # a u + b <= 0
    left = np.linalg.svd(a.reshape(len(forms), -1), full_matrices=True)[0][:, -1]
    if parts and np.abs(left @ a).max() > 1e-12:
        return False
    left = left * (1.0 if left @ b > 0.0 else -1.0)
    bounds = np.array([not form.equality for form in forms])
    return bool((left[bounds] >= 0.0).all() and left @ b > 1e-9 * (np.abs(left) @ np.abs(b)))
