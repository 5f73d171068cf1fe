"""Conditions on time alone become switches.

A switch is a symbol that counts as a parameter between threshold times: k time + c < e, with k a
number and c, e of parameters only, changes once, at (e - c) / k. The integrator stops there and
prepares again, so that everything that depends on the condition is hoisted out of the step, and no
step crosses the jump (Ellison, Math. Comput. Simul. 23, 1981, on why it must not).
"""

from __future__ import annotations

from collections.abc import Sequence

from teorell.lowering.program import Switch
from teorell.model.expression import Expression, constant, leaves, make, symbol, topological

__all__ = ["with_switches"]

Affine = tuple[float, Expression]  # k, c of k * time + c

_ZERO = constant(0.0)


def with_switches(exprs: Sequence[Expression]) -> tuple[list[Expression], tuple[Switch, ...]]:
    """Expressions with `switch` symbols for conditions on time alone, and these switches.

    A symbol's name is the position of its switch.
    """
    replaced: dict[Expression, Expression] = {}
    affine: dict[Expression, Affine | None] = {}
    switches: dict[tuple[Expression, float], Switch] = {}
    for node in topological(exprs):
        new = node
        if any(replaced[arg] is not arg for arg in node.args):
            new = make(node.op, tuple([replaced[arg] for arg in node.args]))
        replaced[node] = new
        affine[node] = _affine(node, [affine[arg] for arg in node.args])
        if node.op in ("lt", "le"):
            switch = _switch(affine[node.args[0]], affine[node.args[1]])
            if switch is not None:
                key = (switch.threshold, switch.before)
                switches.setdefault(key, switch)
                place = {each: k for k, each in enumerate(switches)}[key]
                replaced[node] = symbol("switch", str(place))
    return [replaced[expr] for expr in exprs], tuple(switches.values())


def _switch(left: Affine | None, right: Affine | None) -> Switch | None:
    """left < right as a switch, if it is one."""
    if left is None or right is None or left[0] == right[0]:
        return None
    before = 1.0 if left[0] > right[0] else 0.0
    early, late = (left, right) if before else (right, left)  # early < late until the threshold
    bound = late[1] - early[1]
    if any(leaf.op != "parameter" for leaf in leaves(bound)):
        return None
    return Switch(bound / (early[0] - late[0]), before, 1.0 - before)


def _affine(node: Expression, inner: list[Affine | None]) -> Affine | None:
    """(k, c) if the node is k * time + c, else None; inner: the same of its operands.

    k is a number, and c of parameters only; c is simplified lightly.
    """
    if node.op == "time":
        return 1.0, _ZERO
    if node.op == "state":
        return None
    if any(part is None for part in inner):
        return None
    parts = [part for part in inner if part is not None]
    if all(part[0] == 0.0 for part in parts):
        return 0.0, node
    if node.op == "neg":
        return -parts[0][0], -parts[0][1]
    if node.op == "add":
        return parts[0][0] + parts[1][0], parts[0][1] + parts[1][1]
    if node.op == "sub":
        return parts[0][0] - parts[1][0], parts[0][1] - parts[1][1]
    if node.op == "mul":
        for (k, c), factor in ((parts[0], node.args[1]), (parts[1], node.args[0])):
            if factor.op == "constant":
                return k * factor.value, c * factor
    if node.op == "div" and node.args[1].op == "constant":
        return parts[0][0] / node.args[1].value, parts[0][1] / node.args[1]
    return None
