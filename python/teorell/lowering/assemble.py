"""lower(): a model to its programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from teorell.expression import Expression, leaves
from teorell.lowering.builder import Builder, Constants
from teorell.lowering.derivatives import Differentiable, tangent_programs, vjp_programs
from teorell.lowering.factorise import factorise
from teorell.lowering.linear import Form, Forms
from teorell.lowering.program import PROGRAMS, Layout, Programs
from teorell.lowering.sparsity import elimination_blocks, symbolic_factors
from teorell.lowering.switches import with_switches
from teorell.lowering.values import Symbols, Terms, Values, parameter_values

if TYPE_CHECKING:
    from teorell.model import Model

__all__ = ["lower"]


def lower(
    model: Model,
    outputs: tuple[str, ...] | None = None,
    infused: tuple[str, ...] = (),
    derivatives: str | None = None,
    stages: int = 8,
) -> Programs:
    """The programs of a model.

    outputs: names of the outputs to compute, None for all; the right-hand side does not depend on
    the choice.
    infused: states that receive infusions; the rate of each lies in the last slots of region coef,
    in this order.
    derivatives: None, "vjp" for the programs of the adjoint, "jvp" for those of forward
    sensitivities.
    stages: stages of the method, for the size of the workspace.
    """
    names, parameters = model.state_names, model.parameter_names
    known_outputs = model.outputs()
    chosen = tuple(known_outputs) if outputs is None else tuple(outputs)
    for what, given, known in (
        ("output", chosen, tuple(known_outputs)),
        ("state", tuple(infused), names),
    ):
        for name in given:
            if name not in known:
                raise KeyError(
                    f"{what} {name!r}: the model has none of this name. It has {', '.join(known)}."
                )
    if len(set(infused)) < len(infused):
        raise ValueError(f"infused states {infused}: a state is named twice. Name each once.")
    declared = model.derivatives()
    rates, switches = with_switches([declared[name] for name in names])
    forms, symbols, constants = Forms(rates, names), Symbols(names, parameters), Constants()
    builders = {name: Builder(constants) for name in PROGRAMS}

    jacobian, in_time = _gradients(forms, rates, symbols)
    infusions = {symbols.states[name]: k for k, name in enumerate(infused)}
    _rhs(Values(builders["rhs"], forms, symbols), rates, infusions)
    columns = [sorted(row) for row in jacobian]
    factors = symbolic_factors(columns, elimination_blocks(columns))
    n_lu = factorise(
        Values(builders["jacobian_lu"], forms, symbols), builders["solve"],
        builders["solve_transposed"] if derivatives == "vjp" else None, jacobian, factors,
    )  # fmt: skip
    ft_rows = sorted(in_time)
    _store(Values(builders["df_dt"], forms, symbols), [in_time[row] for row in ft_rows], "ft")
    exprs = [known_outputs[name] for name in chosen]
    _store(Values(builders["outputs"], forms, symbols), [forms.of(expr) for expr in exprs], "out")
    initials = model.initials()
    _store(
        Values(builders["initial"], forms, symbols),
        [forms.of(initials[name]) for name in names],
        "y",
    )
    hoisted = forms.coefficients.table
    d = Differentiable(
        forms, symbols, constants, [forms.of(rate) for rate in rates], infusions, in_time,
        [forms.of(expr) for expr in exprs], [forms.of(initials[name]) for name in names], hoisted,
    )  # fmt: skip
    touched = vjp_programs(d, builders) if derivatives == "vjp" else []
    if derivatives == "jvp":
        tangent_programs(d, builders)
    pairs = list(d.pairs()) if derivatives else []
    columns_of = list(dict.fromkeys(column for _, column in pairs))
    entries = [(row, column, columns_of.index(column)) for row, column in pairs]
    for k, value in enumerate(parameter_values(builders["prepare"], symbols, list(hoisted))):
        builders["prepare"].store(value, "coef", k)

    read = {leaf.name for expr in exprs for leaf in leaves(expr) if leaf.op == "state"}
    n_temp = max([builder.schedule() for builder in builders.values()])
    layout = Layout.of(
        n_const=len(constants.values), n_coef=len(hoisted) + len(infused), n=len(names), n_lu=n_lu,
        n_ft=len(ft_rows), n_out=len(chosen), n_params=len(parameters), n_switches=len(switches),
        n_temp=n_temp, stages=stages, one=constants.slot(1.0), n_infused=len(infused),
        derivatives=derivatives, n_entries=len(entries), n_columns=len(columns_of),
        n_output_states=len(read), n_outcoef=len(touched),
    )  # fmt: skip
    programs = {name: builder.encode(layout) for name, builder in builders.items()}
    info = [model.state_info(name) for name in names]
    return Programs(
        layout=layout,
        constants=np.array(constants.values, dtype=np.float64),
        **programs,
        derivatives=derivatives,
        entries=np.array(entries, dtype=np.int32).reshape(-1, 3),
        output_coefs=np.array(touched, dtype=np.int32),
        ft_rows=np.array(ft_rows, dtype=np.int32),
        infused=tuple(infused),
        output_states=np.array([k for k, name in enumerate(names) if name in read], dtype=np.int32),
        controlled=np.array([state.controlled for state in info], dtype=np.uint8),
        signed=np.array([state.signed for state in info], dtype=np.uint8),
        switches=switches,
        state_names=tuple(names),
        parameter_names=tuple(parameters),
        output_names=chosen,
        order=tuple([state for block in factors.blocks for state in block]),
        jacobian_pattern=tuple([(i, j) for i, row in enumerate(columns) for j in row]),
        fill=factors.fill,
    )


def _gradients(
    forms: Forms, rates: Sequence[Expression], symbols: Symbols
) -> tuple[list[dict[int, Form]], dict[int, Form]]:
    """The Jacobian by row and column, and the derivatives with respect to time by row, where they
    are not zero.
    """
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
    """f += rates, plus the infusion rate where there is one (by state: its number)."""
    for row, rate in enumerate(rates):
        terms: Terms = values.terms(values.forms.of(rate))
        if row in infusions:
            terms.singles.append(values.builder.slot("rate", infusions[row]))
        values.builder.store(terms.value(values.builder, values.builder.slot("f", row)), "f", row)


def _store(values: Values, forms: Sequence[Form], region: str) -> None:
    for position, form in enumerate(forms):
        values.builder.store(values.terms(form).value(values.builder), region, position)
