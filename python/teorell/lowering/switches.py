"""Conditions on time alone become switches.

A switch is a symbol that counts as a parameter between threshold times: k time + c < e, with k a
number and c, e of parameters only, changes once, at (e - c) / k. The integrator stops there and
prepares again, so that everything that depends on the condition is hoisted out of the step, and no
step crosses the jump (Ellison, Math. Comput. Simul. 23, 1981, on why it must not).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace as changed
from typing import TYPE_CHECKING

from teorell.lowering.program import Switch
from teorell.model.calculus import of_time
from teorell.model.expression import Expression, leaves, make, symbol, topological
from teorell.model.timing import Affine, affine, changes_with, in_parts

if TYPE_CHECKING:
    from teorell.model import Model

__all__ = ["names_in_conditions", "with_switches"]


def with_switches(
    exprs: Sequence[Expression], stepping: Collection[str] = ()
) -> tuple[list[Expression], tuple[Switch, ...]]:
    """Expressions with `switch` symbols for conditions on time alone, and these switches.

    A symbol's name is the position of its switch. stepping: parameters that change over time; what
    changes at a time that depends on one stays a condition. Where a power of time begins is a
    switch too, which nothing reads: its slope by the exponent is infinite there.
    """
    replaced: dict[Expression, Expression] = {}
    forms: dict[Expression, Affine | None] = {}
    switches: dict[tuple[Expression, float], Switch] = {}

    def replace(roots: Sequence[Expression]) -> None:
        for node in topological(roots):
            if node in replaced:
                continue
            new = node
            if any(replaced[arg] is not arg for arg in node.args):
                new = make(node.op, tuple([replaced[arg] for arg in node.args]))
            replaced[node] = new
            forms[node] = affine(node, [forms[arg] for arg in node.args])
            if node.op not in ("lt", "le"):
                continue
            switch = _switch(forms[node.args[0]], forms[node.args[1]], stepping)
            if switch is not None:
                key = (switch.threshold, switch.before)
                switches.setdefault(key, switch)
                place = {each: k for k, each in enumerate(switches)}[key]
                replaced[node] = symbol("switch", str(place))
            elif changes_with(node, "time") and not changes_with(node, "state"):
                part = in_parts(node.op, *node.args)
                if part is not None:
                    replace([part])
                    replaced[node] = replaced[part]

    replace(exprs)
    begins = [
        node.args[0] <= 0.0
        for node in topological(exprs)
        if node.op == "pow" and of_time(node.args[0]) and leaves(node.args[1])
    ]
    replace(begins)
    steep = {
        int(leaf.name)
        for begin in begins
        for leaf in leaves(replaced[begin])
        if leaf.op == "switch"
    }
    found = [changed(each, steep=k in steep) for k, each in enumerate(switches.values())]
    return [replaced[expr] for expr in exprs], tuple(found)


def names_in_conditions(model: Model) -> frozenset[str]:
    """The names of the parameters in conditions on time."""
    whens = [event.when for event in model.events]
    exprs = [*model.derivatives().values(), *whens, *model.outputs().values()]
    return frozenset(
        leaf.name
        for node in topological(exprs)
        if node.op in ("lt", "le") and changes_with(node, "time", "after_dose")
        for leaf in leaves(node)
        if leaf.op == "parameter"
    )


def _switch(left: Affine | None, right: Affine | None, stepping: Collection[str]) -> Switch | None:
    """left < right as a switch, if it is one."""
    if left is None or right is None or left[0] == right[0]:
        return None
    before = 1.0 if left[0] > right[0] else 0.0
    early, late = (left, right) if before else (right, left)  # early < late until the threshold
    bound = late[1] - early[1]
    if any(leaf.op != "parameter" or leaf.name in stepping for leaf in leaves(bound)):
        return None
    return Switch(bound / (early[0] - late[0]), before, 1.0 - before)
