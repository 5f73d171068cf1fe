"""A model as the user writes it: parameters, states, flows and outputs, checked line by line.

It is data, not code.

>>> model = Model("one compartment")
>>> (cl, v), (central,) = model.parameters(cl=5.0, v=20.0), model.states("central")
>>> model.flow(central, None, cl / v * central)
>>> model.output("cp", central / v, unit="mg/L")
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from teorell.arrays import check_flag
from teorell.errors import ModelError, count
from teorell.html import html_table
from teorell.model.actions import flowing
from teorell.model.balance import Conservation, check_conservation
from teorell.model.checked_events import CheckedEvents
from teorell.model.checks import checked_default
from teorell.model.declarations import (
    Dosing,
    Event,
    Flow,
    Parameter,
    Rate,
    State,
    check_identifier,
    text,
)
from teorell.model.description import describe
from teorell.model.expression import (
    Expression,
    Operand,
    constant,
    symbol,
    to_text,
)

__all__ = ["Dosing", "Event", "Flow", "Model", "ModelError", "Parameter", "Rate", "State"]


class Model(CheckedEvents):
    """Ordinary differential equations for one patient, declared line by line.

    Units are labels: nothing is converted, so choose units that belong together (mg, L, h, mg/L).
    Every mistake raises ModelError in the line that makes it. How to write a model: docs/models.md.
    """

    def __init__(self, name: str, time_unit: str = "h") -> None:
        super().__init__(text(name, "model name"), text(time_unit, "time unit"))
        self._given: set[str] = set()  # states whose initial value has been set

    def __repr__(self) -> str:
        flows, rates = len(self.flows), len(self.rates)
        return (
            f"<Model {self.name!r}: {count(len(self._states), 'state')}, "
            f"{count(len(self._parameters), 'parameter')}, {count(flows, 'flow')}, "
            f"{count(rates, 'rate')}, {count(len(self.output_names), 'output')}>"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows: parameters, states and outputs, with units and meanings."""
        rows = []
        for name in self.parameter_names:
            told = self.parameter_info(name)
            rows.append(("parameter", name, f"{told.default:.6g}", told.unit, told.description))
        for name in self.state_names:
            state = self.state_info(name)
            rows.append(("state", name, "", state.unit, state.description))
        rows += [("output", name, "", self.output_unit(name), "") for name in self.output_names]
        return html_table(repr(self), ("what", "name", "default", "unit", "meaning"), rows)

    @property
    def time(self) -> Expression:
        """The time since the start of the simulation, in the model's time unit."""
        return symbol("time", "time")

    def time_after_dose(self, state: Expression | str) -> Expression:
        """The time since the last dose into `state` came in, its lag included: an expression.

        In the model's time unit; of an infusion, since its start. A train of doses at steady state
        counts with its last. Where none has come in, since the start or after resets, outputs that
        depend on it are NaN, and rates take it as 1e9 and more: of a dose so long ago nothing is
        left. Derivatives follow it to dose times, intervals and lags. Initial values and rules of
        doses cannot depend on it. ModelError for an unknown state.
        """
        return symbol("after_dose", self._state_name(state, "the state of the time after dose"))

    def parameters(self, **defaults: float) -> tuple[Expression, ...]:
        """Declare parameters as name=default, without unit or bounds; returns their symbols.

        Always a tuple, in order: `(cl,) = model.parameters(cl=5.0)`.
        """
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
        """Declare one parameter, a number that may differ between patients; returns its symbol.

        default: its value, in `unit`, where a simulation gives none. lower, upper: inclusive bounds
        in the same unit; every value given to `simulate` is compared with them. ModelError if the
        name is taken, or the default is not finite or outside the bounds.
        """
        self._check_new(name, "parameter")
        value, low, high = checked_default(name, default, lower, upper)
        unit = text(unit, f"unit of {name!r}")
        description = text(description, f"description of {name!r}")
        self._parameters[name] = Parameter(name, value, unit, low, high, description)
        self._cached.clear()
        return symbol("parameter", name)

    def parameter_vector(self, name: str, default: Iterable[float]) -> tuple[Expression, ...]:
        """Declare a parameter that is a vector, such as the weights of a network; returns symbols.

        default: its numbers, one at least. Its elements are parameters called name_0, name_1, ...
        `simulate` takes it whole, (elements,) for all patients or (patients, elements), an array or
        a torch tensor, and gradients come back in this shape. ModelError if a name is taken or a
        number is not finite.
        """
        numbers = list(default)
        if not numbers:
            raise ModelError(
                f"the vector parameter {name!r} has no elements (nothing could be given). Give one "
                "number at least."
            )
        self._check_new(name, "vector parameter")
        names = tuple([f"{name}_{k}" for k in range(len(numbers))])
        for each in names:
            self._check_new(each, "parameter")
        checked = [
            checked_default(each, x, -math.inf, math.inf)[0]
            for each, x in zip(names, numbers, strict=True)
        ]
        for each, value in zip(names, checked, strict=True):
            self._parameters[each] = Parameter(each, value)
        self._vectors = {**self.parameter_vectors, name: names}
        self._cached.clear()
        return tuple([symbol("parameter", each) for each in names])

    def states(
        self,
        *names: str,
        initial: Operand = 0.0,
        unit: str = "",
        signed: bool = False,
        controlled: bool = True,
    ) -> tuple[Expression, ...]:
        """Declare states that share their properties; returns their symbols.

        Always a tuple, in order: `(gut,) = model.states("gut")`.
        """
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
        """Declare one state, usually an amount; returns its symbol.

        initial: its value at time 0, in `unit`; a number or an expression of parameters, >= 0
        unless signed. signed: it may be negative. controlled: its error counts in the step size;
        False suits an accumulator that nothing depends on, such as an AUC. ModelError if the name
        is taken or the initial value cannot be used.
        """
        self._check_new(name, "state")
        check_flag(signed, f"signed of state {name!r}")
        check_flag(controlled, f"controlled of state {name!r}")
        start = self._start(name, initial, bool(signed))
        unit = text(unit, f"unit of {name!r}")
        description = text(description, f"description of {name!r}")
        self._states[name] = State(name, start, unit, bool(signed), bool(controlled), description)
        if start is not constant(0.0):
            self._given.add(name)
        self._cached.clear()
        return symbol("state", name)

    def flow(
        self, source: Expression | str | None, sink: Expression | str | None, rate: Operand
    ) -> None:
        """Move `rate` (amount per time unit of the model) out of `source` into `sink`.

        source, sink: states or their names; None is outside. Flows from and to the same state add
        up; a rate may change its sign. A flow whose rate does not vanish when its source is empty
        makes the source negative (status 5 of the patient).
        """
        if source is None and sink is None:
            raise ModelError(
                "flow from None to None (it changes no state). Name a source or a sink."
            )
        start = None if source is None else self._state_name(source, "the source of the flow")
        end = None if sink is None else self._state_name(sink, "the sink of the flow")
        if start == end:
            raise ModelError(
                f"flow from {start!r} to itself (it changes nothing). Name another sink, or None."
            )
        where = f"flow {start or 'outside'} -> {end or 'outside'}"
        self._terms.append(Flow(start, end, self._checked(rate, where)))
        self._cached.clear()

    def rate(self, state: Expression | str, expr: Operand) -> None:
        """Add `expr` (unit of the state per time) to d state/dt, for what is no movement of mass.

        check_conservation() tells if it breaks the balance of mass.
        """
        name = self._state_name(state, "the state of the rate")
        self._terms.append(Rate(name, self._checked(expr, f"rate of {name!r}")))
        self._cached.clear()

    def initial(self, state: Expression | str, expr: Operand) -> None:
        """Set the value of a state at time 0, in its unit, to an expression of parameters.

        ModelError if it has been set before.
        """
        name = self._state_name(state, "the state of the initial value")
        if name in self._given:
            before = to_text(self._states[name].initial, limit=60)
            raise ModelError(
                f"the initial value of {name!r} is already {before} (it is set once). Set it in "
                "one place."
            )
        start = self._start(name, expr, self._states[name].signed)
        self._states[name] = replace(self._states[name], initial=start)
        self._given.add(name)
        self._cached.clear()

    def define(self, name: str, expr: Operand) -> Expression:
        """Give an expression a name for describe(), and return the expression.

        The name is not a symbol.
        """
        self._check_new(name, "definition")
        self._definitions[name] = self._checked(expr, f"definition {name!r}")
        self._cached.clear()
        return self._definitions[name]

    def output(self, name: str, expr: Operand, unit: str = "") -> None:
        """Declare what simulations return: any expression of parameters, states and time.

        Without outputs they return the states.

        unit: a label for tables and pictures. ModelError if there is an output of this name.
        """
        check_identifier(name, "output")
        if name in self._outputs:
            raise ModelError(
                f"output {name!r} is not new (there is an output of this name). Choose another "
                "name."
            )
        checked = self._checked(expr, f"output {name!r}")
        self._output_units[name] = text(unit, f"unit of {name!r}")
        self._outputs[name] = checked
        self._cached.clear()

    def level(
        self, name: str, initial: Operand = 0.0, unit: str = "", description: str = ""
    ) -> Expression:
        """Declare a number that events change and nothing else: its symbol.

        It is a state without a rate, of any sign, whose error does not count. initial: an
        expression of parameters.
        """
        return self.state(
            name, initial, unit=unit, signed=True, controlled=False, description=description
        )

    def event(self, when: Expression, then: Any) -> None:
        """Change states where a condition becomes true: at that time, found inside a step.

        when: a condition on states, time and parameters. It acts each time it turns from false to
        true, by the course of the states or by a dose, and not where it is true from the start.
        then: {state or level: expression}; all expressions are of the values before. Where several
        events are due at once the one declared first acts first, and the next sees what it left.
        A dose as action is {gut: gut + amount}, an infusion {gut: tl.Infusion(amount, duration)};
        or then is a regimen of such, by numbers. ModelError for what is no condition, what cannot
        change, and what is no state.
        """
        condition = self._condition(when)
        actions, infusions = self._actions(then)
        for name, dose in infusions.items():
            actions |= flowing(self, name, dose)
        self._events = [*self.events, Event(condition, actions)]
        self._cached.clear()

    def dosing(
        self,
        state: Expression | str,
        lag: Operand | None = None,
        bioavailability: Operand | None = None,
        rate: Operand | None = None,
        duration: Operand | None = None,
    ) -> None:
        """How doses into `state` behave: expressions of parameters, one call for each state.

        lag (time >= 0): a dose comes that much later. bioavailability (fraction >= 0): that part of
        the amount reaches the state; of an infusion whose rate is given, in so much shorter a time.
        rate (amount per time > 0), duration (time > 0): of the infusions that are given with
        rate="modelled" or duration="modelled".
        """
        name = self._state_name(state, "the state of the dosing")
        if name in self._dosing:
            raise ModelError(
                f"dosing into {name!r} is declared twice (one call has all rules). Give them "
                "together."
            )
        rules = {"lag": lag, "bioavailability": bioavailability, "rate": rate, "duration": duration}
        if all(value is None for value in rules.values()):
            raise ModelError(
                f"dosing into {name!r} has no rule (all are None). Give lag, bioavailability, "
                "rate, duration."
            )
        checked = {
            rule: self._rule(name, rule, value)
            for rule, value in rules.items()
            if value is not None
        }
        self._dosing[name] = Dosing(**checked)
        self._cached.clear()

    def describe(self) -> str:
        """The model as readable text.

        Equations, parameters, outputs, sparsity of the Jacobian and mass balance.
        """
        return describe(self)

    def check_conservation(self, states: Iterable[Expression | str] | None = None) -> Conservation:
        """Check that the total of `states` changes only by the declared flows across its border.

        states: symbols or names. Flows conserve mass by construction, so ModelError names the rate
        terms that do not cancel (1e-9 relative, at random positive points). None is all states but
        integrals that would break the balance, such as an AUC: states that no flow touches and no
        equation reads hold nothing; the result names them. Warns of flows that drain an empty
        state, which would make it negative.
        """
        if states is None:
            return check_conservation(self)
        chosen = [self._state_name(state, "a state of the balance") for state in states]
        return check_conservation(self, tuple(dict.fromkeys(chosen)))
