"""What a model accepts as an event: a condition that can turn true, and what may change then."""

from __future__ import annotations

from typing import Any

from teorell.errors import ModelError
from teorell.model.actions import Infusion, as_actions
from teorell.model.checks import CheckedEquations
from teorell.model.expression import Expression, leaves, to_text, topological
from teorell.model.timing import changes_with

__all__ = ["CheckedEvents"]


class CheckedEvents(CheckedEquations):
    """Equations with the checks that an event goes through."""

    def _condition(self, when: Expression) -> Expression:
        """The condition of an event; ModelError for one that never turns true."""
        condition = self._checked(when, "condition of an event")
        if condition.op not in ("lt", "le", "and", "or", "not"):
            raise ModelError(
                f"condition {to_text(condition, limit=60)} of an event (it is no comparison, so it "
                "does not turn true). Compare states or the time, as in x < 0.5."
            )
        if not changes_with(condition, "state", "time"):
            raise ModelError(
                f"condition {to_text(condition, limit=60)} of an event depends on no state and not "
                "on time (it never changes). Compare a state, or the time."
            )
        self._check_lasts(condition)
        return condition

    def _actions(self, then: Any) -> tuple[dict[str, Expression], dict[str, Infusion]]:
        """The states that an event changes, and the infusions that it starts, by their states."""
        chosen = {} if then is None else as_actions(then)
        if not chosen:
            raise ModelError(
                "an event without an action (nothing would change). Give then={state: expression}."
            )
        actions: dict[str, Expression] = {}
        infusions: dict[str, Infusion] = {}
        for target, value in chosen.items():
            name = self._assignable(target)
            if name in actions or name in infusions:
                raise ModelError(
                    f"an event changes {name!r} twice (it takes one value). Leave one out."
                )
            if isinstance(value, Infusion):
                infusions[name] = self._checked_infusion(name, value)
            else:
                actions[name] = self._checked(value, f"value that an event gives {name!r}")
        return actions, infusions

    def _check_lasts(self, condition: Expression) -> None:
        """ModelError for an equality of states that move: they pass it without being equal."""
        for node in topological([condition]):
            both = [{*part.args} if part.op == "le" else set() for part in node.args]
            if node.op != "and" or not both[0] or both[0] != both[1]:
                continue
            moving = [leaf.name for leaf in leaves(node) if leaf.op == "state"]
            if any(self._states[name].controlled for name in moving):
                a, b = node.args[0].args
                raise ModelError(
                    f"condition {to_text(a, limit=40)} == {to_text(b, limit=40)} of an event (a "
                    "state that moves passes a value, and is never found at it). Compare with < or "
                    ">."
                )

    def _checked_infusion(self, name: str, dose: Infusion) -> Infusion:
        where = f"of an infusion that an event gives into {name!r}"
        amount = self._checked(dose.amount, f"amount {where}")
        duration = self._checked(dose.duration, f"duration {where}")
        if duration.op == "constant" and not duration.value > 0.0:
            raise ModelError(
                f"duration {where} is {duration.value:g} (it must be above 0). Correct it, or give "
                "a dose at once, {state: state + amount}."
            )
        return Infusion(amount, duration)

    def _assignable(self, target: Any) -> str:
        """The name of a state that an event may change."""
        if isinstance(target, Expression) and target.op == "parameter":
            raise ModelError(
                f"an event changes parameter {target.name!r} (a parameter is given from outside). "
                "Declare model.level(name, initial), which events may change."
            )
        return self._state_name(target, "what an event changes")
