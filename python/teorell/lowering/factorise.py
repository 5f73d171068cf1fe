"""The programs jacobian_lu, solve and solve_transposed: E = I / (gamma h) - J = L U.

By Doolittle's scheme, without pivoting. With l = -L and u = -U off the diagonal every update is a
sum of products that are positive for a compartment model:

    u_ij = J_ij + sum_{k < i} l_ik u_kj
    l_ij = (J_ij + sum_{k < j} l_ik u_kj) / p_j
    p_i = 1 / (gamma h) - J_ii - sum_{k < i} l_ik u_ki

in order of elimination within each diagonal block (Duff, Erisman and Reid, Direct Methods for
Sparse Matrices, 2017, chapter 3). Solve takes the blocks from the last to the first, each with

    f_i += sum_{j in later blocks} J_ij f_j + sum_{j < i} l_ij f_j
    f_i = (f_i + sum_{j > i} u_ij f_j) / p_i

An entry u_ij = J_ij that is a coefficient stays where it is; one with a minus sign is kept without
it. Solve_transposed is the transpose of solve, so it does the same with rows for columns, in the
opposite order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from teorell.lowering.builder import Builder
from teorell.lowering.linear import ONE, Form
from teorell.lowering.program import Op
from teorell.lowering.sparsity import Factors
from teorell.lowering.values import Terms, Values

__all__ = ["factorise"]

Entry = tuple[int, int]  # sign, value: the entry is their product
Place = tuple[int, str, int]  # sign, region, position


@dataclass
class _Rows:
    """The entries of the factors by row and column, as sparsity.Factors has their pattern."""

    lower: list[dict[int, Entry]]
    upper: list[dict[int, Entry]]
    outer: list[dict[int, Entry]]


@dataclass
class _Stored:
    """Slots of region lu, one for each value that solve needs."""

    values: Values
    slots: dict[int, int]

    def place(self, entry: Entry) -> Place:
        """Where solve finds an entry."""
        sign, value = entry
        slot = self.values.builder.kept(value)
        if slot is not None:
            return sign, *slot
        if value not in self.slots:
            self.slots[value] = len(self.slots)
            self.values.builder.store(value, "lu", self.slots[value])
        return sign, "lu", self.slots[value]


def factorise(
    values: Values,
    solve: Builder,
    transposed: Builder | None,
    jacobian: Sequence[Mapping[int, Form]],
    factors: Factors,
) -> int:
    """Fill jacobian_lu (`values`), solve and, where given, solve_transposed.

    jacobian: [row][column] -> form. Returns the number of slots in region lu.
    """
    b = values.builder
    ghinv = b.slot("scalar", 4)
    stored = _Stored(values, {})
    order = [state for block in factors.blocks for state in block]
    rows = _Rows([{} for _ in order], [{} for _ in order], [{} for _ in order])
    lower, upper, outer = rows.lower, rows.upper, rows.outer
    inverse: dict[int, int] = {}
    seen = {ghinv}
    smallest: int | None = None
    for i in order:
        for j in factors.lower[i]:
            sign, value = _entry(values, jacobian[i].get(j), _updates(lower[i], upper, j))
            lower[i][j] = sign, b.mul(value, inverse[j])
        for j in factors.upper[i]:
            upper[i][j] = _entry(values, jacobian[i].get(j), _updates(lower[i], upper, j))
        for j in factors.outer[i]:
            outer[i][j] = _entry(values, jacobian[i][j], [])
        pivot = _pivot(values, ghinv, jacobian[i].get(i), _updates(lower[i], upper, i))
        inverse[i] = b.div(b.one, pivot)
        if any(atom is not ONE for atom in jacobian[i].get(i, ())):
            # 1 / infinity is a quiet 0, and the state would stand still; 0 * infinity is NaN,
            # and told.
            inverse[i] = b.fma(b.constant(0.0), pivot, inverse[i])
        if pivot not in seen:
            size = b.op(Op.ABS, pivot)
            smallest = size if smallest is None else b.op(Op.MIN, size, smallest)
            seen.add(pivot)
    b.store(ghinv if smallest is None else smallest, "scalar", 7)
    _solve(solve, stored, rows, inverse, factors)
    if transposed is not None:
        _solve_transposed(transposed, stored, rows, inverse, factors)
    return len(stored.slots)


def _updates(
    row: Mapping[int, Entry], upper: Sequence[Mapping[int, Entry]], j: int
) -> list[tuple[int, int, int]]:
    """sum_k l_ik u_kj for the k of the row so far: sign and two values each."""
    found = []
    for k, (sign, value) in row.items():
        if j in upper[k]:
            other, factor = upper[k][j]
            found.append((sign * other, value, factor))
    return found


def _entry(values: Values, form: Form | None, updates: Sequence[tuple[int, int, int]]) -> Entry:
    """The entry J_ij + updates of a factor; form: J_ij, None where it is 0."""
    if form is not None and not updates:
        return _signed(values, form)
    terms = Terms() if form is None else values.terms(form)
    for update in updates:
        terms.add(*update)
    return 1, terms.value(values.builder)


def _signed(values: Values, form: Form) -> Entry:
    """A form as a sign and a value, so that k and -k are one value."""
    if len(form) == 1:
        atom, coefficient = next(iter(form.items()))
        sign, factor = values.coefficient(coefficient)
        if atom is ONE:
            return sign, factor
        return sign, values.builder.mul(factor, values.value(atom))
    return 1, values.terms(form).value(values.builder)


def _pivot(
    values: Values, ghinv: int, form: Form | None, updates: Sequence[tuple[int, int, int]]
) -> int:
    """The pivot 1 / (gamma h) - J_ii - updates; ghinv: the value 1 / (gamma h), form: J_ii."""
    terms = Terms() if form is None else values.terms(form)
    for update in updates:
        terms.add(*update)
    negated = Terms()
    negated.minus = [(single, values.builder.one) for single in terms.singles] + terms.plus
    negated.plus = terms.minus
    return negated.value(values.builder, ghinv)


def _solve(
    b: Builder, stored: _Stored, rows: _Rows, inverse: Mapping[int, int], factors: Factors
) -> None:
    """Forward and back substitution, block by block, in place on region f."""
    f = {i: b.slot("f", i) for i in inverse}

    def row(i: int, entries: Mapping[int, Entry]) -> int:
        terms = Terms()
        for j, entry in entries.items():
            sign, region, position = stored.place(entry)
            terms.add(sign, b.slot(region, position), f[j])
        return terms.value(b, f[i])

    for block in reversed(factors.blocks):
        for i in block:
            f[i] = row(i, {**rows.outer[i], **rows.lower[i]})
            b.place(f[i], "f", i)  # what it replaces is not read again
        for i in reversed(block):
            _, region, position = stored.place((1, inverse[i]))
            f[i] = b.mul(row(i, rows.upper[i]), b.slot(region, position))
            b.store(f[i], "f", i)


def _solve_transposed(
    b: Builder, stored: _Stored, rows: _Rows, inverse: Mapping[int, int], factors: Factors
) -> None:
    """w := E^-T w in place on region w of a stage.

    By U', then by L', then into the blocks that follow.
    """
    w = {i: b.slot("block", len(inverse) + i) for i in inverse}
    waiting: dict[int, Terms] = {i: Terms() for i in inverse}

    def send(i: int, entries: Mapping[int, Entry]) -> None:
        for j, entry in entries.items():
            sign, region, position = stored.place(entry)
            waiting[j].add(sign, b.slot(region, position), w[i])

    def received(i: int) -> int:
        terms, waiting[i] = waiting[i], Terms()
        return terms.value(b, w[i])

    for block in factors.blocks:
        for i in block:
            _, region, position = stored.place((1, inverse[i]))
            w[i] = b.mul(received(i), b.slot(region, position))
            b.place(w[i], "block", len(inverse) + i)
            send(i, rows.upper[i])
        for i in reversed(block):
            w[i] = received(i)
            b.store(w[i], "block", len(inverse) + i)
            send(i, rows.lower[i])
        for i in block:
            send(i, rows.outer[i])
