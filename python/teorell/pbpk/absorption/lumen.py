"""From the stomach to the gut wall: one well-stirred lumen, or a chain of segments.

What is absorbed goes to the wall, whose metabolism takes 1 - gut_availability of it; what is not
leaves with the faeces.
"""

from __future__ import annotations

from dataclasses import dataclass

from teorell.errors import InputError, suggestion
from teorell.model import Model
from teorell.model.expression import Expression
from teorell.pbpk.absorption.permeability import TRANSIT_SEGMENTS, TRANSIT_TIME

__all__ = ["ABSORPTIONS", "Lumen", "check_absorption"]

ABSORPTIONS = ("first_order", "transit")


def check_absorption(absorption: object) -> str:
    """The name of a model of absorption; InputError, with the nearest one, for another."""
    if not isinstance(absorption, str) or absorption not in ABSORPTIONS:
        raise InputError(
            f"unknown model of absorption {absorption!r} (there are {len(ABSORPTIONS)}). "
            f"{suggestion(str(absorption), ABSORPTIONS)}"
        )
    return absorption


@dataclass(frozen=True)
class Lumen:
    """States of an oral dose on its way, and their rates (1/h)."""

    stomach: Expression
    segments: tuple[Expression, ...]
    emptying: Expression
    absorption: Expression
    absorbed: Expression | None  # of a dose, in one lumen; None in a chain
    escaping: Expression  # gut wall metabolism

    def flows(self, model: Model, gut: Expression, lost: Expression, faeces: Expression) -> None:
        """Declare the flows to the gut wall, to its metabolites, and to the faeces."""
        first, *later = self.segments
        model.flow(self.stomach, first, self.emptying * self.stomach)
        if self.absorbed is not None:
            rate = self.absorption * self.absorbed
            model.flow(first, gut, rate * self.escaping * first)
            model.flow(first, lost, rate * (1 - self.escaping) * first)
            model.flow(first, faeces, self.absorption * (1 - self.absorbed) * first)
            return
        onward = TRANSIT_SEGMENTS / TRANSIT_TIME
        for here, there in zip(self.segments, (*later, faeces), strict=True):
            model.flow(here, gut, self.absorption * self.escaping * here)
            model.flow(here, lost, self.absorption * (1 - self.escaping) * here)
            model.flow(here, there, onward * here)
