"""The order of elimination and the pattern of the factors of E = I / (gamma h) - J.

The states fall into blocks: the strongly connected components of 'row i depends on column j'
(Tarjan, SIAM J. Comput. 1, 1972). Ordered so that dependents come first, E is block upper
triangular; only the diagonal blocks are factorised, and entries between blocks stay as they are,
without fill (Duff and Reid, ACM TOMS 4, 1978). Within a block the pivot of least Markowitz count
comes first (Markowitz, Manage. Sci. 3, 1957; Duff, Erisman and Reid, Direct Methods for Sparse
Matrices, 2017, chapters 5 and 7). Pivots stay on the diagonal.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Factors", "components", "elimination_blocks", "symbolic_factors"]


def components(columns: Sequence[Sequence[int]]) -> list[list[int]]:
    """Strongly connected components of the graph row -> columns[row].

    What a component depends on comes before it.
    """
    n = len(columns)
    index, low = [-1] * n, [0] * n
    open_: list[int] = []
    is_open = [False] * n
    found: list[list[int]] = []
    count = 0
    for root in range(n):
        if index[root] >= 0:
            continue
        calls = [(root, 0)]
        while calls:
            node, child = calls.pop()
            if child == 0:
                index[node] = low[node] = count
                count += 1
                open_.append(node)
                is_open[node] = True
            else:
                low[node] = min(low[node], low[columns[node][child - 1]])
            for k in range(child, len(columns[node])):
                to = columns[node][k]
                if index[to] < 0:
                    calls.extend([(node, k + 1), (to, 0)])
                    break
                if is_open[to]:
                    low[node] = min(low[node], index[to])
            else:
                if low[node] == index[node]:
                    start = open_.index(node)
                    found.append(sorted(open_[start:]))
                    for member in open_[start:]:
                        is_open[member] = False
                    del open_[start:]
    return found


def elimination_blocks(columns: Sequence[Sequence[int]]) -> list[list[int]]:
    """The blocks of a Jacobian, each with its states in order of elimination.

    The Jacobian has the entries (i, j), j in columns[i]. Accumulators, on which nothing depends,
    come first; adding one leaves the order of all others as it is, because a component's place
    follows from what it depends on: its depth below the sources, then its first state.
    """
    found = components(columns)
    home = {state: k for k, members in enumerate(found) for state in members}
    depth = [0] * len(found)
    needed = {j for i, row in enumerate(columns) for j in row}
    for k, members in enumerate(found):
        below = [depth[home[j]] + 1 for i in members for j in columns[i] if home[j] != k]
        depth[k] = max(below, default=0)
    accumulators = {
        k for k, members in enumerate(found) if len(members) == 1 and members[0] not in needed
    }
    places = sorted(
        range(len(found)), key=lambda k: (k not in accumulators, -depth[k], found[k][0])
    )
    return [_markowitz(found[k], columns) for k in places]


def _markowitz(members: Sequence[int], columns: Sequence[Sequence[int]]) -> list[int]:
    """The order in which one component is eliminated, with pivots on the diagonal.

    The next has the least (entries in row - 1)(entries in column - 1), then least fill, then comes
    first.
    """
    inside = set(members)
    rows = {i: {j for j in columns[i] if j in inside and j != i} for i in members}
    cols: dict[int, set[int]] = {j: set() for j in members}
    for i, row in rows.items():
        for j in row:
            cols[j].add(i)
    order: list[int] = []
    while rows:
        least = min([len(rows[k]) * len(cols[k]) for k in rows])
        ties = [k for k in rows if len(rows[k]) * len(cols[k]) == least]
        if len(ties) > 1 and least > 0:
            fills = {k: sum([len(rows[k] - rows[i] - {i}) for i in cols[k]]) for k in ties}
            ties.sort(key=lambda k: (fills[k], k))
        pivot = ties[0] if least > 0 else min(ties)
        order.append(pivot)
        row, col = rows.pop(pivot), cols.pop(pivot)
        for i in col:
            rows[i].discard(pivot)
            new = row - rows[i] - {i}
            rows[i] |= new
            for j in new:
                cols[j].add(i)
        for j in row:
            cols[j].discard(pivot)
    return order


@dataclass(frozen=True)
class Factors:
    """The pattern of L and U: for each state, the other states of its row.

    `lower` and `upper` are those of its own block before and after it in order of elimination,
    `outer` are entries of the matrix in the blocks after it. fill: entries that the matrix has not.
    """

    blocks: tuple[tuple[int, ...], ...]
    lower: tuple[tuple[int, ...], ...]
    upper: tuple[tuple[int, ...], ...]
    outer: tuple[tuple[int, ...], ...]
    fill: int


def symbolic_factors(columns: Sequence[Sequence[int]], blocks: Sequence[Sequence[int]]) -> Factors:
    """The pattern of L and U for a matrix with the entries (i, j), j in columns[i].

    Row by row: eliminating k from row i adds the part of row k after the diagonal.
    """
    order = [state for block in blocks for state in block]
    place = {state: k for k, state in enumerate(order)}
    home = {state: k for k, block in enumerate(blocks) for state in block}
    n = len(order)
    lower: list[tuple[int, ...]] = [()] * n
    upper: list[tuple[int, ...]] = [()] * n
    outer: list[tuple[int, ...]] = [()] * n
    fill = 0
    for i in order:
        row = {j for j in columns[i] if j != i and home[j] == home[i]}
        given = len(row)
        before: list[int] = []
        waiting = [place[j] for j in row if place[j] < place[i]]
        heapq.heapify(waiting)
        while waiting:
            k = order[heapq.heappop(waiting)]
            before.append(k)
            for j in upper[k]:
                if j != i and j not in row:
                    row.add(j)
                    if place[j] < place[i]:
                        heapq.heappush(waiting, place[j])
        lower[i] = tuple(before)
        upper[i] = tuple(sorted([j for j in row if place[j] > place[i]], key=place.__getitem__))
        outer[i] = tuple(
            sorted([j for j in columns[i] if home[j] != home[i]], key=place.__getitem__)
        )
        fill += len(row) - given
    return Factors(
        tuple([tuple(block) for block in blocks]), tuple(lower), tuple(upper), tuple(outer), fill
    )
