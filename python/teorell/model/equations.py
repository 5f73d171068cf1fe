"""What a model declares, read-only: by name, as derivatives, and as canonical text."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.model.declarations import Dosing, Event, Flow, Parameter, Rate, State, look_up
from teorell.model.expression import Expression, constant, pack, symbol

__all__ = ["Equations"]


class Equations:
    """The declared parts of a model, and what follows from them.

    `Model` writes them, everything else reads them here.
    """

    def __init__(self, name: str, time_unit: str) -> None:
        self.name = name
        self.time_unit = time_unit
        self._parameters: dict[str, Parameter] = {}
        self._vectors: dict[str, tuple[str, ...]] = {}  # name -> the parameters that it is made of
        self._states: dict[str, State] = {}
        self._terms: list[Flow | Rate] = []
        self._definitions: dict[str, Expression] = {}
        self._outputs: dict[str, Expression] = {}
        self._output_units: dict[str, str] = {}
        self._dosing: dict[str, Dosing] = {}
        self._events: list[Event] = []
        self._cached: dict[str, Any] = {}  # what has been derived since the last change

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """The names of the parameters, in the order of their declaration."""
        return tuple(self._parameters)

    @property
    def parameter_defaults(self) -> NDArray[np.float64]:
        """(parameters,) default values, in the order of parameter_names and in declared units."""
        return np.array(
            [parameter.default for parameter in self._parameters.values()], dtype=np.float64
        )

    @property
    def parameter_vectors(self) -> Mapping[str, tuple[str, ...]]:
        """name -> the names of the parameters that a vector is made of, in its order."""
        return MappingProxyType(getattr(self, "_vectors", {}))

    def parameter_info(self, name: str) -> Parameter:
        """Default, unit, bounds and description of a parameter; ModelError for an unknown name."""
        return look_up(name, self._parameters, "parameter")

    @property
    def state_names(self) -> tuple[str, ...]:
        """The names of the states, in the order of their declaration."""
        return tuple(self._states)

    def state_info(self, name: str) -> State:
        """Initial value (an Expression of parameters), unit, flags and description of a state.

        ModelError for an unknown name.
        """
        return look_up(name, self._states, "state")

    @property
    def output_names(self) -> tuple[str, ...]:
        """The names of the outputs, in the order of their declaration.

        The states are the outputs if none is declared.
        """
        return tuple(self._outputs) if self._outputs else tuple(self._states)

    def output_unit(self, name: str) -> str:
        """The unit of an output as declared, "" if none was; ModelError for an unknown name."""
        if self._outputs:
            return look_up(name, self._output_units, "output")
        return look_up(name, self._states, "output").unit

    @property
    def terms(self) -> tuple[Flow | Rate, ...]:
        """Flows and rates in the order of their declaration."""
        return tuple(self._terms)

    @property
    def flows(self) -> tuple[Flow, ...]:
        """Flows alone, in the order of their declaration."""
        return tuple([term for term in self._terms if isinstance(term, Flow)])

    @property
    def rates(self) -> tuple[Rate, ...]:
        """Rates alone, in the order of their declaration."""
        return tuple([term for term in self._terms if isinstance(term, Rate)])

    @property
    def definitions(self) -> Mapping[str, Expression]:
        """The expressions that Model.define named, by name."""
        return MappingProxyType(self._definitions)

    @property
    def dosing_rules(self) -> Mapping[str, Dosing]:
        """How doses behave, by the name of the state; states without rules are not in it."""
        return MappingProxyType(self._dosing)

    @property
    def events(self) -> tuple[Event, ...]:
        """The declared events, in their order; a model pickled before there were any has none."""
        return tuple(getattr(self, "_events", ()))

    def derivatives(self) -> dict[str, Expression]:
        """d state/dt by state name, in the unit of the state per time.

        Flows and rates are summed in the order of their declaration.
        """
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
        return (
            dict(self._outputs)
            if self._outputs
            else {name: symbol("state", name) for name in self._states}
        )

    def content(self) -> str:
        """Everything in the model as canonical text.

        It is equal for equal models, and different otherwise.
        """
        if "content" not in self._cached:
            self._cached["content"] = self._content()
        known: str = self._cached["content"]
        return known

    def _content(self) -> str:
        """The text of content(): a record a line.

        First what is declared, then the nodes of all expressions, shared parts once.
        """
        exprs: list[Expression] = []

        def number(expr: Expression | None) -> int | None:
            if expr is None:
                return None
            exprs.append(expr)
            return len(exprs) - 1

        lines: list[tuple[object, ...]] = [("model", self.name, self.time_unit)]
        for p in self._parameters.values():
            lines += [("parameter", p.name, p.default, p.unit, p.lower, p.upper, p.description)]
        for s in self._states.values():
            lines += [
                ("state", s.name, number(s.initial), s.unit, s.signed, s.controlled, s.description)
            ]
        for term in self._terms:
            ends = (term.source, term.sink) if isinstance(term, Flow) else (term.state,)
            lines += [("flow" if isinstance(term, Flow) else "rate", *ends, number(term.rate))]
        lines += [("definition", name, number(expr)) for name, expr in self._definitions.items()]
        lines += [
            ("output", name, number(expr), self.output_unit(name))
            for name, expr in self.outputs().items()
        ]
        for name, d in sorted(self._dosing.items()):
            lines += [
                ("dosing", name, *map(number, (d.lag, d.bioavailability, d.rate, d.duration)))
            ]
        for event in self.events:
            then = [(name, number(expr)) for name, expr in event.then.items()]
            lines += [("event", number(event.when), *then)]
        records, roots = pack(exprs)
        return "\n".join([repr(line) for line in (*lines, ("roots", *roots), *records)])
