"""lower(): a model to its programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from teorell.lowering.arrivals import arrival_name, with_arrivals
from teorell.lowering.builder import Builder, Constants
from teorell.lowering.derivatives import (
    Differentiable,
    prepare_tangent,
    prepare_vjp,
    store_all,
    tangent_programs,
    vjp_programs,
)
from teorell.lowering.layout import Layout
from teorell.lowering.linear import Form, Forms
from teorell.lowering.program import PROGRAMS, Action, Programs, Surface, Switch
from teorell.lowering.step_programs import Step, step_programs
from teorell.lowering.surfaces import with_surfaces
from teorell.lowering.switches import with_switches
from teorell.lowering.values import Symbols, Terms, Values, parameter_values
from teorell.model.expression import Expression, leaves

if TYPE_CHECKING:
    from teorell.model import Model

__all__ = ["lower", "surfaces_of"]

# Their machine code is shared: temporaries lie where no other program moves them.
IN_STEPS = ("rhs", "df_dt", "jacobian_lu", "solve", "outputs")


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
    known = model.outputs()
    chosen = tuple(known) if outputs is None else tuple(outputs)
    _check_names(model, chosen, tuple(infused))
    names, events = model.state_names, model.events
    parts = _parts(model, [known[name] for name in chosen])
    switches, conditions = parts.switches, parts.conditions
    parameters = (*model.parameter_names, *map(arrival_name, parts.arrivals))
    constants = Constants()
    builders = {name: Builder(constants) for name in PROGRAMS}
    step, hoisted, touched, pairs = _fill(
        builders, constants, model, parameters, parts, infused, derivatives
    )

    columns_of = list(dict.fromkeys(column for _, column in pairs))
    entries = [(row, column, columns_of.index(column)) for row, column in pairs]
    read = {leaf.name for expr in parts.outputs for leaf in leaves(expr) if leaf.op == "state"}
    temporaries = {name: builder.schedule() for name, builder in builders.items()}
    layout = Layout.of(
        n_const=len(constants.values),
        n_coef=len(hoisted) + len(infused),
        n=len(names),
        n_lu=step.n_lu,
        n_ft=len(step.in_time),
        n_out=len(chosen),
        n_params=len(parameters),
        n_switches=len(switches) + len(conditions),
        n_surfaces=len(conditions),
        n_events=len(events),
        n_actions=len(parts.actions),
        n_temp=max(temporaries[name] for name in IN_STEPS),
        n_scratch=max(n for name, n in temporaries.items() if name not in IN_STEPS),
        stages=stages,
        one=constants.slot(1.0),
        n_infused=len(infused),
        derivatives=derivatives,
        n_entries=len(entries),
        n_columns=len(columns_of),
        n_output_states=len(read),
        n_outcoef=len(touched),
    )
    programs = {
        name: builder.encode(layout, "temp" if name in IN_STEPS else "scratch")
        for name, builder in builders.items()
    }
    states = [model.state_info(name) for name in names]
    return Programs(
        layout=layout,
        constants=np.array(constants.values, dtype=np.float64),
        **programs,
        derivatives=derivatives,
        entries=np.array(entries, dtype=np.int32).reshape(-1, 3),
        output_coefs=np.array([layout.coefficient(k) for k in touched], dtype=np.int32),
        ft_rows=np.array(sorted(step.in_time), dtype=np.int32),
        infused=tuple(infused),
        output_states=np.array([k for k, name in enumerate(names) if name in read], dtype=np.int32),
        controlled=np.array([state.controlled for state in states], dtype=np.uint8),
        signed=np.array([state.signed for state in states], dtype=np.uint8),
        switches=switches,
        conditions=conditions,
        assigned=tuple(
            [Action(k, names.index(name)) for k, event in enumerate(events) for name in event.then]
        ),
        event_surfaces=tuple([_surface_of(when, len(switches)) for when in parts.whens]),
        state_names=tuple(names),
        parameter_names=parameters,
        arrivals=parts.arrivals,
        output_names=chosen,
        order=tuple([state for block in step.factors.blocks for state in block]),
        jacobian_pattern=tuple([(i, j) for i, row in enumerate(step.columns) for j in row]),
        fill=step.factors.fill,
    )


def surfaces_of(model: Model) -> tuple[Surface, ...]:
    """The surfaces of conditions on states, in their order."""
    return _parts(model, []).conditions


class _Parts(NamedTuple):
    """The expressions of a model: what is known at an event alone counts as a parameter."""

    rates: Sequence[Expression]
    whens: Sequence[Expression]  # the conditions of declared events
    actions: Sequence[Expression]  # what these assign
    outputs: Sequence[Expression]
    switches: tuple[Switch, ...]
    conditions: tuple[Surface, ...]
    arrivals: tuple[str, ...]  # the states whose times after doses are read


def _parts(model: Model, outputs: Sequence[Expression]) -> _Parts:
    """Times after doses, conditions on time and conditions on states taken out, in this order."""
    rates, events = list(model.derivatives().values()), model.events
    whens = [event.when for event in events]
    actions = [expr for event in events for expr in event.then.values()]
    given, outputs, arrivals = with_arrivals([*rates, *whens, *actions], outputs)
    waited = len(rates) + len(whens)
    split, switches = with_switches(given[:waited])
    split, conditions = with_surfaces(split, len(switches), len(events))
    return _Parts(
        rates=split[: len(rates)],
        whens=split[len(rates) :],
        actions=given[waited:],
        outputs=outputs,
        switches=switches,
        conditions=conditions,
        arrivals=arrivals,
    )


def _surface_of(when: Expression, switches: int) -> int:
    """A surface that a condition reads, -1 if there is none: it is of time alone."""
    sides = [int(leaf.name) - switches for leaf in leaves(when) if leaf.op == "switch"]
    return max(sides, default=-1) if max(sides, default=-1) >= 0 else -1


def _fill(
    builders: Mapping[str, Builder],
    constants: Constants,
    model: Model,
    parameters: Sequence[str],
    parts: _Parts,
    infused: Sequence[str],
    derivatives: str | None,
) -> tuple[Step, tuple[Expression, ...], list[int], list[tuple[int, int]]]:
    """Fill all programs.

    Returns what those of a step are made of; what prepare computes; the coefficients that
    outputs_vjp has cotangents of; (row, column) of the Jacobian that have second derivatives.
    """
    names, starts, rates = model.state_names, model.initials(), parts.rates
    initials = [starts[name] for name in names]
    forms, symbols = Forms(rates, names), Symbols(names, parameters)
    infusions = {symbols.states[name]: k for k, name in enumerate(infused)}

    # First the programs that read coefficients: each may add to the table of forms.coefficients.
    step = step_programs(builders, forms, symbols, rates, infusions, derivatives == "vjp")
    for program, region, exprs in (("outputs", "out", parts.outputs), ("initial", "y", initials)):
        values = Values(builders[program], forms, symbols)
        store_all(values, [forms.of(expr) for expr in exprs], region)
    surfaces = [forms.of(condition.distance) for condition in parts.conditions]
    store_all(Values(builders["surfaces"], forms, symbols), surfaces, "g")
    _total_rates(Values(builders["surface_rates"], forms, symbols), surfaces, "grate")
    actions = [forms.of(expr) for expr in parts.actions]
    store_all(Values(builders["actions"], forms, symbols), actions, "act")
    _total_rates(Values(builders["action_rates"], forms, symbols), actions, "actrate")
    holds = [forms.of(when) for when in parts.whens]
    store_all(Values(builders["event_conditions"], forms, symbols), holds, "when")
    d = Differentiable(
        forms=forms,
        symbols=symbols,
        constants=constants,
        rates=[forms.of(rate) for rate in rates],
        infusions=infusions,
        in_time=step.in_time,
        outputs=[forms.of(expr) for expr in parts.outputs],
        initials=[forms.of(expr) for expr in initials],
        surfaces=surfaces,
        actions=actions,
    )
    touched = vjp_programs(d, builders) if derivatives == "vjp" else []
    if derivatives == "jvp":
        tangent_programs(d, builders)

    # Now the table is complete: what computes the coefficients comes last.
    hoisted = forms.coefficients.complete()
    if derivatives == "vjp":
        prepare_vjp(d, builders["prepare_vjp"], hoisted)
    if derivatives == "jvp":
        prepare_tangent(d, builders["prepare_jvp"], hoisted)
    for k, value in enumerate(parameter_values(builders["prepare"], symbols, hoisted)):
        builders["prepare"].store(value, "coef", k)
    return step, hoisted, touched, list(d.pairs()) if derivatives else []


def _check_names(model: Model, outputs: tuple[str, ...], infused: tuple[str, ...]) -> None:
    """KeyError for an output or a state that the model has not, ValueError for one named twice."""
    for what, given, known in (
        ("output", outputs, tuple(model.outputs())),
        ("state", infused, model.state_names),
    ):
        for name in given:
            if name not in known:
                raise KeyError(
                    f"{what} {name!r}: the model has none of this name. It has {', '.join(known)}."
                )
    if len(set(infused)) < len(infused):
        raise ValueError(f"infused states {infused}: a state is named twice. Name each once.")


def _total_rates(values: Values, forms: Sequence[Form], region: str) -> None:
    """How fast forms change, with the rates of the states in region f."""
    b = values.builder
    for k, form in enumerate(forms):
        total = Terms()
        for symbol, slope in values.forms.gradient_of(form).items():
            value = values.terms(slope).value(b)
            if symbol.op == "time":
                total.singles.append(value)
            else:
                total.add(1, value, b.slot("f", values.symbols.states[symbol.name]))
        b.store(total.value(b), region, k)
