"""Graphs of expressions in a row: operands before users, and as plain data for pickles and digests.

Nothing recurses: sums of thousands of terms are deep chains.
"""

from __future__ import annotations

import copyreg
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from teorell.model.graph import Expression, make

__all__ = ["pack", "topological", "unpack"]

Record: TypeAlias = tuple[str, float | str | tuple[int, ...]]


def topological(exprs: Iterable[Expression]) -> list[Expression]:
    """Every node reachable from `exprs`, once, operands before users.

    The order is depth first and left to right.
    """
    done: set[Expression] = set()
    order: list[Expression] = []
    for root in exprs:
        stack = [root]
        while stack:
            node = stack[-1]
            if node in done:
                stack.pop()
                continue
            waiting = [arg for arg in node.args if arg not in done]
            if waiting:
                stack.extend(reversed(waiting))
            else:
                done.add(node)
                order.append(node)
                stack.pop()
    return order


def pack(exprs: Sequence[Expression]) -> tuple[tuple[Record, ...], tuple[int, ...]]:
    """Expressions as plain data, shared parts once: records, and the positions of the roots.

    A record is (op, number | name | positions of the operands).
    """
    order = topological(exprs)
    position = {node: k for k, node in enumerate(order)}
    records: list[Record] = []
    for node in order:
        if node.args:
            records.append((node.op, tuple([position[arg] for arg in node.args])))
        else:
            records.append((node.op, node.value if node.op == "constant" else node.name))
    return tuple(records), tuple(position[expr] for expr in exprs)


def unpack(packed: tuple[Sequence[Record], Sequence[int]]) -> list[Expression]:
    """The expressions that `pack` has made records of, and whose roots it names."""
    nodes: list[Expression] = []
    for op, payload in packed[0]:
        nodes.append(
            make(op, tuple([nodes[k] for k in payload]) if isinstance(payload, tuple) else payload)
        )
    return [nodes[k] for k in packed[1]]


def _unpack_one(packed: tuple[Sequence[Record], Sequence[int]]) -> Expression:
    return unpack(packed)[0]


def _reduce(
    expr: Expression,
) -> tuple[Callable[..., Expression], tuple[tuple[tuple[Record, ...], tuple[int, ...]]]]:
    """How an expression is pickled: as records, whose depth is that of no graph."""
    return _unpack_one, (pack([expr]),)


copyreg.pickle(Expression, _reduce)
