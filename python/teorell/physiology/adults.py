"""People: the same adults as the whole-body model and as the constraints tell them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teorell.errors import InputError
from teorell.physiology.drawn import check_drawn, remember
from teorell.physiology.reference_adults import FLOW_EXPONENT, GFR, HAEMATOCRIT, HEIGHT
from teorell.physiology.vocabulary import (
    FLOWS,
    MASSES,
    SHARES,
    flow_share_to,
    flow_to,
    mass_of,
    mass_share_of,
)

__all__ = ["Adults"]

Column = NDArray[np.float64]


class Adults(dict[str, Column]):
    """Men of the reference height, as a dict: name -> (n,) of the parameters of
    `teorell.pbpk.whole_body`, whose units it tells.

    `body` has the same people in kg and L/h. A `teorell.constraints.ConstraintSet` takes them
    directly, and finds there both the parameters and the body. What makes a dict of it, such as
    {**people}, keeps the parameters alone; some of the people are
    Adults({name: column[:10] for name, column in people.items()}).

    People drawn for a drug remember it, as long as they hold a column that was drawn for it: the
    model of another drug refuses them, as it does such columns in a plain dict (drawn.py).
    """

    _drug = ""  # its name
    _drawn: Mapping[str, Column] = MappingProxyType({})  # what was drawn for it

    def with_drug(self, name: str, **columns: Column) -> Adults:
        """These people with columns that were drawn for a drug, which they remember."""
        people = Adults({**self, **columns})
        people._drug, people._drawn = name, columns
        remember(columns, name)
        return people

    def check_model(self, name: str) -> None:
        """InputError if these people were drawn for another drug than that of the model."""
        kept = {each: column for each, column in self._drawn.items() if self.get(each) is column}
        remember(kept, self._drug)  # people from a pickle
        check_drawn(self, name)

    @property
    def body(self) -> dict[str, Column]:
        """name -> (n,), as `teorell.constraints.human_adult` reads a body: female (0), body_weight
        (kg), height (m), haematocrit, gfr (mL/min/1.73 m2), cardiac_output (L/h), mass_* (kg,
        without blood), flow_* (L/h).

        Computed at each call from the shares that are here now, which count by their part of the
        sum, as in the model. Height, haematocrit and filtration rate per body surface are the
        reference man's: in this version they do not vary. InputError if a number of
        `teorell.physiology.vocabulary.SHARES` is missing, or the lengths differ.
        """
        lacking = [name for name in SHARES if name not in self]
        if lacking:
            raise InputError(
                f"these adults have no {lacking[0]!r} (a body cannot be told without it). Give it, "
                "or start from virtual_adults."
            )
        told = {name: np.asarray(self[name], np.float64) for name in SHARES}
        sizes = {name: column.size for name, column in told.items() if column.ndim}
        if len(set(sizes.values())) > 1:
            least, most = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
            raise InputError(
                f"{least!r} has {sizes[least]} numbers and {most!r} {sizes[most]} (one a person is "
                "needed). Give all of the same people."
            )

        weight = told["body_weight"]
        output = told["cardiac_index"] * weight**FLOW_EXPONENT
        whole = weight / sum(told[mass_share_of(part)] for part in MASSES)
        stream = output / sum(told[flow_share_to(organ)] for organ in FLOWS)
        body = {
            "female": 0.0,
            "body_weight": weight,
            "height": HEIGHT.man,
            "haematocrit": HAEMATOCRIT,
            "gfr": GFR,
            "cardiac_output": output,
            **{mass_of(part): told[mass_share_of(part)] * whole for part in MASSES},
            **{flow_to(organ): told[flow_share_to(organ)] * stream for organ in FLOWS},
        }
        people = next(iter(sizes.values()), 1)
        return {name: np.full(people, number) for name, number in body.items()}

    def numbers(self, names: Iterable[str]) -> dict[str, Column]:
        """Those of the names that these people have, as a parameter or in `body`: name -> (n,)."""
        wanted = list(names)
        found = self if all(name in self for name in wanted) else {**self.body, **self}
        return {name: found[name] for name in wanted if name in found}

    def copy(self) -> Adults:
        """The same columns in a dict of its own."""
        return self | {}

    def __or__(self, other: Any) -> Adults:  # type: ignore[override]
        """These people, with some numbers of another dict."""
        people = Adults({**self, **other})
        if self._drug:
            people._drug, people._drawn = self._drug, self._drawn
        return people
