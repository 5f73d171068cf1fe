"""The programs of a step: the right-hand side, its Jacobian factorised, and its slope in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from teorell.lowering.builder import Builder
from teorell.lowering.derivatives import store_all
from teorell.lowering.factorise import factorise
from teorell.lowering.linear import Form, Forms
from teorell.lowering.sparsity import Factors, elimination_blocks, symbolic_factors
from teorell.lowering.values import Symbols, Terms, Values
from teorell.model.expression import Expression

__all__ = ["Step", "step_programs"]


class Step(NamedTuple):
    """What the programs of a step are made of."""

    columns: list[list[int]]  # [row] -> columns of the Jacobian that are not zero
    factors: Factors
    n_lu: int  # slots of region lu
    in_time: dict[int, Form]  # row -> df/dt, where it is not zero


def step_programs(
    builders: Mapping[str, Builder],
    forms: Forms,
    symbols: Symbols,
    rates: Sequence[Expression],
    infusions: Mapping[int, int],
    transposed: bool,
) -> Step:
    """Fill rhs, jacobian_lu, solve, solve_transposed where it is wanted, and df_dt."""
    jacobian, in_time = _gradients(forms, rates, symbols)
    _rhs(Values(builders["rhs"], forms, symbols), rates, infusions)
    columns = [sorted(row) for row in jacobian]
    factors = symbolic_factors(columns, elimination_blocks(columns))
    n_lu = factorise(
        values=Values(builders["jacobian_lu"], forms, symbols),
        solve=builders["solve"],
        transposed=builders["solve_transposed"] if transposed else None,
        jacobian=jacobian,
        factors=factors,
    )
    df_dt = Values(builders["df_dt"], forms, symbols)
    store_all(df_dt, [in_time[row] for row in sorted(in_time)], "ft")
    return Step(columns, factors, n_lu, in_time)


def _gradients(
    forms: Forms, rates: Sequence[Expression], symbols: Symbols
) -> tuple[list[dict[int, Form]], dict[int, Form]]:
    """The Jacobian by row and column, and df/dt by row, where they are not zero."""
    jacobian: list[dict[int, Form]] = []
    in_time: dict[int, Form] = {}
    for row, rate in enumerate(rates):
        entries: dict[int, Form] = {}
        for symbol, form in forms.gradient(rate).items():
            if symbol.op == "time":
                in_time[row] = form
            else:
                entries[symbols.states[symbol.name]] = form
        jacobian.append(entries)
    return jacobian, in_time


def _rhs(values: Values, rates: Sequence[Expression], infusions: Mapping[int, int]) -> None:
    """f += rates, plus the infusion rate where there is one (infusions: state -> its number)."""
    for row, rate in enumerate(rates):
        terms: Terms = values.terms(values.forms.of(rate))
        if row in infusions:
            terms.singles.append(values.builder.slot("rate", infusions[row]))
        values.builder.store(terms.value(values.builder, values.builder.slot("f", row)), "f", row)
