"""The time after a dose, as the time less that of the last arrival, which counts as a parameter.

It changes where a dose comes in (schedule/arrival_rows.py), and steps end there anyway.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce

from teorell.model.declarations import LONG_AGO
from teorell.model.expression import Expression, constant, leaves, make, symbol, topological

__all__ = ["arrival_name", "with_arrivals"]

_NAN = make("constant", math.nan)  # no user can write it


def arrival_name(state: str) -> str:
    """The name of the parameter that holds the last arrival; no name that a user can give."""
    return f"last dose into {state}"


def with_arrivals(
    rates: Sequence[Expression], outputs: Sequence[Expression]
) -> tuple[list[Expression], list[Expression], tuple[str, ...]]:
    """Rates and outputs of parameters alone in place of times after doses, and the states of these.

    An output that depends on a dose is NaN where none has come in.
    """
    read = sorted(
        {leaf.name for expr in (*rates, *outputs) for leaf in leaves(expr) if _is_time(leaf)}
    )
    arrivals = {name: symbol("parameter", arrival_name(name)) for name in read}
    replaced: dict[Expression, Expression] = {}
    for node in topological([*rates, *outputs] if read else []):
        new = node
        if _is_time(node):
            new = symbol("time", "time") - arrivals[node.name]
        elif any(replaced[arg] is not arg for arg in node.args):
            new = make(node.op, tuple([replaced[arg] for arg in node.args]))
        replaced[node] = new

    def output(expr: Expression) -> Expression:
        needed = sorted(leaf.name for leaf in leaves(expr) if _is_time(leaf))
        if not needed:
            return expr
        dosed = reduce(
            lambda a, b: a & b, [constant(-0.5 * LONG_AGO) < arrivals[name] for name in needed]
        )
        return make("where", (dosed, replaced[expr], _NAN))

    return [replaced.get(rate, rate) for rate in rates], list(map(output, outputs)), tuple(read)


def _is_time(node: Expression) -> bool:
    return node.op == "after_dose"
