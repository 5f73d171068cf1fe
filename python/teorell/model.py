"""A model as the user writes it: parameters, states, flows and outputs, checked line by line. Data, not code.

>>> model = Model("one compartment")
>>> (cl, v), (central,) = model.parameters(cl=5.0, v=20.0), model.states("central")
>>> model.flow(central, None, cl / v * central)
>>> model.output("cp", central / v, unit="mg/L")
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.balance import Conservation, check_conservation
from teorell.declarations import Dosing, Flow, Parameter, Rate, State, check_identifier, look_up, number, text
from teorell.description import content, describe
from teorell.errors import ModelError, suggestion
from teorell.expression import Expression, Operand, as_expression, constant, leaves, symbol, to_text

__all__ = ["Dosing", "Flow", "Model", "ModelError", "Parameter", "Rate", "State"]

_KINDS = {"parameter": "parameters", "state": "states", "time": "the time"}


class Model:
    """Ordinary differential equations for one patient. Every mistake raises ModelError where it is made."""

    def __init__(self, name: str, time_unit: str = "h") -> None:
        self.name = text(name, "model name")
        self.time_unit = text(time_unit, "time unit")
        self._parameters: dict[str, Parameter] = {}
        self._states: dict[str, State] = {}
        self._given: set[str] = set()  # states whose initial value has been set
        self._terms: list[Flow | Rate] = []
        self._definitions: dict[str, Expression] = {}
        self._outputs: dict[str, Expression] = {}
        self._output_units: dict[str, str] = {}
        self._dosing: dict[str, Dosing] = {}
        self._cached: dict[str, Any] = {}  # what has been derived since the last change

    def __repr__(self) -> str:
        flows, rates = len(self.flows), len(self.rates)
        return (
            f"<Model {self.name!r}: {len(self._states)} states, {len(self._parameters)} parameters, {flows} flows, "
            f"{rates} rates, {len(self.output_names)} outputs>"
        )

    # What the user writes

    @property
    def time(self) -> Expression:
        """The time since the start of the simulation, in the model's time unit."""
        return symbol("time", "time")

    def parameters(self, **defaults: float) -> tuple[Expression, ...]:
        """Declare parameters as name=default; always a tuple, in order."""
        return tuple([self.parameter(name, default) for name, default in defaults.items()])

    def parameter(
        self,
        name: str,
        default: float,
        unit: str = "",
        lower: float = -math.inf,
        upper: float = math.inf,
        description: str = "",
    ) -> Expression:
        """Declare one parameter, with inclusive bounds."""
        self._check_new(name, "parameter")
        value, low, high = (number(x, f"parameter {name!r}: {what}") for x, what in (
            (default, "default"), (lower, "lower bound"), (upper, "upper bound")))  # fmt: skip
        if low > high:
            raise ModelError(f"parameter {name!r}: lower bound {low:g} is above upper bound {high:g}. Exchange them.")
        if not math.isfinite(value):
            raise ModelError(f"parameter {name!r}: default is {value}. Give a finite number.")
        if not low <= value <= high:
            raise ModelError(
                f"parameter {name!r}: default {value:g} is outside [{low:g}, {high:g}]. Change it or the bounds."
            )
        unit, description = text(unit, f"unit of {name!r}"), text(description, f"description of {name!r}")
        self._parameters[name] = Parameter(name, value, unit, low, high, description)
        self._cached.clear()
        return symbol("parameter", name)

    def states(
        self, *names: str, initial: Operand = 0.0, unit: str = "", signed: bool = False, controlled: bool = True
    ) -> tuple[Expression, ...]:
        """Declare states that share their properties; always a tuple, in order."""
        return tuple([self.state(name, initial, unit, signed, controlled) for name in names])

    def state(
        self,
        name: str,
        initial: Operand = 0.0,
        unit: str = "",
        signed: bool = False,
        controlled: bool = True,
        description: str = "",
    ) -> Expression:
        """Declare one state. Its initial value is a number or an expression of parameters, >= 0 unless signed."""
        self._check_new(name, "state")
        start = self._start(name, initial, bool(signed))
        unit, description = text(unit, f"unit of {name!r}"), text(description, f"description of {name!r}")
        self._states[name] = State(name, start, unit, bool(signed), bool(controlled), description)
        if start is not constant(0.0):
            self._given.add(name)
        self._cached.clear()
        return symbol("state", name)

    def flow(self, source: Expression | str | None, sink: Expression | str | None, rate: Operand) -> None:
        """Move `rate` (amount per time) out of `source` into `sink`; None is outside."""
        if source is None and sink is None:
            raise ModelError("flow from None to None: it changes no state. Name a source or a sink.")
        start = None if source is None else self._state_name(source, "flow source")
        end = None if sink is None else self._state_name(sink, "flow sink")
        if start == end:
            raise ModelError(f"flow from {start!r} to itself: it changes nothing. Name another sink, or None.")
        where = f"flow {start or 'outside'} -> {end or 'outside'}"
        self._terms.append(Flow(start, end, self._checked(rate, where)))
        self._cached.clear()

    def rate(self, state: Expression | str, expr: Operand) -> None:
        """Add `expr` to d state/dt, for what no flow describes; check_conservation tells if it breaks the balance."""
        name = self._state_name(state, "rate")
        self._terms.append(Rate(name, self._checked(expr, f"rate of {name!r}")))
        self._cached.clear()

    def initial(self, state: Expression | str, expr: Operand) -> None:
        """Set the initial value of a state to an expression of parameters; once for each state."""
        name = self._state_name(state, "initial")
        if name in self._given:
            before = to_text(self._states[name].initial, limit=60)
            raise ModelError(f"initial value of {name!r}: it is already {before}. Set it in one place.")
        start = self._start(name, expr, self._states[name].signed)
        self._states[name] = replace(self._states[name], initial=start)
        self._given.add(name)
        self._cached.clear()

    def define(self, name: str, expr: Operand) -> Expression:
        """Give an expression a name for describe(), and return it."""
        self._check_new(name, "definition")
        self._definitions[name] = self._checked(expr, f"definition {name!r}")
        self._cached.clear()
        return self._definitions[name]

    def output(self, name: str, expr: Operand, unit: str = "") -> None:
        """Declare what simulations return. A model without outputs returns its states."""
        check_identifier(name, "output")
        if name in self._outputs:
            raise ModelError(f"output {name!r}: there is one of this name already. Choose another name.")
        checked = self._checked(expr, f"output {name!r}")
        self._output_units[name] = text(unit, f"unit of {name!r}")
        self._outputs[name] = checked
        self._cached.clear()

    def dosing(
        self,
        state: Expression | str,
        lag: Operand | None = None,
        bioavailability: Operand | None = None,
        rate: Operand | None = None,
        duration: Operand | None = None,
    ) -> None:
        """How doses into `state` behave: expressions of parameters, one call for each state."""
        name = self._state_name(state, "dosing")
        if name in self._dosing:
            raise ModelError(f"dosing into {name!r}: it has rules already. Give them all in one call.")
        rules = {"lag": lag, "bioavailability": bioavailability, "rate": rate, "duration": duration}
        if all(value is None for value in rules.values()):
            raise ModelError(f"dosing into {name!r}: no rule given. Give lag, bioavailability, rate or duration.")
        checked = {}
        for rule, value in rules.items():
            if value is None:
                continue
            expr = checked[rule] = self._checked(value, f"{rule} of doses into {name!r}", ("parameter",))
            if expr.op == "constant" and (expr.value < 0.0 or (expr.value == 0.0 and rule in ("rate", "duration"))):
                least = "above 0" if rule in ("rate", "duration") else "0 or above"
                raise ModelError(f"{rule} of doses into {name!r}: it is {expr.value:g}. It must be {least}.")
        self._dosing[name] = Dosing(**checked)
        self._cached.clear()

    def describe(self) -> str:
        """The model as readable text: equations, parameters, outputs, sparsity of the Jacobian, mass balance."""
        return describe(self)

    def check_conservation(self, states: Iterable[Expression | str] | None = None) -> Conservation:
        """Check that the total of `states` (None: all) changes only by the declared flows across its border.

        Flows conserve mass by construction, so ModelError names the rate terms that do not cancel (1e-9 relative, at
        random positive points). Warns of flows that drain an empty state, which would make it negative.
        """
        chosen = self.state_names if states is None else [self._state_name(s, "check_conservation") for s in states]
        return check_conservation(self, tuple(dict.fromkeys(chosen)))

    # What lowering and simulation read

    @property
    def parameter_names(self) -> tuple[str, ...]:
        return tuple(self._parameters)

    @property
    def parameter_defaults(self) -> NDArray[np.float64]:
        """(parameters,) in the order of parameter_names."""
        return np.array([parameter.default for parameter in self._parameters.values()], dtype=np.float64)

    def parameter_info(self, name: str) -> Parameter:
        return look_up(name, self._parameters, "parameter")

    @property
    def state_names(self) -> tuple[str, ...]:
        return tuple(self._states)

    def state_info(self, name: str) -> State:
        """Its `initial` is an Expression of parameters."""
        return look_up(name, self._states, "state")

    @property
    def output_names(self) -> tuple[str, ...]:
        return tuple(self._outputs) if self._outputs else tuple(self._states)

    def output_unit(self, name: str) -> str:
        if self._outputs:
            return look_up(name, self._output_units, "output")
        return look_up(name, self._states, "output").unit

    @property
    def terms(self) -> tuple[Flow | Rate, ...]:
        """Flows and rates in the order of their declaration."""
        return tuple(self._terms)

    @property
    def flows(self) -> tuple[Flow, ...]:
        return tuple([term for term in self._terms if isinstance(term, Flow)])

    @property
    def rates(self) -> tuple[Rate, ...]:
        return tuple([term for term in self._terms if isinstance(term, Rate)])

    @property
    def definitions(self) -> Mapping[str, Expression]:
        return MappingProxyType(self._definitions)

    @property
    def dosing_rules(self) -> Mapping[str, Dosing]:
        """By state name, for the states that have rules."""
        return MappingProxyType(self._dosing)

    def derivatives(self) -> dict[str, Expression]:
        """d state/dt by state name: the flows and rates summed in the order of their declaration."""
        if "derivatives" not in self._cached:
            total = dict.fromkeys(self._states, constant(0.0))
            for term in self._terms:
                if isinstance(term, Rate):
                    total[term.state] = total[term.state] + term.rate
                    continue
                if term.source is not None:
                    total[term.source] = total[term.source] - term.rate
                if term.sink is not None:
                    total[term.sink] = total[term.sink] + term.rate
            self._cached["derivatives"] = total
        return dict(self._cached["derivatives"])

    def initials(self) -> dict[str, Expression]:
        """Initial values by state name, expressions of parameters."""
        return {name: state.initial for name, state in self._states.items()}

    def outputs(self) -> dict[str, Expression]:
        """Outputs by name; the states if none is declared."""
        return dict(self._outputs) if self._outputs else {name: symbol("state", name) for name in self._states}

    def content(self) -> str:
        """Everything in the model as canonical text: equal for equal models, different otherwise."""
        if "content" not in self._cached:
            self._cached["content"] = content(self)
        known: str = self._cached["content"]
        return known

    # Checks

    def _check_new(self, name: str, kind: str) -> None:
        check_identifier(name, kind)
        taken: dict[str, Collection[str]] = {
            "parameter": self._parameters,
            "state": self._states,
            "definition": self._definitions,
        }
        for other, names in taken.items():
            if name in names:
                raise ModelError(f"{kind} {name!r}: there is a {other} of this name already. Choose another name.")

    def _state_name(self, state: object, where: str) -> str:
        if isinstance(state, Expression) and state.op == "state":
            name = state.name
        elif isinstance(state, str):
            name = state
        else:
            raise ModelError(f"{where}: {repr(state)[:60]} is not a state. Give a state of this model, or its name.")
        if name not in self._states:
            raise ModelError(f"{where}: no state {name!r} in model {self.name!r}. {suggestion(name, self._states)}")
        return name

    def _start(self, name: str, value: Operand, signed: bool) -> Expression:
        start = self._checked(value, f"initial value of {name!r}", ("parameter",))
        if start.op == "constant" and start.value < 0.0 and not signed:
            raise ModelError(
                f"initial value of {name!r}: it is {start.value:g}, and the state is not signed. Use signed=True."
            )
        return start

    def _checked(self, value: object, where: str, kinds: Sequence[str] = tuple(_KINDS)) -> Expression:
        """`value` as an expression whose symbols are all of the allowed kinds and belong to this model."""
        try:
            expr = as_expression(value)
        except (TypeError, ModelError) as error:
            raise ModelError(f"{where}: {error}") from None
        known: dict[str, Collection[str]] = {"parameter": self._parameters, "state": self._states}
        for leaf in sorted(leaves(expr), key=lambda node: (node.op, node.name)):
            if leaf.op not in kinds:
                allowed = " and ".join(_KINDS[kind] for kind in kinds)
                what = "the time" if leaf.op == "time" else f"the {leaf.op} {leaf.name!r}"
                raise ModelError(f"{where}: it depends on {what}. It may depend on {allowed} only.")
            if leaf.op in known and leaf.name not in known[leaf.op]:
                remedy = suggestion(leaf.name, known[leaf.op])
                raise ModelError(f"{where}: no {leaf.op} {leaf.name!r} in model {self.name!r}. {remedy}")
        return expr
