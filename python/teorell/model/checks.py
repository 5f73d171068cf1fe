"""What a model accepts: names that are new, states that exist, expressions of its own symbols."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from teorell.errors import ModelError, suggestion
from teorell.model.declarations import check_identifier, number
from teorell.model.equations import Equations
from teorell.model.expression import Expression, Operand, as_expression, leaves

__all__ = ["CheckedEquations", "checked_default"]

_KINDS = {
    "parameter": "parameters",
    "state": "states",
    "time": "the time",
    "after_dose": "times after doses",
}


def checked_default(
    name: str, default: float, lower: float, upper: float
) -> tuple[float, float, float]:
    """Default and bounds of a parameter as numbers; ModelError where they do not fit together."""
    value = number(default, f"the default of parameter {name!r}")
    low = number(lower, f"the lower bound of parameter {name!r}")
    high = number(upper, f"the upper bound of parameter {name!r}")
    if low > high:
        raise ModelError(
            f"the lower bound {low:g} of parameter {name!r} is above its upper bound {high:g} "
            "(no value could be given). Exchange them."
        )
    if not math.isfinite(value):
        raise ModelError(
            f"the default of parameter {name!r} is {value} (it must be finite). Give a number."
        )
    if not low <= value <= high:
        raise ModelError(
            f"the default {value:g} of parameter {name!r} is outside [{low:g}, {high:g}] "
            "(bounds hold for it too). Change it or the bounds."
        )
    return value, low, high


class CheckedEquations(Equations):
    """Equations with the checks that each declaration goes through, in the line that makes it."""

    def _check_new(self, name: str, kind: str) -> None:
        """ModelError unless a parameter, state or definition (`kind`) can have this name."""
        check_identifier(name, kind)
        taken: dict[str, Collection[str]] = {
            "parameter": self._parameters,
            "vector parameter": self.parameter_vectors,
            "state": self._states,
            "definition": self._definitions,
        }
        for other, names in taken.items():
            if name in names:
                raise ModelError(
                    f"{kind} {name!r} is not new (there is a {other} of this name). Choose another "
                    "name."
                )

    def _state_name(self, state: object, where: str) -> str:
        """The name of a state, given by its symbol or name; ModelError if there is none."""
        if isinstance(state, Expression) and state.op == "state":
            name = state.name
        elif isinstance(state, str):
            name = state
        else:
            raise ModelError(
                f"{where} is {repr(state)[:60]} (it must be a state). Give a state of this model, "
                "or its name."
            )
        if name not in self._states:
            raise ModelError(
                f"{where}: unknown state {name!r} (model {self.name!r} does not declare it). "
                f"{suggestion(name, self._states)}"
            )
        return name

    def _start(self, name: str, value: Operand, signed: bool) -> Expression:
        """The initial value of a state as an expression of parameters."""
        start = self._checked(value, f"initial value of {name!r}", ("parameter",))
        if start.op == "constant" and start.value < 0.0 and not signed:
            raise ModelError(
                f"the initial value of {name!r} is {start.value:g} (the state is not signed). "
                "Declare it signed."
            )
        return start

    def _rule(self, state: str, rule: str, value: Operand) -> Expression:
        """A rule of the doses into a state as an expression of parameters."""
        expr = self._checked(value, f"{rule} of doses into {state!r}", ("parameter",))
        above = rule in ("rate", "duration")
        if expr.op == "constant" and (expr.value < 0.0 or (expr.value == 0.0 and above)):
            raise ModelError(
                f"{rule} of doses into {state!r} is {expr.value:g} (it must be "
                f"{'above 0' if above else '0 or above'}). Correct it."
            )
        return expr

    def _checked(
        self, value: object, where: str, kinds: Sequence[str] = tuple(_KINDS)
    ) -> Expression:
        """`value` as an expression of this model, whose symbols are all of the allowed kinds.

        where: how the ModelError for any other calls it.
        """
        try:
            expr = as_expression(value)
        except (TypeError, ModelError) as error:
            raise ModelError(f"{where}: {error}") from None
        known: dict[str, Collection[str]] = {
            "parameter": self._parameters,
            "state": self._states,
            "after_dose": self._states,
        }
        for leaf in sorted(leaves(expr), key=lambda node: (node.op, node.name)):
            if leaf.op not in kinds:
                allowed = ", ".join(_KINDS[kind] for kind in kinds)
                what = f"the {leaf.op} {leaf.name!r}"
                if leaf.op in ("time", "after_dose"):
                    what = "the time" if leaf.op == "time" else f"the {leaf!r}"
                raise ModelError(
                    f"{where} depends on {what} (it may depend on {allowed} only). Write it "
                    "without."
                )
            if leaf.op in known and leaf.name not in known[leaf.op]:
                remedy = suggestion(leaf.name, known[leaf.op])
                raise ModelError(
                    f"{where}: unknown {leaf.op} {leaf.name!r} (model {self.name!r} does not "
                    f"declare it). {remedy}"
                )
        return expr
